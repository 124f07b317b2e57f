//! The names of what must always hold (DESIGN section 9), and how a violation travels up.

use std::fmt;

/// What was violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// What is read is what was written (invariant 1).
    Bytes,
    /// A connection ends the way its ends have planned, and no other.
    Ending,
    /// No acknowledgment without the receiver's or a held byte (invariant 2).
    Acks,
    /// All buffers come back (invariant 3).
    Buffers,
    /// One packet out, not larger, without payload, for a packet of an unvalidated source (invariant 5).
    Amplifier,
    /// A RST is never answered (invariant 5).
    ResetAnswered,
    /// A sender keeps to the window, repeats nothing without need, and is never silent without reason.
    Sender,
    /// Every connection ends in its time.
    Stall,
    /// Virtual time goes on.
    Livelock,
    /// The middle's own.
    Middle,
}

/// A violated invariant, and what was seen.
#[derive(Debug, Clone)]
pub struct Violation {
    pub invariant: Invariant,
    pub detail: String,
}

impl Violation {
    /// Says where it was seen.
    pub fn at(mut self, place: impl fmt::Display) -> Violation {
        self.detail = format!("{place}: {}", self.detail);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {:?} violated: {}", self.invariant, self.detail)
    }
}

/// `Err` with a violation.
pub fn violation<T>(invariant: Invariant, detail: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, detail: detail.into() })
}
