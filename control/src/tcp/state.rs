//! Connection states and how closing moves between them (RFC 9293 section 3.3.2).

/// State of one leg. The first three are the appliance's own handshake order (DESIGN section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Client leg: the SYN is known, nobody has been answered.
    Suspended,
    /// Server leg: our SYN is out.
    SynSent,
    /// Server leg: the SYN-ACK is kept, unacknowledged, until `confirm`.
    Answered,
    /// Client leg: our SYN-ACK is out, the client is not yet validated.
    SynReceived,
    /// Open in both directions.
    Established,
    /// We have closed; the FIN is not acknowledged.
    FinWait1,
    /// Our FIN is acknowledged; the peer may still send.
    FinWait2,
    /// The peer has closed; we may still send.
    CloseWait,
    /// Both have closed at once; our FIN is not acknowledged.
    Closing,
    /// The peer closed first, then we; our FIN is not acknowledged.
    LastAck,
    /// Both FINs are acknowledged; we linger to acknowledge a repeated FIN.
    TimeWait,
    /// Over.
    Closed,
}

/// What moves an open connection towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    /// The user closes.
    Close,
    /// The peer's FIN has been taken.
    PeerFin,
    /// The peer has acknowledged our FIN.
    FinAcked,
}

use State::*;

/// RFC 9293 figure 5, from ESTABLISHED on: rows are states in order, columns are `Close`, `PeerFin`, `FinAcked`.
///
/// A `Close` before the handshake is complete forgets the connection, except in `SynReceived`: there the FIN waits
/// for the client's ACK, because nothing but a SYN-ACK goes to an unvalidated client.
const NEXT: [[State; 3]; 12] = [
    [Closed, Suspended, Suspended],
    [Closed, SynSent, SynSent],
    [Closed, Answered, Answered],
    [SynReceived, SynReceived, SynReceived],
    [FinWait1, CloseWait, Established],
    [FinWait1, Closing, FinWait2],
    [FinWait2, TimeWait, FinWait2],
    [LastAck, CloseWait, CloseWait],
    [Closing, Closing, TimeWait],
    [LastAck, LastAck, Closed],
    [TimeWait, TimeWait, TimeWait],
    [Closed, Closed, Closed],
];

impl State {
    /// All states, for tests and tables.
    pub const ALL: [State; 12] = [
        Suspended,
        SynSent,
        Answered,
        SynReceived,
        Established,
        FinWait1,
        FinWait2,
        CloseWait,
        Closing,
        LastAck,
        TimeWait,
        Closed,
    ];

    /// The state after `step`.
    pub(super) const fn next(self, step: Step) -> State {
        NEXT[self as usize][step as usize]
    }

    /// The peer may still send data: RFC 9293 section 3.10.7.4, seventh step.
    pub const fn takes_data(self) -> bool {
        matches!(self, Established | FinWait1 | FinWait2)
    }

    /// Data or a FIN of ours may be on its way, or may have to be sent.
    pub const fn sends_data(self) -> bool {
        matches!(self, Established | FinWait1 | CloseWait | Closing | LastAck)
    }

    /// Both sequence numbers are agreed upon: the handshake is complete and the block is not gone.
    pub const fn is_synchronized(self) -> bool {
        self as u8 >= Established as u8 && self as u8 <= TimeWait as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_rows_are_in_the_order_of_the_states() {
        for (row, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, row);
        }
    }

    #[test]
    fn every_closing_order_ends() {
        use Step::*;
        let orders: [(&[Step], State); 6] = [
            (&[Close, FinAcked, PeerFin], TimeWait),
            (&[Close, PeerFin, FinAcked], TimeWait),
            (&[PeerFin, Close, FinAcked], Closed),
            (&[Close, Close, FinAcked, FinAcked, PeerFin, PeerFin], TimeWait),
            (&[PeerFin, PeerFin, Close, Close, FinAcked], Closed),
            (&[PeerFin], CloseWait),
        ];
        for (steps, end) in orders {
            assert_eq!(steps.iter().fold(Established, |state, step| state.next(*step)), end);
        }
    }

    #[test]
    fn no_step_reopens() {
        for state in State::ALL {
            for step in [Step::Close, Step::PeerFin, Step::FinAcked] {
                assert!(state.next(step) as u8 >= state as u8 || state == Closing || state == LastAck);
            }
        }
    }
}
