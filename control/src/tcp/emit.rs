//! How a segment that goes out is put together, and what sending it means to the block.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};

use super::block::Block;
use super::output::{Answers, Cut, Outbox, Reset};
use super::segment::SegmentOut;
use super::state::State;

impl<B: Buffer> Block<B> {
    pub(super) fn transmit(&mut self, now: Instant, cut: Cut, ts_value: u32, out: &mut SegmentOut) {
        let end = cut.start.advance(cut.len + u32::from(cut.fin));
        if self.snd.una == self.snd.nxt {
            self.timers.progress = now;
            // Whatever runs is a wait for the window, no timeout of this segment.
            self.timers.retransmit = None;
        }
        let fresh_from = self.snd.nxt;
        if cut.start.lt(fresh_from) {
            self.snd.flight.resend(now, cut.start, end.min(fresh_from));
        }
        if end.gt(fresh_from) {
            self.snd.flight.push(now, fresh_from, end);
            self.snd.nxt = end;
        }
        self.snd.recovery.on_sent(cut.start.distance_to(end), cut.retransmission);
        self.count_pace(now, cut.len);
        self.note_size_sent(now, cut.start, cut.len, cut.retransmission);
        self.snd.fin_sent |= cut.fin;
        self.snd.fin_withheld |= cut.fin && self.withholds();
        self.snd.last_sent = now;
        if self.timers.retransmit.is_none() {
            self.timers.retransmit = Some(match self.timers.probes {
                0 => self.rto.expires(now),
                probes => now + self.rto.after(probes),
            });
        }
        if end.gt(fresh_from) {
            self.arm_tail(now);
        }
        if self.snd.followed.is_some() {
            self.timers.stop_sending();
        }
        let mut flags = TcpFlags::ACK;
        if cut.len > 0 && cut.start.advance(cut.len) == self.snd.queue.end() {
            flags = flags | TcpFlags::PSH;
        }
        if cut.fin {
            flags = flags | TcpFlags::FIN;
        }
        let (mark, ecn_capable) = match cut.len {
            0 => (TcpFlags(0), false),
            _ => self.mark_data(end, cut.retransmission),
        };
        self.header(cut.start, flags | mark, ts_value, out);
        if self.rcv.told.is_none() && cut.len > 0 && !cut.retransmission {
            self.rcv.told = Some(end);
        }
        out.payload.len = cut.len;
        out.ecn_capable = ecn_capable;
        out.retransmission = cut.retransmission;
    }

    /// A segment that acknowledges everything taken so far, as far as it may be.
    #[inline(always)]
    pub(super) fn header(&mut self, seq: Seq, flags: TcpFlags, ts_value: u32, out: &mut SegmentOut) {
        let timestamps =
            self.timestamps.then(|| Timestamps { value: ts_value, echo: self.ts.value().unwrap_or(0) });
        let sack = self.sack_option();
        self.rcv.duplicate = None;
        let (flags, urgent) = match self.snd.urgent {
            Some(point) if point.gt(seq) => {
                (flags | TcpFlags::URG, seq.distance_to(point).min(u32::from(u16::MAX)) as u16)
            }
            _ => (flags, 0),
        };
        let flags = flags | self.ecn.flags();
        let (field, edge) = self.window_to_offer();
        let ack = self.ack_number();
        if (field, ack) != (self.rcv.field, self.rcv.last_ack_sent) {
            self.rcv.told = None;
        }
        self.rcv.field = field;
        self.rcv.edge = self.rcv.edge.max(edge);
        self.rcv.last_ack_sent = ack;
        self.out.ack_now = false;
        self.out.more_room = false;
        self.out.unacknowledged = 0;
        self.timers.ack = None;
        let options = TcpOptions { timestamps, sack, ..TcpOptions::default() };
        *out = SegmentOut::bare(TcpRepr { seq, ack, flags, window: field, urgent, options });
    }

    pub(super) fn syn_segment(&mut self, now: Instant, ts_value: u32, out: &mut SegmentOut) {
        let retransmission = std::mem::replace(&mut self.out.syn_sent, true);
        self.snd.syn_at = (!retransmission).then_some(now);
        self.snd.last_sent = now;
        let (ack, flags) = match self.state {
            State::SynSent => {
                self.timers.retransmit = Some(self.rto.expires(now));
                (Seq(0), TcpFlags::SYN)
            }
            _ => (self.rcv.nxt, TcpFlags::SYN | TcpFlags::ACK),
        };
        let echo = if flags.ack() { self.ts.value().unwrap_or(0) } else { 0 };
        let options = self.offer.options(ts_value, echo);
        let flags = flags | self.offer.ecn;
        let tcp = TcpRepr { seq: self.iss, ack, flags, window: self.offer.window, urgent: 0, options };
        *out = SegmentOut { retransmission, ..SegmentOut::bare(tcp) };
    }

    /// What `abort` sends: RFC 9293 section 3.10.5, with an acknowledgment wherever one is known, because a peer in
    /// SYN-SENT believes no other RST.
    pub(super) fn reset_on_abort(&self) -> Outbox {
        let reset = match self.state {
            State::Closed => None,
            // Of a peer that has been told everything, nobody is left to be told more. Should the last of it have been lost, it
            // speaks again, and is answered then.
            State::TimeWait if !self.withholds() && !self.out.ack_now => None,
            State::Suspended => Some(Reset { seq: Seq(0), ack: Some(self.rcv.nxt) }),
            State::SynSent => self.out.syn_sent.then_some(Reset { seq: self.snd.nxt, ack: None }),
            // A receiver whose window is closed obeys a RST with the next number only, and has not taken our probes. What fills a
            // window below a boundary is on its way, and no probe.
            _ if self.snd.edge.le(self.acknowledged()) => {
                Some(Reset { seq: self.acknowledged_number(), ack: Some(self.ack_number()) })
            }
            _ => Some(Reset { seq: self.sendable_number(), ack: Some(self.ack_number()) }),
        };
        let may_speak_again = reset.is_some() || self.state == State::TimeWait;
        let answers = self.answers_on_abort().filter(|_| may_speak_again);
        Outbox { reset, answers, ..Outbox::default() }
    }

    pub(super) fn answers_on_abort(&self) -> Option<Answers> {
        match self.state {
            // It is over already, in order or not.
            State::Closed => self.out.answers,
            State::TimeWait => Some(Answers::Repetitions { until: self.timers.linger }),
            _ => Some(Answers::All),
        }
    }

    pub(super) fn reset_segment(reset: Reset) -> SegmentOut {
        SegmentOut::bare(TcpRepr {
            seq: reset.seq,
            ack: reset.ack.unwrap_or(Seq(0)),
            flags: if reset.ack.is_some() { TcpFlags::RST | TcpFlags::ACK } else { TcpFlags::RST },
            ..TcpRepr::default()
        })
    }
}
