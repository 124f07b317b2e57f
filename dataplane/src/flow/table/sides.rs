//! The far sides of those flows that have one, and the second entry in the index by which such a flow is found.
//!
//! An alias stands in the same index as the flows, with a number beyond all slots: a look-up of an ordinary flow costs no
//! comparison and no cache line more than without any of this.
//!
//! Far sides wait in a queue in the order in which they were given, until somebody has seen that the flow is open: whoever
//! needs a place takes it from the front ([`FlowTable::oldest_far`]), so that no flood of SYNs keeps out connections.

use hashbrown::HashMap;

use super::FlowTable;
use crate::flow::far::FarSide;
use crate::flow::object::{NONE, Traits};
use crate::flow::quad::{Direction, Quad, Segment};
use crate::memory::{lasting, table_bytes};

/// Why a flow does not get its far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All places for far sides are taken.
    Full,
    /// Another flow is known by that key.
    InUse,
}

/// A far side and whose it is.
struct Side {
    slot: u32,
    /// Its neighbours in the queue, or [`NONE`].
    older: u32,
    newer: u32,
    side: FarSide,
}

/// Far sides in memory taken at start.
pub(super) struct Sides {
    places: Box<[Option<Side>]>,
    /// Places by the flows' slots: flows themselves have no room for what hardly any flow has.
    by_slot: HashMap<u32, u32, ahash::RandomState>,
    free: Vec<u32>,
    /// Ends of the queue of those that nobody has settled, or [`NONE`].
    oldest: u32,
    newest: u32,
}

impl Sides {
    /// What room for `capacity` takes.
    pub(super) fn bytes_for(capacity: usize) -> usize {
        let each = size_of::<Option<Side>>() + size_of::<u32>();
        capacity * each + table_bytes(lasting(capacity), size_of::<(u32, u32)>())
    }

    pub(super) fn new(capacity: usize) -> Sides {
        Sides {
            places: (0..capacity).map(|_| None).collect(),
            by_slot: HashMap::with_capacity_and_hasher(lasting(capacity), ahash::RandomState::new()),
            free: (0..capacity as u32).rev().collect(),
            oldest: NONE,
            newest: NONE,
        }
    }

    /// The place of the far side of the flow in `slot`, or [`NONE`].
    fn place_of(&self, slot: u32) -> u32 {
        self.by_slot.get(&slot).copied().unwrap_or(NONE)
    }

    fn get(&self, at: u32) -> Option<&Side> {
        self.places.get(at as usize)?.as_ref()
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut Side> {
        self.places.get_mut(at as usize)?.as_mut()
    }

    /// Into a free place, at the end of the queue.
    fn put(&mut self, slot: u32, side: FarSide) -> Option<u32> {
        let at = self.free.pop()?;
        let older = std::mem::replace(&mut self.newest, at);
        match self.get_mut(older) {
            Some(older) => older.newer = at,
            None => self.oldest = at,
        }
        self.places[at as usize] = Some(Side { slot, older, newer: NONE, side });
        self.by_slot.insert(slot, at);
        Some(at)
    }

    fn take(&mut self, at: u32) -> Option<Side> {
        self.unqueue(at);
        let side = self.places.get_mut(at as usize)?.take()?;
        self.by_slot.remove(&side.slot);
        self.free.push(at);
        Some(side)
    }

    /// Out of the queue; nothing when it is not in it.
    fn unqueue(&mut self, at: u32) {
        let Some(Side { older, newer, .. }) = self.get(at) else { return };
        let (older, newer) = (*older, *newer);
        if older == NONE && self.oldest != at {
            return;
        }
        match self.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        if let Some(side) = self.get_mut(at) {
            (side.older, side.newer) = (NONE, NONE);
        }
    }
}

impl FlowTable {
    /// Far sides present.
    pub fn far_sides(&self) -> usize {
        self.sides.places.len() - self.sides.free.len()
    }

    /// The most far sides that fit.
    pub fn far_sides_capacity(&self) -> usize {
        self.sides.places.len()
    }

    /// The far side of the flow in `slot`.
    pub fn far(&self, slot: u32) -> Option<&FarSide> {
        if !self.objects.get(slot as usize)?.traits.has(Traits::FAR) {
            return None;
        }
        Some(&self.sides.get(self.sides.place_of(slot))?.side)
    }

    /// The flow whose far side is the oldest of those that are not settled.
    pub fn oldest_far(&self) -> Option<u32> {
        Some(self.sides.get(self.sides.oldest)?.slot)
    }

    /// The flow in `slot` keeps its far side for as long as it lives: [`FlowTable::oldest_far`] names it no more.
    pub fn settle_far(&mut self, slot: u32) {
        self.sides.unqueue(self.sides.place_of(slot));
    }

    /// Gives the flow in `slot` a far side, instead of one that it may have had: it is found by that key from now on,
    /// too. Refused, it has none.
    pub fn set_far(&mut self, slot: u32, side: FarSide) -> Result<(), Refused> {
        self.remove_far(slot);
        let is_alias = side.key != self.key(slot);
        if is_alias && self.find(&side.key).is_some() {
            return Err(Refused::InUse);
        }
        let key = side.key;
        let at = self.sides.put(slot, side).ok_or(Refused::Full)?;
        self.objects[slot as usize].traits.set(Traits::FAR, true);
        let entry = self.objects.len() as u32 + at;
        if is_alias && !self.index.insert(self.hash.of(&key), entry) {
            self.remove_far(slot);
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Takes the far side of the flow in `slot` from it, if there is one.
    pub(super) fn remove_far(&mut self, slot: u32) {
        if !self.objects[slot as usize].traits.has(Traits::FAR) {
            return;
        }
        self.objects[slot as usize].traits.set(Traits::FAR, false);
        let at = self.sides.place_of(slot);
        let Some(Side { side, .. }) = self.sides.take(at) else { return };
        // It is not there where the far side has the flow's own key.
        self.index.remove(self.hash.of(&side.key), self.objects.len() as u32 + at);
    }

    /// Whether the alias `entry` is what a packet's key looks for, and which way that packet travels.
    #[cold]
    pub(super) fn matches_far(&self, entry: u32, quad: &Quad, segment: Segment) -> Option<Direction> {
        let far = &self.sides.get(entry - self.objects.len() as u32)?.side.key;
        if far.segment != segment {
            return None;
        }
        match *quad {
            quad if quad == far.quad => Some(Direction::ClientToServer),
            quad if quad == far.quad.reversed() => Some(Direction::ServerToClient),
            _ => None,
        }
    }

    /// The slot of the flow behind the alias `entry`.
    #[cold]
    pub(super) fn slot_of(&self, entry: u32) -> Option<u32> {
        Some(self.sides.get(entry - self.objects.len() as u32)?.slot)
    }
}

#[cfg(test)]
mod tests;
