//! Explicit congestion notification (RFC 3168), as it was agreed upon by the ends.
//!
//! *Receiving*: a mark that a segment has met is echoed in all that is sent until the peer says that it has heard of it.
//! *Sending*: fresh data says that it may be marked instead of dropped; an echo is answered like a loss, once a round trip,
//! and the answer said with the next fresh data. What must arrive and what would not be repeated stays unmarkable: SYNs,
//! retransmissions, window probes, pure acknowledgments (sections 6.1.1, 6.1.4 to 6.1.6).

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;

use super::block::Block;
use super::recovery::Phase;
use super::segment::Segment;

/// What the peer has yet to hear about the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Answer {
    /// Nothing.
    #[default]
    None,
    /// It was reduced, because of an echo or of a loss; the next fresh data says so.
    Owed { echoed: bool },
    /// Said with the data before this number, which is not acknowledged. What is echoed until then was answered.
    Said(Seq),
}

/// The state of both halves.
#[derive(Debug, Default)]
pub(super) struct Ecn {
    /// Both ends have agreed to it.
    agreed: bool,
    /// The peer has yet to say that it has heard of a mark.
    echo: bool,
    answer: Answer,
}

impl Ecn {
    /// Section 6.1.1: from the flags of the SYN and of the SYN-ACK. A SYN-ACK that has CWR as well is a reflection.
    pub(super) fn negotiate(&mut self, syn: TcpFlags, syn_ack: TcpFlags) {
        let setup = TcpFlags::ECE | TcpFlags::CWR;
        self.agreed = syn & setup == setup && syn_ack & setup == TcpFlags::ECE;
    }

    /// It was agreed upon before this block was there.
    pub(super) fn agreed() -> Ecn {
        Ecn { agreed: true, ..Ecn::default() }
    }

    pub(super) fn is_agreed(&self) -> bool {
        self.agreed
    }

    /// Section 6.1.3: a mark is echoed until the peer says CWR; a mark on that very segment counts again.
    pub(super) fn take_mark(&mut self, segment: &Segment) {
        self.take_answer(segment);
        self.echo |= self.agreed && segment.congested;
    }

    /// The same for a segment whose sequence space is held: the mark stays with it, the answer is ours.
    pub(super) fn take_answer(&mut self, segment: &Segment) {
        if segment.flags.contains(TcpFlags::CWR) {
            self.echo = false;
        }
    }

    /// What every segment says that is no SYN and no RST.
    pub(super) fn flags(&self) -> TcpFlags {
        if self.echo { TcpFlags::ECE } else { TcpFlags(0) }
    }

    /// Fresh data that ends at `end` is sent: what it says besides.
    fn on_fresh(&mut self, end: Seq) -> TcpFlags {
        if !matches!(self.answer, Answer::Owed { .. }) {
            return TcpFlags(0);
        }
        self.answer = Answer::Said(end);
        TcpFlags::CWR
    }

    /// Section 6.1.2: the window was reduced, because of an echo or of a loss.
    pub(super) fn on_reduction(&mut self, echoed: bool) {
        if self.agreed {
            let echoed = echoed || self.answer == Answer::Owed { echoed: true };
            self.answer = Answer::Owed { echoed };
        }
    }

    /// A loss was none: nothing is to be said about it.
    pub(super) fn on_undo(&mut self) {
        if self.answer == (Answer::Owed { echoed: false }) {
            self.answer = Answer::None;
        }
    }

    /// All before `una` is acknowledged: the peer has heard what was said before.
    fn on_ack(&mut self, una: Seq) {
        if let Answer::Said(end) = self.answer
            && una.ge(end)
        {
            self.answer = Answer::None;
        }
    }
}

impl<B: Buffer> Block<B> {
    /// An acknowledgment says whether marks were met; `before` bytes were outstanding. SND.UNA is the new one.
    ///
    /// Section 6.1.2: at most once a window of data, and not in one that a loss has reduced already. An echo while nothing
    /// is outstanding repeats an old one.
    pub(super) fn take_echo(&mut self, now: Instant, segment: &Segment, before: u32) {
        self.ecn.on_ack(self.snd.una);
        let current = segment.ack == self.snd.una && before > 0;
        if !self.ecn.agreed || !current || !segment.flags.contains(TcpFlags::ECE) {
            return;
        }
        match (self.ecn.answer, self.snd.recovery.phase) {
            (Answer::None, Phase::Open) => {
                self.enter_reduction(now, before);
                self.ecn.on_reduction(true);
            }
            // Whatever the loss turns out to be, the congestion was real.
            (Answer::None, _) => self.snd.recovery.forbid_undo(),
            (Answer::Owed { .. }, _) => {
                self.ecn.on_reduction(true);
                self.snd.recovery.forbid_undo();
            }
            (Answer::Said(_), _) => {}
        }
    }

    /// What a segment with data before `end` says besides, and whether it may be marked.
    pub(super) fn mark_data(&mut self, end: Seq, retransmission: bool) -> (TcpFlags, bool) {
        let capable = self.ecn.agreed && !retransmission && self.timers.probes == 0;
        let flags = if capable { self.ecn.on_fresh(end) } else { TcpFlags(0) };
        (flags, capable)
    }

    /// The ends have agreed to it before this block was there (`boundary.rs`).
    pub fn agree_on_marks(&mut self) {
        self.ecn = Ecn::agreed();
    }

    /// What the last segment to the peer has to say of the marks that its data has met (section 6.1.3).
    pub fn echo_flags(&self) -> TcpFlags {
        self.ecn.flags()
    }
}
