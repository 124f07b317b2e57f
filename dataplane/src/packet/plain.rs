//! The frames that nearly all are: no VLAN tag, an IPv4 header without options or an IPv6 header without extensions, no fragment,
//! TCP. One comparison of lengths, and every field stands where it is known to stand.
//!
//! This is a short cut and no rule: of whatever is not as plain as that, or not sound, it says nothing, and [`super::parse`] goes
//! the long way. A test holds that both say the same.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::TcpHeaders;
use crate::flow::quad::{Addresses, Segment};
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

/// Reads the segment in a plain and sound frame into `into`; false, and nothing done, when it is not one.
///
/// In the place where it is going to stay: moving headers as wide as IPv6 addresses costs as much as reading them.
#[inline(always)]
pub(super) fn read(frame: &[u8], into: &mut TcpHeaders) -> bool {
    let Ok((plain, _)) = Plain::<Ipv4Header>::ref_from_prefix(frame) else { return false };
    match plain.ethernet.ethertype.get() {
        ethernet::TYPE_IPV4 => read_v4(frame, plain, into),
        ethernet::TYPE_IPV6 => match Plain::<Ipv6Header>::ref_from_prefix(frame) {
            Ok((plain, _)) => read_v6(frame, plain, into),
            Err(_) => false,
        },
        _ => false,
    }
}

#[inline(always)]
fn read_v4(frame: &[u8], Plain { ip, tcp, .. }: &Plain<Ipv4Header>, into: &mut TcpHeaders) -> bool {
    let is_plain = ip.is_plain() && ip.protocol == PROTOCOL_TCP;
    let is_sound = ip.ttl != 0 && ip.source != ip.destination && ip.is_checksum_valid();
    let end = L3 + usize::from(ip.total_len.get());
    is_plain && is_sound && read_tcp(frame, tcp, L3 + ipv4::HEADER_LEN, end, ip.addresses(), into)
}

#[inline(always)]
fn read_v6(frame: &[u8], Plain { ip, tcp, .. }: &Plain<Ipv6Header>, into: &mut TcpHeaders) -> bool {
    let is_plain = ip.version() == 6 && ip.next_header == PROTOCOL_TCP;
    let is_sound = ip.hop_limit != 0 && ip.source != ip.destination;
    let l4 = L3 + ipv6::HEADER_LEN;
    let end = l4 + usize::from(ip.payload_len.get());
    is_plain && is_sound && read_tcp(frame, tcp, l4, end, ip.addresses(), into)
}

/// What `header`, which begins at `l4`, says in a datagram that ends at `end`.
#[inline(always)]
fn read_tcp(
    frame: &[u8],
    header: &TcpHeader,
    l4: usize,
    end: usize,
    addresses: Addresses,
    into: &mut TcpHeaders,
) -> bool {
    let (payload, flags) = (l4 + header.header_len(), header.flags());
    let (client_port, server_port) = (header.source_port.get(), header.destination_port.get());
    let fits = payload >= l4 + tcp::HEADER_LEN && payload <= end && end <= frame.len().min(u16::MAX.into());
    if !fits || tcp::is_nonsense(flags) || client_port == 0 || server_port == 0 {
        return false;
    }
    if payload > l4 + tcp::HEADER_LEN {
        let Some(options) = frame.get(l4 + tcp::HEADER_LEN..payload) else { return false };
        if tcp_options::check(options).is_err() {
            return false;
        }
    }
    into.quad.addresses = addresses;
    into.quad.client_port = client_port;
    into.quad.server_port = server_port;
    into.segment = Segment(0);
    into.l3 = L3 as u16;
    into.l4 = l4 as u16;
    into.payload = payload as u16;
    into.end = end as u16;
    into.seq = header.seq();
    into.ack = header.ack();
    into.flags = flags;
    into.window = header.window.get();
    into.first_fragment = false;
    true
}
