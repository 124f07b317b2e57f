//! What collections take that get their memory at start (DESIGN invariant 6): what the start-up check says has to be what is
//! allocated.

pub mod huge;

/// Bytes of a hashbrown table with room for `entries` of `entry` bytes each: a power of two of buckets, an eighth of them
/// free, a control byte each, and one group of these more (`table_bytes_are_what_a_table_takes`).
pub const fn table_bytes(entries: usize, entry: usize) -> usize {
    const GROUP: usize = 16;
    let buckets = match entries {
        0 => return 0,
        1..=3 => 4,
        4..=7 => 8,
        8..=14 => 16,
        _ => (entries * 8 / 7).next_power_of_two(),
    };
    (buckets * entry).next_multiple_of(GROUP) + buckets + GROUP
}

/// What a hashbrown table has to be made for, to hold `entries` that come and go and never to grow: the marks of removed entries
/// use up the rest of a table, and one that is more than half full then grows instead of being cleaned where it is.
pub const fn lasting(entries: usize) -> usize {
    entries * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_bytes_are_what_a_table_takes() {
        for entries in [0, 1, 3, 4, 7, 8, 14, 15, 100, 1000, 4096, 57_344, 57_345] {
            let small = hashbrown::HashMap::<u32, u32>::with_capacity(entries);
            let large = hashbrown::HashMap::<u32, [u64; 9]>::with_capacity(entries);
            assert_eq!(table_bytes(entries, 8), small.allocation_size(), "{entries}");
            assert_eq!(table_bytes(entries, 80), large.allocation_size(), "{entries}");
        }
    }
}
