//! One direction of a flow as it is searched: in-order bytes only, each of them once.
//!
//! Four numbers say how far it is, in this order: what has *gone* out; what is *settled*, because nothing before it can still
//! become part of something to be replaced; what is *queued*, in segments that wait; and the end of what is kept. Without
//! edits, and while nobody is asked to look closer, they are the same.

use crate::clock::Instant;
use crate::counters::Counter;
use crate::flow::quad::Direction;
use crate::wire::seq::Seq;

use super::edits;
use super::kept::{Kept, List};
use super::patterns::{self, Patterns, Verdict};
use super::{Ahead, Inspection, Reached};

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It passes, behind all that waits. `restored`: with the bytes that are kept instead of its own.
    Pass {
        /// See above.
        restored: bool,
    },
    /// It passes; what was not seen before it is never searched.
    PassAhead,
    /// It goes nowhere, under this name.
    Drop(Counter),
    /// It goes nowhere, and this has been found in it.
    Found(Verdict),
    /// It waits: it ends with what may be the beginning of something to be replaced.
    Hold,
    /// It waits for somebody else, the first that does.
    Await(Why),
    /// It waits behind one that does.
    Queue(Why),
}

/// Why somebody else is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// To look closer.
    Look,
    /// To replace something by something of another length.
    Resize,
    /// To take what may be the beginning of something, so that its sender hears that it has come: one that sends the rest only
    /// then (Nagle's algorithm, a full window) would never send it. Or to take the last word of one end while the other one's
    /// may still have to be edited.
    Rest,
}

impl Why {
    /// Whether what waits may go on as it is when nobody comes.
    pub const fn is_rest(self) -> bool {
        matches!(self, Why::Rest)
    }
}

/// A segment to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its number.
    pub at: Seq,
    /// Its payload.
    pub bytes: &'a [u8],
    /// Nothing comes behind it.
    pub is_last: bool,
}

impl Part<'_> {
    /// Behind its last byte.
    pub fn end(&self) -> Seq {
        self.at.advance(self.bytes.len() as u32)
    }
}

/// What is said of a direction that is searched by somebody else from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Behind what has gone out.
    pub gone: Seq,
    /// So many bytes behind that have been edited: the end of something whose beginning has gone out.
    pub edited: u32,
    /// How far the search was, there.
    pub reached: Reached,
}

/// How far one direction has been searched.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// What has passed and is not acknowledged, and what waits and has been searched.
    kept: List,
    /// Behind the last byte that has gone out.
    gone: Seq,
    /// Behind the last byte that may go out.
    settled: Seq,
    /// Behind the last segment that waits; [`Stream::gone`] when none does.
    queued: Seq,
    /// Of what is kept, the place of the byte behind the last: so many have been searched.
    place: u64,
    state: Option<patterns::State>,
    /// The same at [`Stream::gone`], where it is known.
    state_gone: Option<patterns::State>,
    editing: Option<edits::State>,
    /// What is queued waits for somebody else, and so does what follows: [`Outcome::Await`].
    awaits: Option<Why>,
    /// Nothing comes behind what is kept.
    is_last: bool,
    /// Behind the last byte that was replaced.
    edited: Seq,
    /// What follows is somebody else's.
    is_over: bool,
    /// When the first of what is queued came.
    pub(super) since: Instant,
}

impl Stream {
    /// Nothing has been searched; `next` comes next.
    pub fn new(next: Seq, inspection: &Inspection, direction: Direction) -> Stream {
        Stream::resume(next, inspection, direction, Reached::default())
    }

    /// All before `next` has been searched by somebody else, for the same.
    pub fn resume(next: Seq, inspection: &Inspection, direction: Direction, reached: Reached) -> Stream {
        let start = || inspection.patterns(direction).map(|patterns| patterns.start());
        let state = reached.state.filter(|_| inspection.patterns(direction).is_some()).or_else(start);
        Stream {
            kept: List::new(next),
            gone: next,
            settled: next,
            queued: next,
            place: reached.place,
            state,
            state_gone: state,
            editing: inspection.edits(direction).map(|edits| edits.start()),
            awaits: None,
            is_last: false,
            edited: next,
            is_over: false,
            since: Instant::ZERO,
        }
    }

    /// Behind the last byte that has gone out.
    pub const fn gone(&self) -> Seq {
        self.gone
    }

    /// Behind the last segment that waits; [`Stream::gone`] when none does.
    pub const fn queued(&self) -> Seq {
        self.queued
    }

    /// What is kept.
    pub const fn kept(&self) -> &List {
        &self.kept
    }

    /// Whether a segment that waits and ends at `end` may go on.
    pub const fn is_settled(&self, end: Seq) -> bool {
        self.awaits.is_none() && end.le(self.settled)
    }

    /// Why somebody else is to have what waits.
    pub const fn awaits(&self) -> Option<Why> {
        self.awaits
    }

    /// The rest has not come: somebody else is to have what waits.
    pub fn await_rest(&mut self) {
        self.awaits = Some(Why::Rest);
    }

    /// What the bytes before `end`, of a segment that was just judged, have led to: known where the search stands.
    pub fn state_at(&self, end: Seq) -> Option<patterns::State> {
        self.state.filter(|_| end == self.kept.end())
    }

    /// All before `end` has gone out, which has led to `state`, if that is known. It is not where what waited was dropped, and its
    /// sender repeats it cut otherwise: then it is searched once more, as it was edited.
    pub fn go(&mut self, kept: &Kept, patterns: Option<&Patterns>, end: Seq, state: Option<patterns::State>) {
        if end.gt(self.gone) {
            let state = state.or_else(|| self.state_at(end));
            self.state_gone = state.or_else(|| self.walk(kept, patterns?, end));
        }
        self.gone = self.gone.max(end);
        // It follows, or it would seem to lie ahead after 2^31 bytes.
        self.edited = self.edited.max(self.gone);
        self.queued = self.queued.max(end);
    }

    /// What has gone out and what is kept behind it, before `end`, have led to. Its hits have been told.
    #[cold]
    fn walk(&self, kept: &Kept, patterns: &Patterns, end: Seq) -> Option<patterns::State> {
        let mut state = self.state_gone?;
        let len = self.gone.distance_to(end);
        kept.read(&self.kept, self.gone, len as usize, &mut |bytes| {
            state = patterns.search(state, bytes, &mut |_, _| ()).state;
        });
        end.le(self.kept.end()).then_some(state)
    }

    /// Judges a segment. `hit` is told the number of each pattern that ends in it, and the place of its first byte.
    pub fn take(
        &mut self,
        kept: &mut Kept,
        inspection: &Inspection,
        direction: Direction,
        part: &Part<'_>,
        hit: &mut dyn FnMut(u16, u64),
    ) -> Outcome {
        let end = part.end();
        if part.at.gt(self.queued) {
            return match (inspection.ahead, part.bytes.is_empty()) {
                (_, true) if part.is_last && closes(inspection, direction) => {
                    Outcome::Drop(Counter::DropInspectAhead)
                }
                (_, true) => Outcome::Pass { restored: false },
                (Ahead::Drop, false) => Outcome::Drop(Counter::DropInspectAhead),
                (Ahead::Pass, false) => self.pass_ahead(kept, inspection, direction, end),
            };
        }
        if part.bytes.is_empty() {
            return self.take_empty(inspection, direction, part);
        }
        if end.le(self.queued) {
            // A repetition, and what it repeats has gone out, or waits and is not lost.
            return match end.le(self.gone) {
                true => Outcome::Pass { restored: true },
                false => Outcome::Drop(Counter::DropInspectHeld),
            };
        }
        if let Some(why) = self.awaits {
            self.queued = end;
            return Outcome::Queue(why);
        }
        self.take_new(kept, inspection, direction, part, hit)
    }

    /// No bytes: only a FIN in its turn says anything.
    fn take_empty(&mut self, inspection: &Inspection, direction: Direction, part: &Part<'_>) -> Outcome {
        if part.is_last && part.at == self.queued {
            if let Some(why) = self.awaits {
                return Outcome::Queue(why);
            }
            if self.settle_if_last(part) && closes(inspection, direction) {
                return self.await_somebody(part.end(), Why::Rest);
            }
        }
        Outcome::Pass { restored: false }
    }

    fn take_new(
        &mut self,
        kept: &mut Kept,
        inspection: &Inspection,
        direction: Direction,
        part: &Part<'_>,
        hit: &mut dyn FnMut(u16, u64),
    ) -> Outcome {
        let next = self.kept.end();
        // A receiver cuts off what it has already (RFC 9293 section 3.10.7.4), if it has it.
        let (old, new) = part.bytes.split_at(part.bytes.len().min(part.at.distance_to(next) as usize));
        if self.is_last && !new.is_empty() {
            return Outcome::Drop(Counter::DropAfterFin);
        }
        let place = self.place;
        let mut hit = |number, end| hit(number, inspection.begins(number, place + end as u64));
        let mut state = self.state;
        if let (Some(patterns), Some(state)) = (inspection.patterns(direction), &mut state) {
            let searched = patterns.search(*state, new, &mut hit);
            match searched.verdict {
                Some(Verdict::Split) => return self.await_somebody(part.end(), Why::Look),
                Some(verdict @ (Verdict::Drop | Verdict::Reset)) => return Outcome::Found(verdict),
                _ => *state = searched.state,
            }
        }
        let edits = inspection.edits(direction).zip(self.editing);
        if let Some((edits, state)) = edits
            && edits.resizes()
            && resizes(edits, state, new)
        {
            return self.await_somebody(part.end(), Why::Resize);
        }
        if kept.push(&mut self.kept, new).is_err() {
            return Outcome::Drop(Counter::DropInspectInFlight);
        }
        self.state = state;
        self.place += new.len() as u64;
        let mut is_edited = false;
        if let Some((edits, mut state)) = edits {
            let mut from = 0;
            while let Some(found) = edits.next(&mut state, new, from) {
                hit(found.number, found.end);
                let at = next.advance(found.end as u32).retreat(found.len);
                kept.overwrite(&self.kept, at, found.replacement);
                (from, is_edited) = (found.end, true);
                self.edited = next.advance(found.end as u32);
            }
            self.editing = Some(state);
            self.settled = self.kept.end().retreat(edits.pending(state));
        } else {
            self.settled = self.kept.end();
        }
        self.queued = part.end();
        if self.settle_if_last(part) && closes(inspection, direction) {
            return self.await_somebody(part.end(), Why::Rest);
        }
        match self.is_settled(part.end()) {
            true => Outcome::Pass { restored: is_edited || !old.is_empty() },
            false => Outcome::Hold,
        }
    }

    /// The search goes on only with what passes: what is found is found again when it is repeated.
    fn await_somebody(&mut self, end: Seq, why: Why) -> Outcome {
        self.awaits = Some(why);
        self.queued = end;
        Outcome::Await(why)
    }

    /// Whether it is the first that says so.
    fn settle_if_last(&mut self, part: &Part<'_>) -> bool {
        if !part.is_last || part.end() != self.kept.end() {
            return false;
        }
        self.settled = self.kept.end();
        !std::mem::replace(&mut self.is_last, true)
    }

    /// What waits has waited long enough for the rest of what it may be the beginning of: it goes on as it is.
    pub fn settle(&mut self, inspection: &Inspection, direction: Direction) {
        self.settled = self.kept.end();
        self.awaits = None;
        self.editing = inspection.edits(direction).map(|edits| edits.start());
    }

    /// What waits has been dropped, or given to somebody else: its sender repeats it.
    pub fn forget_queue(&mut self) {
        self.queued = self.gone;
        self.awaits = None;
    }

    /// From here on the bytes are somebody else's; what has gone out is still repeated from here.
    pub fn end(&mut self, kept: &mut Kept) -> Ended {
        let (gone, edited) = (self.gone, self.gone.distance_to(self.edited));
        let waiting = u64::from(gone.distance_to(self.kept.end()));
        let reached = Reached { state: self.state_gone, place: self.place - waiting.min(self.place) };
        self.gone = gone.advance(edited);
        self.forget_queue();
        self.is_over = true;
        kept.cut(&mut self.kept, self.gone);
        Ended { gone, edited, reached }
    }

    fn pass_ahead(
        &mut self,
        kept: &mut Kept,
        inspection: &Inspection,
        direction: Direction,
        end: Seq,
    ) -> Outcome {
        if self.awaits.is_some() {
            return Outcome::Drop(Counter::DropInspectAhead);
        }
        let (since, place) = (self.since, self.place + u64::from(self.kept.end().distance_to(end)));
        kept.restart(&mut self.kept, end);
        *self = Stream { since, place, ..Stream::new(end, inspection, direction) };
        Outcome::PassAhead
    }

    /// The receiver has acknowledged all before `ack`. What has not gone out cannot have been acknowledged.
    pub fn acknowledge(&mut self, kept: &mut Kept, ack: Seq) {
        // One more: a FIN is not searched.
        if ack.gt(self.kept.start()) && (self.is_over || ack.le(self.gone.advance(1))) {
            kept.release(&mut self.kept, ack.min(self.gone));
        }
    }

    /// Gives back what is kept.
    pub fn give_back(mut self, kept: &mut Kept) {
        kept.restart(&mut self.kept, self.gone);
    }
}

/// Whether the flow had better be split before the sender of `direction` has closed: afterwards it cannot be, and what the
/// other one still says may have to be edited.
fn closes(inspection: &Inspection, direction: Direction) -> bool {
    inspection.edits(direction.reverse()).is_some()
}

/// Whether something in `bytes` is replaced by something of another length.
fn resizes(edits: &edits::Edits, mut state: edits::State, bytes: &[u8]) -> bool {
    let mut from = 0;
    while let Some(found) = edits.next(&mut state, bytes, from) {
        if found.resizes() {
            return true;
        }
        from = found.end;
    }
    false
}
