//! A connection that was open before this block was there, and whose bytes are the block's from a boundary on (DESIGN section 6).
//!
//! Below the boundary the endpoints go on with each other. So what the peer has not acknowledged yet may not be ours: until
//! its acknowledgments reach the boundary the block only *follows*. It may send, but measures no time, and infers no loss: what
//! is missing is somebody else's to repeat. And what it takes it must not acknowledge before the receiver behind us has
//! acknowledged all below the boundary: there it acknowledges through (`through.rs`).

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::{MAX_WINDOW, Seq};
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::Timestamps;

use super::block::Block;
use super::congestion::Congestion;
use super::events::Events;
use super::input::{Arrival, Stop, Verdict};
use super::limits::Limits;
use super::queue::Queue;
use super::recovery::Recovery;
use super::segment::{Handshake, Segment, SegmentOut};
use super::state::State;

/// Where a block begins, in the numbers of its leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    /// The first number of the peer's that is ours.
    pub rcv_nxt: Seq,
    /// The highest right edge that the peer was given: a promise.
    pub rcv_edge: Seq,
    /// What the peer has been told that its receiver has, at most `rcv_nxt`.
    pub acknowledged: Seq,
    /// The first number that is ours to send.
    pub snd_nxt: Seq,
    /// What the peer has acknowledged, at most `snd_nxt`.
    pub snd_una: Seq,
    /// The highest right edge that the peer has given.
    pub snd_edge: Seq,
}

/// Bytes that are not ours, behind all that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overtaken {
    /// Where they end.
    end: Seq,
    /// Up to where the peer has them.
    acknowledged: Seq,
}

impl<B: Buffer> Block<B> {
    /// Either leg, open. `peer` is what the peer's SYN promised, `offer` what the peer was promised.
    pub fn resumed(
        now: Instant,
        boundary: &Boundary,
        peer: &Handshake,
        offer: &Handshake,
        limits: Limits,
    ) -> Self {
        // Promises are kept: what the peer may send has room.
        let promised = boundary.rcv_nxt.distance_to(boundary.rcv_edge);
        let limits = Limits { receive_buffer: limits.receive_buffer.max(promised), ..limits };
        let mut block = Block::new(now, State::Established, limits);
        block.set_iss(boundary.snd_nxt.retreat(1));
        block.set_irs(boundary.rcv_nxt.retreat(1));
        block.snd.una = boundary.snd_nxt;
        (block.peer, block.offer) = (peer.clone(), offer.clone());
        block.negotiate();
        let window = boundary.snd_una.distance_to(boundary.snd_edge);
        let field = (window >> block.snd.shift).min(u16::MAX.into()) as u16;
        block.take_window(block.irs, boundary.snd_una, field, window);
        // The boundary may lie behind a probe of a shut window, for which the peer has no room.
        block.snd.max_edge = block.snd.edge;
        // The boundary may lie beyond what the peer has sent: whatever it says first is news.
        block.snd.wl1 = boundary.rcv_nxt.retreat(MAX_WINDOW);
        block.rcv.edge = boundary.rcv_edge.max(boundary.rcv_nxt);
        // Nothing more is given before somebody has said what there is room for.
        block.rcv.allowed = Some(block.rcv.edge);
        block.withhold_acknowledgments();
        block.let_acknowledge(boundary.acknowledged);
        if let Some(through) = &mut block.rcv.through {
            through.passes = true;
        }
        block.snd.followed = (boundary.snd_una != boundary.snd_nxt).then_some(boundary.snd_una);
        // What is in flight between the ends is what the path has been found to hold.
        let in_flight = boundary.snd_una.distance_to(boundary.snd_nxt);
        let window = block.congestion.window().max(in_flight);
        block.congestion.set_window(window);
        block.snd.pacer.restart(window);
        block.timers.progress = now;
        block.note_life(now);
        block
    }

    /// Nothing of the peer's has been taken beyond the boundary.
    pub fn has_taken_nothing(&self) -> bool {
        self.rcv.nxt == self.irs.advance(1) && self.rcv.reassembly.is_empty() && self.rcv.fin.is_none()
    }

    /// Nothing has been sent to the peer beyond the boundary, or waits to be.
    pub fn has_sent_nothing(&self) -> bool {
        self.snd.nxt == self.iss.advance(1) && self.snd.queue.len() == 0 && !self.snd.fin_queued
    }

    /// The boundary was too high: the first number of the peer's that is ours is this one. Nothing has been taken.
    pub fn take_from(&mut self, seq: Seq) {
        self.irs = seq.retreat(1);
        self.rcv.nxt = seq;
        self.rcv.queue = Queue::new(seq, self.limits.max_chunks);
    }

    /// The same for what is ours to send. Nothing has been.
    pub fn send_from(&mut self, seq: Seq) {
        self.iss = seq.retreat(1);
        (self.snd.una, self.snd.nxt) = (seq, seq);
        self.snd.queue = Queue::new(seq, self.limits.max_chunks);
        self.snd.recovery = Recovery::new(seq);
    }

    /// The peer has not acknowledged all that was sent to it before the boundary.
    pub fn follows(&self) -> bool {
        self.snd.followed.is_some()
    }

    /// The peer has acknowledged all before the boundary: what it says from now on is about us.
    pub fn catch_up(&mut self, now: Instant) {
        if self.snd.followed.take().is_none() {
            return;
        }
        self.timers.progress = now;
        // What is acknowledged with the last below the boundary may have waited for that: it measures somebody else's repair.
        self.snd.flight.forget_times();
        if self.snd.una != self.snd.nxt {
            self.timers.retransmit = Some(self.rto.expires(now));
        }
    }

    /// Fifth step for a block that follows: the window counts, the acknowledgment is for somebody else.
    pub(super) fn follow_ack(&mut self, arrival: &Arrival<'_>, followed: Seq) -> Verdict {
        let segment = arrival.segment;
        if !segment.flags.ack() {
            return Verdict::Break(Stop::NoAck);
        }
        if segment.ack.gt(self.snd.nxt) {
            self.challenge(arrival.now);
            return Verdict::Break(Stop::AckInvalid);
        }
        let advances = segment.ack.gt(followed);
        if advances || (segment.ack == followed && segment.seq.ge(self.snd.wl1)) {
            self.snd.followed = Some(segment.ack);
            let window = u32::from(segment.window) << self.snd.shift;
            self.take_window(segment.seq, segment.ack, segment.window, window);
        }
        Verdict::Continue(())
    }

    /// A segment of the peer's that lies below the boundary passes to its receiver: what it says about us counts, its bytes
    /// do not.
    pub fn on_passing(&mut self, now: Instant, segment: &Segment) -> Events {
        let mut arrival = Arrival { now, segment, events: Events::NONE };
        let verdict = match self.state.is_synchronized() {
            true => {
                self.hear_clock(now, segment, self.echoed_up_to());
                let verdict = self.check_ack(&mut arrival);
                self.note_life(now);
                verdict
            }
            false => Verdict::Break(Stop::NotNow),
        };
        self.last_stop = verdict.break_value();
        arrival.events
    }

    /// Up to where a segment's timestamp counts (RFC 7323 section 4.3). What passes to the receiver carries the peer's own, later
    /// ones: what we send must not be older, or the receiver drops it (PAWS).
    pub(super) fn echoed_up_to(&self) -> Seq {
        if self.is_told_by_receiver() { self.rcv.nxt } else { self.rcv.last_ack_sent }
    }

    /// The peer's clock, as a segment of its that goes past us says it. Its receiver takes it over when nothing is missing before
    /// it, that is before `in_order`; what we send must not be older then (PAWS).
    pub fn hear_clock(&mut self, now: Instant, segment: &Segment, in_order: Seq) {
        if let Some(ts) = segment.options.timestamps.filter(|_| self.timestamps) {
            self.ts.update(now, ts, segment.seq, in_order);
        }
    }

    /// The peer's clock, as its receiver has echoed it: good until we hear it ourselves.
    pub fn learn_clock(&mut self, now: Instant, echo: u32) {
        if self.timestamps && self.ts.value().is_none() {
            self.ts.start(now, Some(Timestamps { value: echo, echo: 0 }));
        }
    }

    /// The receiver behind us has all before `upto`, and tells the peer itself.
    pub fn let_acknowledge(&mut self, upto: Seq) {
        if let Some(through) = &mut self.rcv.through {
            through.upto = upto;
        }
    }

    /// The receiver has all below the boundary: what the peer hears from now on is ours to say. What is taken is acknowledged
    /// at once, or, on a flow that acknowledges through, when the receiver has it.
    pub fn stop_passing(&mut self, now: Instant, acknowledges_through: bool) {
        // What the peer has been told last was the receiver's word; if this is the acknowledgment that ends that, it is ours.
        self.out.ack_now = true;
        self.out.more_room = true;
        match &mut self.rcv.through {
            Some(through) if acknowledges_through => through.passes = false,
            through => *through = None,
        }
        if self.state == State::TimeWait {
            self.start_linger(now);
        }
    }

    /// The receiver has acknowledged the peer's numbers before `ack` itself, and given it this right edge: what we still
    /// send says no less.
    pub fn note_passed(&mut self, ack: Seq, edge: Seq) {
        self.rcv.passed = Some(self.rcv.passed.map_or(ack, |passed| passed.max(ack)));
        self.note_given(edge);
    }

    /// The peer has been given this right edge by the receiver itself.
    pub fn note_given(&mut self, edge: Seq) {
        self.rcv.edge = self.rcv.edge.max(edge);
    }

    /// The opposite endpoint's bytes before `end` have gone to the peer past us. All that is ours lies before them; what we
    /// still say, a RST above all, has to come behind them, or the peer does not look at it.
    pub fn note_overtaken(&mut self, end: Seq) {
        let overtaken = self.snd.overtaken.get_or_insert(Overtaken { end, acknowledged: self.snd.nxt });
        overtaken.end = overtaken.end.max(end);
    }

    /// What the peer says of those bytes.
    pub fn note_overtaken_ack(&mut self, segment: &Segment) {
        let edge = segment.ack.advance(u32::from(segment.window) << self.snd.shift);
        self.snd.max_edge = self.snd.max_edge.max(edge);
        if let Some(overtaken) = self.snd.overtaken.as_mut() {
            overtaken.acknowledged = overtaken.acknowledged.max(segment.ack.min(overtaken.end));
        }
    }

    /// All that was sent is acknowledged, nothing more will be, and what the opposite endpoint sends goes past us: the block
    /// follows it up to `seq`, or after 2^31 bytes would take the past for the future.
    pub fn follow_sent(&mut self, seq: Seq) {
        let by = self.snd.nxt.distance_to(seq);
        if self.snd.una != self.closed_at() || self.snd.fin_sent || by == 0 {
            return;
        }
        self.iss = self.iss.advance(by);
        (self.snd.una, self.snd.nxt) = (seq, seq);
        (self.snd.edge, self.snd.max_edge) = (self.snd.edge.max(seq), self.snd.max_edge.max(seq));
        self.snd.queue = Queue::new(seq, self.limits.max_chunks);
        self.snd.recovery = Recovery::new(seq);
    }

    /// The same for what the peer sends: nothing of it is here any more.
    pub fn follow_taken(&mut self, seq: Seq) {
        let by = self.rcv.nxt.distance_to(seq);
        if self.rcv.fin_taken || by == 0 {
            return;
        }
        self.irs = self.irs.advance(by);
        self.rcv.nxt = seq;
        self.rcv.queue = Queue::new(seq, self.limits.max_chunks);
        self.rcv.edge = self.rcv.edge.max(seq);
        self.rcv.last_ack_sent = self.rcv.last_ack_sent.max(seq);
    }

    /// The number of what is said next, as far as the peer has room for it.
    pub fn sendable_number(&self) -> Seq {
        let is_all_sent = self.snd.nxt == self.closed_at();
        let next = self.snd.overtaken.filter(|_| is_all_sent).map_or(self.snd.nxt, |past| past.end);
        // SND.NXT, unless the peer has never had room for as much (a probe is out): it would not look at the ACK.
        next.min(self.snd.max_edge).max(self.acknowledged_number())
    }

    /// The number that the peer is known to expect, if it has missed nothing since.
    pub fn acknowledged_number(&self) -> Seq {
        let is_all_acked = self.snd.una == self.closed_at();
        self.snd.overtaken.filter(|_| is_all_acked).map_or(self.acknowledged(), |past| past.acknowledged)
    }

    /// What the peer has acknowledged: of ours, or, while the block follows, of what was sent before.
    pub(super) fn acknowledged(&self) -> Seq {
        self.snd.followed.unwrap_or(self.snd.una)
    }

    /// The header of a segment of the opposite endpoint's that is passed on to the peer: it says what we would say.
    pub fn passing(&mut self, seq: Seq, flags: TcpFlags, ts_value: u32) -> TcpRepr {
        let mut out = SegmentOut::default();
        self.header(seq, flags | TcpFlags::ACK, ts_value, &mut out);
        out.tcp
    }
}
