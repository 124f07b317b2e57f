//! The keyed, symmetric hash of a flow key: both directions of a flow give the same value, and nobody who does not
//! know the key can aim two flows at one bucket (DESIGN invariant 8).

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use super::quad::{Addresses, FlowKey, Quad, Segment};

/// The key, taken once per start.
#[derive(Clone)]
pub struct KeyedHash(RandomState);

impl KeyedHash {
    /// From 256 bits of the system's generator (or of a simulation's seed).
    pub fn new(key: [u64; 4]) -> Self {
        KeyedHash(RandomState::with_seeds(key[0], key[1], key[2], key[3]))
    }

    /// Hash of a quad alone, the same for both directions.
    #[inline]
    pub fn of_quad(&self, quad: &Quad) -> u64 {
        self.of_parts(quad, Segment(0))
    }

    /// Hash of a flow key, the same for both directions.
    #[inline]
    pub fn of(&self, key: &FlowKey) -> u64 {
        self.of_parts(&key.quad, key.segment)
    }

    /// The same, of a key's parts.
    #[inline(always)]
    pub fn of_parts(&self, quad: &Quad, segment: Segment) -> u64 {
        let mut hasher = self.0.build_hasher();
        hash_parts(quad, segment, &mut hasher);
        hasher.finish()
    }
}

/// Feeds the lower endpoint first, so that the order of the two does not matter. Every bit of the key stands at a place of its
/// own, in as few words as there are: each costs a multiplication.
#[inline(always)]
fn hash_parts(quad: &Quad, segment: Segment, hasher: &mut impl Hasher) {
    // In network order, as they come.
    let (there, back) = (u64::from(quad.client_port.to_be()), u64::from(quad.server_port.to_be()));
    match quad.addresses {
        Addresses::V4(source, destination) => {
            let a = u64::from(u32::from_ne_bytes(source)) << 16 | there;
            let b = u64::from(u32::from_ne_bytes(destination)) << 16 | back;
            let low = a.min(b) | u64::from(segment.0) << 48;
            let high = a.max(b) | u64::from(segment.0 >> 16) << 48;
            // Both at once: one multiplication of the two, each disguised by a part of the key.
            hasher.write_u128(u128::from(low) | u128::from(high) << 64);
        }
        Addresses::V6(source, destination) => {
            let a = (u128::from_ne_bytes(source), there);
            let b = (u128::from_ne_bytes(destination), back);
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            hasher.write_u128(low.0);
            hasher.write_u128(high.0);
            hasher.write_u64(low.1 << 48 | high.1 << 32 | u64::from(segment.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(client: &str, server: &str, segment: u32) -> FlowKey {
        let quad = Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap();
        FlowKey { quad, segment: Segment(segment) }
    }

    #[test]
    fn symmetric_and_keyed() {
        let (one, two) = (KeyedHash::new([1, 2, 3, 4]), KeyedHash::new([5, 6, 7, 8]));
        for (client, server) in [("10.0.0.1:1", "10.0.0.2:80"), ("[fd00::1]:1", "[fd00::2]:80")] {
            let there = key(client, server, 7);
            let back = FlowKey { quad: there.quad.reversed(), ..there };
            assert_eq!(one.of(&there), one.of(&back));
            assert_ne!(one.of(&there), two.of(&there), "another key, another hash");
            assert_ne!(one.of(&there), one.of(&key(client, server, 8)), "the segment counts");
        }
        let swapped_ports = key("10.0.0.1:80", "10.0.0.2:1", 7);
        assert_ne!(one.of(&key("10.0.0.1:1", "10.0.0.2:80", 7)), one.of(&swapped_ports));
    }
}
