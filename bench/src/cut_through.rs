//! The real worker with every flow cut through.

use std::sync::Arc;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::object::{Track, View};
use dataplane::policy::Snapshot;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::Worker;
use dataplane::worker::mailbox::{Receiver, Sender};
use dataplane::worker::message::{Event, Order};

use crate::Contender;
use crate::generator::{Frame, Frames, Generator, frame, quad};
use crate::worker::{OFFER, Rig};

/// The contender.
pub struct CutThrough {
    worker: Worker<Generator>,
    clock: SystemClock,
    sent: u64,
    // Held so that the worker's mailboxes stay connected.
    _orders: Sender<Order<Frame>>,
    _events: Receiver<Event<Frame>>,
}

impl CutThrough {
    /// `flows` flows, each with `delta` both ways.
    pub fn new(flows: u32, delta: i32) -> CutThrough {
        let frames = Frames::default();
        let ports = [false, true].map(|from_server| Generator::new(flows, from_server, frames.clone()));
        let rules = Arc::new(Snapshot::compile(&[], OFFER).expect("no rules fit"));
        let mut rig = Rig::new(ports, flows as usize, rules, &Arc::default());
        let clock = SystemClock::start();
        for n in 0..flows {
            rig.worker.port_mut(0).inject = Some(frame(quad(n), TcpFlags::SYN, 0, 0));
            let view = View { track: [Track { end: Seq(1), ack: Seq(1) }; 2], ..View::default() };
            rig.cut_through(clock.now(), Delta(delta), view);
        }
        let Rig { mut worker, orders, events } = rig;
        (0..2).for_each(|port| worker.port_mut(port).running = true);
        CutThrough { worker, clock, sent: 0, _orders: orders, _events: events }
    }
}

impl Contender for CutThrough {
    fn round(&mut self) -> usize {
        self.worker.poll(self.clock.now());
        let sent: u64 = self.worker.lines().iter().map(|line| line.port().sent).sum();
        let moved = sent - self.sent;
        self.sent = sent;
        moved as usize
    }
}
