//! Bulk on the participating path: from one leg's TCB to the other's.

mod stream;

use std::time::Duration;

use control::module::relay::MergeWhen;
use dataplane::counters::Counter;

use crate::core::settings;
use crate::race::{Spread, processor_time};
use crate::suite::{Demand, Finding, Gate, Measurement, Row, Run};
use crate::traffic::Family;
use crate::turns::{MESSAGES, Plan, Spent, Turns, Walls};
use crate::worker::Beside;
use stream::Stream;

pub const MEASUREMENT: Measurement = Measurement {
    name: "relay",
    about: "Bulk that participates: payload a second through the control core's two legs, and how often it is copied",
    budget: "every byte of payload is copied at most once",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "Clients send full segments (1460 bytes of payload, 1440 over IPv6) for ever, as much as their windows allow; the server \
    acknowledges every one; a module relays and never merges. Worker and control core take turns on one thread with a clock each, the ends \
    are in the ports' calls and subtracted; Gbit/s of payload are what the slower of the two has with a core of its own. No device computes \
    checksums: each segment's is verified on its way up and computed anew on its way out. \
    A byte counts as relayed once the other leg has it, and as copied once it is in a frame.";

/// Bytes of payload of each sample, in the short run.
const BYTES: usize = 64 << 20;

/// Rounds without a byte after which there are none any more, nor acknowledgments.
const SETTLES: u32 = 64;

/// Flows that never end.
pub struct Bulk(Turns<Stream>);

impl Bulk {
    fn new(family: Family, flows: u32) -> Bulk {
        Bulk::beside(&Beside::nothing(), family, flows)
    }

    /// Beside rules and flows that are idle.
    pub fn beside(beside: &Beside, family: Family, flows: u32) -> Bulk {
        let settings = settings(2 * flows as usize, 2 * flows as usize + 16);
        let linger = Duration::from_secs(1);
        let plan = Plan { flows: 4096, messages: MESSAGES, linger, merge: MergeWhen::Never, settings };
        Bulk(Turns::new(Stream::pair(family, flows), plan, beside))
    }

    fn delivered(&self) -> u64 {
        self.0.worker.lines()[1].port().delivered()
    }

    /// Of each byte, at least so many of them.
    fn sample(&mut self, bytes: u64) -> Spent {
        let (before, start) = (self.delivered(), processor_time());
        let mut walls = Walls::default();
        let mut idle = 0u32;
        while self.delivered() - before < bytes {
            let delivered = self.delivered();
            self.0.round(&mut walls);
            idle = if self.delivered() == delivered { idle + 1 } else { 0 };
            assert!(idle < 1 << 24, "nothing is delivered any more");
        }
        Spent::new(walls, processor_time() - start, self.delivered() - before)
    }

    /// The same from a rest to the next, in which nothing is under way.
    pub fn whole(&mut self, bytes: u64) -> Spent {
        self.0.worker.port_mut(0).go_on(true);
        let spent = self.sample(bytes);
        self.0.worker.port_mut(0).go_on(false);
        let mut last = (self.delivered(), 0);
        while last.1 < SETTLES {
            self.0.round(&mut Walls::default());
            let delivered = self.delivered();
            last = if delivered == last.0 { (delivered, last.1 + 1) } else { (delivered, 0) };
        }
        spent
    }

    /// Of each byte relayed, since the start.
    fn copies(&self) -> f64 {
        let counters = self.0.core.counters();
        counters.get(Counter::CopiedBytes) as f64 / counters.get(Counter::RelayedBytes) as f64
    }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns =
        ["Gbit/s, a core each", "worker, ns a KiB", "control core, ns a KiB", "ends, ns a KiB", "copies"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let length = run.length(BYTES);
    for family in [Family::V4, Family::V6] {
        for flows in [1, 64, 1024] {
            let case = format!("{family}, {flows} flows");
            run.say(&case);
            let mut bulk = Bulk::new(family, flows);
            bulk.sample(length.units as u64);
            let samples: Vec<Spent> = (0..length.samples).map(|_| bulk.sample(length.units as u64)).collect();
            let spread = |value: fn(&Spent) -> f64| Some(Spread::of(samples.iter().map(value)));
            let copies = Spread::of([bulk.copies()]);
            let values = vec![
                spread(|spent| 8.0 / spent.slower()),
                spread(|spent| 1024.0 * spent.worker),
                spread(|spent| 1024.0 * spent.core),
                spread(|spent| 1024.0 * spent.ends),
                Some(copies),
            ];
            let what = format!("{case}: copies of each byte");
            finding.gates.push(Gate { what, value: copies, demand: Demand::AtMost(1.0) });
            finding.rows.push(Row { case, values });
        }
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_is_relayed_and_copied_once() {
        for family in [Family::V4, Family::V6] {
            let mut bulk = Bulk::new(family, 3);
            let spent = bulk.sample(1 << 20);
            assert!(spent.worker > 0.0 && spent.core > 0.0, "{spent:?}");
            // What is on its way is copied already, or not yet.
            assert!((0.8..=1.0).contains(&bulk.copies()), "{}", bulk.copies());
            let core = bulk.0.core.counters();
            let worker = bulk.0.worker.counters();
            assert_eq!(worker.get(Counter::Merges), 0);
            assert!(core.get(Counter::RelayedBytes) >= 1 << 20);
        }
    }
}
