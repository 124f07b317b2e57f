//! A port whose cable loses, delays, reorders and repeats frames on purpose: a means for labs, where the kernel has no
//! netem or where both directions have to be repeatable.
//!
//! The cable lies between the device and the worker and has two directions, each with the same [`Impairment`] and random
//! numbers of its own. A delay of 25 ms at both ports of a pair is therefore 50 ms one way and 100 ms for a round trip
//! through the appliance, 50 ms for one between an endpoint and a leg; a loss of p at both ports loses 1 − (1 − p)² of
//! the frames of each direction. What the cable loses is neither `received` nor missing in `transmitted`.
//!
//! A frame on the cable is owned by it, in a queue of fixed size; dropping the port gives all of them back.

mod cable;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{Burst, Port};
use crate::buffer::Pool;
use crate::clock::{Clock, Instant};

use cable::Cable;

/// A probability in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u32);

impl Share {
    /// Always.
    pub const ALL: Share = Share(1_000_000);

    /// So many of a million; more than a million is a million.
    pub const fn per_million(parts: u32) -> Share {
        Share(if parts > Share::ALL.0 { Share::ALL.0 } else { parts })
    }

    /// How many of a million.
    pub const fn parts_per_million(self) -> u32 {
        self.0
    }

    fn hits(self, random: &mut fastrand::Rng) -> bool {
        self.0 > 0 && random.u32(..Share::ALL.0) < self.0
    }
}

/// What the cable of a port does to frames, in each of its directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Impairment {
    /// Frames that are lost, each by a draw of its own.
    pub loss: Share,
    /// Frames that arrive twice; the second one travels like a frame that came right behind, and can be lost too.
    pub duplicate: Share,
    /// Frames that arrive later than the ones behind them, by [`Impairment::reorder_by`].
    pub reorder: Share,
    /// How much later.
    pub reorder_by: Duration,
    /// The time that every frame takes.
    pub delay: Duration,
    /// Added to the delay: a draw between 0 and this, drawn anew whenever as much time has passed. Frames keep their order.
    pub jitter: Duration,
    /// Bits a second that enter the cable, counted over frames without preamble, gap and FCS; `None` is no limit.
    pub rate: Option<u64>,
    /// Frames that are on the cable at once, in each direction; the next one is dropped.
    pub queue: usize,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Impairment {
    /// Everything passes at once.
    fn default() -> Self {
        Impairment {
            loss: Share::default(),
            duplicate: Share::default(),
            reorder: Share::default(),
            reorder_by: Duration::from_millis(1),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: 4096,
            seed: 1,
        }
    }
}

/// What the cables of a port have done since the start, both directions together, and what is on them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames lost by a draw.
    pub lost: u64,
    /// Frames dropped because the queue was full.
    pub overflowed: u64,
    /// Frames that arrived twice.
    pub duplicated: u64,
    /// Frames held back behind later ones.
    pub reordered: u64,
    /// Frames on the cable now.
    pub waiting: u64,
    /// The most frames that can be.
    pub capacity: u64,
}

/// A port at the end of an impaired cable, or a plain one among such.
pub struct Impaired<P: Port, L, C> {
    port: P,
    /// Where copies come from.
    pool: L,
    clock: C,
    cables: Option<Cables<P>>,
}

struct Cables<P: Port> {
    inbound: Cable<P::Buffer>,
    outbound: Cable<P::Buffer>,
    /// Due, and not yet taken by the device.
    leaving: Burst<P::Buffer>,
}

impl<P: Port, L: Pool<Buffer = P::Buffer>, C: Clock> Impaired<P, L, C> {
    /// Puts a cable of this kind between `port` and its worker; `None` leaves the port as it is. Takes all memory that it
    /// will ever use.
    pub fn new(port: P, impairment: Option<Impairment>, pool: L, clock: C) -> Self {
        let cables = impairment.map(|impairment| {
            let mut seeds = fastrand::Rng::with_seed(impairment.seed);
            Cables {
                inbound: Cable::new(impairment, seeds.fork()),
                outbound: Cable::new(impairment, seeds.fork()),
                leaving: Burst::new(),
            }
        });
        Impaired { port, pool, clock, cables }
    }
}

impl<P: Port> Cables<P> {
    /// Gives the device what is due, in order, until it takes no more.
    fn let_leave(&mut self, now: Instant, port: &mut P) {
        loop {
            self.outbound.take_due(now, &mut self.leaving);
            if self.leaving.is_empty() || port.transmit(&mut self.leaving) == 0 {
                return;
            }
        }
    }
}

impl<P: Port, L: Pool<Buffer = P::Buffer>, C: Clock> Port for Impaired<P, L, C> {
    type Buffer = P::Buffer;

    fn receive(&mut self, burst: &mut Burst<P::Buffer>) -> usize {
        let Some(cables) = &mut self.cables else { return self.port.receive(burst) };
        let now = self.clock.now();
        // A worker without anything to send does not call `transmit`, but it always receives.
        cables.let_leave(now, &mut self.port);
        let mut fresh = Burst::new();
        self.port.receive(&mut fresh);
        for frame in fresh {
            cables.inbound.enter(now, frame, &mut self.pool);
        }
        cables.inbound.take_due(now, burst)
    }

    fn unfit(&self) -> u64 {
        self.port.unfit()
    }

    fn impaired(&self) -> Tally {
        let Some(cables) = &self.cables else { return Tally::default() };
        let mut tally = cables.inbound.tally() + cables.outbound.tally();
        tally.waiting += cables.leaving.len() as u64;
        tally
    }

    fn transmit(&mut self, burst: &mut Burst<P::Buffer>) -> usize {
        let Some(cables) = &mut self.cables else { return self.port.transmit(burst) };
        let (now, count) = (self.clock.now(), burst.len());
        for frame in burst.drain(..) {
            cables.outbound.enter(now, frame, &mut self.pool);
        }
        cables.let_leave(now, &mut self.port);
        count
    }
}
