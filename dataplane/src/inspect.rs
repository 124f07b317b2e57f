//! Stateful inspection on the non-participating path (seed 001, FIG. 7): what a flow's bytes are searched for, and what
//! keeps anything from getting past the search.
//!
//! A receiver may take any one of several versions of a byte: the first never came to it (its TTL ran out, its timestamp
//! was old), the second did. Whoever searches only the first is deceived. So what has passed and is not acknowledged yet is
//! kept (`kept.rs`), and whatever repeats it leaves with the same bytes; what was edited is kept as it left (`edits.rs`). All
//! else about reassembly follows from searching in-order bytes only (`stream.rs`): the sender repeats what was dropped.

pub mod edits;
pub mod hits;
pub mod kept;
pub mod patterns;
pub mod places;
pub mod stream;
pub mod window;

use std::time::Duration;

use crate::flow::quad::Direction;
use crate::policy::Fallback;
use edits::Edits;
use hits::Hits;
use patterns::{Pattern, Patterns, PatternsError, Verdict};

/// What is done about segments ahead of a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ahead {
    /// They are dropped by name until the hole is filled: nothing passes unsearched.
    #[default]
    Drop,
    /// They pass, and the search begins anew behind them: what fills the hole is never searched.
    Pass,
}

/// What is asked of the flows of a rule beside patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Whether the case of ASCII letters does not count.
    pub ignore_case: bool,
    /// Whether what does not belong to the connection is dropped (`window.rs`).
    pub window: bool,
    /// Segments ahead of a hole.
    pub ahead: Ahead,
    /// Flows for which there is no place any more.
    pub when_full: Fallback,
    /// How long the beginning of something to be replaced waits for its rest.
    pub hold: Duration,
}

impl Manner {
    /// [`Manner::hold`] unless somebody says otherwise: below any sender's RTO (Linux' is 200 ms at least), so that nobody who
    /// has said all that there is to say repeats it.
    pub const HOLD: Duration = Duration::from_millis(200);
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            ignore_case: false,
            window: false,
            ahead: Ahead::default(),
            when_full: Fallback::default(),
            hold: Manner::HOLD,
        }
    }
}

/// How far the bytes of a flow have been searched, when it changes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Searched {
    /// Index of the inspection. A state means nothing to another one; an index means one inspection, over any number of reloads.
    pub inspection: u16,
    /// By [`Direction::index`].
    pub reached: [Reached; 2],
}

/// The same of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// What the bytes before have led to. `None`: nobody knows, and the search begins anew. What is edited needs no state: a
    /// flow changes hands only where nothing before can become part of something to be edited.
    pub state: Option<patterns::State>,
    /// So many bytes are before, as far as they were searched.
    pub place: u64,
}

/// Everything that is asked of the flows of a rule.
#[derive(Debug)]
pub struct Inspection {
    /// As given.
    given: Box<[Pattern]>,
    manner: Manner,
    /// Of the client's bytes and of the server's, by [`Direction::index`]; `None` where nothing is searched for.
    patterns: [Option<Patterns>; 2],
    edits: [Option<Edits>; 2],
    /// How often each pattern was found.
    pub hits: Hits,
}

impl std::ops::Deref for Inspection {
    type Target = Manner;

    fn deref(&self) -> &Manner {
        &self.manner
    }
}

impl Inspection {
    /// Compiles the patterns. Takes memory in proportion to all of their bytes together, 1 KiB a byte at most.
    pub fn new(given: &[Pattern], manner: Manner) -> Result<Inspection, PatternsError> {
        let [client, server] = Direction::BOTH;
        let patterns = |direction| Patterns::compile(given, direction, manner.ignore_case);
        let edits = |direction| Edits::compile(given, direction, manner.ignore_case);
        Ok(Inspection {
            patterns: [patterns(client)?, patterns(server)?],
            edits: [edits(client)?, edits(server)?],
            hits: Hits::new(given.len()),
            given: given.into(),
            manner,
        })
    }

    /// What is searched for in what travels `direction`.
    pub fn patterns(&self, direction: Direction) -> Option<&Patterns> {
        self.patterns[direction.index()].as_ref()
    }

    /// What is replaced in what travels `direction`.
    pub fn edits(&self, direction: Direction) -> Option<&Edits> {
        self.edits[direction.index()].as_ref()
    }

    /// Whether what travels `direction` is searched.
    pub fn searches_in(&self, direction: Direction) -> bool {
        self.patterns(direction).is_some() || self.edits(direction).is_some()
    }

    /// Whether anything is searched for at all.
    pub fn searches(&self) -> bool {
        Direction::BOTH.into_iter().any(|direction| self.searches_in(direction))
    }

    /// Where in a stream that occurrence of a pattern begins whose last byte is before `end`.
    pub fn begins(&self, pattern: u16, end: u64) -> u64 {
        let len = self.given.get(usize::from(pattern)).map_or(0, |pattern| pattern.bytes.len());
        end.saturating_sub(len as u64)
    }

    /// What comes of a pattern.
    pub fn verdict(&self, pattern: u16) -> Verdict {
        self.given.get(usize::from(pattern)).map_or(Verdict::Event, |pattern| pattern.verdict)
    }

    /// What it was compiled from.
    pub fn given(&self) -> &[Pattern] {
        &self.given
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let patterns: usize = self.patterns.iter().flatten().map(Patterns::bytes).sum();
        let edits: usize = self.edits.iter().flatten().map(Edits::bytes).sum();
        patterns + edits + self.hits.bytes()
    }
}

impl PartialEq for Inspection {
    fn eq(&self, other: &Self) -> bool {
        (&self.given, self.manner) == (&other.given, other.manner)
    }
}

impl Eq for Inspection {}
