//! Phase: the short cut of nearly all segments. The connection is open, the flow passes here and nobody looks at it, and nothing in
//! the segment could change that.
//!
//! It is no rule of its own: what it does [`Worker::carry`] comes to as well, and what it does not take goes there.

use super::classify::{Kind, Queue, Seen, Way};
use super::*;
use crate::buffer::ChecksumHint;
use crate::flow::object::Object;
use crate::flow::observe::DECIDING;
use crate::flow::quad::Direction;
use crate::flow::table::Guess;
use crate::packet::{Packet, TcpHeaders};
use crate::rewrite::delta::{self, Deltas};
use crate::wire::tcp_flags::TcpFlags;

impl<P: Port> Worker<P> {
    /// Carries frames from the first one of the queue on for as long as they are of one kind. One that has to go the long way ends
    /// that, too, and is given back. What `headers` reads is what this kind of frames says.
    #[inline(never)]
    pub(super) fn carry_run<'s>(
        &mut self,
        now: Instant,
        way: Way,
        queue: &mut Queue<'s, P::Buffer>,
        kind: Kind,
        headers: impl Fn(&Packet, &[u8]) -> Option<TcpHeaders>,
    ) -> Option<(&'s Seen, P::Buffer)> {
        let Worker { table, lines, counters, .. } = self;
        let line = &mut lines[usize::from(way.out.0)];
        let mut passage = Passage { now: now.as_millis() as u32, way, table, line, counters };
        queue.run(kind, |seen, frame| passage.carry(&seen.guess, |frame| headers(&seen.packet, frame), frame))
    }
}

/// The parts of a worker that plain segments of one port need.
struct Passage<'a, P: Port> {
    /// Milliseconds since start.
    now: u32,
    way: Way,
    table: &'a mut FlowTable,
    /// Where they go.
    line: &'a mut Line<P>,
    counters: &'a mut Counters,
}

impl<P: Port> Passage<'_, P> {
    /// A segment; given back when it is not for the short cut.
    ///
    /// Its headers are read once more by who knows its flow: so nothing of them has to be kept while that is looked for.
    #[inline(always)]
    fn carry(
        &mut self,
        guess: &Guess,
        headers: impl Fn(&[u8]) -> Option<TcpHeaders>,
        frame: P::Buffer,
    ) -> Option<P::Buffer> {
        let Some(TcpHeaders { quad, segment, flags, first_fragment, .. }) = headers(frame.bytes()) else {
            return Some(frame);
        };
        // What acknowledges nothing opens or resets a connection; said so, nobody asks for the bit again.
        let is_ordinary = flags.are(TcpFlags::ACK, DECIDING) && !first_fragment;
        if !is_ordinary || frame.checksum_hint() == ChecksumHint::Bad {
            return Some(frame);
        }
        let Some((slot, object)) = self.table.probable(guess) else { return Some(frame) };
        let (segment, is_v6) = (segment.of_pair(self.way.pair), quad.addresses.is_v6());
        let usual = |client_side: PortId| Object::usual(segment, is_v6, client_side.0);
        // Each direction has code of its own, in which all that depends on it is a constant.
        let is = object.as_usual();
        if is == usual(self.way.port) {
            if self.table.is_quad_of(slot, object, &quad) {
                return self.carry_in(slot, Direction::ClientToServer, headers, frame);
            }
        } else if is == usual(self.way.out) && self.table.is_quad_of(slot, object, &quad.reversed()) {
            return self.carry_in(slot, Direction::ServerToClient, headers, frame);
        }
        Some(frame)
    }

    #[inline(always)]
    fn carry_in(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: impl Fn(&[u8]) -> Option<TcpHeaders>,
        mut frame: P::Buffer,
    ) -> Option<P::Buffer> {
        let Some(headers) = headers(frame.bytes()) else { return Some(frame) };
        let object = self.table.object_mut(slot);
        if !object.follow_next(direction, &headers) {
            return Some(frame);
        }
        let deltas = Deltas { own: object.own_delta(direction), other: object.other_delta(direction) };
        object.last_seen = self.now;
        let datagram = headers.end - headers.l3;
        self.table.count(slot, direction, datagram);
        if !deltas.are_zero() {
            delta::apply(frame.bytes_mut(), &headers, deltas);
            self.counters.count(Counter::Rewritten);
        }
        match datagram > self.line.mtu {
            true => self.counters.count(Counter::DropMtu),
            false => self.line.send(frame, self.counters),
        }
        None
    }
}
