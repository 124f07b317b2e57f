//! A counter for each of some threads: on lines of its own, or, as a mistake would have it, together on one.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// Where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tallies {
    Apart,
    Together,
}

/// Threads that count, at most.
const THREADS: usize = 16;
static APART: [CachePadded<AtomicU64>; THREADS] = [const { CachePadded::new(AtomicU64::new(0)) }; THREADS];
/// Eight of them on a line.
static TOGETHER: CachePadded<[AtomicU64; THREADS]> = CachePadded::new([const { AtomicU64::new(0) }; THREADS]);

impl Tallies {
    /// Of one of them.
    pub fn of(self, thread: usize) -> Tally {
        Tally(match self {
            Tallies::Apart => &APART[thread],
            Tallies::Together => &TOGETHER[thread],
        })
    }
}

/// One thread writes it.
pub struct Tally(&'static AtomicU64);

impl Tally {
    /// As counters that are published: no instruction that locks anything.
    #[inline]
    pub fn count(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}
