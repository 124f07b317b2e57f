//! Look-ups of a burst: first the hashes, whose lines of the index are asked for; then where each flow probably is, whose own
//! lines are; then, one after the other, what is really there. So no look-up waits for memory while there are others. Where all begin a connection
//! nothing is guessed, for nearly all are of nobody yet.
//!
//! A guess rests on the bits of the hash that the index keeps beside and in each slot number. It touches no flow.

use prefetch_index::prefetch_index;

use super::FlowTable;
use crate::flow::object::{NONE, Object, Path};
use crate::flow::quad::{Direction, Quad, Segment};

/// Where a flow probably is, for as long as nobody is given the memory of another one. Wrong ones cost time, nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Guess {
    hash: u64,
    entry: u32,
    is_v6: bool,
}

impl Guess {
    /// Of what is in no table.
    pub const NOWHERE: Guess = Guess { hash: 0, entry: NONE, is_v6: false };
}

impl FlowTable {
    /// What a look-up begins with; its lines of the index are asked for.
    #[inline(always)]
    pub fn guess(&self, quad: &Quad, segment: Segment) -> Guess {
        let hash = self.hash.of_parts(quad, segment);
        self.index.prefetch(hash);
        Guess { hash, entry: NONE, is_v6: quad.addresses.is_v6() }
    }

    /// Looks into the index, and asks for the object of the flow that is probably meant.
    #[inline]
    pub fn look_ahead(&self, guess: &mut Guess) {
        if let Some(entry) = self.index.probable(guess.hash) {
            guess.entry = entry;
            // Beyond the flows are far sides, which are few.
            prefetch_index(&self.objects, entry as usize);
            if guess.is_v6 {
                self.v6.prefetch(entry);
            }
        }
    }

    /// [`FlowTable::find`], from where the flow was thought to be.
    #[inline(always)]
    pub fn find_guessed(&self, guess: &Guess, quad: &Quad, segment: Segment) -> Option<(u32, Direction)> {
        match self.prove(guess, quad, segment) {
            // What begins a connection is usually known by nothing.
            None if self.index.is_absent(guess.hash) => None,
            None => self.find_hashed(guess.hash, quad, segment),
            found => found,
        }
    }

    #[inline(always)]
    fn prove(&self, guess: &Guess, quad: &Quad, segment: Segment) -> Option<(u32, Direction)> {
        // What has been removed since keeps its quad until the slot has another tenant.
        let found = self.find_last(guess, quad, segment);
        found.filter(|(slot, _)| self.object(*slot).path != Path::Free)
    }

    /// The flow, there or gone, if it is the last one that was where it was thought to be.
    #[inline(always)]
    pub(super) fn find_last(&self, guess: &Guess, quad: &Quad, segment: Segment) -> Option<(u32, Direction)> {
        let object = self.objects.get(guess.entry as usize)?;
        let direction = self.matches_object(guess.entry, object, quad, segment)?;
        Some((guess.entry, direction))
    }

    /// The flow's object, there or gone, where it was thought to be; or another one's.
    #[inline(always)]
    pub fn probable(&self, guess: &Guess) -> Option<(u32, &Object)> {
        Some((guess.entry, self.objects.get(guess.entry as usize)?))
    }
}
