//! ICMP (RFC 792) and ICMPv6 (RFC 4443) errors about a TCP segment: those that we make, and those of others made to
//! quote the segment that their addressee has sent.
//!
//! No input panics; what no host sends an error about is refused.

use zerocopy::IntoBytes;

use super::ethernet::EthernetHeader;
use super::icmp::{self, HEADER_LEN};
use super::ip;
use super::ipv4::{self, Ipv4Header, Ipv4Repr};
use super::ipv6::{self, Ipv6Header, Ipv6Repr};
use super::reset::{TTL, is_between_hosts};
use crate::flow::quad::Addresses;
use crate::packet::{IcmpError, TcpHeaders};
use crate::refusal::IcmpRejection;

/// The longest ICMP error, bytes of IP datagram (RFC 1812 section 4.3.2.3).
const LONGEST_V4: usize = 576;
/// The longest ICMPv6 error: the minimum MTU of IPv6 (RFC 4443 section 2.4 (c)).
const LONGEST_V6: usize = 1280;
/// Precedence of an ICMP error, the upper three bits of the type of service: internetwork control (RFC 1812 section
/// 4.3.2.5). Its other bits are those of the datagram that it is about.
const INTERNETWORK_CONTROL: u8 = 0xc0;
const PRECEDENCE_MASK: u8 = 0xe0;

/// All of an error in front of what it quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repr {
    /// ICMP type.
    kind: u8,
    /// ICMP code.
    code: u8,
    /// What stands behind the checksum: unused, a pointer, or an MTU.
    rest: [u8; 4],
    /// Who says it → who sent the segment.
    addresses: Addresses,
    ttl: u8,
    traffic_class: u8,
    /// IPv4: the identification, and the word of flags behind it.
    id: u16,
    flags: u16,
    /// IPv6.
    flow_label: u32,
}

impl Repr {
    /// An error of our own: whole or not at all, like every datagram that we make.
    const fn ours(code: (u8, u8), addresses: Addresses, traffic_class: u8) -> Repr {
        let (kind, code) = code;
        let (rest, ttl, id, flags, flow_label) = ([0; 4], TTL, 0, ipv4::DONT_FRAGMENT, 0);
        Repr { kind, code, rest, addresses, ttl, traffic_class, id, flags, flow_label }
    }
}

/// Bytes of the frame that says that the segment in `frame` is refused: IP and ICMP headers between the frame's own link
/// header and as much of its datagram as fits (RFC 1812 section 4.3.2.3, RFC 4443 section 3.1).
///
/// `None` for what no error is sent about (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)): a segment from or to a group
/// of hosts, or from an address of no host. Errors and later fragments never come as far as having `headers`. A RST, which
/// wants no answer, gets none here either.
pub fn refusal_len(frame: &[u8], headers: &TcpHeaders) -> Option<usize> {
    if headers.flags.rst()
        || headers.quad.addresses.source().is_loopback()
        || !is_between_hosts(frame, headers)
    {
        return None;
    }
    let l3 = usize::from(headers.l3);
    let datagram = usize::from(headers.end).min(frame.len()).checked_sub(l3)?;
    Some(quote_at(l3, &headers.quad.addresses) + datagram.min(longest_quote(&headers.quad.addresses)))
}

/// Turns the frame that `headers` were read from into the error that refuses it. The frame has been made as long as
/// [`refusal_len`] says or longer; that is the length of the error, too.
///
/// `None`, and the frame in an unspecified state, where [`refusal_len`] says so, when the frame is shorter, or when the
/// error is none that can answer a SYN.
///
/// MACs are swapped, VLAN tags kept. It comes from the segment's destination unless `rejection` names another address.
pub fn refuse_in_place(frame: &mut [u8], headers: &TcpHeaders, rejection: &IcmpRejection) -> Option<usize> {
    let len = refusal_len(frame, headers)?;
    let frame = frame.get_mut(..len)?;
    let l3 = usize::from(headers.l3);
    let (code, addresses, traffic_class) = match headers.quad.addresses {
        Addresses::V4(source, destination) => {
            let said_by = rejection.from_v4.map_or(destination, |address| address.octets());
            let service = Ipv4Header::view(frame.get(l3..)?)?.traffic_class;
            let class = service & !PRECEDENCE_MASK & !ip::ECN_MASK | INTERNETWORK_CONTROL;
            (rejection.v4, Addresses::V4(said_by, source), class)
        }
        Addresses::V6(source, destination) => {
            let said_by = rejection.from_v6.map_or(destination, |address| address.octets());
            (rejection.v6, Addresses::V6(said_by, source), 0)
        }
    };
    if !rejection.fits() {
        return None;
    }
    let at = quote_at(l3, &addresses);
    frame.copy_within(l3..l3 + len - at, at);
    EthernetHeader::view_mut(frame)?.swap_addresses();
    write_headers(frame, l3, &Repr::ours(code, addresses, traffic_class))?;
    Some(len)
}

/// Writes to `out` the error of somebody else's in `frame`, about a SYN that we have sent, as its client would have got it
/// about its own: that is the segment in `syn_frame`. Returns the length.
///
/// Type, code, what follows them, sender, TTL, type of service and flow label stay. The client's segment is quoted verbatim, as far
/// as the error quoted ours, with the TTL that ours had left. Extensions behind the quotation (RFC 4884) go: nothing says
/// that they hold for another datagram.
///
/// `None` when the two are of different families, or `out` has no room.
pub fn requote(
    frame: &[u8],
    error: &IcmpError,
    syn_frame: &[u8],
    syn: &TcpHeaders,
    out: &mut [u8],
) -> Option<usize> {
    let (l3, l4, end) = (usize::from(error.l3), usize::from(error.l4), usize::from(error.end));
    let message = frame.get(l4..end)?;
    let theirs = message.get(HEADER_LEN..)?;
    let datagram = syn_frame.get(usize::from(syn.l3)..usize::from(syn.end))?;
    let (mut repr, quoted_ttl) = repeat(frame.get(l3..)?, message, &syn.quad.addresses)?;
    // What the server says whom we have asked instead, the client hears from the one whom it has asked.
    if repr.addresses.source() == error.quad.addresses.destination() {
        repr.addresses = syn.quad.addresses.reversed();
    }
    let up_to_tcp = usize::from(syn.l4 - syn.l3);
    let quoted_tcp = theirs.len() - (usize::from(error.quoted_l4) - l4 - HEADER_LEN).min(theirs.len());
    let quote_len = if is_whole(theirs, &repr.addresses) { datagram.len() } else { up_to_tcp + quoted_tcp };
    let quote_len = quote_len.min(datagram.len()).min(longest_quote(&repr.addresses));

    // The error has come to the client's link address, unless our SYN had another address or tag than the client's own.
    let same_tags = error.segment.vlans() == syn.segment.vlans();
    let is_addressed = same_tags && error.quad.addresses.source() == syn.quad.addresses.source();
    let link = if is_addressed { frame.get(..l3)? } else { syn_frame.get(..usize::from(syn.l3))? };
    out.get_mut(..link.len())?.copy_from_slice(link);
    if !is_addressed {
        EthernetHeader::view_mut(out)?.swap_addresses();
    }
    let at = quote_at(link.len(), &repr.addresses);
    let out = out.get_mut(..at + quote_len)?;
    out[at..].copy_from_slice(&datagram[..quote_len]);
    match repr.addresses {
        Addresses::V4(..) => Ipv4Header::view_mut(&mut out[at..])?.set_ttl(quoted_ttl),
        Addresses::V6(..) => Ipv6Header::view_mut(&mut out[at..])?.hop_limit = quoted_ttl,
    }
    write_headers(out, link.len(), &repr)?;
    Some(out.len())
}

/// The headers of an error, `datagram` from its IP header on, as they are for a client whose segment goes between
/// `addresses`; and the TTL of what it quotes.
fn repeat(datagram: &[u8], message: &[u8], addresses: &Addresses) -> Option<(Repr, u8)> {
    let (header, quote) = message.split_first_chunk::<HEADER_LEN>()?;
    let [kind, code, _, _, rest @ ..] = *header;
    let mut repr = Repr { rest, ..Repr::ours((kind, code), *addresses, 0) };
    match *addresses {
        Addresses::V4(client, _) => {
            let outer = Ipv4Header::view(datagram).filter(|header| header.version() == 4)?;
            (repr.ttl, repr.traffic_class) = (outer.ttl, outer.traffic_class);
            // One comes in for one that goes out: its identification is as good as it was.
            (repr.id, repr.flags) = (outer.id.get(), outer.flags_offset.get());
            repr.addresses = Addresses::V4(outer.source, client);
            // RFC 4884 section 4.1 to 4.3: the length of a quotation with extensions behind it.
            if matches!(kind, icmp::v4::UNREACHABLE | icmp::v4::TIME_EXCEEDED | icmp::v4::PARAMETER_PROBLEM) {
                repr.rest[1] = 0;
            }
            Some((repr, Ipv4Header::view(quote)?.ttl))
        }
        Addresses::V6(client, _) => {
            let outer = Ipv6Header::view(datagram).filter(|header| header.version() == 6)?;
            (repr.ttl, repr.traffic_class) = (outer.hop_limit, outer.traffic_class());
            repr.flow_label = outer.flow_label();
            repr.addresses = Addresses::V6(outer.source, client);
            // RFC 4884 section 4.4 and 4.5.
            if matches!(kind, icmp::v6::UNREACHABLE | icmp::v6::TIME_EXCEEDED) {
                repr.rest[0] = 0;
            }
            Some((repr, Ipv6Header::view(quote)?.hop_limit))
        }
    }
}

/// Whether the whole of a datagram is quoted.
fn is_whole(quote: &[u8], addresses: &Addresses) -> bool {
    match addresses {
        Addresses::V4(..) => {
            Ipv4Header::view(quote).is_some_and(|header| usize::from(header.total_len.get()) <= quote.len())
        }
        Addresses::V6(..) => Ipv6Header::view(quote)
            .is_some_and(|header| usize::from(header.payload_len.get()) + ipv6::HEADER_LEN <= quote.len()),
    }
}

const fn ip_header_len(addresses: &Addresses) -> usize {
    match addresses {
        Addresses::V4(..) => ipv4::HEADER_LEN,
        Addresses::V6(..) => ipv6::HEADER_LEN,
    }
}

/// Where the quotation begins in an error whose IP header begins at `l3`.
const fn quote_at(l3: usize, addresses: &Addresses) -> usize {
    l3 + ip_header_len(addresses) + HEADER_LEN
}

const fn longest_quote(addresses: &Addresses) -> usize {
    let longest = match addresses {
        Addresses::V4(..) => LONGEST_V4,
        Addresses::V6(..) => LONGEST_V6,
    };
    longest - ip_header_len(addresses) - HEADER_LEN
}

/// Fills in all between the link header and the quotation, which stands in its place up to the end of `frame`.
fn write_headers(frame: &mut [u8], l3: usize, repr: &Repr) -> Option<()> {
    let l4 = l3 + ip_header_len(&repr.addresses);
    let message = frame.get_mut(l4..)?;
    let payload_len = u16::try_from(message.len()).ok()?;
    let header = message.first_chunk_mut::<HEADER_LEN>()?;
    *header = [repr.kind, repr.code, 0, 0, repr.rest[0], repr.rest[1], repr.rest[2], repr.rest[3]];
    icmp::fill_checksum(message, &repr.addresses);
    let Repr { ttl, traffic_class, .. } = *repr;
    let out = frame.get_mut(l3..l4)?;
    match repr.addresses {
        Addresses::V4(source, destination) => {
            let protocol = ip::PROTOCOL_ICMP;
            let mut header =
                Ipv4Repr { source, destination, protocol, ttl, traffic_class, payload_len }.header();
            header.id.set(repr.id);
            header.flags_offset.set(repr.flags);
            header.fill_checksum();
            header.write_to(out).ok()
        }
        Addresses::V6(source, destination) => {
            let (next_header, hop_limit, flow_label) = (ip::PROTOCOL_ICMPV6, ttl, repr.flow_label);
            Ipv6Repr { source, destination, next_header, hop_limit, traffic_class, flow_label, payload_len }
                .header()
                .write_to(out)
                .ok()
        }
    }
}

#[cfg(test)]
mod tests;
