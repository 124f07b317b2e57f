//! How often each pattern was found, and what is told of it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::patterns::{Gravity, Verdict};
use crate::budget::{Budget, Rate};
use crate::clock::Instant;
use crate::flow::quad::Direction;

/// An occurrence of a pattern, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Index of the inspection.
    pub inspection: u16,
    /// Number of the pattern in it.
    pub pattern: u16,
    /// Whose bytes they are.
    pub direction: Direction,
    /// Place of its first byte: so many bytes of the stream are before it, as far as it was searched.
    pub place: u64,
    /// What comes of it.
    pub verdict: Verdict,
}

impl Hit {
    /// How many of each gravity one thread tells at once.
    pub const MOST: usize = 100;
    /// As many in a second: a peer that repeats a pattern all day fills no mailbox.
    pub const RATE: Rate = Rate::per_second(Hit::MOST as u32).with_a_second_at_once();
}

/// What a thread still tells of hits now: a budget of [`Hit::RATE`] for each [`Gravity`], as a peer has hits that do not end its
/// flow for the asking.
#[derive(Debug, Clone, Copy, Default)]
pub struct Telling {
    budgets: [Budget; Gravity::COUNT],
}

impl Telling {
    /// Whether one of this verdict is told.
    pub fn take(&mut self, now: Instant, verdict: Verdict) -> bool {
        self.budgets[verdict.gravity() as usize].take(now, Hit::RATE)
    }
}

/// Counts in a cache line.
const LINE: usize = 64 / size_of::<AtomicU64>();
/// Threads that have lines of their own; more share some.
const SHARES: usize = 16;

/// Counts of all workers. Each writes lines of its own: none waits for another (DESIGN section 10).
#[derive(Debug)]
pub struct Hits {
    counts: Box<[AtomicU64]>,
    /// Counts from one worker's to the next one's: whole lines, and one more, as nobody says where the first begins.
    stride: usize,
    patterns: usize,
}

impl Hits {
    /// For so many patterns.
    pub fn new(patterns: usize) -> Hits {
        let stride = patterns.next_multiple_of(LINE) + LINE;
        Hits { counts: (0..stride * SHARES).map(|_| AtomicU64::new(0)).collect(), stride, patterns }
    }

    /// Worker `worker` has found a pattern. With more than 16 workers some share counts, so that this is an atomic addition.
    pub fn count(&self, worker: usize, pattern: u16) {
        let place = worker % SHARES * self.stride + usize::from(pattern).min(self.patterns);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often a pattern was found by all together.
    pub fn of(&self, pattern: usize) -> u64 {
        let shares = self.counts.chunks(self.stride.max(1));
        shares.filter_map(|share| share.get(pattern)).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Bytes that the counts take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_count_together() {
        let hits = Hits::new(9);
        for worker in 0..20 {
            hits.count(worker, 8);
            hits.count(worker, (worker % 9) as u16);
        }
        assert_eq!((hits.of(8), hits.of(0), hits.of(1)), (22, 3, 3));
    }
}
