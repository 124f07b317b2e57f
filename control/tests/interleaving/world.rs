//! One flow, its ends, and the steps that a schedule puts in order.

use control::core::handover::{HandOver, Refused};
use control::core::query::Query;
use crossbeam::channel::Receiver;
use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::wire::seq::Seq;

use crate::appliance::Appliance;
use crate::books;
use crate::end::End;

/// What somebody orders, one after the other was answered, and how many segments client and server send meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub orders: &'static [HandOver],
    pub segments: [u32; 2],
}

/// What can be next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The worker sees the next of the orders pushed.
    MoveOrder,
    /// The control core sees the next of the events pushed.
    MoveEvent,
    /// A round of the worker, and what it sends reaches its ends.
    Worker,
    /// A round of the control core.
    Core,
    /// A frame of the client's, of the server's, comes to the worker's port.
    Client,
    Server,
    /// Somebody orders a hand-over.
    Order,
}

pub const STEPS: [Step; 7] =
    [Step::MoveOrder, Step::Worker, Step::MoveEvent, Step::Core, Step::Client, Step::Server, Step::Order];

/// Virtual time after which nothing more is expected.
const PATIENCE: u64 = 30_000;

/// Segments that each end sends in addition, at most, until all orders were given.
const MORE: u32 = 4;

pub struct World {
    appliance: Appliance,
    ends: [End; 2],
    orders: std::slice::Iter<'static, HandOver>,
    quad: Quad,
    pending: Option<Receiver<Result<(), Refused>>>,
    asked: bool,
    now: Instant,
    /// Orders that were carried out, as far as they were answered.
    pub done: u64,
}

impl World {
    /// With the flow cut through, and nothing under way.
    pub fn new(plan: Plan) -> World {
        let quad =
            Quad::between(([10, 0, 0, 1], 4000).into(), ([10, 0, 0, 2], 80).into()).expect("one family");
        // Both pass an edge within the first segments.
        let client = End::new(quad, Seq(u32::MAX - 120), 0);
        let server = End::new(quad.reversed(), Seq((1 << 31) - 130), 0);
        let mut world = World {
            appliance: Appliance::relaying(),
            ends: [client, server],
            orders: [].iter(),
            quad,
            pending: None,
            asked: false,
            now: Instant::from_millis(1_000),
            done: 0,
        };
        world.appliance.deliver(0, &world.ends[0].syn());
        world.settle();
        assert!(world.ends[1].peer_isn.is_some(), "the server was asked: {}", world.appliance.dump());
        world.appliance.deliver(1, &world.ends[1].syn());
        world.settle();
        assert_eq!(world.appliance.participating(), 0, "it has been merged");
        world.orders = plan.orders.iter();
        for (end, segments) in world.ends.iter_mut().zip(plan.segments) {
            end.unsent = segments;
        }
        world
    }

    pub fn enabled(&self) -> impl Iterator<Item = Step> + use<'_> {
        STEPS.into_iter().filter(|step| self.can(*step))
    }

    fn can(&self, step: Step) -> bool {
        match step {
            Step::MoveOrder => !self.appliance.orders.pushed.is_empty(),
            Step::MoveEvent => !self.appliance.events.pushed.is_empty(),
            Step::Worker => self.appliance.has_worker_work(),
            Step::Core => self.asked || self.appliance.has_core_work(),
            Step::Client => self.ends[0].can_speak(),
            Step::Server => self.ends[1].can_speak(),
            // In the middle of one hand-over the next would be refused.
            Step::Order => {
                self.pending.is_none()
                    && self.orders.as_slice().first().is_some_and(|what| self.is_ready(*what))
            }
        }
    }

    fn is_ready(&self, what: HandOver) -> bool {
        match what {
            HandOver::Split | HandOver::SplitFor(_) => self.appliance.is_cut_through(),
            HandOver::Merge => self.appliance.core.connections().count() > 0,
        }
    }

    pub fn take(&mut self, step: Step) {
        match step {
            Step::MoveOrder => self.appliance.orders.show(),
            Step::MoveEvent => self.appliance.events.show(),
            Step::Worker => self.appliance.poll_worker(self.now),
            Step::Core => {
                self.asked = false;
                self.appliance.poll_core(self.now);
            }
            Step::Client | Step::Server => {
                let side = usize::from(step == Step::Server);
                let frame = self.ends[side].speak();
                self.appliance.deliver(side, &frame);
            }
            Step::Order => self.order(),
        }
        self.hear();
        self.hear_answer();
    }

    fn hear_answer(&mut self) {
        if let Some(answer) = self.pending.as_ref().and_then(|pending| pending.try_recv().ok()) {
            // One that waits is carried out later all the same.
            self.done += u64::from(matches!(answer, Ok(()) | Err(Refused::Waiting(_))));
            self.pending = None;
        }
    }

    fn order(&mut self) {
        let Some(what) = self.orders.next().copied() else { return };
        let (answer, answered) = crossbeam::channel::bounded(1);
        self.appliance.core.ask(Query::HandOver { what, flow: self.quad.into(), answer });
        (self.pending, self.asked) = (Some(answered), true);
    }

    fn hear(&mut self) {
        let [client, server] = &mut self.ends;
        while let Some(frame) = self.appliance.queues[0].collect() {
            client.hear(frame.bytes(), server);
        }
        while let Some(frame) = self.appliance.queues[1].collect() {
            server.hear(frame.bytes(), client);
        }
    }

    /// Lets all happen that has to, and then time pass as long as anything is due.
    fn settle(&mut self) {
        let until = self.now + std::time::Duration::from_millis(PATIENCE);
        while self.now < until {
            loop {
                let Some(step) = self.enabled().next() else { break };
                self.take(step);
            }
            if self.is_settled() {
                return;
            }
            let next = self.appliance.core.next_deadline(self.now);
            self.now = next.max(self.now + std::time::Duration::from_millis(1)).min(until);
            self.appliance.poll_core(self.now);
            self.hear_answer();
        }
    }

    fn is_settled(&self) -> bool {
        let acknowledged = |end: &End| end.unsent == 0 && end.acked == end.sent;
        self.ends.iter().all(acknowledged) && self.pending.is_none() && !self.appliance.is_handing_over()
    }

    /// After the schedule: what must be true.
    pub fn finish(&mut self) {
        self.settle();
        // A flow that was split merges when both ends have been heard: they go on until the last order was given.
        for _ in 0..MORE {
            if self.orders.len() > 0 || self.pending.is_some() {
                self.ends.iter_mut().for_each(|end| end.unsent = 1);
                self.settle();
            }
        }
        let [client, server] = &self.ends;
        let numbers = |end: &End| (end.unsent, end.sent, end.acked, end.got);
        let all = [(0, client.sent, client.sent, server.sent), (0, server.sent, server.sent, client.sent)];
        assert_eq!([numbers(client), numbers(server)], all, "not all is there, or acknowledged");
        assert!(self.pending.is_none() && self.orders.len() == 0, "an order has no answer");
        let workers = || std::iter::once(&self.appliance.worker);
        books::ownership(workers(), &self.appliance.core).unwrap_or_else(|what| panic!("{what}"));
        books::names(workers(), &self.appliance.core).unwrap_or_else(|what| panic!("{what}"));
        assert_eq!(self.appliance.pool.in_use(), 0, "a buffer is kept");
        for counter in Counter::ALL.iter().filter(|counter| counter.name().starts_with("drop_")) {
            assert_eq!(self.appliance.count(*counter), 0, "{}", counter.name());
        }
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.appliance.count(counter)
    }
}
