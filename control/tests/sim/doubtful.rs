//! A module that keeps bytes back for a while: it passes them later, or puts the same in their place, forgets them, has the
//! flow merged that was split, and now and then cuts one.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::module::{
    Answer, Choice, Decision, Edit, Gone, Module, PartialConnection, Session, Step, Ticket,
};
use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, FlowKey, Quad};

use crate::rng::Rng;

/// Quads of the connections that were cut.
pub type Cuts = Arc<Mutex<HashSet<Quad>>>;

/// Sessions that may be stirred.
type Stirring = Arc<Mutex<VecDeque<Ticket>>>;

/// Around a module whose flows it doubts.
pub struct Doubtful {
    inner: Box<dyn Module>,
    rng: Rng,
    stirring: Stirring,
    /// Where it cuts any.
    cuts: Option<Cuts>,
}

impl Doubtful {
    pub fn new(inner: Box<dyn Module>, rng: Rng, cuts: Option<Cuts>) -> Doubtful {
        Doubtful { inner, rng, stirring: Stirring::default(), cuts }
    }

    fn doubt(&mut self, key: &FlowKey, inner: Box<dyn Session>, was_split: bool) -> Box<dyn Session> {
        Box::new(Doubts {
            inner,
            rng: Rng::new(self.rng.next()),
            kept: Default::default(),
            was_split,
            quad: key.quad,
            stirring: Arc::clone(&self.stirring),
            cuts: self.cuts.clone(),
        })
    }
}

impl Module for Doubtful {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        self.inner.offered(partial)
    }

    fn overdue(&mut self, partial: &PartialConnection<'_>) -> Decision {
        self.inner.overdue(partial)
    }

    fn answered(&mut self, partial: &PartialConnection<'_>, answer: &Answer<'_>) -> Decision {
        self.inner.answered(partial, answer)
    }

    fn decided(&mut self, now: Instant) -> Option<(Ticket, Decision)> {
        self.inner.decided(now)
    }

    fn gone(&mut self, ticket: Ticket, why: Gone) {
        self.inner.gone(ticket, why);
    }

    fn stirred(&mut self) -> Option<Ticket> {
        let mut stirring = self.stirring.lock().expect("no panic");
        let ticket = stirring.pop_front().filter(|_| self.rng.below(3) > 0)?;
        // The oldest are forgotten: most of them are gone.
        stirring.push_back(ticket);
        (self.rng.below(4) == 0).then_some(ticket)
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        let inner = self.inner.session(key);
        self.doubt(key, inner, false)
    }

    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        let inner = self.inner.session_of_split(key);
        self.doubt(key, inner, true)
    }
}

struct Doubts {
    inner: Box<dyn Session>,
    rng: Rng,
    /// A copy of what is kept back, by direction.
    kept: [Vec<u8>; 2],
    was_split: bool,
    quad: Quad,
    stirring: Stirring,
    cuts: Option<Cuts>,
}

impl Doubts {
    fn hold(&mut self) -> Edit {
        Edit::Hold(Duration::from_millis(self.rng.magnitude(3_000)))
    }

    fn let_go(&mut self, direction: Direction) -> Edit {
        let kept = std::mem::take(&mut self.kept[direction.index()]);
        if self.rng.below(3) == 0 { Edit::Replace(kept) } else { Edit::Pass }
    }

    fn step(&mut self, step: Step) -> Step {
        if let Some(cuts) = &self.cuts
            && self.rng.below(60) == 0
        {
            cuts.lock().expect("no panic").insert(self.quad);
            return match self.rng.below(3) {
                0 => Step::Reset,
                1 => Step::Cut(Direction::ClientToServer),
                _ => Step::Cut(Direction::ServerToClient),
            };
        }
        if self.was_split && self.rng.below(20) == 0 { Step::Merge } else { step }
    }
}

impl Session for Doubts {
    fn choose(&mut self, said: &[u8], is_all: bool) -> Choice {
        self.inner.choose(said, is_all)
    }

    fn established(&mut self) -> Step {
        self.inner.established()
    }

    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        let (_, step) = self.inner.data(direction, bytes);
        self.kept[direction.index()].extend_from_slice(bytes);
        let edit = if self.rng.below(4) == 0 { self.hold() } else { self.let_go(direction) };
        (edit, self.step(step))
    }

    fn named(&mut self, ticket: Ticket) -> bool {
        self.stirring.lock().expect("no panic").push_back(ticket);
        true
    }

    fn decide(&mut self, direction: Direction) -> (Edit, Step) {
        let edit = if self.rng.below(2) == 0 { self.hold() } else { self.let_go(direction) };
        (edit, self.step(Step::Relay))
    }

    fn finished(&mut self, direction: Direction) -> (Edit, Step) {
        let edit = if self.rng.below(2) == 0 { self.hold() } else { self.let_go(direction) };
        (edit, Step::Relay)
    }

    fn overdue(&mut self, direction: Direction) -> (Edit, Step) {
        (self.let_go(direction), Step::Relay)
    }
}
