//! What an inspection does to the streams of a participating flow: a session around that of the flow's module.
//!
//! What it searches for is found in the bytes as they came: where a worker would drop or reset, the flow is reset, for of a
//! stream nothing can be left out; and where a worker would have it looked at, it stays where it is.
//! The module sees bytes as they came; what it lets pass, or has made of them, is edited on its way out. Both paths search by
//! the same rules (`dataplane::inspect::edits`), so it makes no difference which of them a flow takes. What may be the beginning
//! of something to be replaced is kept here: at most a pattern, until the rest has come, the sender has closed, or the
//! inspection's `hold` is over. While something is kept nothing is merged, and the merge takes over the deltas.

use std::sync::Arc;

use dataplane::clock::Instant;
use dataplane::flow::quad::Direction;
use dataplane::inspect::Inspection;
use dataplane::inspect::edits::State;
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::{self, Verdict};

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
}

/// Hits that are told at once, at most: more than that nobody is told of in a second.
const TOLD: usize = 100;

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
            lanes: before.edited.map(|edited| Lane { edited: edited as usize, ..Lane::default() }),
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
        let Some(patterns) = self.inspection.patterns(direction) else { return Step::Relay };
        let lane = &mut self.lanes[direction.index()];
        let before = lane.search.unwrap_or_else(|| patterns.start());
        let place = lane.places.searched;
        let mut hits =
            Teller { inspection: &self.inspection, index: self.index, direction, found: &mut self.found };
        let searched =
            patterns.search(before, bytes, &mut |number, end| hits.tell(number, place + end as u64));
        lane.search = Some(searched.state);
        lane.places.searched += bytes.len() as u64;
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
        if self.found.hits.len() == TOLD {
            self.found.more += 1;
            return;
        }
        let place = self.inspection.begins(pattern, end);
        self.found.hits.push(Hit { inspection: self.index, pattern, direction: self.direction, place });
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

    fn found(&mut self) -> Found {
        std::mem::take(&mut self.found)
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

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ClientToServer as C, ServerToClient as S};
    use dataplane::inspect::Manner;
    use dataplane::inspect::patterns::Pattern;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Says to merge at every word, and makes capitals of what the server says.
    struct Inner;

    impl Session for Inner {
        fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
            match direction {
                C => (Edit::Pass, Step::Merge),
                S => (Edit::Replace(bytes.to_ascii_uppercase()), Step::Merge),
            }
        }
    }

    fn session(all: &[(&str, &str)]) -> Box<dyn Session> {
        around(Box::new(Inner), all)
    }

    fn around(inner: Box<dyn Session>, all: &[(&str, &str)]) -> Box<dyn Session> {
        let edit = |(bytes, with): &(&str, &str)| Pattern {
            name: (*bytes).to_owned(),
            bytes: bytes.as_bytes().to_vec(),
            direction: None,
            verdict: Verdict::Edit,
            replacement: with.as_bytes().to_vec(),
        };
        let patterns: Vec<_> = all.iter().map(edit).collect();
        let inspection = Inspection::new(&patterns, Manner::default()).unwrap();
        EditSession::around(inner, &Arc::new(inspection), Before::default())
    }

    #[test]
    fn a_pattern_is_replaced_across_pieces_and_nothing_merges_while_its_beginning_is_kept() {
        let mut session = session(&[("evil", "better"), ("EVIL", "-")]);
        let replaced = |text: &str| Edit::Replace(text.as_bytes().to_vec());
        session.tick(Instant::from_millis(1000));
        assert_eq!(session.data(C, b"plain"), (Edit::Pass, Step::Merge));
        assert_eq!(session.data(C, b"an evil ev"), (replaced("an better "), Step::Relay));
        assert_eq!(session.keeps(C), Some((2, Instant::from_millis(1200))));
        assert_eq!(session.data(S, b"evil"), (replaced("-"), Step::Relay), "the other direction waits, too");
        session.tick(Instant::from_millis(1100));
        assert_eq!(session.data(C, b"i"), (replaced(""), Step::Relay));
        assert_eq!(session.keeps(C), Some((3, Instant::from_millis(1200))), "of the first byte");
        assert_eq!(session.data(C, b"l."), (replaced("better."), Step::Merge));
        assert_eq!(session.keeps(C), None);
        assert_eq!(session.data(C, b"eev"), (replaced("e"), Step::Relay));
        assert_eq!(session.let_go(C), (b"ev".to_vec(), Step::Merge));
        assert_eq!(session.data(C, b"il"), (Edit::Pass, Step::Merge));
    }

    #[test]
    fn a_flow_that_was_split_for_an_edit_merges_behind_it() {
        let patterns = [Pattern {
            name: String::new(),
            bytes: b"evil".to_vec(),
            direction: Some(C),
            verdict: Verdict::Edit,
            replacement: Vec::new(),
        }];
        struct Quiet;
        impl Session for Quiet {
            fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
                (Edit::Pass, Step::Relay)
            }
        }
        let inspection = Arc::new(Inspection::new(&patterns, Manner::default()).unwrap());
        for (returns, step) in [(true, Step::Merge), (false, Step::Relay)] {
            let before = Before { returns, edited: [2, 0], ..Before::default() };
            let mut session = EditSession::around(Box::new(Quiet), &inspection, before);
            assert_eq!(session.data(C, b"e"), (Edit::Pass, step), "the end of something");
            assert_eq!(session.data(C, b"vevil!"), (Edit::Replace(b"v!".to_vec()), step));
        }
        assert_eq!(inspection.hits.of(0), 2);
    }

    /// Keeps the client's first word back until it is asked.
    struct Doubtful;

    impl Session for Doubtful {
        fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
            (Edit::Hold(Duration::from_secs(1)), Step::Relay)
        }

        fn decide(&mut self, _: Direction) -> (Edit, Step) {
            (Edit::Pass, Step::Merge)
        }
    }

    #[test]
    fn what_was_held_is_edited_when_it_passes() {
        let mut session = around(Box::new(Doubtful), &[("evil", "better")]);
        let held = (Edit::Hold(Duration::from_secs(1)), Step::Relay);
        assert_eq!([session.data(C, b"an ev"), session.data(C, b"il man")], [held.clone(), held]);
        assert_eq!(session.keeps(C), None, "that is with the leg");
        assert_eq!(session.decide(C), (Edit::Replace(b"an better man".to_vec()), Step::Merge));
    }

    #[test]
    fn what_is_searched_for_is_found_here_too() {
        let all = [("evil", Verdict::Reset), ("odd", Verdict::Split)].map(|(bytes, verdict)| Pattern {
            name: bytes.to_owned(),
            bytes: bytes.as_bytes().to_vec(),
            direction: None,
            verdict,
            replacement: Vec::new(),
        });
        let inspection = Arc::new(Inspection::new(&all, Manner::default()).unwrap());
        let before = Before { returns: true, inspection: 7, ..Before::default() };
        let mut session = EditSession::around(Box::new(Doubtless), &inspection, before);
        assert_eq!(session.data(C, b"ev"), (Edit::Pass, Step::Merge));
        assert_eq!(session.data(S, b"odd"), (Edit::Pass, Step::Relay), "somebody is to look at it");
        assert_eq!(session.data(C, b"il"), (Edit::Replace(Vec::new()), Step::Reset));
        assert_eq!([inspection.hits.of(0), inspection.hits.of(1)], [1, 1]);
        let hit = |pattern, direction| Hit { inspection: 7, pattern, direction, place: 0 };
        let found = session.found();
        assert_eq!((found.hits, found.more), (vec![hit(1, S), hit(0, C)], 0));
        assert!(session.found().hits.is_empty(), "once");
        session.data(S, "an odd ".repeat(TOLD + 3).as_bytes());
        let found = session.found();
        assert_eq!((found.hits.len(), found.more), (TOLD, 3), "nobody is told more");
        assert_eq!([found.hits[0].place, found.hits[99].place], [3 + 3, 3 + 99 * 7 + 3]);
    }

    /// Lets everything pass.
    struct Doubtless;

    impl Session for Doubtless {
        fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
            (Edit::Pass, Step::Relay)
        }
    }

    proptest! {
        /// However a stream is cut, the same becomes of it.
        #[test]
        fn a_stream_may_be_cut_anywhere(text in "[abc]{0,40}", cuts in prop::collection::vec(1usize..6, 1..40)) {
            let all = [("abca", "1"), ("cc", "22"), ("bab", "")];
            let run = |cuts: &[usize]| {
                let (mut session, mut out) = (session(&all), Vec::new());
                let (mut rest, mut cuts) = (text.as_bytes(), cuts.iter().cycle());
                while !rest.is_empty() {
                    let (piece, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                    match session.data(C, piece).0 {
                        Edit::Pass => out.extend(piece),
                        Edit::Replace(bytes) => out.extend(bytes),
                        Edit::Hold(_) => unreachable!("nobody holds"),
                    }
                    rest = later;
                }
                out.extend(session.let_go(C).0);
                out
            };
            prop_assert_eq!(run(&cuts), run(&[40]));
        }
    }
}
