//! Phase: what a frame is, whose it is, and which way it goes (DESIGN section 3, seed 001 FIG. 4).

use arrayvec::ArrayVec;

use super::steer::Handed;
use super::*;
use crate::flow::quad::{Addresses, FlowKey, Quad, Segment};
use crate::flow::table::Guess;
use crate::packet::{self, IcmpError, Packet, TcpHeaders};
use crate::wire::{ethernet, ipv6};

/// What has been read of a frame, and where its flow probably is.
struct Seen {
    port: PortId,
    packet: Packet,
    guess: Guess,
}

impl<P: Port> Worker<P> {
    /// Phases of a burst, each over all of it: what the frames are and whose, where their flows are, and what becomes of them.
    /// Of our own queues a frame is perhaps another worker's; one that was handed over is certainly ours.
    pub(super) fn classify(
        &mut self,
        now: Instant,
        burst: impl Iterator<Item = Handed<P::Buffer>>,
        is_ours: bool,
    ) {
        let mut frames: Burst<P::Buffer> = Burst::new();
        let mut all: ArrayVec<Seen, BURST> = ArrayVec::new();
        for Handed { port, frame } in burst {
            match packet::parse(frame.bytes()) {
                Ok(packet) => {
                    let owner = if is_ours { self.id } else { self.owner(&packet) };
                    if owner != self.id {
                        self.hand_over(owner, port, frame);
                        continue;
                    }
                    let guess = self.guess(port, &packet);
                    all.push(Seen { port, packet, guess });
                    frames.push(frame);
                }
                Err(reason) => self.counters.count(reason),
            }
        }
        for seen in &mut all {
            self.table.look_ahead(&mut seen.guess);
        }
        for (seen, frame) in all.iter().zip(frames) {
            self.dispatch(now, seen, frame);
        }
    }

    /// A frame that is certainly ours.
    pub(super) fn classify_one(&mut self, now: Instant, port: PortId, frame: P::Buffer) {
        self.classify(now, std::iter::once(Handed { port, frame }), true);
    }

    #[inline]
    fn guess(&self, port: PortId, packet: &Packet) -> Guess {
        match packet {
            Packet::Tcp(headers) => self.table.guess(&headers.quad, self.segment(port, headers.segment)),
            Packet::IcmpError(error) => self.table.guess(&error.quad, self.segment(port, error.segment)),
            Packet::Other => Guess::NOWHERE,
        }
    }

    #[inline]
    fn owner(&self, packet: &Packet) -> usize {
        match packet {
            Packet::Tcp(headers) if !is_placed_by_addresses(headers) => {
                self.steering.owner_of_segment(&headers.quad, self.id)
            }
            Packet::Tcp(headers) => self.steering.owner_of_flow(&headers.quad, self.id),
            Packet::IcmpError(error) => self.steering.owner_of_flow(&error.quad, self.id),
            Packet::Other => self.id,
        }
    }

    #[inline]
    fn dispatch(&mut self, now: Instant, seen: &Seen, frame: P::Buffer) {
        let Seen { port, packet, guess } = seen;
        match packet {
            Packet::Tcp(headers) => {
                let segment = self.segment(*port, headers.segment);
                match self.table.find_guessed(guess, &headers.quad, segment) {
                    Some((slot, direction)) => self.carry(now, *port, slot, direction, headers, frame),
                    None => {
                        let key = FlowKey { quad: headers.quad, segment };
                        self.admit(now, *port, &key, headers, frame);
                    }
                }
            }
            Packet::IcmpError(error) => self.icmp_error(*port, guess, error, frame),
            Packet::Other => self.pass(*port, frame),
        }
    }

    /// Where a frame of these VLANs came in.
    #[inline]
    fn segment(&self, port: PortId, vlans: Segment) -> Segment {
        vlans.of_pair(self.lines[usize::from(port.0)].pair)
    }

    pub(super) fn key(&self, port: PortId, quad: Quad, vlans: Segment) -> FlowKey {
        FlowKey { quad, segment: self.segment(port, vlans) }
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

    /// An ICMP error about a TCP segment: part of its flow when there is one, else it crosses untouched.
    fn icmp_error(&mut self, port: PortId, guess: &Guess, error: &IcmpError, frame: P::Buffer) {
        match self.table.find_guessed(guess, &error.quad, self.segment(port, error.segment)) {
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
