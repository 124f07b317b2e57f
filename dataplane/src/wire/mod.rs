//! Checked, zero-copy views of wire formats, and the small owned values that tests and control use.
//!
//! No input panics: every view is built by a `parse` that checks lengths once; accessors cannot fail afterwards.

pub mod seq;
pub mod tcp_flags;
pub mod tcp_options;
