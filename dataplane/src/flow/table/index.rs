//! The index: slot numbers by the hash of their keys, in hashbrown tables that never grow.
//!
//! A hashbrown table has a power of two of buckets, and one that is more than half full grows when the marks of removed entries
//! use up the rest of it. Ten million entries in one table so need 33 million buckets; in eleven tables they need 23 million,
//! five bytes each. Which table an entry is in the hash says, which is keyed: nobody can fill one of them and spare the others.

use std::ops::Range;

use hashbrown::HashTable;
use prefetch_index::prefetch_index;

use crate::memory::{huge, table_bytes};

/// The most tables.
const MOST: usize = 16;

/// Entries by their hash.
pub(super) struct Index {
    tables: Box<[Table]>,
    /// Entries that a table takes without ever growing.
    each: usize,
}

/// One of the tables, which stays where it is in memory as it does not grow.
struct Table {
    entries: HashTable<u32>,
    /// Address of the first bucket's fingerprint.
    fingerprints: usize,
}

impl Table {
    fn new(buckets: usize) -> Table {
        let mut entries = HashTable::with_capacity(buckets / 8 * 7);
        let place = entries.insert_unique(0, 0, |_| 0);
        // hashbrown keeps the entries in front of the fingerprints, the first one last.
        let fingerprints = (&raw const *place.get()).addr() + (place.bucket_index() + 1) * size_of::<u32>();
        entries.clear();
        Table { entries, fingerprints }
    }

    /// Where it is.
    fn addresses(&self) -> Range<usize> {
        let buckets = self.entries.num_buckets();
        self.fingerprints - buckets * size_of::<u32>()..self.fingerprints + buckets
    }

    /// Asks for the lines with which a look-up begins. That they are these is a matter of hashbrown's insides, which a test holds;
    /// were they others, it would cost time, and nothing else.
    #[inline(always)]
    fn prefetch(&self, hash: u64) {
        // One byte a bucket, sixteen looked at at once, and as many numbers before.
        let bucket = hash as usize & (self.entries.num_buckets() - 1);
        prefetch_address(self.fingerprints + bucket);
        prefetch_address(self.fingerprints - (bucket + 8) * size_of::<u32>());
    }
}

/// Asks for the line at an address, whatever is there.
#[inline(always)]
fn prefetch_address(address: usize) {
    let nowhere: &[u8] = &[];
    prefetch_index(nowhere, address.wrapping_sub(nowhere.as_ptr().addr()));
}

impl Index {
    /// Room for `capacity` entries, and for chance to put some more into one table than into another.
    pub(super) fn new(capacity: usize) -> Index {
        let Shape { tables, buckets } = Shape::of(capacity);
        let tables: Box<[Table]> = (0..tables).map(|_| Table::new(buckets)).collect();
        // hashbrown has marked every bucket as free, so they move; tables smaller than a huge page do so together.
        huge::collapse(tables.iter().map(Table::addresses));
        Index { tables, each: room(buckets) }
    }

    /// Bytes that it takes for `capacity` entries.
    pub(super) fn bytes_for(capacity: usize) -> usize {
        let Shape { tables, buckets } = Shape::of(capacity);
        tables * (table_bytes(buckets / 8 * 7, size_of::<u32>()) + size_of::<Table>())
    }

    /// The table of a hash. hashbrown takes its bucket from the lowest bits and its fingerprint from the seven highest: a table
    /// is chosen by those between.
    #[inline(always)]
    fn table(&self, hash: u64) -> usize {
        ((u64::from((hash >> 25) as u32) * self.tables.len() as u64) >> 32) as usize
    }

    /// Asks for the lines with which looking for this hash begins.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        self.tables[self.table(hash)].prefetch(hash);
    }

    /// The entry with this hash of which `is_it` says so.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.tables[self.table(hash)].entries.find(hash, is_it).copied()
    }

    /// A new entry; false when there is no room. `hash_of` is that of any entry.
    pub(super) fn insert(&mut self, hash: u64, entry: u32, hash_of: impl Fn(&u32) -> u64) -> bool {
        let at = self.table(hash);
        let table = &mut self.tables[at].entries;
        let has_room = table.len() < self.each;
        if has_room {
            table.insert_unique(hash, entry, hash_of);
        }
        has_room
    }

    /// Removes `entry`; false when it is not there.
    pub(super) fn remove(&mut self, hash: u64, entry: u32) -> bool {
        let at = self.table(hash);
        let found = self.tables[at].entries.find_entry(hash, |candidate| *candidate == entry);
        found.map(|place| place.remove()).is_ok()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(|table| table.entries.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn allocation_size(&self) -> usize {
        self.tables.iter().map(|table| table.entries.allocation_size()).sum()
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

    /// Of tables that are smaller than a huge page each, too.
    #[test]
    fn a_large_index_is_in_huge_pages() {
        let index = Index::new(1_000_000);
        let first = index.tables.iter().map(Table::addresses).min_by_key(|range| range.start).unwrap();
        let last = index.tables.iter().map(Table::addresses).max_by_key(|range| range.end).unwrap();
        if huge::tests::are_on_advice() {
            let kib = huge::tests::huge(&(first.start..last.end));
            assert!(kib * 1024 > index.allocation_size() / 2, "{kib} KiB");
        }
    }

    /// What [`Table::prefetch`] believes: a hash begins at the bucket that its lowest bits name, and where that is in memory.
    #[test]
    fn look_ups_begin_where_they_are_thought_to() {
        for buckets in [16, 4096] {
            let mut table = Table::new(buckets);
            assert_eq!(table.entries.num_buckets(), buckets);
            for hash in [0, 5, 0x0123_4567_89ab_cdef, u64::MAX] {
                table.entries.clear();
                let place = table.entries.insert_unique(hash, 7, |_| unreachable!("it does not grow"));
                let bucket = place.bucket_index();
                assert_eq!(bucket, hash as usize & (buckets - 1));
                let address = (&raw const *place.get()).addr();
                assert_eq!(address, table.fingerprints - (bucket + 1) * size_of::<u32>());
            }
        }
    }

    /// Entries come and go at the limit of all tables for long: none grows, and none is refused.
    #[test]
    fn several_tables_have_room_for_all() {
        const CAPACITY: usize = 3_000;
        let shape = Shape { tables: 3, buckets: 4096 };
        let tables = (0..shape.tables).map(|_| Table::new(shape.buckets)).collect();
        let mut index = Index { tables, each: room(shape.buckets) };
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
        assert!(index.tables.iter().all(|table| table.entries.len() > CAPACITY / 4), "all are used");
        assert_eq!(index.find(hash_of(&59_999), |entry| *entry == 59_999), Some(59_999));
        assert!(!index.remove(hash_of(&1), 1), "long gone");
        // One that is full refuses.
        index.each = 1;
        assert!(!index.insert(hash_of(&7), 7, hash_of));
    }
}
