//! The real worker under SYNs of flows that it has never seen; a control core that forgets each at once.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::quad::Quad;
use dataplane::policy::{Installed, Snapshot};
use dataplane::port::{BURST, Burst, Port, PortId};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::TcpOptions;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, Order};
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{Limits, Parts, Timeouts, Worker};

use crate::Contender;
use crate::generator::{Frame, Frames};

/// Gives out the SYNs in turn, whole bursts of them, or nothing.
pub struct SynPort {
    frames: Frames,
    syns: Arc<[Vec<u8>]>,
    next: usize,
}

impl Port for SynPort {
    type Buffer = Frame;

    fn receive(&mut self, burst: &mut Burst<Frame>) -> usize {
        let n = BURST.min(self.syns.len());
        for syn in &self.syns[self.next..self.next + n] {
            burst.push(self.frames.copy_of(syn));
        }
        self.next = (self.next + n) % self.syns.len().max(1);
        n
    }

    fn transmit(&mut self, burst: &mut Burst<Frame>) -> usize {
        let n = burst.len();
        burst.drain(..).for_each(|frame| self.frames.give_back(frame));
        n
    }
}

/// As Linux sends them.
fn syn(quad: &Quad) -> Vec<u8> {
    let options =
        TcpOptions { mss: Some(1460), sack_permitted: true, window_scale: Some(7), ..TcpOptions::default() };
    let tcp = TcpRepr { seq: Seq(7), flags: TcpFlags::SYN, window: 64_240, options, ..TcpRepr::default() };
    let mut bytes = vec![0; 128];
    let template = FrameTemplate::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], &[], 64, *quad);
    let len = template.build(&tcp, &[], &mut bytes).expect("a SYN fits");
    bytes.truncate(len);
    bytes
}

fn syns(quads: &[Quad]) -> Arc<[Vec<u8>]> {
    quads.iter().map(syn).collect()
}

/// The port alone: what every worker's figure has in it.
pub struct Wire(SynPort);

impl Wire {
    pub fn new(quads: &[Quad]) -> Wire {
        Wire(SynPort { frames: Frames::default(), syns: syns(quads), next: 0 })
    }
}

impl Contender for Wire {
    fn round(&mut self) -> usize {
        let mut burst = Burst::new();
        let n = self.0.receive(&mut burst);
        self.0.transmit(&mut burst);
        n
    }
}

/// The contender.
pub struct Syns {
    worker: Worker<SynPort>,
    clock: SystemClock,
    frames: Frames,
    orders: Sender<Order<Frame>>,
    events: Receiver<Event<Frame>>,
}

/// Nothing ends while we measure.
pub const HOUR: Duration = Duration::from_secs(3600);

/// A worker that gets SYNs.
pub struct Rig {
    pub worker: Worker<SynPort>,
    /// What its frames are made of.
    pub frames: Frames,
    pub orders: Sender<Order<Frame>>,
    pub events: Receiver<Event<Frame>>,
}

/// With room for so many flows.
pub fn rig(snapshot: Arc<Snapshot>, quads: &[Quad], flows: usize, heartbeat: &Arc<AtomicU64>) -> Rig {
    let (orders, order_receiver) = mailbox(256);
    let (event_sender, events) = mailbox(256);
    let frames = Frames::default();
    let line = |syns, peer| {
        let port = SynPort { frames: frames.clone(), syns, next: 0 };
        Line::new(port, PortId(peer), 0, 1500)
    };
    let worker = Worker::new(Parts {
        id: 0,
        lines: vec![line(syns(quads), 1), line(Arc::from([]), 0)],
        limits: Limits { flows, parked: 16, far_sides: 16 },
        timeouts: Timeouts {
            opening: HOUR,
            established: HOUR,
            half_closed: HOUR,
            linger: HOUR,
            control_stall: HOUR,
        },
        hash: KeyedHash::new([1, 2, 3, 4]),
        steering: Steering::Single,
        neighbours: Neighbours::mesh(1, 1).remove(0),
        events: event_sender,
        orders: order_receiver,
        icmp_errors: Default::default(),
        policy: Box::new(Installed::new(snapshot)),
        heartbeat: Arc::clone(heartbeat),
        report: Arc::default(),
    });
    Rig { worker, frames, orders, events }
}

impl Syns {
    pub fn new(snapshot: Arc<Snapshot>, quads: &[Quad]) -> Syns {
        let Rig { worker, frames, orders, events } = rig(snapshot, quads, 4096, &Arc::default());
        Syns { worker, clock: SystemClock::start(), frames, orders, events }
    }
}

impl Contender for Syns {
    fn round(&mut self) -> usize {
        self.worker.poll(self.clock.now());
        let mut offered = 0;
        while let Some(event) = self.events.try_receive() {
            let Event::Offered { flow, frame, .. } = event else { unreachable!("SYNs are offered") };
            self.frames.give_back(frame);
            assert!(self.orders.try_send(Order::Remove { flow }).is_ok(), "as many orders as SYNs fit");
            offered += 1;
        }
        offered
    }
}
