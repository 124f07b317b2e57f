//! Many patterns at once, over a stream that comes in pieces: an Aho-Corasick automaton (A. V. Aho and M. J. Corasick,
//! "Efficient string matching", 1975), of which a flow keeps nothing but the state.
//!
//! The automaton is a DFA, one table look-up a byte: what a peer sends cannot make the search slower, as it can where
//! failure transitions are followed. Its size is bounded by the patterns' own bytes.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, BuildError, MatchKind, StartKind};

use crate::flow::quad::Direction;

/// What happens when a pattern is found. The later ones outdo the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It is told of, as any other is, and that is all.
    Event,
    /// Something else goes on instead of it (`edits.rs`).
    Edit,
    /// The flow is split for a closer look: its module gets the segment that completes it, which waits for that.
    Split,
    /// The segment that completes it is dropped, as often as it is repeated.
    Drop,
    /// The connection ends with RST at both ends.
    Reset,
}

impl Verdict {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Event => "event",
            Verdict::Edit => "edit",
            Verdict::Split => "split",
            Verdict::Drop => "drop",
            Verdict::Reset => "reset",
        }
    }

    /// What it means for the flow. Who can bring about one of a lower gravity as often as it likes must not hide one of a higher by
    /// it.
    pub const fn gravity(self) -> Gravity {
        match self {
            Verdict::Event | Verdict::Edit => Gravity::Passes,
            Verdict::Drop => Gravity::Stays,
            Verdict::Split | Verdict::Reset => Gravity::Ends,
        }
    }
}

/// What becomes of a flow in which something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// It goes on, and so do these bytes, as they came or edited.
    Passes,
    /// It goes on without these bytes.
    Stays,
    /// It ends, or is its worker's no more.
    Ends,
}

impl Gravity {
    /// How many there are.
    pub const COUNT: usize = Gravity::Ends as usize + 1;
}

/// One thing to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What it is called.
    pub name: String,
    /// At least one byte.
    pub bytes: Vec<u8>,
    /// Whose bytes are searched; `None`: both directions.
    pub direction: Option<Direction>,
    /// What happens when it is found.
    pub verdict: Verdict,
    /// What takes its place when it is to be edited.
    pub replacement: Vec<u8>,
}

/// The patterns cannot be compiled.
#[derive(Debug)]
pub struct PatternsError(pub(super) BuildError);

impl std::fmt::Display for PatternsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for PatternsError {}

/// Where the search stands between two bytes. Means something to the [`Patterns`] that it came from only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(StateID);

/// What a search has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Searched {
    /// Behind the last byte.
    pub state: State,
    /// The strongest verdict of all that was found.
    pub verdict: Option<Verdict>,
}

/// The patterns for one direction, compiled.
#[derive(Debug)]
pub struct Patterns {
    automaton: DFA,
    start: StateID,
    /// Of each pattern, and its number among all of the inspection.
    verdicts: Box<[(Verdict, u16)]>,
}

impl Patterns {
    /// Those of `all` that concern `direction` and are not edited; `None` when none does.
    pub fn compile(
        all: &[Pattern],
        direction: Direction,
        ignore_case: bool,
    ) -> Result<Option<Patterns>, PatternsError> {
        let concerns = |pattern: &Pattern| {
            pattern.verdict != Verdict::Edit && pattern.direction.is_none_or(|of| of == direction)
        };
        let chosen: Vec<(usize, &Pattern)> =
            all.iter().enumerate().filter(|(_, pattern)| concerns(pattern)).collect();
        if chosen.is_empty() {
            return Ok(None);
        }
        let automaton = DFA::builder()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .ascii_case_insensitive(ignore_case)
            .build(chosen.iter().map(|(_, pattern)| &pattern.bytes))
            .map_err(PatternsError)?;
        // A DFA that was built for unanchored searches has such a start.
        let start = automaton.start_state(Anchored::No).unwrap_or(StateID::ZERO);
        let verdicts = chosen.iter().map(|(number, pattern)| (pattern.verdict, *number as u16)).collect();
        Ok(Some(Patterns { automaton, start, verdicts }))
    }

    /// The state before the first byte.
    pub fn start(&self) -> State {
        State(self.start)
    }

    /// Searches `bytes`, which follow what has led to `state`. What began in earlier bytes is found where it ends. `hit` is told
    /// the number of each pattern that was found, as often as it was, and behind which of the bytes it ends.
    pub fn search(&self, state: State, bytes: &[u8], hit: &mut dyn FnMut(u16, usize)) -> Searched {
        let (mut state, mut verdict) = (state.0, None);
        for (at, byte) in bytes.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                for index in 0..self.automaton.match_len(state) {
                    let pattern = self.automaton.match_pattern(state, index).as_usize();
                    let (ending, number) = self.verdicts[pattern];
                    verdict = verdict.max(Some(ending));
                    hit(number, at + 1);
                }
            }
        }
        Searched { state: State(state), verdict }
    }

    /// Bytes that the automaton takes.
    pub fn bytes(&self) -> usize {
        self.automaton.memory_usage() + size_of_val(&*self.verdicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ClientToServer, ServerToClient};
    use proptest::prelude::*;

    fn pattern(bytes: &str, direction: Option<Direction>, verdict: Verdict) -> Pattern {
        Pattern {
            name: bytes.to_owned(),
            bytes: bytes.as_bytes().to_vec(),
            direction,
            verdict,
            replacement: Vec::new(),
        }
    }

    /// What is found, and how often.
    fn search(patterns: &Patterns, state: State, bytes: &[u8]) -> (Searched, u32) {
        let mut found = 0;
        let searched = patterns.search(state, bytes, &mut |_, _| found += 1);
        (searched, found)
    }

    fn patterns(all: &[(&str, Verdict)]) -> Patterns {
        let all: Vec<_> = all.iter().map(|(bytes, verdict)| pattern(bytes, None, *verdict)).collect();
        Patterns::compile(&all, ClientToServer, false).unwrap().unwrap()
    }

    #[test]
    fn the_strongest_verdict_wins_wherever_it_stands() {
        let all = patterns(&[("bcd", Verdict::Event), ("c", Verdict::Drop), ("abcde", Verdict::Reset)]);
        let verdict = |text: &str| search(&all, all.start(), text.as_bytes()).0.verdict;
        assert_eq!(verdict("xxab"), None);
        assert_eq!(verdict("abc"), Some(Verdict::Drop));
        assert_eq!(verdict("abcdefg"), Some(Verdict::Reset), "patterns within others are found, too");
        assert_eq!(search(&all, all.start(), b"c bcd").1, 3);
    }

    #[test]
    fn a_direction_has_its_own_patterns_or_none() {
        let all = [pattern("Up", Some(ClientToServer), Verdict::Drop)];
        assert!(Patterns::compile(&all, ServerToClient, false).unwrap().is_none());
        for (ignore_case, expected) in [(false, None), (true, Some(Verdict::Drop))] {
            let up = Patterns::compile(&all, ClientToServer, ignore_case).unwrap().unwrap();
            assert_eq!(search(&up, up.start(), b"uP").0.verdict, expected);
        }
    }

    #[test]
    fn memory_follows_the_patterns_bytes() {
        let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
        let all = [Pattern { bytes, ..pattern("", None, Verdict::Drop) }];
        let compiled = Patterns::compile(&all, ClientToServer, false).unwrap().unwrap();
        assert!(compiled.bytes() <= 4096 * 1100, "{}", compiled.bytes());
    }

    proptest! {
        /// However a stream is cut, the same is found as in one piece; and that is what a plain search finds.
        #[test]
        fn a_stream_may_be_cut_anywhere(text in "[abc]{0,40}", cuts in prop::collection::vec(0usize..40, 0..5)) {
            let wanted = [("abca", Verdict::Event), ("cc", Verdict::Drop), ("bab", Verdict::Reset)];
            let all = patterns(&wanted);
            let (whole, total) = search(&all, all.start(), text.as_bytes());
            let expected = wanted.iter().filter(|(bytes, _)| text.contains(bytes)).map(|(_, verdict)| *verdict).max();
            prop_assert_eq!(whole.verdict, expected);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let (mut from, mut state, mut verdict, mut found) = (0, all.start(), None, 0);
            for cut in cuts {
                let (searched, count) = search(&all, state, &text.as_bytes()[from..cut]);
                (from, state, verdict) = (cut, searched.state, verdict.max(searched.verdict));
                found += count;
            }
            prop_assert_eq!((state, verdict, found), (whole.state, whole.verdict, total));
        }
    }
}
