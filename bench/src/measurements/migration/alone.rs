//! The worker's part alone: whoever orders is there already, and has decided.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::quad::{FlowKey, Segment};
use dataplane::flow::table::FlowRef;
use dataplane::policy::Snapshot;
use dataplane::wire::seq::Delta;
use dataplane::worker::message::{Event, Order, Split};

use super::view;
use crate::generator::Generator;
use crate::traffic::{Family, Traffic, bare_syn};
use crate::worker::{OFFER, Rig};

/// A worker and its flows.
pub struct Idle {
    rig: Rig<Generator>,
    clock: SystemClock,
    flows: Vec<FlowRef>,
}

impl Idle {
    /// So many flows, which are cut through.
    pub fn new(count: u32) -> anyhow::Result<Idle> {
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

    /// Splits and merges, of so many flows in turn.
    pub fn sample(&mut self, from: usize, cycles: usize) -> [Vec<Duration>; 2] {
        let mut took = [const { Vec::new() }; 2];
        for at in from..from + cycles {
            let flow = self.flows[at % self.flows.len()];
            took[0].push(self.split(flow));
            took[1].push(self.merge(flow));
        }
        took
    }
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
