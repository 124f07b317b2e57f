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
    /// Modules by index that let go of who is connected to them, once no offer to them is on its way.
    pub retired: Vec<u16>,
    /// Rules, by worker.
    pub policies: Vec<Installed>,
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
    pub policies: Vec<Installed>,
    /// Modules whose index means another one now.
    pub modules: Vec<Box<dyn Module>>,
}

/// A change that not every worker has answered.
struct Open {
    answered: Vec<bool>,
    replaced: Replaced,
    retired: Vec<u16>,
    answer: Sender<Replaced>,
}

/// Changes under way, oldest first.
#[derive(Default)]
pub(super) struct Changes(VecDeque<Open>);

impl Changes {
    /// A change that `workers` workers have been told of, and that has replaced `modules`.
    pub(super) fn begin(
        &mut self,
        workers: usize,
        modules: Vec<Box<dyn Module>>,
        retired: Vec<u16>,
        answer: Sender<Replaced>,
    ) {
        let replaced = Replaced { policies: Vec::with_capacity(workers), modules };
        self.0.push_back(Open { answered: vec![false; workers], replaced, retired, answer });
    }

    /// An index means another module from now on: what was to retire has gone.
    pub(super) fn on_renamed(&mut self, index: u16) {
        self.0.iter_mut().for_each(|open| open.retired.retain(|retired| *retired != index));
    }

    /// A worker has other rules now. It carries out orders one after the other, so this is the oldest that it has not answered.
    pub(super) fn on_replaced(&mut self, worker: usize, before: Installed, mut retire: impl FnMut(u16)) {
        let Some(open) = self.0.iter_mut().find(|open| !open.answered[worker]) else { return };
        open.answered[worker] = true;
        open.replaced.policies.push(before);
        while self.0.front().is_some_and(|open| open.answered.iter().all(|answered| *answered)) {
            if let Some(open) = self.0.pop_front() {
                open.retired.into_iter().for_each(&mut retire);
                // The asker may have stopped waiting; then what was replaced goes here and now.
                let _ = open.answer.send(open.replaced);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossbeam::channel::bounded;
    use dataplane::policy::{Action, Defaults, Snapshot, Strays};

    use super::*;

    fn rules() -> Installed {
        let defaults = Defaults {
            action: Action::Pass,
            strays: Strays::Drop,
            flows_full: Fallback::Drop,
            on_control_stall: Fallback::Drop,
        };
        Installed::new(Arc::new(Snapshot::compile(&[], defaults).unwrap()))
    }

    #[test]
    fn a_change_is_answered_when_every_worker_has_answered_it() {
        let (mut changes, mut retired) = (Changes::default(), Vec::new());
        let ((first, first_answer), (second, second_answer)) = (bounded(1), bounded(1));
        changes.begin(2, Vec::new(), vec![3, 4], first);
        changes.begin(2, Vec::new(), vec![5], second);
        changes.on_renamed(4);
        // One worker is quicker: it has answered both before the other one answers the first.
        changes.on_replaced(0, rules(), |index| retired.push(index));
        changes.on_replaced(0, rules(), |index| retired.push(index));
        assert!(first_answer.try_recv().is_err() && second_answer.try_recv().is_err() && retired.is_empty());
        changes.on_replaced(1, rules(), |index| retired.push(index));
        assert_eq!(first_answer.try_recv().map(|replaced| replaced.policies.len()), Ok(2));
        assert!(second_answer.try_recv().is_err() && retired == [3]);
        changes.on_replaced(1, rules(), |index| retired.push(index));
        assert_eq!(second_answer.try_recv().map(|replaced| replaced.policies.len()), Ok(2));
        assert_eq!(retired, [3, 5]);
    }

    #[test]
    fn an_asker_that_has_given_up_holds_up_nobody() {
        let mut changes = Changes::default();
        let (first, gone) = bounded(1);
        drop(gone);
        changes.begin(1, Vec::new(), Vec::new(), first);
        changes.on_replaced(0, rules(), |_| {});
        let (second, answer) = bounded(1);
        changes.begin(1, Vec::new(), Vec::new(), second);
        changes.on_replaced(0, rules(), |_| {});
        assert!(answer.try_recv().is_ok());
        // Nobody has asked for this one.
        changes.on_replaced(0, rules(), |_| {});
    }
}
