//! How a SYN is refused out loud (seed 000: "verbosely reject"): RST, or an ICMP error about it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::buffer::Buffer;
use crate::flow::quad::Addresses;
use crate::packet::{IcmpError, TcpHeaders};
use crate::wire::icmp::{v4, v6};
use crate::wire::icmp_error;
use crate::wire::reset::reset_for;

/// What the client of a refused SYN gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rejection {
    /// RST, as from a host where nobody listens.
    #[default]
    Reset,
    /// An ICMP error for IPv4, an ICMPv6 error for IPv6.
    Icmp(IcmpRejection),
}

impl Rejection {
    /// Those that have names, in the words of the configuration.
    pub const NAMED: &[(&str, Rejection)] = &[
        ("reset", Rejection::Reset),
        ("net-unreachable", Rejection::icmp((v4::UNREACHABLE, 0), (v6::UNREACHABLE, 0))),
        ("host-unreachable", Rejection::icmp((v4::UNREACHABLE, 1), (v6::UNREACHABLE, 3))),
        ("port-unreachable", Rejection::icmp((v4::UNREACHABLE, 3), (v6::UNREACHABLE, 4))),
        // ICMPv6 knows one sort of prohibition.
        ("net-prohibited", Rejection::icmp((v4::UNREACHABLE, 9), (v6::UNREACHABLE, 1))),
        ("host-prohibited", Rejection::icmp((v4::UNREACHABLE, 10), (v6::UNREACHABLE, 1))),
        ("admin-prohibited", Rejection::icmp((v4::UNREACHABLE, 13), (v6::UNREACHABLE, 1))),
        ("ttl-exceeded", Rejection::icmp((v4::TIME_EXCEEDED, 0), (v6::TIME_EXCEEDED, 0))),
    ];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Rejection> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, rejection)| *rejection)
    }

    const fn icmp(v4: (u8, u8), v6: (u8, u8)) -> Rejection {
        Rejection::Icmp(IcmpRejection { v4, v6, from_v4: None, from_v6: None })
    }
}

impl fmt::Display for Rejection {
    /// `host-unreachable`, or `ICMP 3/2 and ICMPv6 1/4`; and who says so: `... from 192.0.2.1, 2001:db8::1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rejection::Icmp(error) = self else { return f.write_str("reset") };
        let said_by_nobody = Rejection::icmp(error.v4, error.v6);
        match Self::NAMED.iter().find(|(_, named)| *named == said_by_nobody) {
            Some((name, _)) => f.write_str(name)?,
            None => {
                let ((kind, code), (kind6, code6)) = (error.v4, error.v6);
                write!(f, "ICMP {kind}/{code} and ICMPv6 {kind6}/{code6}")?;
            }
        }
        match (error.from_v4, error.from_v6) {
            (Some(v4), Some(v6)) => write!(f, " from {v4}, {v6}"),
            (Some(v4), None) => write!(f, " from {v4}"),
            (None, Some(v6)) => write!(f, " from {v6}"),
            (None, None) => Ok(()),
        }
    }
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

impl IcmpRejection {
    /// Both errors can be the answer to a SYN that had nothing wrong with it ([`is_answer_v4`], [`is_answer_v6`]).
    pub const fn fits(&self) -> bool {
        is_answer_v4(self.v4.0, self.v4.1) && is_answer_v6(self.v6.0, self.v6.1)
    }
}

/// Whether an ICMP error can say to the sender of an unfragmented datagram without fault that it goes no further: what is
/// unreachable (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1), and a TTL that has run out.
///
/// "Fragmentation needed" asks for something smaller, "source quench" for patience; "redirect" names another way;
/// "reassembly time exceeded" and "parameter problem" are about another sort of datagram.
pub const fn is_answer_v4(kind: u8, code: u8) -> bool {
    match kind {
        v4::UNREACHABLE => code <= 15 && code != v4::CODE_FRAGMENTATION_NEEDED,
        v4::TIME_EXCEEDED => code == 0,
        _ => false,
    }
}

/// The same for ICMPv6 (RFC 4443 section 3). Codes from 7 on are about routing headers and long header chains (RFC 6550,
/// RFC 8883).
pub const fn is_answer_v6(kind: u8, code: u8) -> bool {
    match kind {
        v6::UNREACHABLE => code <= 6,
        v6::TIME_EXCEEDED => code == 0,
        _ => false,
    }
}

/// Whether an error about a SYN says that it goes no further. One that names another way or a smaller MTU does not: its
/// addressee heeds it and goes on.
pub const fn ends_attempt(error: &IcmpError) -> bool {
    match (error.quad.addresses, error.kind) {
        (Addresses::V4(..), v4::UNREACHABLE) => error.code != v4::CODE_FRAGMENTATION_NEEDED,
        (Addresses::V4(..), v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM) => true,
        (Addresses::V4(..), _) => false,
        (Addresses::V6(..), kind) => kind != v6::TOO_BIG,
    }
}

/// Turns the frame that `headers` were read from into the answer that refuses it, for the port where it came in.
///
/// `None`, and the frame in an unspecified state, for what is never answered ([`reset_for`],
/// [`icmp_error::refusal_len`]), and when the buffer has no room for the headers of an ICMP error.
pub fn refuse(frame: &mut impl Buffer, headers: &TcpHeaders, rejection: &Rejection) -> Option<()> {
    let len = match rejection {
        Rejection::Reset => reset_for(frame.bytes_mut(), headers)?,
        Rejection::Icmp(icmp) => {
            let len = icmp_error::refusal_len(frame.bytes(), headers)?;
            if let Some(missing) = len.checked_sub(frame.bytes().len()) {
                frame.extend(missing)?;
            }
            icmp_error::refuse_in_place(frame.bytes_mut(), headers, icmp)?
        }
    };
    frame.truncate(len);
    Some(())
}
