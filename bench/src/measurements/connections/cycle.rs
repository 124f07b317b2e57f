//! Worker and control core in turns on this thread, each with its own clock.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use control::core::{Core, WorkerLink};
use control::module::relay::MergeWhen;
use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::policy::Snapshot;
use dataplane::worker::Worker;

use super::ends::{End, Tally};
use crate::core::{relaying, settings};
use crate::pooled::Home;
use crate::race::{Contender, processor_time};
use crate::traffic::Family;
use crate::worker::{OFFER, Rig, Room};

/// As in a configuration that says nothing of it.
const MESSAGES: usize = 4096;
/// How long a connection that is over stays in the worker's table, which has room for a million of them.
const LINGER: Duration = Duration::from_secs(1);
const FLOWS: usize = 1 << 20;

/// An appliance, and the ends of its connections.
pub struct Cycle {
    worker: Worker<End>,
    core: Core<Home>,
    clock: SystemClock,
}

/// What a sample took, or a connection of it; nanoseconds of processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    pub worker: f64,
    pub core: f64,
    /// In both ports' calls.
    pub ends: f64,
}

/// In the order of their fields; wall time.
type Walls = [Duration; 3];

impl Spent {
    /// Of each of so many connections. Wall time tells who has spent it, processor time how much it was: whoever was
    /// interrupted has not worked meanwhile.
    fn new(walls: Walls, processor: Duration, connections: u64) -> Spent {
        let whole: Duration = walls.iter().sum();
        let each = processor.as_nanos() as f64 / whole.as_nanos() as f64 / connections as f64;
        let [worker, core, ends] = walls.map(|wall| wall.as_nanos() as f64 * each);
        Spent { worker, core, ends }
    }

    /// Nanoseconds that a connection takes when worker and control core have a processor core each.
    pub fn slower(&self) -> f64 {
        self.worker.max(self.core)
    }
}

impl Cycle {
    /// With `most` connections at once.
    pub fn at_once(family: Family, most: usize) -> Cycle {
        Cycle::new(End::pair(family, most), 2 * most, 2 * most)
    }

    /// With room for so many participating flows, and for so many held SYNs.
    pub fn new(ends: [End; 2], participating: usize, held: usize) -> Cycle {
        let heartbeat = Arc::new(AtomicU64::new(0));
        let rules = Arc::new(Snapshot::compile(&[], OFFER).expect("no rules fit"));
        let room = Room { flows: FLOWS, messages: MESSAGES, linger: LINGER };
        let Rig { worker, orders, events } = Rig::with(ends, room, rules, &heartbeat);
        let settings = settings(participating, held);
        let link = WorkerLink { events, orders };
        let core = relaying(Home, link, MergeWhen::FirstResponse, settings, heartbeat);
        Cycle { worker, core, clock: SystemClock::start() }
    }

    fn closed(&self) -> u64 {
        self.tally().closed
    }

    /// Of the clients.
    pub fn tally(&self) -> Tally {
        self.worker.lines()[0].port().tally()
    }

    fn in_ports(&self) -> Duration {
        self.worker.lines().iter().map(|line| line.port().spent).sum()
    }

    fn timed_round(&mut self, walls: &mut Walls) {
        let now = self.clock.now();
        let in_ports = self.in_ports();
        let start = Instant::now();
        self.worker.poll(now);
        let between = Instant::now();
        self.core.poll(now);
        let end = Instant::now();
        let in_ports = self.in_ports() - in_ports;
        walls[0] += (between - start).saturating_sub(in_ports);
        walls[1] += end - between;
        walls[2] += in_ports;
    }

    /// Of at least so many connections, each.
    pub fn sample(&mut self, connections: u64) -> Spent {
        let (before, start) = (self.closed(), processor_time());
        let mut walls = Walls::default();
        let mut idle = 0u32;
        while self.closed() - before < connections {
            let closed = self.closed();
            self.timed_round(&mut walls);
            idle = if self.closed() == closed { idle + 1 } else { 0 };
            assert!(idle < 1 << 24, "connections come to nothing: {}", self.complaints().join(", "));
        }
        Spent::new(walls, processor_time() - start, self.closed() - before)
    }

    /// Until all clients of a flood have begun, and for `grace` more, which is what the last of them have. Returns the seconds of
    /// processor time of the slower one.
    pub fn flood(&mut self, clients: u64, grace: Duration) -> f64 {
        let start = processor_time();
        let mut walls = Walls::default();
        while self.tally().started < clients {
            self.timed_round(&mut walls);
        }
        let end = Instant::now() + grace;
        while Instant::now() < end {
            self.timed_round(&mut walls);
        }
        Spent::new(walls, processor_time() - start, 1).slower() / 1e9
    }

    /// What should not have happened, by counter.
    pub fn complaints(&self) -> Vec<String> {
        let is_bad = |counter: &&Counter| counter.name().starts_with("drop_");
        let all = Counter::ALL.iter().filter(is_bad).chain([&Counter::MergesUndone]);
        let of_both =
            |counter: &Counter| self.worker.counters().get(*counter) + self.core.counters().get(*counter);
        let counted = all.map(|counter| (counter.name(), of_both(counter)));
        let resets = ("resets", self.tally().resets);
        counted.chain([resets]).filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect()
    }

    /// Merges, of all connections that were closed.
    pub fn merged(&self) -> f64 {
        let merges = self.core.counters().get(Counter::Merges) + self.worker.counters().get(Counter::Merges);
        merges as f64 / self.closed() as f64
    }
}

impl Contender for Cycle {
    fn round(&mut self) -> usize {
        let before = self.closed();
        self.timed_round(&mut Walls::default());
        (self.closed() - before) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_merged_and_closed() {
        for family in [Family::V4, Family::V6] {
            let mut cycle = Cycle::at_once(family, 100);
            let spent = cycle.sample(1000);
            assert!(spent.worker > 0.0 && spent.core > 0.0 && spent.ends > 0.0, "{spent:?}");
            assert!(cycle.complaints().is_empty(), "{:?}", cycle.complaints());
            // Those that are open may be merged, too.
            let merged = cycle.merged();
            assert!((1.0..1.2).contains(&merged), "{merged}");
            let relayed = cycle.core.counters().get(Counter::RelayedBytes);
            assert!(relayed >= 1000 * 2 * super::super::ends::PAYLOAD as u64, "{relayed}");
        }
    }

    #[test]
    fn processor_time_is_told_apart_by_wall_time() {
        let walls = [30, 60, 10].map(Duration::from_nanos);
        let spent = Spent::new(walls, Duration::from_nanos(50), 5);
        assert_eq!(spent, Spent { worker: 3.0, core: 6.0, ends: 1.0 });
    }
}
