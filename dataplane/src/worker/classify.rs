//! Phase: what a frame is, whose it is, and which way it goes (DESIGN section 3, seed 001 FIG. 4).

use super::steer::Handed;
use super::*;
use crate::flow::quad::Addresses;
use crate::flow::table::Guess;
use crate::packet::{IcmpError, Packet, TcpHeaders};
use crate::wire::{ethernet, ipv6};

/// Where a burst came in, and what that means for all of its frames.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// The port.
    pub port: PortId,
    /// Its peer.
    pub out: PortId,
    /// Their pair.
    pub pair: u8,
}

/// What has been read of a frame, and where its flow probably is.
pub(super) struct Seen {
    packet: Packet,
    guess: Guess,
}

impl Seen {
    /// A place for it.
    pub(super) const NOTHING: Seen = Seen { packet: Packet::NOTHING, guess: Guess::NOWHERE };
}

impl<P: Port> Worker<P> {
    /// Phases of a burst that came in on `port`, each over all of it: what the frames are and whose, where their flows are, and
    /// what becomes of them. Of our own queues a frame is perhaps another worker's; one that was handed over is certainly ours.
    pub(super) fn classify(
        &mut self,
        now: Instant,
        port: PortId,
        burst: &mut Burst<P::Buffer>,
        is_ours: bool,
    ) {
        let Line { peer: out, pair, .. } = self.lines[usize::from(port.0)];
        let way = Way { port, out, pair };
        let mut places = std::mem::take(&mut self.seen);
        self.read(way, burst, &mut places, is_ours);
        let seen = &mut places[..burst.len()];
        self.look_ahead(seen);
        self.dispatch(now, way, seen, burst);
        self.seen = places;
    }

    /// Phase: what the frames are, and whose. Who is not ours, or nobody's, leaves the burst; the others' lines of the index are
    /// asked for.
    #[inline(never)]
    fn read(&mut self, way: Way, burst: &mut Burst<P::Buffer>, places: &mut [Seen], is_ours: bool) {
        let mut at = 0;
        while let (Some(frame), Some(seen)) = (burst.get(at), places.get_mut(at)) {
            if let Err(reason) = seen.packet.read(frame.bytes()) {
                self.counters.count(reason);
                burst.remove(at);
                continue;
            }
            let owner = if is_ours { self.id } else { self.owner(&seen.packet) };
            if owner != self.id {
                self.hand_over(owner, way.port, burst.remove(at));
                continue;
            }
            seen.guess = self.guess(way, &mut seen.packet);
            at += 1;
        }
    }

    /// Phase: where the flows probably are. Their own lines are asked for.
    #[inline(never)]
    fn look_ahead(&self, seen: &mut [Seen]) {
        for seen in seen {
            self.table.look_ahead(&mut seen.guess);
        }
    }

    /// Phase: what becomes of the frames.
    #[inline(never)]
    fn dispatch(&mut self, now: Instant, way: Way, seen: &[Seen], burst: &mut Burst<P::Buffer>) {
        for (seen, frame) in seen.iter().zip(burst.drain(..)) {
            self.dispatch_one(now, way, seen, frame);
        }
    }

    /// A frame that is certainly ours, and came in at some time before.
    pub(super) fn classify_one(&mut self, now: Instant, port: PortId, frame: P::Buffer) {
        self.classify(now, port, &mut Burst::from_iter([frame]), true);
    }

    /// The pair becomes part of the segment.
    #[inline(always)]
    fn guess(&self, way: Way, packet: &mut Packet) -> Guess {
        let (quad, segment) = match packet {
            Packet::Tcp(headers) => (&headers.quad, &mut headers.segment),
            Packet::IcmpError(error) => (&error.quad, &mut error.segment),
            Packet::Other => return Guess::NOWHERE,
        };
        *segment = segment.of_pair(way.pair);
        self.table.guess(quad, *segment)
    }

    #[inline(always)]
    fn owner(&self, packet: &Packet) -> usize {
        if matches!(self.steering, Steering::Single) {
            return self.id;
        }
        match packet {
            Packet::Tcp(headers) if !is_placed_by_addresses(headers) => {
                self.steering.owner_of_segment(&headers.quad, self.id)
            }
            Packet::Tcp(headers) => self.steering.owner_of_flow(&headers.quad, self.id),
            Packet::IcmpError(error) => self.steering.owner_of_flow(&error.quad, self.id),
            Packet::Other => self.id,
        }
    }

    #[inline(always)]
    fn dispatch_one(&mut self, now: Instant, way: Way, Seen { packet, guess }: &Seen, frame: P::Buffer) {
        match packet {
            Packet::Tcp(headers) => match self.table.find_guessed(guess, &headers.quad, headers.segment) {
                Some((slot, direction)) => {
                    if let Some(frame) = self.carry_plain(now, way, slot, direction, headers, frame) {
                        self.carry(now, way.port, slot, direction, headers, frame);
                    }
                }
                None => self.admit(now, way.port, headers, frame),
            },
            Packet::IcmpError(error) => self.icmp_error(way.port, guess, error, frame),
            Packet::Other => self.pass(way.port, frame),
        }
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
        match self.table.find_guessed(guess, &error.quad, error.segment) {
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
