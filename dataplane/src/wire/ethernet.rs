//! Ethernet II frames, and where the payload begins behind the VLAN tags.
//!
//! No input panics: views are built from slices that are long enough, or not at all.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::vlan;
use crate::counters::Counter;
use crate::flow::quad::Segment;

/// Bytes of an untagged header.
pub const HEADER_LEN: usize = 14;
/// Bytes of a MAC address.
pub const ADDRESS_LEN: usize = 6;
/// IPv4 (RFC 894).
pub const TYPE_IPV4: u16 = 0x0800;
/// IPv6 (RFC 2464 section 3).
pub const TYPE_IPV6: u16 = 0x86dd;

/// A header, destination first; what follows `ethertype` is a VLAN tag or the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    /// Destination MAC.
    pub destination: [u8; ADDRESS_LEN],
    /// Source MAC.
    pub source: [u8; ADDRESS_LEN],
    /// EtherType, or the length of an 802.3 frame when below 0x600.
    pub ethertype: U16,
}

impl EthernetHeader {
    /// The header at the start of `frame`.
    pub fn view(frame: &[u8]) -> Option<&EthernetHeader> {
        Some(Self::ref_from_prefix(frame).ok()?.0)
    }

    /// The header at the start of `frame`, mutable.
    pub fn view_mut(frame: &mut [u8]) -> Option<&mut EthernetHeader> {
        Some(Self::mut_from_prefix(frame).ok()?.0)
    }

    /// The source is a group address, which no station has.
    pub const fn is_from_group(&self) -> bool {
        self.source[0] & 1 != 0
    }

    /// The destination is a group address (multicast or broadcast).
    pub const fn is_to_group(&self) -> bool {
        self.destination[0] & 1 != 0
    }

    /// Turns the frame round.
    pub const fn swap_addresses(&mut self) {
        std::mem::swap(&mut self.destination, &mut self.source);
    }
}

/// What the link layer says: the payload's type, and the segment that it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// EtherType behind all tags that were read.
    pub ethertype: u16,
    /// Where the payload begins; at most [`vlan::MAX_LINK_LEN`].
    pub l3: usize,
    /// VLAN ids, pair 0.
    pub segment: Segment,
}

/// Reads the header and up to [`vlan::MAX_TAGS`] tags. A deeper tag stays in `ethertype`: an unknown type to the caller.
///
/// `Err` is [`Counter::DropMalformedEthernet`]: the frame ends within the header or a tag.
#[inline]
pub fn link(frame: &[u8]) -> Result<Link, Counter> {
    let header = EthernetHeader::view(frame).ok_or(Counter::DropMalformedEthernet)?;
    let ethertype = header.ethertype.get();
    if !vlan::is_tag(ethertype) {
        return Ok(Link { ethertype, l3: HEADER_LEN, segment: Segment(0) });
    }
    vlan::tagged(frame, ethertype)
}
