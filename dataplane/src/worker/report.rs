//! A worker's counters: plain numbers on the packet path, published now and then for whoever wants to read them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::counters::Counter;

/// Counters of one thread, indexed by [`Counter`].
pub struct Counters([u64; Counter::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Counters([0; Counter::ALL.len()])
    }
}

impl Counters {
    /// One more.
    #[inline]
    pub fn count(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    /// `n` more.
    #[inline]
    pub fn add(&mut self, counter: Counter, n: u64) {
        self.0[counter as usize] += n;
    }

    /// The present value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}

/// How full a worker's tables are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Flows present.
    pub flows: u64,
    /// The most flows.
    pub flows_capacity: u64,
    /// SYNs held.
    pub suspended: u64,
    /// The most SYNs.
    pub suspended_capacity: u64,
    /// Frames parked.
    pub parked: u64,
    /// The most parked frames.
    pub parked_capacity: u64,
    /// Frames on impaired cables.
    pub impaired: u64,
    /// The most frames there.
    pub impaired_capacity: u64,
    /// Flows with a far side of their own.
    pub far_sides: u64,
    /// The most of them.
    pub far_sides_capacity: u64,
    /// Flows that are searched.
    pub inspected: u64,
    /// The most of them.
    pub inspected_capacity: u64,
    /// Bytes of blocks that are kept of theirs until they are acknowledged.
    pub inspected_bytes: u64,
    /// The most bytes.
    pub inspected_bytes_capacity: u64,
    /// 1 while the control core counts as stalled.
    pub control_stalled: u64,
    /// 1 while more SYNs come than can be held.
    pub flooded: u64,
}

const GAUGES: usize = 16;

impl Gauges {
    fn to_array(self) -> [u64; GAUGES] {
        [
            self.flows,
            self.flows_capacity,
            self.suspended,
            self.suspended_capacity,
            self.parked,
            self.parked_capacity,
            self.impaired,
            self.impaired_capacity,
            self.far_sides,
            self.far_sides_capacity,
            self.inspected,
            self.inspected_capacity,
            self.inspected_bytes,
            self.inspected_bytes_capacity,
            self.control_stalled,
            self.flooded,
        ]
    }

    fn from_array(values: [u64; GAUGES]) -> Gauges {
        let [
            flows,
            flows_capacity,
            suspended,
            suspended_capacity,
            parked,
            parked_capacity,
            impaired,
            impaired_capacity,
            far_sides,
            far_sides_capacity,
            inspected,
            inspected_capacity,
            inspected_bytes,
            inspected_bytes_capacity,
            control_stalled,
            flooded,
        ] = values;
        Gauges {
            flows,
            flows_capacity,
            suspended,
            suspended_capacity,
            parked,
            parked_capacity,
            impaired,
            impaired_capacity,
            far_sides,
            far_sides_capacity,
            inspected,
            inspected_capacity,
            inspected_bytes,
            inspected_bytes_capacity,
            control_stalled,
            flooded,
        }
    }

    /// Tables of several workers together.
    pub fn sum(all: impl IntoIterator<Item = Gauges>) -> Gauges {
        let add = |a: [u64; GAUGES], b: [u64; GAUGES]| std::array::from_fn(|i| a[i] + b[i]);
        Gauges::from_array(all.into_iter().map(Gauges::to_array).fold([0; GAUGES], add))
    }
}

/// What a thread has last published. The thread alone writes; anybody reads. Not touched on the packet path, and on lines of
/// its own: what a neighbour in memory publishes takes none away from whoever uses it.
#[repr(align(128))]
pub struct Report {
    counters: [AtomicU64; Counter::ALL.len()],
    gauges: [AtomicU64; GAUGES],
}

impl Default for Report {
    fn default() -> Self {
        Report { counters: std::array::from_fn(|_| AtomicU64::new(0)), gauges: Default::default() }
    }
}

impl Report {
    /// Publishes.
    pub fn publish(&self, counters: &Counters, gauges: Gauges) {
        for (shared, own) in self.counters.iter().zip(counters.0) {
            shared.store(own, Ordering::Relaxed);
        }
        for (shared, own) in self.gauges.iter().zip(gauges.to_array()) {
            shared.store(own, Ordering::Relaxed);
        }
    }

    /// A counter as last published.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// The gauges as last published.
    pub fn gauges(&self) -> Gauges {
        Gauges::from_array(std::array::from_fn(|i| self.gauges[i].load(Ordering::Relaxed)))
    }
}
