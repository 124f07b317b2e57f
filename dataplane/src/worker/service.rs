//! The appliance's own service addresses (DESIGN section 3, step 3): ARP, neighbour solicitations and echo requests for
//! them are answered right here, on the port where they came in, with that port's MAC.
//!
//! A service address is the source of connections that go on under another client address. All else that is sent to it
//! and belongs to no flow is dropped by name. No input panics; an answer is the request itself, rewritten in place, and
//! never longer.

use super::*;
use crate::policy::services::Services;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{self, EthernetHeader, HEADER_LEN, TYPE_IPV4, TYPE_IPV6};
use crate::wire::icmp;
use crate::wire::ip::{PROTOCOL_ICMP, PROTOCOL_ICMPV6};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;

/// ARP (RFC 826).
const TYPE_ARP: u16 = 0x0806;
/// Hardware and protocol type and lengths of a request for an IPv4 address on Ethernet, and the operation.
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
/// Bytes of an ARP packet for IPv4 on Ethernet.
const ARP_LEN: usize = 28;
/// Echo request and reply (RFC 792).
const ECHO: (u8, u8) = (8, 0);
/// Echo request and reply (RFC 4443 section 4).
const ECHO_V6: (u8, u8) = (128, 129);
/// Neighbour solicitation and advertisement (RFC 4861 section 4.3 and 4.4).
const NEIGHBOUR: (u8, u8) = (135, 136);
/// Bytes of a solicitation with its one option of 8, which is what an answer takes.
const NEIGHBOUR_LEN: usize = 32;
/// Solicited, override: an answer to who asked, and newer than what it may know.
const ADVERTISEMENT_FLAGS: u8 = 0x60;
const HOP_LIMIT: u8 = 255;
const TTL: u8 = 64;

/// What a frame is to a service address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Not for it.
    NotOurs,
    /// The frame has become the answer, of so many bytes.
    Reply(usize),
    /// For it, and nothing that it answers.
    Unserved,
}

impl<P: Port> Worker<P> {
    /// A frame that is not TCP. Gives it back when it is not for a service address.
    pub(super) fn serve(&mut self, port: PortId, mut frame: P::Buffer) -> Option<P::Buffer> {
        let services = self.policy.snapshot.services();
        if services.is_empty() {
            return Some(frame);
        }
        let mac = self.lines[usize::from(port.0)].mac;
        match answer(frame.bytes_mut(), services, mac) {
            Answer::NotOurs => return Some(frame),
            Answer::Unserved => self.counters.count(Counter::DropServiceAddress),
            Answer::Reply(len) => {
                self.counters.count(Counter::ServiceAnswered);
                frame.truncate(len);
                self.forward(port, len - HEADER_LEN, frame);
            }
        }
        None
    }
}

fn answer(frame: &mut [u8], services: &Services, mac: [u8; 6]) -> Answer {
    let Ok(link) = ethernet::link(frame) else { return Answer::NotOurs };
    let Some((ethernet, rest)) = frame.split_at_mut_checked(link.l3) else { return Answer::NotOurs };
    let answer = match link.ethertype {
        TYPE_ARP => arp(rest, services, mac),
        TYPE_IPV4 => echo_v4(rest, services),
        TYPE_IPV6 => icmp_v6(rest, services, mac),
        _ => Answer::NotOurs,
    };
    let Answer::Reply(len) = answer else { return answer };
    let Some(header) = EthernetHeader::view_mut(ethernet) else { return Answer::Unserved };
    (header.destination, header.source) = (header.source, mac);
    Answer::Reply(link.l3 + len)
}

fn arp(packet: &mut [u8], services: &Services, mac: [u8; 6]) -> Answer {
    let Some(packet) = packet.first_chunk_mut::<ARP_LEN>() else { return Answer::NotOurs };
    let Some(target) = packet.last_chunk::<4>().copied() else { return Answer::NotOurs };
    if packet[..8] != ARP_REQUEST || !services.contains(target.into()) {
        return Answer::NotOurs;
    }
    packet[7] = 2;
    let (sender, asked) = packet[8..].split_at_mut(10);
    asked.copy_from_slice(sender);
    sender[..6].copy_from_slice(&mac);
    sender[6..].copy_from_slice(&target);
    Answer::Reply(ARP_LEN)
}

fn echo_v4(packet: &mut [u8], services: &Services) -> Answer {
    let Some(header) = Ipv4Header::view_mut(packet) else { return Answer::NotOurs };
    if !services.contains(header.destination.into()) {
        return Answer::NotOurs;
    }
    let (header_len, len) = (header.header_len(), usize::from(header.total_len.get()));
    let is_plain = header.version() == 4 && header_len == crate::wire::ipv4::HEADER_LEN;
    let is_fragment = header.more_fragments() || header.fragment_offset() != 0;
    let is_icmp = header.protocol == PROTOCOL_ICMP;
    let Some(message) = packet.get(header_len..len) else { return Answer::Unserved };
    let is_echo = message.first() == Some(&ECHO.0) && Sum::of(message).checksum() == 0;
    if !is_plain || is_fragment || !is_icmp || !is_echo {
        return Answer::Unserved;
    }
    let (ip, message) = packet.split_at_mut(header_len);
    let Some(header) = Ipv4Header::view_mut(ip) else { return Answer::Unserved };
    std::mem::swap(&mut header.source, &mut header.destination);
    header.ttl = TTL;
    header.fill_checksum();
    let addresses = header.addresses();
    message[0] = ECHO.1;
    icmp::fill_checksum(&mut message[..len - header_len], &addresses);
    Answer::Reply(len)
}

fn icmp_v6(packet: &mut [u8], services: &Services, mac: [u8; 6]) -> Answer {
    let Some((header, message)) = packet.split_at_mut_checked(crate::wire::ipv6::HEADER_LEN) else {
        return Answer::NotOurs;
    };
    let Some(ip) = Ipv6Header::view_mut(header) else { return Answer::NotOurs };
    let for_us = services.contains(ip.destination.into());
    let otherwise = if for_us { Answer::Unserved } else { Answer::NotOurs };
    let Some(message) = message.get_mut(..usize::from(ip.payload_len.get())) else { return otherwise };
    if ip.version() != 6
        || ip.next_header != PROTOCOL_ICMPV6
        || message.len() < icmp::HEADER_LEN
        || !icmp::is_checksum_valid(message, &ip.addresses())
    {
        return otherwise;
    }
    match message[0] {
        kind if kind == ECHO_V6.0 && for_us => {
            std::mem::swap(&mut ip.source, &mut ip.destination);
            ip.hop_limit = TTL;
            message[0] = ECHO_V6.1;
            icmp::fill_checksum(message, &ip.addresses());
            Answer::Reply(header.len() + message.len())
        }
        // RFC 4861 section 7.1.1: from the link itself.
        kind if kind == NEIGHBOUR.0 && ip.hop_limit == HOP_LIMIT => {
            advertise(ip, message, services, mac).unwrap_or(otherwise)
        }
        _ => otherwise,
    }
}

/// A solicitation becomes the advertisement (RFC 4861 section 7.2.4). One without an option, which only duplicate address
/// detection sends, stays without answer: an answer is never longer than what it answers (DESIGN invariant 5).
fn advertise(ip: &mut Ipv6Header, message: &mut [u8], services: &Services, mac: [u8; 6]) -> Option<Answer> {
    let target: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    if !services.contains(target.into()) {
        return None;
    }
    let Some(message) = message.get_mut(..NEIGHBOUR_LEN) else { return Some(Answer::Unserved) };
    if ip.source == [0; 16] {
        return Some(Answer::Unserved);
    }
    (ip.destination, ip.source) = (ip.source, target);
    ip.payload_len.set(NEIGHBOUR_LEN as u16);
    (message[0], message[4]) = (NEIGHBOUR.1, ADVERTISEMENT_FLAGS);
    // Option 2 of one unit: target link-layer address (RFC 4861 section 4.6.1).
    message[24..].copy_from_slice(&[2, 1, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]]);
    icmp::fill_checksum(message, &ip.addresses());
    Some(Answer::Reply(crate::wire::ipv6::HEADER_LEN + NEIGHBOUR_LEN))
}
