//! The relay (seed 002): bytes, FINs and errors of one leg become those of the other, in their order.

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::rewrite::delta::Deltas;
use dataplane::rewrite::icmp::{restore_quoted, restore_quoted_clocks};
use dataplane::wire::seq::Delta;
use dataplane::worker::message::Order;

use super::leg::split_payload;
use super::path::{TooBig, too_big};
use super::{BlockOf, Connection, Phase};
use crate::core::context::Context;
use crate::module::Outcome;
use crate::tcp::{Chunk, Events, Segment, State};

/// Both legs use the same numbers.
const NO_DELTAS: Deltas = Deltas { own: Delta::ZERO, other: Delta::ZERO };

impl<L: Pool> Connection<L> {
    /// Both legs are up.
    pub(super) fn begin_relaying(&mut self) {
        self.phase = Phase::Relaying;
        for leg in [Some(&mut self.client), self.server.as_mut()].into_iter().flatten() {
            leg.block.acknowledge_with_receiver();
        }
    }

    /// What came waits for its acknowledgment only as long as its receiver may still answer it or acknowledge it: as long as the
    /// sender would wait without us, and no longer than any delayed acknowledgment.
    pub(super) fn acknowledge_arrived(&mut self) {
        for direction in Direction::BOTH {
            let Some([from, to]) = self.legs(direction) else { return };
            let is_idle = to.block.snd_una() == to.block.closed_at();
            if from.block.owes_ack() && (is_idle || to.block.state() == State::Closed) {
                from.block.acknowledge_now();
            }
        }
    }

    /// A segment of an established leg.
    #[inline(always)]
    pub(super) fn on_relayed(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let mut payload = None;
        let frame = self.take_payload(cx, direction, segment, headers, frame, &mut payload);
        let Some(leg) = self.sender(direction) else { return };
        let events = leg.block.take_segment(cx.now, segment, &mut payload);
        if events.contains(Events::NEW_SYN) {
            if direction == Direction::ClientToServer {
                // A repeated one takes the place of the first.
                self.next_syn = frame;
            } else if let Some(frame) = frame {
                self.on_new_syn_of_server(cx, headers, frame);
            }
            return;
        }
        if let (true, Some(frame)) = (events.contains(Events::BARE_ACK_TO_SYN), frame) {
            return self.pass_across(cx, direction, headers, frame);
        }
        self.on_leg_events(cx, direction, events);
    }

    /// A client that is done with this connection has begun another one on its quad. The server gets to see that only
    /// when it is done too: before that, the last acknowledgment to or from it may still be under way, which without us
    /// the SYN could not have overtaken.
    pub(super) fn restart_if_over(&mut self, cx: &mut Context<'_, L>) {
        if self.next_syn.is_some() && self.is_over() {
            self.finish(cx);
        }
    }

    /// Puts the payload of a segment into `payload`, or gives the frame back when there is none. When all buffers together are
    /// full, only what a leg that keeps nothing has to get next is taken, so that every flow goes on; the rest is as good as lost.
    #[inline(always)]
    pub(super) fn take_payload(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
        payload: &mut Option<Chunk<L::Buffer>>,
    ) -> Option<L::Buffer> {
        let frame = split_payload(frame, headers, cx.scarce, payload);
        if let (true, Some(chunk)) = (cx.scarce, &payload) {
            cx.counters.add(Counter::CopiedBytes, chunk.len() as u64);
        }
        if payload.is_some() && cx.load.is_full(cx.settings) && !self.keeps_nothing(direction, segment) {
            cx.counters.count(Counter::DropBuffersFull);
            *payload = None;
        }
        frame
    }

    /// The segment is what has to come next in its direction, of which nothing is kept.
    fn keeps_nothing(&mut self, direction: Direction, segment: &Segment) -> bool {
        let queued = self.legs(direction).map_or(0, |[_, to]| to.block.queued());
        self.sender(direction).is_some_and(|from| {
            let is_next = segment.seq.le(from.block.rcv_nxt());
            is_next && from.block.readable() == 0 && queued == 0
        })
    }

    /// A SYN of the server on a quad in use. When the connection is over it begins another one; when not, the client has
    /// to say what it thinks of it, as it would without us.
    fn on_new_syn_of_server(&mut self, cx: &mut Context<'_, L>, headers: &TcpHeaders, frame: L::Buffer) {
        if !self.is_over() {
            return self.pass_across(cx, Direction::ServerToClient, headers, frame);
        }
        let port = self.server_side(cx);
        self.phase = Phase::Done;
        cx.outbox.order(Order::Restart { flow: self.flow, port, frame });
    }

    /// Both FINs have been passed on and acknowledged; the legs only linger.
    fn is_over(&self) -> bool {
        let over = |block: &BlockOf<L>| matches!(block.state(), State::TimeWait | State::Closed);
        over(&self.client.block) && self.server.as_ref().is_none_or(|leg| over(&leg.block))
    }

    /// What a leg's TCB has reported. `direction` is that in which the leg's endpoint sends.
    #[inline(always)]
    pub(super) fn on_leg_events(&mut self, cx: &mut Context<'_, L>, direction: Direction, events: Events) {
        if self.phase == Phase::Answered {
            self.on_handshake_events(cx, direction, events);
        }
        if self.phase == Phase::Connecting && events.contains(Events::ANSWERED) {
            self.server_up(cx);
        }
        if self.phase == Phase::Connecting && direction == Direction::ServerToClient {
            if events.contains(Events::REFUSED) {
                self.remember(cx, Outcome::Refused, None);
            } else if events.contains(Events::GAVE_UP) {
                self.remember(cx, Outcome::Silent, None);
            }
        }
        if events.contains(Events::ASKED_RECEIVER)
            && let Some([_, to]) = self.legs(direction)
            && to.block.queued() == 0
        {
            // We closed the window because the receiver's is closed; or the acknowledgment is the receiver's own.
            to.block.ask_window();
        }
        if events.contains(Events::KEPT_ALIVE)
            && let Some([_, to]) = self.legs(direction)
        {
            to.block.ask_if_alive(cx.now);
        }
        if events.intersects(Events::RESET | Events::GAVE_UP | Events::REFUSED) {
            self.end_behind_data(cx, direction);
        }
    }

    /// Moves what can be moved in both directions and renews what each sender may send.
    pub(super) fn pump(&mut self, cx: &mut Context<'_, L>) {
        if self.local.is_some() {
            return self.pump_local(cx);
        }
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            self.pump_direction(cx, direction);
            self.let_withheld_go(cx, direction);
            self.close_behind_data(direction);
        }
        self.offer_windows(cx);
    }

    /// Renews what both senders may send.
    #[inline(always)]
    pub(super) fn offer_windows(&mut self, cx: &Context<'_, L>) {
        let share = cx.load.window_share(cx.settings);
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            if self.allowances[direction.index()].is_due(cx.now) {
                self.review_allowance(cx.now, direction, share == u32::MAX);
            }
            let allowance = self.allowances[direction.index()].bytes();
            self.offer_window(direction, allowance.min(share));
        }
    }

    fn review_allowance(&mut self, now: Instant, direction: Direction, may_grow: bool) {
        let Some(server) = &self.server else { return };
        let legs = [&server.block, &self.client.block];
        let una = legs[direction.index()].snd_una();
        let rtt = || legs[0].srtt().unwrap_or_default() + legs[1].srtt().unwrap_or_default();
        self.allowances[direction.index()].review(now, una, rtt, may_grow);
    }

    fn pump_direction(&mut self, cx: &mut Context<'_, L>, direction: Direction) {
        loop {
            self.pass_urgent(direction);
            let Some([_, to]) = self.legs(direction) else { return };
            // A receiver that is gone is sent nothing, and a module is shown nothing that will not be sent.
            if to.block.send_space() == 0 || to.block.state() == State::Closed {
                return;
            }
            if !self.pass_let_go(cx, direction) && !self.show(cx, direction) {
                return;
            }
        }
    }

    /// A FIN goes on behind the last byte before it.
    fn close_behind_data(&mut self, direction: Direction) {
        let closed = self.closed[direction.index()];
        let Some([from, to]) = self.legs(direction) else { return };
        if !closed && from.block.fin_received() && from.block.readable() == 0 {
            to.block.close();
            self.closed[direction.index()] = true;
        }
    }

    /// Back-pressure: a sender may send what is left of `allowance` bytes, and, on a flow that may merge, never beyond the
    /// right edge that the opposite receiver has offered (DESIGN section 5).
    #[inline(always)]
    fn offer_window(&mut self, direction: Direction, allowance: u32) {
        let may_merge = !self.hold.is_cut() && self.proxying.is_some_and(|proxying| !proxying.never_merges);
        let Some([from, to]) = self.legs(direction) else { return };
        let unread = from.block.readable();
        let mut offer = allowance.saturating_sub(to.block.queued()).saturating_sub(unread);
        let mut mirrored = false;
        if may_merge {
            let queue_end = to.block.snd_una().advance(to.block.queued());
            let room = queue_end.distance_to(to.block.peer_right_edge()).saturating_sub(unread);
            mirrored = room < offer;
            offer = offer.min(room);
        }
        from.block.set_offer(offer, mirrored);
    }

    /// An ICMP error about a segment of an established leg, which we made: a narrower path is our TCB's to honour,
    /// anything else is for the endpoint that the segment spoke for.
    pub(super) fn on_icmp_established(
        &mut self,
        cx: &mut Context<'_, L>,
        quoted: Direction,
        error: &IcmpError,
        frame: L::Buffer,
    ) {
        if self.is_end_to_end(quoted, error.seq) {
            return self.forward_error(cx, quoted, error, frame);
        }
        let to = match quoted {
            Direction::ServerToClient => &mut self.client,
            Direction::ClientToServer => match &mut self.server {
                Some(server) => server,
                // Nothing of ours has travelled that way.
                None => return cx.counters.count(Counter::DropForgedIcmp),
            },
        };
        // SND.NXT itself is what an acknowledgment without data carries.
        let in_flight = to.block.snd_una().distance_to(to.block.snd_nxt());
        if !error.seq.in_window(to.block.snd_una(), in_flight + 1) {
            return cx.counters.count(Counter::DropForgedIcmp);
        }
        match too_big(frame.bytes(), error) {
            Some(TooBig { mtu, datagram }) => {
                if !to.block.on_packet_too_big(cx.now, error.seq, mtu, datagram) {
                    cx.counters.count(Counter::DropForgedIcmp);
                }
            }
            // What is not about the size of segments is a hint about the path, and TCP goes on (RFC 9293 section 3.9.2.2).
            None if self.server.is_none() => {}
            None => self.forward_error(cx, quoted, error, frame),
        }
    }

    /// An error goes on to the endpoint that the quoted segment spoke for, in that one's numbers and by its clock.
    fn forward_error(
        &mut self,
        cx: &mut Context<'_, L>,
        quoted: Direction,
        error: &IcmpError,
        mut frame: L::Buffer,
    ) {
        let deltas = self.numbers_of(quoted);
        if !deltas.are_zero() {
            restore_quoted(frame.bytes_mut(), error, deltas);
        }
        if self.is_reconciled() {
            restore_quoted_clocks(frame.bytes_mut(), error, self.clocks(quoted));
        }
        let way = self.way_to(quoted.reverse());
        cx.forward(way, frame);
    }

    /// What lies between the numbers of the legs, for a segment that travels in `direction`.
    pub(super) fn numbers_of(&mut self, direction: Direction) -> Deltas {
        // What lies below the boundary of a split has passed before anything was edited behind it.
        let is_past =
            |direction| self.splitting.as_ref().is_none_or(|splitting| splitting.is_over(direction));
        let edited = |of: Direction| if is_past(of) { self.edited[of.index()] } else { 0 };
        let edited = [edited(direction), edited(direction.reverse())];
        let Some([from, to]) = self.legs(direction) else { return NO_DELTAS };
        let (own, other) = (
            Delta::between(to.block.iss(), from.block.irs()),
            Delta::between(from.block.iss(), to.block.irs()),
        );
        Deltas { own: Delta(own.0.wrapping_add(edited[0])), other: Delta(other.0.wrapping_add(edited[1])) }
    }
}
