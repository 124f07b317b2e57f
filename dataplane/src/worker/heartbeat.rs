//! The control core's pulse: counted up in every round of its own, looked at by every worker now and then.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// It has its lines to itself: whatever else lay there would be fetched anew after each beat by whoever reads it.
#[derive(Default)]
pub struct Heartbeat(CachePadded<AtomicU64>);

impl Heartbeat {
    /// Once more. One thread beats.
    pub fn beat(&self) {
        self.0.store(self.beats().wrapping_add(1), Ordering::Relaxed);
    }

    /// So often so far.
    pub(super) fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
