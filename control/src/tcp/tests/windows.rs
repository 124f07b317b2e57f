//! Windows of both sides: closed, probed, reopened; back-pressure and silly windows.

use super::dialogue::Dialogue;
use crate::tcp::*;
use dataplane::wire::seq::Seq;

#[test]
fn a_closed_window_is_probed_ever_more_slowly_and_reopens() {
    let mut d = Dialogue::established("", 1000, Limits::default());
    d.run(
        "! write 3000
           > . 101+1000 ack 501
           > -
           < . 501 ack 1101 win 0
           > -
           +199ms
           > -
           +1ms
           > . 1101+1 ack 501
           > -
           < . 501 ack 1101 win 0
           +400ms
           > . 1101+1 ack 501
           +800ms
           > . 1101+1 ack 501
           < . 501 ack 1101 win 0
           > -
           < . 501 ack 1101 win 2000
           > . 1101+1 ack 501
           > . 1102+1000 ack 501
           > P. 2102+999 ack 501
           > -",
    );
}

#[test]
fn a_probe_may_be_taken() {
    let mut d = Dialogue::established("", 1000, Limits::default());
    d.run(
        "! write 1500
           > . 101+1000 ack 501
           < . 501 ack 1101 win 0
           > -
           +200ms
           > . 1101+1 ack 501
           < . 501 ack 1102 win 0
           > -
           +400ms
           > . 1102+1 ack 501
           < . 501 ack 1103 win 5000
           > P. 1103+498 ack 501",
    );
}

#[test]
fn probing_outlives_the_user_timeout_while_the_peer_answers() {
    let limits = Limits { user_timeout: std::time::Duration::from_secs(100), ..Limits::default() };
    let mut d = Dialogue::established("", 1000, limits);
    d.run(
        "! write 2000
           > . 101+1000 ack 501
           < . 501 ack 1101 win 0
           > -",
    );
    for _ in 0..30 {
        d.run(
            "+60000ms
               > . 1101+1 ack 501
               < . 501 ack 1101 win 0",
        );
    }
    d.run(": Established");
    for _ in 0..4 {
        d.run("+60000ms");
        while d.block.poll(d.now, 0).is_some() {}
    }
    d.run(": Closed");
}

#[test]
fn fin_probes_too() {
    let mut d = Dialogue::established("", 1000, Limits::default());
    d.run(
        "! write 1000
           ! close
           > P. 101+1000 ack 501
           > -
           < . 501 ack 1101 win 0
           > -
           +200ms
           > F. 1101 ack 501
           < . 501 ack 1102 win 0
           : FinWait2",
    );
}

#[test]
fn a_silly_window_waits_for_more_or_for_the_override() {
    let mut d = Dialogue::established("", 4000, Limits::default());
    d.run(
        "! write 6000
           > . 101+1000 ack 501
           > . 1101+1000 ack 501
           > . 2101+1000 ack 501
           > . 3101+1000 ack 501
           > -
           < . 501 ack 4101 win 500
           > -
           +200ms
           > . 4101+500 ack 501
           > -
           < . 501 ack 4101 win 900
           > -
           < . 501 ack 4601 win 2000
           > . 4601+1000 ack 501
           > P. 5601+500 ack 501
           > -",
    );
}

#[test]
fn our_window_closes_and_reopens() {
    let limits = Limits { receive_buffer: 2000, ..Limits::default() };
    let mut d = Dialogue::established("", 10_000, limits);
    for i in 0..10 {
        d.run(&format!("< . {}+1000 ack 101\n> . 101 ack {}", 501 + i * 1000, 1501 + i * 1000));
    }
    assert_eq!(d.block.offered_right_edge(), Seq(501 + 10_000), "what the SYN-ACK has promised, and no more");
    d.run(
        "< . 10501+1 ack 101
           > . 101 ack 10501 win 0
           ! read 8000
           > -
           ! read 1000
           > . 101 ack 10501 win 1000
           > -
           ! read 1000
           > . 101 ack 10501 win 2000
           > -",
    );
}

#[test]
fn set_offer_holds_the_right_edge() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! offer 0
           < . 501+1000 ack 101
           ! read 1000
           > . 101 ack 1501 win 9000
           < . 1501+9000 ack 101
           ! read 9000
           > . 101 ack 10501 win 0
           > -
           ! offer 300
           > -
           ! offer 1300
           > . 101 ack 10501 win 1300
           ! offer 100
           > -
           < . 10501+1300 ack 101
           > . 101 ack 11801 win 0",
    );
}

#[test]
fn beyond_an_open_window_nothing_is_told_but_two_segments_worth_of_room() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    let ample = 10_000 + 2 * d.block.peer_segment_size();
    d.run(&format!("! offer {}\n> -\n! offer {ample}\n> . 101 ack 501 win {ample}\n> -", ample - 1));
}

#[test]
fn another_receivers_window_is_shown_out_of_a_shut_one_however_little() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! mirror 0
           < . 501+10000 ack 101
           ! read 10000
           > . 101 ack 10501 win 0
           ! mirror 300
           > . 101 ack 10501 win 300
           ! mirror 800
           > -
           ! mirror 1300
           > . 101 ack 10501 win 1300",
    );
}

#[test]
fn scaled_windows_are_rounded_down_and_what_was_given_stays_accepted() {
    let limits = Limits { receive_buffer: 100_000, ..Limits::default() };
    let mut d = Dialogue::established("ws 10", 60_000, limits);
    d.run(
        "< . 501+1 ack 101 win 58
           > . 101 ack 502 win 97
           ! offer 0
           < . 502+1 ack 101 win 58
           > . 101 ack 503 win 96",
    );
    assert_eq!(d.block.offered_right_edge(), Seq(502 + (97 << 10)));
    assert_eq!(d.block.peer_right_edge(), Seq(101 + (58 << 10)));
}

#[test]
fn an_ack_at_the_used_up_right_edge_counts() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 100
           > P. 101+100 ack 501
           < . 10501 ack 201
           = ACKED|WINDOW",
    );
}

#[test]
fn at_a_closed_window_the_ack_counts_and_the_data_does_not() {
    let limits = Limits { receive_buffer: 5000, ..Limits::default() };
    let mut d = Dialogue::established("", 10_000, limits);
    d.run(
        "< . 501+10000 ack 101
           ! write 100
           > P. 101+100 ack 10501 win 0
           < . 10501+1 ack 201
           = READABLE|ACKED|WINDOW|ASKED_RECEIVER
           > . 201 ack 10501 win 0",
    );
}

#[test]
fn a_window_update_counts_whatever_the_initial_number() {
    for irs in [0u32, 0x7fff_ffff, 0x8000_0000, 0x9000_0000, u32::MAX - 3] {
        let mut d = Dialogue::established_at(Seq(100), Seq(irs), "", 1000, Limits::default());
        let next = irs.wrapping_add(1);
        d.run(&format!(
            "! write 2000
             > . 101+1000 ack {next}
             < . {next} ack 1101 win 0
             > -
             < . {next} ack 1101 win 5000
             > P. 1101+1000 ack {next}"
        ));
    }
}

#[test]
fn the_wait_for_a_window_is_no_timeout_of_what_it_lets_through() {
    let mut d = Dialogue::established("", 1000, Limits::default());
    d.run(
        "! write 2000
           > . 101+1000 ack 501
           < . 501 ack 1101 win 0
           > -
           +190ms
           < . 501 ack 1101 win 5000
           > P. 1101+1000 ack 501
           +199ms
           > -
           +1ms
           > P. 1101+1000 ack 501",
    );
}

#[test]
fn probes_of_both_sides_that_cross_do_not_lock_up() {
    let limits = Limits { receive_buffer: 1000, ..Limits::default() };
    let mut d = Dialogue::established("", 1000, limits);
    d.run(
        "< . 501+10000 ack 101 win 1000
           ! write 2000
           > . 101+1000 ack 10501 win 0
           < . 10501 ack 1101 win 0
           > -
           +200ms
           > . 1101+1 ack 10501 win 0
           ! read 10000
           > . 1101 ack 10501 win 1000
           < . 10501+1 ack 1101 win 0
           > . 1101 ack 10502
           < . 10501+1 ack 1102 win 5000
           > P. 1102+999 ack 10502",
    );
}

#[test]
fn asking_for_the_window_takes_no_sequence_space() {
    let mut d = Dialogue::established("", 1000, Limits::default());
    d.run(
        "! ask
           > . 100 ack 501
           > -
           < . 501 ack 101 win 3000
           = WINDOW",
    );
}
