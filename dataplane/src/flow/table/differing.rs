//! What the ends of a flow were promised differently.
//!
//! It stands in the place of the addresses that the flow does not have: those of IPv6 for a flow of IPv4, and the other way
//! around. So no flow takes more memory for what hardly any flow has, and who has nothing to reconcile pays for one bit.

use super::FlowTable;
use crate::flow::object::{Object, Traits};
use crate::flow::terms::Promises;

impl FlowTable {
    /// What each end of the flow in `slot` was promised, and how far ahead of itself the client knows the server's timestamp
    /// clock, modulo 2^32.
    pub fn promises(&self, slot: u32) -> (Promises, u32) {
        let object = self.object(slot);
        if !object.traits.has(Traits::RECONCILED) {
            return (Promises::mirrored(object.terms), 0);
        }
        let [promises, clock] = match object.traits.has(Traits::V6) {
            true => object.v4,
            false => self.spare(slot),
        };
        (Promises::from_bytes(promises), u32::from_ne_bytes(clock))
    }

    /// Keeps them.
    pub fn set_promises(&mut self, slot: u32, promises: Promises, clock: u32) {
        let differ = !promises.agree() || clock != 0;
        let object = self.object_mut(slot);
        object.terms = promises.meant();
        object.traits.set(Traits::RECONCILED, differ);
        if !differ {
            return;
        }
        let kept = [promises.to_bytes(), clock.to_ne_bytes()];
        if object.traits.has(Traits::V6) {
            object.v4 = kept;
        } else {
            let [mut spare, server] = *self.v6.get(slot);
            spare[..8].copy_from_slice(kept.as_flattened());
            self.v6.set(slot, [spare, server]);
        }
    }

    fn spare(&self, slot: u32) -> [[u8; 4]; 2] {
        let [[a, b, c, d, e, f, g, h, ..], _] = *self.v6.get(slot);
        [[a, b, c, d], [e, f, g, h]]
    }
}

const _: () = assert!(size_of::<Promises>() == 4 && size_of::<Object>() == 64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;
    use crate::flow::hash::KeyedHash;
    use crate::flow::object::Path;
    use crate::flow::quad::{Direction, FlowKey, Quad, Segment};
    use crate::flow::terms::Terms;

    #[test]
    fn differences_are_kept_beside_the_addresses_of_either_family() {
        let mut table = FlowTable::new(2, 0, KeyedHash::new([1, 2, 3, 4]));
        let (client, server) = (Terms::new(Some([3, 7]), true, true), Terms::new(Some([3, 14]), false, true));
        let differing = Promises::between(client, server);
        for (ends, clock) in [(("10.0.0.1:1", "10.0.0.2:2"), 7), (("[fd00::1]:1", "[fd00::2]:2"), u32::MAX)] {
            let quad = Quad::between(ends.0.parse().unwrap(), ends.1.parse().unwrap()).unwrap();
            let key = FlowKey { quad, segment: Segment::new(0, 0, 0) };
            let slot = table.insert(&key, Path::Parked, 0, Instant::ZERO).unwrap();
            assert_eq!(table.promises(slot), (Promises::UNKNOWN, 0));
            table.set_promises(slot, differing, clock);
            assert_eq!((table.promises(slot), table.key(slot)), ((differing, clock), key));
            let terms = table.object(slot).terms;
            assert_eq!(Direction::BOTH.map(|of| terms.shift(of)), [3, 14], "as each end means it");
            assert_eq!(table.find(&key), Some((slot, Direction::ClientToServer)));
            // The ends have agreed after all: the object alone says so.
            table.set_promises(slot, Promises::mirrored(client), 0);
            assert_eq!(table.promises(slot), (Promises::mirrored(client), 0));
            assert_eq!(table.key(slot), key);
            // The next tenant inherits nothing.
            table.set_promises(slot, differing, clock);
            table.remove(slot);
            let next = table.insert(&key, Path::Parked, 0, Instant::ZERO).unwrap();
            assert_eq!((next, table.promises(next)), (slot, (Promises::UNKNOWN, 0)));
            table.remove(next);
        }
    }
}
