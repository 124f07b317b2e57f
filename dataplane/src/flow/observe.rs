//! What a worker learns of a connection from the segments that pass: how far each end has sent and acknowledged, how far it
//! may send, and where it is in its life. A later split stands on it (DESIGN section 6), so whoever forges must move nothing.

use super::object::Object;
use super::quad::Direction;
use super::state::{self, Observed, TcpState};
use crate::packet::TcpHeaders;

impl Object {
    /// Follows the connection by a segment that passes.
    #[inline]
    pub fn observe(&mut self, direction: Direction, headers: &TcpHeaders) {
        // A RST that nobody obeys tells nothing.
        if let Some(observed) = observed(self, direction, headers) {
            follow(self, direction, headers);
            self.tcp = state::next(self.tcp, direction, observed);
        }
    }
}

/// What the segment's sender has sent and acknowledged, and the window that it gives.
#[inline]
fn follow(object: &mut Object, direction: Direction, headers: &TcpHeaders) {
    let end = headers.seq.advance(headers.sequence_len());
    let [own, opposite] = [direction.index(), direction.reverse().index()];
    let other_delta = object.other_delta(direction);
    let knows_edges = object.terms.are_known();
    let track = &mut object.track[own];
    // What begins beyond the right edge nobody takes: a forged segment must not move the boundary of a split. What begins
    // before it some take to its end (Linux does).
    if !knows_edges || headers.seq.le(object.edges[own]) {
        // Nothing comes after a FIN: where it ends, whatever was seen before. A SYN begins, before the handshake is over.
        let exact = headers.flags.fin() || (headers.flags.syn() && object.tcp.is_opening());
        track.end = if exact { end } else { track.end.max(end) };
    }
    if !headers.flags.ack() {
        return;
    }
    let ack = headers.ack.minus(other_delta);
    // The window of a SYN is never scaled (RFC 7323 section 2.2).
    let shift = if headers.flags.syn() { 0 } else { object.terms.shift(direction) };
    let window = u32::from(headers.window) << shift;
    if object.tcp.is_opening() {
        // There is nothing yet that these numbers could be compared with.
        object.track[own].ack = ack;
        object.edges[opposite] = ack.advance(window);
        return;
    }
    // Nobody acknowledges what could not be sent: who guesses must move nothing.
    if knows_edges && ack.gt(object.edges[opposite].max(object.track[opposite].end)) {
        return;
    }
    object.track[own].ack = object.track[own].ack.max(ack);
    if knows_edges {
        object.edges[opposite] = object.edges[opposite].max(ack.advance(window));
    }
}

/// What a segment means to the observed state; `None` for a RST that its receiver would not obey.
fn observed(object: &Object, direction: Direction, headers: &TcpHeaders) -> Option<Observed> {
    let flags = headers.flags;
    if flags.rst() {
        return is_obeyed(object, direction, headers).then_some(Observed::Rst);
    }
    if flags.syn() {
        return Some(if flags.ack() { Observed::SynAck } else { Observed::Syn });
    }
    let reverse = direction.reverse();
    let fin_acked = object.tcp.fin_seen(reverse)
        && flags.ack()
        && headers.ack.minus(object.other_delta(direction)).ge(object.track[reverse.index()].end);
    Some(match (flags.fin(), fin_acked) {
        (true, true) => Observed::FinAndAcked,
        (true, false) => Observed::Fin,
        (false, true) => Observed::FinAcked,
        (false, false) => Observed::Plain,
    })
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
