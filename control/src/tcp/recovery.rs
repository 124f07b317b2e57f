//! Loss recovery: which sequence space is to be sent again, and when the sender believes so (RFC 6582, RFC 5681).

use dataplane::wire::seq::Seq;

/// How loss was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No loss is known.
    Open,
    /// Fast recovery: three duplicate acknowledgments.
    Fast,
    /// The retransmission timer has expired.
    Timeout,
}

/// The retransmission cursor. `[next, until)` is to be sent again, as far as the peer has not SACKed it.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    /// SND.NXT when the loss was noticed: recovery ends when all before it is acknowledged.
    pub(super) recover: Seq,
    pub(super) next: Seq,
    pub(super) until: Seq,
    pub(super) duplicates: u32,
    /// What duplicate acknowledgments add to the congestion window of a peer without SACK (RFC 6582 section 3.2).
    pub(super) inflation: u32,
}

impl Recovery {
    pub(super) fn new(start: Seq) -> Self {
        Recovery {
            phase: Phase::Open,
            recover: start.retreat(1),
            next: start,
            until: start,
            duplicates: 0,
            inflation: 0,
        }
    }

    /// Everything outstanding is to be sent again, paced by the congestion window: fast recovery, which is not, ends.
    pub(super) fn resend_all(&mut self, una: Seq, nxt: Seq) {
        if self.phase == Phase::Fast {
            self.phase = Phase::Timeout;
            self.inflation = 0;
        }
        self.next = una;
        self.until = nxt;
    }

    /// Only `[from, until)`, at once.
    pub(super) fn resend(&mut self, from: Seq, until: Seq) {
        self.next = from;
        self.until = until;
    }

    /// `una` has advanced.
    pub(super) fn advance(&mut self, una: Seq) {
        self.duplicates = 0;
        self.next = self.next.max(una);
        self.until = self.until.max(una);
        // Old marks must not drift half a sequence space away, where comparisons would turn around.
        if self.phase == Phase::Open {
            self.recover = self.recover.max(una.retreat(1 << 30));
        }
    }

    /// Something is to be sent again.
    pub(super) fn is_pending(&self) -> bool {
        self.next.lt(self.until)
    }
}
