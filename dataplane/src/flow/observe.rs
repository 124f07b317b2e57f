//! What a worker learns of a connection from the segments that pass: how far each end has sent and acknowledged, how far it
//! may send, and where it is in its life. A later split stands on it (DESIGN section 6), so whoever forges must move nothing.

use super::object::Object;
use super::quad::Direction;
use super::state::{self, Observed, TcpState};
use crate::packet::TcpHeaders;
use crate::wire::seq::Seq;
use crate::wire::tcp_flags::TcpFlags;

impl Object {
    /// Follows the connection by a segment that passes.
    pub fn observe(&mut self, direction: Direction, headers: &TcpHeaders) {
        if self.tcp == TcpState::Established && !headers.flags.intersects(DECIDING) {
            // Nothing that could move the state, as of nearly all segments.
            return self.follow_open(direction, headers);
        }
        self.observe_deciding(direction, headers);
    }

    #[inline(never)]
    fn observe_deciding(&mut self, direction: Direction, headers: &TcpHeaders) {
        // A RST that nobody obeys tells nothing, nor a SYN that is another connection's.
        if let Some(observed) = observed(self, direction, headers) {
            self.follow(direction, headers);
            self.tcp = state::next(self.tcp, direction, observed);
        }
    }

    /// What the segment's sender has sent and acknowledged, and the window that it gives.
    fn follow(&mut self, direction: Direction, headers: &TcpHeaders) {
        let end = headers.seq.advance(headers.sequence_len());
        let is_opening = self.tcp.is_opening();
        let is_syn = headers.flags.syn();
        // Nothing comes after a FIN: where it ends, whatever was seen before. A SYN begins, before the handshake is over.
        let is_exact = is_credible_fin(self, direction, headers) || (is_syn && is_opening);
        self.follow_sent(direction, headers.seq, end, is_exact);
        if !headers.flags.ack() {
            return;
        }
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        let shift = if is_syn { 0 } else { self.terms.shift(direction) };
        let window = u32::from(headers.window) << shift;
        let ack = headers.ack.minus(self.other_delta(direction));
        if is_opening {
            // There is nothing yet that these numbers could be compared with.
            self.track[direction.index()].ack = ack;
            self.edges[direction.reverse().index()] = ack.advance(window);
            return;
        }
        self.follow_acknowledged(direction, ack, window);
    }

    /// The same of a segment without control bits that decide anything, of a connection that is open.
    fn follow_open(&mut self, direction: Direction, headers: &TcpHeaders) {
        let end = headers.seq.advance(headers.payload_len());
        self.follow_sent(direction, headers.seq, end, false);
        self.follow_answer(direction, headers);
    }

    /// The same if the segment does not leap; false, and nothing done, if it does.
    #[inline(always)]
    pub fn follow_next(&mut self, direction: Direction, headers: &TcpHeaders) -> bool {
        let own = direction.index();
        let (seen, end) = (self.track[own].end, headers.seq.advance(headers.payload_len()));
        if headers.seq != seen {
            // What is repeated moves nothing.
            if end.gt(seen) {
                return false;
            }
        } else if !self.terms.are_known() || seen.le(self.edges[own]) {
            self.track[own].end = end;
        }
        self.follow_answer(direction, headers);
        true
    }

    #[inline(always)]
    fn follow_answer(&mut self, direction: Direction, headers: &TcpHeaders) {
        if headers.flags.ack() {
            let window = u32::from(headers.window) << self.terms.shift(direction);
            self.follow_acknowledged(direction, headers.ack.minus(self.other_delta(direction)), window);
        }
    }

    /// What begins beyond the right edge nobody takes: a forged segment must not move the boundary of a split. What begins
    /// before it some take to its end (Linux does).
    #[inline(always)]
    fn follow_sent(&mut self, direction: Direction, seq: Seq, end: Seq, is_exact: bool) {
        let own = direction.index();
        if !self.terms.are_known() || seq.le(self.edges[own]) {
            let track = &mut self.track[own];
            track.end = if is_exact { end } else { track.end.max(end) };
        }
    }

    /// Nobody acknowledges what could not be sent: who guesses must move nothing.
    #[inline(always)]
    fn follow_acknowledged(&mut self, direction: Direction, ack: Seq, window: u32) {
        let [own, opposite] = [direction.index(), direction.reverse().index()];
        let knows_edges = self.terms.are_known();
        if knows_edges && ack.gt(self.edges[opposite].max(self.track[opposite].end)) {
            return;
        }
        self.track[own].ack = self.track[own].ack.max(ack);
        if knows_edges {
            self.edges[opposite] = self.edges[opposite].max(ack.advance(window));
        }
    }

    /// What goes from `seq` to `end` does not begin where all that was seen before has ended, and ends beyond: something was lost
    /// before us, or a bit in the number is wrong.
    #[inline(always)]
    pub fn leaps(&self, direction: Direction, seq: Seq, end: Seq) -> bool {
        let seen = self.track[direction.index()].end;
        seq != seen && end.gt(seen)
    }
}

/// Control bits that open or close a connection.
pub const DECIDING: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0);

/// What a segment means to the observed state; `None` for a RST that its receiver would not obey, and for a SYN behind the
/// handshake.
fn observed(object: &Object, direction: Direction, headers: &TcpHeaders) -> Option<Observed> {
    let flags = headers.flags;
    if flags.rst() {
        return is_obeyed(object, direction, headers).then_some(Observed::Rst);
    }
    if flags.syn() {
        return match flags.ack() {
            true => Some(Observed::SynAck),
            false => object.tcp.is_opening().then_some(Observed::Syn),
        };
    }
    let reverse = direction.reverse();
    let fin_acked = object.tcp.fin_seen(reverse)
        && flags.ack()
        && headers.ack.minus(object.other_delta(direction)).ge(object.track[reverse.index()].end);
    Some(match (is_credible_fin(object, direction, headers), fin_acked) {
        (true, true) => Observed::FinAndAcked,
        (true, false) => Observed::Fin,
        (false, true) => Observed::FinAcked,
        (false, false) => Observed::Plain,
    })
}

/// A FIN that its receiver can believe: who guesses closes nothing. It is not beyond the right edge, and not before what has
/// been acknowledged.
#[inline]
fn is_credible_fin(object: &Object, direction: Direction, headers: &TcpHeaders) -> bool {
    let (own, receiver) = (direction.index(), direction.reverse().index());
    let end = headers.seq.advance(headers.sequence_len());
    let fits = headers.seq.le(object.edges[own]) && end.ge(object.track[receiver].ack);
    headers.flags.fin() && (fits || !object.terms.are_known())
}

/// Whether a RST ends the connection at its receiver: it has exactly the next byte expected (RFC 5961 section 3.2), or
/// it answers the SYN and acknowledges it (RFC 9293 section 3.10.7.3; refusals of firewalls look the same).
fn is_obeyed(object: &Object, direction: Direction, headers: &TcpHeaders) -> bool {
    let (sender, receiver) = (object.track[direction.index()], object.track[direction.reverse().index()]);
    let is_next = headers.seq == receiver.ack || headers.seq == sender.end;
    let answers_syn =
        || headers.flags.ack() && headers.ack.minus(object.other_delta(direction)) == receiver.end;
    match (object.tcp, direction) {
        (TcpState::SynSent, Direction::ServerToClient) => answers_syn(),
        (TcpState::SynReceived, Direction::ServerToClient) => answers_syn() || is_next,
        _ => is_next,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::object::Track;
    use crate::flow::quad::{Addresses, Quad, Segment};
    use crate::flow::terms::Terms;
    use crate::wire::seq::Delta;

    /// Near a number of the object, on either side, or anywhere, half of all numbers away too.
    fn near() -> impl Strategy<Value = u32> {
        let close = prop_oneof![Just(0), 0u32..3000, (0u32..3000).prop_map(u32::wrapping_neg)];
        prop_oneof![4 => close, 1 => any::<u32>(), 1 => Just(1 << 31), 1 => Just((1 << 31) + 1)]
    }

    /// A segment with data from `seq` on, and an acknowledgment perhaps.
    fn segment(seq: Seq, len: u16, ack: Seq, flags: TcpFlags, window: u16) -> TcpHeaders {
        let addresses = Addresses::V4([10, 0, 0, 1], [10, 0, 0, 2]);
        TcpHeaders {
            quad: Quad { addresses, client_port: 1, server_port: 2 },
            segment: Segment(0),
            l3: 14,
            l4: 34,
            payload: 54,
            end: 54 + len,
            seq,
            ack,
            flags,
            window,
            first_fragment: false,
        }
    }

    proptest! {
        /// The short cut follows what it takes as the long way does, and takes what does not leap.
        #[test]
        fn the_short_cut_learns_what_the_long_way_learns(
            base in any::<u32>(),
            offsets in prop::array::uniform8(near()),
            (len, window, has_ack, is_back) in (0u16..3000, any::<u16>(), any::<bool>(), any::<bool>()),
            (shifts, delta) in (prop::option::of([0u8..15, 0u8..15]), prop_oneof![Just(0), any::<u32>()]),
        ) {
            let number = |at: usize| Seq(base.wrapping_add(offsets[at]));
            let track = [0, 2].map(|at| Track { end: number(at), ack: number(at + 1) });
            let terms = shifts.map_or(Terms::UNKNOWN, |shifts| Terms::new(Some(shifts), true, true));
            let object = Object {
                tcp: TcpState::Established,
                delta_c2s: Delta(delta as _),
                track,
                edges: [number(4), number(5)],
                terms,
                ..Object::FREE
            };
            let direction = if is_back { Direction::ServerToClient } else { Direction::ClientToServer };
            let flags = if has_ack { TcpFlags::ACK } else { TcpFlags::PSH };
            let headers = segment(number(6), len, number(7), flags, window);
            let (mut short, mut long) = (object, object);
            let taken = short.follow_next(direction, &headers);
            prop_assert_eq!(taken, !object.leaps(direction, headers.seq, headers.seq.advance(len.into())));
            if taken {
                long.observe(direction, &headers);
            }
            prop_assert_eq!((short.track, short.edges), (long.track, long.edges));
        }
    }
}
