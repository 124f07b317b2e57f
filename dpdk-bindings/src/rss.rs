//! Receive-side scaling: which queue a connection lands on.
//!
//! The key is 0x6d5a repeated (S. Woo, K. Park: Scalable TCP Session Monitoring with Symmetric Receive-side Scaling,
//! 2012): a Toeplitz hash whose key has a period of 16 bits does not change when the two addresses and the two ports
//! swap places. So both directions of a connection land on the same queue, of whichever port.
//!
//! Of whichever port also means: whatever the size of its table. Entry i of a table gets queue (i mod 128) mod n, so
//! that tables of 128, 512 or 2048 entries agree even where n is not a power of two.

/// The two bytes that make a key symmetric.
const PAIR: [u8; 2] = [0x6d, 0x5a];

/// The bytes of key that a hash over an IPv6 quad needs; the customary size.
pub const KEY_LEN: usize = 40;

/// Table entries after which the queues repeat: the table size of the humbler NICs.
const SPAN: u32 = 128;

/// The symmetric key, of `len` bytes.
pub fn symmetric_key(len: usize) -> Vec<u8> {
    PAIR.iter().copied().cycle().take(len).collect()
}

/// The Toeplitz hash of `input` (addresses, then ports, all in network order) under `key`.
///
/// Key bits beyond the end of `key` count as zero; nothing panics.
pub fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let byte = |i: usize| u32::from(key.get(i).copied().unwrap_or(0));
    let mut window = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    let mut hash = 0;
    for (i, &input_byte) in input.iter().enumerate() {
        let next = byte(i + 4);
        for bit in (0..8).rev() {
            if input_byte >> bit & 1 == 1 {
                hash ^= window;
            }
            window = window << 1 | (next >> bit & 1);
        }
    }
    hash
}

/// How a port spreads frames over its queues, all of it set by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rss {
    pub(crate) key: Vec<u8>,
    pub(crate) table: u16,
    pub(crate) queues: u16,
    pub(crate) ipv4_tcp: bool,
    pub(crate) ipv6_tcp: bool,
}

impl Rss {
    /// The key that the device was given.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether TCP over IPv4 is hashed over addresses and ports.
    pub fn ipv4_tcp(&self) -> bool {
        self.ipv4_tcp
    }

    /// Whether TCP over IPv6 is hashed over addresses and ports.
    pub fn ipv6_tcp(&self) -> bool {
        self.ipv6_tcp
    }

    /// The queue of a frame with this hash input: source address, destination address, source port, destination port.
    pub fn queue_of(&self, input: &[u8]) -> u16 {
        self.queue_of_entry(toeplitz(&self.key, input) % u32::from(self.table))
    }

    /// The queue in an entry of the device's table.
    pub(crate) fn queue_of_entry(&self, entry: u32) -> u16 {
        (entry % SPAN % u32::from(self.queues)) as u16
    }

    /// Whether every connection lands on the same queue number of both ports, so that one worker has both directions.
    pub fn agrees_with(&self, other: &Rss) -> bool {
        // Hashes agree (one key, cut to size); their remainders do when the shorter cycle of queues divides both.
        let cycle = |rss: &Rss| u32::from(rss.table).min(SPAN);
        let (a, b, queues) = (cycle(self), cycle(other), u32::from(self.queues));
        let kinds = (self.ipv4_tcp, self.ipv6_tcp) == (other.ipv4_tcp, other.ipv6_tcp);
        let whole = |rss: &Rss| u32::from(rss.table) <= SPAN || u32::from(rss.table).is_multiple_of(SPAN);
        let same = self.table == other.table
            || (whole(self) && whole(other) && a == b)
            || (a.is_multiple_of(queues) && b.is_multiple_of(queues) && whole(self) && whole(other));
        kinds && self.queues == other.queues && same
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// "Verifying the RSS Hash Calculation", Microsoft: the key and the vectors that every NIC is tested with.
    const MICROSOFT: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn v4(source: (&str, u16), destination: (&str, u16)) -> Vec<u8> {
        let octets = |text: &str| text.parse::<Ipv4Addr>().expect("an address").octets();
        let mut input = [octets(source.0), octets(destination.0)].concat();
        input.extend([source.1.to_be_bytes(), destination.1.to_be_bytes()].concat());
        input
    }

    fn v6(source: (&str, u16), destination: (&str, u16)) -> Vec<u8> {
        let octets = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
        let mut input = [octets(source.0), octets(destination.0)].concat();
        input.extend([source.1.to_be_bytes(), destination.1.to_be_bytes()].concat());
        input
    }

    #[test]
    fn microsoft_vectors_ipv4() {
        let rows = [
            (("66.9.149.187", 2794), ("161.142.100.80", 1766), 0x323e_8fc2, 0x51cc_c178),
            (("199.92.111.2", 14230), ("65.69.140.83", 4739), 0xd718_262a, 0xc626_b0ea),
            (("24.19.198.95", 12898), ("12.22.207.184", 38024), 0xd2d0_a5de, 0x5c2b_394a),
            (("38.27.205.30", 48228), ("209.142.163.6", 2217), 0x8298_9176, 0xafc7_327f),
            (("153.39.163.191", 44251), ("202.188.127.2", 1303), 0x5d18_09c5, 0x10e8_28a2),
        ];
        for (source, destination, addresses, with_ports) in rows {
            let input = v4(source, destination);
            assert_eq!(toeplitz(&MICROSOFT, &input[..8]), addresses, "{source:?}");
            assert_eq!(toeplitz(&MICROSOFT, &input), with_ports, "{source:?}");
        }
    }

    #[test]
    fn microsoft_vectors_ipv6() {
        let rows = [
            (("3ffe:2501:200:1fff::7", 2794), ("3ffe:2501:200:3::1", 1766), 0x2cc1_8cd5, 0x4020_7d3d),
            (("3ffe:501:8::260:97ff:fe40:efab", 14230), ("ff02::1", 4739), 0x0f0c_461c, 0xdde5_1bbf),
            (
                ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251),
                ("fe80::200:f8ff:fe21:67cf", 38024),
                0x4b61_e985,
                0x02d1_feef,
            ),
        ];
        for (source, destination, addresses, with_ports) in rows {
            let input = v6(source, destination);
            assert_eq!(toeplitz(&MICROSOFT, &input[..32]), addresses, "{source:?}");
            assert_eq!(toeplitz(&MICROSOFT, &input), with_ports, "{source:?}");
        }
    }

    #[test]
    fn both_directions_have_one_hash_under_the_symmetric_key_only() {
        for len in [KEY_LEN, 52] {
            let key = symmetric_key(len);
            assert_eq!(key.len(), len);
            for i in 0..2000_u32 {
                let x = i.wrapping_mul(0x9e37_79b9);
                let a = Ipv4Addr::from_bits(x).to_string();
                let b = Ipv4Addr::from_bits(x.rotate_left(13) ^ 0x5bd1).to_string();
                let (p, q) = (x as u16, (x >> 16) as u16);
                assert_eq!(toeplitz(&key, &v4((&a, p), (&b, q))), toeplitz(&key, &v4((&b, q), (&a, p))));
                let (a, b) = (format!("2001:db8::{p:x}"), format!("fd00:{q:x}::1"));
                assert_eq!(toeplitz(&key, &v6((&a, p), (&b, q))), toeplitz(&key, &v6((&b, q), (&a, p))));
            }
        }
        let (there, back) = (v4(("10.0.0.1", 1), ("10.0.0.2", 2)), v4(("10.0.0.2", 2), ("10.0.0.1", 1)));
        assert_ne!(toeplitz(&MICROSOFT, &there), toeplitz(&MICROSOFT, &back));
    }

    fn rss(table: u16, queues: u16) -> Rss {
        Rss { key: symmetric_key(40), table, queues, ipv4_tcp: true, ipv6_tcp: true }
    }

    #[test]
    fn queues_are_used_evenly() {
        let rss = rss(128, 3);
        let mut counts = [0; 3];
        for port in 0..30_000 {
            let input = v4(("192.0.2.1", port), ("198.51.100.7", 443));
            counts[usize::from(rss.queue_of(&input))] += 1;
        }
        assert!(counts.iter().all(|&n| (9_000..=11_000).contains(&n)), "{counts:?}");
    }

    #[test]
    fn ports_that_agree_spread_alike() {
        let mut agreeing = 0;
        for queues in 1..=17 {
            for (a, b) in [(128, 512), (128, 2048), (64, 128), (64, 64), (192, 128), (192, 192), (4, 128)] {
                let (a, b) = (rss(a, queues), rss(b, queues));
                let alike = (0..5000).all(|port| {
                    let input = v4(("192.0.2.1", port), ("198.51.100.7", 443));
                    a.queue_of(&input) == b.queue_of(&input)
                });
                assert!(alike || !a.agrees_with(&b), "{a:?} {b:?}");
                agreeing += usize::from(a.agrees_with(&b));
                assert!(a.table < 128 || a.table == 192 || a.agrees_with(&b), "{a:?} {b:?}");
            }
        }
        assert!(agreeing > 4 * 17);
        assert!(!rss(128, 2).agrees_with(&rss(128, 3)));
        assert!(!rss(128, 2).agrees_with(&Rss { ipv6_tcp: false, ..rss(128, 2) }));
    }
}
