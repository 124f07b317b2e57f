//! Addresses and ports of a segment, or of what an ICMP error quotes, become those of the flow's other side.
//!
//! All checksums follow by what changed (RFC 1624): what was corrupt stays exactly as corrupt. TTL and everything else
//! stay as they came. Both quads are of one family.

use crate::flow::quad::{Addresses, Quad};
use crate::packet::{IcmpError, TcpHeaders};
use crate::wire::checksum::Update;
use crate::wire::icmp::update_checksum;

/// Offset of the addresses in either version's header, and of the header checksum of IPv4.
const V4_ADDRESSES: usize = 12;
const V6_ADDRESSES: usize = 8;
const V4_CHECKSUM: usize = 10;
/// The checksum in a TCP header.
const TCP_CHECKSUM: usize = 16;

/// Gives the segment at `headers` in `frame` the source and destination of `to`.
pub fn segment(frame: &mut [u8], headers: &TcpHeaders, to: &Quad) {
    let Some(datagram) = frame.get_mut(usize::from(headers.l3)..usize::from(headers.end)) else { return };
    let mut edits = set_addresses(datagram, &to.addresses);
    let Some(tcp) = datagram.get_mut(usize::from(headers.l4 - headers.l3)..) else { return };
    edits.merge(set_ports(tcp, to));
    update_field(tcp, TCP_CHECKSUM, edits);
}

/// Has an ICMP error about a segment of `error.quad` quote one of `to`: it goes to the sender of that, on the other side
/// of the flow. Who reports stays who it was, unless it is the quoted segment's own destination: that, too, is known
/// there by another address.
pub fn icmp_error(frame: &mut [u8], error: &IcmpError, to: &Quad) {
    let Some(datagram) = frame.get_mut(usize::from(error.l3)..usize::from(error.end)) else { return };
    let outer = outer_addresses(datagram, error, to);
    let header_len = usize::from(error.l4 - error.l3);
    // Both addresses are in the pseudo-header over which ICMPv6 is summed up (RFC 4443 section 2.3); ICMP has none.
    let moved = set_addresses(datagram, &outer);
    let mut whole = if matches!(outer, Addresses::V6(..)) { moved } else { Update::NONE };
    let Some(message) = datagram.get_mut(header_len..) else { return };
    let quoted_l4 = usize::from(error.quoted_l4 - error.l4);
    let Some(quote) = message.get_mut(crate::wire::icmp::HEADER_LEN..) else { return };
    // All of the quote begins at even offsets of the message: what an edit does to a sum, it does to that of the message.
    let v4_checksum = |quote: &[u8]| field(quote, V4_CHECKSUM).unwrap_or_default();
    let (is_v4, before) = (matches!(to.addresses, Addresses::V4(..)), v4_checksum(quote));
    let mut edits = set_addresses(quote, &to.addresses);
    if is_v4 {
        whole.word16(before, v4_checksum(quote));
    }
    let Some(tcp) = message.get_mut(quoted_l4..) else { return };
    edits.merge(set_ports(tcp, to));
    whole.merge(edits);
    if let Some(old) = field(tcp, TCP_CHECKSUM) {
        update_field(tcp, TCP_CHECKSUM, edits);
        whole.word16(old, field(tcp, TCP_CHECKSUM).unwrap_or_default());
    }
    update_checksum(message, whole);
}

/// Source and destination of the error itself on the other side.
fn outer_addresses(datagram: &[u8], error: &IcmpError, to: &Quad) -> Addresses {
    match (to.addresses, error.quad.addresses) {
        (Addresses::V4(sender, receiver), Addresses::V4(_, was)) => {
            let reporter = address::<4>(datagram, V4_ADDRESSES);
            Addresses::V4(if reporter == was { receiver } else { reporter }, sender)
        }
        (Addresses::V6(sender, receiver), Addresses::V6(_, was)) => {
            let reporter = address::<16>(datagram, V6_ADDRESSES);
            Addresses::V6(if reporter == was { receiver } else { reporter }, sender)
        }
        (other, _) => other,
    }
}

/// Writes both addresses of the IP header at the start of `datagram`, and the header checksum of IPv4. Returns what that
/// does to a sum over the pseudo-header.
fn set_addresses(datagram: &mut [u8], to: &Addresses) -> Update {
    match to {
        Addresses::V4(source, destination) => {
            let mut edits = replace(datagram, V4_ADDRESSES, source);
            edits.merge(replace(datagram, V4_ADDRESSES + source.len(), destination));
            update_field(datagram, V4_CHECKSUM, edits);
            edits
        }
        Addresses::V6(source, destination) => {
            let mut edits = replace(datagram, V6_ADDRESSES, source);
            edits.merge(replace(datagram, V6_ADDRESSES + source.len(), destination));
            edits
        }
    }
}

fn set_ports(tcp: &mut [u8], to: &Quad) -> Update {
    let [a, b] = to.client_port.to_be_bytes();
    let [c, d] = to.server_port.to_be_bytes();
    replace(tcp, 0, &[a, b, c, d])
}

/// Replaces whole 32-bit words at an even offset, as far as they are there.
fn replace(bytes: &mut [u8], at: usize, with: &[u8]) -> Update {
    let mut edits = Update::NONE;
    let Some(place) = bytes.get_mut(at..at + with.len()) else { return edits };
    for (place, with) in place.as_chunks_mut::<4>().0.iter_mut().zip(with.as_chunks::<4>().0) {
        edits.word32(u32::from_be_bytes(*place), u32::from_be_bytes(*with));
        *place = *with;
    }
    edits
}

fn field(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn update_field(bytes: &mut [u8], at: usize, edits: Update) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *place = edits.apply(u16::from_be_bytes(*place)).to_be_bytes();
    }
}

fn address<const N: usize>(datagram: &[u8], at: usize) -> [u8; N] {
    datagram.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests;
