//! Time as an argument: nothing in this crate reads a clock by itself.

use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since the appliance started. Monotonic; 584 years long.
///
/// It is kept as one more than that, so that an `Option` of it takes no more room: a TCB has a dozen of them, and which is the
/// earliest is asked after every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The start of the appliance.
    pub const ZERO: Instant = Instant(NonZeroU64::MIN);

    /// From nanoseconds since the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// From milliseconds since the start.
    pub const fn from_millis(millis: u64) -> Self {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// Whole milliseconds since the start.
    pub const fn as_millis(self) -> u64 {
        self.as_nanos() / 1_000_000
    }

    /// How long ago `earlier` was; zero when it was not.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// So many nanoseconds later.
    pub const fn plus_nanos(self, nanos: u64) -> Instant {
        Instant(self.0.saturating_add(nanos))
    }

    /// The earlier of two, where there are any.
    pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
        // Nothing is later than all there is.
        let rank = |at: Option<Instant>| at.map_or(u64::MAX, Instant::as_nanos);
        if rank(b) < rank(a) { b } else { a }
    }
}

impl Default for Instant {
    fn default() -> Self {
        Instant::ZERO
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, rhs: Duration) -> Instant {
        self.plus_nanos(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, rhs: Instant) -> Duration {
        self.since(rhs)
    }
}

/// Where a thread's loop takes its time from, once per round.
pub trait Clock {
    /// The present.
    fn now(&self) -> Instant;
}

/// The system's monotonic clock, counted from one start shared by all threads.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        SystemClock { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
