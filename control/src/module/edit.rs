//! What an inspection does to the streams of a participating flow: a session around that of the flow's module.
//!
//! What it searches for is found in the bytes as they came: where a worker would drop or reset, the flow is reset, for of a
//! stream nothing can be left out; and where a worker would have it looked at, it stays where it is.
//! The module sees bytes as they came; what it lets pass, or has made of them, is edited on its way out. Both paths search by
//! the same rules (`dataplane::inspect::edits`), so it makes no difference which of them a flow takes. What may be the beginning
//! of something to be replaced is kept here: at most a pattern, until the rest has come, the sender has closed, or the
//! inspection's `hold` is over. While something is kept nothing is merged, and the merge takes over the deltas.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use dataplane::clock::Instant;
use dataplane::flow::quad::Direction;
use dataplane::inspect::edits::State;
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::{self, Verdict};
use dataplane::inspect::{Inspection, Reached, Searched};

use super::{Choice, Edit, Found, Session, Step, Ticket};

/// What has happened to a flow before its session begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before {
    /// It was split for an edit alone, and merges when that is done.
    pub returns: bool,
    /// Index of its inspection.
    pub inspection: u16,
    /// So many of the bytes that come first have been edited already.
    pub edited: [u32; 2],
    /// How far those before them were searched.
    pub searched: Option<Searched>,
}

impl Lane {
    /// Where a worker has searched, the search goes on.
    fn behind(before: Before, direction: Direction) -> Lane {
        let is_ours = |searched: &Searched| searched.inspection == before.inspection;
        let searched = before.searched.filter(is_ours).map(|searched| searched.reached[direction.index()]);
        let Reached { state, place } = searched.unwrap_or_default();
        Lane {
            edited: before.edited[direction.index()] as usize,
            search: state,
            places: Places { searched: place, edited: place },
            ..Lane::default()
        }
    }
}

/// How far a direction has been searched. What is replaced is searched for in what the module lets pass, which may be less, or
/// other bytes.
#[derive(Default, Clone, Copy)]
struct Places {
    searched: u64,
    edited: u64,
}

/// One direction.
#[derive(Default)]
struct Lane {
    state: Option<State>,
    /// What has come and not gone on: the longest end of the stream that may become something to be replaced.
    tail: Vec<u8>,
    since: Option<Instant>,
    /// [`Before::edited`].
    edited: usize,
    /// So many bytes have been searched for what is not replaced, and for what is.
    places: Places,
    /// Where the search for what is not replaced stands.
    search: Option<patterns::State>,
    /// A copy of what the inner session keeps back, which is still with the leg: should it let that pass, it is edited first.
    held: Vec<u8>,
}

/// The session.
pub struct EditSession {
    inner: Box<dyn Session>,
    inspection: Arc<Inspection>,
    /// Its index.
    index: u16,
    lanes: [Lane; 2],
    now: Instant,
    /// The flow may be merged as soon as nothing is kept.
    merges: bool,
    found: Found,
}

impl EditSession {
    /// Around `inner`, if the inspection searches for anything.
    pub fn around(inner: Box<dyn Session>, inspection: &Arc<Inspection>, before: Before) -> Box<dyn Session> {
        if !inspection.searches() {
            return inner;
        }
        Box::new(EditSession {
            inner,
            inspection: Arc::clone(inspection),
            lanes: Direction::BOTH.map(|direction| Lane::behind(before, direction)),
            now: Instant::ZERO,
            merges: before.returns,
            index: before.inspection,
            found: Found::default(),
        })
    }

    /// The inner session's word, as far as nothing is kept.
    fn step(&mut self, inner: Step) -> Step {
        match inner {
            Step::Reset | Step::Cut(_) => return inner,
            Step::Merge => self.merges = true,
            Step::Relay => {}
        }
        let keeps = self.lanes.iter().any(|lane| !lane.tail.is_empty());
        if self.merges && !keeps { Step::Merge } else { Step::Relay }
    }

    /// What else is found in `bytes` ends the flow, or keeps it here.
    fn search(&mut self, direction: Direction, bytes: &[u8]) -> Step {
        let lane = &mut self.lanes[direction.index()];
        let place = lane.places.searched;
        lane.places.searched += bytes.len() as u64;
        let Some(patterns) = self.inspection.patterns(direction) else { return Step::Relay };
        let before = lane.search.unwrap_or_else(|| patterns.start());
        let mut hits =
            Teller { inspection: &self.inspection, index: self.index, direction, found: &mut self.found };
        let searched =
            patterns.search(before, bytes, &mut |number, end| hits.tell(number, place + end as u64));
        lane.search = Some(searched.state);
        match searched.verdict {
            Some(Verdict::Drop | Verdict::Reset) => Step::Reset,
            Some(Verdict::Split) => {
                self.merges = false;
                Step::Relay
            }
            Some(_) | None => Step::Relay,
        }
    }

    /// The inner session's word about `bytes` and all that it keeps back before them, and what becomes of that.
    fn judge(&mut self, direction: Direction, bytes: &[u8], (edit, step): (Edit, Step)) -> (Edit, Step) {
        let mut held = std::mem::take(&mut self.lanes[direction.index()].held);
        let edit = match edit {
            Edit::Hold(most) => {
                held.extend(bytes);
                self.lanes[direction.index()].held = held;
                Edit::Hold(most)
            }
            Edit::Pass if held.is_empty() => self.edit(direction, bytes).map_or(Edit::Pass, Edit::Replace),
            Edit::Pass => {
                held.extend(bytes);
                self.edit(direction, &held).map_or(Edit::Pass, Edit::Replace)
            }
            Edit::Replace(others) => Edit::Replace(self.edit(direction, &others).unwrap_or(others)),
        };
        (edit, self.step(step))
    }

    /// What goes on instead of `bytes` and of what was kept before them; `None`: they do.
    fn edit(&mut self, direction: Direction, bytes: &[u8]) -> Option<Vec<u8>> {
        let edits = self.inspection.edits(direction)?;
        let lane = &mut self.lanes[direction.index()];
        let mut state = lane.state.unwrap_or_else(|| edits.start());
        let (before, was_kept) = (lane.tail.len(), !lane.tail.is_empty());
        let mut out: Option<Vec<u8>> = None;
        let place = lane.places.edited;
        let mut hits =
            Teller { inspection: &self.inspection, index: self.index, direction, found: &mut self.found };
        let skipped = lane.edited.min(bytes.len());
        lane.edited -= skipped;
        let (mut from, mut copied) = (skipped, 0);
        while let Some(found) = edits.next(&mut state, bytes, from) {
            hits.tell(found.number, place + found.end as u64);
            let begins = before + found.end - found.len as usize;
            let out = out.get_or_insert_with(|| Vec::with_capacity(before + bytes.len()));
            append(out, &lane.tail, bytes, copied..begins);
            out.extend(found.replacement);
            (from, copied) = (found.end, before + found.end);
        }
        lane.state = Some(state);
        lane.places.edited += bytes.len() as u64;
        let settled = before + bytes.len() - edits.pending(state) as usize;
        if out.is_none() && !was_kept && settled == bytes.len() {
            return None;
        }
        let mut out = out.unwrap_or_default();
        append(&mut out, &lane.tail, bytes, copied..settled);
        let mut tail = Vec::with_capacity(before + bytes.len() - settled);
        append(&mut tail, &lane.tail, bytes, settled..before + bytes.len());
        if tail.is_empty() {
            lane.since = None;
        } else if !was_kept || settled > 0 {
            // Something else than before begins here.
            lane.since = Some(self.now);
        }
        lane.tail = tail;
        Some(out)
    }
}

/// Counts and tells what is found in one direction.
struct Teller<'a> {
    inspection: &'a Inspection,
    index: u16,
    direction: Direction,
    found: &'a mut Found,
}

impl Teller<'_> {
    /// A pattern whose last byte is before `end`.
    fn tell(&mut self, pattern: u16, end: u64) {
        self.inspection.hits.count(0, pattern);
        let (place, verdict) = (self.inspection.begins(pattern, end), self.inspection.verdict(pattern));
        self.found.note(Hit { inspection: self.index, pattern, direction: self.direction, place, verdict });
    }
}

/// Appends the part at `range` of `tail` and `bytes` behind it.
fn append(out: &mut Vec<u8>, tail: &[u8], bytes: &[u8], range: std::ops::Range<usize>) {
    let (start, end) = (range.start, range.end.max(range.start));
    out.extend(&tail[start.min(tail.len())..end.min(tail.len())]);
    out.extend(&bytes[start.saturating_sub(tail.len())..end.saturating_sub(tail.len())]);
}

impl Session for EditSession {
    fn choose(&mut self, said: &[u8], is_all: bool) -> Choice {
        self.inner.choose(said, is_all)
    }

    fn established(&mut self) -> Step {
        let step = self.inner.established();
        self.step(step)
    }

    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        if let Step::Reset = self.search(direction, bytes) {
            return (Edit::Replace(Vec::new()), Step::Reset);
        }
        let word = self.inner.data(direction, bytes);
        self.judge(direction, bytes, word)
    }

    fn may_leave(&self) -> bool {
        self.inner.may_leave() && self.lanes.iter().all(|lane| lane.tail.is_empty())
    }

    fn named(&mut self, ticket: Ticket) -> bool {
        self.inner.named(ticket)
    }

    fn decide(&mut self, direction: Direction) -> (Edit, Step) {
        let word = self.inner.decide(direction);
        self.judge(direction, &[], word)
    }

    fn finished(&mut self, direction: Direction) -> (Edit, Step) {
        let word = self.inner.finished(direction);
        self.judge(direction, &[], word)
    }

    fn overdue(&mut self, direction: Direction) -> (Edit, Step) {
        let word = self.inner.overdue(direction);
        self.judge(direction, &[], word)
    }

    fn sees_all(&self) -> bool {
        true
    }

    fn memory(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.tail.len() + lane.held.len()).sum::<usize>() as u64
    }

    fn searched(&self) -> Option<Searched> {
        let reached = |lane: &Lane| Reached { state: lane.search, place: lane.places.searched };
        Some(Searched { inspection: self.index, reached: self.lanes.each_ref().map(reached) })
    }

    fn found(&mut self) -> Option<Found> {
        Some(std::mem::take(&mut self.found))
    }

    fn tick(&mut self, now: Instant) {
        self.now = now;
        self.inner.tick(now);
    }

    fn keeps(&self, direction: Direction) -> Option<(usize, Instant)> {
        let lane = &self.lanes[direction.index()];
        lane.since.map(|since| (lane.tail.len(), since + self.inspection.hold))
    }

    fn let_go(&mut self, direction: Direction) -> (Vec<u8>, Step) {
        let lane = &mut self.lanes[direction.index()];
        (lane.state, lane.since) = (None, None);
        let tail = std::mem::take(&mut lane.tail);
        (tail, self.step(Step::Relay))
    }
}
