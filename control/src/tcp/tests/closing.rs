//! Closing: half, simultaneous, lingering.

use super::dialogue::Dialogue;
use crate::tcp::*;

#[test]
fn we_close_first_and_the_peer_still_sends() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 10
           ! close
           : FinWait1
           > FP. 101+10 ack 501
           < . 501 ack 112
           = ACKED|WINDOW
           : FinWait2
           < P. 501+100 ack 112
           = READABLE
           > . 112 ack 601
           < F. 601 ack 112
           = PEER_FIN
           : TimeWait
           > . 112 ack 602
           +9999ms
           : TimeWait
           < F. 601 ack 112
           > . 112 ack 602
           +9999ms
           : TimeWait
           +1ms
           = CLOSED
           : Closed
           > -",
    );
}

#[test]
fn the_peer_closes_first_and_we_still_send() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "< FP. 501+5 ack 101
           = READABLE|PEER_FIN
           : CloseWait
           > . 101 ack 507
           ! write 10
           > P. 101+10 ack 507
           ! close
           : LastAck
           > F. 111 ack 507
           < . 507 ack 111
           : LastAck
           +200ms
           > F. 111 ack 507
           < . 507 ack 112
           : Closed
           = ACKED|WINDOW|CLOSED
           < F. 506 ack 112
           > -",
    );
}

#[test]
fn both_close_at_once() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! close
           > F. 101 ack 501
           < F. 501 ack 101
           = PEER_FIN
           : Closing
           > . 102 ack 502
           < . 502 ack 102
           : TimeWait
           = ACKED|WINDOW
           +10000ms
           = CLOSED",
    );
}

#[test]
fn a_fin_that_acknowledges_ours() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! close
           > F. 101 ack 501
           < F. 501 ack 102
           : TimeWait
           > . 102 ack 502",
    );
}

#[test]
fn a_fin_waits_for_the_data_before_it() {
    let mut d = Dialogue::established("sack", 10_000, Limits::default());
    d.run(
        "< FP. 601+100 ack 101
           > . 101 ack 501 <blk 601:701>
           = -
           < F. 701 ack 101
           > . 101 ack 501
           : Established
           < . 501+100 ack 101
           = READABLE|PEER_FIN
           : CloseWait
           > . 101 ack 702 <>
           ! read 200",
    );
}

#[test]
fn data_after_a_fin_does_not_exist() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "< F. 601 ack 101
           < . 501+300 ack 101
           = READABLE|PEER_FIN
           > . 101 ack 602
           ! read 100
           < . 602+10 ack 101
           = -
           > -",
    );
}

#[test]
fn a_fin_is_retransmitted_with_its_data() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 10
           > P. 101+10 ack 501
           ! close
           > F. 111 ack 501
           +200ms
           > FP. 101+10 ack 501
           > -
           < . 501 ack 111
           +400ms
           > F. 111 ack 501",
    );
}

#[test]
fn lingering_never_judges_a_syn() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! close
           > F. 101 ack 501
           < F. 501 ack 102
           > . 102 ack 502
           < S 4000
           < S 502
           < S 1
           = ACKED|WINDOW|PEER_FIN|NEW_SYN
           > -
           : TimeWait
           < R 502
           = CLOSED
           < S 9000
           = NEW_SYN
           > -",
    );
}

#[test]
fn not_drained_while_anything_is_left() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    assert!(d.block.is_drained());
    d.run("! write 1");
    assert!(!d.block.is_drained());
    d.run("> P. 101+1 ack 501\n< . 501+1 ack 102");
    assert!(!d.block.is_drained());
    d.run("! read 1");
    assert!(d.block.is_drained());
    d.run("< F. 502 ack 102\n> . 102 ack 503");
    assert!(d.block.is_drained(), "the peer's FIN has come and is acknowledged");
    d.run("! close\n> F. 102 ack 503");
    assert!(!d.block.is_drained());
}
