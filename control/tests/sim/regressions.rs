//! Runs that have failed once: (profile, seed). They are run before any other.

/// Add the two values of the last line of a failing run here, with what was wrong as a comment.
pub const SEEDS: &[(&str, u64)] = &[("clean", 0)];
