//! Segments that go past the TCBs: what lies between the ends, as on cut-through (DESIGN sections 5 and 6).
//!
//! Whole, a segment goes on as it came, in its receiver's numbers and terms. Of one in which something is ours, only a part
//! goes on, and what it says of our bytes is what the receiver's leg would say.

use dataplane::buffer::{Buffer, Pool};
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::packet::TcpHeaders;
use dataplane::rewrite::delta::{self, Deltas};
use dataplane::rewrite::reconcile;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{SackBlock, TcpOptions};

use super::Connection;
use super::leg::ecn_of;
use super::path::family;
use crate::core::context::Context;
use crate::tcp::Segment;

/// Control bits that belong to the last number of a segment.
const AT_THE_END: TcpFlags = TcpFlags(TcpFlags::PSH.0 | TcpFlags::FIN.0);
/// Control bits that mean nothing without bytes.
const OF_BYTES: TcpFlags = TcpFlags(AT_THE_END.0 | TcpFlags::URG.0);

/// Bytes of a SACK option, padding included, and of each block in it (RFC 2018 section 3).
const SACK_HEADER: usize = 4;
const SACK_BLOCK: usize = 8;

/// A stretch of a segment's sequence space, with all that its header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    segment: &'a Segment,
    headers: &'a TcpHeaders,
    frame: &'a [u8],
    /// Numbers that are left out in front.
    front: u32,
    /// Numbers that are taken; none for the acknowledgment alone.
    len: u32,
}

impl<'a> Part<'a> {
    /// All of it. `frame` is that of which `headers` tell.
    pub(super) fn whole(segment: &'a Segment, headers: &'a TcpHeaders, frame: &'a [u8]) -> Part<'a> {
        Part { segment, headers, frame, front: 0, len: segment.sequence_len() }
    }

    /// Its first `len` numbers.
    pub(super) fn up_to(self, len: u32) -> Part<'a> {
        Part { len: len.min(self.len), ..self }
    }

    /// What follows its first `front` numbers.
    pub(super) fn behind(self, front: u32) -> Part<'a> {
        let front = front.min(self.len);
        Part { front: self.front + front, len: self.len - front, ..self }
    }

    /// As if it had come alone; it must be the end of its segment.
    pub(super) fn alone(&self) -> (Segment, TcpHeaders) {
        debug_assert_eq!(self.front + self.len, self.segment.sequence_len(), "not the end of its segment");
        let (segment, headers, seq) = (self.segment, self.headers, self.seq());
        let (flags, urgent) = urgent_behind(segment, self.front);
        let len = segment.len.saturating_sub(self.front);
        let payload = headers.payload + self.front.min(headers.payload_len()) as u16;
        (Segment { seq, flags, urgent, len, ..segment.clone() }, TcpHeaders { seq, payload, ..*headers })
    }

    fn seq(&self) -> Seq {
        self.segment.seq.advance(self.front)
    }

    fn flags(&self) -> TcpFlags {
        let taken = self.front + self.len;
        let dropped = match self.len {
            0 => OF_BYTES,
            _ if taken < self.segment.sequence_len() => AT_THE_END,
            _ => TcpFlags(0),
        };
        let (flags, _) = urgent_behind(self.segment, self.front);
        TcpFlags(flags.0 & !dropped.0)
    }

    /// SACK blocks that there is room for beside `options`. What has come fits its path; what goes on must not be longer, nor
    /// longer than what every path takes.
    fn sack_room(&self, options: &TcpOptions) -> usize {
        let family = family(&self.headers.quad);
        let every_path = usize::from(family.default_mss() + family.headers());
        let datagram = usize::from(self.headers.end - self.headers.l3).max(every_path);
        let others = TcpOptions { sack: Default::default(), ..options.clone() }.emitted_len();
        let taken = usize::from(family.headers()) + others + self.payload().len();
        datagram.saturating_sub(taken + SACK_HEADER) / SACK_BLOCK
    }

    fn payload(&self) -> &'a [u8] {
        let end = usize::from(self.headers.end);
        let start = (usize::from(self.headers.payload) + self.front as usize).min(end);
        &self.frame[start..end.min(start + self.len as usize)]
    }
}

impl<L: Pool> Connection<L> {
    /// A segment of which nothing is ours goes on as the worker would carry it.
    pub(super) fn pass_end_to_end(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: L::Buffer,
    ) {
        let deltas = self.numbers_of(direction);
        if !deltas.are_zero() {
            delta::apply(frame.bytes_mut(), headers, deltas);
        }
        if self.is_reconciled() {
            reconcile::apply(frame.bytes_mut(), headers, self.reconciliation(direction));
        }
        let way = self.way_to(direction);
        cx.forward(way, frame);
    }

    /// A part goes on; the rest of it says what the receiver's leg would say.
    pub(super) fn pass_part(&mut self, cx: &mut Context<'_, L>, direction: Direction, part: &Part<'_>) {
        if !cx.can_transmit() {
            return cx.counters.count(Counter::DropOrdersFull);
        }
        let deltas = self.numbers_of(direction);
        let opposite = self.boundary_below(direction.reverse());
        let clocks = self.clocks(direction);
        let is_above =
            self.splitting.is_some() && self.boundary_below(direction).is_none_or(|at| part.seq().gt(at));
        let is_leaving = self.leaving.is_some();
        let above = self.sacked_above(direction, part.segment);
        let leg_clock = match direction {
            Direction::ClientToServer => self.clients_clock(),
            Direction::ServerToClient => self.servers_clock(cx.now),
        };
        let Some([_, to]) = self.legs(direction) else { return };
        let own = part.seq().plus(deltas.own);
        let seq = match part.len {
            0 if is_leaving => to.block.sendable_number(),
            // A session may have made more or fewer bytes of those in between.
            0 if is_above => to.block.snd_nxt(),
            // Beyond what its receiver has room for an acknowledgment would not be looked at.
            0 => own.min(to.block.snd_nxt()),
            _ => own,
        };
        let segment = part.segment;
        // In another number it says the clock of that one: its own may be ahead of a hole, and the receiver not take what fills
        // it, nor what is ours, any more (PAWS).
        let ts_value = match segment.options.timestamps {
            Some(ts) if seq == own => clocks.moved(ts, true).value,
            _ => leg_clock,
        };
        let mut out = to.block.passing(seq, part.flags(), ts_value);
        if let Some(at) = opposite.filter(|_| to.block.has_sack()) {
            let room = out.options.sack.remaining_capacity();
            out.options.sack.extend(sacked_below(segment, deltas, at).take(room));
        }
        if to.block.has_sack() {
            let room = out.options.sack.remaining_capacity();
            out.options.sack.extend(above.into_iter().take(room));
        }
        out.options.sack.truncate(part.sack_room(&out.options));
        let (flags, urgent) = urgent_behind(segment, part.front);
        let is_urgent = part.len > 0 && flags.contains(TcpFlags::URG);
        let tcp = TcpRepr {
            seq,
            ack: out.ack,
            flags: out.flags,
            window: out.window,
            urgent: if is_urgent { urgent } else { out.urgent },
            options: out.options,
        };
        let payload = part.payload();
        // A mark stays with the bytes that have met it, and so does the leave to mark them (RFC 3168 section 5).
        let plain = to.template.traffic_class;
        if part.len > 0 {
            to.template.traffic_class |= ecn_of(part.frame, part.headers);
        }
        cx.transmit(to.way, &to.template, &tcp, payload.len(), |bytes| bytes.copy_from_slice(payload));
        to.template.traffic_class = plain;
    }
}

/// The flags and the urgent pointer of what lies behind the first `front` bytes: the pointer counts from its segment's own
/// number (RFC 9293 section 3.8.5).
fn urgent_behind(segment: &Segment, front: u32) -> (TcpFlags, u16) {
    let urgent = u32::from(segment.urgent).saturating_sub(front) as u16;
    let is_over = front > 0 && urgent == 0;
    let flags = if is_over { segment.flags.0 & !TcpFlags::URG.0 } else { segment.flags.0 };
    (TcpFlags(flags), urgent)
}

/// The SACK blocks of a segment, as far as they are about what lies below `at`, in the other end's numbers.
fn sacked_below(segment: &Segment, deltas: Deltas, at: Seq) -> impl Iterator<Item = SackBlock> {
    segment.options.sack.iter().filter_map(move |block| {
        let (left, right) = (block.left.minus(deltas.other), block.right.minus(deltas.other).min(at));
        left.lt(right).then_some(SackBlock { left, right })
    })
}
