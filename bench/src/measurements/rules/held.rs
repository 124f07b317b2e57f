//! A SYN's whole way: the rules, its entry, the ring, its place among those that are held, the module, and the SYN that
//! asks its server. Worker and control core take turns on this thread. Nobody answers, so the oldest makes room, and its server
//! hears that.

use std::sync::Arc;

use control::core::{Core, WorkerLink};
use control::module::relay::MergeWhen;
use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::worker::Worker;

use super::syns::{SynPort, rig};
use crate::core::{relaying, settings};
use crate::frame::Frames;
use crate::race::Contender;
use crate::worker::{Beside, Rig};

/// SYNs that are held at once.
const HELD: usize = 4096;

/// The contender.
pub struct Held {
    worker: Worker<SynPort>,
    core: Core<Frames>,
    clock: SystemClock,
}

impl Held {
    pub fn new(beside: &Beside, quads: &[Quad]) -> Held {
        let heartbeat = Arc::default();
        let (Rig { worker, orders, events }, frames, clock) = rig(beside, quads, 2 * HELD, &heartbeat);
        let settings = settings(16, HELD);
        let core = relaying(
            frames,
            vec![WorkerLink { events, orders }],
            MergeWhen::Established,
            settings,
            heartbeat,
        );
        Held { worker, core, clock }
    }
}

impl Contender for Held {
    fn round(&mut self) -> usize {
        let offered = |worker: &Worker<SynPort>| worker.counters().get(Counter::FlowsOffered);
        let before = offered(&self.worker);
        let now = self.clock.now();
        self.worker.poll(now);
        self.core.poll(now);
        (offered(&self.worker) - before) as usize
    }
}
