//! Worker and control core that hand flows over and back: in turns on one thread, or on a core each with their rings between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use control::core::handover::{Answer, HandOver, Named};
use control::core::journal::Entry;
use control::core::query::Query;
use control::core::{Core, WorkerLink};
use control::module::relay::MergeWhen;
use crossbeam::channel::bounded;
use crossbeam::utils::CachePadded;
use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::policy::Snapshot;
use dataplane::worker::Worker;
use dataplane::worker::mailbox::Sender;
use dataplane::worker::report::Counters;

use super::ends::{self, DELTA, End, Say, Seen};
use super::view;
use crate::core::{relaying, settings};
use crate::machine;
use crate::pooled::Home;
use crate::traffic::{Family, bare_syn};
use crate::worker::{OFFER, Rig};

/// Flows that participate at once, at most; one does.
const PARTICIPATING: usize = 64;
/// Rounds after which whatever is awaited will not come any more.
const FOR_EVER: u64 = 1 << 32;
/// Rounds in which the last acknowledgment is taken.
const SETTLES: u32 = 64;

/// Where the worker has its turns.
enum Seat {
    /// In every round of the control core's thread.
    Here(Box<Worker<End>>),
    /// On a core of its own, all the time.
    There { stop: Stop, thread: JoinHandle<Box<Worker<End>>> },
}

/// Ends the worker's rounds when it is dropped: they outlive nobody who has given up.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A worker, a control core, and both ends of all flows.
pub struct Appliance {
    seat: Seat,
    core: Core<Home>,
    clock: SystemClock,
    say: [Sender<Say>; 2],
    seen: Arc<Seen>,
    /// Merges that are in force at the worker.
    merges: Arc<CachePadded<AtomicU64>>,
}

impl Appliance {
    /// With so many flows that are cut through; worker and control core in turns.
    pub fn new(flows: u32) -> anyhow::Result<Appliance> {
        let seen = Arc::<Seen>::default();
        let (ends, say) = ends::pair(flows, &seen);
        let heartbeat = Arc::default();
        let rules = Arc::new(Snapshot::compile(&[], OFFER)?);
        let mut rig = Rig::new(ends, flows as usize, rules, &heartbeat);
        let clock = SystemClock::start();
        for n in 0..flows {
            rig.worker.port_mut(0).inject(&bare_syn(Family::V4.quad(n)));
            rig.cut_through(clock.now(), DELTA, view());
        }
        let Rig { worker, orders, events } = rig;
        let settings = settings(PARTICIPATING, PARTICIPATING);
        let links = vec![WorkerLink { events, orders }];
        let core = relaying(Home, links, MergeWhen::FirstResponse, settings, heartbeat);
        let merges = Arc::new(CachePadded::new(AtomicU64::new(worker.counters().get(Counter::Merges))));
        Ok(Appliance { seat: Seat::Here(Box::new(worker)), core, clock, say, seen, merges })
    }

    /// The same with the worker on the core before the last.
    pub fn with_threads(self) -> Appliance {
        let Seat::Here(mut worker) = self.seat else { return self };
        let stop = Arc::new(AtomicBool::new(false));
        let (clock, merges, is_over) = (self.clock, Arc::clone(&self.merges), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            machine::pin_before(1);
            while !is_over.load(Ordering::Relaxed) {
                round(&mut worker, clock, &merges);
            }
            worker
        });
        Appliance { seat: Seat::There { stop: Stop(stop), thread }, ..self }
    }

    fn worker_round(&mut self) {
        match &mut self.seat {
            Seat::Here(worker) => round(worker, self.clock, &self.merges),
            Seat::There { .. } => std::hint::spin_loop(),
        }
    }

    fn round(&mut self) {
        self.worker_round();
        self.core.poll(self.clock.now());
    }

    fn rounds_until(&mut self, mut is_done: impl FnMut(&Self) -> bool) {
        let mut rounds = 0;
        while !is_done(self) {
            self.round();
            rounds += 1;
            assert!(rounds < FOR_EVER, "what is awaited does not come");
        }
    }

    /// From the order, as it leaves the control core for a split, and as it stops taking anything new for a merge, until the flow
    /// is the other's: the control core has both TCBs, or the worker carries the flow.
    pub fn hand_over(&mut self, what: HandOver, flow: u32) -> Duration {
        let merges = self.merges.load(Ordering::Relaxed);
        let (answer, answered): (Answer, _) = bounded(1);
        let flow = Named::from(Family::V4.quad(flow));
        self.core.ask(Query::HandOver { what, flow, answer });
        self.rounds_until(|_| !answered.is_empty());
        let mut end = self.clock.now();
        assert_eq!(answered.try_recv(), Ok(Ok(())), "{what:?}: nothing is in its way");
        if what == HandOver::Merge {
            let mut rounds = 0;
            while self.merges.load(Ordering::Acquire) == merges {
                self.worker_round();
                rounds += 1;
                assert!(rounds < FOR_EVER, "the worker does not carry the flow");
            }
            end = self.clock.now();
        }
        let Entry { at, took, .. } = self.last_event();
        end - at + took
    }

    fn last_event(&mut self) -> Entry {
        let (answer, answered) = bounded(1);
        self.core.ask(Query::Events { limit: 1, answer });
        let events = answered.try_recv().unwrap_or_default();
        *events.last().expect("a hand-over is told of")
    }

    /// Both ends of a flow begin to say so much.
    pub fn tell(&mut self, say: Say) {
        for teller in &mut self.say {
            assert!(teller.try_send(say).is_ok(), "an end is told one thing after the other");
        }
    }

    /// Until all that both ends have been told to say, `said` segments so far, has been heard.
    pub fn wait_until_heard(&mut self, said: u64) {
        self.rounds_until(|appliance| appliance.seen.heard.load(Ordering::Acquire) >= said);
        (0..SETTLES).for_each(|_| self.round());
    }

    /// Ends it. Nothing may have been lost, overtaken or dropped. Returns how many segments came twice.
    pub fn finish(self, said: u64) -> anyhow::Result<u64> {
        let worker = match self.seat {
            Seat::Here(worker) => worker,
            Seat::There { stop, thread } => {
                drop(stop);
                thread.join().map_err(|_| anyhow::anyhow!("the worker has panicked"))?
            }
        };
        let seen = [&self.seen.said, &self.seen.heard, &self.seen.astray].map(|n| n.load(Ordering::Relaxed));
        anyhow::ensure!(seen == [said, said, 0], "said, heard, astray: {seen:?}, of {said}");
        for counters in [worker.counters(), self.core.counters()] {
            let complaints = complaints(counters);
            anyhow::ensure!(complaints.is_empty(), "{}", complaints.join(", "));
        }
        Ok(self.seen.repeated.load(Ordering::Relaxed))
    }
}

fn round(worker: &mut Worker<End>, clock: SystemClock, merges: &AtomicU64) {
    worker.poll(clock.now());
    let now = worker.counters().get(Counter::Merges);
    if now != merges.load(Ordering::Relaxed) {
        merges.store(now, Ordering::Release);
    }
}

/// What should not have happened, by counter.
fn complaints(counters: &Counters) -> Vec<String> {
    let is_bad = |counter: &&Counter| counter.name().starts_with("drop_");
    let all = Counter::ALL.iter().filter(is_bad).map(|counter| (counter.name(), counters.get(*counter)));
    all.filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect()
}
