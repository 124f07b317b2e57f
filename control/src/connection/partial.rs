//! Delayed acceptance (seed 000): the client hears nothing before the module has decided and the server has spoken,
//! and then it hears what the server or the network said.

use dataplane::buffer::{Buffer, Pool};
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::flow::table::FlowRef;
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::port::PortId;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::Order;

use super::allowance::Allowance;
use super::leg::{Leg, read_segment};
use super::path::{family, mss_within};
use super::{BlockOf, Connection, Phase};
use crate::core::context::Context;
use crate::module::{Decision, Isn, Module, PartialConnection, Proxying, ServerAck};
use crate::tcp::{Block, Events, Handshake, Segment, State};

/// A SYN that a worker has suspended.
pub struct Offer<B> {
    /// Worker that owns the flow.
    pub worker: usize,
    /// The flow.
    pub flow: FlowRef,
    /// Its key.
    pub key: FlowKey,
    /// Port of the client.
    pub client_side: PortId,
    /// Index of the module.
    pub module: u16,
    /// The SYN's headers.
    pub headers: TcpHeaders,
    /// A copy of the SYN.
    pub frame: B,
}

/// TTL of segments that speak for a server which has not been heard yet.
const UNHEARD_TTL: u8 = 64;

impl<L: Pool> Connection<L> {
    /// Asks the module. `None` when nothing remains to be done on the control core.
    pub fn offer(
        cx: &mut Context<'_, L>,
        module: &mut dyn Module,
        offer: &Offer<L::Buffer>,
    ) -> Option<Connection<L>> {
        let flow = offer.flow;
        let Some(syn) = read_segment(offer.frame.bytes(), &offer.headers) else {
            cx.counters.count(Counter::DropTcpOptions);
            cx.outbox.order(Order::Remove { flow });
            return None;
        };
        let partial =
            PartialConnection { key: offer.key, options: &syn.options, syn: offer.frame.bytes(), at: cx.now };
        // Authenticated TCP survives nobody in the middle (DESIGN section 4).
        let decision = if syn.options.authenticated { Decision::Bypass } else { module.offered(&partial) };
        match decision {
            Decision::Proxy(proxying) => Some(Self::connect(cx, module, offer, &syn, proxying)),
            Decision::Reject => {
                let mut refused = Self::suspended(cx, offer, &syn);
                refused.phase = Phase::Refused { until: cx.now + cx.settings.refused };
                refused.refuse_again(cx, &syn);
                refused.renew_life(cx);
                Some(refused)
            }
            Decision::Drop => {
                cx.counters.count(Counter::DropModule);
                cx.outbox.order(Order::Remove { flow });
                None
            }
            Decision::Bypass => {
                cx.outbox.order(Order::Release { flow, path: Path::Bypassed });
                None
            }
            Decision::Monitor => {
                cx.outbox.order(Order::Release { flow, path: Path::Monitored });
                None
            }
        }
    }

    /// The template TCB: as far as the module is concerned the client is connected; on the wire nobody has answered.
    fn suspended(cx: &Context<'_, L>, offer: &Offer<L::Buffer>, syn: &Segment) -> Connection<L> {
        let template = unheard_server(offer.frame.bytes(), &offer.headers);
        let mut block: BlockOf<L> = Block::suspended(cx.now, syn, cx.settings.leg);
        block.set_family(family(&offer.key.quad));
        Connection {
            key: offer.key,
            flow: offer.flow,
            worker: offer.worker,
            client_side: offer.client_side,
            phase: Phase::Connecting,
            proxying: None,
            session: None,
            client: Leg { block, template, port: offer.client_side },
            server: None,
            closed: [false; 2],
            edited: [0; 2],
            allowances: [Allowance::new(cx.now, cx.settings.leg.send_buffer); 2],
            through: None,
            merge_wanted: false,
            merge_retry: None,
            merge_attempts: 0,
            ending: None,
            heard: cx.now,
            expires: cx.now,
            blocked: None,
            held: Default::default(),
            next_syn: None,
        }
    }

    /// The SYN goes to the server, with the client's number and options.
    fn connect(
        cx: &mut Context<'_, L>,
        module: &mut dyn Module,
        offer: &Offer<L::Buffer>,
        syn: &Segment,
        proxying: Proxying,
    ) -> Connection<L> {
        let mut connection = Self::suspended(cx, offer, syn);
        let iss = match proxying.isn {
            Isn::Mirror => syn.seq,
            Isn::Keyed => cx.settings.isn_key.towards_server(&offer.key, cx.now),
        };
        let mut block = Block::connect(cx.now, iss, &Handshake::of(syn), cx.settings.leg);
        block.set_family(family(&offer.key.quad));
        let template = FrameTemplate::learn(offer.frame.bytes(), &offer.headers);
        connection.server = Some(Leg { block, template, port: connection.server_side(cx) });
        connection.session = Some(module.session(&offer.key));
        connection.proxying = Some(proxying);
        connection.settle(cx);
        connection
    }

    /// A segment while the handshakes are under way.
    pub(super) fn on_handshake(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let now = cx.now;
        let Some(leg) = self.sender(direction) else { return };
        let repeats = is_repetition(&leg.block, segment);
        // Data on a SYN is not taken; the client repeats it behind the handshake.
        let (chunk, frame) = self.take_payload(cx, direction, segment, headers, frame);
        let Some(leg) = self.sender(direction) else { return };
        let events = leg.block.on_segment(now, segment, chunk);
        if let Some(frame) = frame {
            if direction == Direction::ServerToClient && events.contains(Events::REFUSED) {
                return self.server_refuses(cx, frame);
            }
            if direction == Direction::ServerToClient && events.contains(Events::NEW_SYN) {
                // Simultaneous open (RFC 9293 section 3.5): the server has begun a connection to the client before our
                // SYN came. That SYN makes it answer with SYN-ACK, and the client, who never hears of the server's own,
                // with ACK: both get their connection, with their own numbers, and neither needs anything but what is
                // kept anyway. Passed on, the client's SYN-ACK would confirm the server behind our back.
                return cx.counters.count(Counter::SynCrossed);
            }
            if events.contains(Events::NEW_SYN) || events.contains(Events::BARE_ACK_TO_SYN) {
                return self.pass_across(cx, direction, segment, frame);
            }
            if direction == Direction::ServerToClient && self.is_bare_ack_before_confirmation(segment) {
                return self.pass_across(cx, direction, segment, frame);
            }
        }
        if direction == Direction::ServerToClient && self.phase == Phase::Answered && repeats {
            // The server, acknowledged at once, repeats what it greets with, which may be its FIN alone, or its SYN-ACK:
            // ours or the client's ACK must have been lost, and no timer of ours may ask for it again.
            self.client.block.repeat_syn_ack();
        }
        if events.contains(Events::SYN_AGAIN) {
            cx.counters.count(Counter::SynAbsorbed);
        }
        self.on_leg_events(cx, direction, events);
    }

    /// A server whose SYN-ACK nobody has acknowledged has nothing to say but to a SYN with another number, which we have
    /// passed on to it: that what it expects is another one. A client that begins anew answers that with RST.
    fn is_bare_ack_before_confirmation(&self, segment: &Segment) -> bool {
        let unconfirmed = self.server.as_ref().is_some_and(|leg| leg.block.state() == State::Answered);
        unconfirmed && segment.flags.ack() && !segment.flags.syn() && !segment.flags.rst()
    }

    /// What the handshake of a leg has come to.
    pub(super) fn on_handshake_events(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        events: Events,
    ) {
        if direction == Direction::ServerToClient {
            if events.contains(Events::ANSWERED) {
                self.answer_client(cx);
            } else if events.contains(Events::ANSWERED_AGAIN) && self.phase == Phase::Answered {
                self.client.block.repeat_syn_ack();
            }
        } else if events.contains(Events::ESTABLISHED) && self.phase == Phase::Answered {
            self.both_up(cx);
        }
    }

    /// The server has accepted: the client gets the SYN-ACK that the server sent.
    fn answer_client(&mut self, cx: &mut Context<'_, L>) {
        let (Some(server), Some(proxying)) = (self.server.as_mut(), self.proxying) else { return };
        let iss = match proxying.isn {
            Isn::Mirror => server.block.irs(),
            Isn::Keyed => cx.settings.isn_key.towards_client(&self.key, cx.now),
        };
        self.client.block.answer(cx.now, iss, server.block.peer_offer());
        // Either end may promise more than the pair's own links take.
        let mss = mss_within(cx.settings.mtu[usize::from(self.client_side.0)], &self.key.quad);
        self.client.block.set_link_mss(mss);
        server.block.set_link_mss(mss);
        if proxying.server_ack == ServerAck::AtOnce {
            server.block.confirm(cx.now);
        }
        self.begin_through();
        self.await_client(cx);
        cx.outbox.order(Order::Participate { flow: self.flow });
    }

    /// The client has acknowledged: now the server is, too.
    fn both_up(&mut self, cx: &mut Context<'_, L>) {
        let Some(server) = self.server.as_mut() else { return };
        if self.proxying.is_some_and(|proxying| proxying.server_ack == ServerAck::AfterClient) {
            server.block.confirm(cx.now);
        }
        self.phase = Phase::Relaying;
        if let Some(session) = &mut self.session {
            let step = session.established();
            self.take_step(step);
        }
    }

    /// The server's RST becomes the client's (seed 000: connection denied).
    fn server_refuses(&mut self, cx: &mut Context<'_, L>, frame: L::Buffer) {
        if self.is_mirrored() {
            // Same quad, same numbers: the server's own answer is exactly what the client would have got.
            cx.forward(self.client_side, frame);
        } else {
            self.reset_client(cx, self.client.block.irs().advance(1));
        }
        self.finish(cx);
    }

    fn is_mirrored(&self) -> bool {
        self.proxying.is_some_and(|proxying| proxying.isn == Isn::Mirror)
    }

    /// RST that refuses a SYN of the client which ends at `ack` (RFC 9293 section 3.10.7.1).
    fn reset_client(&mut self, cx: &mut Context<'_, L>, ack: Seq) {
        let reset = TcpRepr { ack, flags: TcpFlags::RST | TcpFlags::ACK, ..TcpRepr::default() };
        cx.transmit(self.client.port, &self.client.template, &reset, 0, |_| {});
    }

    /// The module's rejection, at first and for every SYN after it, whatever its number: a client that tries again at once
    /// from the same port is refused as well.
    pub(super) fn refuse_again(&mut self, cx: &mut Context<'_, L>, segment: &Segment) {
        if segment.flags.syn() && !segment.flags.ack() {
            cx.counters.count(Counter::DropModule);
            if !cx.can_transmit() {
                return cx.counters.count(Counter::DropOrdersFull);
            }
            self.reset_client(cx, segment.end());
        }
    }

    /// An ICMP error about our SYN: the client gets the same (seed 000: ICMP error of some form).
    ///
    /// With mirrored numbers the quotation already is the client's own SYN, else its sequence number is put back. An
    /// error that quotes another number is somebody's guess.
    pub(super) fn network_refuses(
        &mut self,
        cx: &mut Context<'_, L>,
        error: &IcmpError,
        mut frame: L::Buffer,
    ) {
        let Some(server) = &self.server else { return };
        if error.seq != server.block.iss() {
            return cx.counters.count(Counter::DropForgedIcmp);
        }
        let own = Delta::between(server.block.iss(), self.client.block.irs());
        if !own.is_zero() {
            let deltas = dataplane::rewrite::delta::Deltas { own, other: Default::default() };
            dataplane::rewrite::icmp::restore_quoted(frame.bytes_mut(), error, deltas);
        }
        cx.forward(self.client_side, frame);
        self.finish(cx);
    }

    /// What belongs to neither handshake is between the ends: a SYN with another number once the server has one, and
    /// the bare ACK by which a server answers it. With numbers of our own the ends could not make sense of it: the
    /// server gets the RST that the client would send (RFC 9293 section 3.10.7.3), and forgets what it had on this quad.
    pub(super) fn pass_across(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        frame: L::Buffer,
    ) {
        if !self.is_mirrored() {
            if let (Direction::ServerToClient, Some(server)) = (direction, &self.server) {
                if !cx.can_transmit() {
                    return cx.counters.count(Counter::DropOrdersFull);
                }
                let reset = TcpRepr { seq: segment.ack, flags: TcpFlags::RST, ..TcpRepr::default() };
                cx.transmit(server.port, &server.template, &reset, 0, |_| {});
            }
            return cx.counters.count(Counter::DropForeignHandshake);
        }
        let port = match direction {
            Direction::ClientToServer => self.server_side(cx),
            Direction::ServerToClient => self.client_side,
        };
        cx.forward(port, frame);
    }
}

/// All that the segment takes of its sender's sequence space, of which a FIN takes one and its SYN another, has come before.
fn is_repetition<B: Buffer>(block: &Block<B>, segment: &Segment) -> bool {
    segment.sequence_len() > 0 && block.irs().le(segment.seq) && segment.end().le(block.rcv_nxt())
}

/// Frames towards the client before the server has been heard: the client's own, turned round.
fn unheard_server(frame: &[u8], headers: &TcpHeaders) -> FrameTemplate {
    let mut template = FrameTemplate::learn(frame, headers);
    template.quad = template.quad.reversed();
    template.ttl = UNHEARD_TTL;
    let (destination, source) = template.ethernet[..12].split_at_mut(6);
    destination.swap_with_slice(source);
    template
}
