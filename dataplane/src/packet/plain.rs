//! The frames that nearly all are: no VLAN tag, an IPv4 header without options or an IPv6 header without extensions, no fragment,
//! TCP. One comparison of lengths, and every field stands where it is known to stand.
//!
//! This is a short cut and no rule: of whatever is not as plain as that, or not sound, it says nothing, and [`super::parse`] goes
//! the long way. A test holds that both say the same.
//!
//! Nothing has to be kept of a plain frame but that it is one: its headers are read again where they are needed, from the cache and
//! into registers, which costs less than to write down all of them.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::TcpHeaders;
use crate::flow::quad::{Addresses, Quad, Segment};
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::ip::PROTOCOL_TCP;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::tcp::{self, Combinations, TcpHeader};
use crate::wire::tcp_options::{check, check_opening};

/// Where the IP header begins.
const L3: usize = ethernet::HEADER_LEN;

/// All headers, the TCP options aside.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Plain<Ip> {
    ethernet: EthernetHeader,
    ip: Ip,
    tcp: TcpHeader,
}

/// An IP header as it is in a plain frame.
pub trait PlainIp: FromBytes + KnownLayout + Immutable + Unaligned {
    /// What announces it.
    const ETHERTYPE: u16;
    /// Its length, bytes.
    const LEN: usize;
    /// No more than this, TCP behind it, and nothing wrong with it but for lengths.
    fn is_plain_tcp(&self) -> bool;
    /// Header and payload, bytes.
    fn datagram_len(&self) -> usize;
    /// Both addresses.
    fn addresses(&self) -> Addresses;
}

impl PlainIp for Ipv4Header {
    const ETHERTYPE: u16 = ethernet::TYPE_IPV4;
    const LEN: usize = ipv4::HEADER_LEN;

    #[inline(always)]
    fn is_plain_tcp(&self) -> bool {
        let is_tcp = self.is_plain() && self.protocol == PROTOCOL_TCP;
        is_tcp && self.ttl != 0 && self.source != self.destination && self.is_checksum_valid()
    }

    #[inline(always)]
    fn datagram_len(&self) -> usize {
        self.total_len.get().into()
    }

    #[inline(always)]
    fn addresses(&self) -> Addresses {
        Ipv4Header::addresses(self)
    }
}

impl PlainIp for Ipv6Header {
    const ETHERTYPE: u16 = ethernet::TYPE_IPV6;
    const LEN: usize = ipv6::HEADER_LEN;

    #[inline(always)]
    fn is_plain_tcp(&self) -> bool {
        let is_tcp = self.version() == 6 && self.next_header == PROTOCOL_TCP;
        is_tcp && self.hop_limit != 0 && self.source != self.destination
    }

    #[inline(always)]
    fn datagram_len(&self) -> usize {
        ipv6::HEADER_LEN + usize::from(self.payload_len.get())
    }

    #[inline(always)]
    fn addresses(&self) -> Addresses {
        Ipv6Header::addresses(self)
    }
}

/// The headers of a plain and sound frame of this family, with one of these combinations of control bits; `None` when it is not one.
#[inline(always)]
pub fn read<Ip: PlainIp>(frame: &[u8], combinations: Combinations) -> Option<TcpHeaders> {
    let (plain, _) = Plain::<Ip>::ref_from_prefix(frame).ok()?;
    if plain.ethernet.ethertype.get() != Ip::ETHERTYPE || !plain.ip.is_plain_tcp() {
        return None;
    }
    let headers = read_again::<Ip>(frame)?;
    is_tcp_sound(frame, plain, combinations).then_some(headers)
}

/// The headers of a frame that [`read`] has found plain.
#[inline(always)]
pub fn read_again<Ip: PlainIp>(frame: &[u8]) -> Option<TcpHeaders> {
    let (Plain { ip, tcp, .. }, _) = Plain::<Ip>::ref_from_prefix(frame).ok()?;
    let l4 = L3 + Ip::LEN;
    Some(TcpHeaders {
        quad: Quad {
            addresses: ip.addresses(),
            client_port: tcp.source_port.get(),
            server_port: tcp.destination_port.get(),
        },
        segment: Segment(0),
        l3: L3 as u16,
        l4: l4 as u16,
        payload: (l4 + tcp.header_len()) as u16,
        end: (L3 + ip.datagram_len()) as u16,
        seq: tcp.seq(),
        ack: tcp.ack(),
        flags: tcp.flags(),
        window: tcp.window.get(),
        first_fragment: false,
    })
}

/// Whether the TCP header is one that a receiver would read.
#[inline(always)]
fn is_tcp_sound<Ip: PlainIp>(
    frame: &[u8],
    Plain { ip, tcp: header, .. }: &Plain<Ip>,
    combinations: Combinations,
) -> bool {
    let (l4, end) = (L3 + Ip::LEN, L3 + ip.datagram_len());
    let payload = l4 + header.header_len();
    let fits = payload >= l4 + tcp::HEADER_LEN && payload <= end && end <= frame.len().min(u16::MAX.into());
    if !fits || !combinations.has(header.flags()) || !header.has_ports() {
        return false;
    }
    let options = l4 + tcp::HEADER_LEN..payload;
    if options.is_empty() {
        return true;
    }
    let Some(options) = frame.get(options) else { return false };
    let checked = if combinations == Combinations::OPENING { check_opening(options) } else { check(options) };
    checked.is_ok()
}
