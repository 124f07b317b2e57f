//! The server has accepted (seed 000): the client gets its SYN-ACK, and the legs' handshakes are brought to their end.

use dataplane::buffer::{Buffer, Pool};
use dataplane::counters::Counter;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::packet::TcpHeaders;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::Order;

use super::begun::Origin;
use super::leg::{Leg, Look, read_segment_into};
use super::path::{family, mss_within};
use super::{Connection, Phase};
use crate::core::context::Context;
use crate::module::{Isn, Mark, ServerAck, Session};
use crate::suspended::ask;
use crate::suspended::partial::Partial;
use crate::tcp::{Block, Events, Segment, State};

/// A partial connection whose server has sent SYN-ACK.
pub(crate) struct Answered<'a> {
    pub(crate) partial: &'a Partial,
    /// Client → server.
    pub(crate) key: FlowKey,
    /// The client's SYN, verbatim.
    pub(crate) syn: &'a [u8],
    pub(crate) syn_headers: &'a TcpHeaders,
    /// What the SYN to the server said besides.
    pub(crate) mark: Mark,
    /// The SYN-ACK.
    pub(crate) segment: &'a Segment,
    pub(crate) headers: &'a TcpHeaders,
}

impl<L: Pool> Connection<L> {
    /// The TCBs of both legs, and the answer to the client. `frame` is the SYN-ACK's. They are made in `place`: they are too
    /// large to be carried about.
    pub(crate) fn answered<'p>(
        cx: &mut Context<'_, L>,
        answered: &Answered<'_>,
        session: Box<dyn Session>,
        frame: L::Buffer,
        place: &'p mut Option<Connection<L>>,
    ) -> Option<&'p mut Connection<L>> {
        let Answered { partial, key, segment, headers, .. } = *answered;
        let mut syn = Segment::default();
        if !read_segment_into(answered.syn, answered.syn_headers, &mut syn) {
            return None;
        }
        let server_side = cx.settings.peers[usize::from(partial.client_side.0)];
        let client = Leg {
            block: Block::new(partial.at(cx.now), State::Suspended, cx.settings.leg),
            template: FrameTemplate::blank(headers.quad),
            way: partial.client_side.into(),
            look: Look::Known,
        };
        *place = Some(Connection::begun(cx, Origin::of(partial, key), client));
        let connection = place.as_mut()?;
        connection.client.template.relearn(frame.bytes(), headers);
        let client = &mut connection.client.block;
        client.note_syn(&syn);
        client.set_family(family(&key.quad));
        if partial.has_crossed() {
            client.note_crossed();
        }
        connection.server = Some(Leg {
            block: Block::new(partial.sent(cx.now), State::SynSent, cx.settings.leg),
            template: FrameTemplate::blank(key.quad),
            way: partial.way(server_side),
            look: Look::Known,
        });
        let Leg { block: server, template, .. } = connection.server.as_mut()?;
        template.relearn(answered.syn, answered.syn_headers);
        server.note_asked(u32::from(partial.asked), partial.iss, ask::offer(&syn, &answered.mark));
        server.set_family(family(&key.quad));
        if !server.on_segment(cx.now, segment, None).contains(Events::ANSWERED) {
            *place = None;
            return None;
        }
        let connection = place.as_mut()?;
        connection.proxying = Some(partial.proxying);
        connection.session = Some(session);
        connection.answer_client(cx);
        connection.settle(cx);
        Some(connection)
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
        let mut payload = None;
        let frame = self.take_payload(cx, direction, segment, headers, frame, &mut payload);
        let Some(leg) = self.sender(direction) else { return };
        let events = leg.block.take_segment(now, segment, &mut payload);
        if let Some(frame) = frame {
            if events.contains(Events::NEW_SYN) && self.server.is_none() {
                return self.listen_again(cx, frame);
            }
            if events.contains(Events::NEW_SYN) {
                return self.pass_across(cx, direction, headers, frame);
            }
            if direction == Direction::ServerToClient && self.is_bare_ack_before_confirmation(segment) {
                return self.pass_across(cx, direction, headers, frame);
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
        let mtu = self.mtu(cx);
        let (Some(server), Some(proxying)) = (self.server.as_mut(), self.proxying) else { return };
        let iss = match proxying.isn {
            Isn::Mirror => server.block.irs(),
            Isn::Keyed => cx.settings.isn_key.towards_client(&self.key, server.block.irs()),
        };
        self.client.block.answer(cx.now, iss, server.block.peer_offer());
        // Either end may promise more than the pair's own links take.
        let mss = mss_within(mtu, &self.key.quad);
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
        if let Some(local) = &mut self.local {
            local.establish();
            self.phase = Phase::Relaying;
            return;
        }
        let Some(server) = self.server.as_mut() else {
            self.phase = Phase::Choosing { until: None };
            return;
        };
        if self.proxying.is_some_and(|proxying| proxying.server_ack == ServerAck::AfterClient) {
            server.block.confirm(cx.now);
        }
        self.begin_relaying();
        if let Some(session) = &mut self.session {
            let step = session.established();
            self.take_step(step);
        }
    }

    /// What belongs to neither handshake is between the ends: a SYN with another number once the server has one, and
    /// the bare ACK by which a server answers it. To a client whose server has not said its number yet that makes no sense:
    /// the server gets the RST that a client would send (RFC 9293 section 3.10.7.3), and forgets what it had on this quad.
    pub(super) fn pass_across(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let Some(server) = &self.server else {
            return cx.counters.count(Counter::DropForeignHandshake);
        };
        if server.block.state() == State::SynSent {
            // The ACK of our own SYN without one of the server's answers something else: RFC 9293 has it ignored.
            let resets = direction == Direction::ServerToClient && headers.ack != server.block.snd_nxt();
            if resets && cx.can_transmit() {
                let reset = TcpRepr { seq: headers.ack, flags: TcpFlags::RST, ..TcpRepr::default() };
                cx.transmit(server.way, &server.template, &reset, 0, |_| {});
            }
            return cx.counters.count(Counter::DropForeignHandshake);
        }
        self.pass_end_to_end(cx, direction, headers, frame);
    }
}

/// All that the segment takes of its sender's sequence space, of which a FIN takes one and its SYN another, has come before.
fn is_repetition<B: Buffer>(block: &Block<B>, segment: &Segment) -> bool {
    segment.sequence_len() > 0 && block.irs().le(segment.seq) && segment.end().le(block.rcv_nxt())
}
