//! IPv6 headers and the chain of extension headers behind them (RFC 8200).
//!
//! No input panics: views are built from slices that are long enough, or not at all.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ip::{self, Datagram, Transport};
use crate::counters::Counter;
use crate::flow::quad::Addresses;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Extension headers that are walked (RFC 8504 section 5.3 lets a host stop at 8).
pub const MAX_EXTENSIONS: usize = 8;
/// Bytes of extension headers that are walked.
pub const MAX_EXTENSION_BYTES: usize = 512;

/// Next header: hop-by-hop options (RFC 8200 section 4.3).
pub const NEXT_HOP_BY_HOP: u8 = 0;
/// Next header: routing (section 4.4).
pub const NEXT_ROUTING: u8 = 43;
/// Next header: fragment (section 4.5).
pub const NEXT_FRAGMENT: u8 = 44;
/// Next header: destination options (section 4.6).
pub const NEXT_DESTINATION: u8 = 60;

/// Bytes of a fragment header, and the unit of the other headers' lengths.
const EXTENSION_UNIT: usize = 8;
/// More fragments follow, in a fragment header's offset word.
const MORE_FRAGMENTS: u16 = 0x0001;

/// The fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    version_class_label: U32,
    /// Extension headers and payload, bytes.
    pub payload_len: U16,
    /// Type of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

impl Ipv6Header {
    /// The header at the start of `bytes`, nothing of it checked.
    pub fn view(bytes: &[u8]) -> Option<&Ipv6Header> {
        Some(Self::ref_from_prefix(bytes).ok()?.0)
    }

    /// The header at the start of `bytes`, mutable.
    pub fn view_mut(bytes: &mut [u8]) -> Option<&mut Ipv6Header> {
        Some(Self::mut_from_prefix(bytes).ok()?.0)
    }

    /// IP version.
    pub fn version(&self) -> u8 {
        (self.version_class_label.get() >> 28) as u8
    }

    /// DSCP (6 bits) and ECN (2 bits).
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_label.get() >> 20) as u8
    }

    /// Flow label, 20 bits.
    pub fn flow_label(&self) -> u32 {
        self.version_class_label.get() & 0xf_ffff
    }

    /// Both addresses.
    pub const fn addresses(&self) -> Addresses {
        Addresses::V6(self.source, self.destination)
    }
}

/// A header as a value, without extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Type of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes behind the header.
    pub payload_len: u16,
}

impl Ipv6Repr {
    /// The header.
    pub fn header(&self) -> Ipv6Header {
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff;
        Ipv6Header {
            version_class_label: U32::new(word),
            payload_len: U16::new(self.payload_len),
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            source: self.source,
            destination: self.destination,
        }
    }
}

/// Where a chain of extension headers ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// At an upper layer, or at a header that is not looked behind.
    Upper {
        /// Its next header value.
        protocol: u8,
        /// Where it begins, bytes from the IPv6 header.
        at: usize,
        /// More fragments follow.
        first_fragment: bool,
    },
    /// In a later fragment of something that begins with `protocol`.
    LaterFragment {
        /// The fragment header's next header value.
        protocol: u8,
        /// Units of 8 bytes.
        offset: u16,
    },
    /// At a router: a routing header has segments left, so the destination address names only the next stop.
    Routed,
    /// Nowhere: cut off within a first fragment (RFC 7112 section 5 asks for the whole chain there).
    CutOffInFirstFragment,
    /// Nowhere: cut off, beyond the limits, or with two fragment headers (RFC 8200 section 4.1 allows one).
    Broken,
}

/// Walks the extension headers of the datagram in `bytes` (from its IPv6 header) that ends at `end`.
///
/// Authentication headers are not looked behind: whoever rewrites what they cover only breaks it, in IPv6 as in IPv4.
/// Neither are ESP, "no next header", shim6, HIP, mobility, and types unknown (RFC 7045 section 2.1).
pub fn walk(bytes: &[u8], next_header: u8, end: usize) -> Chain {
    let bytes = &bytes[..end.min(bytes.len())];
    let (mut protocol, mut at, mut fragment) = (next_header, HEADER_LEN, None);
    for _ in 0..=MAX_EXTENSIONS {
        if !matches!(protocol, NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_FRAGMENT | NEXT_DESTINATION) {
            return Chain::Upper { protocol, at, first_fragment: fragment == Some(true) };
        }
        let cut_off = if fragment == Some(true) { Chain::CutOffInFirstFragment } else { Chain::Broken };
        let Some(extension) = bytes.get(at..).and_then(|rest| rest.first_chunk::<EXTENSION_UNIT>()) else {
            return cut_off;
        };
        let mut len = EXTENSION_UNIT;
        match protocol {
            NEXT_FRAGMENT => {
                let word = u16::from_be_bytes([extension[2], extension[3]]);
                if fragment.is_some() {
                    return Chain::Broken;
                }
                if word >> 3 != 0 {
                    return Chain::LaterFragment { protocol: extension[0], offset: word >> 3 };
                }
                // Offset 0 and nothing to follow is an atomic fragment: a whole datagram (RFC 6946 section 4).
                fragment = Some(word & MORE_FRAGMENTS != 0);
            }
            NEXT_ROUTING if extension[3] != 0 => return Chain::Routed,
            // Section 4.3: length in units of 8 bytes, the first not counted.
            _ => len += usize::from(extension[1]) * EXTENSION_UNIT,
        }
        (protocol, at) = (extension[0], at + len);
        if at > bytes.len() {
            return cut_off;
        }
        if at - HEADER_LEN > MAX_EXTENSION_BYTES {
            return Chain::Broken;
        }
    }
    Chain::Broken
}

/// Reads the datagram at the start of `bytes`; what follows its payload length is padding.
///
/// `Ok(None)` crosses untouched: other protocols and headers not looked behind, later fragments, fragmented ICMPv6,
/// TCP that a routing header is still leading elsewhere. A jumbogram claims 65536 bytes or more (RFC 2675 section 3),
/// which no frame of ours has: payload length 0 with hop-by-hop options is malformed.
#[inline]
pub fn datagram(bytes: &[u8]) -> Result<Option<Datagram>, Counter> {
    let header = Ipv6Header::view(bytes).ok_or(Counter::DropMalformedIpv6)?;
    if header.version() != 6 {
        return Err(Counter::DropMalformedIpv6);
    }
    let end = HEADER_LEN + usize::from(header.payload_len.get());
    let (protocol, l4, first_fragment) = match walk(bytes, header.next_header, end) {
        Chain::Upper { protocol, at, first_fragment } => (protocol, at, first_fragment),
        Chain::LaterFragment { protocol: ip::PROTOCOL_TCP, offset } if ip::overwrites_tcp_header(offset) => {
            return Err(Counter::DropTinyFragment);
        }
        Chain::LaterFragment { .. } | Chain::Routed => return Ok(None),
        Chain::CutOffInFirstFragment => return Err(Counter::DropTinyFragment),
        Chain::Broken => return Err(Counter::DropMalformedIpv6),
    };
    let sound = end <= bytes.len() && header.hop_limit != 0;
    let transport = match protocol {
        ip::PROTOCOL_TCP if end > bytes.len() => return Err(Counter::DropMalformedIpv6),
        ip::PROTOCOL_TCP if header.hop_limit == 0 => return Err(Counter::DropTtlZero),
        ip::PROTOCOL_TCP if header.source == header.destination => return Err(Counter::DropLand),
        ip::PROTOCOL_TCP => Transport::Tcp,
        ip::PROTOCOL_ICMPV6 if sound && !first_fragment => Transport::Icmp,
        _ => return Ok(None),
    };
    Ok(Some(Datagram { addresses: header.addresses(), transport, l4, end, first_fragment }))
}
