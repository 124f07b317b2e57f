//! The RST that refuses a segment, made in place from the segment itself (RFC 9293 section 3.10.7.1).
//!
//! No input panics; the frame never grows (invariant 5: no amplifier).

use std::net::{Ipv4Addr, Ipv6Addr};

use zerocopy::IntoBytes;

use super::build::Below;
use super::checksum::Sum;
use super::ethernet::EthernetHeader;
use super::ip;
use super::seq::Seq;
use super::tcp::{self, TcpHeader};
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
    let (seq, ack, flags) = if headers.flags.ack() {
        (headers.ack, Seq(0), TcpFlags::RST)
    } else {
        (Seq(0), headers.seq.advance(headers.sequence_len()), TcpFlags::RST | TcpFlags::ACK)
    };
    let quad = headers.quad.reversed();
    let mut reset = TcpHeader::bare(quad.client_port, quad.server_port, seq, ack, flags);
    let sum = Sum::pseudo_header(&quad.addresses, ip::PROTOCOL_TCP, tcp::HEADER_LEN as u32);
    reset.checksum.set((sum + Sum::of(reset.as_bytes())).checksum());

    // Fixed headers only: no longer than the headers that were parsed from this frame.
    let l3 = usize::from(headers.l3);
    let datagram = frame.get_mut(l3..)?;
    let below = Below { ttl: TTL, ..Below::learn(datagram, &quad.addresses)? };
    let l4 = l3 + below.emit(&quad.addresses, tcp::HEADER_LEN as u16, datagram)?;
    reset.write_to_prefix(frame.get_mut(l4..)?).ok()?;
    EthernetHeader::view_mut(frame)?.swap_addresses();
    Some(l4 + tcp::HEADER_LEN)
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
    match *addresses {
        Addresses::V4(source, destination) => [source, destination].iter().any(|ip| {
            let ip = Ipv4Addr::from(*ip);
            ip.is_multicast() || ip.is_unspecified() || ip.is_broadcast()
        }),
        Addresses::V6(source, destination) => [source, destination].iter().any(|ip| {
            let ip = Ipv6Addr::from(*ip);
            ip.is_multicast() || ip.is_unspecified()
        }),
    }
}

#[cfg(test)]
mod tests;
