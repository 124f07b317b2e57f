//! Somebody who orders hand-overs all the time: flows that are cut through are split, those that participate are merged.

use std::time::Duration;

use control::core::Core;
use control::core::handover::HandOver;
use control::core::query::Query;
use dataplane::clock::Instant;
use dataplane::flow::object::Path;
use dataplane::port::sim::{SimPool, SimPort};
use dataplane::worker::Worker;

use crate::rng::Rng;

/// The one who orders.
pub struct Hands {
    rng: Rng,
    next: Instant,
    /// Microseconds between two orders, at most.
    pause: u64,
    /// Orders that are still to be given.
    left: u32,
}

/// Orders in one world.
const ORDERS: u32 = 400;

/// Until it is looked again whether there are flows.
const NOBODY: Duration = Duration::from_millis(5);

impl Hands {
    pub fn new(mut rng: Rng) -> Hands {
        let pause = rng.pick(&[200, 2_000, 20_000]);
        Hands { rng, next: Instant::ZERO, pause, left: ORDERS }
    }

    /// When the next order is due.
    pub fn next(&self) -> Option<Instant> {
        (self.left > 0).then_some(self.next)
    }

    /// Orders a hand-over of some flow, if one is due.
    pub fn act<'a>(
        &mut self,
        now: Instant,
        workers: impl Iterator<Item = &'a Worker<SimPort>>,
        core: &mut Core<SimPool>,
    ) {
        if now < self.next || self.left == 0 {
            return;
        }
        let flows: Vec<_> = workers
            .flat_map(|worker| {
                let table = worker.table();
                table.occupied(0..u32::MAX).map(move |slot| (table.key(slot).quad, table.object(slot).path))
            })
            .collect();
        if flows.is_empty() {
            // An order that nobody is there for is none.
            self.next = now + NOBODY;
            return;
        }
        self.left -= 1;
        self.next = now + Duration::from_micros(1 + self.rng.below(self.pause));
        let (quad, path) = flows[self.rng.below(flows.len() as u64) as usize];
        let what = match path {
            Path::CutThrough | Path::Monitored => HandOver::Split,
            _ => HandOver::Merge,
        };
        let (answer, _) = crossbeam::channel::bounded(1);
        core.ask(Query::HandOver { what, flow: quad.into(), answer });
    }
}
