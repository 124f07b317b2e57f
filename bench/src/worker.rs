//! One worker with two ports, alone: no neighbours, and nothing ends while we measure.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::clock::{Clock, Instant, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::object::View;
use dataplane::flow::table::FlowRef;
use dataplane::policy::{Action, Defaults, Fallback, Installed, Snapshot, Strays};
use dataplane::port::{Port, PortId};
use dataplane::wire::seq::Delta;
use dataplane::worker::heartbeat::Heartbeat;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, Order};
use dataplane::worker::report::Report;
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{Limits, Parts, Timeouts, Worker};

use crate::race::Contender;
use crate::traffic::{Family, bare_syn};

/// Frames in a ring between two workers.
const NEIGHBOUR_RING: usize = 1024;

/// Beyond all flows that say something; their clients are in [`IDLE_CLIENTS`], of which there are enough for 16 million.
const FIRST_IDLE: u32 = 1 << 24;
pub const IDLE_CLIENTS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 0), 23);

/// Longer than any run.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Every SYN that no rule matches is offered to the first module.
pub const OFFER: Defaults = Defaults {
    action: Action::Offer { module: 0 },
    strays: Strays::Drop,
    flows_full: Fallback::Drop,
    on_control_stall: Fallback::Drop,
};

/// How much a worker has room for.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub flows: usize,
    /// Of each mailbox, and of the place where frames wait for a merge.
    pub messages: usize,
    /// How long a flow that is over stays.
    pub linger: Duration,
}

/// A worker's place among others.
pub struct Seat<B> {
    pub id: usize,
    pub steering: Steering,
    pub neighbours: Neighbours<B>,
    pub heartbeat: Arc<Heartbeat>,
    pub report: Arc<Report>,
}

impl<B> Seat<B> {
    /// Of the only one.
    fn alone(heartbeat: &Arc<Heartbeat>) -> Seat<B> {
        Seat {
            id: 0,
            steering: Steering::Single,
            neighbours: Neighbours::mesh(1, 1).remove(0),
            heartbeat: Arc::clone(heartbeat),
            report: Arc::default(),
        }
    }

    /// Of several, whose devices bring each flow to its worker.
    pub fn row(workers: usize, heartbeat: &Arc<Heartbeat>) -> Vec<Seat<B>> {
        let seat = |(id, neighbours)| Seat {
            id,
            steering: Steering::Rss { queue: Arc::new(move |_| id) },
            neighbours,
            heartbeat: Arc::clone(heartbeat),
            report: Arc::default(),
        };
        Neighbours::mesh(workers, NEIGHBOUR_RING).into_iter().enumerate().map(seat).collect()
    }
}

/// The client's port and the server's.
pub fn lines<P: Port>([client, server]: [P; 2]) -> Vec<Line<P>> {
    vec![Line::new(client, PortId(1), 0, 1500), Line::new(server, PortId(0), 0, 1500)]
}

/// A worker, and the control core's ends of its mailboxes.
pub struct Rig<P: Port> {
    pub worker: Worker<P>,
    pub orders: Sender<Order<P::Buffer>>,
    pub events: Receiver<Event<P::Buffer>>,
}

impl<P: Port> Rig<P> {
    /// With the client's port and the server's, and room for so many flows.
    pub fn new(ports: [P; 2], flows: usize, rules: Arc<Snapshot>, heartbeat: &Arc<Heartbeat>) -> Rig<P> {
        let room = Room { flows, messages: 256, linger: HOUR };
        Rig::with(ports, room, rules, heartbeat)
    }

    /// With room as needed.
    pub fn with(ports: [P; 2], room: Room, rules: Arc<Snapshot>, heartbeat: &Arc<Heartbeat>) -> Rig<P> {
        Rig::at(Seat::alone(heartbeat), lines(ports), room, rules)
    }

    /// In its place among others.
    pub fn at(seat: Seat<P::Buffer>, lines: Vec<Line<P>>, room: Room, rules: Arc<Snapshot>) -> Rig<P> {
        let (orders, order_receiver) = mailbox(room.messages);
        let (event_sender, events) = mailbox(room.messages);
        let Seat { id, steering, neighbours, heartbeat, report } = seat;
        let worker = Worker::new(Parts {
            id,
            lines,
            limits: Limits { flows: room.flows, parked: room.messages, far_sides: 16 },
            timeouts: Timeouts { linger: room.linger, ..Timeouts::all(HOUR) },
            hash: KeyedHash::new([1, 2, 3, 4]),
            cookie_key: [5, 6],
            steering,
            neighbours,
            events: event_sender,
            orders: order_receiver,
            icmp_errors: Default::default(),
            policy: Box::new(Installed::new(rules)),
            heartbeat,
            report,
        });
        Rig { worker, orders, events }
    }

    /// The flow whose SYN is received next is offered, and cut through at once.
    pub fn cut_through(&mut self, now: Instant, delta: Delta, view: View) -> FlowRef {
        self.worker.poll(now);
        let Some(Event::Offered { flow, .. }) = self.events.try_receive() else {
            unreachable!("a SYN of a new flow is offered")
        };
        let install = Order::Install { flow, delta_c2s: delta, delta_s2c: delta, view };
        for order in [
            Order::Participate { flow },
            Order::Park { flow, searched: false },
            install,
            Order::Resume { flow },
        ] {
            assert!(self.orders.try_send(order).is_ok(), "four orders fit");
        }
        self.worker.poll(now);
        assert!(matches!(self.events.try_receive(), Some(Event::Parked { .. })), "parking is answered");
        flow
    }
}

impl<P: Source> Rig<P> {
    /// What the client's port receives next.
    pub fn inject(&mut self, frame: Vec<u8>) {
        self.worker.port_mut(0).inject(frame);
    }

    /// So many IPv4 flows that are cut through, and of which nothing is heard.
    pub fn fill(&mut self, clock: SystemClock, idle: u32) {
        for n in 0..idle {
            self.inject(bare_syn(Family::V4.quad(FIRST_IDLE + n)));
            self.cut_through(clock.now(), Delta(1), View::default());
        }
    }

    /// From here on its ports make up frames.
    pub fn start(&mut self) {
        (0..2).for_each(|port| self.worker.port_mut(port).start());
    }
}

/// A port that makes up its frames.
pub trait Source: Port {
    /// Begins to.
    fn start(&mut self);
    /// One frame to be received before anything else.
    fn inject(&mut self, frame: Vec<u8>);
}

/// A port that counts what comes to it.
pub trait Counted: Source {
    /// Frames that were transmitted to it.
    fn sent(&self) -> u64;
}

/// What a worker has beside the flows that are measured.
#[derive(Clone)]
pub struct Beside {
    /// That every SYN meets.
    pub rules: Arc<Snapshot>,
    /// Flows in its table, of which nothing is heard.
    pub idle: u32,
}

impl Beside {
    /// Nothing: every SYN is offered.
    pub fn nothing() -> Beside {
        Beside { rules: Arc::new(Snapshot::compile(&[], OFFER).expect("no rules fit")), idle: 0 }
    }
}

/// A contender: a worker that carries what its ports make up.
pub struct Carrier<P: Counted> {
    pub worker: Worker<P>,
    clock: SystemClock,
    sent: u64,
    // Held so that the worker's mailboxes stay connected.
    _orders: Sender<Order<P::Buffer>>,
    _events: Receiver<Event<P::Buffer>>,
}

impl<P: Counted> Carrier<P> {
    /// Whose flows are there already; from here on its ports make up frames.
    pub fn start(mut rig: Rig<P>, clock: SystemClock) -> Carrier<P> {
        rig.start();
        let Rig { worker, orders, events } = rig;
        Carrier { worker, clock, sent: 0, _orders: orders, _events: events }
    }
}

impl<P: Counted> Carrier<P> {
    /// What is dropped is quick.
    pub fn assert_nothing_was_lost(&self) {
        let counters = self.worker.counters();
        let is_about_loss =
            |counter: &&Counter| counter.name().starts_with("drop_") || counter.name().starts_with("inspect");
        for counter in Counter::ALL.iter().filter(is_about_loss) {
            assert_eq!(counters.get(*counter), 0, "{}", counter.name());
        }
    }
}

impl<P: Counted> Contender for Carrier<P> {
    fn round(&mut self) -> usize {
        self.worker.poll(self.clock.now());
        let sent: u64 = self.worker.lines().iter().map(|line| line.port().sent()).sum();
        let moved = sent - self.sent;
        self.sent = sent;
        moved as usize
    }
}
