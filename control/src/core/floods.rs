//! When SYNs come faster than their clients complete anything, the worker that they come to is told, and answers them with SYN cookies
//! where a module wants that (DESIGN section 4).
//!
//! A SYN has one of two sorts of places: as a partial connection until its server has answered, and then among the
//! participating flows until its client is validated. The worker is told before there is none left, so that nobody who
//! waits has to make room, and in any case when somebody has to: for a prefix or a destination with a limit of its own. What is
//! remembered of the refused does not count, for it makes room for anybody.
//!
//! Nobody here sees a flood that is not held. It is taken to last for a while, and when it was not over after all, for twice as long
//! the next time: what is held of it meanwhile, and asks its servers, becomes less and less.

use std::time::Duration;

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::worker::message::Order;

use super::Core;

/// A flood begins when so many of four places are taken by SYNs, and is over when fewer than so many are.
const BEGINS_AT: usize = 3;
const ENDS_BELOW: usize = 2;
/// Fewer clients that are not validated are no flood.
const FEW: usize = 6;
/// How long a flood lasts at least, and how long one of many that follow each other.
const AT_LEAST: Duration = Duration::from_secs(5);
const AT_MOST: Duration = Duration::from_secs(600);
/// One that begins so soon after another's end is the same.
const SOON: Duration = Duration::from_secs(60);

/// Of one worker.
#[derive(Clone, Copy)]
struct Flood {
    is_on: bool,
    /// How long it lasts at least.
    patience: Duration,
    /// While it is on: until when in any case; afterwards, until when another one is the same.
    until: Instant,
}

/// By worker.
pub(super) struct Floods(Box<[Flood]>);

impl Floods {
    pub(super) fn new(workers: usize) -> Floods {
        Floods(vec![Flood { is_on: false, patience: AT_LEAST, until: Instant::ZERO }; workers].into())
    }
}

impl<L: Pool> Core<L> {
    /// Whether of the places of either sort that a SYN of this worker could have, those of validated clients aside, so many of
    /// four are taken.
    fn is_crowded(&self, worker: usize, of_four: usize) -> bool {
        let (waiting, unvalidated) = (self.suspended.waiting_of(worker), self.validating.len());
        let left = unvalidated + self.free.len();
        waiting * 4 >= self.suspended.per_worker() * of_four
            || unvalidated >= FEW && unvalidated * 4 >= left * of_four
    }

    /// Another SYN of this worker is held, or was not.
    pub(super) fn note_flood(&mut self, now: Instant, worker: usize) {
        if self.is_crowded(worker, BEGINS_AT) {
            self.begin_flood(now, worker);
        }
    }

    /// Somebody who waits has to make room for one of this worker's, or soon will have to.
    pub(super) fn begin_flood(&mut self, now: Instant, worker: usize) {
        let flood = &mut self.floods.0[worker];
        if !flood.is_on {
            flood.patience = if now < flood.until { (flood.patience * 2).min(AT_MOST) } else { AT_LEAST };
            flood.is_on = true;
            self.means.counters.count(Counter::Floods);
            self.means.outboxes[worker].order(Order::Flood { is_on: true });
        }
        flood.until = now + flood.patience;
    }

    /// Floods that are over.
    pub(super) fn review_floods(&mut self, now: Instant) {
        for worker in 0..self.floods.0.len() {
            let Flood { is_on, until, patience } = self.floods.0[worker];
            if is_on && until <= now && !self.is_crowded(worker, ENDS_BELOW) {
                self.floods.0[worker] = Flood { is_on: false, patience, until: now + SOON };
                self.means.outboxes[worker].order(Order::Flood { is_on: false });
            }
        }
    }
}
