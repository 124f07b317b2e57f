//! The addresses of IPv6 flows, by slot: 32 bytes each, none across two cache lines.

use prefetch_index::prefetch_index;

use crate::memory::huge::Zeros;

/// Client's and server's address.
type Pair = [[u8; 16]; 2];

/// Those of each slot. Nothing is taken before the first IPv6 flow, and then a huge page for each 65,536 slots when the first of
/// them is used.
pub(super) struct Ends(Zeros<Pair>);

impl Ends {
    /// Bytes for so many slots.
    pub(super) const fn bytes_for(capacity: usize) -> usize {
        capacity * size_of::<Pair>()
    }

    pub(super) fn new(capacity: usize) -> Ends {
        Ends(Zeros::new(capacity))
    }

    /// Client and server.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> &Pair {
        &self.0[slot as usize]
    }

    pub(super) fn set(&mut self, slot: u32, ends: Pair) {
        self.0[slot as usize] = ends;
    }

    /// Asks for the slot's line.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32) {
        prefetch_index(&*self.0, slot as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_its_own_and_none_is_split() {
        for capacity in [0, 1, 7, 100_000] {
            let mut ends = Ends::new(capacity);
            assert_eq!(size_of_val(&*ends.0), Ends::bytes_for(capacity));
            for slot in 0..capacity as u32 {
                ends.set(slot, [[slot as u8; 16], [!slot as u8; 16]]);
                assert_eq!((&raw const *ends.get(slot)).addr() % size_of::<Pair>(), 0);
            }
            for slot in 0..capacity as u32 {
                assert_eq!(ends.get(slot), &[[slot as u8; 16], [!slot as u8; 16]]);
            }
        }
    }
}
