//! ICMP (RFC 792) and ICMPv6 (RFC 4443) errors that quote a TCP segment.
//!
//! No input panics: whatever does not hold a quoted quad and sequence number is `None`, and crosses untouched. So does
//! an error whose own checksum is wrong: its addressee will discard it, and it arrives as corrupt as it was sent.

use super::checksum::{self, Sum};
use super::ip;
use super::ipv4::{self, Ipv4Header};
use super::ipv6::{self, Chain, Ipv6Header};
use super::seq::Seq;
use super::tcp;
use crate::flow::quad::{Addresses, Quad};

/// Bytes before the quoted datagram.
pub const HEADER_LEN: usize = 8;
/// The checksum, bytes from the header's start.
pub const CHECKSUM_OFFSET: usize = 2;

/// Types of the ICMP errors (RFC 792).
pub mod v4 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, deprecated by RFC 6633 and still sent by some.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Code of [`UNREACHABLE`]: fragmentation needed; the next hop's MTU stands in bytes 6 and 7 (RFC 1191 section 4).
    pub const CODE_FRAGMENTATION_NEEDED: u8 = 4;
}

/// Types of the ICMPv6 errors (RFC 4443 section 3).
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big; the next hop's MTU stands in bytes 4 to 7.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
}

/// What an error says. Offsets are bytes from the ICMP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The quoted segment's quad, source → destination as quoted.
    pub quad: Quad,
    /// The quoted sequence number.
    pub seq: Seq,
    /// Start of the quoted TCP header, of which [`tcp::QUOTED_LEN`] bytes are there.
    pub l4: usize,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
}

/// Reads an error in a datagram between `addresses`, from the ICMP header to the end of the datagram.
pub fn quoted(message: &[u8], addresses: &Addresses) -> Option<Quoted> {
    let (header, quote) = message.split_first_chunk::<HEADER_LEN>()?;
    let (kind, code) = (header[0], header[1]);
    let (quoted_addresses, l4) = match addresses {
        Addresses::V4(..) => {
            if !matches!(
                kind,
                v4::UNREACHABLE
                    | v4::SOURCE_QUENCH
                    | v4::REDIRECT
                    | v4::TIME_EXCEEDED
                    | v4::PARAMETER_PROBLEM
            ) {
                return None;
            }
            quoted_v4(quote)?
        }
        Addresses::V6(..) => {
            if !matches!(kind, v6::UNREACHABLE..=v6::PARAMETER_PROBLEM) {
                return None;
            }
            quoted_v6(quote)?
        }
    };
    let tcp = quote.get(l4..)?.first_chunk::<{ tcp::QUOTED_LEN }>()?;
    if !is_checksum_valid(message, addresses) {
        return None;
    }
    let [p1, p2, p3, p4, seq @ ..] = *tcp;
    Some(Quoted {
        quad: Quad {
            addresses: quoted_addresses,
            client_port: u16::from_be_bytes([p1, p2]),
            server_port: u16::from_be_bytes([p3, p4]),
        },
        seq: Seq(u32::from_be_bytes(seq)),
        l4: HEADER_LEN + l4,
        kind,
        code,
    })
}

/// The addresses of the quoted datagram, and where in the quote its TCP header begins.
///
/// Its total length and checksum are not looked at: routers quote the header as they had it, TTL counted down or not,
/// and never the whole datagram.
fn quoted_v4(quote: &[u8]) -> Option<(Addresses, usize)> {
    let header = Ipv4Header::view(quote)?;
    let is_tcp = header.version() == 4
        && header.header_len() >= ipv4::HEADER_LEN
        && header.protocol == ip::PROTOCOL_TCP
        && header.fragment_offset() == 0;
    is_tcp.then(|| (header.addresses(), header.header_len()))
}

/// The same for IPv6, behind its extension headers.
fn quoted_v6(quote: &[u8]) -> Option<(Addresses, usize)> {
    let header = Ipv6Header::view(quote)?;
    match ipv6::walk(quote, header.next_header, quote.len()) {
        Chain::Upper { protocol: ip::PROTOCOL_TCP, at, .. } if header.version() == 6 => {
            Some((header.addresses(), at))
        }
        _ => None,
    }
}

fn sum(message: &[u8], addresses: &Addresses) -> Sum {
    match addresses {
        Addresses::V4(..) => Sum::of(message),
        // RFC 4443 section 2.3: with the pseudo-header.
        Addresses::V6(..) => {
            Sum::pseudo_header(addresses, ip::PROTOCOL_ICMPV6, message.len() as u32) + Sum::of(message)
        }
    }
}

/// Whether a whole message carries the right checksum.
pub fn is_checksum_valid(message: &[u8], addresses: &Addresses) -> bool {
    sum(message, addresses).checksum() == 0
}

/// Writes the checksum of a whole message; nothing happens to one shorter than a header.
pub fn fill_checksum(message: &mut [u8], addresses: &Addresses) {
    const FIELD: std::ops::Range<usize> = CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2;
    if message.len() >= HEADER_LEN {
        message[FIELD].fill(0);
        let checksum = sum(message, addresses).checksum();
        message[FIELD].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The checksum field of `message` after edits of what it covers; nothing happens to one shorter than a header.
pub fn update_checksum(message: &mut [u8], update: checksum::Update) {
    if let Some([_, _, a, b, ..]) = message.first_chunk_mut::<HEADER_LEN>() {
        [*a, *b] = update.apply(u16::from_be_bytes([*a, *b])).to_be_bytes();
    }
}
