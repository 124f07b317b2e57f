//! What flows that are there cost others: everything that the appliance does, beside a table that is ever fuller.

use crate::carried::cut_through_beside;
use crate::forwarder::{Forwarder, Nothing};
use crate::generator::Generator;
use crate::race::{Contender, percentile};
use crate::suite::{Finding, Measurement, Run};
use crate::traffic::{Family, Traffic};
use crate::worker::Beside;

use super::connections::cycle::{Connections, Cycle};
use super::flood::{Answering, quads, refusal};
use super::growth::{Growth, against, alone, behind_port};
use super::migration::alone::Idle;
use super::relay::Bulk;
use super::rules::held::Held;
use super::rules::syns::{Syns, Wire};

pub const MEASUREMENT: Measurement = Measurement {
    name: "flows",
    about: "What everything takes beside flows in the worker's table of which nothing is heard",
    budget: "reported",
    only_full: false,
    most_samples: 15,
    run,
};

const HOW: &str = "So many IPv4 flows are in the worker's table, cut through, with timers that run, and nothing is heard of them: but for \
    *split and merge*, they are not those that are measured, which are as many for every size. *Frame*: of one of 1000 other flows, \
    64 bytes, deltas not 0. *SYN*: as in `flood`, but that refused ones meet a rule of their own. *Connection*: as in `connections`, 1024 at once, worker and control core together. \
    *Relay*: as in `relay`, 64 flows, a KiB of payload, worker and control core together. *Split \
    and merge*: as in `migration`, the worker's part alone, of one of these flows after the other in random order, the sum of both \
    medians. Nanoseconds; \
    the ports' and ends' share, measured in each sample, is subtracted. All sizes take turns in each sample. The ratio is that of the most \
    flows to the fewest. How a frame of any of all flows fares is in `cut-through`.";

const DELTA: i32 = 1_000_003;
/// Of each contender and sample, in the short run.
const FRAMES: usize = 200_000;
const SYNS: usize = 100_000;
const CONNECTIONS: usize = 10_000;
const KIBS: usize = 16 << 10;
const HAND_OVERS: usize = 20_000;

/// A contender that has a clock for its ends and subtracts them: nanoseconds of worker and control core.
struct Both<T>(T, fn(&mut T, usize) -> f64);

impl<T> Contender for Both<T> {
    fn round(&mut self) -> usize {
        unreachable!("it counts for itself")
    }

    fn nanoseconds(&mut self, units: usize) -> f64 {
        (self.1)(&mut self.0, units)
    }
}

fn kib(bulk: &mut Bulk, kibs: usize) -> f64 {
    let spent = bulk.whole((kibs << 10) as u64);
    1024.0 * (spent.worker + spent.core)
}

/// Flows that are split and merged, and whose turn is next.
struct HandOvers(Idle, usize);

fn hand_over(HandOvers(idle, next): &mut HandOvers, cycles: usize) -> f64 {
    let mut took = idle.sample(*next, cycles);
    *next += cycles;
    took.iter_mut().map(|took| percentile(took, 50)).sum()
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let sizes: &[u32] = match run.is_full {
        true => &[1000, 100_000, 1_000_000, 10_000_000],
        false => &[1000, 100_000, 1_000_000],
    };
    let mut growth = Growth::new(HOW, "flows", sizes);
    let all: Vec<Beside> = sizes.iter().map(|idle| Beside { idle: *idle, ..Beside::nothing() }).collect();
    run.say("frames");
    frames(run, &all, &mut growth);
    run.say("SYNs");
    syns(run, &all, &mut growth);
    run.say("connections");
    let cycle = |beside| Connections(Cycle::beside(beside, Family::V4, 1024));
    let mut cycles: Vec<_> = all.iter().map(cycle).collect();
    let samples = alone(run.length(CONNECTIONS), &mut cycles);
    growth.add(Connections::case("connection", &cycles), &samples, |times, size| times[size]);
    growth.show("connection");
    drop(cycles);
    run.say("relay");
    let mut bulks: Vec<_> =
        all.iter().map(|beside| Both(Bulk::beside(beside, Family::V4, 64), kib)).collect();
    growth.add("relay, a KiB".into(), &alone(run.length(KIBS), &mut bulks), |times, size| times[size]);
    growth.show("relay");
    drop(bulks);
    run.say("hand-overs");
    let idle: anyhow::Result<Vec<_>> = sizes.iter().map(|flows| Idle::new(*flows)).collect();
    let hand_overs = idle?.into_iter().map(|idle| Both(HandOvers(idle, 0), hand_over));
    let mut hand_overs: Vec<_> = hand_overs.collect();
    let samples = alone(run.length(HAND_OVERS), &mut hand_overs);
    growth.add("split and merge".into(), &samples, |times, size| times[size]);
    growth.show("split and merge");
    Ok(growth.finish("Beside flows of which nothing is heard"))
}

fn frames(run: &Run, all: &[Beside], growth: &mut Growth) {
    let traffic = Traffic::shortest(1000);
    let mut port = Forwarder::start(Generator::pair(&traffic), Nothing);
    let mut workers: Vec<_> = all.iter().map(|beside| cut_through_beside(beside, &traffic, DELTA)).collect();
    let samples = against(run.length(FRAMES), &mut port, &mut workers);
    workers.iter().for_each(|worker| worker.assert_nothing_was_lost());
    growth.add("frame that is cut through".into(), &samples, behind_port);
    growth.show("frame");
}

fn syns(run: &Run, all: &[Beside], growth: &mut Growth) {
    let quads = quads(Family::V4);
    let length = run.length(SYNS);
    let mut wire = Wire::new(&quads);
    let refusing = |Beside { idle, .. }: &Beside| Answering::refusing_beside(&refusal(*idle), &quads);
    let samples = against(length, &mut wire, &mut all.iter().map(refusing).collect::<Vec<_>>());
    growth.add("SYN that is refused".into(), &samples, behind_port);
    growth.show("SYN, refused");
    let offering = |beside| Syns::new(beside, &quads);
    let samples = against(length, &mut wire, &mut all.iter().map(offering).collect::<Vec<_>>());
    growth.add("SYN that is offered".into(), &samples, behind_port);
    growth.show("SYN, offered");
    let holding = |beside| Held::new(beside, &quads);
    let samples = against(length, &mut wire, &mut all.iter().map(holding).collect::<Vec<_>>());
    growth.add("SYN that is held".into(), &samples, behind_port);
    growth.show("SYN, held");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_measured_beside_flows_that_are_idle() {
        let beside = Beside { idle: 50, ..Beside::nothing() };
        let mut cycle = Connections(Cycle::beside(&beside, Family::V4, 10));
        let mut bulk = Bulk::beside(&beside, Family::V4, 2);
        let mut hand_overs = HandOvers(Idle::new(50).expect("rules compile"), 0);
        // Whoever has had its turn has nothing under way, and goes on.
        for _ in 0..2 {
            assert!(cycle.nanoseconds(100) > 0.0);
            assert!(kib(&mut bulk, 100) > 0.0);
            assert!(hand_over(&mut hand_overs, 10) > 0.0);
        }
        let complaints = cycle.0.complaints();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}
