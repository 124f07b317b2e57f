//! How a flow ends: in order, by RST, or because nothing happens any more (DESIGN invariant 6: no place is taken for ever).

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::worker::message::Order;

use super::leg::Leg;
use super::stall_free::Leaving;
use super::{Connection, Phase};
use crate::core::context::Context;
use crate::tcp::State;

impl<L: Pool> Connection<L> {
    /// After every event: how long the flow may live without another one.
    pub(super) fn renew_life(&mut self, cx: &Context<'_, L>) {
        self.expires = match self.phase {
            Phase::Ended { until } => until,
            // Set when the client was answered; a server that repeats its SYN-ACK keeps nobody alive.
            Phase::Answered => self.expires,
            _ if self.is_half_closed() => self.heard + cx.settings.half_closed,
            _ => self.heard + cx.settings.idle_established,
        };
    }

    /// From now on the client has so long to complete its handshake.
    pub(super) fn await_client(&mut self, cx: &Context<'_, L>) {
        self.phase = Phase::Answered;
        self.expires = cx.now + cx.settings.leg.syn_timeout;
    }

    fn is_half_closed(&self) -> bool {
        let has_left = |leaving: &Leaving<_>| Direction::BOTH.into_iter().any(|of| leaving.has_closed(of));
        self.client.block.fin_received()
            || self.server.as_ref().is_some_and(|leg| leg.block.fin_received())
            || self.leaving.as_deref().is_some_and(has_left)
    }

    /// The flow has lived as long as it may.
    pub(super) fn expire(&mut self, cx: &mut Context<'_, L>) {
        match self.phase {
            Phase::Done => {}
            Phase::Ended { .. } => self.finish(cx),
            Phase::Answered => {
                // The server may believe in a connection; a client that was never validated hears nothing.
                cx.counters.count(Counter::HandshakesAbandoned);
                self.displace(cx);
            }
            Phase::Choosing { .. }
            | Phase::Connecting
            | Phase::Relaying
            | Phase::Draining { .. }
            | Phase::Leaving
            | Phase::Parking => {
                cx.counters.count(Counter::FlowsExpired);
                self.reset_both_legs();
            }
        }
    }

    /// Its rule lets it be idle no longer.
    pub(crate) fn on_idle(&mut self, cx: &mut Context<'_, L>) {
        if !matches!(self.phase, Phase::Ended { .. } | Phase::Answered) {
            self.expire(cx);
            self.settle(cx);
        }
    }

    /// A flow makes room: its server hears of it, and the client if it has been validated.
    pub(crate) fn displace(&mut self, cx: &mut Context<'_, L>) {
        if self.may_be_displaced() {
            self.client.block.abort();
        }
        self.end_server_leg();
        self.end_local();
        self.emit(cx);
        self.finish(cx);
    }

    /// Both endpoints get a RST.
    pub(super) fn reset_both_legs(&mut self) {
        self.client.block.abort();
        self.end_server_leg();
        self.end_local();
    }

    /// The endpoint that sends in `direction` has reset its leg, or is gone: the other one gets RST, behind what was said
    /// before. On the wire that data would have overtaken no RST, and a receiver keeps what it has got (Linux's `tcp_reset`
    /// leaves the receive queue alone): a server that answers and closes with unread input is understood.
    ///
    /// An endpoint that is gone gets the other one RST too, not silence: bytes may have been acknowledged that will never
    /// be delivered, and whoever waits for an answer to them must not wait for ever.
    pub(super) fn end_behind_data(&mut self, cx: &Context<'_, L>, direction: Direction) {
        if self.phase == Phase::Relaying {
            // No longer than this: a reader that has stopped would never hear of it.
            self.ending = Some((direction, cx.now + cx.settings.leg.linger));
        } else {
            self.end_other_leg(direction);
        }
    }

    /// What an endpoint had said before it reset its leg has arrived, or has had its time, or its next connection begins.
    pub(super) fn end_if_delivered(&mut self, cx: &Context<'_, L>) {
        let Some((direction, until)) = self.ending else { return };
        let begins_anew = self.next_syn.is_some();
        if self.local.is_some() {
            if self.client.block.readable() == 0 || begins_anew || until <= cx.now {
                self.ending = None;
                self.end_local();
            }
            return;
        }
        let Some([from, to]) = self.legs(direction) else { return };
        let is_delivered =
            from.block.readable() == 0 && to.block.queued() == 0 && to.block.snd_una() == to.block.snd_nxt();
        if is_delivered || begins_anew || until <= cx.now {
            self.ending = None;
            self.end_other_leg(direction);
        }
    }

    /// The leg that `direction` leads to gets RST.
    fn end_other_leg(&mut self, direction: Direction) {
        match direction {
            Direction::ServerToClient => self.client.block.abort(),
            Direction::ClientToServer => {
                self.end_server_leg();
                self.end_local();
            }
        }
    }

    pub(super) fn end_server_leg(&mut self) {
        if let Some(server) = &mut self.server {
            server.block.abort();
        }
    }

    /// Both legs are closed. One that we have reset stays a while, to answer a peer that has not heard or not believed.
    pub(super) fn end_if_over(&mut self, cx: &mut Context<'_, L>) {
        let is_closed = |leg: &Leg<L::Buffer>| leg.block.state() == State::Closed;
        if self.owes_local() {
            return;
        }
        if !is_closed(&self.client) || !self.server.as_ref().is_none_or(is_closed) {
            return;
        }
        match self.phase {
            Phase::Ended { .. } | Phase::Done => {}
            // Its worker keeps what comes: nobody would be answered.
            Phase::Parking => self.finish(cx),
            _ => match self.answers_until(cx) {
                Some(until) => self.linger(until),
                None => self.finish(cx),
            },
        }
    }

    /// How long there is somebody to be answered.
    fn answers_until(&self, cx: &Context<'_, L>) -> Option<Instant> {
        let linger = cx.now + cx.settings.leg.linger;
        let legs = [Some(&self.client), self.server.as_ref()];
        legs.into_iter().flatten().filter_map(|leg| leg.block.answers_until(linger)).max()
    }

    /// Stays to answer with RST, and keeps no byte that nobody will read.
    fn linger(&mut self, until: Instant) {
        self.phase = Phase::Ended { until };
        (self.session, self.leaving) = (None, None);
        self.held.clear();
        for leg in [Some(&mut self.client), self.server.as_mut()].into_iter().flatten() {
            while leg.block.read().is_some() {}
        }
    }

    /// A RST has passed whose number its receiver expected last. What is on its way to there may make that a number of before,
    /// and the receiver asks (RFC 5961 section 3.2): it is answered here.
    pub(super) fn end_behind_reset(&mut self, cx: &Context<'_, L>) {
        for leg in [Some(&mut self.client), self.server.as_mut()].into_iter().flatten() {
            leg.block.end_silently();
        }
        self.splitting = None;
        self.linger(cx.now + cx.settings.leg.linger);
    }

    /// The worker forgets the flow, and so does the control core.
    pub(super) fn finish(&mut self, cx: &mut Context<'_, L>) {
        if self.phase != Phase::Done {
            self.phase = Phase::Done;
            cx.outbox.order(match self.next_syn.take() {
                Some(frame) => Order::Restart { flow: self.flow, port: self.client_side, frame },
                None => Order::Remove { flow: self.flow },
            });
        }
    }
}
