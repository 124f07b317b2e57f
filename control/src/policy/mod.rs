//! From configured rules to the snapshot that workers consult.

pub mod compile;
