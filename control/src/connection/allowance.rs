//! What one direction may keep: it begins modestly, follows the bandwidth-delay product, and comes down when idle.
//!
//! A direction keeps what its sender has been acknowledged (or may still send) and its receiver has not acknowledged. A
//! window that opens less than the path holds in a round trip slows the flow down; one that opens more only fills our
//! memory. So the allowance doubles when its receiver has acknowledged half of it within a round trip (both legs'
//! together: what limits the sender then is us), up to the configured buffer. That much slack keeps a slow start of
//! either side from waiting for us, and bounds what a fast sender piles up before a slow receiver to twice what a round
//! trip drains, and the next doubling. A receiver that does not read drains nothing: nothing grows.
//!
//! The method is that of Linux's dynamic right-sizing (Fisk and Feng, 2001), on what leaves instead of what is read.

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

/// Where a direction begins, bytes: a window without scaling.
const MODEST: u32 = 64 * 1024;
/// A direction that drains less than an eighth of its allowance in any round trip for this long is idle.
const IDLE: Duration = Duration::from_secs(10);
/// Round trips below the timers' tick are not told apart.
const LEAST_RTT: Duration = Duration::from_millis(1);
/// Longer ago than this is as good as idle; it also keeps the arithmetic within 64 bits.
const LONGEST: Duration = Duration::from_secs(60);

/// The allowance of one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    bytes: u32,
    ceiling: u32,
    /// When the present review began, and what the receiver had acknowledged then.
    since: Instant,
    drained: Option<Seq>,
    /// When a review last found it in use.
    used: Instant,
}

impl Allowance {
    /// The modest one, of a direction that may come to `ceiling` bytes.
    pub(super) fn new(now: Instant, ceiling: u32) -> Self {
        Allowance { bytes: MODEST.min(ceiling), ceiling, since: now, drained: None, used: now }
    }

    /// Of a direction whose sender has been given a window of `bytes` already.
    pub(super) fn promised(now: Instant, bytes: u32, ceiling: u32) -> Self {
        let modest = Allowance::new(now, ceiling);
        Allowance { bytes: modest.bytes.max(bytes), ceiling: ceiling.max(bytes), ..modest }
    }

    /// Bytes that the direction may keep.
    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Whether [`Allowance::review`] could find that a round trip has passed.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.drained.is_none() || self.since + LEAST_RTT <= now
    }

    /// Once a round trip, which `rtt` knows: looks at what has been acknowledged since the last time, all before `una` by now.
    /// `may_grow`: memory is not scarce.
    #[inline(always)]
    pub(super) fn review(&mut self, now: Instant, una: Seq, rtt: impl FnOnce() -> Duration, may_grow: bool) {
        let Some(before) = self.drained else {
            (self.since, self.drained) = (now, Some(una));
            return;
        };
        let period = rtt().clamp(LEAST_RTT, LONGEST);
        let elapsed = now.since(self.since);
        if elapsed < period {
            return;
        }
        let elapsed = elapsed.min(LONGEST);
        // Bytes a round trip, though more than one may have passed.
        let drained = match before.distance_to(una) {
            // As after most events: there is nothing to divide.
            0 => 0,
            bytes => u64::from(bytes) * period.as_micros() as u64 / elapsed.as_micros() as u64,
        };
        if drained >= u64::from(self.bytes) / 8 {
            self.used = now;
        }
        if drained >= u64::from(self.bytes) / 2 && may_grow {
            self.bytes = self.bytes.saturating_mul(2).min(self.ceiling);
        } else if now.since(self.used) >= IDLE {
            // A right edge that was given stays: less only means that it does not move for a while.
            self.bytes = MODEST.min(self.ceiling);
        }
        (self.since, self.drained) = (now, Some(una));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);
    const CEILING: u32 = 1 << 20;

    fn begun() -> Allowance {
        let mut allowance = Allowance::new(Instant::ZERO, CEILING);
        allowance.review(Instant::ZERO, Seq(0), || RTT, true);
        allowance
    }

    /// A direction whose receiver acknowledges `rate(allowance)` bytes a round trip, for so many.
    fn after(rounds: u32, rate: impl Fn(u32) -> u32) -> u32 {
        let mut allowance = begun();
        let mut una = Seq(0);
        for round in 1..=rounds {
            una = una.advance(rate(allowance.bytes()));
            allowance.review(Instant::ZERO + RTT * round, una, || RTT, true);
        }
        allowance.bytes()
    }

    #[test]
    fn doubles_while_it_is_what_limits() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(|rounds| after(rounds, |bytes| bytes)),
            [64, 128, 256, 512, 1024, 1024].map(|kib: u32| kib * 1024)
        );
    }

    #[test]
    fn stops_beyond_the_bandwidth_delay_product() {
        for product in [10_000, 50_000, 100_000, 300_000] {
            let reached = after(50, |bytes| bytes.min(product));
            assert!(reached > product && reached <= (4 * product).max(MODEST), "{product}: {reached}");
        }
    }

    #[test]
    fn does_not_grow_for_a_reader_that_has_stopped() {
        assert_eq!(after(1_000, |_| 0), MODEST);
    }

    #[test]
    fn goes_back_when_idle_and_not_before() {
        let mut allowance = begun();
        allowance.review(Instant::ZERO + RTT, Seq(MODEST), || RTT, true);
        assert_eq!(allowance.bytes(), 2 * MODEST);
        allowance.review(Instant::ZERO + Duration::from_secs(9), Seq(MODEST + 100), || RTT, true);
        assert_eq!(allowance.bytes(), 2 * MODEST);
        allowance.review(Instant::ZERO + Duration::from_secs(11), Seq(MODEST + 200), || RTT, true);
        assert_eq!(allowance.bytes(), MODEST);
    }

    #[test]
    fn a_small_ceiling_and_scarce_memory_hold() {
        assert_eq!(Allowance::new(Instant::ZERO, 16_384).bytes(), 16_384);
        let mut allowance = begun();
        allowance.review(Instant::ZERO + RTT, Seq(MODEST), || RTT, false);
        assert_eq!(allowance.bytes(), MODEST);
    }

    #[test]
    fn a_review_after_an_age_does_not_overflow() {
        let mut allowance = Allowance::new(Instant::ZERO, u32::MAX);
        for days in 0..100 {
            let now = Instant::ZERO + Duration::from_secs(86_400 * days);
            allowance.review(
                now,
                Seq(days as u32).advance((days as u32 % 2) << 30),
                || Duration::from_secs(3600),
                true,
            );
        }
    }
}
