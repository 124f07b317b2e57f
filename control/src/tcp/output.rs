//! What goes out: one segment per call, the most urgent kind first.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;

use super::block::Block;
use super::congestion::Congestion;
use super::recovery::Frto;
use super::segment::SegmentOut;
use super::state::State;

/// What waits to be sent besides data.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// SYN or SYN-ACK.
    pub(super) syn: bool,
    /// The SYN or SYN-ACK has been sent before.
    pub(super) syn_sent: bool,
    /// An acknowledgment.
    pub(super) ack_now: bool,
    /// There is more room than when the last window was sent: bytes were read, or the caller offers more.
    pub(super) more_room: bool,
    /// A window probe.
    pub(super) probe: bool,
    /// A tail loss probe.
    pub(super) tail_probe: bool,
    /// A question for the peer's present window, without anything to send.
    pub(super) ask_window: bool,
    /// A RST.
    pub(super) reset: Option<Reset>,
    /// The block was aborted: what still comes is answered with RST.
    pub(super) answers: Option<Answers>,
    /// The last acknowledgment is to be repeated this often.
    pub(super) duplicates: u8,
    /// Segments with data since the last acknowledgment.
    pub(super) unacknowledged: u8,
    /// Segments with data that were acknowledged at once because the connection is young.
    pub(super) quick: u8,
}

impl Outbox {
    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        *self = Outbox::default();
    }
}

/// What a block that was aborted answers with RST: its first one may have been lost, or been challenged because data was missing
/// before it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answers {
    /// Whatever acknowledges.
    All,
    /// It was in TIME-WAIT, which ends then, unless the peer's FIN was still to be acknowledged. A peer that has missed our last
    /// word repeats its data or FIN; a late duplicate of an acknowledgment must not end its own TIME-WAIT (RFC 1337).
    Repetitions { until: Option<Instant> },
}

/// A RST to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reset {
    pub(super) seq: Seq,
    pub(super) ack: Option<Seq>,
}

/// A stretch of the send queue, and the FIN after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) start: Seq,
    pub(super) len: u32,
    pub(super) fin: bool,
    pub(super) retransmission: bool,
}

impl<B: Buffer> Block<B> {
    /// The next segment to be sent; call until `None`. `ts_value` is the TSval to be put into it.
    pub fn poll(&mut self, now: Instant, ts_value: u32) -> Option<SegmentOut> {
        let mut out = SegmentOut::default();
        (!self.has_said_all(now, ts_value) && self.poll_into(now, ts_value, &mut out)).then_some(out)
    }

    /// Whether a look at what waits is enough to know that there is no segment. Time and clock are for those who hold it to that.
    #[inline(always)]
    pub(crate) fn has_said_all(&mut self, now: Instant, ts_value: u32) -> bool {
        let is_quiet = self.is_quiet();
        let mut speaks = || self.poll_into(now, ts_value, &mut SegmentOut::default());
        debug_assert!(!is_quiet || !speaks(), "it is quiet, and has something to say");
        is_quiet
    }

    /// The next segment, written into `out`; false when there is none, and `out` says nothing then. To be asked where a block has
    /// not said all ([`Block::has_said_all`]).
    #[inline(never)]
    pub(crate) fn poll_into(&mut self, now: Instant, ts_value: u32, out: &mut SegmentOut) -> bool {
        if let Some(reset) = self.out.reset.take() {
            *out = Self::reset_segment(reset);
        } else if std::mem::take(&mut self.out.syn)
            && matches!(self.state, State::SynSent | State::SynReceived)
        {
            self.syn_segment(now, ts_value, out);
        } else if !self.state.is_synchronized() {
            return false;
        } else if let Some(cut) = self.next_cut(now) {
            self.transmit(now, cut, ts_value, out);
        } else if std::mem::take(&mut self.out.ask_window) {
            // Sequence space that the peer has taken already makes it answer (RFC 9293 section 3.8.4).
            self.header(self.acknowledged().retreat(1), TcpFlags::ACK, ts_value, out);
        } else if self.out.ack_now || self.window_update_due() {
            // A number beyond the peer's window would be dropped, and the acknowledgment with it.
            let seq = self.sendable_number();
            self.header(seq, TcpFlags::ACK, ts_value, out);
            self.out.ack_now = self.out.duplicates > 0;
            self.out.duplicates = self.out.duplicates.saturating_sub(1);
        } else {
            return false;
        }
        true
    }

    /// Nothing waits to be sent: what is found after most events. Most often there is but more room, which is seldom
    /// worth a segment.
    #[inline(always)]
    fn is_quiet(&self) -> bool {
        let Outbox { syn, ack_now, probe, tail_probe, ask_window, reset, .. } = &self.out;
        let is_asked = *syn || *ack_now || *probe || *tail_probe || *ask_window;
        let is_fresh = self.snd.nxt != self.snd.queue.end() || self.snd.fin_queued;
        let has_data = self.snd.flight.lost() > 0 || (is_fresh && !self.snd.fin_sent);
        !is_asked && reset.is_none() && !has_data && self.timers.pace.is_none() && !self.window_update_due()
    }

    fn next_cut(&mut self, now: Instant) -> Option<Cut> {
        if !self.state.sends_data() {
            return None;
        }
        self.timers.pace = None;
        // While a timeout is in question nothing else is sent again (RFC 5682 section 2.1).
        let repeats = self.snd.recovery.frto != Frto::Asking;
        let lost = if repeats { self.next_retransmission(now) } else { None };
        lost.or_else(|| self.next_probe()).or_else(|| self.next_tail_probe()).or_else(|| self.next_fresh(now))
    }

    /// The next stretch that the peer has to get again (RFC 6675 section 5, NextSeg rule 1).
    fn next_retransmission(&mut self, now: Instant) -> Option<Cut> {
        let recovery = &self.snd.recovery;
        if recovery.frto == Frto::Repeated && !recovery.force {
            return None;
        }
        let forced = recovery.force;
        if self.snd.flight.lost() == 0 {
            return None;
        }
        let limit = self.payload_limit();
        let (start, end) = self.snd.flight.next_lost(limit + u32::from(self.snd.fin_sent))?;
        // Cutting what has become too large for the path makes records; their number stays bounded, and the first goes on.
        if self.snd.flight.is_full() && start != self.snd.una && start.distance_to(end) >= limit {
            return None;
        }
        let data_end = self.snd.queue.end();
        let wanted = start.distance_to(end.min(data_end)).min(limit);
        let len = wanted.min(start.distance_to(self.snd.edge));
        if wanted > 0 && len == 0 {
            return None;
        }
        let fin = self.snd.fin_sent && start.advance(len) == data_end && end.gt(data_end);
        let pipe = self.snd.flight.pipe();
        if !forced && pipe > 0 && pipe + len > self.congestion.window() {
            return None;
        }
        // The first of a recovery waits for nothing: it is what everything else waits for.
        if !forced && self.is_paced(now) {
            return None;
        }
        Some(Cut { start, len, fin, retransmission: true })
    }

    /// What a closed window, or one that stays too small, lets through: one byte, the FIN, or all that fits
    /// (RFC 9293 sections 3.8.6.1 and 3.8.6.2.1).
    fn next_probe(&mut self) -> Option<Cut> {
        if !std::mem::take(&mut self.out.probe) {
            return None;
        }
        let start = self.snd.una;
        let held = start.distance_to(self.snd.queue.end());
        let len = held.min(self.payload_limit()).min(start.distance_to(self.snd.edge).max(1));
        let fin = self.snd.fin_queued && len == held;
        (len > 0 || fin).then_some(Cut { start, len, fin, retransmission: start != self.snd.nxt })
    }

    /// New data, as far as the peer's window, the congestion window and silly window avoidance allow; no Nagle.
    fn next_fresh(&mut self, now: Instant) -> Option<Cut> {
        let waits = self.snd.nxt != self.snd.queue.end() || self.snd.fin_queued;
        let recovery = &self.snd.recovery;
        let is_repeating = self.snd.flight.lost() > 0 && recovery.frto != Frto::Asking;
        if self.snd.fin_sent || !waits || is_repeating || recovery.frto == Frto::Repeated {
            return None;
        }
        let Some(cut) = self.fresh_cut() else {
            self.arm_probe(now);
            return None;
        };
        let idle = self.snd.nxt == self.snd.una;
        if idle && now > self.rto.expires(self.snd.last_sent) {
            self.congestion.on_idle(now);
            self.snd.pacer.restart(self.congestion.window());
        }
        if !idle && self.snd.flight.pipe() + cut.len > self.congestion.window() {
            self.snd.recovery.note_limited(self.snd.nxt);
            return None;
        }
        (!self.snd.flight.is_full() && !self.is_paced(now)).then_some(cut)
    }

    /// The new data that would go next if only the peer's window mattered.
    #[inline(always)]
    pub(super) fn fresh_cut(&self) -> Option<Cut> {
        let start = self.snd.nxt;
        let unsent = start.distance_to(self.snd.queue.end());
        if self.snd.fin_sent || (unsent == 0 && !self.snd.fin_queued) {
            return None;
        }
        let window = start.distance_to(self.snd.edge);
        let limit = self.fresh_limit(unsent.min(window));
        let len = unsent.min(limit).min(window);
        let fin = self.snd.fin_queued && len == unsent && len < window;
        // RFC 9293 section 3.8.6.2.1: a full segment, or all there is, or half of what the peer ever had room for.
        let silly = len < limit && len < unsent && len < self.snd.max_window / 2;
        ((len > 0 || fin) && !silly).then_some(Cut { start, len, fin, retransmission: false })
    }

    /// Nothing is in flight whose acknowledgment could open the window: ask for it after a while.
    fn arm_probe(&mut self, now: Instant) {
        if self.snd.una == self.snd.nxt && self.timers.retransmit.is_none() && !self.follows() {
            self.timers.retransmit = Some(now + self.rto.after(self.timers.probes));
            self.timers.progress = now;
        }
    }

    /// Bytes of payload that go into one segment beside the options it will carry.
    pub(super) fn payload_limit(&self) -> u32 {
        let blocks = self.sack_option().len() as u32;
        self.segment_size() - if blocks > 0 { 4 + 8 * blocks } else { 0 }
    }

    /// Asks the peer for its present window although nothing waits to be sent: somebody further back waits for it.
    pub fn ask_window(&mut self) {
        self.out.ask_window = self.state.is_synchronized();
    }

    /// Acknowledges all that was taken, now.
    pub fn acknowledge_now(&mut self) {
        self.out.ack_now = true;
    }
}
