//! The index: slot numbers by the hash of their keys, in hashbrown tables that never grow.
//!
//! A hashbrown table has a power of two of buckets, and one that is more than half full grows when the marks of removed entries
//! use up the rest of it. Ten million entries in one table so need 33 million buckets; in eleven tables they need 23 million,
//! five bytes each. Which table an entry is in the hash says, which is keyed: nobody can fill one of them and spare the others.

use hashbrown::HashTable;

use crate::memory::table_bytes;

/// The most tables.
const MOST: usize = 16;

/// Entries by their hash.
pub(super) struct Index {
    tables: Box<[HashTable<u32>]>,
    /// Entries that a table takes without ever growing.
    each: usize,
}

impl Index {
    /// Room for `capacity` entries, and for chance to put some more into one table than into another.
    pub(super) fn new(capacity: usize) -> Index {
        let Shape { tables, buckets } = Shape::of(capacity);
        let table = || HashTable::with_capacity(buckets / 8 * 7);
        Index { tables: (0..tables).map(|_| table()).collect(), each: room(buckets) }
    }

    /// Bytes that it takes for `capacity` entries.
    pub(super) fn bytes_for(capacity: usize) -> usize {
        let Shape { tables, buckets } = Shape::of(capacity);
        tables * (table_bytes(buckets / 8 * 7, size_of::<u32>()) + size_of::<HashTable<u32>>())
    }

    /// The table of a hash. hashbrown takes its bucket from the lowest bits and its fingerprint from the seven highest: a table
    /// is chosen by those between.
    #[inline(always)]
    fn table(&self, hash: u64) -> usize {
        ((u64::from((hash >> 25) as u32) * self.tables.len() as u64) >> 32) as usize
    }

    /// The entry with this hash of which `is_it` says so.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.tables[self.table(hash)].find(hash, is_it).copied()
    }

    /// A new entry; false when there is no room. `hash_of` is that of any entry.
    pub(super) fn insert(&mut self, hash: u64, entry: u32, hash_of: impl Fn(&u32) -> u64) -> bool {
        let at = self.table(hash);
        let table = &mut self.tables[at];
        let has_room = table.len() < self.each;
        if has_room {
            table.insert_unique(hash, entry, hash_of);
        }
        has_room
    }

    /// Removes `entry`; false when it is not there.
    pub(super) fn remove(&mut self, hash: u64, entry: u32) -> bool {
        let at = self.table(hash);
        let found = self.tables[at].find_entry(hash, |candidate| *candidate == entry);
        found.map(|place| place.remove()).is_ok()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(HashTable::len).sum()
    }

    #[cfg(test)]
    pub(super) fn allocation_size(&self) -> usize {
        self.tables.iter().map(HashTable::allocation_size).sum()
    }
}

/// Entries that a table of so many buckets takes without growing: half of the seven eighths that hashbrown fills.
const fn room(buckets: usize) -> usize {
    buckets / 16 * 7
}

/// How many tables, and how large.
struct Shape {
    tables: usize,
    buckets: usize,
}

impl Shape {
    /// The fewest buckets in all, and then the fewest tables.
    fn of(capacity: usize) -> Shape {
        let shapes = (1..=MOST).map(|tables| {
            let mean = capacity.div_ceil(tables);
            // Six standard deviations of what falls on one table, and so many more that small ones are not shared out at all.
            let chance = if tables == 1 { 0 } else { 6 * mean.isqrt() + 64 };
            let mut buckets = 16;
            while room(buckets) < mean + chance {
                buckets *= 2;
            }
            Shape { tables, buckets }
        });
        shapes.min_by_key(|shape| (shape.tables * shape.buckets, shape.tables)).expect("at least one table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_buckets_as_needed_and_hardly_more() {
        let shape = |capacity| {
            let Shape { tables, buckets } = Shape::of(capacity);
            (tables, buckets)
        };
        assert_eq!(shape(0), (1, 16));
        assert_eq!(shape(7), (1, 16));
        assert_eq!(shape(8), (1, 32));
        assert_eq!(shape(10_000_000), (11, 1 << 21));
        for capacity in [65_536, 1_000_000, 3_000_000, 10_000_000, 100_000_000] {
            let bytes = Index::bytes_for(capacity);
            assert!(bytes <= 14 * capacity, "{capacity}: {}", bytes as f64 / capacity as f64);
        }
    }

    #[test]
    fn it_takes_what_it_says() {
        for capacity in [0, 7, 1000, 100_000] {
            let index = Index::new(capacity);
            let taken = index.allocation_size() + size_of_val(&*index.tables);
            assert_eq!(taken, Index::bytes_for(capacity), "{capacity}");
        }
    }

    /// Entries come and go at the limit of all tables for long: none grows, and none is refused.
    #[test]
    fn several_tables_have_room_for_all() {
        const CAPACITY: usize = 3_000;
        let shape = Shape { tables: 3, buckets: 4096 };
        let table = || HashTable::with_capacity(shape.buckets / 8 * 7);
        let mut index =
            Index { tables: (0..shape.tables).map(|_| table()).collect(), each: room(shape.buckets) };
        let hash_of = |entry: &u32| {
            let spread = u64::from(*entry).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            spread ^ spread >> 29
        };
        let taken = index.allocation_size();
        for entry in 0..60_000u32 {
            if let Some(old) = entry.checked_sub(CAPACITY as u32) {
                assert!(index.remove(hash_of(&old), old));
            }
            assert!(index.insert(hash_of(&entry), entry, hash_of));
        }
        assert_eq!((index.len(), index.allocation_size()), (CAPACITY, taken));
        assert!(index.tables.iter().all(|table| table.len() > CAPACITY / 4), "all are used");
        assert_eq!(index.find(hash_of(&59_999), |entry| *entry == 59_999), Some(59_999));
        assert!(!index.remove(hash_of(&1), 1), "long gone");
        // One that is full refuses.
        index.each = 1;
        assert!(!index.insert(hash_of(&7), 7, hash_of));
    }
}
