//! The real worker under SYNs of flows that it has never seen; a control core that forgets each at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::quad::Quad;
use dataplane::port::{BURST, Burst, Port};
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};
use dataplane::worker::Worker;
use dataplane::worker::heartbeat::Heartbeat;
use dataplane::worker::mailbox::{Receiver, Sender};
use dataplane::worker::message::{Event, Order};

use crate::frame::{Frame, Frames};
use crate::race::{Contender, processor_time, run};
use crate::traffic::frame;
use crate::worker::{Beside, Rig, Source};

/// Gives out the SYNs in turn, whole bursts of them, or nothing.
pub struct SynPort {
    frames: Frames,
    syns: Arc<[Vec<u8>]>,
    next: usize,
    /// One frame to be received before anything else.
    inject: Option<Vec<u8>>,
    running: bool,
}

impl SynPort {
    fn new(frames: Frames, syns: Arc<[Vec<u8>]>) -> SynPort {
        SynPort { frames, syns, next: 0, inject: None, running: false }
    }
}

impl Source for SynPort {
    fn start(&mut self) {
        self.running = true;
    }

    fn inject(&mut self, frame: Vec<u8>) {
        self.inject = Some(frame);
    }
}

impl Port for SynPort {
    type Buffer = Frame;

    fn receive(&mut self, burst: &mut Burst<Frame>) -> usize {
        if let Some(bytes) = self.inject.take() {
            burst.push(self.frames.copy_of(&bytes));
            return 1;
        }
        if !self.running {
            return 0;
        }
        let n = BURST.min(self.syns.len());
        for syn in &self.syns[self.next..self.next + n] {
            burst.push(self.frames.copy_of(syn));
        }
        self.next = (self.next + n) % self.syns.len().max(1);
        n
    }

    fn transmit(&mut self, burst: &mut Burst<Frame>) -> usize {
        let n = burst.len();
        self.frames.give_back(burst.drain(..));
        n
    }
}

/// As Linux sends them.
fn syn(quad: &Quad) -> Vec<u8> {
    syn_with(quad, Some(Timestamps { value: 1, echo: 0 }))
}

/// As a Linux sends them that has been told to do without timestamps.
pub fn unstamped_syn(quad: &Quad) -> Vec<u8> {
    syn_with(quad, None)
}

fn syn_with(quad: &Quad, timestamps: Option<Timestamps>) -> Vec<u8> {
    let options = TcpOptions {
        mss: Some(1460),
        sack_permitted: true,
        window_scale: Some(7),
        timestamps,
        ..TcpOptions::default()
    };
    let tcp = TcpRepr { seq: Seq(7), flags: TcpFlags::SYN, window: 64_240, options, ..TcpRepr::default() };
    frame(*quad, &tcp)
}

fn syns(quads: &[Quad]) -> Arc<[Vec<u8>]> {
    quads.iter().map(syn).collect()
}

/// The port alone: what every worker's figure has in it.
pub struct Wire(SynPort);

impl Wire {
    pub fn new(quads: &[Quad]) -> Wire {
        let mut port = SynPort::new(Frames::default(), syns(quads));
        port.start();
        Wire(port)
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

/// The contender: the worker's own time, without that of whoever forgets.
pub struct Syns {
    worker: Worker<SynPort>,
    forgetting: Duration,
    /// Frames whose flows are forgotten.
    back: Vec<Frame>,
    clock: SystemClock,
    frames: Frames,
    orders: Sender<Order<Frame>>,
    events: Receiver<Event<Frame>>,
}

/// A worker that gets SYNs, with room for so many flows of theirs; and what its frames are made of.
pub fn rig(
    beside: &Beside,
    quads: &[Quad],
    flows: usize,
    heartbeat: &Arc<Heartbeat>,
) -> (Rig<SynPort>, Frames, SystemClock) {
    let frames = Frames::default();
    let ports = [syns(quads), Arc::from([])].map(|syns| SynPort::new(frames.clone(), syns));
    let flows = flows + beside.idle as usize;
    let mut rig = Rig::new(ports, flows, Arc::clone(&beside.rules), heartbeat);
    let clock = SystemClock::start();
    rig.fill(clock, beside.idle);
    rig.start();
    (rig, frames, clock)
}

impl Syns {
    pub fn new(beside: &Beside, quads: &[Quad]) -> Syns {
        let (Rig { worker, orders, events }, frames, clock) = rig(beside, quads, 4096, &Arc::default());
        Syns {
            worker,
            forgetting: Duration::ZERO,
            back: Vec::with_capacity(BURST),
            clock,
            frames,
            orders,
            events,
        }
    }
}

impl Contender for Syns {
    fn round(&mut self) -> usize {
        self.worker.poll(self.clock.now());
        let start = Instant::now();
        let mut offered = 0;
        while let Some(event) = self.events.try_receive() {
            let Event::Offered { flow, frame, .. } = event else { unreachable!("SYNs are offered") };
            self.back.push(frame);
            assert!(self.orders.try_send(Order::Remove { flow }).is_ok(), "as many orders as SYNs fit");
            offered += 1;
        }
        self.forgetting += start.elapsed();
        // The port has done that for those that it is measured with alone.
        self.frames.give_back(self.back.drain(..));
        offered
    }

    fn nanoseconds(&mut self, units: usize) -> f64 {
        run(units / 20, self);
        let (start, wall, forgetting) = (processor_time(), Instant::now(), self.forgetting);
        let done = run(units, self);
        // Wall time tells who has spent it, processor time how much it was.
        let share = (self.forgetting - forgetting).as_secs_f64() / wall.elapsed().as_secs_f64();
        (processor_time() - start).as_nanos() as f64 * (1.0 - share) / done as f64
    }
}
