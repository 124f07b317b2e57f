//! What a split and a merge of an idle flow cost its worker: from the order to the answer, or to the flow's being carried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::object::{Track, View};
use dataplane::flow::quad::{FlowKey, Segment};
use dataplane::flow::table::FlowRef;
use dataplane::flow::terms::{Promises, Terms};
use dataplane::policy::Snapshot;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::worker::message::{Event, Order, Split};

use crate::generator::Generator;
use crate::race::{Spread, percentile};
use crate::suite::{Finding, Measurement, Row, Run};
use crate::traffic::{Family, Traffic, bare_syn};
use crate::worker::{OFFER, Rig};

pub const MEASUREMENT: Measurement = Measurement {
    name: "migration",
    about: "Split and merge of idle flows, the worker's part: from the order to when it is in force",
    budget: "in a lab p50 at most 1 µs, p99 at most 4 µs; here reported",
    only_full: false,
    run,
};

const HOW: &str = "One thread puts an order into the mailbox, has the worker do a round, and takes the answer, flow after flow in random \
    order; no ring is crossed from core to core, and no control core decides anything. *Split*: the order to the object's arrival. \
    *Merge*: the order to park, its answer, the object installed and the flow resumed, two rounds in all. Nanoseconds of wall time, \
    reading the clock included; percentiles of each sample, and their median, lowest and highest.";

/// Of both, in each sample.
const CYCLES: usize = 20_000;

struct Idle {
    rig: Rig<Generator>,
    clock: SystemClock,
    flows: Vec<FlowRef>,
}

/// All of a flow that a merge installs.
fn view() -> View {
    let promises = Promises::mirrored(Terms::new(Some([7, 7]), true, false));
    View {
        track: [Track { end: Seq(1), ack: Seq(1) }; 2],
        edges: [Seq(1000); 2],
        promises,
        ..View::default()
    }
}

impl Idle {
    fn new(count: u32) -> anyhow::Result<Idle> {
        let rules = Arc::new(Snapshot::compile(&[], OFFER)?);
        let ports = Generator::pair(&Traffic::shortest(1));
        let mut rig = Rig::new(ports, count as usize, rules, &Arc::default());
        let clock = SystemClock::start();
        let flows = (0..count).map(|n| {
            rig.inject(bare_syn(Family::V4.quad(n)));
            rig.cut_through(clock.now(), Delta(1), view())
        });
        let mut flows: Vec<FlowRef> = flows.collect();
        fastrand::Rng::with_seed(4).shuffle(&mut flows);
        Ok(Idle { rig, clock, flows })
    }

    fn order(&mut self, order: Order<crate::frame::Frame>) {
        assert!(self.rig.orders.try_send(order).is_ok(), "there is room for a handful");
    }

    fn split(&mut self, flow: FlowRef) -> Duration {
        let key = FlowKey { quad: Family::V4.quad(0), segment: Segment(0) };
        let split = Box::new(Split::wanted(flow, key, u32::MAX));
        let start = Instant::now();
        self.order(Order::Split(split));
        self.rig.worker.poll(self.clock.now());
        let answer = self.rig.events.try_receive();
        let took = start.elapsed();
        assert!(matches!(answer, Some(Event::Split(_))), "an idle flow can be split");
        took
    }

    fn merge(&mut self, flow: FlowRef) -> Duration {
        let view = view();
        let start = Instant::now();
        self.order(Order::Park { flow, searched: false });
        self.rig.worker.poll(self.clock.now());
        let answer = self.rig.events.try_receive();
        self.order(Order::Install { flow, delta_c2s: Delta(1), delta_s2c: Delta(1), view });
        self.order(Order::Resume { flow });
        self.rig.worker.poll(self.clock.now());
        let took = start.elapsed();
        assert!(matches!(answer, Some(Event::Parked { .. })), "parking is answered");
        took
    }

    /// Splits and merges, of flows in turn.
    fn sample(&mut self, from: usize) -> [Vec<Duration>; 2] {
        let mut took = [const { Vec::new() }; 2];
        for at in from..from + CYCLES {
            let flow = self.flows[at % self.flows.len()];
            took[0].push(self.split(flow));
            took[1].push(self.merge(flow));
        }
        took
    }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["p50", "p99", "thousand a second"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let flows: &[u32] = if run.is_full { &[1000, 1_000_000, 10_000_000] } else { &[1000, 1_000_000] };
    for count in flows {
        run.say(format!("{count} flows"));
        let mut idle = Idle::new(*count)?;
        idle.sample(0);
        let mut values = [const { [const { Vec::new() }; 3] }; 2];
        for sample in 0..run.samples {
            for (took, values) in idle.sample((1 + sample) * CYCLES).iter_mut().zip(&mut values) {
                let sum: Duration = took.iter().sum();
                let rate = CYCLES as f64 / sum.as_secs_f64() / 1e3;
                let all = [percentile(took, 50), percentile(took, 99), rate];
                values.iter_mut().zip(all).for_each(|(values, value)| values.push(value));
            }
        }
        for (what, values) in ["split", "merge"].into_iter().zip(values) {
            let values = values.map(|values| Some(Spread::of(values))).into();
            finding.rows.push(Row { case: format!("{what}, {count} flows"), values });
        }
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_split_and_merged_again_and_again() {
        let mut idle = Idle::new(3).expect("rules compile");
        for flow in [0, 1, 2, 0, 1].map(|at: usize| idle.flows[at]) {
            idle.split(flow);
            idle.merge(flow);
        }
        let counters = idle.rig.worker.counters();
        assert_eq!(counters.get(dataplane::counters::Counter::Splits), 5);
    }
}
