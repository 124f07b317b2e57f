//! What a rule goes on asking of the flows that it has let in.

use std::num::NonZeroU64;
use std::time::Duration;

/// Flows keep the index of theirs over any number of reloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Index of the module that looks at a monitored flow once that is split.
    pub module: Option<u16>,
    /// The flow is split when so many bytes of it have passed: of both directions, IP headers included, as `flows` shows.
    pub split_bytes: Option<NonZeroU64>,
    /// The flow is split when it is so old.
    pub split_age: Option<Duration>,
    /// How long it may be idle while it is open, instead of [`crate::worker::Timeouts::established`].
    pub idle: Option<Duration>,
}

impl Standing {
    /// It asks for nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Standing::default()
    }
}
