//! Fifth step of segment arrival: acknowledgment, SACK and window of the peer.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

use super::block::Block;
use super::events::Events;
use super::input::{Arrival, Stop, Verdict};
use super::state::{State, Step};

impl<B: Buffer> Block<B> {
    pub(super) fn check_ack(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if let Some(followed) = self.snd.followed {
            return self.follow_ack(arrival, followed);
        }
        let segment = arrival.segment;
        if !segment.flags.ack() {
            return Verdict::Break(Stop::NoAck);
        }
        if self.state == State::SynReceived {
            self.complete_handshake(arrival)?;
        }
        // RFC 5961 section 5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT.
        let oldest = self.snd.una.retreat(self.snd.max_window);
        if segment.ack.gt(self.snd.nxt) || segment.ack.lt(oldest) {
            self.challenge(arrival.now);
            return Verdict::Break(Stop::AckInvalid);
        }
        if segment.ack == self.snd.una && segment.options.sack.is_empty() && self.is_at_rest() {
            debug_assert!(
                self.timers.reorder.is_none() && self.snd.flight.pipe() == 0,
                "nothing is outstanding"
            );
            let was_shut = self.snd.edge.le(self.snd.una);
            self.update_window(arrival, false);
            self.note_open_window(arrival.now, was_shut);
            self.take_echo(arrival.now, segment, 0);
            return self.note_acknowledged_fin(arrival);
        }
        if let Some(sent) = self.take_whole_flight(segment) {
            let was_shut = self.snd.edge.le(self.snd.una);
            self.advance_una(arrival);
            self.update_window(arrival, true);
            self.note_open_window(arrival.now, was_shut);
            self.recover_whole(arrival, &sent);
            return self.note_acknowledged_fin(arrival);
        }
        let before = self.snd.flight.pipe();
        let delivery = self.deliver(arrival);
        let was_shut = self.snd.edge.le(self.snd.una);
        let advances = segment.ack.gt(self.snd.una);
        let duplicate = segment.ack == self.snd.una && self.is_duplicate(arrival);
        if advances {
            self.advance_una(arrival);
        }
        if segment.ack.ge(self.snd.una) {
            self.update_window(arrival, advances);
            self.note_open_window(arrival.now, was_shut);
        }
        self.recover(arrival, &delivery, duplicate, before);
        self.note_acknowledged_fin(arrival)
    }

    /// RFC 5681 section 2. With SACK it is the blocks that count, except where a timeout is in question.
    fn is_duplicate(&self, arrival: &Arrival<'_>) -> bool {
        let segment = arrival.segment;
        self.snd.una != self.snd.nxt && segment.sequence_len() == 0 && segment.window == self.snd.field
    }

    #[inline(always)]
    fn advance_una(&mut self, arrival: &mut Arrival<'_>) {
        let ack = arrival.segment.ack;
        self.snd.una = ack;
        self.note_size_acked(arrival.now);
        self.snd.queue.drop_before(ack);
        self.snd.urgent = self.snd.urgent.filter(|point| point.gt(ack));
        // RFC 6298 (5.2), (5.3).
        let outstanding = self.snd.una != self.snd.nxt;
        self.timers.retransmit = outstanding.then(|| self.rto.expires(arrival.now));
        self.timers.progress = arrival.now;
        arrival.events.insert(Events::ACKED);
    }

    /// RFC 9293 section 3.10.7.4: SND.WND from a segment that is not older than the last one taken from. One that
    /// acknowledges more is not older, whatever its number says (it may be a retransmission).
    fn update_window(&mut self, arrival: &mut Arrival<'_>, advances: bool) {
        let segment = arrival.segment;
        if !advances && segment.seq.lt(self.snd.wl1) {
            return;
        }
        let before = (self.snd.edge, self.snd.field);
        self.take_window(
            segment.seq,
            segment.ack,
            segment.window,
            u32::from(segment.window) << self.snd.shift,
        );
        if before != (self.snd.edge, self.snd.field) {
            arrival.events.insert(Events::WINDOW);
        }
    }

    /// `window` bytes from `ack` on, as said by the segment `seq` with the raw field `field`.
    pub(super) fn take_window(&mut self, seq: Seq, ack: Seq, field: u16, window: u32) {
        self.snd.wl1 = self.snd.wl1.max(seq);
        self.snd.field = field;
        self.snd.edge = ack.advance(window);
        self.snd.max_edge = self.snd.max_edge.max(self.snd.edge);
        self.snd.max_window = self.snd.max_window.max(window);
    }

    /// A peer that answers our probes is alive, however long its window stays closed (RFC 9293 section 3.8.6.1). Once
    /// it opens, what the probes have sent is sent again, without waiting for its timer.
    fn note_open_window(&mut self, now: Instant, was_shut: bool) {
        if self.snd.edge.le(self.snd.una) {
            self.timers.progress = now;
        } else if self.timers.probes > 0 {
            self.timers.probes = 0;
            self.timers.retransmit = None;
            if self.snd.una != self.snd.nxt {
                self.timers.retransmit = Some(self.rto.expires(now));
                // What a window that was merely small has let through was no probe: its acknowledgment is under way.
                if was_shut {
                    self.resend_larger_than(0);
                }
            }
        }
    }

    fn note_acknowledged_fin(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if !self.snd.fin_sent || self.snd.una != self.snd.nxt {
            return Verdict::Continue(());
        }
        let before = self.state;
        self.state = before.next(Step::FinAcked);
        if self.state == State::Closed && self.snd.fin_withheld {
            // As good as a simultaneous close: the last acknowledgment may have to be repeated.
            self.state = State::TimeWait;
        }
        match self.state {
            State::Closed => {
                arrival.events |= self.finish(Events::NONE);
                Verdict::Break(Stop::Finished)
            }
            State::TimeWait if before != State::TimeWait => {
                self.start_linger(arrival.now);
                Verdict::Continue(())
            }
            _ => Verdict::Continue(()),
        }
    }
}
