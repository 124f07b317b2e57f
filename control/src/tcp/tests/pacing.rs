//! What the congestion window allows leaves over the round trip, not at once.

use std::time::Duration;

use super::dialogue::Dialogue;
use crate::tcp::*;

/// Ten segments are out over a round trip of 100 ms, twenty more wait.
fn started() -> Dialogue {
    let mut d = Dialogue::established_over(Duration::from_millis(100), "sack", 60_000, Limits::default());
    d.run("! write 30000");
    for i in 0..10 {
        d.run(&format!("> . {}+1000 ack 501", 101 + i * 1000));
    }
    d.run("> -\n+100ms");
    d
}

/// The initial window goes at once. The next, of 18 segments, goes at twice its size in a round trip: 360 bytes in a
/// millisecond, one segment ahead of that.
#[test]
fn slow_start_sends_at_twice_the_window_in_a_round_trip() {
    let mut d = started();
    d.run(
        "< . 501 ack 10101 win 60000
           > . 10101+1000 ack 501
           > . 11101+1000 ack 501
           > -
           +2ms
           > -
           +1ms
           > . 12101+1000 ack 501
           > -
           +3ms
           > . 13101+1000 ack 501
           > -
           +50ms
           > . 14101+1000 ack 501
           > . 15101+1000 ack 501
           > -",
    );
}

/// Silence is worth two segments, whatever its length; acknowledgments hasten nothing.
#[test]
fn an_acknowledgment_waits_for_the_pace_too() {
    let mut d = started();
    d.run(
        "< . 501 ack 5101 win 60000
           > . 10101+1000 ack 501
           > . 11101+1000 ack 501
           < . 501 ack 10101 win 60000
           > -
           +10ms
           > . 12101+1000 ack 501",
    );
}

/// The first retransmission of a recovery is what everything else waits for.
#[test]
fn the_first_of_a_recovery_does_not_wait() {
    let mut d = started();
    d.run(
        "< . 501 ack 4101 win 60000
           > . 10101+1000 ack 501
           > . 11101+1000 ack 501
           < . 501 ack 4101 win 60000 <blk 6101:10101>
           > . 4101+1000 ack 501
           > -
           +20ms
           > . 5101+1000 ack 501",
    );
}

/// After idleness, as at the start, an initial window goes at once.
#[test]
fn a_restart_sends_its_window_at_once() {
    let mut d = started();
    for _ in 0..4 {
        d.run(&format!("< . 501 ack {} win 60000", d.block.snd_nxt().0));
        for _ in 0..50 {
            d.block.poll(d.now, 7);
            d.run("+1ms");
        }
    }
    d.run("< . 501 ack 30101 win 60000\n+2000ms\n! write 20000");
    for i in 0..10 {
        d.run(&format!("> . {}+1000 ack 501", 30_101 + i * 1000));
    }
    d.run("> -");
}
