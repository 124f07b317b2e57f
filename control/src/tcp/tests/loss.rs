//! Retransmission: by timer, by duplicate acknowledgments, around what the peer has SACKed.

use super::dialogue::Dialogue;
use crate::tcp::*;

#[test]
fn timer_doubles_and_slow_start_follows() {
    let mut d = Dialogue::established("", 60_000, Limits::default());
    // No path of IPv6 is suspected of swallowing segments as small as these.
    d.block.set_family(Family::V6);
    d.run(
        "! write 3000
           > . 101+1000 ack 501
           > . 1101+1000 ack 501
           > P. 2101+1000 ack 501
           +199ms
           > -
           +1ms
           > . 101+1000 ack 501
           > -
           +399ms
           > -
           +1ms
           > . 101+1000 ack 501
           > -
           < . 501 ack 1101 win 60000
           = ACKED|WINDOW
           > . 1101+1000 ack 501
           > P. 2101+1000 ack 501
           > -
           < . 501 ack 3101 win 60000
           > -",
    );
    assert_eq!(d.block.deadline(), None);
}

#[test]
fn progress_ends_the_patience() {
    let limits = Limits { user_timeout: std::time::Duration::from_secs(4), ..Limits::default() };
    let mut d = Dialogue::established("", 10_000, limits);
    d.run(
        "! write 10
           > P. 101+10 ack 501",
    );
    for wait in [200, 400, 800, 1600] {
        d.run(&format!("+{wait}ms\n> P. 101+10 ack 501"));
    }
    d.run(
        "= -
           +3200ms
           = CLOSED|GAVE_UP
           : Closed
           > -",
    );
}

#[test]
fn backoff_stays_until_a_sample_of_new_data() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 10
           > P. 101+10 ack 501
           +200ms
           > P. 101+10 ack 501
           < . 501 ack 111
           ! write 10
           > P. 111+10 ack 501
           +399ms
           > -
           +1ms
           > P. 111+10 ack 501",
    );
}

#[test]
fn three_duplicates_send_again_at_once() {
    let mut d = Dialogue::established("", 60_000, Limits::default());
    d.run(
        "! write 6000
           > . 101+1000 ack 501
           > . 1101+1000 ack 501
           > . 2101+1000 ack 501
           > . 3101+1000 ack 501
           > . 4101+1000 ack 501
           > P. 5101+1000 ack 501
           < . 501 ack 101 win 60000
           < . 501 ack 101 win 60000
           > -
           < . 501 ack 101 win 60000
           > . 101+1000 ack 501
           > -
           < . 501 ack 3101 win 60000
           > . 3101+1000 ack 501
           > -
           < . 501 ack 6101 win 60000
           > -",
    );
    assert_eq!(d.block.deadline(), None);
}

#[test]
fn a_window_update_or_data_is_no_duplicate() {
    let mut d = Dialogue::established("", 60_000, Limits::default());
    d.run(
        "! write 1000
           > P. 101+1000 ack 501
           < . 501 ack 101 win 60001
           < . 501 ack 101 win 60002
           < . 501 ack 101 win 60003
           < . 501 ack 101 win 60004
           < . 501+1 ack 101 win 60004
           < . 502+1 ack 101 win 60004
           < . 503+1 ack 101 win 60004
           > . 1101 ack 504
           > -",
    );
}

#[test]
fn limited_transmit_sends_new_data_on_the_first_duplicates() {
    let mut d = Dialogue::established("", 60_000, Limits::default());
    d.run("! write 13000");
    for i in 0..10 {
        d.run(&format!("> . {}+1000 ack 501", 101 + i * 1000));
    }
    d.run(
        "> -
           < . 501 ack 101 win 60000
           > . 10101+1000 ack 501
           > -
           < . 501 ack 101 win 60000
           > . 11101+1000 ack 501
           > -
           < . 501 ack 101 win 60000
           > . 101+1000 ack 501",
    );
}

#[test]
fn acknowledgments_of_the_unsent_or_long_gone_are_challenged() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 10
           > P. 101+10 ack 501
           < . 501+5 ack 112
           = -
           > . 111 ack 501
           < . 501+5 ack 4294900000
           = -
           > . 111 ack 501",
    );
    assert_eq!(d.block.last_stop(), Some(Stop::AckInvalid));
    assert_eq!(d.block.queued(), 10);
}
