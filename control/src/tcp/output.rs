//! What goes out: one segment per call, the most urgent kind first.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};

use super::block::{Block, MAX_SHIFT};
use super::congestion::Congestion;
use super::recovery::Phase;
use super::segment::{Payload, SegmentOut};
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
    /// A window probe.
    pub(super) probe: bool,
    /// A RST.
    pub(super) reset: Option<Reset>,
    /// The block was aborted: what still comes is answered with RST.
    pub(super) aborted: bool,
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

/// A RST to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reset {
    pub(super) seq: Seq,
    pub(super) ack: Option<Seq>,
}

/// A stretch of the send queue, and the FIN after it.
#[derive(Debug, Clone, Copy)]
struct Cut {
    start: Seq,
    len: u32,
    fin: bool,
    retransmission: bool,
}

impl<B: Buffer> Block<B> {
    /// The next segment to be sent; call until `None`. `ts_value` is the TSval to be put into it.
    pub fn poll(&mut self, now: Instant, ts_value: u32) -> Option<SegmentOut> {
        if let Some(reset) = self.out.reset.take() {
            return Some(Self::reset_segment(reset));
        }
        if std::mem::take(&mut self.out.syn) && matches!(self.state, State::SynSent | State::SynReceived) {
            return Some(self.syn_segment(now, ts_value));
        }
        if !self.state.is_synchronized() {
            return None;
        }
        if let Some(cut) = self.next_cut(now) {
            return Some(self.transmit(now, cut, ts_value));
        }
        if self.out.ack_now || self.window_update_due() {
            // A number beyond the peer's window would be dropped, and the acknowledgment with it.
            let seq = self.sendable_number();
            return Some(self.header(seq, TcpFlags::ACK, ts_value));
        }
        None
    }

    fn next_cut(&mut self, now: Instant) -> Option<Cut> {
        if !self.state.sends_data() {
            return None;
        }
        self.next_retransmission().or_else(|| self.next_probe()).or_else(|| self.next_fresh(now))
    }

    /// The next stretch that the peer has to get again.
    fn next_retransmission(&mut self) -> Option<Cut> {
        if !self.snd.recovery.is_pending() {
            return None;
        }
        let (next, until) = (self.snd.recovery.next, self.snd.recovery.until);
        let Some((start, end)) = self.snd.scoreboard.hole(next, until) else {
            self.snd.recovery.next = until;
            return None;
        };
        let data_end = self.snd.queue.end();
        let wanted = start.distance_to(end.min(data_end)).min(self.payload_limit());
        let len = wanted.min(start.distance_to(self.snd.edge));
        if wanted > 0 && len == 0 {
            return None;
        }
        let fin = self.snd.fin_sent && start.advance(len) == data_end && end.gt(data_end);
        // Fast recovery sends one segment for one that has left the network; all else keeps to the window.
        if self.snd.recovery.phase != Phase::Fast {
            let sacked = self.snd.scoreboard.bytes_before(start);
            let pipe = self.snd.una.distance_to(start).saturating_sub(sacked);
            if pipe > 0 && pipe + len > self.congestion.window() {
                return None;
            }
        }
        self.snd.recovery.next = start.advance(len + u32::from(fin));
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
        let start = self.snd.nxt;
        let unsent = start.distance_to(self.snd.queue.end());
        if self.snd.fin_sent || self.snd.recovery.is_pending() || (unsent == 0 && !self.snd.fin_queued) {
            return None;
        }
        let limit = self.payload_limit();
        let window = start.distance_to(self.snd.edge);
        let len = unsent.min(limit).min(window);
        let fin = self.snd.fin_queued && len == unsent && len < window;
        // RFC 9293 section 3.8.6.2.1: a full segment, or all there is, or half of what the peer ever had room for.
        let silly = len < limit && len < unsent && len < self.snd.max_window / 2;
        if (len == 0 && !fin) || silly {
            self.arm_probe(now);
            return None;
        }
        let idle = start == self.snd.una;
        if idle && now.since(self.snd.last_sent) > self.rto.current() {
            self.congestion.on_idle();
        }
        if !idle && self.flight() + len > self.allowance() {
            return None;
        }
        Some(Cut { start, len, fin, retransmission: false })
    }

    /// The congestion window, and what duplicate acknowledgments add to it: RFC 6582 section 3.2 in fast recovery,
    /// limited transmit (RFC 3042) before. With SACK, what has left the network is not in flight to begin with.
    fn allowance(&self) -> u32 {
        let recovery = &self.snd.recovery;
        let limited = if self.sack || recovery.phase != Phase::Open {
            0
        } else {
            recovery.duplicates.min(2) * self.segment_size()
        };
        self.congestion.window().saturating_add(recovery.inflation).saturating_add(limited)
    }

    /// Nothing is in flight whose acknowledgment could open the window: ask for it after a while.
    fn arm_probe(&mut self, now: Instant) {
        if self.snd.una == self.snd.nxt && self.timers.retransmit.is_none() {
            self.timers.retransmit = Some(now + self.rto.after(self.timers.probes));
            self.timers.progress = now;
        }
    }

    /// Bytes of payload that go into one segment beside the options it will carry.
    fn payload_limit(&self) -> u32 {
        let blocks = self.sack_blocks_to_send() as u32;
        self.segment_size() - if blocks > 0 { 4 + 8 * blocks } else { 0 }
    }

    /// Three blocks fit beside timestamps, four without (RFC 2018 section 3).
    fn sack_blocks_to_send(&self) -> usize {
        if self.sack { self.rcv.reassembly.reported().min(if self.timestamps { 3 } else { 4 }) } else { 0 }
    }

    fn transmit(&mut self, now: Instant, cut: Cut, ts_value: u32) -> SegmentOut {
        let end = cut.start.advance(cut.len + u32::from(cut.fin));
        if self.snd.una == self.snd.nxt {
            self.timers.progress = now;
        }
        if cut.retransmission {
            // Karn: an acknowledgment could be of either transmission.
            self.snd.timed = None;
        } else if self.snd.timed.is_none() {
            self.snd.timed = Some((end, now));
        }
        self.snd.nxt = self.snd.nxt.max(end);
        self.snd.fin_sent |= cut.fin;
        self.snd.last_sent = now;
        if self.timers.retransmit.is_none() {
            let timeout = match self.timers.probes {
                0 => self.rto.current(),
                probes => self.rto.after(probes),
            };
            self.timers.retransmit = Some(now + timeout);
        }
        let mut flags = TcpFlags::ACK;
        if cut.len > 0 && cut.start.advance(cut.len) == self.snd.queue.end() {
            flags = flags | TcpFlags::PSH;
        }
        if cut.fin {
            flags = flags | TcpFlags::FIN;
        }
        let mut segment = self.header(cut.start, flags, ts_value);
        segment.payload.len = cut.len;
        segment.retransmission = cut.retransmission;
        segment
    }

    /// A segment that acknowledges everything taken so far.
    fn header(&mut self, seq: Seq, flags: TcpFlags, ts_value: u32) -> SegmentOut {
        let mut options = TcpOptions::default();
        if self.timestamps {
            options.timestamps = Some(Timestamps { value: ts_value, echo: self.ts.value().unwrap_or(0) });
        }
        if self.sack {
            options.sack = self.rcv.reassembly.sack_blocks();
            options.sack.truncate(self.sack_blocks_to_send());
        }
        let (flags, urgent) = match self.snd.urgent {
            Some(point) if point.gt(seq) => {
                (flags | TcpFlags::URG, seq.distance_to(point).min(u32::from(u16::MAX)) as u16)
            }
            _ => (flags, 0),
        };
        let (field, edge) = self.window_to_offer();
        self.rcv.field = field;
        self.rcv.edge = self.rcv.edge.max(edge);
        self.rcv.last_ack_sent = self.rcv.nxt;
        self.out.ack_now = false;
        self.out.unacknowledged = 0;
        self.timers.ack = None;
        let payload = Payload { start: seq, len: 0 };
        SegmentOut {
            seq,
            ack: self.rcv.nxt,
            flags,
            window: field,
            urgent,
            options,
            payload,
            retransmission: false,
        }
    }

    fn syn_segment(&mut self, now: Instant, ts_value: u32) -> SegmentOut {
        let retransmission = std::mem::replace(&mut self.out.syn_sent, true);
        self.snd.timed = (!retransmission).then_some((self.snd.nxt, now));
        self.snd.last_sent = now;
        let (ack, flags) = match self.state {
            State::SynSent => {
                self.timers.retransmit = Some(now + self.rto.current());
                (Seq(0), TcpFlags::SYN)
            }
            _ => (self.rcv.nxt, TcpFlags::SYN | TcpFlags::ACK),
        };
        let echo = if flags.ack() { self.ts.value().unwrap_or(0) } else { 0 };
        let options = TcpOptions {
            mss: self.offer.mss,
            window_scale: self.offer.window_scale.map(|shift| shift.min(MAX_SHIFT)),
            sack_permitted: self.offer.sack_permitted,
            timestamps: self.offer.timestamps.then_some(Timestamps { value: ts_value, echo }),
            ..TcpOptions::default()
        };
        SegmentOut {
            seq: self.iss,
            ack,
            flags: flags | self.offer.ecn,
            window: self.offer.window,
            urgent: 0,
            options,
            payload: Payload { start: self.iss, len: 0 },
            retransmission,
        }
    }

    /// What `abort` sends: RFC 9293 section 3.10.5, with an acknowledgment wherever one is known, because a peer in
    /// SYN-SENT believes no other RST.
    pub(super) fn reset_on_abort(&self) -> Outbox {
        let reset = match self.state {
            State::Closed | State::TimeWait => None,
            State::Suspended => Some(Reset { seq: Seq(0), ack: Some(self.rcv.nxt) }),
            State::SynSent => self.out.syn_sent.then_some(Reset { seq: self.snd.nxt, ack: None }),
            _ => Some(Reset { seq: self.sendable_number(), ack: Some(self.rcv.nxt) }),
        };
        Outbox { reset, aborted: self.out.aborted || reset.is_some(), ..Outbox::default() }
    }

    /// SND.NXT, unless the peer's window ends before it.
    fn sendable_number(&self) -> Seq {
        self.snd.nxt.min(self.snd.edge).max(self.snd.una)
    }

    fn reset_segment(reset: Reset) -> SegmentOut {
        SegmentOut {
            seq: reset.seq,
            ack: reset.ack.unwrap_or(Seq(0)),
            flags: if reset.ack.is_some() { TcpFlags::RST | TcpFlags::ACK } else { TcpFlags::RST },
            window: 0,
            urgent: 0,
            options: TcpOptions::default(),
            payload: Payload { start: reset.seq, len: 0 },
            retransmission: false,
        }
    }

    /// Acknowledges all that was taken, now.
    pub fn acknowledge_now(&mut self) {
        self.out.ack_now = true;
    }
}
