//! The frames that nearly all are: no VLAN tag, an IPv4 header without options or an IPv6 header without extensions, no fragment,
//! TCP. One comparison of lengths, and every field stands where it is known to stand.
//!
//! This is a short cut and no rule: of whatever is not as plain as that, or not sound, it says nothing, and [`super::parse`] goes
//! the long way. A test holds that both say the same.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::TcpHeaders;
use crate::flow::quad::{Addresses, Quad, Segment};
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::ip::PROTOCOL_TCP;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::tcp_options;

/// Where the IP header begins.
const L3: usize = ethernet::HEADER_LEN;

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Plain<Ip> {
    ethernet: EthernetHeader,
    ip: Ip,
    tcp: TcpHeader,
}

/// A sound datagram: where its TCP header begins, where it ends, and between whom it travels.
type Datagram<'a> = (usize, usize, Addresses, &'a TcpHeader);

/// The segment in a plain and sound frame.
#[inline]
pub(super) fn segment(frame: &[u8]) -> Option<TcpHeaders> {
    let (plain, _) = Plain::<Ipv4Header>::ref_from_prefix(frame).ok()?;
    let (l4, end, addresses, tcp) = match plain.ethernet.ethertype.get() {
        ethernet::TYPE_IPV4 => v4(plain)?,
        ethernet::TYPE_IPV6 => v6(Plain::<Ipv6Header>::ref_from_prefix(frame).ok()?.0)?,
        _ => return None,
    };
    headers(frame, tcp, l4, end, addresses)
}

#[inline]
fn v4(Plain { ip, tcp, .. }: &Plain<Ipv4Header>) -> Option<Datagram<'_>> {
    let is_plain = ip.is_plain() && ip.protocol == PROTOCOL_TCP;
    let is_sound = ip.is_checksum_valid() && ip.ttl != 0 && ip.source != ip.destination;
    let (l4, end) = (L3 + ipv4::HEADER_LEN, L3 + usize::from(ip.total_len.get()));
    (is_plain && is_sound).then(|| (l4, end, ip.addresses(), tcp))
}

#[inline]
fn v6(Plain { ip, tcp, .. }: &Plain<Ipv6Header>) -> Option<Datagram<'_>> {
    let is_plain = ip.version() == 6 && ip.next_header == PROTOCOL_TCP;
    let is_sound = ip.hop_limit != 0 && ip.source != ip.destination;
    let l4 = L3 + ipv6::HEADER_LEN;
    (is_plain && is_sound).then(|| (l4, l4 + usize::from(ip.payload_len.get()), ip.addresses(), tcp))
}

/// What `header`, which begins at `l4`, says in a datagram that ends at `end`.
#[inline]
fn headers(
    frame: &[u8],
    header: &TcpHeader,
    l4: usize,
    end: usize,
    addresses: Addresses,
) -> Option<TcpHeaders> {
    let (payload, flags) = (l4 + header.header_len(), header.flags());
    let (client_port, server_port) = (header.source_port.get(), header.destination_port.get());
    let fits = payload >= l4 + tcp::HEADER_LEN && payload <= end && end <= frame.len().min(u16::MAX.into());
    if !fits || tcp::is_nonsense(flags) || client_port == 0 || server_port == 0 {
        return None;
    }
    if payload > l4 + tcp::HEADER_LEN {
        tcp_options::check(frame.get(l4 + tcp::HEADER_LEN..payload)?).ok()?;
    }
    Some(TcpHeaders {
        quad: Quad { addresses, client_port, server_port },
        segment: Segment(0),
        l3: L3 as u16,
        l4: l4 as u16,
        payload: payload as u16,
        end: end as u16,
        seq: header.seq(),
        ack: header.ack(),
        flags,
        window: header.window.get(),
        first_fragment: false,
    })
}
