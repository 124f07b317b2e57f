//! What has happened to flows lately: every hand-over, and how long it took. The oldest entry makes room for the newest.

use std::collections::VecDeque;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::FlowKey;

/// Entries that are kept.
const ENTRIES: usize = 4096;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The flow's segments come up to the control core; the time is that from the order on.
    Split,
    /// The flow is its worker's; the time is that from the moment on when nothing new was taken.
    Merged,
    /// The same, without draining: what was under way stayed ours until it had arrived.
    MergedInMotion,
    /// The drain did not finish in time.
    MergeUndone,
}

impl Happening {
    /// Name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Happening::Split => "split",
            Happening::Merged => "merged",
            Happening::MergedInMotion => "merged_in_motion",
            Happening::MergeUndone => "merge_undone",
        }
    }
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it was over.
    pub at: Instant,
    /// Client → server.
    pub key: FlowKey,
    /// What it was.
    pub what: Happening,
    /// How long it took.
    pub took: Duration,
}

/// The latest of them, in order.
#[derive(Debug)]
pub struct Journal {
    entries: VecDeque<Entry>,
}

impl Default for Journal {
    fn default() -> Self {
        Journal { entries: VecDeque::with_capacity(ENTRIES) }
    }
}

impl Journal {
    /// Something is over that began at `since`.
    pub fn note(&mut self, at: Instant, since: Instant, key: FlowKey, what: Happening) {
        if self.entries.len() == ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, key, what, took: at - since });
    }

    /// The last `limit` entries, the oldest first.
    pub fn last(&self, limit: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(self.entries.len().saturating_sub(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::flow::quad::{Quad, Segment};

    #[test]
    fn the_oldest_make_room() {
        let quad = Quad::between(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 80).into()).unwrap();
        let key = FlowKey { quad, segment: Segment(0) };
        let mut journal = Journal::default();
        for n in 0..ENTRIES as u64 + 2 {
            let at = Instant::from_millis(n + 5);
            journal.note(at, Instant::from_millis(n), key, Happening::Split);
        }
        let first = journal.last(usize::MAX).next().unwrap();
        assert_eq!((first.at, first.took), (Instant::from_millis(7), Duration::from_millis(5)));
        assert_eq!((journal.last(usize::MAX).count(), journal.last(3).count()), (ENTRIES, 3));
    }
}
