//! How many of something one thread may make because of what others send.
//!
//! ICMP errors (DESIGN invariant 5; RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)): one is larger than the SYN that it is
//! about, and whoever forges source addresses must not have as many as he likes. And what is told of: whoever is told of
//! a million things a second is told of nothing.

use std::time::Duration;

use crate::clock::Instant;

/// So much of a second's may be made at once unless somebody says otherwise. At 1000 a second that is what Linux allows
/// (`icmp_msgs_per_sec`, `icmp_msgs_burst`).
const BURST: Duration = Duration::from_millis(50);

/// So many a second, and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    ahead: Duration,
}

impl Rate {
    /// `number` a second (0 is taken for 1), and the twentieth part of them at once, at least one.
    pub const fn per_second(number: u32) -> Rate {
        let number = if number == 0 { 1 } else { number };
        let interval = Duration::from_nanos(1_000_000_000 / number as u64);
        Rate { interval, ahead: BURST.saturating_sub(interval) }
    }

    /// As many at once as otherwise in a second.
    pub const fn with_a_second_at_once(self) -> Rate {
        Rate { ahead: Duration::from_secs(1).saturating_sub(self.interval), ..self }
    }
}

impl Default for Rate {
    /// What Linux allows of ICMP errors.
    fn default() -> Self {
        Rate::per_second(1000)
    }
}

/// A token bucket, kept as the moment when it will be full again (the generic cell rate algorithm): nothing has to be
/// refilled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    full_at: Instant,
}

impl Budget {
    /// Takes one out, if there is one.
    pub fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let full_at = self.full_at.max(now);
        let has_one = full_at.since(now) <= rate.ahead;
        if has_one {
            self.full_at = full_at + rate.interval;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, now: Instant, rate: Rate) -> usize {
        (0..100_000).take_while(|_| budget.take(now, rate)).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        for (per_second, burst) in [(1000, 50), (20, 1), (1, 1), (0, 1), (100_000, 5000)] {
            let (rate, mut budget) = (Rate::per_second(per_second), Budget::default());
            let start = Instant::from_millis(7);
            assert_eq!(taken(&mut budget, start, rate), burst, "{per_second} a second");
            assert_eq!(taken(&mut budget, start, rate), 0);
            let per_second = per_second.max(1) as usize;
            let later = (1..=2000).map(|ms| taken(&mut budget, Instant::from_millis(7 + ms), rate));
            assert_eq!(later.sum::<usize>(), 2 * per_second);
            // Nothing is saved up beyond the burst.
            assert_eq!(taken(&mut budget, Instant::from_millis(3_600_000), rate), burst);
        }
    }

    #[test]
    fn a_second_at_once_is_no_more_than_a_second() {
        let (rate, mut budget) = (Rate::per_second(100).with_a_second_at_once(), Budget::default());
        assert_eq!(taken(&mut budget, Instant::from_millis(7), rate), 100);
        assert_eq!(taken(&mut budget, Instant::from_millis(507), rate), 50);
    }
}
