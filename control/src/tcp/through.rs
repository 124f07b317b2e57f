//! Acknowledge-through (seed 002, claim 20): what has been taken is acknowledged when the receiver behind us has it.
//!
//! RCV.NXT then has two meanings. What was *taken* stays `rcv.nxt`: it decides what is new, what fills a hole, what fits
//! the window. What may be *acknowledged* lags behind it and is all that the peer ever reads in an ack field. Windows are
//! counted from there, so that a right edge does not move when the two drift apart.
//!
//! While the two differ, nothing is said about data at all:
//! - In-order bytes are not SACKed. A block that begins at the ack itself is what a receiver sends that has reneged (RFC
//!   2018 section 8, RFC 6675 section 5.1): Linux drops its whole scoreboard then and sends everything again.
//! - Nor are the bytes behind a hole. A sender would take what lies between the ack and the block for lost (RFC 6675,
//!   RFC 8985), and nearly all of that is here. It learns of the hole when the ack has reached it, which is when it would
//!   have learned of it without us.
//! - An ack with the number of the last one would count as a duplicate (RFC 5681 section 2). Without SACK those that
//!   were withheld are sent when the ack has reached the hole, or there would be no fast retransmit.
//!
//! The peer's round trips, and its retransmission timeout, thus cover the whole path, as they did during the handshake.

use arrayvec::ArrayVec;
use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::Timestamps;

use super::block::Block;
use super::input::Arrival;
use super::state::State;

/// Timestamps remembered of what is not acknowledged: round trips are exact to a fraction of the flight.
const MARKS: usize = 16;
/// RFC 5681 section 3.2: more duplicates would not make the sender more certain.
const DUPLICATES: u8 = 3;

/// What a receiving half knows beyond RCV.NXT when it acknowledges only what it is let.
#[derive(Debug)]
pub(super) struct Through {
    /// So far the caller lets us acknowledge. Never beyond RCV.NXT by more than what has not been taken yet.
    pub(super) upto: Seq,
    /// Number and TSval of segments that were taken and not acknowledged, in order.
    marks: ArrayVec<(Seq, u32), MARKS>,
    /// Segments behind the hole of which the peer was not told.
    withheld: u8,
    /// The receiver tells the peer itself what it has and what it has room for (`boundary.rs`).
    pub(super) passes: bool,
}

/// What was there before a segment's text was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    nxt: Seq,
    ack_now: bool,
    ack_timer: Option<Instant>,
}

impl Through {
    fn note(&mut self, seq: Seq, value: u32) {
        if self.marks.last().is_some_and(|(_, last)| *last == value) {
            return;
        }
        if self.marks.is_full() {
            // One goes whose neighbours are closest; the one before stands for it, which makes a round trip look a
            // little longer.
            let gap = |at: &usize| self.marks[at - 1].0.distance_to(self.marks[at + 1].0);
            if let Some(at) = (1..MARKS - 1).min_by_key(gap) {
                self.marks.remove(at);
            }
        }
        self.marks.push((seq, value));
    }

    /// The TSval of the segment that holds the byte `at`, or of the last noted before it.
    fn mark(&mut self, at: Seq) -> Option<(Seq, u32)> {
        let later = self.marks.iter().position(|(seq, _)| seq.gt(at)).unwrap_or(self.marks.len());
        let found = later.checked_sub(1)?;
        let mark = self.marks[found];
        self.marks.drain(..found);
        Some(mark)
    }
}

impl<B: Buffer> Block<B> {
    /// From now on nothing that comes is acknowledged before [`Block::acknowledge_through`] says so. To be called when
    /// the peer's SYN is known and before it has sent anything else.
    pub fn withhold_acknowledgments(&mut self) {
        let upto = self.rcv.nxt;
        self.rcv.through =
            Some(Box::new(Through { upto, marks: ArrayVec::new(), withheld: 0, passes: false }));
    }

    /// The receiver has all before `upto` (in the peer's sequence space). The peer is told at once: an acknowledgment
    /// has been delayed enough on its way here.
    pub fn acknowledge_through(&mut self, now: Instant, upto: Seq) {
        let before = self.ack_number();
        let Some(through) = &mut self.rcv.through else { return };
        through.upto = through.upto.max(upto);
        if self.ack_number() == before || !self.state.is_synchronized() {
            return;
        }
        let echo = self.rcv.through.as_mut().and_then(|through| through.mark(self.rcv.last_ack_sent));
        if let Some((seq, value)) = echo {
            // RFC 7323 section 4.3: the echo is that of the earliest segment that the acknowledgment is for.
            self.ts.update(now, Timestamps { value, echo: 0 }, seq, self.rcv.last_ack_sent);
        }
        self.out.ack_now = true;
        if self.withholds() {
            return;
        }
        if let Some(through) = &mut self.rcv.through {
            let withheld = std::mem::take(&mut through.withheld);
            self.out.duplicates = if self.rcv.reassembly.is_empty() { 0 } else { withheld };
        }
        if self.state == State::TimeWait {
            self.start_linger(now);
        }
    }

    /// What the ack field of a segment says: RCV.NXT, unless acknowledgments wait for the receiver.
    pub fn ack_number(&self) -> Seq {
        match (&self.rcv.through, self.rcv.passed) {
            (Some(through), _) => through.upto.min(self.rcv.nxt),
            (None, Some(passed)) => passed.max(self.rcv.nxt),
            (None, None) => self.rcv.nxt,
        }
    }

    /// The peer hears of windows from the receiver itself.
    pub(super) fn is_told_by_receiver(&self) -> bool {
        self.rcv.through.as_ref().is_some_and(|through| through.passes)
    }

    /// Something was taken that must not be acknowledged yet.
    pub(super) fn withholds(&self) -> bool {
        self.ack_number().lt(self.rcv.nxt)
    }

    pub(super) fn before_text(&self) -> Before {
        Before { nxt: self.rcv.nxt, ack_now: self.out.ack_now, ack_timer: self.timers.ack }
    }

    /// Text and FIN were taken, and an acknowledgment was scheduled as usual: it waits for the receiver's.
    pub(super) fn after_text(&mut self, arrival: &Arrival<'_>, before: Before) {
        if !self.withholds() {
            return;
        }
        let (nxt, sack) = (self.rcv.nxt, self.sack);
        let behind_hole = arrival.segment.sequence_len() > 0 && arrival.segment.seq.gt(nxt);
        let Some(through) = &mut self.rcv.through else { return };
        if nxt != before.nxt {
            if let Some(ts) = arrival.segment.options.timestamps.filter(|_| self.timestamps) {
                through.note(arrival.segment.seq.max(before.nxt), ts.value);
            }
        } else if behind_hole {
            through.withheld = (through.withheld + u8::from(!sack)).min(DUPLICATES);
        } else {
            // Nothing of it was new: a probe, or a repetition, which has to be answered (RFC 9293 section 3.10.7.4).
            return;
        }
        self.out.ack_now = before.ack_now;
        self.timers.ack = before.ack_timer;
        self.out.unacknowledged = 0;
    }

    /// A RST may repeat the number that our last ack gave to a peer that knows of nothing else.
    pub(super) fn is_acknowledged_number(&self, seq: Seq) -> bool {
        seq == self.ack_number()
    }
}
