//! The addresses of IPv6 flows, by slot: 32 bytes each, none across two cache lines.

use prefetch_index::prefetch_index;

use crate::memory::huge;

/// Client's and server's address of each slot. Nothing is taken before the first IPv6 flow, and then a huge page for each 65,536
/// slots when the first of them is used.
pub(super) struct Ends {
    all: Box<[[u8; 16]]>,
    /// Whether slot 0 begins behind the first 16 bytes, to which an allocator aligns.
    is_shifted: bool,
}

impl Ends {
    /// Bytes for so many slots.
    pub(super) const fn bytes_for(capacity: usize) -> usize {
        (2 * capacity + 1) * size_of::<[u8; 16]>()
    }

    pub(super) fn new(capacity: usize) -> Ends {
        // Zeros from the system, which takes no memory for them before something else is written there.
        let all = vec![[0; 16]; 2 * capacity + 1].into_boxed_slice();
        let addresses = huge::range_of(&all);
        let is_shifted = addresses.start % size_of::<[[u8; 16]; 2]>() != 0;
        huge::advise(addresses);
        Ends { all, is_shifted }
    }

    #[inline(always)]
    fn place(&self, slot: u32) -> usize {
        usize::from(self.is_shifted) + 2 * slot as usize
    }

    /// Client and server.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> &[[u8; 16]; 2] {
        let at = self.place(slot);
        self.all[at..at + 2].first_chunk().expect("two are two")
    }

    pub(super) fn set(&mut self, slot: u32, ends: [[u8; 16]; 2]) {
        let at = self.place(slot);
        self.all[at..at + 2].copy_from_slice(&ends);
    }

    /// Asks for the slot's line.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32) {
        prefetch_index(&self.all, self.place(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_its_own_and_none_is_split() {
        for capacity in [0, 1, 7, 100_000] {
            let mut ends = Ends::new(capacity);
            assert_eq!(size_of_val(&*ends.all), Ends::bytes_for(capacity));
            for slot in 0..capacity as u32 {
                ends.set(slot, [[slot as u8; 16], [!slot as u8; 16]]);
                assert_eq!((&raw const ends.all[ends.place(slot)]).addr() % 32, 0);
            }
            for slot in 0..capacity as u32 {
                assert_eq!(ends.get(slot), &[[slot as u8; 16], [!slot as u8; 16]]);
            }
        }
    }
}
