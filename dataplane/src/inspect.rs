//! Stateful inspection on the non-participating path (seed 001, FIG. 7): what a flow's bytes are searched for, and what
//! keeps anything from getting past the search.
//!
//! A receiver may take any one of several versions of a byte: the first never came to it (its TTL ran out, its timestamp
//! was old), the second did. Whoever searches only the first is deceived. So of what has passed and is not acknowledged
//! yet, a fingerprint is kept (`fingerprints.rs`), and a segment that is not what has passed before goes nowhere. All else
//! about reassembly follows from searching in-order bytes only (`stream.rs`): nothing is held, and the sender repeats
//! what was dropped.

pub mod fingerprints;
pub mod patterns;
pub mod stream;
pub mod window;

use crate::flow::quad::Direction;
use crate::policy::Fallback;
use patterns::{Pattern, Patterns, PatternsError};

/// What is done about segments ahead of a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ahead {
    /// They are dropped by name until the hole is filled: nothing passes unsearched.
    #[default]
    Drop,
    /// They pass, and the search begins anew behind them: what fills the hole is never searched.
    Pass,
}

/// Everything that is asked of the flows of a rule.
#[derive(Debug)]
pub struct Inspection {
    /// As given, and whether the case of ASCII letters counts.
    given: (Box<[Pattern]>, bool),
    /// Of the client's bytes and of the server's, by [`Direction::index`]; `None` where nothing is searched for.
    patterns: [Option<Patterns>; 2],
    /// Whether what does not belong to the connection is dropped (`window.rs`).
    pub window: bool,
    /// Segments ahead of a hole.
    pub ahead: Ahead,
    /// Flows for which there is no place any more.
    pub when_full: Fallback,
}

impl Inspection {
    /// Compiles the patterns. Takes memory in proportion to all of their bytes together, 1 KiB a byte at most.
    pub fn new(
        given: &[Pattern],
        ignore_case: bool,
        window: bool,
        ahead: Ahead,
        when_full: Fallback,
    ) -> Result<Inspection, PatternsError> {
        let of = |direction| Patterns::compile(given, direction, ignore_case);
        let patterns = [of(Direction::ClientToServer)?, of(Direction::ServerToClient)?];
        Ok(Inspection { given: (given.into(), ignore_case), patterns, window, ahead, when_full })
    }

    /// What is searched for in what travels `direction`.
    pub fn patterns(&self, direction: Direction) -> Option<&Patterns> {
        self.patterns[direction.index()].as_ref()
    }

    /// Whether anything is searched for at all.
    pub fn searches(&self) -> bool {
        self.patterns.iter().any(Option::is_some)
    }

    /// What it was compiled from.
    pub fn given(&self) -> &[Pattern] {
        &self.given.0
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.patterns.iter().flatten().map(Patterns::bytes).sum()
    }
}

impl PartialEq for Inspection {
    fn eq(&self, other: &Self) -> bool {
        (&self.given, self.window, self.ahead, self.when_full)
            == (&other.given, other.window, other.ahead, other.when_full)
    }
}

impl Eq for Inspection {}
