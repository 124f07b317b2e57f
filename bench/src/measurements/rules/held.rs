//! A SYN's whole way: the rules, its entry, the ring, its place among those that are held, the module, and the SYN that
//! asks its server. Worker and control core take turns on this thread. Nobody answers, so the oldest makes room, and its server
//! hears that.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use control::core::context::Settings;
use control::core::secret::IsnKey;
use control::core::{self, Core, WorkerLink};
use control::module::relay::{MergeWhen, Relay};
use control::module::{Acknowledge, Isn, ServerAck};
use control::suspended::{self, WhenFull};
use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::policy::{Fallback, Snapshot};
use dataplane::port::PortId;
use dataplane::worker::Worker;

use super::syns::{SynPort, rig};
use crate::frame::Frames;
use crate::race::Contender;
use crate::worker::{HOUR, Rig};

/// SYNs that are held at once.
const HELD: usize = 4096;

/// The contender.
pub struct Held {
    worker: Worker<SynPort>,
    core: Core<Frames>,
    clock: SystemClock,
}

impl Held {
    pub fn new(snapshot: Arc<Snapshot>, quads: &[Quad]) -> Held {
        let heartbeat = Arc::new(AtomicU64::new(0));
        let (Rig { worker, orders, events }, frames) = rig(snapshot, quads, 2 * HELD, &heartbeat);
        let module = Relay {
            merge: MergeWhen::Established,
            server_ack: ServerAck::AfterClient,
            isn: Isn::Mirror,
            acknowledge: Acknowledge::Receipt,
            client_first: None,
        };
        let core = Core::new(core::Parts {
            links: vec![WorkerLink { events, orders }],
            pool: frames,
            modules: vec![Box::new(module)],
            settings: settings(),
            heartbeat,
            report: Arc::default(),
            buffered: Arc::default(),
        });
        Held { worker, core, clock: SystemClock::start() }
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

fn settings() -> Settings {
    Settings {
        leg: Default::default(),
        connections: 16,
        when_full: Fallback::Drop,
        suspended: suspended::Limits::of(HELD),
        when_suspended_full: WhenFull::Oldest,
        history: NonZeroUsize::new(HELD).expect("more than none"),
        buffered: 1 << 24,
        held_per_flow: 16,
        held: 16,
        drain: Duration::from_millis(150),
        drain_up_to: 16 << 10,
        refused: Duration::from_secs(10),
        icmp_errors: Default::default(),
        idle_established: HOUR,
        half_closed: HOUR,
        isn_key: IsnKey::new([1, 2, 3, 4]),
        peers: vec![PortId(1), PortId(0)],
        mtu: vec![1500, 1500],
    }
}
