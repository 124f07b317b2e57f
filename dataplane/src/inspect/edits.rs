//! What is replaced in a stream that comes in pieces. Both paths use it, so that it makes no difference where a flow is.
//!
//! From left to right: of the patterns that overlap, the one that ends first is replaced, of those that end together the
//! longest. Behind a replaced one the search begins anew. So a flow keeps one state of a DFA, and it does not matter where the
//! stream is cut.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};
use hashbrown::HashMap;

use super::patterns::{Pattern, PatternsError, Verdict};
use crate::flow::quad::Direction;

/// The longest pattern that is replaced, bytes: of so many the beginning may have to wait for the rest.
pub const MAX_EDITED: usize = 1024;

#[derive(Debug)]
struct Edited {
    /// Its index in all patterns of the inspection.
    number: u16,
    len: u32,
    replacement: Box<[u8]>,
}

/// What is replaced in one direction, compiled.
#[derive(Debug)]
pub struct Edits {
    automaton: DFA,
    start: StateID,
    edited: Box<[Edited]>,
    /// By state: how many of the bytes before it may be part of something to be replaced. A state stands for the longest of
    /// all beginnings of patterns with which the stream ends.
    depths: HashMap<StateID, u32, ahash::RandomState>,
    resizes: bool,
}

/// Where the search stands between two bytes. Means something to the [`Edits`] that it came from only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(StateID);

/// Something to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Behind its last byte: an offset in what was searched.
    pub end: usize,
    /// Its length; it may have begun before what was searched.
    pub len: u32,
    /// What takes its place.
    pub replacement: &'a [u8],
    /// The pattern's index in the inspection.
    pub number: u16,
}

impl Found<'_> {
    /// What follows moves.
    pub fn resizes(&self) -> bool {
        self.replacement.len() != self.len as usize
    }
}

impl Edits {
    /// Those of `all` that concern `direction`; `None` when none does.
    pub fn compile(
        all: &[Pattern],
        direction: Direction,
        ignore_case: bool,
    ) -> Result<Option<Edits>, PatternsError> {
        let concerns = |pattern: &Pattern| {
            pattern.verdict == Verdict::Edit && pattern.direction.is_none_or(|of| of == direction)
        };
        let chosen = || all.iter().enumerate().filter(|(_, pattern)| concerns(pattern));
        if chosen().next().is_none() {
            return Ok(None);
        }
        let automaton = DFA::builder()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .ascii_case_insensitive(ignore_case)
            .build(chosen().map(|(_, pattern)| &pattern.bytes))
            .map_err(PatternsError)?;
        // A DFA that was built for unanchored searches has such a start.
        let start = automaton.start_state(Anchored::No).unwrap_or(StateID::ZERO);
        let mut depths = HashMap::with_hasher(ahash::RandomState::new());
        for (_, pattern) in chosen() {
            let mut state = start;
            for (at, byte) in pattern.bytes.iter().enumerate() {
                state = automaton.next_state(Anchored::No, state, *byte);
                depths.insert(state, at as u32 + 1);
            }
        }
        let edited = chosen().map(|(number, pattern)| Edited {
            number: number as u16,
            len: pattern.bytes.len() as u32,
            replacement: pattern.replacement.clone().into(),
        });
        let edited: Box<[Edited]> = edited.collect();
        let resizes = edited.iter().any(|edited| edited.replacement.len() != edited.len as usize);
        Ok(Some(Edits { automaton, start, edited, depths, resizes }))
    }

    /// The state before the first byte.
    pub fn start(&self) -> State {
        State(self.start)
    }

    /// The first thing to be replaced in `bytes` from `from` on, which follow what has led to `state`. To be asked again from
    /// where it ends.
    pub fn next(&self, state: &mut State, bytes: &[u8], from: usize) -> Option<Found<'_>> {
        let mut id = state.0;
        for (at, byte) in bytes.iter().enumerate().skip(from) {
            id = self.automaton.next_state(Anchored::No, id, *byte);
            if self.automaton.is_special(id) && self.automaton.is_match(id) {
                // The longest comes first.
                let edited = &self.edited[self.automaton.match_pattern(id, 0).as_usize()];
                *state = self.start();
                return Some(Found {
                    end: at + 1,
                    len: edited.len,
                    replacement: &edited.replacement,
                    number: edited.number,
                });
            }
        }
        *state = State(id);
        None
    }

    /// How many of the bytes before `state` may be part of something that is still to come.
    pub fn pending(&self, state: State) -> u32 {
        self.depths.get(&state.0).copied().unwrap_or(0)
    }

    /// Whether anything is replaced by something of another length.
    pub fn resizes(&self) -> bool {
        self.resizes
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let replacements: usize = self.edited.iter().map(|edited| edited.replacement.len()).sum();
        self.automaton.memory_usage()
            + replacements
            + size_of_val(&*self.edited)
            + self.depths.capacity() * size_of::<(StateID, u32)>()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn edit(bytes: &str, replacement: &str) -> Pattern {
        Pattern {
            name: bytes.to_owned(),
            bytes: bytes.as_bytes().to_vec(),
            direction: None,
            verdict: Verdict::Edit,
            replacement: replacement.as_bytes().to_vec(),
        }
    }

    pub(crate) fn edits(all: &[(&str, &str)]) -> Edits {
        let all: Vec<_> = all.iter().map(|(bytes, with)| edit(bytes, with)).collect();
        Edits::compile(&all, Direction::ClientToServer, false).unwrap().unwrap()
    }

    /// What becomes of a whole stream, searched naively.
    pub(crate) fn model(all: &[(&str, &str)], stream: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut fresh = 0;
        for end in 1..=stream.len() {
            let ends = |text: &&(&str, &str)| stream[fresh..end].ends_with(text.0.as_bytes());
            if let Some((text, with)) = all.iter().filter(ends).max_by_key(|(text, _)| text.len()) {
                out.extend(&stream[fresh..end - text.len()]);
                out.extend(with.as_bytes());
                fresh = end;
            }
        }
        out.extend(&stream[fresh..]);
        out
    }

    #[test]
    fn what_ends_first_is_replaced_and_of_those_the_longest() {
        let all = [("aba", "xyz"), ("ba", "__"), ("abcd", "never"), ("bc", "##")];
        assert_eq!(model(&all, b"ababa abcd"), b"xyz__ a##d");
        let edits = edits(&all);
        let mut state = edits.start();
        let found = edits.next(&mut state, b"ababa", 0).unwrap();
        assert_eq!((found.end, found.len, found.replacement), (3, 3, &b"xyz"[..]));
        let found = edits.next(&mut state, b"ababa", 3).unwrap();
        assert_eq!((found.end, found.len), (5, 2));
    }

    #[test]
    fn only_what_may_still_become_something_is_pending() {
        let edits = edits(&[("abcab", "x"), ("bcx", "y")]);
        let pending = |text: &[u8]| {
            let mut state = edits.start();
            assert_eq!(edits.next(&mut state, text, 0), None);
            edits.pending(state)
        };
        assert_eq!(
            [&b"a"[..], b"zab", b"abc", b"abca", b"zbc", b"abcaz", b""].map(pending),
            [1, 2, 3, 4, 2, 0, 0]
        );
        assert!(edits.resizes());
        let any = Edits::compile(&[edit("Up", "no")], Direction::ServerToClient, true).unwrap().unwrap();
        let mut state = any.start();
        assert_eq!(any.next(&mut state, b"-u", 0), None);
        assert_eq!((any.pending(state), any.resizes()), (1, false));
        assert!(any.next(&mut state, b"P", 0).is_some());
    }

    proptest! {
        /// However a stream is cut, the same becomes of it, and nothing is decided too early.
        #[test]
        fn a_stream_may_be_cut_anywhere(text in "[abc]{0,40}", cuts in prop::collection::vec(1usize..6, 1..40)) {
            let all = [("abca", "1"), ("cc", "22"), ("bab", ""), ("a", "a"), ("bb", "44444")];
            let all = &all[..if text.len().is_multiple_of(2) { 3 } else { 5 }];
            let edits = edits(all);
            let (mut state, mut out, mut tail) = (edits.start(), Vec::new(), Vec::new());
            let mut rest = text.as_bytes();
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                rest = later;
                let before = tail.len();
                tail.extend(piece);
                let (mut from, mut copied) = (0, 0);
                while let Some(found) = edits.next(&mut state, piece, from) {
                    out.extend(&tail[copied..before + found.end - found.len as usize]);
                    out.extend(found.replacement);
                    (from, copied) = (found.end, before + found.end);
                }
                let settled = tail.len() - edits.pending(state) as usize;
                out.extend(&tail[copied..settled]);
                tail.drain(..settled);
            }
            out.extend(tail);
            prop_assert_eq!(String::from_utf8(out), String::from_utf8(model(all, text.as_bytes())));
        }
    }
}
