//! A module that decides what a test tells it to, when the test tells it to.

use std::sync::Arc;

use control::module::{
    Answer, Decision, Edit, Gone, History, Module, PartialConnection, Proxying, Session, Step, Ticket,
};
use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, FlowKey};
use parking_lot::Mutex;

/// What a module was told, and what it is to say next.
#[derive(Default)]
struct Notes {
    told: Vec<String>,
    histories: Vec<History>,
    tickets: Vec<Ticket>,
    decided: Vec<(Ticket, Decision)>,
}

/// A module that says what the test wants, and writes down what it hears.
pub struct Puppet {
    pub notes: Handle,
    pub offered: Decision,
    pub overdue: Decision,
    pub answered: Decision,
}

/// The test's hold on them.
#[derive(Clone)]
pub struct Handle(Arc<Mutex<Notes>>);

impl Puppet {
    pub fn new(offered: Decision) -> (Handle, Puppet) {
        let notes = Handle(Default::default());
        let puppet = Puppet {
            notes: notes.clone(),
            offered,
            overdue: Decision::Drop,
            answered: Decision::Proxy(Proxying::default()),
        };
        (notes, puppet)
    }
}

impl Handle {
    pub fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().told)
    }

    pub fn histories(&self) -> Vec<History> {
        std::mem::take(&mut self.0.lock().histories)
    }

    fn note(&self, line: String) {
        self.0.lock().told.push(line);
    }

    pub fn decide(&self, decision: Decision) {
        let mut notes = self.0.lock();
        let ticket = *notes.tickets.last().expect("something was offered");
        notes.decided.push((ticket, decision));
    }
}

impl Module for Puppet {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        let mut notes = self.notes.0.lock();
        notes.told.push("offered".into());
        notes.histories.push(partial.history());
        notes.tickets.push(partial.ticket);
        assert_eq!((partial.options.mss, partial.syn.len()), (Some(1460), 14 + 20 + 32));
        self.offered
    }

    fn overdue(&mut self, _: &PartialConnection<'_>) -> Decision {
        self.notes.note("overdue".into());
        self.overdue
    }

    fn answered(&mut self, _: &PartialConnection<'_>, answer: &Answer<'_>) -> Decision {
        let mss = answer.options.and_then(|options| options.mss);
        self.notes.note(format!("{:?} {mss:?}", answer.outcome));
        self.answered
    }

    fn decided(&mut self, _: Instant) -> Option<(Ticket, Decision)> {
        self.notes.0.lock().decided.pop()
    }

    fn gone(&mut self, _: Ticket, why: Gone) {
        self.notes.note(format!("gone {why:?}"));
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        struct Silent;
        impl Session for Silent {
            fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
                (Edit::Pass, Step::Relay)
            }
        }
        Box::new(Silent)
    }
}
