//! What does not belong to a connection as it has been observed: out of window, or in the wrong state (seed 001: "depending
//! on what the application knows about the state of the connection").
//!
//! Bounds are those of Linux' receivers and of its connection tracking (G. van Rooij, "Real Stateful TCP Packet Filtering
//! in IP Filter", 2000): whatever an end might take, or has to answer, passes. That includes repetitions of what was taken
//! long ago, keep-alives one byte before the window, and probes of one byte at its edge.

use crate::counters::Counter;
use crate::flow::object::Object;
use crate::flow::quad::Direction;
use crate::flow::state::TcpState;
use crate::packet::TcpHeaders;
use crate::wire::seq::Seq;

/// How far back a repetition may reach at least, bytes: a window without scaling, as connection tracking has it.
const LEAST_SLACK: u32 = 66_000;

/// Why a segment that travels `direction` does not belong to the connection; `None` when it does.
pub fn strange(object: &Object, direction: Direction, headers: &TcpHeaders) -> Option<Counter> {
    let flags = headers.flags;
    match object.tcp {
        TcpState::SynSent => return before_answer(object, direction, headers),
        TcpState::SynReceived => return before_completion(object, direction, headers),
        // Its end may go on until it hears of the RST, and is told again.
        TcpState::Reset => return None,
        _ => {}
    }
    let sent = Sent::of(object, direction);
    let end = headers.seq.advance(headers.sequence_len());
    if flags.syn() {
        // A repeated SYN or SYN-ACK of this very connection: its answer was lost behind us.
        let is_repeated = headers.seq.advance(1) == sent.acknowledged;
        // One that begins another: its receiver says what it expects, or has forgotten this one (`worker/anew.rs`). In its
        // window some would give the connection up for it (RFC 9293 section 3.10.7.4, what RFC 5961 section 4 mends).
        let begins_another = !flags.ack() && !sent.may_be_taken(headers.seq);
        let passes = (is_repeated || begins_another) && headers.payload_len() == 0;
        return (!passes).then_some(Counter::DropSynInConnection);
    }
    if sent.edge.is_some_and(|edge| headers.seq.gt(edge)) {
        return Some(Counter::DropWindowBeyond);
    }
    if flags.rst() {
        // RFC 5961 section 3.2: obeyed, or challenged. One before the window is neither.
        return headers.seq.lt(sent.acknowledged).then_some(Counter::DropWindowBefore);
    }
    if end.lt(sent.acknowledged.retreat(sent.slack())) {
        return Some(Counter::DropWindowBefore);
    }
    if object.tcp.fin_seen(direction) && end.gt(sent.end) {
        return Some(Counter::DropAfterFin);
    }
    strange_ack(object, direction, headers)
}

/// The acknowledgment: of what was never sent, or of what was acknowledged long ago (RFC 5961 section 5).
fn strange_ack(object: &Object, direction: Direction, headers: &TcpHeaders) -> Option<Counter> {
    if !headers.flags.ack() {
        return None;
    }
    let other = Sent::of(object, direction.reverse());
    let ack = headers.ack.minus(object.other_delta(direction));
    if ack.gt(other.end) {
        return Some(Counter::DropAckUnsent);
    }
    ack.lt(other.acknowledged.retreat(other.slack())).then_some(Counter::DropAckOld)
}

/// The client's SYN is all that has passed. Its server may accept, refuse, or challenge it (RFC 9293 section 3.10.7.4).
fn before_answer(object: &Object, direction: Direction, headers: &TcpHeaders) -> Option<Counter> {
    let flags = headers.flags;
    match direction {
        Direction::ClientToServer => {
            let passes = (flags.syn() && !flags.ack()) || flags.rst();
            (!passes).then_some(Counter::DropBeforeHandshake)
        }
        Direction::ServerToClient if headers.payload_len() > 0 => Some(Counter::DropBeforeHandshake),
        Direction::ServerToClient if flags.ack() && (flags.syn() || flags.rst()) => {
            // RFC 9293 section 3.10.7.3: neither opens nor refuses anything unless it is about this SYN.
            let ack = headers.ack.minus(object.other_delta(direction));
            (ack != object.track[Direction::ClientToServer.index()].end).then_some(Counter::DropAckUnsent)
        }
        Direction::ServerToClient => None,
    }
}

/// The SYN-ACK has passed, and its answer has not: of what the client takes nothing is known yet.
fn before_completion(object: &Object, direction: Direction, headers: &TcpHeaders) -> Option<Counter> {
    let flags = headers.flags;
    let [client, server] = object.track;
    match direction {
        Direction::ClientToServer if flags.syn() => {
            (headers.seq.advance(1) != server.ack).then_some(Counter::DropSynInConnection)
        }
        Direction::ClientToServer if flags.rst() => None,
        Direction::ClientToServer => {
            let ack = headers.ack.minus(object.other_delta(direction));
            let beyond = object.terms.are_known() && headers.seq.gt(object.edges[direction.index()]);
            match () {
                // RFC 9293 section 3.10.7.4: neither more nor less than the SYN-ACK.
                () if ack != server.end => Some(Counter::DropAckUnsent),
                () if headers.seq.lt(client.end) => Some(Counter::DropWindowBefore),
                () if beyond => Some(Counter::DropWindowBeyond),
                () => None,
            }
        }
        Direction::ServerToClient if flags.syn() => {
            let is_repeated = headers.seq.advance(1) == server.end && headers.payload_len() == 0;
            (!is_repeated).then_some(Counter::DropSynInConnection)
        }
        Direction::ServerToClient => (!flags.rst()).then_some(Counter::DropBeforeHandshake),
    }
}

/// What is known of the bytes of one direction, in its sender's space.
#[derive(Debug, Clone, Copy)]
struct Sent {
    end: Seq,
    acknowledged: Seq,
    /// The highest right edge that the receiver has given; unknown without a handshake.
    edge: Option<Seq>,
}

impl Sent {
    fn of(object: &Object, direction: Direction) -> Sent {
        let (own, opposite) = (direction.index(), direction.reverse().index());
        Sent {
            end: object.track[own].end,
            acknowledged: object.track[opposite].ack,
            edge: object.terms.are_known().then_some(object.edges[own]),
        }
    }

    /// Whether the number may lie in its receiver's window.
    fn may_be_taken(&self, seq: Seq) -> bool {
        seq.ge(self.acknowledged) && self.edge.is_none_or(|edge| seq.le(edge))
    }

    /// By how much something old may be older than what is acknowledged: at most what could be in flight.
    fn slack(&self) -> u32 {
        self.edge.map_or(0, |edge| self.acknowledged.distance_to(edge)).max(LEAST_SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::object::{Object, Track};
    use crate::flow::quad::{Quad, Segment};
    use crate::flow::terms::Terms;
    use crate::wire::seq::Delta;
    use crate::wire::tcp_flags::TcpFlags;
    use Direction::{ClientToServer as C, ServerToClient as S};

    const ACK: TcpFlags = TcpFlags::ACK;
    const SYN: TcpFlags = TcpFlags::SYN;
    const FIN: TcpFlags = TcpFlags::FIN;
    const RST: TcpFlags = TcpFlags::RST;
    /// The client's numbers wrap: 1000 of its bytes are in flight, 99,000 more would fit. The server has sent 500.
    const UNA: Seq = Seq(u32::MAX - 400);

    fn object(tcp: TcpState) -> Object {
        let track = [Track { end: UNA.advance(1000), ack: Seq(7500) }, Track { end: Seq(7500), ack: UNA }];
        let edges = [UNA.advance(100_000), Seq(7500 + 10_000)];
        Object { tcp, track, edges, terms: Terms::new(Some([7, 7]), true, true), ..Object::FREE }
    }

    fn segment(flags: TcpFlags, seq: Seq, ack: Seq, payload: u16) -> TcpHeaders {
        let quad = Quad::between("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()).unwrap();
        TcpHeaders {
            quad,
            segment: Segment(0),
            l3: 14,
            l4: 34,
            payload: 54,
            end: 54 + payload,
            seq,
            ack,
            flags,
            window: 0,
            first_fragment: false,
        }
    }

    #[test]
    fn the_clients_segments_in_an_open_connection() {
        use Counter::*;
        let cases = [
            ("the next data", ACK, 1000, 0, 1448, None),
            ("a repetition", ACK, 0, 0, 1000, None),
            ("one of long ago", ACK, -60_000, 0, 1448, None),
            ("a keep-alive", ACK, -1, 0, 0, None),
            ("an old keep-alive with a byte", ACK, -1, 0, 1, None),
            ("a probe at the edge", ACK, 100_000, 0, 1, None),
            ("a FIN at the edge", ACK | FIN, 100_000, 0, 0, None),
            ("what begins before the edge", ACK, 99_999, 0, 1448, None),
            ("what begins beyond it", ACK, 100_001, 0, 1, Some(DropWindowBeyond)),
            ("a FIN beyond it", ACK | FIN, 100_001, 0, 0, Some(DropWindowBeyond)),
            ("older than could be", ACK, -102_000, 0, 1448, Some(DropWindowBefore)),
            ("a RST that is next", RST, 1000, 0, 0, None),
            ("a RST where the receiver is", RST, 0, 0, 0, None),
            ("a RST in the window", RST, 5000, 0, 0, None),
            ("a RST before it", RST, -1, 0, 0, Some(DropWindowBefore)),
            ("a RST beyond it", RST | ACK, 100_001, 0, 0, Some(DropWindowBeyond)),
            ("an acknowledgment of nothing", ACK, 1000, 1, 0, Some(DropAckUnsent)),
            ("an old acknowledgment", ACK, 1000, -60_000, 0, None),
            ("a very old one", ACK, 1000, -66_001, 0, Some(DropAckOld)),
            ("a SYN", SYN, 5000, 0, 0, Some(DropSynInConnection)),
            ("a SYN-ACK", SYN | ACK, 5000, 0, 0, Some(DropSynInConnection)),
            ("a SYN of this connection", SYN, -1, 0, 0, None),
            ("the same with data", SYN, -1, 0, 1, Some(DropSynInConnection)),
            ("a SYN beyond the window", SYN, 100_001, 0, 0, None),
            ("a SYN before it", SYN, -2, 0, 0, None),
            ("a SYN-ACK before it", SYN | ACK, -2, 0, 0, Some(DropSynInConnection)),
        ];
        for delta in [0, 77] {
            // What acknowledges the server's bytes is in the client's view of them.
            let object = Object { delta_s2c: Delta(delta), ..object(TcpState::Established) };
            for (what, flags, seq, ack, payload, expected) in cases {
                let (seq, ack) =
                    (Seq(UNA.0.wrapping_add_signed(seq)), Seq(7500u32.wrapping_add_signed(ack + delta)));
                assert_eq!(strange(&object, C, &segment(flags, seq, ack, payload)), expected, "{what}");
            }
        }
    }

    #[test]
    fn nothing_follows_a_fin_but_itself() {
        let object = object(TcpState::ClientFin);
        let judge = |direction, flags, seq, ack, payload| {
            strange(&object, direction, &segment(flags, seq, ack, payload))
        };
        assert_eq!(judge(C, ACK | FIN, UNA.advance(999), Seq(7500), 0), None);
        assert_eq!(judge(C, ACK, UNA.advance(1000), Seq(7500), 0), None);
        assert_eq!(judge(C, ACK, UNA.advance(1000), Seq(7500), 1), Some(Counter::DropAfterFin));
        assert_eq!(judge(C, ACK | FIN, UNA.advance(1000), Seq(7500), 0), Some(Counter::DropAfterFin));
        assert_eq!(judge(S, ACK, Seq(7500), UNA.advance(1000), 1448), None, "the other end may go on");
    }

    #[test]
    fn before_the_server_has_answered() {
        let syn = Object { track: [Track { end: Seq(101), ack: Seq(0) }, Track::default()], ..Object::FREE };
        let judge = |direction, flags, ack, payload| {
            strange(&syn, direction, &segment(flags, Seq(9), Seq(ack), payload))
        };
        assert_eq!((judge(C, SYN, 0, 0), judge(C, RST, 0, 0)), (None, None));
        assert_eq!(judge(C, ACK, 1, 5), Some(Counter::DropBeforeHandshake));
        assert_eq!((judge(S, SYN | ACK, 101, 0), judge(S, RST | ACK, 101, 0)), (None, None));
        assert_eq!(judge(S, SYN | ACK, 102, 0), Some(Counter::DropAckUnsent));
        assert_eq!(judge(S, RST | ACK, 7, 0), Some(Counter::DropAckUnsent));
        assert_eq!((judge(S, ACK, 7, 0), judge(S, SYN, 0, 0)), (None, None), "the client answers with RST");
        assert_eq!(judge(S, ACK, 101, 1), Some(Counter::DropBeforeHandshake));
    }

    #[test]
    fn before_the_client_has_completed_the_handshake() {
        // Numbers so far apart that those which nobody has told yet seem to be ahead of them.
        let far = Seq(3 << 30);
        let track = [Track { end: Seq(101), ack: Seq(0) }, Track { end: far, ack: Seq(101) }];
        let edges = [Seq(1101), Seq(0)];
        let object = Object { track, edges, ..object(TcpState::SynReceived) };
        let judge = |direction, flags, seq, ack, payload| {
            strange(&object, direction, &segment(flags, seq, ack, payload))
        };
        assert_eq!((judge(C, ACK, Seq(101), far, 0), judge(C, ACK, Seq(101), far, 9)), (None, None));
        assert_eq!(judge(C, ACK, Seq(101), far.advance(1), 0), Some(Counter::DropAckUnsent));
        assert_eq!(judge(C, ACK, Seq(1102), far, 0), Some(Counter::DropWindowBeyond));
        assert_eq!((judge(C, SYN, Seq(100), Seq(0), 0), judge(C, RST, Seq(101), Seq(0), 0)), (None, None));
        assert_eq!(judge(C, SYN, Seq(900), Seq(0), 0), Some(Counter::DropSynInConnection));
        assert_eq!(judge(S, SYN | ACK, far.retreat(1), Seq(101), 0), None, "repeated");
        assert_eq!(judge(S, SYN | ACK, far, Seq(101), 0), Some(Counter::DropSynInConnection));
        assert_eq!(judge(S, ACK, far, Seq(101), 9), Some(Counter::DropBeforeHandshake));
    }

    #[test]
    fn without_a_handshake_nobody_knows_the_edge() {
        let object = Object { terms: Terms::UNKNOWN, ..object(TcpState::Established) };
        assert_eq!(strange(&object, C, &segment(ACK, UNA.advance(1 << 29), Seq(7500), 1)), None);
        assert_eq!(
            strange(&object, C, &segment(ACK, UNA.retreat(70_000), Seq(7500), 1)),
            Some(Counter::DropWindowBefore)
        );
    }
}
