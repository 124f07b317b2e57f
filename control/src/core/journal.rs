//! What has happened to flows lately: every hand-over, and how long it took; and what inspections have found and which splits
//! were refused, as far as that is told. The oldest entry makes room for the newest of its kind: whoever is found over and over
//! hides no hand-over.

use std::collections::VecDeque;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::FlowKey;
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::Gravity;

use super::handover::Refused;

/// Entries of each kind that are kept.
const MOST: usize = 4096;
/// Kinds of entries.
const KINDS: usize = FIRST_OF_HITS + Gravity::COUNT;
/// Before those of hits, by their gravity, are hand-overs and refused splits.
const FIRST_OF_HITS: usize = 2;

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
    /// A rule or an inspection wanted the flow split, and it stays where it is. The time is that from the order on.
    SplitRefused(Refused),
    /// An inspection has found a pattern, which takes no time.
    Hit(Hit),
}

impl Happening {
    /// Name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Happening::Split => "split",
            Happening::Merged => "merged",
            Happening::MergedInMotion => "merged_in_motion",
            Happening::MergeUndone => "merge_undone",
            Happening::SplitRefused(_) => "split_refused",
            Happening::Hit(_) => "hit",
        }
    }

    /// What makes room for each other. Peers can bring about hits as often as they like, most easily those that do not end a flow.
    const fn kind(self) -> usize {
        match self {
            Happening::Hit(hit) => FIRST_OF_HITS + hit.verdict.gravity() as usize,
            Happening::SplitRefused(_) => 1,
            _ => 0,
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
    written: u64,
    /// By [`Happening::kind`].
    rings: [Ring; KINDS],
}

/// So many of them, each with its number among all that there ever were.
#[derive(Debug)]
struct Ring {
    entries: VecDeque<(u64, Entry)>,
    most: usize,
}

impl Ring {
    fn new(most: usize) -> Ring {
        Ring { entries: VecDeque::with_capacity(most), most }
    }

    fn push(&mut self, entry: (u64, Entry)) {
        if self.entries.len() == self.most {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn last(&self, limit: usize) -> impl Iterator<Item = &(u64, Entry)> {
        self.entries.range(self.entries.len().saturating_sub(limit)..)
    }
}

impl Default for Journal {
    fn default() -> Self {
        Journal { written: 0, rings: std::array::from_fn(|_| Ring::new(MOST)) }
    }
}

impl Journal {
    /// Something is over that began at `since`.
    pub fn note(&mut self, at: Instant, since: Instant, key: FlowKey, what: Happening) {
        self.rings[what.kind()].push((self.written, Entry { at, key, what, took: at - since }));
        self.written += 1;
    }

    /// The last `limit` entries, the oldest first.
    pub fn last(&self, limit: usize) -> Vec<Entry> {
        let mut entries: Vec<_> = self.rings.iter().flat_map(|ring| ring.last(limit)).collect();
        entries.sort_unstable_by_key(|(number, _)| *number);
        let first = entries.len().saturating_sub(limit);
        entries.drain(first..).map(|(_, entry)| *entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::flow::quad::{Direction, Quad, Segment};
    use dataplane::inspect::patterns::Verdict;

    const HIT: Happening = hit(Verdict::Event);

    const fn hit(verdict: Verdict) -> Happening {
        let direction = Direction::ClientToServer;
        Happening::Hit(Hit { inspection: 0, pattern: 3, direction, place: 1 << 40, verdict })
    }

    fn key() -> FlowKey {
        let quad = Quad::between(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 80).into()).unwrap();
        FlowKey { quad, segment: Segment(0) }
    }

    #[test]
    fn the_oldest_make_room() {
        let (mut journal, key) = (Journal::default(), key());
        for n in 0..MOST as u64 + 2 {
            let at = Instant::from_millis(n + 5);
            journal.note(at, Instant::from_millis(n), key, Happening::Split);
        }
        let all = journal.last(usize::MAX);
        let first = all[0];
        assert_eq!((first.at, first.took), (Instant::from_millis(7), Duration::from_millis(5)));
        assert_eq!(all.len(), MOST);
        assert_eq!(journal.last(3), all[MOST - 3..]);
    }

    #[test]
    fn each_kind_pushes_out_its_own_alone_and_all_are_told_in_order() {
        let (mut journal, key) = (Journal::default(), key());
        let mut note = |at, what| journal.note(Instant::from_millis(at), Instant::from_millis(at), key, what);
        note(3, hit(Verdict::Reset));
        note(4, Happening::SplitRefused(Refused::Full));
        note(5, Happening::Split);
        (0..MOST as u64 + 7).for_each(|n| note(6 + n, HIT));
        // At the same time, and behind all the same.
        note(MOST as u64 + 12, Happening::Merged);
        note(MOST as u64 + 12, HIT);
        let all = journal.last(usize::MAX);
        assert_eq!(all.len(), MOST + 4);
        let [reset, refused, split, .., merged, last] = &all[..] else { panic!("there are more") };
        assert_eq!([reset.what, refused.what], [hit(Verdict::Reset), Happening::SplitRefused(Refused::Full)]);
        assert_eq!([split.what, merged.what, last.what], [Happening::Split, Happening::Merged, HIT]);
        assert!(all.is_sorted_by_key(|entry| entry.at));
        assert_eq!(journal.last(2), [*merged, *last]);
    }
}
