//! A control core of one worker, and a worker that only writes down what it is told.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use control::core::context::Settings;
use control::core::handover::HandOver;
use control::core::load::Load;
use control::core::query::Query;
use control::core::secret::IsnKey;
use control::core::{Core, Parts, WorkerLink};
use control::module::relay::{MergeWhen, Relay};
use control::module::{Acknowledge, Decision, Isn, Module, PartialConnection, ServerAck, Session};
use control::suspended::{self, WhenFull};
use control::tcp::Limits;
use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::cookie::Terms;
use dataplane::counters::Counter;
use dataplane::flow::object::{Path, Record, Track, View};
use dataplane::flow::quad::{Direction, FlowKey, Quad, Segment};
use dataplane::flow::table::{FlowRef, Refused};
use dataplane::packet::{self, Packet, TcpHeaders};
use dataplane::policy::Fallback;
use dataplane::port::PortId;
use dataplane::port::sim::{SimBuffer, SimPool};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::icmp;
use dataplane::wire::ipv4::Ipv4Repr;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp::TcpRepr;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, ListedFlow, Listing, Order, Split};
use zerocopy::IntoBytes;

use crate::raw::build_raw;
use crate::script::read;
pub use crate::script::script;
pub use crate::segments::*;

pub use Direction::{ClientToServer as C2S, ServerToClient as S2C};

pub const CLIENT: PortId = PortId(0);
pub const SERVER: PortId = PortId(1);
/// What the worker was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A segment to the endpoint on that side.
    Tcp(PortId, TcpRepr, Vec<u8>),
    /// Any other frame.
    Other(PortId),
    Participate,
    Release(Path),
    /// Whether its bytes have been searched.
    Park(bool),
    Install(i32, i32, [Track; 2]),
    Replay(Direction, Seq),
    Resume,
    Remove,
    Restart(PortId),
    /// A far side is ordered: as the server will see the flow, and the port behind which that is.
    SetFar(Quad, PortId),
    /// It is taken back.
    ClearFar,
    /// As ordered, for a flow that is nobody's here any more.
    Divert(Quad, PortId),
    /// A segment for the server by the far side.
    Far(TcpRepr, Vec<u8>),
}

/// A module that decides what it was told to.
struct Fixed(Decision);

impl Module for Fixed {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        self.0
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        unreachable!("it never proxies")
    }
}

pub struct Rig {
    pub core: Core<SimPool>,
    pub pool: SimPool,
    pub now: Instant,
    events: Sender<Event<SimBuffer>>,
    orders: Receiver<Order<SimBuffer>>,
    pub flow: FlowRef,
    pub quad: Quad,
    /// Options of the next frame, byte for byte, instead of those that its segment has.
    raw: Option<Vec<u8>>,
    takes_orders: bool,
    /// A page of the flow table that the worker has been asked for.
    pub listing: Option<Box<Listing>>,
    /// A split that the worker has been ordered to make.
    pub ordered_split: Option<Box<Split>>,
    /// What the last object was installed with.
    pub installed: Option<View>,
    /// The last frame that was sent by a far side.
    pub far_frame: Vec<u8>,
    /// ICMP errors sent: the port, type and code, and the sequence number that is quoted.
    pub errors: Vec<(PortId, u8, u8, u32)>,
    /// Frames that have left verbatim, because nobody here wants their flow.
    pub released: Vec<Vec<u8>>,
    /// DSCP and ECN of the endpoints' frames to come.
    pub class: u8,
    /// Beginnings and ends of floods, with how many partial connections there were.
    pub floods: Vec<(usize, bool)>,
    /// Inspection of the rule that offers a SYN.
    pub inspection: u16,
    /// The same of every segment sent since this was last looked at.
    pub classes: Vec<u8>,
}

/// Client number `n`'s quad.
pub fn quad(n: u32) -> Quad {
    let [_, a, b, c] = (n + 1).to_be_bytes();
    Quad::between(([10, a, b, c], 4000).into(), ([11, 0, 0, 2], 80).into()).expect("one family")
}

pub fn relay(merge: MergeWhen) -> Relay {
    Relay {
        merge,
        server_ack: ServerAck::AfterClient,
        isn: Isn::Mirror,
        acknowledge: Acknowledge::Receipt,
        client_first: None,
    }
}

pub fn settings() -> Settings {
    Settings {
        leg: Limits { send_buffer: 65_536, receive_buffer: 65_536, ..Limits::default() },
        connections: 4,
        when_full: Fallback::Drop,
        suspended: suspended::Limits::of(8),
        when_suspended_full: WhenFull::Drop,
        history: NonZeroUsize::new(64).expect("more than none"),
        buffered: 1 << 20,
        held_per_flow: 4,
        held: 16,
        drain: Duration::from_millis(150),
        drain_up_to: 16 << 10,
        refused: Duration::from_secs(10),
        icmp_errors: Default::default(),
        idle_established: Duration::from_secs(3600),
        half_closed: Duration::from_secs(60),
        isn_key: IsnKey::new([1, 2, 3, 4]),
        peers: vec![SERVER, CLIENT],
        mtu: vec![1500, 1500],
    }
}

impl Rig {
    pub fn new(module: impl Module + 'static) -> Rig {
        Rig::with(module, settings())
    }

    pub fn deciding(decision: Decision) -> Rig {
        Rig::new(Fixed(decision))
    }

    pub fn with(module: impl Module + 'static, settings: Settings) -> Rig {
        let (events, event_receiver) = mailbox(64);
        let (order_sender, orders) = mailbox(64);
        let pool = SimPool::new(16_384);
        let core = Core::new(Parts {
            links: vec![WorkerLink { events: event_receiver, orders: order_sender }],
            pool: pool.clone(),
            modules: vec![Box::new(module)],
            settings,
            heartbeat: Arc::default(),
            report: Arc::default(),
            buffered: Arc::default(),
        });
        let flow = FlowRef { slot: 0, generation: 0 };
        Rig {
            core,
            pool,
            now: Instant::ZERO,
            events,
            orders,
            flow,
            quad: quad(0),
            errors: Vec::new(),
            released: Vec::new(),
            raw: None,
            takes_orders: true,
            class: 0,
            inspection: Record::NO_INSPECTION,
            classes: Vec::new(),
            floods: Vec::new(),
            listing: None,
            ordered_split: None,
            installed: None,
            far_frame: Vec::new(),
        }
    }

    /// With both legs up and the server's SYN-ACK acknowledged; nothing of it has been looked at.
    pub fn established(module: impl Module + 'static) -> Rig {
        let mut rig = Rig::new(module);
        rig.establish();
        rig
    }

    /// Returns what followed the client's ACK.
    pub fn establish(&mut self) -> Vec<Said> {
        self.offer(syn(C));
        self.server(syn_ack(S, C + 1), b"");
        self.client(ack(C + 1, S + 1), b"")
    }

    pub fn frame(&mut self, direction: Direction, tcp: &TcpRepr, payload: &[u8]) -> (TcpHeaders, SimBuffer) {
        let (quad, macs) = match direction {
            C2S => (self.quad, ([2; 6], [1; 6])),
            S2C => (self.quad.reversed(), ([1; 6], [2; 6])),
        };
        let mut template = FrameTemplate::new(macs.0, macs.1, &[], 60, quad);
        template.traffic_class = self.class;
        let mut bytes = [0; 2048];
        let len = match self.raw.take() {
            None => template.build(tcp, payload, &mut bytes).expect("it fits"),
            Some(raw) => build_raw(&template, tcp, &raw, payload, &mut bytes),
        };
        match packet::parse(&bytes[..len]) {
            Ok(Packet::Tcp(headers)) => (headers, self.pool.copy_of(&bytes[..len]).expect("a buffer")),
            other => panic!("{other:?}"),
        }
    }

    /// A client's segment as the worker gets it.
    pub fn bytes_of_client(&mut self, tcp: &TcpRepr) -> Vec<u8> {
        self.frame(C2S, tcp, b"").1.bytes().to_vec()
    }

    pub fn offer(&mut self, syn: TcpRepr) -> Vec<Said> {
        self.offer_with(syn, b"")
    }

    /// The next frame has these options, whatever they are; padded with zeros to whole words.
    pub fn with_options(&mut self, options: &[u8]) -> &mut Rig {
        let mut raw = options.to_vec();
        raw.resize(options.len().next_multiple_of(4), 0);
        self.raw = Some(raw);
        self
    }

    /// A SYN with payload.
    pub fn offer_with(&mut self, syn: TcpRepr, payload: &[u8]) -> Vec<Said> {
        let (headers, frame) = self.frame(C2S, &syn, payload);
        self.offered(None, headers, frame)
    }

    /// The first that is heard of the flow.
    pub fn offered(&mut self, proof: Option<Terms>, headers: TcpHeaders, frame: SimBuffer) -> Vec<Said> {
        let Rig { flow, inspection, .. } = *self;
        let (client_side, module) = (CLIENT, 0);
        self.tell(Event::Offered { flow, client_side, module, inspection, proof, headers, frame })
    }

    pub fn client(&mut self, tcp: TcpRepr, payload: &[u8]) -> Vec<Said> {
        self.client_unheard(tcp, payload);
        self.poll()
    }

    pub fn server(&mut self, tcp: TcpRepr, payload: &[u8]) -> Vec<Said> {
        let (headers, frame) = self.frame(S2C, &tcp, payload);
        self.tell(Event::Segment { flow: self.flow, port: SERVER, direction: S2C, headers, frame })
    }

    /// The control core has not looked yet.
    pub fn client_unheard(&mut self, tcp: TcpRepr, payload: &[u8]) {
        let (headers, frame) = self.frame(C2S, &tcp, payload);
        let event = Event::Segment { flow: self.flow, port: CLIENT, direction: C2S, headers, frame };
        assert!(self.events.try_send(event).is_ok(), "the mailbox is full");
    }

    /// The worker's answer to an ordered far side; the client's port is its own there.
    pub fn far_side(&mut self, refused: Option<Refused>) -> Vec<Said> {
        self.placed(refused.map_or(Ok(4000), Err))
    }

    /// The worker's answer to an ordered far side: the client's port there, or why there is none.
    pub fn placed(&mut self, placed: Result<u16, Refused>) -> Vec<Said> {
        self.tell(Event::FarSide { flow: self.flow, placed })
    }

    pub fn parked(&mut self) -> Vec<Said> {
        self.tell(Event::Parked { flow: self.flow })
    }

    /// Somebody orders a hand-over of the flow, which its worker knows by this path.
    pub fn order_hand_over(
        &mut self,
        what: HandOver,
        path: Path,
    ) -> crossbeam::channel::Receiver<Result<(), control::core::handover::Refused>> {
        let (answer, answered) = crossbeam::channel::bounded(1);
        self.core.ask(Query::HandOver { what, flow: self.quad.into(), answer });
        self.poll();
        let mut listing = self.listing.take().expect("the worker is asked");
        let key = FlowKey { quad: self.quad, segment: Segment(0) };
        let record = Record { module: 0, ..Record::default() };
        listing.flows.push(ListedFlow {
            flow: self.flow,
            key,
            path,
            delta_c2s: Delta(0),
            delta_s2c: Delta(0),
            far: None,
            traffic: Default::default(),
            record,
        });
        self.tell(Event::Listed(listing));
        answered
    }

    /// The flow is split by order, with these deltas and what the worker has seen of it.
    pub fn split(&mut self, delta_c2s: i32, delta_s2c: i32, view: View) {
        let answered = self.order_hand_over(HandOver::Split, Path::CutThrough);
        let mut split = self.ordered_split.take().expect("the worker is told");
        split.inspection = view.searched.map_or(Record::NO_INSPECTION, |searched| searched.inspection);
        self.has_split(split, (delta_c2s, delta_s2c), view);
        assert_eq!(answered.try_recv(), Ok(Ok(())));
    }

    /// The worker has carried the order out.
    pub fn has_split(&mut self, mut split: Box<Split>, (delta_c2s, delta_s2c): (i32, i32), view: View) {
        (split.client_side, split.module, split.view) = (CLIENT, 0, view);
        (split.delta_c2s, split.delta_s2c) = (Delta(delta_c2s), Delta(delta_s2c));
        assert!(self.tell(Event::Split(split)).is_empty(), "nothing is said before anybody is heard");
    }

    /// The worker has forgotten the flow.
    pub fn expired(&mut self) -> Vec<Said> {
        self.tell(Event::Expired { flow: self.flow })
    }

    /// An ICMP error of `kind` and `code` about a segment that was sent in direction `quoted` with number `seq`.
    pub fn icmp(&mut self, quoted: Direction, kind: u8, code: u8, seq: u32) -> Vec<Said> {
        let frame = self.icmp_frame(quoted, kind, code, seq);
        let Ok(Packet::IcmpError(error)) = packet::parse(frame.bytes()) else { panic!("no ICMP error") };
        self.tell(Event::Icmp { flow: self.flow, quoted, error, frame })
    }

    fn icmp_frame(&mut self, quoted: Direction, kind: u8, code: u8, seq: u32) -> SimBuffer {
        let (_, about) = self.frame(quoted, &ack(seq, 0), b"");
        let quotation = &about.bytes()[14..42];
        // For those errors that say one, the next hop's MTU is 1280.
        let mut message = vec![kind, code, 0, 0, 0, 0, 5, 0];
        message.extend(quotation);
        let quad = if quoted == C2S { self.quad } else { self.quad.reversed() };
        let dataplane::flow::quad::Addresses::V4(source, _) = quad.addresses else { unreachable!() };
        let repr = Ipv4Repr {
            source: [10, 0, 0, 9],
            destination: source,
            protocol: 1,
            ttl: 60,
            traffic_class: 0,
            payload_len: message.len() as u16,
        };
        icmp::fill_checksum(&mut message, &quad.addresses);
        let mut frame = vec![1; 12];
        frame.extend([8, 0]);
        frame.extend(repr.header().as_bytes());
        frame.extend(message);
        self.pool.copy_of(&frame).expect("a buffer")
    }

    pub fn tell(&mut self, event: Event<SimBuffer>) -> Vec<Said> {
        assert!(self.events.try_send(event).is_ok(), "the mailbox is full");
        self.poll()
    }

    /// Lets time pass, millisecond by millisecond, as far as anything is due.
    pub fn wait(&mut self, time: Duration) -> Vec<Said> {
        let until = self.now + time;
        let mut said = Vec::new();
        while self.now < until {
            self.now = self.core.next_deadline(self.now).max(self.now + Duration::from_millis(1)).min(until);
            said.extend(self.poll());
        }
        said
    }

    pub fn poll(&mut self) -> Vec<Said> {
        self.core.poll(self.now);
        if !self.takes_orders {
            return Vec::new();
        }
        let mut orders = Vec::new();
        while let Some(order) = self.orders.try_receive() {
            self.core.poll(self.now);
            match order {
                Order::List(listing) => self.listing = Some(listing),
                Order::Split(split) => self.ordered_split = Some(split),
                Order::Flood { is_on } => self.floods.push((self.core.suspended(), is_on)),
                order => orders.push(order),
            }
        }
        orders.iter().for_each(|order| self.note(order));
        self.classes.extend(orders.iter().filter_map(|order| match order {
            // Ethernet without tags, IPv4.
            Order::Transmit { frame, .. } => Some(frame.bytes()[15]),
            _ => None,
        }));
        orders.into_iter().map(read).collect()
    }

    fn note(&mut self, order: &Order<SimBuffer>) {
        match order {
            Order::Transmit { port, frame } => {
                if let Ok(Packet::IcmpError(error)) = packet::parse(frame.bytes()) {
                    self.errors.push((*port, error.kind, error.code, error.seq.0));
                }
            }
            Order::TransmitFar { frame, .. } => self.far_frame = frame.bytes().to_vec(),
            Order::Install { view, .. } => self.installed = Some(*view),
            Order::Release { frame, .. } => self.released.push(frame.bytes().to_vec()),
            _ => {}
        }
    }

    /// From now on all is about client number `n`.
    pub fn turn_to(&mut self, n: u32) {
        self.flow = FlowRef { slot: n, generation: 0 };
        self.quad = quad(n);
    }

    /// From now on all is about the flow in slot `slot`, of this quad.
    pub fn turn_to_quad(&mut self, slot: u32, quad: Quad) {
        self.flow = FlowRef { slot, generation: 0 };
        self.quad = quad;
    }

    /// From now on all is about the first client's connection to this port of its server.
    pub fn turn_to_server_port(&mut self, port: u16) {
        self.flow = FlowRef { slot: port.into(), generation: 0 };
        self.quad = Quad { server_port: port, ..quad(0) };
    }

    /// From now on the worker is busy with something else.
    pub fn stop_taking_orders(&mut self) {
        self.takes_orders = false;
    }

    /// The worker catches up.
    pub fn resume_taking_orders(&mut self) -> Vec<Said> {
        self.takes_orders = true;
        self.poll()
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.core.counters().get(counter)
    }

    /// Nothing is left of the flow, no buffer either.
    pub fn assert_gone(&self) {
        let kept = self.core.connections().count() + self.core.suspended();
        assert_eq!(kept, 0, "the control core keeps the flow");
        assert_eq!(self.core.load(), Load::default());
        assert_eq!(self.pool.in_use(), 0, "a buffer is kept");
    }
}
