//! Client-first (DESIGN section 4): the client gets a SYN-ACK of ours, its first bytes decide about the server, and only
//! then is the server asked.
//!
//! What the SYN-ACK promises is what this server has promised before, or what every stack can keep; the flow remembers it.
//! The server is offered what the client was promised and no more. What it promises differently is reconciled on the way, as far
//! as that can be (`promises.rs`).

use std::time::Duration;

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::cookie;
use dataplane::counters::Counter;
use dataplane::flow::far::FarSide;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::flow::table::Refused;
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::refusal;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::{ClientPort, Order};

use super::begun::Origin;
use super::leg::{Leg, Look, read_segment};
use super::local::answer_to;
use super::path::{family, mss_within};
use super::promises::OwnClock;
use super::{BlockOf, Connection, Phase};
use crate::core::context::{Context, Way};
use crate::core::secret::clock;
use crate::module::{Choice, Outcome, Session, Target};
use crate::suspended::partial::Partial;
use crate::tcp::{Block, Handshake, Segment, State};

/// What a client may say before its server is known, and what a module is shown of it.
const MOST_SAID: u32 = 16 * 1024;
/// A server that was asked on the client's behalf, and then told that nobody asks, has got the client's number or the keyed
/// one. So far from that an answer that is still on its way is none to this SYN (RFC 9293 section 3.10.7.3), and that RST is
/// not about it.
const APART: u32 = 1 << 30;
const _: () = assert!(cookie::WINDOW as u32 <= MOST_SAID);

/// A partial connection whose client is to speak first.
pub(crate) struct Greeting<'a> {
    pub(crate) partial: &'a Partial,
    /// Client → server.
    pub(crate) key: FlowKey,
    /// The client's SYN, verbatim.
    pub(crate) syn: &'a [u8],
    pub(crate) syn_headers: &'a TcpHeaders,
    /// What the server has promised before.
    pub(crate) profile: Option<Handshake>,
    pub(crate) chosen: Chosen,
}

/// Who says which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The session, when the client has spoken.
    BySession,
    /// Its module has already.
    Already(Target),
    /// There is none: the client is reset.
    Nobody,
}

/// What the flow keeps of it.
#[derive(Debug)]
pub(super) struct Greeted {
    /// Frames that speak for the client, as long as there is no server leg.
    look: FrameTemplate,
    /// What the client has been promised in the server's name.
    promised: Handshake,
    /// TSval in the server's name, until its own clock is known.
    pub(super) clock: OwnClock,
    /// The session has chosen another server, and the worker has still to agree.
    ordered: bool,
    chosen: Chosen,
    is_proven: bool,
}

impl<L: Pool> Connection<L> {
    /// The client leg's TCB, and the answer to the client.
    pub(crate) fn greeted(
        cx: &mut Context<'_, L>,
        greeting: &Greeting<'_>,
        session: Box<dyn Session>,
    ) -> Option<Connection<L>> {
        let Greeting { partial, key, chosen, .. } = *greeting;
        let is_proven = partial.is_proven;
        let syn = read_segment(greeting.syn, greeting.syn_headers)?;
        let mut block: BlockOf<L> = Block::suspended(partial.at(cx.now), &syn, cx.settings.leg);
        block.set_family(family(&key.quad));
        let mss = mss_within(cx.settings.mtu[usize::from(partial.client_side.0)], &key.quad);
        let default_mss = family(&key.quad).default_mss();
        let profile = greeting.profile.as_ref().filter(|_| !is_proven);
        let promised = promise(profile, &Handshake::of(&syn), mss, default_mss);
        let (iss, clock) = match is_proven {
            false => {
                let iss = cx.settings.isn_key.towards_client(&key, clock(cx.now));
                (iss, OwnClock::new(&key, &cx.settings.isn_key))
            }
            true => {
                let shown = syn.options.timestamps.map_or(0, |timestamps| timestamps.echo);
                (syn.ack, OwnClock::going_on(shown, cx.now))
            }
        };
        block.answer(cx.now, iss, &promised);
        block.set_link_mss(mss);
        let look = FrameTemplate::learn(greeting.syn, greeting.syn_headers);
        let client = Leg {
            block,
            template: answer_to(greeting.syn, greeting.syn_headers),
            way: partial.client_side.into(),
            look: Look::Known,
        };
        let mut connection = Connection {
            proxying: Some(partial.proxying),
            session: Some(session),
            greeted: Some(Box::new(Greeted { look, promised, clock, ordered: false, chosen, is_proven })),
            ..Connection::begun(cx, Origin::of(partial, key), client)
        };
        connection.await_client(cx);
        cx.outbox.order(Order::Participate { flow: connection.flow });
        if is_proven {
            connection.begin_proven(cx.now, &syn);
        } else {
            connection.settle(cx);
        }
        Some(connection)
    }

    /// The client has the answer, and its acknowledgment has come: `syn` says both numbers.
    fn begin_proven(&mut self, now: Instant, syn: &Segment) {
        let acknowledgment =
            Segment { seq: syn.seq.advance(1), ack: syn.ack.advance(1), flags: TcpFlags::ACK, ..syn.clone() };
        self.client.block.on_segment(now, &acknowledgment, None);
        self.phase = Phase::Choosing { until: None };
    }

    /// The session is asked who the server is, when the client has said more, or it has waited as long as it wanted to.
    pub(super) fn choose(&mut self, cx: &mut Context<'_, L>, until: Option<Instant>) {
        if self.client.block.state() == State::Closed {
            // It has given up, perhaps just when its time was up: nobody is asked for its sake any more.
            return;
        }
        self.client.block.set_offer(MOST_SAID.saturating_sub(self.client.block.readable()), false);
        if self.greeted.as_ref().is_some_and(|greeted| greeted.ordered) {
            return;
        }
        let said = self.client.block.readable();
        let has_waited = until.is_some_and(|until| until <= cx.now);
        // Nobody will say more: it has closed, or may not.
        let is_all = self.client.block.fin_received() || said >= MOST_SAID || has_waited;
        let mut bytes = vec![0; said.min(MOST_SAID) as usize];
        let n = self.client.block.peek(&mut bytes);
        let chosen = self.greeted.as_ref().map_or(Chosen::BySession, |greeted| greeted.chosen);
        let Some(session) = &mut self.session else { return };
        let choice = match chosen {
            Chosen::BySession => session.choose(&bytes[..n], is_all),
            Chosen::Already(target) => Choice::To(target),
            Chosen::Nobody => Choice::Reset,
        };
        match choice {
            Choice::Wait(_) | Choice::Reset if is_all => self.client.block.abort(),
            Choice::Wait(time) => {
                let until = until.unwrap_or_else(|| cx.now + time.max(Duration::from_millis(1)));
                self.phase = Phase::Choosing { until: Some(until) };
            }
            Choice::Reset => self.client.block.abort(),
            Choice::To(target) if target != Target::default() => self.order_far_side(cx, &target),
            Choice::Original | Choice::To(_) => {
                let way = self.server_side(cx).into();
                self.connect(cx, way);
            }
        }
    }

    /// The worker is asked whether the server that was chosen can be reached; until it has answered, nobody is asked again.
    fn order_far_side(&mut self, cx: &mut Context<'_, L>, target: &Target) {
        let opposite = self.server_side(cx);
        let Some(greeted) = &mut self.greeted else { return };
        let link = &greeted.look.ethernet;
        let far = FarSide::of_syn(link, link.len() as u16, target.quad(&self.key.quad), target.hop, opposite);
        let Some(far) = far else { return self.client.block.abort() };
        greeted.ordered = true;
        self.phase = Phase::Choosing { until: None };
        // Of a number that nobody can guess, the lower half (RFC 6056).
        let from = cx.settings.isn_key.towards_server(&self.key, clock(cx.now)).0 as u16;
        let ports = ClientPort::Searched { from };
        cx.outbox.order(Order::SetFarSide { flow: self.flow, far, ports });
    }

    /// The worker's answer: the server is asked, or the client, which has a connection, learns that it has none any more.
    pub fn on_far_side(&mut self, cx: &mut Context<'_, L>, refused: Option<Refused>) {
        let was_ordered = self.greeted.as_mut().is_some_and(|greeted| std::mem::take(&mut greeted.ordered));
        if was_ordered && matches!(self.phase, Phase::Choosing { .. }) {
            match refused {
                None => self.connect(cx, Way::Far(self.flow)),
                Some(_) => self.client.block.abort(),
            }
        }
        self.settle(cx);
    }

    fn connect(&mut self, cx: &mut Context<'_, L>, way: Way) {
        let Some(greeted) = &self.greeted else { return };
        let client = &self.client.block;
        let offer = Handshake {
            window_scale: client.peer_offer().window_scale.filter(|_| client.shifts().is_some()),
            timestamps: client.has_timestamps(),
            sack_permitted: client.has_sack(),
            ecn: TcpFlags(0),
            ..client.peer_offer().clone()
        };
        let iss = cx.settings.isn_key.towards_server(&self.key, self.client.block.irs()).advance(APART);
        let mut block = Block::connect(cx.now, iss, &offer, cx.settings.leg);
        block.set_family(family(&self.key.quad));
        self.server = Some(Leg { block, template: greeted.look.clone(), way, look: Look::Known });
        self.phase = Phase::Connecting;
    }

    /// The server has accepted, and the client has been validated long before.
    pub(super) fn server_up(&mut self, cx: &mut Context<'_, L>) {
        let mss = mss_within(self.mtu(cx), &self.key.quad);
        let Some(server) = &mut self.server else { return };
        server.block.set_link_mss(mss);
        server.block.confirm(cx.now);
        let before = cx.history.profile(&self.key);
        let learned = learned(server.block.peer_offer(), server.block.offer(), before.as_ref());
        self.remember(cx, Outcome::Accepted, Some(learned));
        self.take_servers_clock(cx.now);
        self.begin_relaying();
        if let Some(session) = &mut self.session {
            let step = session.established();
            self.take_step(step);
        }
    }

    /// Its client was answered with a SYN cookie, and its server has not answered yet.
    pub(crate) fn may_be_displaced(&self) -> bool {
        let is_proven = self.greeted.as_ref().is_some_and(|greeted| greeted.is_proven);
        is_proven && matches!(self.phase, Phase::Choosing { .. } | Phase::Connecting)
    }

    /// How the server that was asked has answered. Another one than the client's SYN names is not what others ask for.
    pub(super) fn remember(&self, cx: &mut Context<'_, L>, outcome: Outcome, promised: Option<Handshake>) {
        let is_own = self.server.as_ref().is_some_and(|server| matches!(server.way, Way::Port(_)));
        cx.history.remember(cx.now, &self.key, is_own, outcome, promised);
    }

    /// The network refuses our SYN: the client, which has a connection, learns that it has none any more. What does not end
    /// an attempt (a redirect, say) would mean nothing to it.
    pub(super) fn network_refuses_server(
        &mut self,
        cx: &mut Context<'_, L>,
        quoted: Direction,
        error: &IcmpError,
    ) {
        let is_ours = quoted == Direction::ClientToServer
            && self.server.as_ref().is_some_and(|server| server.block.iss() == error.seq);
        if is_ours {
            if refusal::ends_attempt(error) {
                self.remember(cx, Outcome::Unreachable { kind: error.kind, code: error.code }, None);
                self.reset_both_legs();
            }
        } else {
            cx.counters.count(Counter::DropForgedIcmp);
        }
    }

    /// The client looks different now; as long as there is no server leg that has to be remembered.
    pub(super) fn learn_look(&mut self, frame: &[u8], headers: &TcpHeaders) {
        if let Some(greeted) = &mut self.greeted {
            greeted.look = FrameTemplate::learn(frame, headers);
        }
    }
}

impl Greeted {
    /// The client sends no larger segments than the server takes.
    pub(super) fn keeps_segments(&self, server: &Handshake, default_mss: u16) -> bool {
        self.promised.mss <= Some(server.mss.unwrap_or(default_mss))
    }
}

/// What a server that nobody has heard will promise: the same as a worker promises that answers a SYN with a cookie.
fn usual() -> Handshake {
    Handshake {
        window_scale: Some(cookie::SHIFT),
        sack_permitted: true,
        timestamps: true,
        window: cookie::WINDOW,
        ..Handshake::default()
    }
}

/// What a server is remembered to promise. An option that it was not offered it could not take: one old client would have
/// everybody promised as little.
fn learned(kept: &Handshake, offered: &Handshake, before: Option<&Handshake>) -> Handshake {
    let before = before.cloned().unwrap_or_else(usual);
    Handshake {
        window_scale: if offered.window_scale.is_some() { kept.window_scale } else { before.window_scale },
        sack_permitted: if offered.sack_permitted { kept.sack_permitted } else { before.sack_permitted },
        timestamps: if offered.timestamps { kept.timestamps } else { before.timestamps },
        ..kept.clone()
    }
}

/// Of what the client has offered: what the server has promised before, or what is usual.
fn promise(profile: Option<&Handshake>, syn: &Handshake, mss: u16, default_mss: u16) -> Handshake {
    let promised = profile.cloned().unwrap_or(Handshake { mss: Some(mss), ..usual() });
    Handshake {
        mss: Some(promised.mss.unwrap_or(default_mss).min(mss)),
        window_scale: syn.window_scale.and(promised.window_scale),
        sack_permitted: syn.sack_permitted && promised.sack_permitted,
        timestamps: syn.timestamps && promised.timestamps,
        ecn: TcpFlags(0),
        ..promised
    }
}
