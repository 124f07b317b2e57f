//! The index: slot numbers by the hash of their keys, in buckets of one cache line each, so that a look-up touches one line.
//!
//! A bucket has twelve places, and six entries when the index is full. Chance fills one of a hundred: what finds its bucket full
//! goes to the next one that is not, and every bucket that it passes on its way counts it. So a look-up ends where nothing has
//! passed, and whatever is removed leaves nothing behind: no marks that use up room, nothing to clean, no reason to grow.
//!
//! An entry has eight bits of its hash beside it, and the bits that slot numbers do not need are some more of it: 22 with a thousand
//! flows, 8 with ten million. So what looks like the entry that is looked for hardly ever is another one.
//!
//! The hash is keyed: nobody can fill one bucket and spare the others.

use prefetch_index::prefetch_index;
use wide::u8x16;
use zerocopy::{Immutable, IntoBytes};

use crate::memory::huge;

/// Places of a bucket.
const PLACES: usize = 12;
/// Entries of a bucket, on average, when the index is full.
const MEAN: usize = 6;
/// The tag of a place in which there is nothing.
const FREE: u8 = 0;

/// Entries by their hash.
pub(super) struct Index {
    buckets: Box<[Bucket]>,
    /// The bits of an entry; the others are its hash's.
    own: u32,
    len: usize,
    capacity: usize,
}

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    head: Head,
    /// With bits of their hashes ([`Index::with_hash`]).
    entries: [u32; PLACES],
}

/// What is looked at before any entry, all at once.
#[derive(Debug, Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Head {
    /// Eight bits of each entry's hash, or [`FREE`].
    tags: [u8; PLACES],
    /// How many entries are in a bucket behind this one that would be here or before, had this one not been full.
    passed: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const EMPTY: Bucket = Bucket { head: Head { tags: [FREE; PLACES], passed: 0 }, entries: [0; PLACES] };

    /// A bit for each place with this tag.
    #[inline(always)]
    fn marks(&self, tag: u8) -> u32 {
        let head = u8x16::new(zerocopy::transmute!(self.head));
        head.simd_eq(u8x16::splat(tag)).to_bitmask() & ALL_PLACES
    }

    /// The first place with this tag.
    #[inline(always)]
    fn first(&self, tag: u8) -> Option<usize> {
        let marks = self.marks(tag);
        (marks != 0).then(|| marks.trailing_zeros() as usize)
    }

    /// A place with this tag of which `is_it` says so.
    #[inline(always)]
    fn place(&self, tag: u8, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mut marks = self.marks(tag);
        while marks != 0 {
            let place = marks.trailing_zeros() as usize;
            if self.entries.get(place).is_some_and(|entry| is_it(*entry)) {
                return Some(place);
            }
            marks &= marks - 1;
        }
        None
    }

    /// What stands in a place with this tag and of which `is_it` says so.
    #[inline(always)]
    fn find(&self, tag: u8, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.entries.get(self.place(tag, is_it)?).copied()
    }

    /// Into the first free place; false when there is none.
    #[inline(always)]
    fn put(&mut self, tag: u8, stands: u32) -> bool {
        let place = self.first(FREE).and_then(|at| self.head.tags.get_mut(at).zip(self.entries.get_mut(at)));
        place.map(|place| (*place.0, *place.1) = (tag, stands)).is_some()
    }

    /// Out of its place; false when it is not there.
    #[inline(always)]
    fn take(&mut self, tag: u8, stands: u32) -> bool {
        let Some(place) = self.place(tag, |candidate| candidate == stands) else { return false };
        self.head.tags[place] = FREE;
        true
    }
}

/// Their bits; what follows them in a bucket's head is no tag.
const ALL_PLACES: u32 = (1 << PLACES) - 1;

/// What a bucket's place remembers of a hash. The bucket follows from other bits.
#[inline(always)]
fn tag_of(hash: u64) -> u8 {
    (hash as u8).max(FREE + 1)
}

const fn buckets_for(capacity: usize) -> usize {
    let buckets = capacity.div_ceil(MEAN);
    if buckets == 0 { 1 } else { buckets }
}

impl Index {
    /// Room for `capacity` entries, each of which is less than `below`.
    pub(super) fn new(capacity: usize, below: usize) -> Index {
        let own = u32::try_from(below.next_power_of_two() - 1).unwrap_or(u32::MAX);
        Index { buckets: huge::filled(buckets_for(capacity), |_| Bucket::EMPTY), own, len: 0, capacity }
    }

    /// Bytes that it takes for `capacity` entries.
    pub(super) const fn bytes_for(capacity: usize) -> usize {
        buckets_for(capacity) * size_of::<Bucket>()
    }

    /// The bucket of a hash.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    /// Asks for the line with which looking for this hash begins, and nearly always ends.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch_index(&self.buckets, self.home(hash));
    }

    /// What stands for an entry in its place.
    #[inline(always)]
    const fn with_hash(&self, entry: u32, hash: u64) -> u32 {
        entry | hash as u32 & !self.own
    }

    /// The entry that stands there, if it has this hash's bits.
    #[inline(always)]
    fn entry(&self, stands: u32, hash: u64) -> Option<u32> {
        let is_like = (stands ^ hash as u32) & !self.own == 0;
        is_like.then_some(stands & self.own)
    }

    /// What this hash probably means: the first entry of its own bucket that looks like it.
    #[inline(always)]
    pub(super) fn probable(&self, hash: u64) -> Option<u32> {
        let bucket = self.buckets.get(self.home(hash))?;
        bucket.find(tag_of(hash), |stands| self.entry(stands, hash).is_some()).map(|stands| stands & self.own)
    }

    /// Whether nothing in the index looks like it; `false` for what has to be looked for.
    #[inline(always)]
    pub(super) fn is_absent(&self, hash: u64) -> bool {
        let bucket = self.buckets.get(self.home(hash));
        bucket.is_none_or(|bucket| bucket.marks(tag_of(hash)) == 0 && bucket.head.passed == 0)
    }

    /// The bucket in which those look for a place that have found this one full.
    #[inline(always)]
    fn next(&self, at: usize) -> usize {
        let next = at + 1;
        if next < self.buckets.len() { next } else { 0 }
    }

    /// The entry with this hash of which `is_it` says so.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (home, tag) = (self.home(hash), tag_of(hash));
        let mut is_it = |stands| self.entry(stands, hash).is_some_and(&mut is_it);
        let bucket = self.buckets.get(home)?;
        let found = match bucket.find(tag, &mut is_it) {
            None if bucket.head.passed > 0 => self.find_behind(home, tag, &mut is_it),
            found => found,
        };
        found.map(|stands| stands & self.own)
    }

    /// The same in what comes behind `home`, which something has passed.
    #[cold]
    fn find_behind(&self, home: usize, tag: u8, is_it: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.next(home);
        while at != home {
            let bucket = &self.buckets[at];
            match bucket.find(tag, &mut *is_it) {
                None if bucket.head.passed > 0 => at = self.next(at),
                found => return found,
            }
        }
        None
    }

    /// A new entry; false when there is no room.
    #[inline(always)]
    pub(super) fn insert(&mut self, hash: u64, entry: u32) -> bool {
        let has_room = self.len < self.capacity;
        if has_room {
            self.len += 1;
            let (home, tag, stands) = (self.home(hash), tag_of(hash), self.with_hash(entry, hash));
            if !self.buckets[home].put(tag, stands) {
                self.insert_behind(home, tag, stands);
            }
        }
        has_room
    }

    /// The same behind `home`, which is full. There are more places than entries.
    #[cold]
    fn insert_behind(&mut self, home: usize, tag: u8, stands: u32) {
        let mut at = home;
        while !self.buckets[at].put(tag, stands) {
            self.buckets[at].head.passed += 1;
            at = self.next(at);
        }
    }

    /// Removes `entry`; false when it is not there.
    #[inline(always)]
    pub(super) fn remove(&mut self, hash: u64, entry: u32) -> bool {
        let (home, tag, stands) = (self.home(hash), tag_of(hash), self.with_hash(entry, hash));
        let is_there = self.buckets[home].take(tag, stands) || self.remove_behind(home, tag, stands);
        self.len -= usize::from(is_there);
        is_there
    }

    /// The same behind `home`, where it is not.
    #[cold]
    fn remove_behind(&mut self, home: usize, tag: u8, stands: u32) -> bool {
        let mut at = home;
        while self.buckets[at].head.passed > 0 {
            at = self.next(at);
            if at == home {
                break;
            }
            if self.buckets[at].take(tag, stands) {
                self.come_back(home, at);
                return true;
            }
        }
        false
    }

    /// What had passed all from `home` on before `at` is no more.
    fn come_back(&mut self, home: usize, at: usize) {
        let mut passed = home;
        while passed != at {
            self.buckets[passed].head.passed -= 1;
            passed = self.next(passed);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(super) fn allocation_size(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

#[cfg(test)]
mod tests;
