//! What the worker believes of a TCP connection that it only observes: a pure function of what passes.
//!
//! Closing is tracked per direction, because a lingering entry may only go when both FINs have been acknowledged, and
//! because a merge or split has to know which direction is still open. The table below is the whole rule.

use super::quad::Direction;

/// Observed state of a connection (RFC 9293 section 3.3.2, seen from the middle).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// The client's SYN has passed.
    SynSent,
    /// The server's SYN-ACK has passed.
    SynReceived,
    /// Open in both directions.
    Established,
    /// The client has sent FIN.
    ClientFin,
    /// The server has acknowledged the client's FIN and may still send.
    ClientClosed,
    /// The server has sent FIN.
    ServerFin,
    /// The client has acknowledged the server's FIN and may still send.
    ServerClosed,
    /// Both have sent FIN, none is acknowledged.
    BothFin,
    /// Both have sent FIN, the client's is acknowledged.
    BothFinClientClosed,
    /// Both have sent FIN, the server's is acknowledged.
    BothFinServerClosed,
    /// Both FINs are acknowledged.
    Closed,
    /// Either side has sent RST.
    Reset,
}

/// What a passing segment means to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Observed {
    /// SYN without ACK.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// A segment without SYN, FIN, RST.
    Plain,
    /// FIN.
    Fin,
    /// Acknowledges the other side's FIN (and is not itself a FIN).
    FinAcked,
    /// FIN that also acknowledges the other side's.
    FinAndAcked,
    /// RST.
    Rst,
}

impl TcpState {
    /// All states, for tests and tables.
    pub const ALL: [TcpState; 12] = [
        TcpState::SynSent,
        TcpState::SynReceived,
        TcpState::Established,
        TcpState::ClientFin,
        TcpState::ClientClosed,
        TcpState::ServerFin,
        TcpState::ServerClosed,
        TcpState::BothFin,
        TcpState::BothFinClientClosed,
        TcpState::BothFinServerClosed,
        TcpState::Closed,
        TcpState::Reset,
    ];

    /// The handshake is not over.
    pub const fn is_opening(self) -> bool {
        matches!(self, TcpState::SynSent | TcpState::SynReceived)
    }

    /// The connection is over; only stragglers are expected, and a SYN begins another one.
    pub const fn is_over(self) -> bool {
        matches!(self, TcpState::Closed | TcpState::Reset)
    }

    /// `direction`'s sender has sent its FIN.
    pub const fn fin_seen(self, direction: Direction) -> bool {
        use TcpState::*;
        match direction {
            Direction::ClientToServer => matches!(
                self,
                ClientFin | ClientClosed | BothFin | BothFinClientClosed | BothFinServerClosed | Closed
            ),
            Direction::ServerToClient => matches!(
                self,
                ServerFin | ServerClosed | BothFin | BothFinClientClosed | BothFinServerClosed | Closed
            ),
        }
    }
}

/// Effect of FIN, FIN's acknowledgment, and both, by state, for segments of the client; then of the server.
const CLOSING: [[[TcpState; 3]; 2]; 12] = {
    use TcpState::*;
    [
        [[ClientFin, SynSent, ClientFin], [ServerFin, SynSent, ServerFin]],
        [[ClientFin, SynReceived, ClientFin], [ServerFin, SynReceived, ServerFin]],
        [[ClientFin, Established, ClientFin], [ServerFin, Established, ServerFin]],
        // ClientFin
        [[ClientFin, ClientFin, ClientFin], [BothFin, ClientClosed, BothFinClientClosed]],
        // ClientClosed
        [
            [ClientClosed, ClientClosed, ClientClosed],
            [BothFinClientClosed, ClientClosed, BothFinClientClosed],
        ],
        // ServerFin
        [[BothFin, ServerClosed, BothFinServerClosed], [ServerFin, ServerFin, ServerFin]],
        // ServerClosed
        [
            [BothFinServerClosed, ServerClosed, BothFinServerClosed],
            [ServerClosed, ServerClosed, ServerClosed],
        ],
        // BothFin
        [
            [BothFin, BothFinServerClosed, BothFinServerClosed],
            [BothFin, BothFinClientClosed, BothFinClientClosed],
        ],
        // BothFinClientClosed
        [
            [BothFinClientClosed, Closed, Closed],
            [BothFinClientClosed, BothFinClientClosed, BothFinClientClosed],
        ],
        // BothFinServerClosed
        [
            [BothFinServerClosed, BothFinServerClosed, BothFinServerClosed],
            [BothFinServerClosed, Closed, Closed],
        ],
        [[Closed, Closed, Closed], [Closed, Closed, Closed]],
        [[Reset, Reset, Reset], [Reset, Reset, Reset]],
    ]
};

/// The state after a segment that travels in `direction`.
pub const fn next(state: TcpState, direction: Direction, observed: Observed) -> TcpState {
    let closing = match observed {
        Observed::Rst => return TcpState::Reset,
        Observed::Syn => return state,
        Observed::SynAck | Observed::Plain => return opening(state, direction, observed),
        Observed::Fin => 0,
        Observed::FinAcked => 1,
        Observed::FinAndAcked => 2,
    };
    CLOSING[state as usize][direction as usize][closing]
}

/// The three-way handshake: SYN-ACK from the server, then anything from the client.
const fn opening(state: TcpState, direction: Direction, observed: Observed) -> TcpState {
    match (state, direction, observed) {
        (TcpState::SynSent, Direction::ServerToClient, Observed::SynAck) => TcpState::SynReceived,
        (TcpState::SynReceived, Direction::ClientToServer, Observed::Plain) => TcpState::Established,
        _ => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ClientToServer as C, ServerToClient as S};
    use Observed::*;

    const EVENTS: [Observed; 7] = [Syn, SynAck, Plain, Fin, FinAcked, FinAndAcked, Rst];

    fn walk(steps: &[(Direction, Observed)]) -> TcpState {
        steps.iter().fold(TcpState::SynSent, |state, (direction, event)| next(state, *direction, *event))
    }

    #[test]
    fn a_usual_life() {
        let open = [(S, SynAck), (C, Plain)];
        assert_eq!(walk(&open), TcpState::Established);
        let closed = [(S, SynAck), (C, Plain), (C, Fin), (S, FinAcked), (S, Fin), (C, FinAcked)];
        assert_eq!(walk(&closed), TcpState::Closed);
        let quick = [(S, SynAck), (C, Plain), (S, Fin), (C, FinAndAcked), (S, FinAcked)];
        assert_eq!(walk(&quick), TcpState::Closed);
        let both = [(S, SynAck), (C, Plain), (S, Fin), (C, Fin), (S, FinAcked), (C, FinAcked)];
        assert_eq!(walk(&both), TcpState::Closed);
    }

    #[test]
    fn every_state_and_event_keeps_what_must_hold() {
        for state in TcpState::ALL {
            for direction in [C, S] {
                for event in EVENTS {
                    let after = next(state, direction, event);
                    if state.is_over() && event != Rst {
                        assert_eq!(after, state, "{state:?} is final for {event:?}");
                    }
                    if event == Rst {
                        assert_eq!(after, TcpState::Reset);
                        continue;
                    }
                    for side in [C, S] {
                        assert!(
                            !state.fin_seen(side) || after.fin_seen(side) || state.is_over(),
                            "a FIN is unsent"
                        );
                    }
                    let fin = matches!(event, Fin | FinAndAcked);
                    if fin && !state.is_over() {
                        assert!(after.fin_seen(direction), "{state:?} {direction:?} {event:?} -> {after:?}");
                    }
                    if !fin {
                        assert_eq!(state.fin_seen(direction), after.fin_seen(direction));
                    }
                }
            }
        }
    }

    #[test]
    fn both_directions_are_mirror_images() {
        let mirror = |s: TcpState| {
            use TcpState::*;
            match s {
                ClientFin => ServerFin,
                ServerFin => ClientFin,
                ClientClosed => ServerClosed,
                ServerClosed => ClientClosed,
                BothFinClientClosed => BothFinServerClosed,
                BothFinServerClosed => BothFinClientClosed,
                other => other,
            }
        };
        for state in TcpState::ALL {
            for event in [Fin, FinAcked, FinAndAcked, Rst] {
                assert_eq!(mirror(next(state, C, event)), next(mirror(state), S, event));
            }
        }
    }
}
