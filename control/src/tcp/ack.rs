//! Fifth step of segment arrival: acknowledgment, SACK and window of the peer.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

use super::block::Block;
use super::congestion::Congestion;
use super::events::Events;
use super::input::{Arrival, Stop, Verdict};
use super::recovery::Phase;
use super::state::{State, Step};

/// RFC 5681 section 3.2.
const DUPLICATES: u32 = 3;

impl<B: Buffer> Block<B> {
    pub(super) fn check_ack(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
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
        let flight = self.flight();
        let sacked = self.take_sack(arrival);
        let advances = segment.ack.gt(self.snd.una);
        let duplicate = segment.ack == self.snd.una && self.is_duplicate(arrival, sacked);
        if advances {
            self.advance_una(arrival, flight);
        }
        if segment.ack.ge(self.snd.una) {
            self.update_window(arrival, advances);
            self.note_open_window(arrival.now);
        }
        if duplicate {
            self.count_duplicate(arrival.now);
        }
        self.note_acknowledged_fin(arrival)
    }

    /// Bytes that the peer reports for the first time.
    fn take_sack(&mut self, arrival: &Arrival<'_>) -> u32 {
        let segment = arrival.segment;
        if !self.sack || segment.options.sack.is_empty() {
            return 0;
        }
        let una = self.snd.una.max(segment.ack);
        self.snd.scoreboard.update(&segment.options.sack, una, self.snd.nxt)
    }

    /// With SACK, a duplicate acknowledgment is one that reports news (RFC 6675 section 2); without, RFC 5681 section 2.
    fn is_duplicate(&self, arrival: &Arrival<'_>, sacked: u32) -> bool {
        if self.sack {
            return sacked > 0;
        }
        let segment = arrival.segment;
        self.snd.una != self.snd.nxt && segment.sequence_len() == 0 && segment.window == self.snd.field
    }

    fn advance_una(&mut self, arrival: &mut Arrival<'_>, flight: u32) {
        let ack = arrival.segment.ack;
        let acked = self.snd.una.distance_to(ack);
        self.snd.una = ack;
        self.snd.queue.drop_before(ack);
        self.snd.scoreboard.advance(ack);
        if let Some((end, at)) = self.snd.timed
            && ack.ge(end)
        {
            self.snd.timed = None;
            self.rto.sample(arrival.now.since(at));
        }
        self.snd.urgent = self.snd.urgent.filter(|point| point.gt(ack));
        self.recover(acked, flight);
        // RFC 6298 (5.2), (5.3).
        let outstanding = self.snd.una != self.snd.nxt;
        self.timers.retransmit = outstanding.then(|| arrival.now + self.rto.current());
        self.timers.progress = arrival.now;
        arrival.events.insert(Events::ACKED);
    }

    /// What new data being acknowledged means to congestion control and loss recovery.
    fn recover(&mut self, acked: u32, flight: u32) {
        let complete = self.snd.una.ge(self.snd.recovery.recover);
        self.snd.recovery.advance(self.snd.una);
        match self.snd.recovery.phase {
            Phase::Open => self.congestion.on_ack(acked, flight),
            Phase::Fast if complete => {
                self.snd.recovery.phase = Phase::Open;
                self.snd.recovery.inflation = 0;
                let left = self.flight();
                self.congestion.on_recovered(left);
            }
            Phase::Fast => self.take_partial_ack(acked),
            Phase::Timeout => {
                // Slow start: after a timeout the window is what limits, whatever was in flight before it.
                let window = self.congestion.window();
                self.congestion.on_ack(acked, window);
                if complete {
                    self.snd.recovery.phase = Phase::Open;
                }
            }
        }
    }

    /// RFC 6582 section 3.2 step 5: the next segment is lost too. With SACK, the next hole is.
    fn take_partial_ack(&mut self, acked: u32) {
        if self.sack {
            return self.resend_next_hole();
        }
        let size = self.segment_size();
        let deflated = self.snd.recovery.inflation.saturating_sub(acked);
        self.snd.recovery.inflation = if acked >= size { deflated + size } else { deflated };
        self.resend_first();
    }

    fn count_duplicate(&mut self, now: Instant) {
        let size = self.segment_size();
        match self.snd.recovery.phase {
            Phase::Timeout => {}
            Phase::Fast if self.sack => self.resend_next_hole(),
            Phase::Fast => {
                let inflation = &mut self.snd.recovery.inflation;
                *inflation = inflation.saturating_add(size);
            }
            Phase::Open => {
                self.snd.recovery.duplicates += 1;
                if self.is_loss() {
                    self.enter_fast_recovery(now);
                }
            }
        }
    }

    /// Three duplicates, or as much SACKed as three would be (RFC 6675 section 5), of data sent after the last loss: what
    /// our own retransmissions duplicate must not count again (RFC 6582 section 3.2 step 2). SACK tells them apart.
    fn is_loss(&self) -> bool {
        let recovery = &self.snd.recovery;
        if self.sack {
            return recovery.duplicates >= DUPLICATES
                || self.snd.scoreboard.bytes() > (DUPLICATES - 1) * self.segment_size();
        }
        recovery.duplicates >= DUPLICATES && self.snd.una.gt(recovery.recover)
    }

    fn enter_fast_recovery(&mut self, now: Instant) {
        self.congestion.on_loss(self.snd.una.distance_to(self.snd.nxt));
        self.snd.recovery.phase = Phase::Fast;
        self.snd.recovery.recover = self.snd.nxt;
        self.snd.recovery.inflation = if self.sack { 0 } else { DUPLICATES * self.segment_size() };
        self.snd.timed = None;
        self.timers.retransmit = Some(now + self.rto.current());
        self.resend_first();
    }

    fn resend_first(&mut self) {
        let una = self.snd.una;
        let until = una.advance(self.segment_size()).min(self.snd.nxt);
        self.snd.recovery.resend(una, until);
    }

    /// The next segment below the highest SACKed byte that was not sent again yet.
    fn resend_next_hole(&mut self) {
        let Some(highest) = self.snd.scoreboard.highest() else { return };
        if self.snd.recovery.is_pending() {
            return;
        }
        if let Some((start, end)) = self.snd.scoreboard.hole(self.snd.recovery.next, highest) {
            self.snd.recovery.resend(start, end.min(start.advance(self.segment_size())));
        }
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
    fn note_open_window(&mut self, now: Instant) {
        if self.snd.edge.le(self.snd.una) {
            self.timers.progress = now;
        } else if self.timers.probes > 0 {
            self.timers.probes = 0;
            self.timers.retransmit = None;
            if self.snd.una != self.snd.nxt {
                self.timers.retransmit = Some(now + self.rto.current());
                self.snd.recovery.resend_all(self.snd.una, self.snd.nxt);
            }
        }
    }

    fn note_acknowledged_fin(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if !self.snd.fin_sent || self.snd.una != self.snd.nxt {
            return Verdict::Continue(());
        }
        let before = self.state;
        self.state = before.next(Step::FinAcked);
        if self.state == State::Closed && self.rcv.through.is_some() {
            // Our FIN went out before the peer's was acknowledged: this is a simultaneous close, whose last
            // acknowledgment may have to be repeated.
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
