//! Loss recovery with SACK: RACK and its reordering window, tail loss probes, F-RTO, proportional reduction, undo.

use std::time::Duration;

use super::dialogue::Dialogue;
use crate::tcp::congestion::Congestion;
use crate::tcp::recovery::Phase;
use crate::tcp::*;

/// Established with SACK.
fn sent(n: u32) -> Dialogue {
    sent_with("sack", n)
}

/// Established over 100 ms (so the timeout is 300 ms), with `n` segments of 1000 bytes out, the last with PSH.
pub(super) fn sent_with(options: &str, n: u32) -> Dialogue {
    let mut d = Dialogue::established_over(Duration::from_millis(100), options, 60_000, Limits::default());
    d.run(&format!("! write {}", n * 1000));
    for i in 0..n {
        let flags = if i + 1 == n { "P." } else { "." };
        d.run(&format!("> {flags} {}+1000 ack 501", 101 + i * 1000));
    }
    d.run("> -");
    d
}

pub(super) fn window(d: &Dialogue) -> u32 {
    d.block.congestion.window()
}

#[test]
fn what_is_sacked_is_not_sent_again() {
    let mut d = sent(6);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:2101>
           < . 501 ack 101 win 60000 <blk 3101:4101,blk 1101:2101>
           > -
           < . 501 ack 101 win 60000 <blk 3101:5101,blk 1101:2101>
           > . 101+1000 ack 501
           < . 501 ack 101 win 60000 <blk 3101:6101,blk 1101:2101>
           > . 2101+1000 ack 501
           > -
           +100ms
           < . 501 ack 2101 win 60000 <blk 3101:6101>
           > -
           < . 501 ack 6101 win 60000
           > -",
    );
    assert_eq!((d.block.snd.recovery.phase, d.block.deadline()), (Phase::Open, None));
}

/// RFC 8985 section 6.2 step 4: a quarter of the shortest round trip is granted while few segments are SACKed.
#[test]
fn what_is_a_little_late_is_not_lost() {
    let mut d = sent(4);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:2101>
           +24ms
           > -
           < . 501 ack 2101 win 60000
           > -",
    );
    let before = window(&d);
    d.run("< . 501 ack 4101 win 60000\n> -");
    assert!(window(&d) >= before, "nothing was lost");
}

#[test]
fn what_is_too_late_is_lost_by_timer() {
    let mut d = sent(4);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:2101>
           > -
           +25ms
           > . 101+1000 ack 501
           > -",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Fast);
}

/// Once a path has reordered, three SACKed segments are no proof of a loss any more.
#[test]
fn a_path_that_reorders_is_known() {
    let mut d = sent(10);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:2101>
           < . 501 ack 2101 win 60000
           < . 501 ack 2101 win 60000 <blk 3101:7101>
           > -
           < . 501 ack 7101 win 60000
           > -
           < . 501 ack 10101 win 60000
           > -",
    );
}

/// The retransmission is lost too: what was sent after it arrives, so it goes out again without any timeout.
#[test]
fn a_lost_retransmission_is_noticed() {
    let mut d = sent(6);
    d.run(
        "! write 2000
           > . 6101+1000 ack 501
           > P. 7101+1000 ack 501
           +100ms
           < . 501 ack 101 win 60000 <blk 1101:4101>
           > . 101+1000 ack 501
           ! write 3000
           +5ms
           < . 501 ack 101 win 60000 <blk 1101:8101>
           > . 8101+1000 ack 501
           > . 9101+1000 ack 501
           > P. 10101+1000 ack 501
           +100ms
           < . 501 ack 101 win 60000 <blk 1101:9101>
           > . 101+1000 ack 501",
    );
}

/// RFC 6937: the window ends at the threshold and never bursts on the way.
#[test]
fn the_window_comes_down_in_proportion() {
    let mut d = sent(10);
    d.run("+100ms\n! write 20000\n< . 501 ack 101 win 60000 <blk 1101:4101>");
    d.run("> . 101+1000 ack 501");
    let threshold = d.block.congestion.threshold();
    assert_eq!(threshold, 7000, "RFC 9438 section 4.6: 0.7 of what was in flight");
    let mut fresh = 0;
    for i in 4..10 {
        d.run(&format!("+15ms\n< . 501 ack 101 win 60000 <blk 1101:{}>", 1101 + i * 1000));
        while let Some(out) = d.block.poll(d.now, 7) {
            assert!(!out.retransmission);
            fresh += out.payload.len;
        }
        assert!(d.block.snd.flight.pipe() <= 7000, "{}", d.block.snd.flight.pipe());
    }
    assert!((5000..=6000).contains(&fresh), "{fresh}");
    d.run("+100ms\n< . 501 ack 10101 win 60000");
    assert_eq!((window(&d), d.block.snd.recovery.phase), (threshold, Phase::Open));
}

/// RFC 8985 section 7: the last segment is lost, nothing follows it; the probe shows it after two round trips.
#[test]
fn a_loss_at_the_tail_is_probed_for() {
    let mut d = sent(3);
    d.run(
        "+100ms
           < . 501 ack 1101 win 60000
           > -
           +201ms
           > -
           +1ms
           > P. 2101+1000 ack 501
           > -
           +100ms
           < . 501 ack 1101 win 60000 <blk 2101:3101>
           > . 1101+1000 ack 501
           > -",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Fast, "no timeout");
}

/// A peer that has taken its window back would not look at the last segment: the timeout has to do.
/// A small window over a narrow path: SYNs took a millisecond, pairs of full segments take twelve, so that the second of each
/// is probed for. A window that opens in two steps looks like the answer to a needless probe, so that the next may follow. What is acknowledged with it was sent once: the round trip becomes known, and the probes end.
#[test]
fn probes_that_come_too_soon_do_not_hide_how_long_a_round_trip_takes() {
    let mut d = Dialogue::established_over(Duration::from_millis(1), "sack", 2_000, Limits::default());
    d.run("! write 16000\n> . 101+1000 ack 501\n> . 1101+1000 ack 501\n> -");
    for round in 0..7 {
        let (second, next) = (1101 + round * 2000, 2101 + round * 2000);
        let answered = d.now + Duration::from_millis(12);
        let probe = if round < 4 { format!("> . {second}+1000 ack 501\n") } else { String::new() };
        d.run(&format!("+12ms\n{probe}> -"));
        d.now = answered;
        let flags = if round == 6 { "P." } else { "." };
        d.run(&format!("< . 501 ack {next} win 1000\n> . {next}+1000 ack 501\n> -"));
        d.run(&format!("< . 501 ack {next} win 2000\n> {flags} {}+1000 ack 501\n> -", next + 1000));
    }
    assert!(d.block.srtt() > Some(Duration::from_millis(6)), "{:?}", d.block.srtt());
}

/// What was sent once says nothing when it lies behind a hole: it was acknowledged when that was filled.
#[test]
fn what_waited_for_a_repetition_is_no_sample() {
    let mut d = sent(6);
    let before = d.block.srtt();
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:4101>
           > . 101+1000 ack 501
           +250ms
           < . 501 ack 6101 win 60000",
    );
    assert_eq!(d.block.srtt(), before);
}

#[test]
fn a_tail_beyond_the_window_is_not_probed_for() {
    let mut d = sent(3);
    d.run(
        "+100ms
           < . 501 ack 1101 win 1500
           > -
           +299ms
           > -
           +1ms
           > . 1101+1000 ack 501",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Timeout);
}

#[test]
fn a_probe_prefers_new_data() {
    let mut d = sent(10);
    d.run(
        "! write 1000
           > -
           +202ms
           > P. 10101+1000 ack 501
           > -
           < . 501 ack 11101 win 60000
           > -",
    );
    assert_eq!((d.block.deadline(), d.block.snd.recovery.phase), (None, Phase::Open));
}

/// A single segment may be acknowledged late on purpose.
#[test]
fn a_lone_segment_is_given_time_and_only_one_probe() {
    let mut d = sent(1);
    d.run(
        "+299ms
           > -
           +1ms
           > P. 101+1000 ack 501
           +299ms
           > -
           +1ms
           > P. 101+1000 ack 501",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Timeout);
}

/// Section 7.4: the probe has repaired the loss, which nothing else would show.
#[test]
fn a_loss_that_the_probe_repaired_counts() {
    let mut d = sent(2);
    let before = window(&d);
    d.run(
        "+202ms
           > P. 1101+1000 ack 501
           < . 501 ack 2101 win 60000
           ! write 10
           > P. 2101+10 ack 501
           < . 501 ack 2111 win 60000",
    );
    assert!(window(&d) < before);
}

#[test]
fn a_probe_that_was_needless_does_not_count() {
    let mut d = sent(2);
    let before = window(&d);
    d.run(
        "+202ms
           > P. 1101+1000 ack 501
           < . 501 ack 2101 win 60000
           < . 501 ack 2101 win 60000 <blk 1101:2101>
           ! write 10
           > P. 2101+10 ack 501
           < . 501 ack 2111 win 60000",
    );
    assert!(window(&d) >= before);
}

/// RFC 5682 section 3.1: a delay of the whole path, taken for a loss, is found out before anything else is sent again.
#[test]
fn a_late_path_is_no_lossy_path() {
    let mut d = sent(4);
    let before = window(&d);
    d.run(
        "+202ms
           > P. 3101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           > -
           ! write 2000
           > -
           +100ms
           < . 501 ack 1101 win 60000
           > . 4101+1000 ack 501
           > P. 5101+1000 ack 501
           > -
           < . 501 ack 2101 win 60000
           > -",
    );
    assert_eq!(d.block.snd.recovery.phase, Phase::Open);
    assert!(window(&d) >= before, "{} of {before}", window(&d));
}

#[test]
fn a_lossy_path_is_no_late_path() {
    let mut d = sent(4);
    d.run(
        "! write 1000
           > P. 4101+1000 ack 501
           +202ms
           > P. 4101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           ! write 1000
           +100ms
           < . 501 ack 1101 win 60000
           > P. 5101+1000 ack 501
           > -
           < . 501 ack 1101 win 60000 <blk 5101:6101>
           > . 1101+1000 ack 501",
    );
    assert_eq!(window(&d) / 1000, 2, "slow start");
    assert_ne!(d.block.snd.recovery.phase, Phase::Open);
}

/// Without new data to ask with, recovery goes on by the book.
#[test]
fn timeout_goes_around_what_is_sacked_after_it() {
    let mut d = sent(4);
    d.run(
        "+202ms
           > P. 3101+1000 ack 501
           +300ms
           > . 101+1000 ack 501
           > -
           +100ms
           < . 501 ack 1101 win 60000
           > . 1101+1000 ack 501
           > . 2101+1000 ack 501
           > -",
    );
}

/// RFC 8985 section 6.3: what has just been sent is not lost because the timer of something else has expired.
#[test]
fn a_timeout_spares_what_was_just_sent() {
    let mut d = sent(3);
    d.run(
        "+100ms
           < . 501 ack 1101 win 60000
           +202ms
           > P. 2101+1000 ack 501
           +298ms
           ! write 1000
           > P. 3101+1000 ack 501
           +2ms
           > . 1101+1000 ack 501
           > -",
    );
    assert_eq!(d.block.snd.flight.lost(), 1000, "the middle one, not the new one");
}

/// RFC 2883, RFC 3708: all that was sent again had arrived the first time.
#[test]
fn a_needless_recovery_is_taken_back() {
    let mut d = sent(6);
    let before = window(&d);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:4101>
           > . 101+1000 ack 501
           +100ms
           < . 501 ack 6101 win 60000",
    );
    assert!(window(&d) < before);
    d.run("+100ms\n< . 501 ack 6101 win 60000 <blk 101:1101>\n> -");
    assert!(window(&d) >= before);
}

/// The same without DSACK: an acknowledgment that comes sooner than a round trip takes is of the original.
#[test]
fn a_recovery_that_was_answered_too_soon_is_taken_back() {
    let mut d = sent(6);
    let before = window(&d);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:4101>
           > . 101+1000 ack 501",
    );
    assert!(window(&d) < before);
    d.run(
        "+30ms
           < . 501 ack 6101 win 60000
           > -",
    );
    assert!(window(&d) >= before);
}

/// RFC 2018 section 8: the peer has thrown away what it had SACKed; its own acknowledgment stands before it.
#[test]
fn sacked_data_that_the_peer_has_dropped_is_sent_again() {
    let mut d = sent(3);
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 1101:3101>
           +25ms
           > . 101+1000 ack 501
           +100ms
           < . 501 ack 1101 win 60000
           > -
           +300ms
           > . 1101+1000 ack 501
           < . 501 ack 2101 win 60000
           > P. 2101+1000 ack 501
           < . 501 ack 3101 win 60000
           > -",
    );
    assert_eq!(d.block.deadline(), None);
}

#[test]
fn small_segments_are_sent_again_together() {
    let mut d = Dialogue::established_over(Duration::from_millis(100), "sack", 60_000, Limits::default());
    for i in 0..8 {
        d.run(&format!("! write 100\n> P. {}+100 ack 501", 101 + i * 100));
    }
    d.run(
        "+100ms
           < . 501 ack 101 win 60000 <blk 501:901>
           > . 101+400 ack 501
           > -",
    );
}

/// CVE-2019-11477, CVE-2019-11478: a peer that SACKs single bytes makes neither many records nor long walks.
#[test]
fn a_flood_of_holes_is_bounded() {
    let mut d = Dialogue::established_over(Duration::from_millis(10), "sack,ws 7", 60_000, Limits::default());
    d.run("! write 200000");
    let mut ack = 101;
    while ack < 100_000 {
        while d.block.poll(d.now, 7).is_some() {}
        let nxt = d.block.snd_nxt().0;
        d.run(&format!("< . 501 ack {nxt} win 60000"));
        ack = nxt;
        d.now = d.now + Duration::from_millis(10);
    }
    while d.block.poll(d.now, 7).is_some() {}
    let end = d.block.snd_nxt().0;
    for left in (ack + 2..end - 1).step_by(2) {
        d.run(&format!("< . 501 ack {ack} win 60000 <blk {left}:{}>", left + 1));
        while d.block.poll(d.now, 7).is_some() {}
    }
    assert!(d.block.snd.flight.count() <= 4200, "{}", d.block.snd.flight.count());
    d.run(&format!("< . 501 ack {} win 60000", d.block.snd_nxt().0));
    assert_eq!(d.block.snd.flight.count(), 0);
}
