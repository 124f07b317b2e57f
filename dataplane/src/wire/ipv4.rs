//! IPv4 headers (RFC 791).
//!
//! No input panics: views are built from slices that are long enough, or not at all.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{self, Sum};
use super::ip::{self, Datagram, Transport};
use crate::counters::Counter;
use crate::flow::quad::Addresses;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Do not fragment, in the flags and fragment offset word.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments follow.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset in that word, units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// End of the option list; no operation (RFC 791 section 3.1).
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
/// Loose and strict source route.
const OPTION_LSRR: u8 = 131;
const OPTION_SSRR: u8 = 137;

/// The fixed part of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    version_ihl: u8,
    /// DSCP (6 bits) and ECN (2 bits).
    pub traffic_class: u8,
    /// Header and payload, bytes.
    pub total_len: U16,
    /// Names the datagram that a fragment belongs to, together with addresses and protocol.
    pub id: U16,
    /// [`DONT_FRAGMENT`], [`MORE_FRAGMENTS`], [`OFFSET_MASK`].
    pub flags_offset: U16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol number.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: U16,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

impl Ipv4Header {
    /// The fixed header at the start of `bytes`, nothing of it checked.
    pub fn view(bytes: &[u8]) -> Option<&Ipv4Header> {
        Some(Self::ref_from_prefix(bytes).ok()?.0)
    }

    /// The fixed header at the start of `bytes`, mutable.
    pub fn view_mut(bytes: &mut [u8]) -> Option<&mut Ipv4Header> {
        Some(Self::mut_from_prefix(bytes).ok()?.0)
    }

    /// IP version.
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Header with options, bytes: 0–60, valid from 20.
    pub const fn header_len(&self) -> usize {
        (self.version_ihl & 0x0f) as usize * 4
    }

    /// Version 4, no options, no fragment.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.version_ihl == 0x45 && self.flags_offset.get() & (MORE_FRAGMENTS | OFFSET_MASK) == 0
    }

    /// Whether a header without options sums up right. As [`checksum::is_valid`], which does not know its length; of a header
    /// with a version, so that its sum is not 0.
    #[inline]
    pub fn is_checksum_valid(&self) -> bool {
        let words: [[u8; 4]; 5] = zerocopy::transmute!(*self);
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        // A sum that folds to 0xffff is a multiple of it, in either byte order: asked by one multiplication instead of two folds.
        sum.is_multiple_of(0xffff)
    }

    /// Both addresses.
    pub const fn addresses(&self) -> Addresses {
        Addresses::V4(self.source, self.destination)
    }

    /// More fragments follow.
    pub fn more_fragments(&self) -> bool {
        self.flags_offset.get() & MORE_FRAGMENTS != 0
    }

    /// Fragment offset, units of 8 bytes.
    pub fn fragment_offset(&self) -> u16 {
        self.flags_offset.get() & OFFSET_MASK
    }

    /// Writes the checksum of a header without options.
    pub fn fill_checksum(&mut self) {
        self.checksum.set(0);
        self.checksum.set(Sum::of(self.as_bytes()).checksum());
    }

    /// Sets the TTL and updates the checksum by it (RFC 1624).
    pub fn set_ttl(&mut self, ttl: u8) {
        let word = |ttl: u8| u16::from_be_bytes([ttl, self.protocol]);
        self.checksum.set(checksum::update_u16(self.checksum.get(), word(self.ttl), word(ttl)));
        self.ttl = ttl;
    }
}

/// An option-free, unfragmented header as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// Protocol number.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Bytes behind the header.
    pub payload_len: u16,
}

impl Ipv4Repr {
    /// The header: DF set, and therefore ID 0 (RFC 6864 section 4.1); checksum filled in. It is added up word by word, as it is put
    /// together: what is read again from where it has just been written, and in larger pieces, has to be waited for.
    #[inline(always)]
    pub fn header(&self) -> Ipv4Header {
        let Ipv4Repr { source, destination, protocol, ttl, traffic_class, payload_len } = *self;
        let [high, low] = payload_len.saturating_add(HEADER_LEN as u16).to_be_bytes();
        let [flags, offset] = DONT_FRAGMENT.to_be_bytes();
        let (length, fragment) = ([0x45, traffic_class, high, low], [0, 0, flags, offset]);
        let sum = Sum::of_words(&[length, fragment, [ttl, protocol, 0, 0], source, destination]);
        let [a, b] = sum.checksum().to_be_bytes();
        zerocopy::transmute!([length, fragment, [ttl, protocol, a, b], source, destination])
    }
}

/// Reads the datagram at the start of `bytes`; what follows its total length is padding.
///
/// `Ok(None)` crosses untouched: other protocols, damaged or fragmented ICMP, later fragments, and TCP that a source
/// route is still leading elsewhere. The first fragment's TCP header is for `tcp::segment` to check.
#[inline]
pub fn datagram(bytes: &[u8]) -> Result<Option<Datagram>, Counter> {
    let header = Ipv4Header::view(bytes).ok_or(Counter::DropMalformedIpv4)?;
    if header.version() != 4 {
        return Err(Counter::DropMalformedIpv4);
    }
    match header.protocol {
        ip::PROTOCOL_TCP => tcp_datagram(bytes, header),
        ip::PROTOCOL_ICMP => Ok(icmp_datagram(bytes, header)),
        _ => Ok(None),
    }
}

#[inline]
fn tcp_datagram(bytes: &[u8], header: &Ipv4Header) -> Result<Option<Datagram>, Counter> {
    let (header_len, end) = lengths(bytes, header).ok_or(Counter::DropMalformedIpv4)?;
    if !checksum::is_valid(&bytes[..header_len]) {
        return Err(Counter::DropIpv4Checksum);
    }
    if header.ttl == 0 {
        return Err(Counter::DropTtlZero);
    }
    // The land attack is the same port too; but no two hosts share an address, so nothing honest is lost without it.
    if header.source == header.destination {
        return Err(Counter::DropLand);
    }
    match header.fragment_offset() {
        0 => {}
        offset if ip::overwrites_tcp_header(offset) => return Err(Counter::DropTinyFragment),
        _ => return Ok(None),
    }
    if header_len > HEADER_LEN && is_source_routed(&bytes[HEADER_LEN..header_len]) {
        return Ok(None);
    }
    Ok(Some(Datagram {
        addresses: header.addresses(),
        transport: Transport::Tcp,
        l4: header_len,
        end,
        first_fragment: header.more_fragments(),
    }))
}

/// A whole ICMP message in a sound header; anything less is not for us to judge.
fn icmp_datagram(bytes: &[u8], header: &Ipv4Header) -> Option<Datagram> {
    let (l4, end) = lengths(bytes, header)?;
    let whole = header.fragment_offset() == 0 && !header.more_fragments();
    (whole && header.ttl != 0 && checksum::is_valid(&bytes[..l4])).then(|| Datagram {
        addresses: header.addresses(),
        transport: Transport::Icmp,
        l4,
        end,
        first_fragment: false,
    })
}

/// Header length and total length when they fit each other and `bytes` (RFC 791 section 3.1).
#[inline]
fn lengths(bytes: &[u8], header: &Ipv4Header) -> Option<(usize, usize)> {
    let (header_len, total_len) = (header.header_len(), usize::from(header.total_len.get()));
    (header_len >= HEADER_LEN && header_len <= total_len && total_len <= bytes.len())
        .then_some((header_len, total_len))
}

/// Whether the destination is only the next stop of a source route (RFC 791 section 3.1): then it names no quad.
fn is_source_routed(mut options: &[u8]) -> bool {
    loop {
        options = match *options {
            [] | [OPTION_END, ..] => return false,
            [OPTION_NOP, ref rest @ ..] => rest,
            // The pointer counts from 1; beyond the option's length the route is used up.
            [OPTION_LSRR | OPTION_SSRR, len, pointer, ..] => return pointer <= len,
            [_, len, ..] if len >= 2 => options.get(usize::from(len)..).unwrap_or(&[]),
            _ => return false,
        }
    }
}
