//! What both versions of IP say about a datagram, and the protocol numbers that matter here.
//!
//! The rule for both: what is not TCP (or an ICMP error about it) crosses untouched, however odd, as long as it can be
//! told that it is not TCP. Only what gets interpreted is validated, and then strictly.

use std::net::IpAddr;

use crate::flow::quad::Addresses;

/// ICMP (RFC 792).
pub const PROTOCOL_ICMP: u8 = 1;
/// TCP (RFC 9293).
pub const PROTOCOL_TCP: u8 = 6;
/// ICMPv6 (RFC 4443).
pub const PROTOCOL_ICMPV6: u8 = 58;

/// The two explicit congestion notification bits of the traffic class (RFC 3168 section 5).
pub const ECN_MASK: u8 = 0x03;

/// ECN-capable transport, as a data sender says it (RFC 3168 section 5).
pub const ECT_0: u8 = 0x02;

/// Whether `address` may be one host's on a network: not unspecified, a group's, a loopback or broadcast.
pub const fn is_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !address.is_loopback() && !is_broadcast
}

/// A fragment offset, in units of 8 bytes, that no honest fragment of TCP has behind an acceptable first fragment.
///
/// RFC 1858 section 3.2 and RFC 3128 drop offset 1, which would overwrite the flags. A first fragment that holds the
/// TCP header takes at least 20 bytes, so 24, and the next one begins at 3 or later: offset 2, which would overwrite
/// checksum and urgent pointer, is just as forged. The same holds for IPv6 (RFC 5722 forbids overlaps altogether).
pub const fn overwrites_tcp_header(fragment_offset: u16) -> bool {
    matches!(fragment_offset, 1 | 2)
}

/// The transports that are interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp,
}

/// A datagram worth a look: whole, or the first fragment of TCP. Offsets are bytes from its IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Source → destination.
    pub addresses: Addresses,
    /// What it carries.
    pub transport: Transport,
    /// Start of the transport header; `l4 <= end`.
    pub l4: usize,
    /// End of the datagram; at most the bytes that there are.
    pub end: usize,
    /// More fragments follow.
    pub first_fragment: bool,
}
