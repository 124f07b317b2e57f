//! Explicit congestion notification: marks echoed, echoes answered, and what may be marked (RFC 3168).

use super::dialogue::Dialogue;
use crate::tcp::congestion::Congestion;
use crate::tcp::recovery::Phase;
use crate::tcp::*;
use dataplane::wire::tcp_flags::TcpFlags;

/// A server leg over 100 ms, with ECN and SACK, ready to send.
fn connected(syn_ack: &str) -> Dialogue {
    let ecn = TcpFlags::ECE | TcpFlags::CWR;
    let offer =
        Handshake { mss: Some(1000), sack_permitted: true, window: 10_000, ecn, ..Handshake::default() };
    let mut d = Dialogue::connect(&offer, Limits::default());
    d.run(&format!(
        "> SEW 100
           +100ms
           < {syn_ack} 500 ack 101 win 60000 <mss 1000,sack>
           ! confirm
           > . 101 ack 501"
    ));
    d
}

/// Ten segments are out, a round trip has passed.
fn sent() -> Dialogue {
    let mut d = connected("SE.");
    d.run("! write 40000");
    for i in 0..10 {
        d.run(&format!("> *. {}+1000 ack 501", 101 + i * 1000));
    }
    d.run("> -\n+100ms");
    d
}

fn window(d: &Dialogue) -> u32 {
    d.block.congestion.window()
}

#[test]
fn congestion_is_echoed_until_the_sender_has_heard_of_it() {
    let mut d = Dialogue::connect(
        &Handshake { mss: Some(1000), ecn: TcpFlags::ECE | TcpFlags::CWR, ..Handshake::default() },
        Limits::default(),
    );
    d.run(
        "> SEW 100
           < SE. 500 ack 101 <mss 1400>
           = ANSWERED
           ! confirm
           > . 101 ack 501
           < . 501+10 ack 101
           = READABLE
           > . 101 ack 511
           < !. 511+10 ack 101
           = READABLE
           > E. 101 ack 521
           < . 521+10 ack 101
           = READABLE
           > E. 101 ack 531
           < W. 531+10 ack 101
           = READABLE
           > . 101 ack 541",
    );
}

/// Sections 6.1.1, 6.1.4 and 6.1.5: only fresh data may be marked.
#[test]
fn what_must_arrive_is_not_marked() {
    let mut d = connected("SE.");
    d.run(
        "! write 3000
           > *. 101+1000 ack 501
           > *. 1101+1000 ack 501
           > *P. 2101+1000 ack 501
           < . 501+10 ack 101 win 60000
           > . 3101 ack 511
           +100ms
           < . 511 ack 101 win 60000 <blk 1101:3101>
           +25ms
           > . 101+1000 ack 511
           < . 511 ack 3101 win 60000
           ! close
           > F. 3101 ack 511",
    );
}

/// Section 6.1.6.
#[test]
fn window_probes_are_not_marked() {
    let mut d = connected("SE.");
    d.run(
        "! write 1000
           > *P. 101+1000 ack 501
           < . 501 ack 1101 win 0
           ! write 1000
           > -
           +1000ms
           > . 1101+1 ack 501
           < . 501 ack 1102 win 60000
           > *P. 1102+999 ack 501",
    );
}

/// Section 6.1.2: one reduction, no retransmission, and the next fresh data says so.
#[test]
fn an_echo_is_answered_once_a_round_trip() {
    let mut d = sent();
    d.run("< E. 501 ack 1101 win 60000");
    assert_eq!(d.block.snd.recovery.phase, Phase::Reducing);
    assert_eq!(d.block.congestion.threshold(), 7000, "RFC 9438 section 4.6: 0.7 of ten segments");
    // RFC 6937: seven go for ten that arrive.
    d.run(
        "> -
           < E. 501 ack 2101 win 60000
           > *W. 10101+1000 ack 501
           > -
           < E. 501 ack 3101 win 60000
           > *. 11101+1000 ack 501
           > -
           +50ms
           < E. 501 ack 10101 win 60000",
    );
    assert_eq!((window(&d), d.block.congestion.threshold()), (7000, 7000));
    // What is echoed until the answer has arrived is old.
    d.run("+20ms\n< E. 501 ack 10101 win 60000");
    assert_eq!((d.block.snd.recovery.phase, d.block.congestion.threshold()), (Phase::Open, 7000));
    // After that it is news.
    d.run("< E. 501 ack 12101 win 60000");
    assert_eq!(d.block.snd.recovery.phase, Phase::Reducing);
    assert!(d.block.congestion.threshold() < 7000);
}

/// Section 6.1.2: the window that a loss has reduced is not reduced for a mark; the peer hears of it all the same.
#[test]
fn a_loss_is_announced_too() {
    let mut d = sent();
    d.run("< E. 501 ack 101 win 60000 <blk 1101:5101>\n> . 101+1000 ack 501");
    assert_eq!((d.block.snd.recovery.phase, d.block.congestion.threshold()), (Phase::Fast, 7000));
    d.run("< E. 501 ack 101 win 60000 <blk 1101:9101>\n+20ms\n> *W. 10101+1000 ack 501");
    assert_eq!(d.block.congestion.threshold(), 7000);
}

/// Section 6.1.2: the answer itself is lost. It goes out again without, and the next fresh data says it once more.
#[test]
fn a_lost_answer_is_repeated() {
    let mut d = sent();
    d.run(
        "< E. 501 ack 6101 win 60000
           > *W. 10101+1000 ack 501
           +10ms
           > *. 11101+1000 ack 501
           < E. 501 ack 10101 win 60000
           +30ms
           > *. 12101+1000 ack 501
           > *. 13101+1000 ack 501
           +100ms
           < E. 501 ack 10101 win 60000 <blk 11101:14101>
           > . 10101+1000 ack 501
           +20ms
           < E. 501 ack 14101 win 60000
           > *W. 14101+1000 ack 501",
    );
}

#[test]
fn a_timeout_is_announced() {
    let mut d = sent();
    d.run(
        "+200ms
           > *. 10101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           +100ms
           < . 501 ack 1101 win 60000
           > *W. 11101+1000 ack 501",
    );
}

#[test]
fn a_timeout_that_was_none_is_not_announced() {
    let mut d = sent();
    d.run(
        "+200ms
           > *. 10101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           < . 501 ack 11101 win 60000
           > *. 11101+1000 ack 501",
    );
}

/// An echo while nothing is outstanding is an old one, as is one on an old acknowledgment.
#[test]
fn what_cannot_be_news_reduces_nothing() {
    let mut d = sent();
    d.run("< . 501 ack 6101 win 60000\n< E. 501 ack 5101 win 60000");
    assert_eq!(d.block.snd.recovery.phase, Phase::Open);
    let mut d = connected("SE.");
    d.run(
        "! write 1000
           > *P. 101+1000 ack 501
           < . 501 ack 1101 win 60000
           < E. 501 ack 1101 win 60000
           > -",
    );
    assert_eq!((d.block.snd.recovery.phase, window(&d)), (Phase::Open, 10_000));
}

/// Section 6.1.1: a SYN-ACK without ECE refuses, one with both flags is a reflection of the SYN.
#[test]
fn without_agreement_nothing_is_marked_or_echoed() {
    for syn_ack in ["S.", "SEW.", "SW."] {
        let mut d = connected(syn_ack);
        d.run(
            "! write 1000
           > P. 101+1000 ack 501
           < !E. 501+10 ack 1101 win 60000
           > . 1101 ack 511",
        );
        assert_eq!((d.block.snd.recovery.phase, window(&d)), (Phase::Open, 10_000), "{syn_ack}");
    }
}

/// A loss that was none is taken back, but not what the marks have said.
#[test]
fn marks_are_not_undone() {
    for (echo, threshold) in [("", congestion::MAX_WINDOW), ("E", 7000)] {
        let mut d = sent();
        d.run(&format!("< {echo}. 501 ack 101 win 60000 <blk 1101:5101>\n> . 101+1000 ack 501"));
        // The late one comes, then the one that was sent again.
        d.run("< . 501 ack 5101 win 60000\n< . 501 ack 5101 win 60000 <blk 101:1101>");
        assert_eq!(d.block.congestion.threshold(), threshold, "`{echo}`");
    }
}

/// While a merge drains, a mark stays with the bytes that are held, and the answer to ours is heard.
#[test]
fn draining_takes_the_answer_and_leaves_the_mark() {
    let mut d = connected("SE.");
    d.run(
        "< !. 501+10 ack 101
           > E. 101 ack 511
           ~ < !W. 511+10 ack 101
           ! ack
           > . 101 ack 511",
    );
    assert_eq!(d.block.echo_flags(), TcpFlags(0));
    d.run("< !. 511+10 ack 101\n> E. 101 ack 521");
    assert_eq!(d.block.echo_flags(), TcpFlags::ECE);
}
