//! What routers say of a path that is too narrow, and what our own link takes.

use dataplane::flow::quad::{Addresses, Quad};
use dataplane::packet::IcmpError;

use crate::tcp::Family;

/// ICMP "fragmentation needed" (RFC 792, type 3 code 4) and ICMPv6 "packet too big" (RFC 4443, type 2).
const FRAGMENTATION_NEEDED: (u8, u8) = (3, 4);
const PACKET_TOO_BIG: u8 = 2;

/// ICMP "source quench" (RFC 792, type 4).
const SOURCE_QUENCH: u8 = 4;

/// RFC 6633: nobody may send one any more, and nobody heeds it (RFC 9293 section 3.9.2.2).
pub(crate) fn is_source_quench(error: &IcmpError) -> bool {
    family(&error.quad) == Family::V4 && error.kind == SOURCE_QUENCH
}

/// The IP version of a flow.
pub(super) fn family(quad: &Quad) -> Family {
    match quad.addresses {
        Addresses::V4(..) => Family::V4,
        Addresses::V6(..) => Family::V6,
    }
}

/// The largest MSS with which a segment fits `mtu` bytes of IP datagram.
pub(super) fn mss_within(mtu: u16, quad: &Quad) -> u16 {
    mtu.saturating_sub(family(quad).headers())
}

/// A router's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooBig {
    /// The next hop's MTU, bytes; 0 from a router that does not say it.
    pub(super) mtu: u32,
    /// Bytes of the datagram that it has dropped.
    pub(super) datagram: u16,
}

/// Reads a report; `None` for any other error.
pub(super) fn too_big(frame: &[u8], error: &IcmpError) -> Option<TooBig> {
    let icmp = frame.get(usize::from(error.l4)..)?;
    let word = |at: usize| icmp.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
    match (family(&error.quad), error.kind, error.code) {
        // RFC 1191 section 4: the next hop's MTU is the lower half of the second word. The quoted total length follows.
        (Family::V4, kind, code) if (kind, code) == FRAGMENTATION_NEEDED => {
            Some(TooBig { mtu: word(6)?.into(), datagram: word(8 + 2)? })
        }
        // RFC 4443 section 3.2: all 32 bits are the MTU. The quoted length leaves out the header of 40 bytes.
        (Family::V6, PACKET_TOO_BIG, _) => Some(TooBig {
            mtu: u32::from(word(4)?) << 16 | u32::from(word(6)?),
            datagram: word(8 + 4)?.saturating_add(40),
        }),
        _ => None,
    }
}
