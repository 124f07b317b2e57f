//! The RST that refuses a segment, made in place from the segment itself (RFC 9293 section 3.10.7.1).
//!
//! No input panics; the frame never grows (invariant 5: no amplifier).

use super::build::FrameTemplate;
use super::ethernet::EthernetHeader;
use super::seq::Seq;
use super::tcp::TcpRepr;
use super::tcp_flags::TcpFlags;
use crate::flow::quad::Addresses;
use crate::packet::TcpHeaders;

/// TTL of a RST that speaks for an endpoint never seen (RFC 1700's recommended default, and Linux's).
pub const TTL: u8 = 64;

/// Turns the frame that `headers` were read from into the RST that answers it, and returns the new length.
///
/// `None`, and the frame as it was, for what is never answered: a RST (RFC 9293 section 3.10.7.1), a first fragment
/// (the segment's length is unknown), and a segment from or to a group of hosts (RFC 1122 section 4.2.3.10).
///
/// MACs, addresses and ports are swapped, VLAN tags, DSCP and flow label kept; IP options, extension headers, TCP
/// options and payload go.
pub fn reset_for(frame: &mut [u8], headers: &TcpHeaders) -> Option<usize> {
    if headers.flags.rst() || headers.first_fragment || !is_between_hosts(frame, headers) {
        return None;
    }
    let mut template = FrameTemplate::learn(frame, headers);
    template.quad = template.quad.reversed();
    template.ttl = TTL;
    EthernetHeader::view_mut(&mut template.ethernet)?.swap_addresses();

    let reset = TcpRepr { flags: TcpFlags::RST, ..TcpRepr::default() };
    let reset = if headers.flags.ack() {
        TcpRepr { seq: headers.ack, ..reset }
    } else {
        let ack = headers.seq.advance(headers.sequence_len());
        TcpRepr { seq: Seq(0), ack, flags: TcpFlags::RST | TcpFlags::ACK, ..reset }
    };
    // Fixed headers only: no longer than the headers that were parsed from this frame.
    let len = template.emit(&reset, 0, frame)?;
    template.fill_checksum(&mut frame[..len]);
    Some(len)
}

/// The segment comes from one host and goes to one, and no other host got it: nobody answers any other (RFC 9293 section
/// 3.9.2.3).
pub fn is_between_hosts(frame: &[u8], headers: &TcpHeaders) -> bool {
    !is_to_group(frame) && !is_of_group(&headers.quad.addresses)
}

/// The frame goes to several hosts, whatever the addresses in it say: a cluster that shares a multicast MAC, for example.
pub fn is_to_group(frame: &[u8]) -> bool {
    EthernetHeader::view(frame).is_none_or(EthernetHeader::is_to_group)
}

/// Source or destination is a multicast, limited broadcast or unspecified address.
pub fn is_of_group(addresses: &Addresses) -> bool {
    let nobody = |ip: std::net::IpAddr| {
        let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
        ip.is_multicast() || ip.is_unspecified() || broadcast
    };
    nobody(addresses.source()) || nobody(addresses.destination())
}

#[cfg(test)]
mod tests;
