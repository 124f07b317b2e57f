//! Spreads what the congestion window allows over the round trip, on a clock that ticks in milliseconds.
//!
//! The pacer keeps one time: when all that was sent would have left at the pace. A sender may be ahead of it by the *slack*,
//! what the pace sends in a tick or in one segment, so that it loses nothing to a timer that fires a tick late. A sender
//! that falls behind it gains nothing: credit for more than that is never saved up. So at most the slack and a segment
//! leave at one instant, but for the burst that a start or a restart after idleness is given.

use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;

use super::block::Block;
use super::congestion::Congestion;

/// What lies between two ticks of the timer wheel: a release cannot come more exactly than that.
const TICK: Duration = Duration::from_millis(1);

/// Faster than any port; keeps all arithmetic within 64 bits.
const MAX_RATE: u64 = 1 << 40;

/// The pace for a window of `window` bytes, bytes a second. Unknown before a round trip is.
///
/// Twice the window in a round trip while slow start doubles it, else 1.2 times: what is sent must not fall behind what
/// acknowledgments allow.
pub(super) fn rate(window: u32, slow_start: bool, srtt: Option<Duration>) -> Option<u64> {
    let nanos = u64::try_from(srtt?.as_nanos()).unwrap_or(u64::MAX).max(1);
    // Less than 2^63 before it is divided.
    let tenths = u64::from(window) * if slow_start { 20 } else { 12 };
    let rate = tenths * 100_000_000 / nanos;
    Some(rate.clamp(1, MAX_RATE))
}

/// When the next segment may leave.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    /// When all that was sent has left, at the pace.
    due: Instant,
    /// How far before that a sender may be.
    slack: Duration,
    /// Bytes that are not paced: the burst of a start.
    burst: u32,
}

impl Pacer {
    /// A connection begins, or begins anew after idleness: the next `burst` bytes, an initial window, are not paced.
    pub(super) fn restart(&mut self, burst: u32) {
        self.burst = burst;
    }

    /// When the next segment may be sent; `None` is now.
    pub(super) fn release(&self, now: Instant) -> Option<Instant> {
        let ahead = self.due.since(now);
        (self.burst == 0 && ahead > self.slack).then(|| now + (ahead - self.slack))
    }

    /// Whether `bytes` that are sent are of the burst, and not its last: then no rate matters.
    fn takes_from_burst(&mut self, bytes: u32) -> bool {
        let takes = bytes < self.burst;
        if takes {
            self.burst -= bytes;
        }
        takes
    }

    /// `bytes` are sent, at the pace of `rate` bytes a second; unpaced without.
    ///
    /// What is sent before its release counts all the same.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u32, rate: Option<u64>) {
        let free = bytes.min(self.burst);
        self.burst -= free;
        let Some(rate) = rate else { return };
        let takes =
            |bytes: u32| Duration::from_nanos((u64::from(bytes) * 1_000_000_000).div_ceil(rate.max(1)));
        self.slack = takes(bytes).max(TICK);
        self.due = self.due.max(now) + takes(bytes - free);
    }
}

impl<B: Buffer> Block<B> {
    /// What could go now has to wait for the pace; a timer is set for it.
    pub(super) fn is_paced(&mut self, now: Instant) -> bool {
        self.timers.pace = self.snd.pacer.release(now);
        self.timers.pace.is_some()
    }

    /// `bytes` of payload are sent.
    pub(super) fn count_pace(&mut self, now: Instant, bytes: u32) {
        if self.snd.pacer.takes_from_burst(bytes) {
            return;
        }
        let window = self.congestion.window();
        let rate = rate(window, window < self.congestion.threshold(), self.rto.srtt());
        self.snd.pacer.on_sent(now, bytes, rate);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Sends all that may leave at `now`; returns the bytes.
    fn send(pacer: &mut Pacer, now: Instant, segment: u32, rate: u64) -> u32 {
        let mut sent = 0;
        while pacer.release(now).is_none() {
            pacer.on_sent(now, segment, Some(rate));
            sent += segment;
        }
        sent
    }

    #[test]
    fn the_rate_is_the_window_in_a_round_trip_and_something_more() {
        assert_eq!(rate(100_000, true, Some(MS(100))), Some(2_000_000));
        assert_eq!(rate(100_000, false, Some(MS(100))), Some(1_200_000));
        assert_eq!(rate(100_000, false, None), None);
        assert_eq!(rate(u32::MAX, true, Some(Duration::ZERO)), Some(MAX_RATE));
        assert_eq!(rate(0, true, Some(Duration::MAX)), Some(1));
    }

    #[test]
    fn nothing_is_paced_without_a_rate() {
        let mut pacer = Pacer::default();
        for _ in 0..1000 {
            assert_eq!(pacer.release(Instant::ZERO), None);
            pacer.on_sent(Instant::ZERO, 1000, None);
        }
    }

    #[test]
    fn a_slow_path_gets_two_segments_then_one_at_a_time() {
        // 10 segments in 100 ms.
        let mut pacer = Pacer::default();
        let start = Instant::from_millis(50);
        assert_eq!(send(&mut pacer, start, 1000, 100_000), 2000);
        for i in 1..20 {
            let at = start + MS(10 * i);
            assert_eq!(pacer.release(start), Some(at));
            assert_eq!(send(&mut pacer, at, 1000, 100_000), 1000);
        }
    }

    #[test]
    fn a_fast_path_gets_a_millisecond_at_a_time() {
        let mut pacer = Pacer::default();
        let start = Instant::from_millis(50);
        assert_eq!(send(&mut pacer, start, 1000, 100_000_000), 101_000);
        assert_eq!(send(&mut pacer, start + MS(1), 1000, 100_000_000), 100_000);
        // A second of silence is worth no more.
        assert_eq!(send(&mut pacer, start + MS(1000), 1000, 100_000_000), 101_000);
    }

    #[test]
    fn a_start_is_given_its_burst() {
        let mut pacer = Pacer::default();
        pacer.restart(10_000);
        let start = Instant::from_millis(50);
        assert_eq!(send(&mut pacer, start, 1000, 100_000), 12_000);
        assert_eq!(send(&mut pacer, start + MS(10), 1000, 100_000), 1000);
    }

    #[test]
    fn what_is_sent_unasked_is_made_up_for() {
        let mut pacer = Pacer::default();
        let start = Instant::from_millis(50);
        send(&mut pacer, start, 1000, 100_000);
        pacer.on_sent(start, 1000, Some(100_000));
        assert_eq!(pacer.release(start), Some(start + MS(20)));
    }

    proptest! {
        /// A sender with enough to send, asked at random times.
        #[test]
        fn no_stretch_of_time_has_more_than_its_share(
            rate in 1000u64..200_000_000,
            segment in 64u32..9000,
            waits in proptest::collection::vec(0u64..20_000_000, 1..60),
        ) {
            let mut pacer = Pacer::default();
            let mut now = Instant::from_millis(1);
            let mut sent = Vec::new();
            for wait in waits {
                now = now + Duration::from_nanos(wait);
                sent.push((now, u64::from(send(&mut pacer, now, segment, rate))));
            }
            let slack = (rate / 1000).max(segment.into());
            for (i, (from, _)) in sent.iter().enumerate() {
                let mut bytes = 0;
                for (to, more) in &sent[i..] {
                    bytes += more;
                    let share = (to.since(*from).as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
                    prop_assert!(bytes <= share + slack + u64::from(segment) + 1, "{bytes} in {from:?} to {to:?}");
                }
            }
        }

        /// A timer wheel fires at the first millisecond after what it was told; nothing is lost by that.
        #[test]
        fn a_wheel_that_ticks_in_milliseconds_keeps_the_rate(
            rate in 10_000u64..1_000_000_000,
            segment in 536u32..9000,
        ) {
            let mut pacer = Pacer::default();
            let start = Instant::from_millis(1);
            let (mut now, mut sent) = (start, 0);
            while now.since(start) < Duration::from_secs(1) {
                sent += u64::from(send(&mut pacer, now, segment, rate));
                let at = pacer.release(now).expect("all credit is used");
                now = Instant::from_millis(at.as_nanos().div_ceil(1_000_000));
            }
            // One segment of less than a tick's worth may wait for its tick; the division rounds by a nanosecond a segment.
            prop_assert!(sent + u64::from(segment) + rate / 500 >= rate, "{sent} of {rate}");
        }
    }
}
