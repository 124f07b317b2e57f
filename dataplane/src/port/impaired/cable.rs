//! One direction of an impaired cable: what becomes of each frame, and a bounded queue of those under way.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Add;
use std::time::Duration;

use super::{Impairment, Tally};
use crate::buffer::{Buffer, Pool};
use crate::clock::Instant;
use crate::port::Burst;

/// A frame under way. Ordered by arrival, and by entry where that is the same.
struct Travelling<B> {
    due: Instant,
    serial: u64,
    frame: B,
}

impl<B> Travelling<B> {
    fn place(&self) -> (Instant, u64) {
        (self.due, self.serial)
    }
}

impl<B> PartialEq for Travelling<B> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<B> Eq for Travelling<B> {}

impl<B> PartialOrd for Travelling<B> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<B> Ord for Travelling<B> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

pub(super) struct Cable<B> {
    impairment: Impairment,
    random: fastrand::Rng,
    /// Earliest arrival first.
    travelling: BinaryHeap<Reverse<Travelling<B>>>,
    entered: u64,
    /// When the last frame that keeps its order arrives.
    last_due: Instant,
    /// When the rate lets the next frame enter.
    free_at: Instant,
    /// The present draw of the jitter, and how long it holds.
    jitter: (Duration, Instant),
    tally: Tally,
}

impl<B: Buffer> Cable<B> {
    pub(super) fn new(impairment: Impairment, random: fastrand::Rng) -> Self {
        Cable {
            impairment,
            random,
            travelling: BinaryHeap::with_capacity(impairment.queue),
            entered: 0,
            last_due: Instant::ZERO,
            free_at: Instant::ZERO,
            jitter: (Duration::ZERO, Instant::ZERO),
            tally: Tally { capacity: impairment.queue as u64, ..Tally::default() },
        }
    }

    /// A frame at the near end. It is on its way, or gone and counted.
    pub(super) fn enter(&mut self, now: Instant, frame: B, pool: &mut impl Pool<Buffer = B>) {
        // A pool without a buffer makes no copy: the cable must not be what starves the appliance.
        let copy = self.impairment.duplicate.hits(&mut self.random).then(|| copy(&frame, pool)).flatten();
        self.tally.duplicated += u64::from(copy.is_some());
        self.send(now, frame);
        if let Some(copy) = copy {
            self.send(now, copy);
        }
    }

    fn send(&mut self, now: Instant, frame: B) {
        if self.impairment.loss.hits(&mut self.random) {
            self.tally.lost += 1;
            return;
        }
        // Never beyond what was taken at start.
        if self.travelling.len() >= self.impairment.queue {
            self.tally.overflowed += 1;
            return;
        }
        let due = self.due(now, frame.bytes().len());
        self.entered += 1;
        self.travelling.push(Reverse(Travelling { due, serial: self.entered, frame }));
    }

    /// When a frame of `len` bytes that enters now arrives.
    fn due(&mut self, now: Instant, len: usize) -> Instant {
        let entered = self.pass_rate(now, len);
        let due = entered + self.impairment.delay + self.draw_jitter(now);
        if self.impairment.reorder.hits(&mut self.random) {
            self.tally.reordered += 1;
            return due.max(self.last_due) + self.impairment.reorder_by;
        }
        self.last_due = due.max(self.last_due);
        self.last_due
    }

    fn pass_rate(&mut self, now: Instant, len: usize) -> Instant {
        let Some(rate) = self.impairment.rate else { return now };
        let takes = Duration::from_nanos(len as u64 * 8 * 1_000_000_000 / rate.max(1));
        self.free_at = now.max(self.free_at) + takes;
        self.free_at
    }

    /// Were it drawn for every frame, a dense train would always arrive as late as the largest draw, since order is kept.
    fn draw_jitter(&mut self, now: Instant) -> Duration {
        let most = self.impairment.jitter;
        if !most.is_zero() && now >= self.jitter.1 {
            let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
            self.jitter = (Duration::from_nanos(self.random.u64(..=nanos)), now + most);
        }
        self.jitter.0
    }

    /// Appends what has arrived to `burst`, as far as there is room, and returns how many.
    pub(super) fn take_due(&mut self, now: Instant, burst: &mut Burst<B>) -> usize {
        let before = burst.len();
        while !burst.is_full() && self.travelling.peek().is_some_and(|Reverse(first)| first.due <= now) {
            burst.extend(self.travelling.pop().map(|Reverse(first)| first.frame));
        }
        burst.len() - before
    }

    pub(super) fn tally(&self) -> Tally {
        Tally { waiting: self.travelling.len() as u64, ..self.tally }
    }
}

fn copy<B: Buffer>(frame: &B, pool: &mut impl Pool<Buffer = B>) -> Option<B> {
    let mut copy = pool.take()?;
    copy.extend(frame.bytes().len())?.copy_from_slice(frame.bytes());
    Some(copy)
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            lost: self.lost + other.lost,
            overflowed: self.overflowed + other.overflowed,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            waiting: self.waiting + other.waiting,
            capacity: self.capacity + other.capacity,
        }
    }
}
