//! A worker between two simulated ports, and the control core's ends of its mailboxes in the test's hands.

use std::sync::Arc;
use std::time::Duration;

use dataplane::buffer::{Buffer, ChecksumHint};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::quad::{Addresses, Quad};
use dataplane::policy::services::Services;
use dataplane::policy::{Action, Defaults, Fallback, Installed, Prefix, RuleSpec, Snapshot, Strays};
use dataplane::port::PortId;
use dataplane::port::sim::{SimBuffer, SimPeer, SimPool, SimPort};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::icmp;
use dataplane::wire::ipv4::Ipv4Repr;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::heartbeat::Heartbeat;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, Order};
use dataplane::worker::report::Report;
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{Limits, Parts, Timeouts, Worker};
use zerocopy::IntoBytes;

pub const CLIENT: PortId = PortId(0);
pub const SERVER: PortId = PortId(1);

pub struct Bench {
    pub worker: Worker<SimPort>,
    pub pool: SimPool,
    pub peers: [SimPeer; 2],
    pub events: Receiver<Event<SimBuffer>>,
    pub orders: Sender<Order<SimBuffer>>,
    pub now: Instant,
    heartbeat: Arc<Heartbeat>,
}

/// What differs between the workers of a bench.
struct Place {
    id: usize,
    steering: Steering,
    neighbours: Neighbours<SimBuffer>,
    /// Of both ports.
    pair: u8,
}

impl Place {
    fn alone() -> Place {
        Place { id: 0, steering: Steering::Single, neighbours: Neighbours::mesh(1, 1).remove(0), pair: 0 }
    }
}

/// One rule: `action` for everything to 10.0.0.2 or fd00::2, port 80.
pub fn rules(action: Action) -> Snapshot {
    let rule = RuleSpec {
        destinations: vec![prefix("10.0.0.2"), prefix("fd00::2")],
        destination_ports: vec![80..=80],
        ..RuleSpec::everything(action)
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
        Bench::with_limits(policy, Limits { flows: 8, parked: 4, far_sides: 4 }, 256)
    }

    pub fn with_limits(policy: Snapshot, limits: Limits, events: usize) -> Bench {
        Bench::at(Place::alone(), policy, limits, events)
    }

    /// With its ports in another pair than the first.
    pub fn on_pair(policy: Snapshot, pair: u8) -> Bench {
        let limits = Limits { flows: 8, parked: 4, far_sides: 4 };
        Bench::at(Place { pair, ..Place::alone() }, policy, limits, 256)
    }

    /// With addresses of the appliance's own.
    pub fn with_services(policy: Snapshot, addresses: &[&str]) -> Bench {
        let services = Services::new(addresses.iter().map(|text| text.parse().unwrap()).collect());
        let limits = Limits { flows: 8, parked: 4, far_sides: 4 };
        Bench::at(Place::alone(), policy.with_services(services), limits, 256)
    }

    /// Workers 0 and 1, each with a queue of both ports, `ring` frames between them, and no help of RSS.
    pub fn two(policy: &Snapshot, ring: usize) -> [Bench; 2] {
        let steering = Steering::Hash { hash: KeyedHash::new([5, 6, 7, 8]), workers: 2 };
        let limits = Limits { flows: 8, parked: 4, far_sides: 4 };
        let both = Bench::together(policy, limits, ring, &steering, 2);
        both.try_into().unwrap_or_else(|_| panic!("there are two"))
    }

    /// So many workers, each with a queue of both ports, and `ring` frames between each two.
    pub fn together(
        policy: &Snapshot,
        limits: Limits,
        ring: usize,
        steering: &Steering,
        count: usize,
    ) -> Vec<Bench> {
        let mesh = Neighbours::mesh(count, ring).into_iter().enumerate();
        let place = |(id, neighbours)| Place { id, steering: steering.clone(), neighbours, pair: 0 };
        mesh.map(|each| Bench::at(place(each), policy.clone(), limits, 256)).collect()
    }

    fn at(place: Place, policy: Snapshot, limits: Limits, events: usize) -> Bench {
        let pool = SimPool::new(128);
        let (client_port, client) = SimPort::new(64);
        let (server_port, server) = SimPort::new(64);
        let (event_sender, event_receiver) = mailbox(events);
        let (order_sender, order_receiver) = mailbox(64);
        let heartbeat = Arc::default();
        let worker = Worker::new(Parts {
            id: place.id,
            lines: vec![
                Line::new(client_port, SERVER, place.pair, 1500).with_mac([0xe0; 6]),
                Line::new(server_port, CLIENT, place.pair, 1500).with_mac([0xe2; 6]),
            ],
            limits,
            timeouts: Timeouts {
                opening: Duration::from_secs(75),
                established: Duration::from_secs(600),
                half_closed: Duration::from_secs(120),
                linger: Duration::from_secs(10),
                control_stall: Duration::from_secs(1),
            },
            hash: KeyedHash::new([1, 2, 3, 4]),
            cookie_key: [5, 6],
            steering: place.steering,
            neighbours: place.neighbours,
            events: event_sender,
            orders: order_receiver,
            icmp_errors: Default::default(),
            policy: Box::new(Installed::new(Arc::new(policy))),
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
        self.heartbeat.beat();
        self.stall(by);
    }

    /// Time passes and the control core does nothing.
    pub fn stall(&mut self, by: Duration) {
        self.now = self.now + by;
        self.poll();
    }

    pub fn deliver(&mut self, port: PortId, frame: &[u8]) {
        self.deliver_hinted(port, frame, ChecksumHint::Unknown);
    }

    /// A frame of which the device says this.
    pub fn deliver_hinted(&mut self, port: PortId, frame: &[u8], hint: ChecksumHint) {
        self.put(port, frame, hint);
        self.poll();
    }

    /// The same for the next round to take.
    pub fn put(&mut self, port: PortId, frame: &[u8], hint: ChecksumHint) {
        let mut buffer = self.pool.copy_of(frame).expect("the pool has room");
        buffer.set_checksum_hint(hint);
        self.peers[usize::from(port.0)].deliver(buffer);
    }

    /// The next event that is no hit.
    pub fn heard(&mut self) -> Option<Event<SimBuffer>> {
        std::iter::from_fn(|| self.events.try_receive()).find(|event| !matches!(event, Event::Hit { .. }))
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

/// An ICMP or ICMPv6 error from beyond the port where it comes in, about `segment`, a frame of ours.
pub fn icmp_error(segment: &[u8]) -> Vec<u8> {
    let (link, quote) = segment.split_at(14);
    let is_v6 = link[12..] == [0x86, 0xdd];
    let mut message =
        vec![if is_v6 { icmp::v6::UNREACHABLE } else { icmp::v4::UNREACHABLE }, 1, 0, 0, 0, 0, 0, 0];
    message.extend(&quote[..quote.len().min(80)]);
    let payload_len = message.len() as u16;
    let mut frame = link.to_vec();
    if is_v6 {
        let (source, destination) = ([0xfd; 16], [0xfc; 16]);
        icmp::fill_checksum(&mut message, &Addresses::V6(source, destination));
        let header: &mut [u8] = &mut [0; 40];
        (header[0], header[6], header[7]) = (0x60, 58, 9);
        header[4..6].copy_from_slice(&payload_len.to_be_bytes());
        header[8..24].fill(0xfd);
        header[24..].fill(0xfc);
        frame.extend(&*header);
    } else {
        let (source, destination) = ([203, 0, 113, 1], [10, 0, 0, 1]);
        icmp::fill_checksum(&mut message, &Addresses::V4(source, destination));
        let repr = Ipv4Repr { source, destination, protocol: 1, ttl: 9, traffic_class: 0, payload_len };
        frame.extend(repr.header().as_bytes());
    }
    frame.extend(message);
    frame
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
