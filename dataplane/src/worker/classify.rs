//! Phase: what a frame is, whose it is, and which way it goes (DESIGN section 3, seed 001 FIG. 4).

use arrayvec::Drain;

use super::steer::Handed;
use super::*;
use crate::flow::quad::{Addresses, Segment};
use crate::flow::table::Guess;
use crate::packet::plain::{self, PlainIp, read_again};
use crate::packet::{self, IcmpError, Packet, TcpHeaders};
use crate::wire::ethernet;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::tcp::Combinations;

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

/// What a frame is, and where its flow probably is.
pub(super) struct Seen {
    pub guess: Guess,
    pub kind: Kind,
    /// What has been read of a frame that is not plain.
    pub packet: Packet,
}

/// What of a frame has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// That it is plain ([`plain::read`]), and begins no connection: its headers are read again.
    PlainV4,
    PlainV6,
    /// That it is plain, and begins a connection.
    OpeningV4,
    OpeningV6,
    /// All that there is to it.
    Any,
}

impl Seen {
    /// A place for it.
    pub(super) const NOTHING: Seen = Seen { guess: Guess::NOWHERE, kind: Kind::Any, packet: Packet::Other };
}

/// Frames in order, with what has been seen of them.
pub(super) struct Queue<'a, B> {
    seen: &'a [Seen],
    frames: Drain<'a, B, BURST>,
}

impl<'a, B> Queue<'a, B> {
    /// What the next one is.
    fn kind(&self) -> Option<Kind> {
        Some(self.seen.first()?.kind)
    }

    /// Those of this kind that come next, each handed to `carry`, until it gives one back.
    #[inline(always)]
    pub(super) fn run(
        &mut self,
        kind: Kind,
        mut carry: impl FnMut(&Seen, B) -> Option<B>,
    ) -> Option<(&'a Seen, B)> {
        // The queue itself is written to when they have gone, and not for each of them.
        let mut seen = std::mem::take(&mut self.seen);
        while let Some((first, rest)) = seen.split_first() {
            if first.kind != kind {
                self.seen = seen;
                break;
            }
            let frame = self.frames.next()?;
            if let Some(frame) = carry(first, frame) {
                self.seen = rest;
                return Some((first, frame));
            }
            seen = rest;
        }
        None
    }
}

/// What plain frames are read with. The table by itself: what it holds stays in registers, as nothing else of the worker's would.
struct Run<'a> {
    table: &'a FlowTable,
    segment: Segment,
}

impl Run<'_> {
    /// How many frames from the first one on are plain, of the family and sort that is of this `kind`, and ours. Their look-ups
    /// begin. Which sort that is, is known when this is compiled: asked of each frame it would be a twentieth of what one costs.
    #[inline(never)]
    fn read<Ip: PlainIp, const OPENING: bool, B: Buffer>(
        &self,
        kind: Kind,
        frames: &[B],
        places: &mut [Seen],
        is_mine: &impl Fn(&TcpHeaders) -> bool,
    ) -> usize {
        let Run { table, segment } = *self;
        let other = frames.iter().zip(places).position(|(frame, seen)| {
            let sort = if OPENING { Combinations::OPENING } else { Combinations::LATER };
            let headers = plain::read::<Ip>(frame.bytes(), sort).filter(is_mine);
            if let Some(headers) = headers {
                seen.kind = kind;
                seen.guess = table.guess(&headers.quad, segment);
            }
            headers.is_none()
        });
        other.unwrap_or(frames.len())
    }
}

/// Phase: where the flows probably are. Their own lines are asked for.
#[inline(never)]
fn look_ahead(table: &FlowTable, seen: &mut [Seen]) {
    for seen in seen {
        table.look_ahead(&mut seen.guess);
    }
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
        let have_begun = self.read(way, burst, &mut places, is_ours);
        let seen = &mut places[..burst.len()];
        if have_begun {
            look_ahead(&self.table, seen);
        }
        self.dispatch(now, way, seen, burst);
        self.seen = places;
    }

    /// Phase: what the frames are, and whose. Who is not ours, or nobody's, leaves the burst; the others' lines of the index are
    /// asked for. Says whether any of them does not begin a connection, as all do in a flood.
    #[inline(never)]
    fn read(&mut self, way: Way, burst: &mut Burst<P::Buffer>, places: &mut [Seen], is_ours: bool) -> bool {
        let (mut at, mut have_begun) = (0, false);
        while at < burst.len() {
            let (frames, run) = (&burst[at..], &mut places[at..]);
            let read = match is_ours || matches!(self.steering, Steering::Single) {
                true => self.read_plain(way, frames, run, |_| true),
                false => self.read_plain(way, frames, run, |headers| self.is_mine(*headers)),
            };
            let first = at;
            at += match read {
                0 => self.read_any(way, burst, at, &mut places[at], is_ours),
                n => n,
            };
            have_begun |= !matches!(places[first].kind, Kind::OpeningV4 | Kind::OpeningV6);
        }
        have_begun
    }

    /// How many frames from the first one on are plain, of one family and sort, and ours.
    #[inline(always)]
    fn read_plain(
        &self,
        way: Way,
        frames: &[P::Buffer],
        places: &mut [Seen],
        is_mine: impl Fn(&TcpHeaders) -> bool,
    ) -> usize {
        let run = Run { table: &self.table, segment: Segment(0).of_pair(way.pair) };
        // Nearly all are of connections that there are already; those that begin one come in runs when they are many.
        let mut read = run.read::<Ipv4Header, false, _>(Kind::PlainV4, frames, places, &is_mine);
        if read == 0 {
            read = run.read::<Ipv6Header, false, _>(Kind::PlainV6, frames, places, &is_mine);
        }
        if read == 0 {
            read = run.read::<Ipv4Header, true, _>(Kind::OpeningV4, frames, places, &is_mine);
        }
        if read == 0 {
            read = run.read::<Ipv6Header, true, _>(Kind::OpeningV6, frames, places, &is_mine);
        }
        read
    }

    /// The frame at `at`, whatever it is. How many frames that makes: none, when it has left the burst.
    #[inline(never)]
    fn read_any(
        &mut self,
        way: Way,
        burst: &mut Burst<P::Buffer>,
        at: usize,
        seen: &mut Seen,
        is_ours: bool,
    ) -> usize {
        seen.kind = Kind::Any;
        seen.packet = match packet::parse_any(burst[at].bytes()) {
            Ok(packet) => packet,
            Err(reason) => {
                self.counters.count(reason);
                burst.remove(at);
                return 0;
            }
        };
        let owner = if is_ours { self.id } else { self.owner(&seen.packet) };
        if owner != self.id {
            self.hand_over(owner, way.port, burst.remove(at));
            return 0;
        }
        seen.guess = self.guess(way, &mut seen.packet);
        1
    }

    /// Phase: what becomes of the frames.
    #[inline(never)]
    fn dispatch(&mut self, now: Instant, way: Way, seen: &[Seen], burst: &mut Burst<P::Buffer>) {
        let mut queue = Queue { seen, frames: burst.drain(..) };
        while let Some(kind) = queue.kind() {
            let left = match kind {
                Kind::PlainV4 => {
                    self.carry_run(now, way, &mut queue, kind, |_, frame| read_again::<Ipv4Header>(frame))
                }
                Kind::PlainV6 => {
                    self.carry_run(now, way, &mut queue, kind, |_, frame| read_again::<Ipv6Header>(frame))
                }
                Kind::OpeningV4 => self.open_run::<Ipv4Header>(now, way, &mut queue, kind),
                Kind::OpeningV6 => self.open_run::<Ipv6Header>(now, way, &mut queue, kind),
                Kind::Any => {
                    self.carry_run(now, way, &mut queue, kind, |packet, _| packet.segment().copied())
                }
            };
            if let Some((seen, frame)) = left {
                self.dispatch_one(now, way, seen, frame);
            }
        }
    }

    /// SYNs, one after the other for as long as they are of one family: nothing that is carried at once is among them.
    #[inline(never)]
    fn open_run<'s, Ip: PlainIp>(
        &mut self,
        now: Instant,
        way: Way,
        queue: &mut Queue<'s, P::Buffer>,
        kind: Kind,
    ) -> Option<(&'s Seen, P::Buffer)> {
        queue.run(kind, |seen, frame| {
            let Some(headers) = read_again::<Ip>(frame.bytes()) else { return Some(frame) };
            let segment = headers.segment.of_pair(way.pair);
            self.dispatch_segment(now, way, &seen.guess, &TcpHeaders { segment, ..headers }, frame);
            None
        })
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

    fn owner(&self, packet: &Packet) -> usize {
        match packet {
            Packet::Tcp(headers) => self.owner_of_segment(headers),
            Packet::IcmpError(error) => self.steering.owner_of_flow(&error.quad, self.id),
            Packet::Other => self.id,
        }
    }

    /// By value, so that nobody who knows the answer has to write down the headers.
    #[inline(never)]
    fn is_mine(&self, headers: TcpHeaders) -> bool {
        self.owner_of_segment(&headers) == self.id
    }

    fn owner_of_segment(&self, headers: &TcpHeaders) -> usize {
        match is_placed_by_addresses(headers) {
            true => self.steering.owner_of_flow(&headers.quad, self.id),
            false => self.steering.owner_of_segment(&headers.quad, self.id),
        }
    }

    /// A frame that is not carried at once.
    #[inline(never)]
    fn dispatch_one(&mut self, now: Instant, way: Way, seen: &Seen, frame: P::Buffer) {
        let Seen { guess, kind, packet } = seen;
        let plain = match kind {
            Kind::PlainV4 | Kind::OpeningV4 => read_again::<Ipv4Header>(frame.bytes()),
            Kind::PlainV6 | Kind::OpeningV6 => read_again::<Ipv6Header>(frame.bytes()),
            Kind::Any => {
                return match packet {
                    Packet::Tcp(headers) => self.dispatch_segment(now, way, guess, headers, frame),
                    Packet::IcmpError(error) => self.icmp_error(way.port, guess, error, frame),
                    Packet::Other => self.pass(way.port, frame),
                };
            }
        };
        // It was long enough the first time.
        let Some(headers) = plain else { return self.counters.count(Counter::DropMalformedEthernet) };
        let segment = headers.segment.of_pair(way.pair);
        self.dispatch_segment(now, way, guess, &TcpHeaders { segment, ..headers }, frame);
    }

    #[inline(always)]
    fn dispatch_segment(
        &mut self,
        now: Instant,
        way: Way,
        guess: &Guess,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        match self.table.find_guessed(guess, &headers.quad, headers.segment) {
            Some((slot, direction)) => self.carry(now, way.port, slot, direction, headers, frame),
            None => self.admit(now, way.port, headers, frame),
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
