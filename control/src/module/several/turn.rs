//! Which client completes its handshake first. The session of a port whose SYN-ACK has been passed on is the first to know,
//! and the module hears of it in the same round.
//!
//! A SYN proves nothing about who sent it, and neither does the server's answer: only the client's ACK does. So that is
//! what chooses a port, and nobody can choose in another's name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use dataplane::flow::quad::Direction;

use crate::module::{Choice, Edit, Session, Step, Ticket};

/// No port has been completed.
const OPEN: u32 = u32::MAX;

/// The port that was completed of those that have their turn at the same time; sessions know it before the module does.
#[derive(Debug)]
pub(super) struct Race(AtomicU32);

impl Default for Race {
    fn default() -> Race {
        Race(AtomicU32::new(OPEN))
    }
}

impl Race {
    fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) == OPEN
    }

    /// `port` is completed: `Ok` as the first, or else which one was.
    fn complete(&self, port: u16) -> Result<(), u32> {
        let first = self.0.compare_exchange(OPEN, port.into(), Ordering::Relaxed, Ordering::Relaxed);
        first.map(|_| ())
    }
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The client has completed its handshake, before that on any other port.
    Completed,
    /// The flow is over, and its client was never validated.
    Over,
}

/// What sessions tell their module.
#[derive(Debug)]
pub(super) struct Reports {
    /// Each member of the module's table says one thing at the most, and is in it until that has been heard.
    outcomes: ArrayQueue<(Ticket, Outcome)>,
    /// Flows that were reset because another port had been completed.
    reset: AtomicU64,
}

impl Reports {
    /// Of at most `capacity` members, the memory for which is taken now.
    pub(super) fn new(capacity: usize) -> Arc<Reports> {
        Arc::new(Reports { outcomes: ArrayQueue::new(capacity), reset: AtomicU64::new(0) })
    }

    /// The next one that has not been heard.
    pub(super) fn next(&self) -> Option<(Ticket, Outcome)> {
        self.outcomes.pop()
    }

    /// How many were reset since this was asked last.
    pub(super) fn take_reset(&self) -> u64 {
        self.reset.swap(0, Ordering::Relaxed)
    }

    fn tell(&self, ticket: Ticket, outcome: Outcome) {
        let told = self.outcomes.push((ticket, outcome));
        debug_assert!(told.is_ok(), "more than one report of a member");
    }
}

/// A session of `inner` that says what comes of its turn.
pub(super) struct Turn {
    pub(super) inner: Box<dyn Session>,
    pub(super) ticket: Ticket,
    pub(super) port: u16,
    pub(super) race: Arc<Race>,
    /// `None` once it has said what there is to say.
    pub(super) reports: Option<Arc<Reports>>,
}

impl Session for Turn {
    fn choose(&mut self, said: &[u8], is_all: bool) -> Choice {
        self.inner.choose(said, is_all)
    }

    fn established(&mut self) -> Step {
        if let Some(reports) = self.reports.take() {
            match self.race.complete(self.port) {
                Ok(()) => reports.tell(self.ticket, Outcome::Completed),
                // Another connection to the same port is no other port.
                Err(first) if first == u32::from(self.port) => {}
                Err(_) => {
                    reports.reset.fetch_add(1, Ordering::Relaxed);
                    return Step::Reset;
                }
            }
        }
        self.inner.established()
    }

    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        self.inner.data(direction, bytes)
    }

    fn named(&mut self, ticket: Ticket) -> bool {
        self.inner.named(ticket)
    }

    fn decide(&mut self, direction: Direction) -> (Edit, Step) {
        self.inner.decide(direction)
    }

    fn finished(&mut self, direction: Direction) -> (Edit, Step) {
        self.inner.finished(direction)
    }

    fn overdue(&mut self, direction: Direction) -> (Edit, Step) {
        self.inner.overdue(direction)
    }

    fn may_leave(&self) -> bool {
        self.inner.may_leave()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(reports) = self.reports.take()
            && self.race.is_open()
        {
            reports.tell(self.ticket, Outcome::Over);
        }
    }
}
