//! The SYN-ACK that answers a SYN, made in place from the SYN itself (RFC 9293 section 3.10.7.2).
//!
//! No input panics; the frame never grows (invariant 5: no amplifier). Options stay where the client has them; what is not accepted
//! becomes NOPs. Headers are put together in registers, and their checksums summed up from there: each word is written once, and
//! none is read again that has only just been written.

use zerocopy::FromBytes;

use super::build::Below;
use super::checksum::Sum;
use super::ethernet::EthernetHeader;
use super::ip::PROTOCOL_TCP;
use super::ipv4;
use super::ipv6;
use super::reset::TTL;
use super::seq::Seq;
use super::tcp::{self, TcpHeader};
use super::tcp_flags::TcpFlags;
use super::tcp_options::SynOptions;
use crate::flow::quad::Addresses;
use crate::packet::TcpHeaders;

/// What the answer says of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acceptance {
    /// Its number.
    pub seq: Seq,
    /// Its window, never scaled.
    pub window: u16,
    /// The largest segment that may come.
    pub mss: u16,
    /// Window scale, if the client scales.
    pub shift: u8,
    /// TSval, if the client has timestamps.
    pub clock: u32,
}

/// What the SYN that `headers` were read from asks for, if it can be turned round: it is whole, from one station, and has neither IP
/// options or extension headers, nor a signature that nobody in between can make.
#[inline(always)]
pub fn read(frame: &[u8], headers: &TcpHeaders) -> Option<SynOptions> {
    let ip_header = match headers.quad.addresses {
        Addresses::V4(..) => ipv4::HEADER_LEN,
        Addresses::V6(..) => ipv6::HEADER_LEN,
    };
    let is_bare = usize::from(headers.l4 - headers.l3) == ip_header;
    if !is_bare || headers.first_fragment || EthernetHeader::view(frame)?.is_from_group() {
        return None;
    }
    let options = usize::from(headers.l4) + tcp::HEADER_LEN..usize::from(headers.payload);
    SynOptions::find(frame.get(options)?).filter(|options| !options.authenticated())
}

/// Turns that SYN into the SYN-ACK that accepts it, and returns the length of the frame. `asked` is what [`read`] has found in it; of
/// any other, a frame results that means nothing. Its checksum has been verified: the answer gets one of its own, that is right.
///
/// MACs, addresses and ports are swapped, VLAN tags, DSCP and flow label kept. ECN is not accepted, nor is payload: its sender repeats
/// it.
#[inline(always)]
pub fn accept(
    frame: &mut [u8],
    headers: &TcpHeaders,
    asked: SynOptions,
    acceptance: &Acceptance,
) -> Option<usize> {
    let addresses = &headers.quad.addresses;
    EthernetHeader::view_mut(frame)?.swap_addresses();
    let datagram = frame.get_mut(usize::from(headers.l3)..usize::from(headers.payload))?;
    let below = Below { ttl: TTL, ..Below::learn(datagram, addresses)? };
    let len = headers.payload - headers.l4;
    // Each family turned round by itself: neither has to be put together in memory before it is known which one it is.
    let l4 = match *addresses {
        Addresses::V4(client, server) => below.emit(&Addresses::V4(server, client), len, datagram)?,
        Addresses::V6(client, server) => below.emit(&Addresses::V6(server, client), len, datagram)?,
    };
    let (header, options) = TcpHeader::mut_from_prefix(datagram.get_mut(l4..)?).ok()?;
    let around = Sum::pseudo_header(addresses, PROTOCOL_TCP, len.into());
    let around = around + asked.answer(options, acceptance);
    let flags = TcpFlags::SYN | TcpFlags::ACK;
    header.turn_round(acceptance.seq, headers.seq.advance(1), flags, acceptance.window, around);
    Some(usize::from(headers.payload))
}

#[cfg(test)]
mod tests;
