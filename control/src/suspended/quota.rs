//! How many partial connections a source prefix, or a destination, may have at once (DESIGN invariant 6).
//!
//! Counted in two rows of counters under two keyed hashes, the smaller of which holds (a count-min sketch; what is given
//! back is subtracted, so it stays exact but for collisions). A flood from a hundred thousand prefixes takes no memory that
//! was not there before, and nobody can choose whose counters to fill. A prefix is taken for a full one only if it collides
//! with full ones in both rows.

use std::hash::Hash;

/// Counters for each partial connection that there may be, both rows together.
const COUNTERS_EACH: usize = 2;
const LEAST: usize = 256;

/// Counts of one kind of key.
pub(crate) struct Quota {
    limit: u32,
    rows: Option<[Row; 2]>,
}

struct Row {
    hash: ahash::RandomState,
    counts: Box<[u32]>,
}

impl Row {
    fn place(&self, key: &impl Hash) -> usize {
        // The length is a power of two.
        self.hash.hash_one(key) as usize & (self.counts.len() - 1)
    }
}

fn row_len(capacity: usize) -> usize {
    (capacity * COUNTERS_EACH / 2).next_power_of_two().max(LEAST)
}

impl Quota {
    /// Bytes that a quota with a limit takes, of a table of `capacity`.
    pub(crate) fn bytes(capacity: usize) -> usize {
        2 * row_len(capacity) * size_of::<u32>()
    }

    /// At most `limit` of the `capacity` places for one key; `None` counts nothing.
    pub(crate) fn new(limit: Option<u32>, capacity: usize) -> Quota {
        let row =
            || Row { hash: ahash::RandomState::new(), counts: vec![0; row_len(capacity)].into_boxed_slice() };
        Quota { limit: limit.unwrap_or(u32::MAX), rows: limit.map(|_| [row(), row()]) }
    }

    /// Whether `key` has all that it may have.
    pub(crate) fn is_used_up(&self, key: &impl Hash) -> bool {
        self.rows.as_ref().is_some_and(|rows| {
            rows.iter().map(|row| row.counts[row.place(key)]).min().is_some_and(|count| count >= self.limit)
        })
    }

    /// One more of `key`.
    pub(crate) fn take(&mut self, key: &impl Hash) {
        for row in self.rows.iter_mut().flatten() {
            row.counts[row.place(key)] += 1;
        }
    }

    /// One less.
    pub(crate) fn give_back(&mut self, key: &impl Hash) {
        for row in self.rows.iter_mut().flatten() {
            row.counts[row.place(key)] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gets_its_limit_and_what_is_given_back() {
        let mut quota = Quota::new(Some(3), 1000);
        for _ in 0..3 {
            assert!(!quota.is_used_up(&7));
            quota.take(&7);
        }
        assert!(quota.is_used_up(&7));
        quota.give_back(&7);
        assert!(!quota.is_used_up(&7));
    }

    #[test]
    fn a_full_key_hardly_ever_stands_for_another() {
        let mut quota = Quota::new(Some(8), 4096);
        for key in 0..512 {
            for _ in 0..8 {
                quota.take(&key);
            }
        }
        let mistaken = (1_000_000..1_010_000).filter(|key| quota.is_used_up(key)).count();
        // Each row is an eighth full.
        assert!(mistaken < 400, "{mistaken} of 10000");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut quota = Quota::new(None, 1 << 20);
        quota.take(&1);
        assert!(!quota.is_used_up(&1) && quota.rows.is_none());
    }
}
