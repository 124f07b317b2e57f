//! The real worker with every flow cut through.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::object::{Track, View};
use dataplane::policy::{Action, Defaults, Fallback, Installed, Snapshot, Strays};
use dataplane::port::PortId;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, Order};
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{Limits, Parts, Timeouts, Worker};

use crate::Contender;
use crate::generator::{Frame, Frames, Generator, frame, quad};

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
        let (mut orders, order_receiver) = mailbox(64);
        let (event_sender, mut events) = mailbox(256);
        let frames = Frames::default();
        let line = |from_server, peer| {
            Line::new(Generator::new(flows, from_server, frames.clone()), PortId(peer), 0, 1500)
        };
        let offer = Defaults {
            action: Action::Offer { module: 0 },
            strays: Strays::Drop,
            flows_full: Fallback::Drop,
            on_control_stall: Fallback::Drop,
        };
        let hour = Duration::from_secs(3600);
        let mut worker = Worker::new(Parts {
            id: 0,
            lines: vec![line(false, 1), line(true, 0)],
            limits: Limits { flows: flows as usize, parked: 16, far_sides: 4 },
            timeouts: Timeouts {
                opening: hour,
                established: hour,
                half_closed: hour,
                linger: hour,
                control_stall: hour,
            },
            hash: KeyedHash::new([1, 2, 3, 4]),
            steering: Steering::Single,
            neighbours: Neighbours::mesh(1, 1).remove(0),
            events: event_sender,
            orders: order_receiver,
            icmp_errors: Default::default(),
            policy: Box::new(Installed::new(Arc::new(Snapshot::compile(&[], offer).expect("no rules fit")))),
            heartbeat: Arc::new(AtomicU64::new(0)),
            report: Arc::default(),
        });
        let clock = SystemClock::start();
        for n in 0..flows {
            worker.port_mut(0).inject = Some(frame(quad(n), TcpFlags::SYN, 0, 0));
            worker.poll(clock.now());
            let Some(Event::Offered { flow, .. }) = events.try_receive() else {
                unreachable!("a SYN of a new flow is offered")
            };
            let view = View { track: [Track { end: Seq(1), ack: Seq(1) }; 2], ..View::default() };
            let (delta_c2s, delta_s2c) = (Delta(delta), Delta(delta));
            let install = Order::Install { flow, delta_c2s, delta_s2c, view };
            for order in [Order::Participate { flow }, Order::Park { flow }, install, Order::Resume { flow }]
            {
                assert!(orders.try_send(order).is_ok(), "four orders fit");
            }
            worker.poll(clock.now());
            assert!(matches!(events.try_receive(), Some(Event::Parked { .. })), "parking is answered");
        }
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
