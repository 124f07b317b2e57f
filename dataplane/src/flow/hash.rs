//! The keyed, symmetric hash of a flow key: both directions of a flow give the same value, and nobody who does not
//! know the key can aim two flows at one bucket (DESIGN invariant 8).
//!
//! It is made of folded multiplications, as wyhash's and ahash's are: all 128 bits of a product of what is hashed and of the key,
//! one half upon the other. A product does not ask which factor comes first, and so neither does the hash ask which end sent. It is no
//! library's, for theirs are of bytes in order, and to put two ends in order first costs an IPv6 frame 18 instructions.

use super::quad::{Addresses, FlowKey, Quad, Segment};

/// The key, taken once per start.
#[derive(Clone)]
pub struct KeyedHash {
    /// For the halves of an IPv6 address.
    halves: [u64; 2],
    /// For an end.
    end: u64,
    /// For all of it.
    all: u64,
}

impl KeyedHash {
    /// From 256 bits of the system's generator (or of a simulation's seed).
    pub fn new(key: [u64; 4]) -> Self {
        // Digits of pi, so that a simulation's key of four small numbers is one as well.
        let [first, second, end, all] = key;
        KeyedHash {
            halves: [first ^ 0x243f_6a88_85a3_08d3, second ^ 0x1319_8a2e_0370_7344],
            end: end ^ 0xa409_3822_299f_31d0,
            all: all ^ 0x082e_fa98_ec4e_6c89,
        }
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
        // In network order, as they come.
        let (there, back) = (u64::from(quad.client_port.to_be()), u64::from(quad.server_port.to_be()));
        let (one, other) = match quad.addresses {
            // Every bit of an end stands at a place of its own.
            Addresses::V4(source, destination) => {
                let end = |address, port| u64::from(u32::from_ne_bytes(address)) << 16 | port;
                (end(source, there), end(destination, back))
            }
            // An address becomes a word that only who knows the key can choose; then a port does no harm to it.
            Addresses::V6(source, destination) => {
                (self.of_v6(source) ^ there, self.of_v6(destination) ^ back)
            }
        };
        // In both products: the last one alone would not spread what counts up, the first one alone is that of other ends as well.
        let segment = u64::from(segment.0);
        let end = self.end ^ segment << 32;
        folded(folded(one ^ end, other ^ end) ^ segment, self.all)
    }

    #[inline(always)]
    fn of_v6(&self, address: [u8; 16]) -> u64 {
        let [low, high]: [u64; 2] = zerocopy::transmute!(address);
        folded(low ^ self.halves[0], high ^ self.halves[1])
    }
}

/// Both halves of a product, one upon the other.
#[inline(always)]
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{IpAddr, SocketAddr};

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
        // What belongs to what counts: ports exchanged, halves of an address, addresses.
        for (client, server, other_client, other_server) in [
            ("10.0.0.1:1", "10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:1"),
            ("[fd00::1]:1", "[fd00::2]:80", "[fd00::1]:80", "[fd00::2]:1"),
            ("[fd00::1]:1", "[fd00::2]:80", "[::1:fd00:0:0:0]:1", "[fd00::2]:80"),
            ("[fd00::1]:1", "[fd01::2]:80", "[fd01::1]:1", "[fd00::2]:80"),
        ] {
            assert_ne!(one.of(&key(client, server, 7)), one.of(&key(other_client, other_server, 7)));
        }
    }

    /// Quads in which something counts up, as clients' ports and addresses do, and those of whoever chooses them.
    fn families() -> Vec<(&'static str, Vec<FlowKey>)> {
        type Make = fn(u32) -> (u128, u16, u128, u16);
        const IN_ONE: Segment = Segment(7);
        const CLIENT: u128 = 0xfd00 << 112 | 1;
        const SERVER: u128 = 0xfd00 << 112 | 2;
        let makes: [(&'static str, Make); 9] = [
            ("client's port", |n| (CLIENT + u128::from(n >> 14), 1024 + (n & 0x3fff) as u16, SERVER, 443)),
            ("client's address", |n| (CLIENT + u128::from(n), 40_000, SERVER, 80)),
            ("every 256th address", |n| (CLIENT + u128::from(n << 8), 40_000, SERVER, 80)),
            ("client's network", |n| (CLIENT + (u128::from(n) << 64), 40_000, SERVER, 80)),
            ("both halves", |n| (CLIENT ^ (u128::from(n) << 64 | u128::from(n)), 40_000, SERVER, 80)),
            ("highest bits", |n| (CLIENT ^ u128::from(n.reverse_bits()) << 96, 40_000, SERVER, 80)),
            ("both addresses", |n| (CLIENT + u128::from(n >> 8), 5000, SERVER + u128::from(n & 0xff), 80)),
            ("one for the other", |n| (CLIENT + u128::from(n), 80, SERVER - u128::from(n) - (1 << 20), 80)),
            ("address and port", |n| (CLIENT ^ u128::from(n), 1 + (n as u16 & 0x7fff), SERVER, 80)),
        ];
        let v4 = |address: u128| std::net::Ipv4Addr::from_bits(address as u32 ^ (address >> 96) as u32);
        let v6 = |address: u128| std::net::Ipv6Addr::from_bits(address);
        let mut families = Vec::new();
        for (name, make) in makes {
            for is_v6 in [false, true] {
                let quads = (0..1 << 16).map(make).map(|(client, client_port, server, server_port)| {
                    let ip = |address| if is_v6 { IpAddr::from(v6(address)) } else { v4(address).into() };
                    let client = SocketAddr::new(ip(client), client_port);
                    Quad::between(client, SocketAddr::new(ip(server), server_port)).unwrap()
                });
                let different: HashSet<Quad> = quads.collect();
                let keys = different.into_iter().map(|quad| FlowKey { quad, segment: IN_ONE });
                families.push((name, keys.collect()));
            }
        }
        let quad = key("[fd00::1]:40000", "[fd00::2]:80", 0).quad;
        let segments = (0..1 << 16).map(|n| FlowKey { quad, segment: Segment(n << 8) });
        families.push(("segment", segments.collect()));
        families
    }

    /// The bits that an index takes for its buckets, for its tags, beside its entries, and the one that chooses between two workers,
    /// are as evenly used as chance would use them, and no two hashes are the same.
    #[test]
    fn what_counts_up_is_spread() {
        const CELLS: usize = 1 << 8;
        let mut keys = fastrand::Rng::with_seed(14);
        let random: Vec<[u64; 4]> = (0..5).map(|_| std::array::from_fn(|_| keys.u64(..))).collect();
        let families = families();
        for key in random.into_iter().chain([[1, 2, 3, 4], [0; 4]]) {
            let hash = KeyedHash::new(key);
            for (name, keys) in &families {
                let mut hashes: Vec<u64> = keys.iter().map(|key| hash.of(key)).collect();
                for shift in [0, 8, 16, 24, 32, 40, 48, 56] {
                    let mut cells = [0f64; CELLS];
                    for hash in &hashes {
                        cells[(hash >> shift) as usize % CELLS] += 1.0;
                    }
                    let mean = hashes.len() as f64 / CELLS as f64;
                    let chi: f64 = cells.iter().map(|cell| (cell - mean).powi(2) / mean).sum();
                    // In standard deviations from what chance gives.
                    let off = (chi - (CELLS - 1) as f64) / (2.0 * (CELLS - 1) as f64).sqrt();
                    assert!(off < 5.0, "{name}, key {key:?}, bits from {shift} on: {off} deviations");
                }
                hashes.sort_unstable();
                hashes.dedup();
                assert_eq!(hashes.len(), keys.len(), "{name}, key {key:?}: two hashes are the same");
            }
        }
    }
}
