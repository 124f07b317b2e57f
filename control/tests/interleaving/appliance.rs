//! One worker and the control core, with a schedule between what one has pushed and what the other sees.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use control::core::context::Settings;
use control::core::secret::IsnKey;
use control::core::{self, Core, WorkerLink};
use control::module::relay::{MergeWhen, Relay};
use control::module::{Acknowledge, Isn, Module, ServerAck};
use control::suspended::{self, WhenFull};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::object::Path;
use dataplane::policy::{Action, Defaults, Fallback, Installed, RuleSpec, Snapshot, Strays};
use dataplane::port::PortId;
use dataplane::port::sim::{SimBuffer, SimPeer, SimPool, SimPort};
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, Order};
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{self, Limits, Timeouts, Worker};

const CLIENT: PortId = PortId(0);
const SERVER: PortId = PortId(1);
pub const IDLE: Duration = Duration::from_secs(600);

/// A mailbox in two parts.
pub struct Seam<T> {
    pub pushed: Receiver<T>,
    shown: Sender<T>,
    /// Messages shown since the far side had its last round.
    pub seen: usize,
}

impl<T> Seam<T> {
    fn new() -> (Sender<T>, Seam<T>, Receiver<T>) {
        let (sender, pushed) = mailbox(1024);
        let (shown, receiver) = mailbox(1024);
        (sender, Seam { pushed, shown, seen: 0 }, receiver)
    }

    /// The far side sees one more.
    pub fn show(&mut self) {
        let message = self.pushed.try_receive().expect("one was pushed");
        assert!(self.shown.try_send(message).is_ok(), "there is room for all");
        self.seen += 1;
    }
}

pub struct Appliance {
    pub worker: Worker<SimPort>,
    pub core: Core<SimPool>,
    pub queues: [SimPeer; 2],
    pub orders: Seam<Order<SimBuffer>>,
    pub events: Seam<Event<SimBuffer>>,
    pub pool: SimPool,
    /// Its last round has done something, and the next may find more.
    is_worker_busy: bool,
    is_core_busy: bool,
}

impl Appliance {
    /// With a module that only reads.
    pub fn relaying() -> Appliance {
        Appliance::with(Box::new(Relay {
            merge: MergeWhen::Established,
            server_ack: ServerAck::AfterClient,
            isn: Isn::Keyed,
            acknowledge: Acknowledge::Receipt,
            client_first: None,
        }))
    }

    pub fn with(module: Box<dyn Module>) -> Appliance {
        let (event_sender, events, event_receiver) = Seam::new();
        let (order_sender, orders, order_receiver) = Seam::new();
        let (client_port, client_queue) = SimPort::new(usize::MAX);
        let (server_port, server_queue) = SimPort::new(usize::MAX);
        let worker = Worker::new(worker::Parts {
            id: 0,
            lines: vec![Line::new(client_port, SERVER, 0, 1500), Line::new(server_port, CLIENT, 0, 1500)],
            limits: Limits { flows: 8, parked: 64, far_sides: 4 },
            timeouts: Timeouts::all(IDLE),
            hash: KeyedHash::new([1, 2, 3, 4]),
            cookie_key: [5, 6],
            steering: Steering::Single,
            neighbours: Neighbours::mesh(1, 8).remove(0),
            events: event_sender,
            orders: order_receiver,
            icmp_errors: Default::default(),
            policy: Box::new(Installed::new(Arc::new(everything_is_offered()))),
            heartbeat: Arc::default(),
            report: Arc::default(),
        });
        let pool = SimPool::with_capacity(256, 2048);
        let core = Core::new(core::Parts {
            links: vec![WorkerLink { events: event_receiver, orders: order_sender }],
            pool: pool.clone(),
            modules: vec![module],
            settings: settings(),
            heartbeat: Arc::default(),
            report: Arc::default(),
            buffered: Arc::default(),
        });
        let queues = [client_queue, server_queue];
        let (is_worker_busy, is_core_busy) = (false, false);
        Appliance { worker, core, queues, orders, events, pool, is_worker_busy, is_core_busy }
    }

    pub fn deliver(&mut self, side: usize, frame: &[u8]) {
        self.queues[side].deliver(self.pool.copy_of(frame).expect("a buffer"));
    }

    pub fn has_worker_work(&self) -> bool {
        self.is_worker_busy || self.orders.seen > 0 || self.queues.iter().any(|queue| queue.undelivered() > 0)
    }

    pub fn has_core_work(&self) -> bool {
        self.is_core_busy || self.events.seen > 0
    }

    pub fn poll_worker(&mut self, now: Instant) {
        self.orders.seen = 0;
        self.is_worker_busy = self.worker.poll(now) > 0;
    }

    pub fn poll_core(&mut self, now: Instant) {
        self.events.seen = 0;
        self.is_core_busy = self.core.poll(now) > 0;
    }

    /// Rounds of both, and all messages between them, until nothing is left to do.
    pub fn run(&mut self, now: Instant) {
        for _ in 0..10_000 {
            let mut work = self.worker.poll(now) + self.core.poll(now);
            work += self.orders.pushed.len() + self.events.pushed.len();
            while !self.orders.pushed.is_empty() {
                self.orders.show();
            }
            while !self.events.pushed.is_empty() {
                self.events.show();
            }
            if work == 0 && self.queues.iter().all(|queue| queue.undelivered() == 0) {
                (self.orders.seen, self.events.seen) = (0, 0);
                return;
            }
        }
        panic!("it has always something to do");
    }

    pub fn participating(&self) -> usize {
        self.core.connections().count() + self.core.suspended()
    }

    pub fn is_cut_through(&self) -> bool {
        let table = self.worker.table();
        table.occupied(0..u32::MAX).any(|slot| table.object(slot).path == Path::CutThrough)
    }

    /// What is parked is between two owners.
    pub fn is_handing_over(&self) -> bool {
        let table = self.worker.table();
        table.occupied(0..u32::MAX).any(|slot| table.object(slot).path == Path::Parked)
            || !self.orders.pushed.is_empty()
            || !self.events.pushed.is_empty()
    }

    /// What has been counted.
    pub fn dump(&self) -> String {
        let counts = Counter::ALL.iter().map(|counter| (counter.name(), self.count(*counter)));
        format!("{:?}", counts.filter(|(_, n)| *n > 0).collect::<Vec<_>>())
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.worker.counters().get(counter) + self.core.counters().get(counter)
    }
}

fn everything_is_offered() -> Snapshot {
    let rule = RuleSpec::everything(Action::Offer { module: 0 });
    let defaults = Defaults {
        action: Action::Pass,
        strays: Strays::Drop,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    Snapshot::compile(&[rule], defaults).expect("one rule fits")
}

fn settings() -> Settings {
    // Whoever asks about a RST is answered for longer than moves may wait.
    let leg = control::tcp::Limits {
        send_buffer: 65_536,
        receive_buffer: 65_536,
        linger: IDLE,
        ..Default::default()
    };
    Settings {
        leg,
        connections: 4,
        when_full: Fallback::Drop,
        suspended: suspended::Limits::of(4),
        when_suspended_full: WhenFull::Drop,
        history: NonZeroUsize::MIN,
        buffered: 1 << 20,
        held_per_flow: 32,
        held: 32,
        drain: Duration::from_millis(150),
        drain_up_to: 16 << 10,
        refused: Duration::from_secs(10),
        icmp_errors: Default::default(),
        idle_established: IDLE,
        half_closed: 2 * IDLE,
        isn_key: IsnKey::new([4, 3, 2, 1]),
        peers: vec![SERVER, CLIENT],
        mtu: vec![1500, 1500],
    }
}
