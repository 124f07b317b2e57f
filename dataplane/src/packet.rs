//! What the worker needs to know of a frame, read once: offsets, key and the TCP fields that decisions rest on.

use crate::counters::Counter;
use crate::flow::quad::{FlowKey, Quad, Segment};
use crate::wire::ethernet::{self, Link};
use crate::wire::ip::{Datagram, Transport};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::seq::Seq;
use crate::wire::tcp::Combinations;
use crate::wire::tcp_flags::TcpFlags;
use crate::wire::{icmp, ipv4, ipv6, tcp};

pub mod plain;

/// A TCP segment in an unfragmented datagram, or in a first fragment that holds the whole TCP header.
///
/// All offsets are bytes from the start of the frame; `l3 < l4 < payload <= end <= frame length`. Bytes from `end`
/// on are Ethernet padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpHeaders {
    /// Source → destination.
    pub quad: Quad,
    /// VLAN ids, and the port pair once a worker has taken it up.
    pub segment: Segment,
    /// Start of the IP header.
    pub l3: u16,
    /// Start of the TCP header.
    pub l4: u16,
    /// Start of the TCP payload.
    pub payload: u16,
    /// End of the IP datagram.
    pub end: u16,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number; significant only with ACK.
    pub ack: Seq,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window as in the header, unscaled.
    pub window: u16,
    /// First fragment of several: the checksum cannot be verified, `payload..end` is not the whole payload.
    pub first_fragment: bool,
}

impl TcpHeaders {
    /// The packet's own key, source → destination; its flow's once a worker has taken the segment up.
    #[inline]
    pub const fn key(&self) -> FlowKey {
        FlowKey { quad: self.quad, segment: self.segment }
    }

    /// Bytes of payload in this frame.
    pub const fn payload_len(&self) -> u32 {
        (self.end - self.payload) as u32
    }

    /// Sequence space taken: payload, SYN and FIN.
    pub const fn sequence_len(&self) -> u32 {
        self.payload_len() + self.flags.syn() as u32 + self.flags.fin() as u32
    }

    /// Whether there are TCP options.
    pub const fn has_options(&self) -> bool {
        self.payload - self.l4 > 20
    }
}

/// An ICMP or ICMPv6 error that quotes a TCP segment far enough to name its quad and sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// The quoted segment's quad, source → destination as quoted: the error travels towards its source.
    pub quad: Quad,
    /// VLAN ids of the frame that carries the error, and the port pair once a worker has taken it up.
    pub segment: Segment,
    /// Start of the IP header that carries the error.
    pub l3: u16,
    /// Start of the ICMP header.
    pub l4: u16,
    /// Start of the quoted TCP header.
    pub quoted_l4: u16,
    /// End of the IP datagram.
    pub end: u16,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// The quoted sequence number.
    pub seq: Seq,
}

/// What a frame is to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// A TCP segment.
    Tcp(TcpHeaders),
    /// An ICMP error about a TCP segment.
    IcmpError(IcmpError),
    /// Anything else: crosses untouched.
    Other,
}

impl Packet {
    /// The segment that it is.
    pub const fn segment(&self) -> Option<&TcpHeaders> {
        match self {
            Packet::Tcp(headers) => Some(headers),
            Packet::IcmpError(_) | Packet::Other => None,
        }
    }
}

/// Reads a frame. `Err` names the reason why it goes nowhere. Never panics, never reads beyond the frame.
///
/// What is not TCP, and not an ICMP error about it, is [`Packet::Other`] however odd it is; TCP is checked strictly, but
/// for its checksum. Later fragments are `Other` too. The decisions on doubtful frames stand at `wire::ipv4::datagram`,
/// `wire::ipv6::datagram`, `wire::tcp::segment` and `wire::icmp::quoted`.
pub fn parse(frame: &[u8]) -> Result<Packet, Counter> {
    let sound = Combinations::SOUND;
    match plain::read::<Ipv4Header>(frame, sound).or_else(|| plain::read::<Ipv6Header>(frame, sound)) {
        Some(headers) => Ok(Packet::Tcp(headers)),
        None => parse_any(frame),
    }
}

/// The long way, for frames that are not plain.
#[inline(never)]
pub(crate) fn parse_any(frame: &[u8]) -> Result<Packet, Counter> {
    let link = ethernet::link(frame)?;
    let datagram = match link.ethertype {
        ethernet::TYPE_IPV4 => ipv4::datagram(&frame[link.l3..])?,
        ethernet::TYPE_IPV6 => ipv6::datagram(&frame[link.l3..])?,
        _ => None,
    };
    match datagram {
        Some(datagram) if datagram.transport == Transport::Tcp => tcp_packet(frame, &link, &datagram),
        Some(datagram) => Ok(icmp_packet(frame, &link, &datagram).unwrap_or(Packet::Other)),
        None => Ok(Packet::Other),
    }
}

#[inline]
fn tcp_packet(frame: &[u8], link: &Link, datagram: &Datagram) -> Result<Packet, Counter> {
    let (l4, end) = (link.l3 + datagram.l4, link.l3 + datagram.end);
    let (header, header_len) = tcp::segment(&frame[l4..end], datagram.first_fragment)?;
    // Longer than offsets can say is longer than any device's frame.
    let end = u16::try_from(end).map_err(|_| Counter::DropMalformedEthernet)?;
    Ok(Packet::Tcp(TcpHeaders {
        quad: Quad {
            addresses: datagram.addresses,
            client_port: header.source_port.get(),
            server_port: header.destination_port.get(),
        },
        segment: link.segment,
        l3: link.l3 as u16,
        l4: l4 as u16,
        payload: (l4 + header_len) as u16,
        end,
        seq: header.seq(),
        ack: header.ack(),
        flags: header.flags(),
        window: header.window.get(),
        first_fragment: datagram.first_fragment,
    }))
}

fn icmp_packet(frame: &[u8], link: &Link, datagram: &Datagram) -> Option<Packet> {
    let (l4, end) = (link.l3 + datagram.l4, link.l3 + datagram.end);
    let quoted = icmp::quoted(frame.get(l4..end)?, &datagram.addresses)?;
    Some(Packet::IcmpError(IcmpError {
        quad: quoted.quad,
        segment: link.segment,
        l3: link.l3 as u16,
        l4: l4 as u16,
        quoted_l4: u16::try_from(l4 + quoted.l4).ok()?,
        end: u16::try_from(end).ok()?,
        kind: quoted.kind,
        code: quoted.code,
        seq: quoted.seq,
    }))
}

/// Verifies the TCP checksum in software; false for a first fragment, whose checksum covers more than there is.
#[inline]
pub fn is_tcp_checksum_valid(frame: &[u8], headers: &TcpHeaders) -> bool {
    let segment = frame.get(usize::from(headers.l4)..usize::from(headers.end));
    !headers.first_fragment
        && segment.is_some_and(|segment| tcp::is_checksum_valid(segment, &headers.quad.addresses))
}

#[cfg(test)]
pub(crate) mod tests;
