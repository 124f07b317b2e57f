//! The index: slot numbers by the hash of their keys, in buckets of one cache line each, so that a look-up touches one line.
//!
//! A bucket has twelve places, and six entries when the index is full. Chance fills one of a hundred: what finds its bucket full
//! goes to the next one that is not, and every bucket that it passes on its way counts it. So a look-up ends where nothing has
//! passed, and whatever is removed leaves nothing behind: no marks that use up room, nothing to clean, no reason to grow.
//!
//! The hash is keyed: nobody can fill one bucket and spare the others.

use prefetch_index::prefetch_index;

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
    len: usize,
    capacity: usize,
}

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// Eight bits of each entry's hash, or [`FREE`].
    tags: [u8; PLACES],
    /// How many entries are in a bucket behind this one that would be here or before, had this one not been full.
    passed: u32,
    entries: [u32; PLACES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const EMPTY: Bucket = Bucket { tags: [FREE; PLACES], passed: 0, entries: [0; PLACES] };

    /// The first place with this tag. Eight of them are looked at together; what comes takes the first one that is free, so that
    /// four more seldom have to be.
    #[inline(always)]
    fn first(&self, tag: u8) -> Option<usize> {
        let [low, high] = self.marks(tag);
        match (low, high) {
            (0, 0) => None,
            (0, _) => Some(8 + high.trailing_zeros() as usize / 8),
            _ => Some(low.trailing_zeros() as usize / 8),
        }
    }

    /// A place with this tag of whose entry `is_it` says so.
    #[inline(always)]
    fn place(&self, tag: u8, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let [low, high] = self.marks(tag);
        // The highest bit of a byte says that of one place, the next one of that of eight places later.
        let mut marks = low | high >> 1;
        while marks != 0 {
            let mark = marks.trailing_zeros() as usize;
            let place = mark / 8 + if mark % 8 == 7 { 0 } else { 8 };
            if self.entries.get(place).is_some_and(|entry| is_it(*entry)) {
                return Some(place);
            }
            marks &= marks - 1;
        }
        None
    }

    /// The entry with this tag of which `is_it` says so.
    #[inline(always)]
    fn find(&self, tag: u8, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.entries.get(self.place(tag, is_it)?).copied()
    }

    /// The highest bit of each byte that stands for a place with this tag: of eight places, and of four.
    #[inline(always)]
    fn marks(&self, tag: u8) -> [u64; 2] {
        let wanted = u64::from(tag) * EACH_BYTE;
        let (low, high) = self.words();
        [zero_bytes(low ^ wanted), zero_bytes((high ^ wanted) | NOT_HIGH)]
    }

    /// Into the first free place; false when there is none.
    #[inline(always)]
    fn put(&mut self, tag: u8, entry: u32) -> bool {
        let place =
            self.first(FREE).and_then(|place| self.tags.get_mut(place).zip(self.entries.get_mut(place)));
        place.map(|place| (*place.0, *place.1) = (tag, entry)).is_some()
    }

    /// Out of its place; false when it is not there.
    #[inline(always)]
    fn take(&mut self, tag: u8, entry: u32) -> bool {
        let Some(place) = self.place(tag, |candidate| candidate == entry) else { return false };
        self.tags[place] = FREE;
        true
    }

    /// Tags as two words, the first one lowest; four of them are all that is in the second.
    #[inline(always)]
    fn words(&self) -> (u64, u64) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.tags;
        let high = u32::from_le_bytes([i, j, k, l]);
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), high.into())
    }
}

/// One in each byte.
const EACH_BYTE: u64 = u64::MAX / 0xff;
/// Bytes of a bucket's second word that are no tags.
const NOT_HIGH: u64 = !0 << 32;

/// The highest bit of each byte that is zero, and nothing else.
#[inline(always)]
const fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = 0x7f * EACH_BYTE;
    // A sum of two numbers of seven bits is carried into no other byte.
    !(((word & LOW) + LOW) | word | LOW)
}

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
    /// Room for `capacity` entries.
    pub(super) fn new(capacity: usize) -> Index {
        Index { buckets: huge::filled(buckets_for(capacity), |_| Bucket::EMPTY), len: 0, capacity }
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

    /// What this hash probably means: the first entry of its own bucket that looks like it.
    #[inline(always)]
    pub(super) fn probable(&self, hash: u64) -> Option<u32> {
        let bucket = self.buckets.get(self.home(hash))?;
        bucket.entries.get(bucket.first(tag_of(hash))?).copied()
    }

    /// Whether nothing in the index looks like it; `false` for what has to be looked for.
    #[inline(always)]
    pub(super) fn is_absent(&self, hash: u64) -> bool {
        self.buckets
            .get(self.home(hash))
            .is_none_or(|bucket| bucket.marks(tag_of(hash)) == [0, 0] && bucket.passed == 0)
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
        let bucket = self.buckets.get(home)?;
        match bucket.find(tag, &mut is_it) {
            None if bucket.passed > 0 => self.find_behind(home, tag, &mut is_it),
            found => found,
        }
    }

    /// The same in what comes behind `home`, which something has passed.
    #[cold]
    fn find_behind(&self, home: usize, tag: u8, is_it: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.next(home);
        while at != home {
            let bucket = &self.buckets[at];
            match bucket.find(tag, &mut *is_it) {
                None if bucket.passed > 0 => at = self.next(at),
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
            let (home, tag) = (self.home(hash), tag_of(hash));
            if !self.buckets[home].put(tag, entry) {
                self.insert_behind(home, tag, entry);
            }
        }
        has_room
    }

    /// The same behind `home`, which is full. There are more places than entries.
    #[cold]
    fn insert_behind(&mut self, home: usize, tag: u8, entry: u32) {
        let mut at = home;
        while !self.buckets[at].put(tag, entry) {
            self.buckets[at].passed += 1;
            at = self.next(at);
        }
    }

    /// Removes `entry`; false when it is not there.
    #[inline(always)]
    pub(super) fn remove(&mut self, hash: u64, entry: u32) -> bool {
        let (home, tag) = (self.home(hash), tag_of(hash));
        let is_there = self.buckets[home].take(tag, entry) || self.remove_behind(home, tag, entry);
        self.len -= usize::from(is_there);
        is_there
    }

    /// The same behind `home`, where it is not.
    #[cold]
    fn remove_behind(&mut self, home: usize, tag: u8, entry: u32) -> bool {
        let mut at = home;
        while self.buckets[at].passed > 0 {
            at = self.next(at);
            if at == home {
                break;
            }
            if self.buckets[at].take(tag, entry) {
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
            self.buckets[passed].passed -= 1;
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
