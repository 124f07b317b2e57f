//! Known flows: the path in the object decides. Cut-through and monitored end right here.

use super::message::Event;
use super::parked::Waiting;
use super::*;
use crate::buffer::ChecksumHint;
use crate::flow::object::{Object, Path, Traits};
use crate::flow::observe::DECIDING;
use crate::flow::quad::Direction;
use crate::flow::state::TcpState;
use crate::flow::terms::Terms;
use crate::packet::{IcmpError, TcpHeaders, is_tcp_checksum_valid};
use crate::rewrite::delta::{self, Deltas};
use crate::rewrite::icmp;
use crate::rewrite::reconcile::{self, Clocks, Reconciliation};
use crate::wire::tcp::HEADER_LEN;
use crate::wire::tcp_options::TcpOptions;

impl<P: Port> Worker<P> {
    /// A segment of the flow in `slot`.
    #[inline(never)]
    pub(super) fn carry(
        &mut self,
        now: Instant,
        port: PortId,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        let object = self.table.object(slot);
        if object.traits.has(Traits::FAR) {
            return self.carry_far(now, port, slot, direction, headers, frame);
        }
        if self.side_of(object, direction) != port {
            self.counters.count(Counter::DropWrongSide);
            return;
        }
        self.carry_on(now, slot, direction, headers, frame);
    }

    /// A segment that came from the right side, as the flow's client sees it.
    pub(super) fn carry_on(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        let object = self.table.object(slot);
        let path = object.path;
        let frame = match headers.flags.syn() && path.is_carried() {
            true => match self.meet_syn(now, slot, direction, headers, frame) {
                Some(frame) => frame,
                None => return,
            },
            false => frame,
        };
        // What the device calls corrupt passes, and does not keep its flow alive either.
        if frame.checksum_hint() != ChecksumHint::Bad {
            self.count_on_flow(now, slot, direction, headers);
        }
        match path {
            Path::Suspended | Path::Participating => self.send_up(slot, direction, headers, frame),
            Path::Parked => self.park(slot, direction, headers, frame),
            Path::CutThrough => self.cut_through(now, slot, direction, headers, frame),
            Path::Monitored | Path::Bypassed => {
                let Some(frame) = self.let_by(now, slot, direction, headers, frame) else { return };
                self.observe(now, slot, direction, headers, &frame);
                self.deliver(slot, direction, headers, frame);
            }
            Path::Free => self.counters.count(Counter::DropFlowGone),
        }
    }

    /// The frame, unless an inspection has kept it.
    #[inline]
    fn let_by(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) -> Option<P::Buffer> {
        match self.table.object(slot).traits.intersects(Traits::INSPECTED) {
            false => Some(frame),
            true => self.inspect(now, slot, direction, headers, frame),
        }
    }

    /// Out to the receiver of what travels `direction`.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        let object = self.table.object(slot);
        if direction == Direction::ClientToServer && object.traits.has(Traits::FAR) {
            return self.leave(slot, headers, frame);
        }
        let out = self.side_of(object, direction.reverse());
        self.forward(out, usize::from(headers.end - headers.l3), frame);
    }

    /// The port on which the sender of `direction` is.
    #[inline]
    pub(super) fn side_of(&self, object: &Object, direction: Direction) -> PortId {
        let client_side = PortId(object.client_side);
        match direction {
            Direction::ClientToServer => client_side,
            Direction::ServerToClient => self.peer(client_side),
        }
    }

    /// The flow lives on from now.
    #[inline]
    pub(super) fn renew(&mut self, now: Instant, slot: u32) {
        self.table.object_mut(slot).last_seen = now.as_millis() as u32;
    }

    #[inline]
    fn count_on_flow(&mut self, now: Instant, slot: u32, direction: Direction, headers: &TcpHeaders) {
        // Of those that are examined, what is not dropped renews it: who tries in vain to begin another connection must not
        // keep the old one alive.
        if !self.table.object(slot).is_examined() {
            self.renew(now, slot);
        }
        self.table.count(slot, direction, headers.end - headers.l3);
    }

    /// Participating path: the segment goes to the control core, when it is whole and its checksum is right.
    #[inline(never)]
    pub(super) fn send_up(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) {
        if headers.first_fragment {
            self.counters.count(Counter::DropFragmentParticipating);
            return;
        }
        // Its line is on the way while the sum is taken.
        let flow = self.table.flow_ref(slot);
        if !is_verified(&frame, headers) {
            self.counters.count(Counter::DropTcpChecksum);
            return;
        }
        let object = self.table.object(slot);
        let port = self.side_of(object, direction);
        if object.traits.has(Traits::SEARCHED) {
            self.restore_passing(slot, direction, headers, &mut frame);
        }
        let event = Event::Segment { flow, direction, port, headers: *headers, frame };
        self.send_event(event);
    }

    /// Puts a packet's event into the mailbox; answers to orders keep their reserve.
    #[inline(always)]
    pub(super) fn send_event(&mut self, event: Event<P::Buffer>) {
        if self.events.try_send_leaving(EVENT_RESERVE, event).is_err() {
            self.counters.count(Counter::DropEventsFull);
        }
    }

    #[cold]
    fn park(&mut self, slot: u32, direction: Direction, headers: &TcpHeaders, frame: P::Buffer) {
        match self.parked.push(slot, Waiting { direction, headers: *headers, frame, searched: None }) {
            Ok(()) => self.counters.count(Counter::Parked),
            Err(_) => self.counters.count(Counter::DropParkedFull),
        }
    }

    /// The non-participating path: rewritten by the deltas and out.
    #[inline]
    pub(super) fn cut_through(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        if let Some(frame) = self.let_by(now, slot, direction, headers, frame) {
            self.rewrite(now, slot, direction, headers, frame);
        }
    }

    /// The same of a segment that has waited until its flow came here, as if it came now.
    pub(super) fn cut_through_late(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        let frame = match headers.flags.syn() {
            true => self.meet_syn(now, slot, direction, headers, frame),
            false => Some(frame),
        };
        if let Some(frame) = frame {
            self.cut_through(now, slot, direction, headers, frame);
        }
    }

    /// By the deltas, and out.
    #[inline]
    pub(super) fn rewrite(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) {
        let object = self.table.object(slot);
        let deltas = Deltas { own: object.own_delta(direction), other: object.other_delta(direction) };
        let is_reconciled = object.traits.has(Traits::RECONCILED);
        self.observe(now, slot, direction, headers, &frame);
        if !deltas.are_zero() {
            delta::apply(frame.bytes_mut(), headers, deltas);
            self.counters.count(Counter::Rewritten);
        }
        if is_reconciled {
            self.reconcile(slot, direction, headers, &mut frame);
        }
        self.deliver(slot, direction, headers, frame);
    }

    /// The segment is put into the terms of its receiver. Numbers have been rewritten, or need not be.
    #[cold]
    fn reconcile(&self, slot: u32, direction: Direction, headers: &TcpHeaders, frame: &mut P::Buffer) {
        let (promises, clock) = self.table.promises(slot);
        let reconciliation = Reconciliation::new(promises, clock, direction);
        reconcile::apply(frame.bytes_mut(), headers, reconciliation);
    }

    /// Follows the connection's state, and re-arms the entry's timer when its life time has become another.
    #[inline]
    pub(super) fn observe(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: &P::Buffer,
    ) {
        let object = self.table.object_mut(slot);
        let before = object.tcp;
        // Corrupt segments pass, and their receivers drop them: one flipped bit must not open or close an entry, or move the
        // boundary of a split. Data of an open connection that comes in order is not worth the sum over it: its bytes are
        // repeated below the boundary. What could move the state is, and what leaps ahead. What the device says is for nothing.
        let decides = headers.flags.intersects(DECIDING) || before != TcpState::Established;
        let is_summed = decides || frame.checksum_hint() == ChecksumHint::Bad;
        if headers.first_fragment {
            object.terms.note_fragments();
        } else {
            let end = headers.seq.advance(headers.sequence_len());
            let is_summed = is_summed || object.leaps(direction, headers.seq, end);
            if is_summed && !is_verified(frame, headers) {
                return;
            }
        }
        let object = self.table.object_mut(slot);
        object.observe(direction, headers);
        let after = object.tcp;
        if after != before {
            let deadline = self.next_look(now, slot);
            self.table.arm(slot, deadline);
        }
        if headers.flags.syn() && before.is_opening() {
            self.learn_terms(slot, direction, headers, frame.bytes());
        }
    }

    /// A SYN or SYN-ACK passes: what a later split has to know of it.
    #[cold]
    fn learn_terms(&mut self, slot: u32, direction: Direction, headers: &TcpHeaders, frame: &[u8]) {
        let options = usize::from(headers.l4) + HEADER_LEN..usize::from(headers.payload);
        let Some(Ok(options)) = frame.get(options).map(TcpOptions::parse) else { return };
        let object = self.table.object_mut(slot);
        if object.terms.are_known() {
            // A SYN or SYN-ACK that is repeated, or late, agrees on nothing anew.
            return;
        }
        object.terms = match direction {
            Direction::ClientToServer => Terms::offered(headers.flags, &options),
            Direction::ServerToClient => object.terms.accepted(headers.flags, &options),
        };
        self.table.record_mut(slot).mss[direction.index()] = options.mss.unwrap_or(0);
    }

    /// An ICMP error that quotes a segment of the flow in `slot`, which travelled in direction `quoted`.
    pub(super) fn carry_icmp(
        &mut self,
        port: PortId,
        slot: u32,
        quoted: Direction,
        error: &IcmpError,
        mut frame: P::Buffer,
    ) {
        let has_far_side = self.table.object(slot).traits.has(Traits::FAR);
        let mut error = error;
        let entered;
        if has_far_side {
            let Some(as_client_sees_it) = self.enter_icmp(port, slot, quoted, error, &mut frame) else {
                return;
            };
            entered = as_client_sees_it;
            error = &entered;
        }
        let object = self.table.object(slot);
        // It comes from where the quoted segment went.
        if !has_far_side && self.side_of(object, quoted.reverse()) != port {
            self.counters.count(Counter::DropWrongSide);
            return;
        }
        match object.path {
            Path::Suspended | Path::Participating | Path::Parked => {
                let flow = self.table.flow_ref(slot);
                self.send_event(Event::Icmp { flow, quoted, error: *error, frame });
            }
            Path::CutThrough | Path::Monitored | Path::Bypassed => {
                let deltas = Deltas { own: object.own_delta(quoted), other: object.other_delta(quoted) };
                if !deltas.are_zero() {
                    icmp::restore_quoted(frame.bytes_mut(), error, deltas);
                    self.counters.count(Counter::Rewritten);
                }
                if object.traits.has(Traits::RECONCILED) {
                    let (_, clock) = self.table.promises(slot);
                    let clocks = Clocks::new(clock, quoted);
                    icmp::restore_quoted_clocks(frame.bytes_mut(), error, clocks);
                }
                if has_far_side && quoted == Direction::ServerToClient {
                    return self.leave_icmp(slot, error, frame);
                }
                let out = self.side_of(self.table.object(slot), quoted);
                self.forward(out, usize::from(error.end - error.l3), frame);
            }
            Path::Free => self.counters.count(Counter::DropFlowGone),
        }
    }

    /// Life time of an entry without packets, by its connection's state.
    pub(super) fn life_time(&self, tcp: TcpState) -> Duration {
        match tcp {
            TcpState::SynSent | TcpState::SynReceived => self.timeouts.opening,
            TcpState::Established => self.timeouts.established,
            TcpState::Closed | TcpState::Reset => self.timeouts.linger,
            _ => self.timeouts.half_closed,
        }
    }

    /// Removes the flow in `slot` with everything that hangs on it.
    pub(super) fn forget(&mut self, slot: u32) {
        while self.parked.pop(slot).is_some() {
            self.counters.count(Counter::DropFlowGone);
        }
        self.end_search(slot);
        self.table.remove(slot);
    }
}

/// Whether the TCP checksum is right, as far as the device or we can tell.
pub(super) fn is_verified<B: Buffer>(frame: &B, headers: &TcpHeaders) -> bool {
    match frame.checksum_hint() {
        ChecksumHint::Good => true,
        ChecksumHint::Bad => false,
        ChecksumHint::Unknown => is_tcp_checksum_valid(frame.bytes(), headers),
    }
}
