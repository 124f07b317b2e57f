//! Handshakes in the order of DESIGN section 4.

use super::dialogue::{Dialogue, offer, parse};
use crate::tcp::*;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;

fn full_offer() -> Handshake {
    Handshake {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: true,
        window: 64_240,
        ecn: TcpFlags::ECE | TcpFlags::CWR,
    }
}

#[test]
fn server_leg_keeps_the_answer_until_confirmed() {
    let mut d = Dialogue::connect(&full_offer(), Limits::default());
    d.run(
        "> SEW 100 win 64240 <mss 1460,ws 7,sack,ts 7:0>
           > -
           +30ms
           < SE. 500 ack 101 win 65160 <mss 1400,ws 9,sack,ts 90:7>
           = ANSWERED
           : Answered
           > -",
    );
    let peer = d.block.peer_offer().clone();
    assert_eq!(
        (peer.mss, peer.window_scale, peer.window, peer.ecn),
        (Some(1400), Some(9), 65_160, TcpFlags::ECE)
    );
    assert_eq!((d.block.irs(), d.block.ts_recent()), (Seq(500), Some(90)));
    assert_eq!(d.block.peer_right_edge(), Seq(101 + 65_160));
    d.run(
        "+1000ms
           < SE. 500 ack 101 win 65160 <mss 1400,ws 9,sack,ts 91:7>
           = ANSWERED_AGAIN
           > -
           ! confirm
           : Established
           > . 101 ack 501 <ts 7:91>
           > -
           +100000ms
           > -
           = -",
    );
}

#[test]
fn server_leg_repeats_its_syn_by_rfc_6298_then_gives_up_in_silence() {
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run("> S 100 win 10000 <mss 1000>");
    for wait in [1000, 2000, 4000, 8000, 16_000, 32_000] {
        d.run(&format!("+{}ms\n> -\n+1ms\n> S 100\n> -", wait - 1));
    }
    d.run(
        "+11999ms
           > -
           = -
           +1ms
           = CLOSED|GAVE_UP
           : Closed
           > -",
    );
    assert_eq!(d.block.deadline(), None);
}

#[test]
fn server_leg_is_refused() {
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run(
        "> S 100
           < R. 0 ack 100
           < R 0
           = -
           < R. 0 ack 101
           = REFUSED|CLOSED
           : Closed
           > -",
    );
}

#[test]
fn server_leg_leaves_to_the_caller_what_it_must_not_judge() {
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run(
        "> S 100
           < . 900 ack 77
           = BARE_ACK_TO_SYN
           < S 900
           = NEW_SYN
           > -
           < S. 900 ack 77
           > R 77
           = -
           : SynSent",
    );
}

#[test]
fn server_may_take_its_answer_back() {
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run(
        "> S 100
           < S. 500 ack 101 <mss 1000>
           = ANSWERED
           < R 502
           = -
           < R 501
           = RESET|CLOSED",
    );
}

#[test]
fn client_leg_is_answered_by_order_and_its_own_syn_only() {
    let mut d = Dialogue::suspended("S 500 win 29200 <mss 1460,ws 7,sack,ts 9:0>", Limits::default());
    d.run(
        "> -
           < S 500 win 29200 <mss 1460,ws 7,sack,ts 19:0>
           = SYN_AGAIN
           < S 777
           = NEW_SYN
           < . 501 ack 101
           < P. 501+10 ack 101
           < R 500
           = -
           > -",
    );
    d.block.answer(d.now, Seq(100), &full_offer());
    d.run(
        ": SynReceived
           > SEW. 100 ack 501 win 64240 <mss 1460,ws 7,sack,ts 7:19>
           +60000ms
           > -
           < S 500 win 29200 <mss 1460,ws 7,sack,ts 29:0>
           = SYN_AGAIN
           > SEW. 100 ack 501 <mss 1460,ws 7,sack,ts 7:29>
           > -
           ! repeat
           > SEW. 100 ack 501
           < . 501 ack 101 win 300 <ts 30:7>
           = ESTABLISHED|WINDOW
           : Established
           > -",
    );
    assert_eq!(d.block.peer_right_edge(), Seq(101 + (300 << 7)));
    assert_eq!(d.block.srtt(), None, "Karn: the SYN-ACK was repeated");
}

#[test]
fn data_may_come_with_the_validating_ack() {
    let mut d = Dialogue::suspended("S 500 <mss 1000>", Limits::default());
    d.block.answer(d.now, Seq(100), &offer());
    d.run(
        "> S. 100 ack 501 win 10000 <mss 1000>
           +10ms
           < P. 501+20 ack 101
           = ESTABLISHED|READABLE|WINDOW
           > . 101 ack 521",
    );
    assert_eq!(d.block.srtt(), Some(std::time::Duration::from_millis(10)));
}

#[test]
fn answer_never_promises_what_the_client_has_not_offered() {
    let mut d = Dialogue::suspended("S 500 win 29200", Limits::default());
    d.block.answer(d.now, Seq(100), &Handshake { ecn: TcpFlags(0), ..full_offer() });
    d.run("> S. 100 ack 501 win 64240 <>");
}

#[test]
fn unvalidated_client_gets_no_more_than_it_sends() {
    let mut d = Dialogue::suspended("S 500 <mss 1000,ts 9:0>", Limits::default());
    d.block.answer(d.now, Seq(100), &Handshake { timestamps: true, ..offer() });
    d.run(
        "> S. 100 ack 501
           < . 99999 ack 101
           < R 505
           < S 600
           < S. 500 ack 102
           < S 500
           > -
           = SYN_AGAIN|NEW_SYN
           : SynReceived
           < . 501 ack 100
           > R 100
           > -
           < R 501
           = RESET|CLOSED
           > -",
    );
}

#[test]
fn close_waits_for_the_validation() {
    let mut d = Dialogue::suspended("S 500 <mss 1000>", Limits::default());
    d.block.answer(d.now, Seq(100), &offer());
    d.run(
        "> S. 100 ack 501
           ! write 10
           ! close
           > -
           : SynReceived
           < . 501 ack 101
           : FinWait1
           > FP. 101+10 ack 501",
    );
}

#[test]
fn abort_speaks_to_every_state() {
    let mut d = Dialogue::suspended("S 500", Limits::default());
    d.run("! abort\n> R. 0 ack 501\n: Closed\n> -");
    let mut d = Dialogue::suspended("S 500", Limits::default());
    d.block.answer(d.now, Seq(100), &offer());
    d.run("> S. 100 ack 501\n! abort\n> R. 101 ack 501\n> -");
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run("! abort\n> -");
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run("> S 100\n! abort\n> R 101\n> -");
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run("> S 100\n< S. 500 ack 101\n! abort\n> R. 101 ack 501\n> -");
}

#[test]
fn handshake_reads_back_what_was_promised() {
    let (segment, _) = parse("SE. 500 ack 101 win 9 <mss 1400,ws 3,ts 1:2>");
    let read = Handshake::of(&segment);
    assert_eq!((read.mss, read.window_scale, read.window), (Some(1400), Some(3), 9));
    assert_eq!((read.sack_permitted, read.timestamps, read.ecn), (false, true, TcpFlags::ECE));
}

/// RFC 9293 section 3.5, figure 7: whichever way the client takes to ESTABLISHED, it ends there.
#[test]
fn a_client_whose_syn_met_the_servers_is_acknowledged() {
    // Its SYN-ACK comes after ours.
    let mut d = Dialogue::suspended("S 500 <mss 1000>", Limits::default());
    d.block.answer(d.now, Seq(100), &offer());
    d.run(
        "> S. 100 ack 501
           < S. 500 ack 100
           < S. 499 ack 101
           = -
           > -
           < S. 500 ack 101 win 3000
           : Established
           = ESTABLISHED
           > . 101 ack 501",
    );
    assert_eq!(d.block.peer_right_edge(), Seq(101 + 3000));
    // It came before ours; ours finds it in SYN-RECEIVED, where RFC 9293 section 3.10.7.4 answers with an ACK and waits.
    let mut d = Dialogue::suspended("S 500 <mss 1000>", Limits::default());
    d.run("< S. 500 ack 101\n> -\n: Suspended");
    d.block.answer(d.now, Seq(100), &offer());
    d.run(
        "> S. 100 ack 501
           < . 501 ack 101
           : Established
           > . 101 ack 501
           > -
           < S. 500 ack 101
           > . 101 ack 501",
    );
}
