//! The option by which one end of a tunnel names a connection's original server to the other (seed 000: a forwarded
//! connection request carries what the next proxy has to know of the original one).
//!
//! ```text
//!  kind 253 | length | identifier | server's port | server's address | signature
//!      1        1          2             2              4 or 16            8       bytes
//! ```
//!
//! An experimental option (RFC 6994): kinds of their own are not to be had without a standard. It is 18 bytes of IPv4, which
//! fit beside all that a common stack says in a SYN, and 30 of IPv6, which fit beside all but timestamps.
//!
//! The signature is HMAC-SHA256, cut to 64 bits. RFC 2104 section 5 recommends 80 at least, for which a SYN has no room; but a
//! guess can be checked only by sending it, and 2^63 SYNs take 29,000 years at ten million a second. Signed is all that the
//! far end acts upon, as it stands in the SYN: original server, client, far end, and the SYN's number. Who sees a SYN can repeat
//! it, for as long as its key is in force, and gets no more than who can forge addresses has anyway: a SYN of that client's to
//! that server, with that number. Translation of addresses between the ends breaks the signature. No input panics.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use dataplane::flow::quad::Quad;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::{EXPERIMENT_LEN, kind, walk};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::module::Mark;

/// Identifier among experiments (RFC 6994 section 3.1), "QD": also what this layout is told by, so that another one takes
/// another identifier.
const IDENTIFIER: [u8; 2] = [0x51, 0x44];
/// Bytes of a signature.
const SIGNATURE_LEN: usize = 8;

/// Bytes of a key: as many as the hash gives (RFC 2104 section 3).
pub const KEY_LEN: usize = 32;

/// Keys in force: the first signs, each verifies. Two while one takes the place of the other.
#[derive(Clone)]
pub struct Keys(Vec<Hmac<Sha256>>);

/// What is signed besides the original server, as it stands in the SYN between the ends of the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carrier {
    /// Client → far end of the tunnel.
    pub quad: Quad,
    /// The SYN's number.
    pub seq: Seq,
}

/// Why there is no original server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// The SYN has no such option.
    Unsigned,
    /// It has one that nobody who has a key has made, for this SYN, or more than one.
    Forged,
}

impl Keys {
    /// In this order.
    pub fn new(keys: &[[u8; KEY_LEN]]) -> Keys {
        // A key of any length is a key; these are hashed once, not for every SYN.
        Keys(keys.iter().filter_map(|key| Hmac::new_from_slice(key).ok()).collect())
    }

    /// The option that names `server`; none when it is of the other family than the carrier, or there is no key.
    pub fn sign(&self, server: SocketAddr, carrier: &Carrier) -> Mark {
        let mut mark = Mark::new();
        let Some(key) = self.0.first().filter(|_| server.is_ipv4() == carrier.quad.client().is_ipv4()) else {
            return mark;
        };
        let name = name(server);
        let signature = covering(key, &name, carrier).finalize().into_bytes();
        let len = EXPERIMENT_LEN + name.len() + SIGNATURE_LEN;
        mark.extend([kind::EXPERIMENT, len as u8]);
        mark.extend(IDENTIFIER);
        mark.extend(name);
        mark.extend(signature.into_iter().take(SIGNATURE_LEN));
        mark
    }

    /// The original server that the options of a SYN name and prove.
    pub fn verify(&self, options: &[u8], carrier: &Carrier) -> Result<SocketAddr, Unproven> {
        let mut ours = walk(options)
            .map_while(Result::ok)
            .filter(|option| is_one(option.kind, option.data))
            .filter_map(|option| option.data.strip_prefix(&IDENTIFIER));
        let data = ours.next().ok_or(Unproven::Unsigned)?;
        if ours.next().is_some() {
            return Err(Unproven::Forged);
        }
        let (name, signature) = data.split_last_chunk::<SIGNATURE_LEN>().ok_or(Unproven::Forged)?;
        let server = read_name(name).ok_or(Unproven::Forged)?;
        // All keys are tried, and none tells by its time how much of the signature was right.
        let proofs = self.0.iter().map(|key| covering(key, name, carrier).verify_truncated_left(signature));
        let is_proven = proofs.fold(false, |proven, proof| proven | proof.is_ok());
        let is_of_family = server.is_ipv4() == carrier.quad.client().is_ipv4();
        if is_proven && is_of_family { Ok(server) } else { Err(Unproven::Forged) }
    }
}

/// Whether an option of this kind and data says that it is one of a tunnel, whoever has made it.
pub fn is_one(kind: u8, data: &[u8]) -> bool {
    kind == kind::EXPERIMENT && data.starts_with(&IDENTIFIER)
}

/// Port and address, as they stand in the option.
fn name(server: SocketAddr) -> ArrayVec<u8, 18> {
    let mut name = ArrayVec::new();
    name.extend(server.port().to_be_bytes());
    match server.ip() {
        IpAddr::V4(ip) => name.extend(ip.octets()),
        IpAddr::V6(ip) => name.extend(ip.octets()),
    }
    name
}

fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let (port, address) = name.split_first_chunk::<2>()?;
    let ip: IpAddr = match address.len() {
        4 => (*address.first_chunk::<4>()?).into(),
        16 => (*address.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// The signature's input. Every part has a length that follows from the family, which stands before them.
fn covering(key: &Hmac<Sha256>, server: &[u8], carrier: &Carrier) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(&IDENTIFIER);
    mac.update(&[if carrier.quad.client().is_ipv4() { 4 } else { 6 }]);
    mac.update(server);
    mac.update(&name(carrier.quad.client()));
    mac.update(&name(carrier.quad.server()));
    mac.update(&carrier.seq.0.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use dataplane::wire::tcp_options::{TcpOptions, packed};
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; KEY_LEN] = [7; KEY_LEN];

    fn carrier(v6: bool) -> Carrier {
        let (client, end) =
            if v6 { ("[fd00::1]:4000", "[fd00::9]:500") } else { ("10.0.0.1:4000", "10.0.0.9:500") };
        let quad = Quad::between(client.parse().unwrap(), end.parse().unwrap()).unwrap();
        Carrier { quad, seq: Seq(0x0102_0304) }
    }

    fn server(v6: bool) -> SocketAddr {
        if v6 { "[2001:db8::80]:443" } else { "192.0.2.80:443" }.parse().unwrap()
    }

    #[test]
    fn it_has_the_layout_of_the_documentation_and_fits_a_syn() {
        for (v6, len) in [(false, 18), (true, 30)] {
            let mark = Keys::new(&[KEY]).sign(server(v6), &carrier(v6));
            assert_eq!((mark.len(), &mark[..4]), (len, &[253, len as u8, 0x51, 0x44][..]));
            assert_eq!(&mark[4..len - 8], &name(server(v6))[..]);
        }
        // RFC 4231 has the hash's own; this is one of the whole construction, computed with Python's hmac.
        let mark = Keys::new(&[KEY]).sign(server(false), &carrier(false));
        assert_eq!(mark[10..], EXPECTED);
    }

    /// `hmac.new(b"\x07"*32, b"QD\x04" + pack(">H4s", 443, 192.0.2.80) + pack(">H4s", 4000, 10.0.0.1) +
    /// pack(">H4s", 500, 10.0.0.9) + pack(">I", 0x01020304), "sha256").digest()[:8]`
    const EXPECTED: [u8; 8] = [0x68, 0x0a, 0x48, 0xbc, 0x17, 0x61, 0x00, 0x30];

    #[test]
    fn the_first_key_signs_and_each_verifies() {
        let (old, new) = ([1; KEY_LEN], [2; KEY_LEN]);
        for v6 in [false, true] {
            let sign = |keys: &[_]| Keys::new(keys).sign(server(v6), &carrier(v6));
            let verify = |keys: &[_], mark: &Mark| Keys::new(keys).verify(mark, &carrier(v6));
            assert_eq!(sign(&[new, old]), sign(&[new]));
            for keys in [&[old][..], &[new, old], &[old, new]] {
                assert_eq!(verify(keys, &sign(&[old])), Ok(server(v6)));
            }
            assert_eq!(verify(&[new], &sign(&[old])), Err(Unproven::Forged));
            assert_eq!(verify(&[], &sign(&[old])), Err(Unproven::Forged), "no key proves nothing");
        }
    }

    #[test]
    fn any_bit_changed_in_the_option_or_in_the_syn_is_noticed() {
        let keys = Keys::new(&[KEY]);
        for v6 in [false, true] {
            let carrier = carrier(v6);
            let mark = keys.sign(server(v6), &carrier);
            let read = |mark: &[u8]| keys.verify(mark, &carrier);
            assert_eq!(read(&mark), Ok(server(v6)));
            for bit in 0..mark.len() * 8 {
                let mut changed = mark.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let expected = if bit < 32 { read(&changed).unwrap_err() } else { Unproven::Forged };
                assert_eq!(read(&changed), Err(expected), "bit {bit}");
            }
            let quad = carrier.quad;
            let others = [
                Carrier { seq: Seq(carrier.seq.0 ^ 0x8000_0000), ..carrier },
                Carrier { quad: Quad { client_port: 4001, ..quad }, ..carrier },
                Carrier { quad: Quad { server_port: 501, ..quad }, ..carrier },
                Carrier { quad: quad.reversed(), ..carrier },
            ];
            for other in others {
                assert_eq!(keys.verify(&mark, &other), Err(Unproven::Forged), "{other:?}");
            }
        }
    }

    #[test]
    fn without_it_twice_or_of_the_other_family_a_syn_proves_nothing() {
        let keys = Keys::new(&[KEY]);
        let (four, six) = (carrier(false), carrier(true));
        let mark = keys.sign(server(false), &four);
        for none in
            [&[][..], &[1, 1, 1], &[253, 4, 0xf9, 0x89], &[253, 2], &[254, 4, 0x51, 0x44], &[253, 9, 0x51]]
        {
            assert_eq!(keys.verify(none, &four), Err(Unproven::Unsigned), "{none:?}");
        }
        assert_eq!(keys.verify(&[&mark[..], &mark].concat(), &four), Err(Unproven::Forged));
        assert_eq!(keys.verify(&mark, &six), Err(Unproven::Forged));
        assert!(keys.sign(server(true), &four).is_empty() && keys.sign(server(false), &six).is_empty());
    }

    proptest! {
        #[test]
        fn any_server_comes_through_and_any_bytes_are_read_or_refused(
            address in any::<IpAddr>(), port: u16, seq: u32, noise in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let (keys, server) = (Keys::new(&[KEY]), SocketAddr::new(address, port));
            let carrier = Carrier { seq: Seq(seq), ..carrier(address.is_ipv6()) };
            let mark = keys.sign(server, &carrier);
            let options = TcpOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..TcpOptions::default() };
            let whole = packed(&options, &mark).expect("it fits");
            prop_assert_eq!(keys.verify(&whole, &carrier), Ok(server));
            prop_assert!(keys.verify(&noise, &carrier).is_err());
            let behind = [&[253, (4 + noise.len()) as u8, 0x51, 0x44][..], &noise].concat();
            prop_assert_eq!(keys.verify(&behind, &carrier), Err(Unproven::Forged));
        }
    }
}
