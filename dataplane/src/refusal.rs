//! How a SYN is refused out loud (seed 000: "verbosely reject"): RST, or an ICMP error about it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What the client of a refused SYN gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rejection {
    /// RST, as from a host where nobody listens.
    #[default]
    Reset,
    /// An ICMP error for IPv4, an ICMPv6 error for IPv6.
    Icmp(IcmpRejection),
}

/// An error for either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IcmpRejection {
    /// ICMP type and code (RFC 792).
    pub v4: (u8, u8),
    /// ICMPv6 type and code (RFC 4443).
    pub v6: (u8, u8),
    /// Who says so; the SYN's destination unless given.
    pub from_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub from_v6: Option<Ipv6Addr>,
}
