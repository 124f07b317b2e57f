//! Phase: what a frame is, whose it is, and which way it goes (DESIGN section 3, seed 001 FIG. 4).

use super::steer::Handed;
use super::*;
use crate::flow::quad::{Addresses, FlowKey, Quad, Segment};
use crate::packet::{self, IcmpError, Packet, TcpHeaders};
use crate::wire::{ethernet, ipv6};

impl<P: Port> Worker<P> {
    /// A frame from one of our own queues: perhaps another worker's.
    pub(super) fn classify(&mut self, now: Instant, port: PortId, frame: P::Buffer) {
        match packet::parse(frame.bytes()) {
            Err(reason) => self.counters.count(reason),
            Ok(Packet::Other) => self.pass(port, frame),
            Ok(Packet::Tcp(headers)) => {
                let key = self.key(port, headers.quad, headers.segment);
                let owner = if is_placed_by_addresses(&headers) {
                    self.steering.owner_of_flow(&key, self.id)
                } else {
                    self.steering.owner_of_segment(&key, self.id)
                };
                match owner == self.id {
                    true => self.segment(now, port, &key, &headers, frame),
                    false => self.hand_over(owner, port, frame),
                }
            }
            Ok(Packet::IcmpError(error)) => {
                let key = self.key(port, error.quad, error.segment);
                let owner = self.steering.owner_of_flow(&key, self.id);
                match owner == self.id {
                    true => self.icmp_error(port, &key, &error, frame),
                    false => self.hand_over(owner, port, frame),
                }
            }
        }
    }

    /// A frame that is certainly ours.
    pub(super) fn classify_owned(&mut self, now: Instant, port: PortId, frame: P::Buffer) {
        match packet::parse(frame.bytes()) {
            Err(reason) => self.counters.count(reason),
            Ok(Packet::Other) => self.pass(port, frame),
            Ok(Packet::Tcp(headers)) => {
                let key = self.key(port, headers.quad, headers.segment);
                self.segment(now, port, &key, &headers, frame);
            }
            Ok(Packet::IcmpError(error)) => {
                let key = self.key(port, error.quad, error.segment);
                self.icmp_error(port, &key, &error, frame);
            }
        }
    }

    pub(super) fn key(&self, port: PortId, quad: Quad, vlans: Segment) -> FlowKey {
        let pair = self.lines[usize::from(port.0)].pair;
        FlowKey { quad, segment: Segment::new(pair, vlans.outer_vlan(), vlans.inner_vlan()) }
    }

    /// Untouched to the opposite port, unless one of our own addresses is asked. What lies behind Ethernet header and tags has to fit the MTU.
    fn pass(&mut self, port: PortId, frame: P::Buffer) {
        let Some(frame) = self.serve(port, frame) else { return };
        let l3 = ethernet::link(frame.bytes()).map_or(ethernet::HEADER_LEN, |link| link.l3);
        let datagram = frame.bytes().len().saturating_sub(l3);
        self.forward(self.peer(port), datagram, frame);
    }

    fn hand_over(&mut self, owner: usize, port: PortId, frame: P::Buffer) {
        let ring = self.neighbours.to.get_mut(owner).and_then(Option::as_mut);
        match ring.map(|ring| ring.try_send(Handed { port, frame })) {
            Some(Ok(())) => self.counters.count(Counter::HandedOver),
            _ => self.counters.count(Counter::DropHandOverFull),
        }
    }

    fn segment(&mut self, now: Instant, port: PortId, key: &FlowKey, headers: &TcpHeaders, frame: P::Buffer) {
        match self.table.find(key) {
            Some((slot, direction)) => self.carry(now, port, slot, direction, headers, frame),
            None => self.admit(now, port, key, headers, frame),
        }
    }
}

impl<P: Port> Worker<P> {
    /// An ICMP error about a TCP segment: part of its flow when there is one, else it crosses untouched.
    fn icmp_error(&mut self, port: PortId, key: &FlowKey, error: &IcmpError, frame: P::Buffer) {
        match self.table.find(key) {
            Some((slot, quoted)) => self.carry_icmp(port, slot, quoted, error, frame),
            None if self.policy.snapshot.services().contains(error.quad.addresses.source()) => {
                self.counters.count(Counter::DropServiceAddress);
            }
            None => self.forward(self.peer(port), usize::from(error.end - error.l3), frame),
        }
    }
}

/// Whether a device's RSS may not have seen the ports: a fragment, extension headers, or more tags than it looks behind.
fn is_placed_by_addresses(headers: &TcpHeaders) -> bool {
    let is_v6 = matches!(headers.quad.addresses, Addresses::V6(..));
    let has_extensions = is_v6 && usize::from(headers.l4 - headers.l3) != ipv6::HEADER_LEN;
    headers.first_fragment || has_extensions || headers.segment.outer_vlan() != 0
}
