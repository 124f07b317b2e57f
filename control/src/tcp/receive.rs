//! Sixth to eighth step of segment arrival: urgent pointer, text and FIN; and when to acknowledge them.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;

use super::block::Block;
use super::chunk::Chunk;
use super::events::Events;
use super::input::{Arrival, Verdict};
use super::reassembly::Bounds;
use super::state::{State, Step};
use super::timer::DELAYED_ACK;

/// Segments that are acknowledged at once while the peer's congestion window is young.
const QUICK: u8 = 16;

impl<B: Buffer> Block<B> {
    /// Sixth step: the urgent pointer is remembered for the opposite leg, and nothing else is done about it.
    pub(super) fn take_urgent(&mut self, arrival: &Arrival<'_>) {
        use dataplane::wire::tcp_flags::TcpFlags;
        let segment = arrival.segment;
        if !segment.flags.contains(TcpFlags::URG) || !self.state.takes_data() {
            return;
        }
        let point = segment.seq.advance(u32::from(segment.urgent));
        if point.gt(self.rcv.nxt) && self.rcv.urgent.is_none_or(|known| point.gt(known)) {
            self.rcv.urgent = Some(point);
        }
    }

    /// Seventh step: what is new and inside the right edge is queued, or kept until the gap before it is filled.
    #[inline(always)]
    pub(super) fn take_text(&mut self, arrival: &mut Arrival<'_>, payload: &mut Option<Chunk<B>>) {
        let segment = arrival.segment;
        if segment.len == 0 || !self.state.takes_data() {
            return;
        }
        let Some(chunk) = payload else {
            // Nobody had room for it; a sender that asks whether we are there is told so (RFC 9293 section 3.8.6.1).
            self.out.ack_now = true;
            return;
        };
        let known = segment.seq.distance_to(self.rcv.nxt).min(chunk.len() as u32);
        self.note_duplicate(segment.seq, segment.seq.advance(known));
        chunk.trim_front(known as usize);
        let seq = segment.seq.advance(known);
        let limit = self.rcv.fin.map_or(self.rcv.edge, |fin| fin.min(self.rcv.edge));
        chunk.trim_back(limit.distance_to(seq.advance(chunk.len() as u32)) as usize);
        if chunk.is_empty() {
            // A duplicate, or a probe of a closed window.
            self.out.ack_now = true;
            if segment.end().gt(self.rcv.nxt) {
                arrival.events.insert(Events::ASKED_RECEIVER);
            }
        } else if seq == self.rcv.nxt {
            self.take_in_order(payload);
            arrival.events.insert(Events::READABLE);
            self.schedule_ack(arrival.now);
        } else {
            // RFC 5681 section 4.2: at once, and with SACK.
            let bounds = self.reassembly_bounds();
            let chunk = payload.take();
            if let Some(block) = chunk.and_then(|chunk| self.rcv.reassembly.insert(seq, chunk, bounds)) {
                self.note_duplicate(block.left, block.right);
            }
            self.out.ack_now = true;
        }
    }

    /// What may be kept out of order: as much as in order, and never less than a window without scaling, which the
    /// mirrored SYN-ACK of a server may have promised.
    fn reassembly_bounds(&self) -> Bounds {
        Bounds {
            segments: self.limits.max_reassembly_segments,
            bytes: self.limits.receive_buffer.max(u16::MAX.into()),
        }
    }

    /// `payload` is what comes next.
    #[inline(always)]
    fn take_in_order(&mut self, payload: &mut Option<Chunk<B>>) {
        if !self.rcv.reassembly.is_empty() {
            return self.fill_gap(payload.take());
        }
        if let Some(chunk) = payload.take() {
            self.rcv.nxt = self.rcv.nxt.advance(chunk.len() as u32);
            self.rcv.queue.push(chunk);
        }
    }

    /// The same where something lies behind a gap, which begins where `next` does.
    fn fill_gap(&mut self, mut next: Option<Chunk<B>>) {
        let end = self.rcv.nxt.advance(next.as_ref().map_or(0, Chunk::len) as u32);
        if let Some(block) = self.rcv.reassembly.overlap_before(end) {
            self.note_duplicate(block.left, block.right);
        }
        while let Some(chunk) = next {
            self.rcv.nxt = self.rcv.nxt.advance(chunk.len() as u32);
            self.rcv.queue.push(chunk);
            next = self.rcv.reassembly.take(self.rcv.nxt);
            // RFC 5681 section 4.2: what fills a gap, or a part of it, is acknowledged at once.
            self.out.ack_now |= next.is_some() || !self.rcv.reassembly.is_empty();
        }
    }

    /// What is taken is passed on at once, and its receiver's answer or acknowledgment is an occasion to acknowledge it: no segment
    /// is acknowledged at once because the connection is young. The caller watches for the occasion: [`Block::owes_ack`].
    pub fn acknowledge_with_receiver(&mut self) {
        self.rcv.relayed = true;
    }

    /// What came is to be answered at once.
    pub fn owes_ack_now(&self) -> bool {
        self.out.ack_now
    }

    /// Something was taken whose acknowledgment waits for an occasion, or for its timer.
    pub fn owes_ack(&self) -> bool {
        self.timers.ack.is_some()
    }

    /// RFC 9293 section 3.8.6.3: at least every second segment, and not later than the delay.
    fn schedule_ack(&mut self, now: Instant) {
        self.out.unacknowledged = self.out.unacknowledged.saturating_add(1);
        if self.out.quick < QUICK && !self.rcv.relayed {
            self.out.quick += 1;
            self.out.ack_now = true;
        } else if self.out.unacknowledged >= 2 {
            self.out.ack_now = true;
        } else if self.timers.ack.is_none() {
            self.timers.ack = Some(now + DELAYED_ACK);
        }
    }

    /// Eighth step: a FIN counts once all data before it has been taken.
    pub(super) fn take_fin(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        self.note_fin(arrival);
        if self.rcv.fin != Some(self.rcv.nxt) || self.rcv.fin_taken {
            return Verdict::Continue(());
        }
        self.rcv.fin_taken = true;
        self.rcv.nxt = self.rcv.nxt.advance(1);
        self.rcv.edge = self.rcv.edge.max(self.rcv.nxt);
        self.out.ack_now = true;
        self.state = self.state.next(Step::PeerFin);
        if self.state == State::TimeWait {
            self.start_linger(arrival.now);
        }
        arrival.events.insert(Events::PEER_FIN);
        Verdict::Continue(())
    }

    /// The first FIN that contradicts nothing: not beyond the right edge (it may stand at it: it takes no room), and not
    /// before data that was already sent.
    fn note_fin(&mut self, arrival: &Arrival<'_>) {
        let segment = arrival.segment;
        if !segment.flags.fin() || !self.state.takes_data() {
            return;
        }
        self.out.ack_now = true;
        if self.rcv.fin.is_some() {
            return;
        }
        let fin = segment.seq.advance(segment.len);
        let after_data = self.rcv.reassembly.end().is_none_or(|end| end.le(fin));
        if fin.ge(self.rcv.nxt) && fin.le(self.rcv.edge) && after_data {
            self.rcv.fin = Some(fin);
        }
    }
}
