//! A module whose sessions keep bytes back until the test has a verdict.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use control::module::{
    Acknowledge, Decision, Edit, Module, PartialConnection, Proxying, Session, Step, Ticket,
};
use dataplane::flow::quad::{Direction, FlowKey};
use parking_lot::Mutex;

use crate::rig::C2S;

/// How long bytes are kept back at the most.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Notes {
    seen: Vec<String>,
    /// What is said about the next bytes of the client; those that nothing is said about are held.
    at_once: VecDeque<(Edit, Step)>,
    /// What is said when the session is stirred, of this direction.
    later: Option<(Direction, Edit, Step)>,
    overdue: Option<(Edit, Step)>,
    tickets: Vec<Ticket>,
    stirred: Vec<Ticket>,
}

/// The test's hold on it.
#[derive(Clone, Default)]
pub struct Keeper {
    notes: Arc<Mutex<Notes>>,
    acknowledge: Acknowledge,
}

impl Keeper {
    pub fn through() -> Keeper {
        Keeper { acknowledge: Acknowledge::Through, ..Keeper::default() }
    }

    /// What the session has been shown.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().seen)
    }

    /// Of the client's next bytes.
    pub fn at_once(&self, edit: Edit, step: Step) {
        self.notes.lock().at_once.push_back((edit, step));
    }

    /// Of what is kept back; the session is stirred.
    pub fn later(&self, direction: Direction, edit: Edit, step: Step) {
        let mut notes = self.notes.lock();
        let ticket = *notes.tickets.last().expect("a session");
        notes.stirred.push(ticket);
        notes.later = Some((direction, edit, step));
    }

    /// When the time is up.
    pub fn when_overdue(&self, edit: Edit, step: Step) {
        self.notes.lock().overdue = Some((edit, step));
    }
}

impl Module for Keeper {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying { acknowledge: self.acknowledge, ..Proxying::default() })
    }

    fn stirred(&mut self) -> Option<Ticket> {
        self.notes.lock().stirred.pop()
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(self.clone())
    }
}

impl Session for Keeper {
    fn named(&mut self, ticket: Ticket) -> bool {
        self.notes.lock().tickets.push(ticket);
        true
    }

    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        let mut notes = self.notes.lock();
        notes.seen.push(String::from_utf8_lossy(bytes).into_owned());
        match notes.at_once.pop_front() {
            Some(verdict) => verdict,
            None if direction == C2S => (Edit::Hold(PATIENCE), Step::Relay),
            None => (Edit::Pass, Step::Relay),
        }
    }

    fn decide(&mut self, direction: Direction) -> (Edit, Step) {
        let mut notes = self.notes.lock();
        match notes.later.take() {
            Some((of, edit, step)) if of == direction => (edit, step),
            other => {
                notes.later = other;
                (Edit::Hold(PATIENCE), Step::Relay)
            }
        }
    }

    fn finished(&mut self, _: Direction) -> (Edit, Step) {
        self.notes.lock().seen.push("end".into());
        (Edit::Hold(PATIENCE), Step::Relay)
    }

    fn overdue(&mut self, _: Direction) -> (Edit, Step) {
        self.notes.lock().overdue.take().unwrap_or((Edit::Hold(PATIENCE), Step::Relay))
    }
}
