//! A worker between two simulated ports, and the control core's ends of its mailboxes in the test's hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::quad::Quad;
use dataplane::policy::{Action, Defaults, Fallback, Prefix, RuleSpec, Snapshot, Strays};
use dataplane::port::PortId;
use dataplane::port::sim::{SimBuffer, SimPeer, SimPool, SimPort};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, Order};
use dataplane::worker::report::Report;
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{Limits, Parts, Timeouts, Worker};

pub const CLIENT: PortId = PortId(0);
pub const SERVER: PortId = PortId(1);

pub struct Bench {
    pub worker: Worker<SimPort, SimPool>,
    pub pool: SimPool,
    pub peers: [SimPeer; 2],
    pub events: Receiver<Event<SimBuffer>>,
    pub orders: Sender<Order<SimBuffer>>,
    pub now: Instant,
    heartbeat: Arc<AtomicU64>,
}

/// One rule: `action` for everything to 10.0.0.2 or fd00::2, port 80.
pub fn rules(action: Action) -> Snapshot {
    let rule = RuleSpec {
        destinations: vec![prefix("10.0.0.2"), prefix("fd00::2")],
        destination_ports: vec![80..=80],
        sources: vec![],
        source_ports: vec![],
        vlans: vec![],
        action,
    };
    Snapshot::compile(&[rule], DEFAULTS).unwrap()
}

pub const DEFAULTS: Defaults = Defaults {
    action: Action::Pass,
    strays: Strays::Drop,
    flows_full: Fallback::Drop,
    on_control_stall: Fallback::Drop,
};

fn prefix(address: &str) -> Prefix {
    let address: std::net::IpAddr = address.parse().unwrap();
    Prefix::new(address, if address.is_ipv4() { 32 } else { 128 }).unwrap()
}

impl Bench {
    pub fn new(policy: Snapshot) -> Bench {
        Bench::with_limits(policy, Limits { flows: 8, suspended: 4, parked: 4 }, 256)
    }

    pub fn with_limits(policy: Snapshot, limits: Limits, events: usize) -> Bench {
        let pool = SimPool::new(64);
        let (client_port, client) = SimPort::new(64);
        let (server_port, server) = SimPort::new(64);
        let (event_sender, event_receiver) = mailbox(events);
        let (order_sender, order_receiver) = mailbox(64);
        let heartbeat = Arc::new(AtomicU64::new(0));
        let worker = Worker::new(Parts {
            id: 0,
            lines: vec![Line::new(client_port, SERVER, 0, 1500), Line::new(server_port, CLIENT, 0, 1500)],
            pool: pool.clone(),
            limits,
            timeouts: Timeouts {
                opening: Duration::from_secs(75),
                established: Duration::from_secs(600),
                half_closed: Duration::from_secs(120),
                linger: Duration::from_secs(10),
                control_stall: Duration::from_secs(1),
            },
            hash: KeyedHash::new([1, 2, 3, 4]),
            steering: Steering::Single,
            neighbours: Neighbours::mesh(1, 1).remove(0),
            events: event_sender,
            orders: order_receiver,
            policy: Arc::new(policy),
            heartbeat: Arc::clone(&heartbeat),
            report: Arc::new(Report::default()),
        });
        let now = Instant::from_millis(1);
        Bench {
            worker,
            pool,
            peers: [client, server],
            events: event_receiver,
            orders: order_sender,
            now,
            heartbeat,
        }
    }

    pub fn poll(&mut self) {
        while self.worker.poll(self.now) > 0 {}
    }

    /// Time passes and the control core lives.
    pub fn wait(&mut self, by: Duration) {
        self.heartbeat.fetch_add(1, Ordering::Relaxed);
        self.stall(by);
    }

    /// Time passes and the control core does nothing.
    pub fn stall(&mut self, by: Duration) {
        self.now = self.now + by;
        self.poll();
    }

    pub fn deliver(&mut self, port: PortId, frame: &[u8]) {
        let buffer = self.pool.copy_of(frame).expect("the pool has room");
        self.peers[usize::from(port.0)].deliver(buffer);
        self.poll();
    }

    pub fn collect(&mut self, port: PortId) -> Option<Vec<u8>> {
        self.peers[usize::from(port.0)].collect().map(|frame| frame.bytes().to_vec())
    }

    pub fn order(&mut self, order: Order<SimBuffer>) {
        assert!(self.orders.try_send(order).is_ok(), "the order mailbox has room");
        self.poll();
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.worker.counters().get(counter)
    }
}

pub fn quad(v6: bool) -> Quad {
    let ends = if v6 { ("[fd00::1]:4000", "[fd00::2]:80") } else { ("10.0.0.1:4000", "10.0.0.2:80") };
    Quad::between(ends.0.parse().unwrap(), ends.1.parse().unwrap()).unwrap()
}

/// A frame of one end of `quad`, with `tags` as VLAN tags.
pub fn frame(
    quad: Quad,
    flags: TcpFlags,
    seq: u32,
    ack: u32,
    payload: &[u8],
    tags: &[(u16, u16)],
) -> Vec<u8> {
    let template = FrameTemplate::new([0xc; 6], [0xa; 6], tags, 61, quad);
    let tcp = TcpRepr { seq: Seq(seq), ack: Seq(ack), flags, window: 1000, ..TcpRepr::default() };
    let mut bytes = [0; 1600];
    let len = template.build(&tcp, payload, &mut bytes).expect("it fits");
    bytes[..len].to_vec()
}
