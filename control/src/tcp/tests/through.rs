//! Acknowledge-through (seed 002, claim 20): `withhold` begins it, `through N` says what the receiver has.

use super::dialogue::Dialogue;
use crate::tcp::*;

fn withholding(options: &str) -> Dialogue {
    let mut d = Dialogue::established(options, 10_000, Limits::default());
    d.run("! withhold");
    d
}

/// The peer's FIN has come, and ours has gone out before that may be acknowledged.
fn closing() -> Dialogue {
    let mut d = withholding("");
    d.run(
        "< F. 501 ack 101
           ! close
           > F. 101 ack 501",
    );
    d
}

#[test]
fn data_is_acknowledged_when_the_receiver_has_it_and_at_once() {
    let mut d = withholding("sack");
    d.run(
        "! offer 10000
           < . 501+1000 ack 101
           < . 1501+1000 ack 101
           < . 2501+1000 ack 101
           = READABLE
           > -
           ! read 3000
           +10000ms
           > -
           ! through 1501
           > . 101 ack 1501
           ! through 1501
           > -
           ! through 1400
           > -
           ! through 3501
           > . 101 ack 3501
           > -",
    );
}

#[test]
fn our_own_data_carries_no_more_than_may_be_said() {
    let mut d = withholding("");
    d.run(
        "< . 501+1000 ack 101
           ! write 10
           > P. 101+10 ack 501
           ! through 1001
           ! write 10
           > P. 111+10 ack 1001
           > -",
    );
}

#[test]
fn nothing_is_claimed_that_has_not_come() {
    let mut d = withholding("");
    d.run(
        "! through 900
           > -
           < . 501+200 ack 101
           > . 101 ack 701
           > -",
    );
}

#[test]
fn the_right_edge_stands_while_acknowledgments_wait() {
    let mut d = withholding("ws 2");
    // 20,000 bytes from 501 on: the edge stays at 20,501 whatever the ack says.
    d.run(
        "! offer 20000
           > . 101 ack 501 win 5000
           < . 501+1000 ack 101
           < . 1501+1000 ack 101
           ! offer 18000
           ! write 4
           > P. 101+4 ack 501 win 5000
           ! through 1501
           > . 105 ack 1501 win 4750
           ! offer 19000
           ! through 2501
           > . 105 ack 2501 win 4750",
    );
}

#[test]
fn a_window_that_is_used_up_reopens_with_the_acknowledgment() {
    let mut d = withholding("");
    d.run(
        "! offer 10000
           < . 501+10000 ack 101
           ! offer 0
           > -
           ! offer 10000
           ! through 1501
           > . 101 ack 1501 win 19000",
    );
}

#[test]
fn a_hole_is_told_of_when_the_acknowledgment_has_reached_it() {
    let mut d = withholding("sack");
    d.run(
        "< . 501+1000 ack 101
           < . 2501+1000 ack 101
           < . 3501+1000 ack 101
           > -
           ! through 1001
           > . 101 ack 1001 <>
           ! through 1501
           > . 101 ack 1501 <blk 2501:4501>
           > -
           < . 4501+1000 ack 101
           > . 101 ack 1501 <blk 2501:5501>
           < . 1501+1000 ack 101
           > -
           ! through 5501
           > . 101 ack 5501 <>
           > -",
    );
}

#[test]
fn without_sack_the_duplicates_that_were_withheld_follow() {
    let mut d = withholding("");
    d.run("< . 501+1000 ack 101");
    for seq in [2501, 3501, 4501, 5501, 6501] {
        d.run(&format!("< . {seq}+1000 ack 101\n> -"));
    }
    // The acknowledgment, and the three duplicates that make a sender repeat what is missing (RFC 5681).
    d.run("! through 1501");
    for _ in 0..4 {
        d.run("> . 101 ack 1501");
    }
    d.run("> -");
}

#[test]
fn a_probe_and_a_repetition_are_answered() {
    let mut d = withholding("");
    d.run(
        "< . 501+1000 ack 101
           > -
           < . 501+1000 ack 101
           > . 101 ack 501
           < . 1500 ack 101
           > . 101 ack 501",
    );
}

#[test]
fn a_fin_is_acknowledged_when_the_receiver_has_acknowledged_ours() {
    let mut d = withholding("");
    d.run(
        "< F. 501+10 ack 101
           = READABLE|PEER_FIN
           : CloseWait
           > -
           ! through 511
           > . 101 ack 511
           ! through 512
           > . 101 ack 512",
    );
}

#[test]
fn a_leg_is_not_over_before_its_peer_has_been_told() {
    let mut d = closing();
    d.run(
        "< . 502 ack 102
           = ACKED|WINDOW|PEER_FIN
           : TimeWait
           +60000ms
           : TimeWait
           < F. 501 ack 102
           > . 102 ack 501
           ! through 502
           > . 102 ack 502
           +9999ms
           : TimeWait
           +2ms
           : Closed",
    );
}

#[test]
fn the_last_acknowledgment_is_repeated() {
    let mut d = closing();
    d.run(
        "! through 502
           > . 102 ack 502
           < . 502 ack 102
           : TimeWait
           < F. 501 ack 102
           > . 102 ack 502",
    );
}

/// Its FIN was acknowledged when ours went out, and with it: the peer has heard of it.
#[test]
fn a_leg_whose_peer_was_told_with_its_fin_is_over_at_once() {
    let mut d = withholding("");
    d.run(
        "< F. 501 ack 101
           ! through 502
           > . 101 ack 502
           ! close
           > F. 101 ack 502
           < . 502 ack 102
           : Closed",
    );
}

/// Our FIN is repeated with the whole acknowledgment, and it may be the first one that the peer has heard.
#[test]
fn a_fin_that_was_withheld_once_is_not_taken_for_told() {
    let mut d = closing();
    d.run(
        "! through 502
           > . 102 ack 502
           +1000ms
           > F. 101 ack 502
           < . 502 ack 102
           : TimeWait
           < F. 501 ack 102
           > . 102 ack 502",
    );
}

#[test]
fn a_leg_that_withholds_no_more_lingers_from_then_on() {
    let mut d = closing();
    d.run(
        "< . 502 ack 102
           : TimeWait
           +60000ms
           ! stop-passing
           > . 102 ack 502
           +9999ms
           : TimeWait
           +2ms
           : Closed",
    );
}

#[test]
fn what_passes_a_closed_leg_does_not_open_it() {
    let mut d = closing();
    d.run(
        "< . 502 ack 102
           : TimeWait
           < R 502
           : Closed
           ^ < . 501 ack 102
           : Closed
           > -",
    );
}

#[test]
fn an_abort_is_heard_by_a_peer_that_has_not_been_told() {
    let mut d = closing();
    d.run(
        "< . 502 ack 102
           ! abort
           > R. 102 ack 501",
    );
}

#[test]
fn a_reset_with_the_number_that_was_acknowledged_counts() {
    // A peer that knows of nothing answers our segment with what its ack field says.
    for seq in [501, 1501] {
        let mut d = withholding("");
        d.run(&format!("< . 501+1000 ack 101\n< R {seq}\n: Closed\n= READABLE|RESET|CLOSED"));
    }
    let mut d = withholding("");
    d.run("< . 501+1000 ack 101\n< R 1001\n: Established\n= READABLE");
}

#[test]
fn the_echo_is_that_of_the_first_segment_acknowledged() {
    let mut d = withholding("ts 9:0");
    d.run(
        "< . 501+100 ack 101 <ts 10:7>
           < . 601+100 ack 101 <ts 20:7>
           < . 701+100 ack 101 <ts 30:7>
           ! ts 8
           ! through 601
           > . 101 ack 601 <ts 8:10>
           ! through 801
           > . 101 ack 801 <ts 8:20>
           < . 801+100 ack 101 <ts 40:7>
           ! through 901
           > . 101 ack 901 <ts 8:40>",
    );
}

/// RFC 7323 section 3.2: what was not agreed on is ignored.
#[test]
fn timestamps_that_nobody_agreed_on_are_no_echo() {
    let mut d = withholding("");
    d.run("< . 501+100 ack 101 <ts 10:7>\n! read 100\n! through 601\n> . 101 ack 601 <>");
    assert_eq!(d.block.ts_recent(), None);
}

#[test]
fn echoes_stay_close_though_not_all_are_remembered() {
    let mut d = withholding("ts 9:0");
    for i in 0..100 {
        d.run(&format!("< . {}+100 ack 101 <ts {}:7>", 501 + i * 100, 100 + i));
    }
    d.run("! ts 8\n! through 5501\n> . 101 ack 5501 <ts 8:100>\n! through 5601");
    let out = d.block.poll(d.now, 8).expect("an acknowledgment");
    let echo = out.options.timestamps.expect("timestamps").echo;
    // Byte 5501 came with 150.
    assert!((125..=150).contains(&echo), "{echo}");
}
