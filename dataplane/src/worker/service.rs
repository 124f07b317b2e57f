//! The appliance's own service addresses (DESIGN section 3, step 3): ARP, neighbour solicitations and echo requests for
//! them are answered right here, on the port where they came in, with that port's MAC.
//!
//! A service address is the source of connections that go on under another client address. All else that is sent to it
//! and belongs to no flow is dropped by name. No input panics; an answer is the request itself, rewritten in place, and
//! never longer.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::policy::services::Services;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{self, EthernetHeader, HEADER_LEN, TYPE_IPV4, TYPE_IPV6};
use crate::wire::icmp;
use crate::wire::ip::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, is_host};
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
/// Bytes of a solicitation or advertisement without options.
const NEIGHBOUR_LEN: usize = 24;
/// Bytes of an option with a MAC.
const OPTION_LEN: usize = 8;
/// Source and target link-layer address (RFC 4861 section 4.6.1), of one unit of 8 bytes.
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: [u8; 2] = [2, 1];
/// Solicited: an answer to who asked.
const SOLICITED: u8 = 0x40;
/// Override: newer than what anybody may know.
const OVERRIDE: u8 = 0x20;
/// All nodes of the link, and their MAC (RFC 2464 section 7).
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const HOP_LIMIT: u8 = 255;
const TTL: u8 = 64;

/// What a frame is to a service address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Not for it.
    NotOurs,
    /// The frame has become the answer to who asked, of so many bytes behind the link header.
    Reply(usize),
    /// The same, to everybody.
    ReplyToAll(usize),
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
        let l3 = ethernet::link(frame.bytes()).map_or(HEADER_LEN, |link| link.l3);
        match answer(frame.bytes_mut(), services, mac) {
            Answer::NotOurs => return Some(frame),
            Answer::Unserved => self.counters.count(Counter::DropServiceAddress),
            Answer::Reply(len) | Answer::ReplyToAll(len) => {
                self.counters.count(Counter::ServiceAnswered);
                frame.truncate(l3 + len);
                self.forward(port, len, frame);
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
    let Some(header) = EthernetHeader::view_mut(ethernet) else { return Answer::Unserved };
    header.destination = match answer {
        Answer::Reply(_) => header.source,
        Answer::ReplyToAll(_) => ALL_NODES_MAC,
        Answer::NotOurs | Answer::Unserved => return answer,
    };
    let asker = std::mem::replace(&mut header.source, mac);
    // Nobody's own: the answer would be a flood on behalf of whoever wrote it.
    if is_group(&asker) { Answer::Unserved } else { answer }
}

fn is_group(mac: &[u8]) -> bool {
    mac[0] & 1 != 0
}

/// Whether somebody else may ask by this address.
fn is_asker(address: IpAddr, services: &Services) -> bool {
    is_host(address) && !services.contains(address)
}

fn arp(packet: &mut [u8], services: &Services, mac: [u8; 6]) -> Answer {
    let Some(packet) = packet.first_chunk_mut::<ARP_LEN>() else { return Answer::NotOurs };
    let Some(target) = packet.last_chunk::<4>().copied() else { return Answer::NotOurs };
    if packet[..8] != ARP_REQUEST || !services.contains(target.into()) {
        return Answer::NotOurs;
    }
    // A probe names no sender (RFC 5227 section 2.1.1), and an address in use is defended.
    let asker = Ipv4Addr::new(packet[14], packet[15], packet[16], packet[17]);
    if is_group(&packet[8..14]) || !asker.is_unspecified() && !is_asker(asker.into(), services) {
        return Answer::Unserved;
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
    let is_asked = is_asker(header.source.into(), services);
    let is_fragment = header.more_fragments() || header.fragment_offset() != 0;
    let is_icmp = header.protocol == PROTOCOL_ICMP;
    let Some(message) = packet.get(header_len..len) else { return Answer::Unserved };
    let is_echo = message.first() == Some(&ECHO.0) && Sum::of(message).checksum() == 0;
    // RFC 1122 section 3.2.1.2: what came by a wrong header may not be for us.
    let is_intact = packet.get(..header_len).is_some_and(|header| Sum::of(header).checksum() == 0);
    if !is_plain || !is_intact || !is_asked || is_fragment || !is_icmp || !is_echo {
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
        kind if kind == ECHO_V6.0 && for_us && is_asker(ip.source.into(), services) => {
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

/// A solicitation becomes the advertisement (RFC 4861 section 7.2.4), with the MAC in it where the solicitation had an option:
/// an answer is never longer than what it answers (DESIGN invariant 5). Without one,
/// - who knows the MAC already asks whether it is still true, by unicast, and needs no option (section 4.4);
/// - who is about to take the address asks whether anybody has it, and learns enough from any answer (RFC 4862 section 5.4.4);
/// - nobody asks else (section 4.3).
fn advertise(ip: &mut Ipv6Header, message: &mut [u8], services: &Services, mac: [u8; 6]) -> Option<Answer> {
    let target: [u8; 16] = message.get(8..NEIGHBOUR_LEN)?.try_into().ok()?;
    if !services.contains(target.into()) {
        return None;
    }
    let is_to_group = ip.destination[0] == 0xff;
    let is_probe = ip.source == [0; 16];
    let option = message.get(NEIGHBOUR_LEN..NEIGHBOUR_LEN + OPTION_LEN).map(|option| option[0]);
    // RFC 4861 section 7.1.1: a probe goes to the group, and holds no address of its sender's.
    let is_valid = if is_probe {
        is_to_group && option != Some(SOURCE_MAC)
    } else {
        is_asker(ip.source.into(), services) && (option.is_some() || !is_to_group)
    };
    if !is_valid {
        return Some(Answer::Unserved);
    }
    let len = NEIGHBOUR_LEN + if option.is_some() { OPTION_LEN } else { 0 };
    let message = message.get_mut(..len)?;
    ip.destination = if is_probe { ALL_NODES } else { ip.source };
    ip.source = target;
    ip.payload_len.set(len as u16);
    message[0] = NEIGHBOUR.1;
    message[4] = OVERRIDE | if is_probe { 0 } else { SOLICITED };
    if let Some(option) = message.get_mut(NEIGHBOUR_LEN..).filter(|option| option.len() == OPTION_LEN) {
        let (kind, address) = option.split_at_mut(TARGET_MAC.len());
        kind.copy_from_slice(&TARGET_MAC);
        address.copy_from_slice(&mac);
    }
    icmp::fill_checksum(message, &ip.addresses());
    let len = crate::wire::ipv6::HEADER_LEN + len;
    Some(if is_probe { Answer::ReplyToAll(len) } else { Answer::Reply(len) })
}
