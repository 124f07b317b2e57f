//! Connections by the thousand, and what became of them.

use std::time::{Duration, Instant};

use control::core::Core;
use control::core::context::Settings;
use control::module::relay::MergeWhen;
use dataplane::clock::SystemClock;
use dataplane::counters::Counter;
use dataplane::worker::Worker;

use super::ends::{End, Tally};
use crate::core::settings;
use crate::pooled::Home;
use crate::race::{Contender, processor_time};
use crate::traffic::Family;
use crate::turns::{MESSAGES, Plan, Spent, Turns, Walls};
use crate::worker::Beside;

/// How long a connection that is over stays in the worker's table, which has room for a million of them.
const LINGER: Duration = Duration::from_secs(1);
const FLOWS: usize = 1 << 20;

/// An appliance, and the ends of its connections.
pub struct Cycle {
    turns: Turns<End>,
}

impl Cycle {
    /// With `most` connections at once.
    pub fn at_once(family: Family, most: usize) -> Cycle {
        Cycle::beside(&Beside::nothing(), family, most)
    }

    /// The same for two threads: rings have room for what all connections have to say at once. One that were full would lose SYNs, and no
    /// client repeats one.
    pub fn for_threads(family: Family, most: usize) -> Cycle {
        let messages = MESSAGES.max(4 * most);
        Cycle::with(End::pair(family, most), settings(2 * most, 2 * most), messages, &Beside::nothing())
    }

    /// The same beside rules and flows that are idle.
    pub fn beside(beside: &Beside, family: Family, most: usize) -> Cycle {
        Cycle::with(End::pair(family, most), settings(2 * most, 2 * most), MESSAGES, beside)
    }

    /// With room for so many participating flows, and for so many held SYNs.
    pub fn new(ends: [End; 2], participating: usize, held: usize, beside: &Beside) -> Cycle {
        Cycle::with(ends, settings(participating, held), MESSAGES, beside)
    }

    fn with(ends: [End; 2], settings: Settings, messages: usize, beside: &Beside) -> Cycle {
        let plan = Plan { flows: FLOWS, messages, linger: LINGER, merge: MergeWhen::FirstResponse, settings };
        Cycle { turns: Turns::new(ends, plan, beside) }
    }

    /// For who gives each a thread.
    pub fn into_parts(self) -> (Worker<End>, Core<Home>, SystemClock) {
        self.turns.into_parts()
    }

    /// Of what was taken apart.
    pub fn of_parts(worker: Worker<End>, core: Core<Home>, clock: SystemClock) -> Cycle {
        Cycle { turns: Turns::of_parts(worker, core, clock) }
    }

    fn closed(&self) -> u64 {
        self.tally().closed
    }

    /// Of the clients.
    pub fn tally(&self) -> Tally {
        self.turns.worker.lines()[0].port().tally()
    }

    /// Of at least so many connections, each.
    pub fn sample(&mut self, connections: u64) -> Spent {
        let (before, start) = (self.closed(), processor_time());
        let mut walls = Walls::default();
        let mut idle = 0u32;
        while self.closed() - before < connections {
            let closed = self.closed();
            self.turns.round(&mut walls);
            idle = if self.closed() == closed { idle + 1 } else { 0 };
            assert!(idle < 1 << 24, "connections come to nothing: {}", self.complaints().join(", "));
        }
        Spent::new(walls, processor_time() - start, self.closed() - before)
    }

    /// Of so many connections, each: from the first one's beginning until all of them are over, so that none is under way while
    /// others have their turn.
    pub fn whole(&mut self, connections: u64) -> Spent {
        let all = self.tally().started + connections;
        self.turns.worker.port_mut(0).go_on_until(all);
        let left = all - self.closed();
        let spent = self.sample(left);
        assert_eq!(self.closed(), all, "nobody begins another one");
        spent
    }

    /// Until all clients of a flood have begun, and for `grace` more, which is what the last of them have. Returns the seconds of
    /// processor time of the slower one.
    pub fn flood(&mut self, clients: u64, grace: Duration) -> f64 {
        let start = processor_time();
        let mut walls = Walls::default();
        while self.tally().started < clients {
            self.turns.round(&mut walls);
        }
        let end = Instant::now() + grace;
        while Instant::now() < end {
            self.turns.round(&mut walls);
        }
        Spent::new(walls, processor_time() - start, 1).slower() / 1e9
    }

    /// What should not have happened, by counter.
    pub fn complaints(&self) -> Vec<String> {
        let is_bad = |counter: &&Counter| counter.name().starts_with("drop_");
        let all = Counter::ALL.iter().filter(is_bad).chain([&Counter::MergesUndone]);
        let of_both = |counter: &Counter| {
            self.turns.worker.counters().get(*counter) + self.turns.core.counters().get(*counter)
        };
        let counted = all.map(|counter| (counter.name(), of_both(counter)));
        let resets = ("resets", self.tally().resets);
        counted.chain([resets]).filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect()
    }

    /// Ends what is under way. Every connection must have been merged, and nothing dropped.
    pub fn assert_all_is_well(&mut self) -> anyhow::Result<()> {
        let started = self.tally().started;
        self.turns.worker.port_mut(0).go_on_until(started);
        if self.closed() < started {
            self.sample(started - self.closed());
        }
        let complaints = self.complaints();
        anyhow::ensure!(complaints.is_empty(), "{}", complaints.join(", "));
        let merges = self.turns.worker.counters().get(Counter::Merges);
        anyhow::ensure!(merges == started, "{merges} of {started} were merged");
        Ok(())
    }
}

impl Contender for Cycle {
    fn round(&mut self) -> usize {
        let before = self.closed();
        self.turns.round(&mut Walls::default());
        (self.closed() - before) as usize
    }
}

/// A contender: whole connections, by what worker and control core together take for one. Between its turns nothing is under way.
pub struct Connections(pub Cycle);

impl Connections {
    /// A row's name: a figure of connections that did not fare as they should says so.
    pub fn case(name: &str, all: &[Connections]) -> String {
        let complaints: Vec<String> = all.iter().flat_map(|Connections(cycle)| cycle.complaints()).collect();
        match complaints.is_empty() {
            true => name.to_owned(),
            false => format!("{name} (not as they should be: {})", complaints.join(", ")),
        }
    }
}

impl Contender for Connections {
    fn round(&mut self) -> usize {
        unreachable!("it counts for itself")
    }

    fn nanoseconds(&mut self, units: usize) -> f64 {
        let spent = self.0.whole(units as u64);
        spent.worker + spent.core
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
            cycle.assert_all_is_well().expect("all were merged");
            let relayed = cycle.turns.core.counters().get(Counter::RelayedBytes);
            assert!(relayed >= 1000 * 2 * super::super::ends::PAYLOAD as u64, "{relayed}");
        }
    }
}
