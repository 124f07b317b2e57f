//! Participating flows whose client has still to show that it got its SYN-ACK (DESIGN invariant 6).
//!
//! Any of them may be a spoofed SYN's. So each counts for its source prefix and its destination as the partial connection
//! did that it was, until the client's ACK has come or the flow is gone; and when there is no place for another flow, the
//! oldest of them makes room. Those who have been validated are never displaced, unless they were answered with a SYN cookie and
//! their server is still silent: whom nobody was asked about has nothing to lose that he would not have lost while he was held.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;

use super::Core;
use crate::connection::Phase;
use crate::suspended::{Full, Marks, SEARCHED};

/// End of the list.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    older: u32,
    younger: u32,
    marks: Marks,
    is_listed: bool,
}

/// All of them, by age.
pub(super) struct Validating {
    /// By place of the flow.
    links: Box<[Link]>,
    oldest: u32,
    youngest: u32,
    len: usize,
}

impl Validating {
    /// For flows in so many places.
    pub(super) fn new(places: usize) -> Validating {
        let link = Link { older: NONE, younger: NONE, marks: Marks::default(), is_listed: false };
        Validating { links: vec![link; places].into_boxed_slice(), oldest: NONE, youngest: NONE, len: 0 }
    }

    /// The flow in `place` is the youngest.
    pub(super) fn add(&mut self, place: u32, marks: Marks) {
        self.len += 1;
        let older = std::mem::replace(&mut self.youngest, place);
        self.links[place as usize] = Link { older, younger: NONE, marks, is_listed: true };
        match older {
            NONE => self.oldest = place,
            older => self.links[older as usize].younger = place,
        }
    }

    /// Its client is validated, or it is gone. Says whether it was still awaited.
    pub(super) fn remove(&mut self, place: u32) -> bool {
        let Link { older, younger, is_listed, .. } = self.links[place as usize];
        if !is_listed {
            return false;
        }
        self.links[place as usize].is_listed = false;
        self.len -= 1;
        match older {
            NONE => self.oldest = younger,
            older => self.links[older as usize].younger = younger,
        }
        match younger {
            NONE => self.youngest = older,
            younger => self.links[younger as usize].older = older,
        }
        true
    }

    /// So many are awaited.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn oldest(&self) -> Option<u32> {
        Some(self.oldest).filter(|place| *place != NONE)
    }

    /// Who could make room for a SYN that was refused as `full`: the oldest of the same prefix, if it is among the oldest
    /// few.
    fn in_the_way(&self, full: Full, marks: Marks) -> Option<u32> {
        let next = |place: &u32| Some(self.links[*place as usize].younger).filter(|place| *place != NONE);
        let lacks = |place: &u32| self.links[*place as usize].marks.have_in_common(full, marks);
        std::iter::successors(self.oldest(), next).take(SEARCHED).find(lacks)
    }
}

impl<L: Pool> Core<L> {
    /// A place for a flow that is to participate: a free one, or that of the oldest whose client is not validated.
    pub(super) fn find_place(&mut self, now: Instant) -> Option<u32> {
        if self.free.is_empty() {
            let oldest = self.validating.oldest()?;
            self.displace(now, oldest);
        }
        self.free.pop()
    }

    /// One whose client is not validated makes room for a SYN of the same prefix, or to the same destination. Says whether
    /// there was any.
    pub(super) fn displace_one_of(&mut self, now: Instant, full: Full, marks: Marks) -> bool {
        let place = self.validating.in_the_way(full, marks);
        if let Some(place) = place {
            self.displace(now, place);
        }
        place.is_some()
    }

    fn displace(&mut self, now: Instant, place: u32) {
        if let Some(connection) = &self.connections[place as usize] {
            self.begin_flood(now, connection.worker());
        }
        self.means.counters.count(Counter::HandshakesDisplaced);
        self.on_slot(now, place, |connection, cx| connection.displace(cx));
    }

    /// After an event of the flow in `place`: what it counts for is given back once, when its client is validated or it
    /// is gone. One that has been ended before stays in the way of others as long as it lingers.
    #[inline(always)]
    pub(super) fn review_validation(&mut self, place: u32) {
        let Some(connection) = &self.connections[place as usize] else { return };
        let is_awaited = matches!(connection.phase(), Phase::Answered | Phase::Ended { .. });
        if !is_awaited && !connection.may_be_displaced() && self.validating.remove(place) {
            self.suspended.give_back(connection.key());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_whoever_leaves_leaves_once() {
        let mut validating = Validating::new(4);
        let marks = |source| Marks { source, destination: 9 };
        for (place, source) in [(2, 1), (0, 2), (3, 1)] {
            validating.add(place, marks(source));
        }
        assert_eq!(validating.oldest(), Some(2));
        assert_eq!(validating.in_the_way(Full::Source, marks(2)), Some(0));
        assert_eq!(validating.in_the_way(Full::Source, marks(3)), None);
        assert_eq!(validating.in_the_way(Full::Destination, marks(3)), Some(2));
        assert!(validating.remove(2) && !validating.remove(2));
        assert_eq!(validating.oldest(), Some(0));
        assert!(validating.remove(3) && validating.remove(0));
        assert_eq!((validating.oldest, validating.youngest, validating.len()), (NONE, NONE, 0));
    }
}
