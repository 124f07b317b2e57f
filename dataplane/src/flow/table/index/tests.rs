//! The index against a `HashMap`, and how it fares when it is full.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A hash whose bucket and tag are as good as chance.
fn spread(entry: u32) -> u64 {
    let spread = u64::from(entry).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread ^ spread >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The hash of a bucket's number, of an index of so many, and a tag.
fn hash(bucket: u64, buckets: u64, tag: u8) -> u64 {
    (bucket << 32).div_ceil(buckets) << 32 | u64::from(tag)
}

/// What has to be so whenever nothing is going on.
fn check(index: &Index, oracle: &HashMap<u32, u64>) {
    assert_eq!(index.len(), oracle.len());
    let mut passed = vec![0; index.buckets.len()];
    for (entry, hash) in oracle {
        let mut at = index.home(*hash);
        let is_it = |stands| stands == index.with_hash(*entry, *hash);
        while index.buckets[at].find(tag_of(*hash), is_it).is_none() {
            passed[at] += 1;
            at = index.next(at);
        }
    }
    let counted: Vec<u32> = index.buckets.iter().map(|bucket| bucket.head.passed).collect();
    assert_eq!(counted, passed, "what is removed leaves nothing behind");
    let used = index.buckets.iter().flat_map(|bucket| bucket.head.tags).filter(|tag| *tag != FREE);
    assert_eq!(used.count(), oracle.len());
}

#[test]
fn it_takes_what_it_says_and_little_of_it() {
    for capacity in [0, 7, 1000, 100_000] {
        assert_eq!(
            Index::new(capacity, capacity).allocation_size(),
            Index::bytes_for(capacity),
            "{capacity}"
        );
    }
    for capacity in [65_536, 1_000_000, 10_000_000, 100_000_000] {
        assert!(
            Index::bytes_for(capacity) <= 11 * capacity,
            "object, record, timer and index take 128 bytes"
        );
    }
}

#[test]
fn a_large_index_is_in_huge_pages() {
    let index = Index::new(1_000_000, 1_000_000);
    if huge::tests::are_on_advice() {
        let kib = huge::tests::huge(&huge::range_of(&index.buckets));
        assert!(kib * 1024 > index.allocation_size() / 2, "{kib} KiB");
    }
}

/// What the layout is for: the line that is asked for beforehand is the only one, of a full index too.
#[test]
fn hardly_anything_is_outside_of_its_own_bucket() {
    const CAPACITY: u32 = 120_000;
    let mut index = Index::new(CAPACITY as usize, 10 * CAPACITY as usize);
    // They come and go for long before.
    for entry in 0..10 * CAPACITY {
        if let Some(old) = entry.checked_sub(CAPACITY) {
            assert!(index.remove(spread(old), old));
        }
        assert!(index.insert(spread(entry), entry));
    }
    let present = 9 * CAPACITY..10 * CAPACITY;
    let outside = present.clone().filter(|entry| {
        let hash = spread(*entry);
        !index.buckets[index.home(hash)].entries.contains(&index.with_hash(*entry, hash))
    });
    let outside = outside.count();
    assert!(outside < CAPACITY as usize / 60, "one of a hundred");
    let wrong = present.filter(|entry| index.probable(spread(*entry)) != Some(*entry));
    assert!(
        wrong.count() < outside + CAPACITY as usize / 10_000,
        "those, and next to none behind one that looks alike"
    );
    let passed = index.buckets.iter().filter(|bucket| bucket.head.passed > 0).count();
    assert!(passed < index.buckets.len() / 20, "look-ups of what is not there end where they begin, too");
}

#[test]
fn a_full_one_refuses_and_forgets_it() {
    let mut index = Index::new(7, 8);
    assert!((0..7).all(|entry| index.insert(spread(entry), entry)));
    assert!(!index.insert(spread(7), 7));
    assert!(!index.remove(spread(7), 7));
    assert!(index.remove(spread(3), 3));
    assert!(!index.remove(spread(3), 3), "gone");
    assert!(index.insert(spread(7), 7));
    assert!(!Index::new(0, 2).insert(1, 1));
    assert_eq!(Index::new(0, 2).find(1, |_| true), None);
}

/// Who knows the key makes it slow, and nothing else: all in one bucket, all alike, from the last bucket on.
#[test]
fn all_entries_fit_one_bucket() {
    const CAPACITY: u32 = 6 * 50;
    let mut index = Index::new(CAPACITY as usize, CAPACITY as usize);
    let mut oracle = HashMap::new();
    let hash = hash(49, 50, 0x80);
    assert_eq!(index.home(hash), 49);
    for entry in 0..CAPACITY {
        assert!(index.insert(hash, entry));
        oracle.insert(entry, hash);
    }
    check(&index, &oracle);
    assert_eq!(index.find(hash, |entry| entry == CAPACITY - 1), Some(CAPACITY - 1));
    assert_eq!(index.find(hash ^ 1, |_| true), None);
    for entry in (0..CAPACITY).rev().step_by(3) {
        assert!(index.remove(hash, entry));
        oracle.remove(&entry);
    }
    check(&index, &oracle);
}

proptest! {
    /// Any series of insertions and removals agrees with a `HashMap`, whether hashes are spread or crowd in few buckets with few tags,
    /// and when the index is full.
    #[test]
    fn agrees_with_a_hash_map(
        capacity in 0usize..60,
        crowd in (1u64..11, 0u8..4),
        ops in prop::collection::vec((0u32..80, any::<bool>()), 1..500),
    ) {
        let mut index = Index::new(capacity, 80);
        let buckets = index.buckets.len() as u64;
        let mut oracle: HashMap<u32, u64> = HashMap::new();
        // Tags beside each other, for what is carried from one byte to the next; 0 is as good as any.
        let hash_of = |entry: u32| match crowd {
            (10, _) => spread(entry),
            (few, tags) => hash(spread(entry) % few % buckets, buckets, entry as u8 & tags),
        };
        for (entry, comes) in ops {
            let hash = hash_of(entry);
            match comes {
                true if !oracle.contains_key(&entry) => {
                    let has_room = oracle.len() < capacity;
                    prop_assert_eq!(index.insert(hash, entry), has_room, "below its capacity it takes whatever comes");
                    if has_room { oracle.insert(entry, hash); }
                }
                true => {}
                false => prop_assert_eq!(index.remove(hash, entry), oracle.remove(&entry).is_some()),
            }
            for entry in 0..80 {
                let found = index.find(hash_of(entry), |candidate| candidate == entry);
                prop_assert_eq!(found, oracle.get(&entry).map(|_| entry));
            }
            let mut met = Vec::new();
            index.find(hash, |entry| { met.push(entry); false });
            prop_assert!(met.iter().all(|entry| oracle.contains_key(entry)), "nothing that is gone is met");
            prop_assert!(met.is_empty() || !index.is_absent(hash), "what is there is not taken for absent");
            for (entry, hash) in &oracle {
                prop_assert!(!index.is_absent(*hash), "{entry} is there, wherever it stands");
            }
            if let Some(entry) = index.probable(hash) {
                prop_assert!(met.contains(&entry), "a guess is one of those that a look-up meets");
            }
        }
        check(&index, &oracle);
    }
}
