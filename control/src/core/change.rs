//! Other rules and modules while flows go on (`quadrille reload`).
//!
//! A change is prepared by whoever asks for it, tables included, and what it replaces goes back to them: neither the control
//! core nor a worker takes or gives back memory. Every worker answers with the rules that it had, behind all offers that
//! they made, so when the last one has answered nothing on its way names a rule or module of before.

use std::collections::VecDeque;

use crossbeam::channel::Sender;

use dataplane::policy::{Fallback, Installed};

use crate::module::Module;
use crate::suspended::WhenFull;

/// What becomes different.
pub struct Change {
    /// Modules by index. An index is new, the next one, or one that nothing refers to any more.
    pub modules: Vec<(u16, Box<dyn Module>)>,
    /// Rules, by worker.
    pub policies: Vec<Box<Installed>>,
    /// What becomes of a flow that cannot participate for want of room.
    pub when_full: Fallback,
    /// What becomes of one that there is no place to hold.
    pub when_suspended_full: WhenFull,
    /// Where the answer goes, once the rules are in force everywhere. The asker may have given up.
    pub answer: Sender<Replaced>,
}

/// What a change has replaced.
pub struct Replaced {
    /// Rules that were in force, in no order.
    pub policies: Vec<Box<Installed>>,
    /// Modules whose index means another one now.
    pub modules: Vec<Box<dyn Module>>,
}

/// A change that not every worker has answered.
struct Open {
    answered: Vec<bool>,
    replaced: Replaced,
    answer: Sender<Replaced>,
}

/// Changes under way, oldest first.
#[derive(Default)]
pub(super) struct Changes(VecDeque<Open>);

impl Changes {
    /// A change that `workers` workers have been told of.
    pub(super) fn begin(&mut self, workers: usize, modules: Vec<Box<dyn Module>>, answer: Sender<Replaced>) {
        let replaced = Replaced { policies: Vec::with_capacity(workers), modules };
        self.0.push_back(Open { answered: vec![false; workers], replaced, answer });
    }

    /// A worker has other rules now. It carries out orders one after the other, so this is the oldest that it has not answered.
    pub(super) fn on_replaced(&mut self, worker: usize, before: Box<Installed>) {
        let Some(open) = self.0.iter_mut().find(|open| !open.answered[worker]) else { return };
        open.answered[worker] = true;
        open.replaced.policies.push(before);
        while self.0.front().is_some_and(|open| open.answered.iter().all(|answered| *answered)) {
            if let Some(open) = self.0.pop_front() {
                // The asker may have stopped waiting; then what was replaced goes here and now.
                let _ = open.answer.send(open.replaced);
            }
        }
    }
}
