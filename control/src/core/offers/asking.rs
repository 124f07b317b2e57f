//! What the server is asked while the client is held, and what becomes of its answer.

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::flow::quad::Direction;
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::policy::Fallback;
use dataplane::refusal::{self, Rejection};
use dataplane::rewrite::delta;
use dataplane::wire::seq::Seq;

use super::kept::Heard;
use crate::connection::{Answered, Connection, is_source_quench};
use crate::core::Core;
use crate::core::handover::edited;
use crate::module::{Answer, Decision, Gone, Isn, Outcome, Proxying, Target};
use crate::suspended::ask;
use crate::suspended::partial::{Phase, Side, patience};
use crate::tcp::{Handshake, Segment};

impl<L: Pool> Core<L> {
    /// The SYN goes to the server, or the server's answer, which its module has just seen, to the client.
    pub(super) fn begin_asking(&mut self, now: Instant, slot: u32, proxying: Proxying, target: Target) {
        if self.tell_kept(now, slot) {
            return;
        }
        let said = self.suspended.open(slot).map(|(_, opened)| (opened.key, opened.headers.seq));
        let Some((key, isn)) = said else { return };
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        // What was asked before is asked again under the same number: the server repeats its answer.
        let is_new = partial.asked == 0;
        let turns_back = is_new && target == Target::default();
        if is_new {
            partial.ask_under(match proxying.isn {
                Isn::Mirror => isn,
                Isn::Keyed => self.means.settings.isn_key.towards_server(&key, isn),
            });
            partial.proxying = proxying;
        } else {
            partial.proxying.consult = None;
        }
        if proxying.consult.is_some() {
            partial.make_known();
        }
        partial.asked = 0;
        partial.phase = Phase::Asking;
        if turns_back {
            self.turn_back(now, slot);
        } else if is_new {
            self.order_far_side(now, slot, &target);
        }
        self.ask_server(now, slot);
    }

    /// The server is asked again if it has had its time.
    pub(super) fn ask_server_again(&mut self, now: Instant, slot: u32) {
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        let rest = patience(partial.asked).saturating_sub(now.since(partial.sent(now)));
        if rest.is_zero() {
            self.ask_server(now, slot);
        } else {
            partial.wait(now, rest, self.means.settings.leg.syn_timeout);
        }
    }

    pub(super) fn ask_server(&mut self, now: Instant, slot: u32) {
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        if partial.side == Side::Ordered {
            // Its worker answers at once; should the order be lost with the flow, the timer of the SYN ends it.
            return partial.wait(now, patience(1), self.means.settings.leg.syn_timeout);
        }
        partial.note_sent(now);
        let (worker, iss) = (usize::from(partial.worker), partial.iss);
        let give_up = self.means.settings.leg.syn_timeout;
        let give_up = partial.proxying.consult.map_or(give_up, |consult| consult.silence().min(give_up));
        partial.wait(now, patience(partial.asked), give_up);
        let way = partial.way(self.means.settings.peers[usize::from(partial.client_side.0)]);
        let mark = self.mark(slot);
        let Some((frame, mut opened)) = self.suspended.open(slot) else { return };
        let Some((headers, syn)) = opened.read(frame) else { return };
        let mut cx = self.means.context(now, worker);
        ask::syn(&mut cx, way, (frame, headers, syn), iss, &mark);
    }

    /// What a server that was asked may say (RFC 9293 section 3.10.7.3).
    pub(super) fn on_asked_server(
        &mut self,
        now: Instant,
        slot: u32,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let Some(partial) = self.suspended.get(slot) else { return };
        if partial.phase != Phase::Asking {
            // Late, or repeated while the module thinks about it; nobody else has been asked anything.
            return;
        }
        let flags = segment.flags;
        let ours = flags.ack() && segment.ack == partial.iss.advance(1);
        let others = flags.ack() && segment.ack == partial.passed.advance(1);
        match (flags.rst(), flags.syn(), flags.ack()) {
            (true, ..) if ours => self.server_refuses(now, slot, headers, frame),
            // About a SYN with another number, which has been passed on: its client knows whether that was its own.
            (true, ..) => self.pass_across(now, slot, Direction::ServerToClient, headers, frame),
            (false, true, true) if ours => self.server_accepts(now, slot, segment, headers, frame),
            (false, true, true) if others => self.server_prefers_passed(now, slot, segment.ack),
            // First step: an answer to a SYN of former times.
            (false, true, true) => self.reset_server(now, slot, segment.ack),
            // Simultaneous open (RFC 9293 section 3.5): the server has begun a connection to the client before our SYN
            // came. That SYN makes it answer with SYN-ACK, and the client, who never hears of the server's own, with
            // ACK: both get their connection, with their own numbers, and neither needs anything but what is kept
            // anyway. Passed on, the client's SYN-ACK would confirm the server behind our back.
            (false, true, false) => self.means.counters.count(Counter::SynCrossed),
            (false, false, true) => self.pass_across(now, slot, Direction::ServerToClient, headers, frame),
            (false, false, false) => {}
        }
    }

    /// The server has taken the SYN that was passed on, and not the held one: that connection is one that nobody decided
    /// about. It forgets it, and so do we, so that the SYN which the client repeats is offered as the new one that it is.
    fn server_prefers_passed(&mut self, now: Instant, slot: u32, seq: Seq) {
        self.reset_server(now, slot, seq);
        self.dismiss(slot, Gone::Renewed);
    }

    /// SYN-ACK: the legs' TCBs are built, and the client is answered, unless its module wants to see it first.
    pub(super) fn server_accepts(
        &mut self,
        now: Instant,
        slot: u32,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        if !self.goes_on(now, slot, Outcome::Accepted, Some(segment)) {
            return self.keep_answer(now, slot, Heard::Segment(*headers), frame);
        }
        let Some(place) = self.find_place(now) else { return self.when_participating_full(now, slot) };
        let mark = self.mark(slot);
        let Some((partial, (syn, opened))) = self.suspended.get(slot).zip(self.suspended.open(slot)) else {
            return;
        };
        let (key, syn_headers) = (opened.key, &opened.headers);
        let (worker, ticket) = (usize::from(partial.worker), self.suspended.ticket(slot));
        let inspection = partial.inspection();
        let session = self.modules[usize::from(partial.module)].session(&key);
        let session = edited(session, self.rules.as_deref(), inspection, Default::default());
        let answered = Answered { partial, key, syn, syn_headers, mark, segment, headers };
        let mut cx = self.means.context(now, worker);
        let empty = &mut self.connections[place as usize];
        let connection = Connection::answered(&mut cx, &answered, session, frame, empty);
        let (flow, marks) = (partial.flow, partial.marks);
        drop(opened);
        match connection {
            Some(connection) => {
                connection.name(ticket);
                self.hand_over(slot);
                self.begin(place, worker, flow, marks);
            }
            None => self.free.push(place),
        }
    }

    /// There is no room for TCBs. With mirrored numbers the ends can do without; otherwise the server repeats itself.
    fn when_participating_full(&mut self, now: Instant, slot: u32) {
        let Some(partial) = self.suspended.get(slot) else { return };
        let passes = self.means.settings.when_full == Fallback::Pass && partial.proxying.isn == Isn::Mirror;
        if !passes {
            return self.means.counters.count(Counter::DropConnectionsFull);
        }
        self.means.counters.count(Counter::FlowsPassedFull);
        self.release(now, slot, Path::Bypassed);
    }

    /// The server's RST becomes the client's (seed 000: connection denied).
    pub(super) fn server_refuses(&mut self, now: Instant, slot: u32, headers: &TcpHeaders, frame: L::Buffer) {
        if !self.goes_on(now, slot, Outcome::Refused, None) {
            return self.keep_answer(now, slot, Heard::Segment(*headers), frame);
        }
        let Some((partial, (syn, syn_headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot))
        else {
            return;
        };
        let (worker, port) = (usize::from(partial.worker), partial.client_side);
        let is_mirrored = partial.proxying.isn == Isn::Mirror;
        let mut cx = self.means.context(now, worker);
        if is_mirrored {
            // Same quad, same numbers: the server's own answer is exactly what the client would have got.
            cx.forward(port, frame);
        } else {
            cx.answer_with(port, syn, &syn_headers, &Rejection::Reset);
        }
        self.dismiss(slot, Gone::Settled);
    }

    /// An ICMP error about a partial connection.
    pub(in crate::core) fn on_partial_icmp(
        &mut self,
        now: Instant,
        slot: u32,
        quoted: Direction,
        error: &IcmpError,
        frame: L::Buffer,
    ) {
        self.means.counters.count(Counter::Terminated);
        let Some(partial) = self.suspended.get(slot) else { return };
        match partial.phase {
            _ if is_source_quench(error) => self.means.counters.count(Counter::DropSourceQuench),
            Phase::Refused => {}
            // An error that quotes another number is somebody's guess; nothing has gone the other way.
            Phase::Asking if quoted == Direction::ClientToServer && error.seq == partial.iss => {
                self.network_refuses(now, slot, error, frame);
            }
            Phase::Asking | Phase::Deciding => self.means.counters.count(Counter::DropForgedIcmp),
        }
        self.rearm_partial(slot);
    }

    /// The client gets the same error, about its own SYN (seed 000: ICMP error of some form). What does not end its attempt
    /// is none of our business otherwise.
    pub(super) fn network_refuses(&mut self, now: Instant, slot: u32, error: &IcmpError, frame: L::Buffer) {
        let is_outcome = refusal::ends_attempt(error);
        let outcome = Outcome::Unreachable { kind: error.kind, code: error.code };
        if is_outcome && !self.goes_on(now, slot, outcome, None) {
            return self.keep_answer(now, slot, Heard::Error(*error), frame);
        }
        let Some((partial, (syn, headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        let (worker, port) = (usize::from(partial.worker), partial.client_side);
        let mut cx = self.means.context(now, worker);
        if let Some(error) = cx.requote(frame.bytes(), error, syn, &headers) {
            cx.forward(port, error);
        }
        if is_outcome {
            self.dismiss(slot, Gone::Settled);
        }
    }

    /// Whether the client is to hear what the server, or the network, has said. A module that wanted to see it first
    /// decides, and if it decides otherwise that is carried out.
    pub(super) fn goes_on(
        &mut self,
        now: Instant,
        slot: u32,
        outcome: Outcome,
        segment: Option<&Segment>,
    ) -> bool {
        if let Some((partial, (_, opened))) = self.suspended.get(slot).zip(self.suspended.open(slot)) {
            let is_own = partial.side == Side::Own;
            self.means.history.remember(now, &opened.key, is_own, outcome, segment.map(Handshake::of));
        }
        let Some(partial) = self.suspended.get_mut(slot) else { return false };
        if partial.proxying.consult.take().is_none() {
            return true;
        }
        let answer = Answer { outcome, options: segment.map(|segment| &segment.options) };
        let decision = self.ask_module(now, slot, |module, partial| module.answered(partial, &answer));
        let (Decision::Proxy(proxying) | Decision::ProxyTo(proxying, _)) = decision else {
            self.carry_out(now, slot, decision);
            return false;
        };
        if outcome == Outcome::Silent
            && let Some(partial) = self.suspended.get_mut(slot)
        {
            // It goes on being asked, and what it still says may be of interest, too: with a longer patience than it had.
            let age = partial.age(now);
            partial.proxying.consult = proxying.consult.filter(|consult| consult.silence() > age);
        }
        true
    }

    /// What belongs to neither handshake is between the ends: a SYN with another number once the server has one, and
    /// the bare ACK by which a server answers it.
    pub(super) fn pass_across(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: L::Buffer,
    ) {
        let Some((partial, key)) = self.suspended.get(slot).zip(self.suspended.key(slot)) else { return };
        let (worker, client_side) = (usize::from(partial.worker), partial.client_side);
        if partial.proxying.isn == Isn::Keyed {
            let deltas = self.means.settings.isn_key.deltas(&key, direction);
            delta::apply(frame.bytes_mut(), headers, deltas);
        }
        let way = match direction {
            Direction::ClientToServer => partial.way(self.means.settings.peers[usize::from(client_side.0)]),
            Direction::ServerToClient => client_side.into(),
        };
        self.means.context(now, worker).forward(way, frame);
    }

    /// A SYN with another number, which the server may answer instead of the held one.
    pub(super) fn pass_syn_across(
        &mut self,
        now: Instant,
        slot: u32,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let Some(key) = self.suspended.key(slot) else { return };
        if let Some(partial) = self.suspended.get_mut(slot) {
            partial.passed = match partial.proxying.isn {
                Isn::Mirror => headers.seq,
                Isn::Keyed => self.means.settings.isn_key.towards_server(&key, headers.seq),
            };
        }
        self.pass_across(now, slot, Direction::ClientToServer, headers, frame);
    }

    /// A server that has our SYN gets RST: the client is gone, or will never hear of it.
    pub(super) fn end_asked(&mut self, now: Instant, slot: u32) {
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        if std::mem::take(&mut partial.asked) > 0 {
            let seq = partial.iss.advance(1);
            self.reset_server(now, slot, seq);
        }
    }

    pub(super) fn reset_server(&mut self, now: Instant, slot: u32, seq: Seq) {
        let Some((partial, (frame, headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        let way = partial.way(self.means.settings.peers[usize::from(partial.client_side.0)]);
        let mut cx = self.means.context(now, usize::from(partial.worker));
        ask::reset(&mut cx, way, frame, &headers, seq);
    }
}
