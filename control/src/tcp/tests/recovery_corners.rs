//! Loss recovery where its parts meet: probes, timeouts in question, reductions, peers without SACK, narrow paths.

use std::time::Duration;

use dataplane::wire::tcp_flags::TcpFlags;

use super::dialogue::Dialogue;
use super::recovery::{sent_with as sent, window};
use crate::tcp::congestion::Congestion;
use crate::tcp::recovery::{Frto, Phase};
use crate::tcp::*;

/// Sends all that may be sent.
fn drain(d: &mut Dialogue) {
    while d.block.poll(d.now, 7).is_some() {}
}

/// RFC 5682: all that was outstanding at the timeout has been acknowledged, bit by bit; the question is settled.
#[test]
fn a_question_ends_with_its_data() {
    let mut d = sent("sack", 2);
    d.run(
        "+202ms
           > P. 1101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           ! write 1000
           +100ms
           < . 501 ack 1101 win 60000
           > P. 2101+1000 ack 501
           +100ms
           < . 501 ack 2101 win 60000
           +10ms
           < . 501 ack 3101 win 60000",
    );
    assert_eq!((d.block.snd.recovery.phase, d.block.snd.recovery.frto), (Phase::Open, Frto::Off));
}

/// RFC 5682 section 3.1, step 3a, from a peer whose SACK blocks are lost on the way: its duplicates speak.
#[test]
fn a_question_is_answered_by_plain_duplicates_too() {
    let mut d = sent("sack", 4);
    d.run(
        "+202ms
           > P. 3101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           ! write 1000
           +100ms
           < . 501 ack 1101 win 60000
           > P. 4101+1000 ack 501
           +100ms
           < . 501 ack 1101 win 60000
           > . 1101+1000 ack 501",
    );
    assert_eq!(d.block.snd.recovery.frto, Frto::Off);
}

/// A timeout of what recovery has sent again finds the threshold lowered already.
#[test]
fn a_timeout_amid_a_recovery_lowers_no_threshold_twice() {
    let mut d = sent("sack", 10);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 9101:10101>
           +25ms
           > . 101+1000 ack 501",
    );
    let threshold = d.block.congestion.threshold();
    d.run("+300ms\n> . 101+1000 ack 501");
    assert_eq!((d.block.congestion.threshold(), window(&d)), (threshold, 1000));
}

/// RFC 5682 section 2.1: when losses are known, a timeout is one.
#[test]
fn a_timeout_amid_known_losses_is_not_questioned() {
    let mut d = sent("sack", 6);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:6101>
           > . 101+1000 ack 501
           +300ms
           > . 101+1000 ack 501",
    );
    assert_eq!((d.block.snd.recovery.phase, d.block.snd.recovery.frto), (Phase::Timeout, Frto::Off));
}

/// The DSACK is about the probe; what is being recovered is really lost.
#[test]
fn a_needless_probe_does_not_undo_a_recovery() {
    let mut d = sent("sack", 4);
    d.run(
        "+202ms
           > P. 3101+1000 ack 501
           +30ms
           < . 501 ack 101 win 60000 <blk 1101:4101>
           > . 101+1000 ack 501
           +70ms
           < . 501 ack 101 win 60000 <blk 3101:4101,blk 1101:4101>",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Fast);
}

/// A timeout after one that was taken back is a new one.
#[test]
fn a_timeout_after_an_undo_lowers_the_threshold() {
    let mut d = sent("sack", 10);
    d.run(
        "+202ms
           > P. 9101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           +50ms
           < . 501 ack 101 win 60000 <blk 1101:2101>",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Open);
    for _ in 0..20 {
        drain(&mut d);
        d.run("+100ms");
    }
    assert_eq!(d.block.snd.recovery.phase, Phase::Timeout);
    assert!(d.block.congestion.threshold() <= 7000, "{}", d.block.congestion.threshold());
}

/// Karn's algorithm: what waited behind the retransmission has not taken that long to arrive.
#[test]
fn no_round_trip_is_measured_behind_a_retransmission() {
    let mut d = sent("", 6);
    d.run(
        "+300ms
           > . 101+1000 ack 501
           +100ms
           < . 501 ack 6101 win 60000",
    );
    assert_eq!(d.block.srtt(), Some(Duration::from_millis(100)));
}

/// Without SACK nobody would ever say that what a timeout spares was lost as well.
#[test]
fn without_sack_a_timeout_spares_nothing() {
    let mut d = sent("", 1);
    d.run(
        "+100ms
           < . 501 ack 1101 win 60000
           ! write 1000
           > P. 1101+1000 ack 501
           +290ms
           ! write 1000
           > P. 2101+1000 ack 501
           +10ms
           > . 1101+1000 ack 501
           > -
           +100ms
           < . 501 ack 2101 win 60000
           > P. 2101+1000 ack 501",
    );
}

/// RFC 6582's guard is against duplicates of our own making; a mark has made none.
#[test]
fn without_sack_a_loss_in_the_window_of_a_mark_is_noticed() {
    let ecn = TcpFlags::ECE | TcpFlags::CWR;
    let offer = Handshake { mss: Some(1000), window: 10_000, ecn, ..Handshake::default() };
    let mut d = Dialogue::connect(&offer, Limits::default());
    d.run(
        "> SEW 100
           +100ms
           < SE. 500 ack 101 win 60000 <mss 1000>
           ! confirm
           > . 101 ack 501
           ! write 10000",
    );
    drain(&mut d);
    d.run("+100ms\n< E. 501 ack 1101 win 60000");
    assert_eq!(d.block.snd.recovery.phase, Phase::Reducing);
    for _ in 0..3 {
        d.run("< . 501 ack 1101 win 60000");
    }
    assert_eq!(d.block.snd.recovery.phase, Phase::Fast);
}

/// Nor has a recovery that was none.
#[test]
fn without_sack_a_loss_after_an_undo_is_noticed() {
    let mut d = sent("", 10);
    d.run(
        "! write 20000
           +300ms
           > . 101+1000 ack 501
           +10ms
           < . 501 ack 1101 win 60000",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Open, "sooner than a round trip");
    drain(&mut d);
    d.run("< . 501 ack 2101 win 60000\n+20ms");
    drain(&mut d);
    d.run("< . 501 ack 2101 win 60000\n< . 501 ack 2101 win 60000\n< . 501 ack 2101 win 60000");
    assert_eq!(d.block.snd.recovery.phase, Phase::Fast);
}

/// An application that sends little has not made the path narrower.
#[test]
fn a_loss_among_few_segments_keeps_most_of_the_window() {
    let mut d = sent("sack", 10);
    d.run("+100ms\n< . 501 ack 10101 win 60000");
    let before = window(&d);
    d.run(
        "! write 3000
           > . 10101+1000 ack 501
           > . 11101+1000 ack 501
           +20ms
           > P. 12101+1000 ack 501
           +100ms
           < . 501 ack 10101 win 60000 <blk 11101:13101>
           +25ms
           > . 10101+1000 ack 501
           +100ms
           < . 501 ack 13101 win 60000",
    );
    assert!(window(&d) >= before / 2, "{} of {before}", window(&d));
}

/// Seed 6893 of the simulation's bad clocks: everything seems to happen at once.
#[test]
fn by_a_clock_that_stands_still_nothing_is_lost_twice() {
    let mut d = Dialogue::established("sack", 60_000, Limits::default());
    d.run(
        "! write 5000
           > . 101+1000 ack 501
           > . 1101+1000 ack 501
           > . 2101+1000 ack 501
           > . 3101+1000 ack 501
           > P. 4101+1000 ack 501
           < . 501 ack 101 win 60000 <blk 1101:2101>
           > . 101+1000 ack 501
           < . 501 ack 101 win 60000 <blk 1101:3101>
           < . 501 ack 101 win 60000 <blk 1101:4101>
           < . 501 ack 101 win 60000 <blk 1101:5101>
           > -
           +1ms
           > . 101+1000 ack 501",
    );
}

/// A path that becomes narrow turns few large records into many small ones; not into any number.
#[test]
fn records_stay_bounded_when_the_path_becomes_narrow() {
    let mut d = Dialogue::established_over(Duration::from_millis(10), "sack,ws 7", 60_000, Limits::default());
    for _ in 0..30 {
        d.run("! write 400000");
        for _ in 0..10 {
            drain(&mut d);
            d.run("+1ms");
        }
        d.run(&format!("< . 501 ack {} win 60000", d.block.snd_nxt().0));
        if window(&d) > 300_000 {
            break;
        }
    }
    d.run("! write 400000");
    for _ in 0..15 {
        drain(&mut d);
        d.run("+1ms");
    }
    assert!(d.block.snd.flight.outstanding() >= 250_000, "{}", d.block.snd.flight.outstanding());
    d.block.on_packet_too_big(d.now, d.block.snd_una(), 88, 1040);
    for _ in 0..4000 {
        drain(&mut d);
        d.now = d.now + Duration::from_millis(1);
        let _ = d.block.on_timer(d.now);
        assert!(d.block.snd.flight.count() <= 4200, "{}", d.block.snd.flight.count());
    }
    assert!(d.block.segment_size() <= 48, "believed once what it quotes has timed out");
}
