//! The control core: one thread that owns every flow on the participating path.
//!
//! Sans-I/O like all below it: events of the workers and time go in, orders come out. [`Core::poll`] is its loop body.

mod accepted;
pub mod change;
mod check;
pub mod context;
mod floods;
mod flows;
pub mod handover;
pub(crate) mod history;
pub mod journal;
pub mod load;
mod offers;
pub mod query;
pub mod secret;
mod validating;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use dataplane::budget::Budget;
use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::flow::expiry::{Taken, Wheel};
use dataplane::flow::object::Record;
use dataplane::flow::table::FlowRef;
use dataplane::inspect::hits::Telling;
use dataplane::memory::lasting;
use dataplane::policy::Snapshot;
use dataplane::worker::heartbeat::Heartbeat;
use dataplane::worker::mailbox::{Receiver, Sender};
use dataplane::worker::message::{Event, Order};
use dataplane::worker::report::{Counters, Gauges, Report};

use crate::connection::Connection;
use crate::module::{Module, Ticket};
use crate::suspended::Suspended;
use crate::suspended::rejections::Rejections;

use change::{Change, Changes};
use context::{Means, Outbox, Settings};
use floods::Floods;
use flows::Arrived;
use handover::{Asker, Pendings, Refused};
use history::History;
use journal::{Happening, Journal};
use load::Load;
pub(crate) use offers::BYTES_PER_ANSWER;
use offers::{Kept, Offer};
use query::{Next, Query, Questions, Wanted};
use validating::Validating;

/// Events of one worker handled in a round, at most.
const EVENTS_PER_ROUND: usize = 256;

/// A worker, as the control core sees it.
pub struct WorkerLink<B> {
    /// What it reports.
    pub events: Receiver<Event<B>>,
    /// What it is told.
    pub orders: Sender<Order<B>>,
}

/// What the control core is made of.
pub struct Parts<L: Pool> {
    /// By worker number.
    pub links: Vec<WorkerLink<L::Buffer>>,
    /// Buffers for frames of its own.
    pub pool: L,
    /// Modules, in the order that rules refer to them.
    pub modules: Vec<Box<dyn Module>>,
    /// Fixed settings.
    pub settings: Settings,
    /// Counted up every round; workers watch it.
    pub heartbeat: Arc<Heartbeat>,
    /// Where counters are published.
    pub report: Arc<Report>,
    /// Where the bytes in all send and receive buffers are published.
    pub buffered: Arc<AtomicU64>,
}

/// The control core.
pub struct Core<L: Pool> {
    events: Vec<Receiver<Event<L::Buffer>>>,
    means: Means<L>,
    modules: Vec<Box<dyn Module>>,
    suspended: Suspended,
    validating: Validating,
    floods: Floods,
    rejections: Rejections,
    kept: Kept<L::Buffer>,
    connections: Vec<Option<Connection<L>>>,
    free: Vec<u32>,
    by_flow: HashMap<(usize, FlowRef), u32, ahash::RandomState>,
    /// The flow that the last event was a segment of, if what became ready with that has not been done yet.
    unsettled: Option<u32>,
    /// Of the flows that their modules have accepted, and of those whose sessions may be stirred.
    by_ticket: HashMap<Ticket, u32, ahash::RandomState>,
    timers: Wheel,
    questions: Questions,
    pendings: Pendings,
    changes: Changes,
    heartbeat: Arc<Heartbeat>,
    report: Arc<Report>,
    buffered: Arc<AtomicU64>,
    rounds: u32,
    /// Those of the workers, for what inspections ask of participating flows.
    rules: Option<Arc<Snapshot>>,
}

/// Events between two looks at how many buffers are left.
const EVENTS_PER_LOOK: usize = 16;
/// Rounds between two publications of the counters.
const REPORT_ROUNDS: u32 = 64;

/// The wheel's tick of a deadline: a millisecond each, never before it.
fn tick(deadline: Instant) -> u32 {
    deadline.as_nanos().div_ceil(1_000_000) as u32
}

impl<L: Pool> Core<L> {
    /// Takes the memory of its tables.
    pub fn new(parts: Parts<L>) -> Self {
        let settings = parts.settings;
        let capacity = settings.connections;
        let (events, outboxes): (Vec<_>, Vec<_>) =
            parts.links.into_iter().map(|link| (link.events, Outbox::new(link.orders))).unzip();
        Core {
            modules: parts.modules,
            suspended: Suspended::new(settings.suspended, events.len()),
            validating: Validating::new(capacity),
            floods: Floods::new(events.len()),
            rejections: Rejections::default(),
            kept: Kept::new(&settings),
            connections: (0..capacity).map(|_| None).collect(),
            free: (0..capacity as u32).rev().collect(),
            by_flow: HashMap::with_capacity_and_hasher(lasting(capacity), ahash::RandomState::new()),
            by_ticket: HashMap::with_capacity_and_hasher(lasting(capacity), ahash::RandomState::new()),
            unsettled: None,
            timers: Wheel::new(capacity + settings.suspended.capacity),
            questions: Questions::default(),
            pendings: Pendings::default(),
            changes: Changes::default(),
            heartbeat: parts.heartbeat,
            report: parts.report,
            buffered: parts.buffered,
            rounds: 0,
            rules: None,
            events,
            means: Means {
                pool: parts.pool,
                outboxes,
                counters: Counters::default(),
                history: History::new(settings.history),
                journal: Journal::default(),
                telling: Telling::default(),
                refusals: Budget::default(),
                merging: true,
                load: Load::default(),
                scarce: false,
                settings,
            },
        }
    }

    /// With the rules of its workers: where they inspect, participating flows are edited, too.
    pub fn with_rules(self, rules: Arc<Snapshot>) -> Self {
        Core { rules: Some(rules), ..self }
    }

    /// One round. Returns how much there was to do; 0 lets the caller idle.
    pub fn poll(&mut self, now: Instant) -> usize {
        self.heartbeat.beat();
        let mut work = 0;
        let mut events = std::mem::take(&mut self.events);
        for (worker, events) in events.iter_mut().enumerate() {
            work += self.take_events(now, worker, events);
        }
        self.events = events;
        work += self.take_decisions(now);
        work += self.attend_endpoints(now);
        work += self.fire_timers(now);
        self.answer_waiting(now);
        work += self.means.outboxes.iter_mut().map(Outbox::flush).sum::<usize>();
        self.rounds = self.rounds.wrapping_add(1);
        if work == 0 || self.rounds.is_multiple_of(REPORT_ROUNDS) {
            self.review_floods(now);
            self.count_modules();
            self.report();
        }
        work
    }

    fn take_events(&mut self, now: Instant, worker: usize, events: &mut Receiver<Event<L::Buffer>>) -> usize {
        let mut done = 0;
        while done < EVENTS_PER_ROUND && !events.is_empty() {
            self.means.scarce = self.means.pool.is_low();
            done += events.receive_each(EVENTS_PER_LOOK, |event| self.handle(now, worker, event));
        }
        self.settle_last(now);
        done
    }

    /// Takes `event` out of its place in the mailbox.
    fn handle(&mut self, now: Instant, worker: usize, event: &mut Option<Event<L::Buffer>>) {
        if !matches!(event, Some(Event::Segment { .. })) {
            self.settle_last(now);
        }
        let Some(event) = event.take() else { return };
        match event {
            Event::Offered { flow, client_side, module, inspection, proof, headers, frame } => {
                let key = headers.key();
                let offer =
                    Offer { worker, flow, key, client_side, module, inspection, proof, headers, frame };
                self.offer(now, offer);
            }
            Event::Segment { flow, direction, port, headers, frame } => {
                let arrived = Arrived { direction, port, headers, frame };
                self.on_segment(now, worker, flow, arrived);
            }
            Event::FarSide { flow, placed } => self.on_far_side(now, worker, flow, placed),
            Event::Icmp { flow, quoted, error, frame } => match self.suspended.find(worker, flow) {
                Some(slot) => self.on_partial_icmp(now, slot, quoted, &error, frame),
                None => self.on_frame(now, worker, flow, |c, cx| c.on_icmp(cx, quoted, &error, frame)),
            },
            Event::Parked { flow } => {
                self.on_flow(now, worker, flow, |c, cx| c.on_parked(cx));
                self.on_merged(worker, flow);
            }
            Event::Unparked { flow } => self.on_flow(now, worker, flow, |c, cx| c.on_unparked(cx)),
            Event::Idle { flow } => self.on_flow(now, worker, flow, |c, cx| c.on_idle(cx)),
            Event::Expired { flow } => self.forget(worker, flow),
            Event::Replaced(before) => {
                let modules = &mut self.modules;
                self.changes.on_replaced(worker, *before, |index| modules[usize::from(index)].retire());
            }
            Event::Listed(listing) => match self.questions.on_listing(worker, listing) {
                Next::Nothing => {}
                Next::Page(listing) => self.means.outboxes[worker].order(Order::List(listing)),
                Next::HandOver(what, found, answer) => self.hand_over_flow(now, what, found, answer),
            },
            Event::Split(split) => self.on_split(now, worker, &split),
            Event::Wanted { flow, key, module, edits } if module != Record::NO_MODULE => {
                let asker = if edits { Asker::Edit } else { Asker::Inspection };
                self.begin_split(now, worker, (flow, key, module), asker);
            }
            Event::Wanted { key, .. } => {
                self.refuse_split(now, now, key, Asker::Inspection, Refused::NoModule);
            }
            Event::Hit { key, hit } => self.means.journal.note(now, now, key, Happening::Hit(hit)),
            Event::Unsplit { flow, why } => self.on_unsplit(now, worker, flow, why),
        }
    }

    fn fire_timers(&mut self, now: Instant) -> usize {
        let mut fired = 0;
        loop {
            while let Some(taken) = self.timers.take() {
                let Taken::Due(slot) = taken else { continue };
                match (slot as usize).checked_sub(self.connections.len()) {
                    Some(partial) => self.on_partial_timer(now, partial as u32),
                    None => self.on_flow_timer(now, slot),
                }
                fired += 1;
            }
            if !self.timers.step(now.as_millis() as u32) {
                return fired;
            }
        }
    }

    /// Puts a question of the management thread to all workers, or carries out what it wants changed.
    pub fn ask(&mut self, query: Query) {
        let wanted = match query {
            Query::Flows { limit, answer } => Wanted::Flows(limit, Vec::new(), answer),
            Query::Modules { answer } => {
                // Those that the workers know no flow of any more, or not yet.
                let known_here = self.suspended.modules().chain(self.pendings.modules()).collect();
                Wanted::Modules(known_here, answer)
            }
            Query::HandOver { what, flow, answer } => Wanted::Flow(flow, Vec::new(), what, answer),
            Query::Events { limit, answer } => {
                // Who asked may have given up.
                let _ = answer.send(self.means.journal.last(limit));
                return;
            }
            Query::Merging { on, answer } => {
                self.means.merging = on;
                let _ = answer.send(());
                return;
            }
            Query::Change(change) => return self.change(change),
        };
        let workers = self.means.outboxes.len();
        for (worker, listing) in self.questions.ask(wanted, workers) {
            self.means.outboxes[worker].order(Order::List(listing));
        }
    }

    fn change(&mut self, change: Change) {
        let mut before = Vec::new();
        for (index, module) in change.modules {
            self.changes.on_renamed(index);
            match self.modules.get_mut(usize::from(index)) {
                Some(place) => before.push(std::mem::replace(place, module)),
                None => self.modules.push(module),
            }
        }
        self.means.settings.when_full = change.when_full;
        self.means.settings.when_suspended_full = change.when_suspended_full;
        self.changes.begin(self.means.outboxes.len(), before, change.retired, change.answer);
        if let Some(policy) = change.policies.first() {
            self.rules = Some(Arc::clone(&policy.snapshot));
        }
        for (outbox, policy) in self.means.outboxes.iter_mut().zip(change.policies) {
            outbox.order(Order::Policy(Box::new(policy)));
        }
    }

    /// When [`Core::poll`] has to be called again though nothing comes; exact to a tick within the next 64 ms.
    pub fn next_deadline(&self, now: Instant) -> Instant {
        const LOOK_AHEAD_MS: u32 = 64;
        Instant::from_millis(now.as_millis() + u64::from(self.timers.ticks_to_next(LOOK_AHEAD_MS)))
    }

    /// Partial connections, refused ones that are remembered among them.
    pub fn suspended(&self) -> usize {
        self.suspended.len()
    }

    /// Flows on the participating path.
    pub fn connections(&self) -> impl Iterator<Item = &Connection<L>> {
        self.connections.iter().flatten()
    }

    /// The counters as they are now.
    pub fn counters(&self) -> &Counters {
        &self.means.counters
    }

    /// Publishes counters and table sizes; [`Core::poll`] does so all the time.
    pub fn report(&self) {
        self.report.publish(&self.means.counters, self.gauges());
        self.buffered.store(self.means.load.bytes, Ordering::Relaxed);
    }

    /// What all flows keep.
    pub fn load(&self) -> Load {
        self.means.load
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            flows: self.means.load.connections as u64,
            flows_capacity: self.connections.len() as u64,
            suspended: self.suspended.len() as u64,
            suspended_capacity: self.suspended.capacity() as u64,
            parked: self.means.load.held as u64,
            parked_capacity: self.means.settings.held as u64,
            ..Gauges::default()
        }
    }
}
