//! What a worker does when a round found nothing: the trade between latency and a usable small machine.

use std::time::Duration;

/// The idle policy of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Poll on: lowest latency, one whole core.
    Spin,
    /// Let others run first.
    Yield,
    /// Sleep, twice as long with every empty round, at most this long.
    Sleep(Duration),
}

/// Empty rounds before the first sleep: bridges the gap between two bursts of a busy flow.
const PATIENCE: u32 = 64;

/// An idle policy at work.
#[derive(Debug)]
pub struct Idler {
    policy: Idle,
    empty_rounds: u32,
}

impl Idler {
    /// From the policy.
    pub fn new(policy: Idle) -> Self {
        Idler { policy, empty_rounds: 0 }
    }

    /// Called after every round with the work that it found.
    pub fn after_round(&mut self, work: usize) {
        if work > 0 {
            self.empty_rounds = 0;
            return;
        }
        self.empty_rounds = self.empty_rounds.saturating_add(1);
        match self.policy {
            Idle::Spin => std::hint::spin_loop(),
            Idle::Yield => std::thread::yield_now(),
            Idle::Sleep(ceiling) => match self.nap(ceiling) {
                Some(nap) => std::thread::sleep(nap),
                None => std::thread::yield_now(),
            },
        }
    }

    fn nap(&self, ceiling: Duration) -> Option<Duration> {
        let doublings = self.empty_rounds.checked_sub(PATIENCE)?.min(20);
        Some(Duration::from_micros(1 << doublings).min(ceiling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_double_up_to_the_ceiling_and_end_with_work() {
        let ceiling = Duration::from_micros(100);
        let mut idler = Idler { policy: Idle::Sleep(ceiling), empty_rounds: PATIENCE - 1 };
        assert_eq!(idler.nap(ceiling), None);
        idler.empty_rounds = PATIENCE + 3;
        assert_eq!(idler.nap(ceiling), Some(Duration::from_micros(8)));
        idler.empty_rounds = u32::MAX;
        assert_eq!(idler.nap(ceiling), Some(ceiling));
        idler.after_round(1);
        assert_eq!(idler.nap(ceiling), None);
    }
}
