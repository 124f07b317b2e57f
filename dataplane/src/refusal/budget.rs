//! How many ICMP errors one thread may make (DESIGN invariant 5; RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)).
//!
//! An error is larger than the SYN that it is about: whoever forges source addresses must not have as many as he likes.

use std::time::Duration;

use crate::clock::Instant;

/// So much of a second's errors may go out at once. At 1000 a second that is what Linux allows (`icmp_msgs_per_sec`,
/// `icmp_msgs_burst`).
const BURST: Duration = Duration::from_millis(50);

/// Errors a second, and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRate {
    interval: Duration,
    ahead: Duration,
}

impl ErrorRate {
    /// `errors` a second (0 is taken for 1), and the twentieth part of them at once, at least one.
    pub const fn per_second(errors: u32) -> ErrorRate {
        let errors = if errors == 0 { 1 } else { errors };
        let interval = Duration::from_nanos(1_000_000_000 / errors as u64);
        ErrorRate { interval, ahead: BURST.saturating_sub(interval) }
    }
}

impl Default for ErrorRate {
    /// What Linux allows.
    fn default() -> Self {
        ErrorRate::per_second(1000)
    }
}

/// A token bucket, kept as the moment when it will be full again (the generic cell rate algorithm): nothing has to be
/// refilled.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorBudget {
    full_at: Instant,
}

impl ErrorBudget {
    /// Takes one error out, if there is one.
    pub fn take(&mut self, now: Instant, rate: ErrorRate) -> bool {
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

    fn taken(budget: &mut ErrorBudget, now: Instant, rate: ErrorRate) -> usize {
        (0..100_000).take_while(|_| budget.take(now, rate)).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        for (per_second, burst) in [(1000, 50), (20, 1), (1, 1), (0, 1), (100_000, 5000)] {
            let (rate, mut budget) = (ErrorRate::per_second(per_second), ErrorBudget::default());
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
}
