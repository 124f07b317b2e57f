//! Delayed acceptance (seed 000): a SYN is held, its module decides, the server is asked, and only then does the client
//! hear anything: what the server or the network said, or what the module wants it to hear.

use std::time::Duration;

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::flow::table::FlowRef;
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::policy::Fallback;
use dataplane::port::PortId;
use dataplane::refusal::Rejection;
use dataplane::wire::seq::Seq;
use dataplane::worker::message::Order;

use super::Core;
use crate::connection::{Answered, Connection, is_source_quench, read_segment};
use crate::module::{
    Answer, Decision, Gone, Isn, Module, Outcome, PartialConnection, Proxying, Target, Ticket,
};
use crate::suspended::partial::{Phase, Side, patience};
use crate::suspended::{Arrival, Full, WhenFull, ask};
use crate::tcp::{Handshake, Segment};

/// Decisions that one module may hand in in a round; the others wait.
const DECISIONS_PER_ROUND: usize = 256;

/// A SYN that a worker has suspended.
pub(super) struct Offer<B> {
    /// Worker that owns the flow.
    pub(super) worker: usize,
    pub(super) flow: FlowRef,
    /// Client → server.
    pub(super) key: FlowKey,
    /// Port of the client.
    pub(super) client_side: PortId,
    /// Index of the module.
    pub(super) module: u16,
    /// The SYN's headers.
    pub(super) headers: TcpHeaders,
    /// The SYN, verbatim.
    pub(super) frame: B,
}

impl<L: Pool> Core<L> {
    /// A SYN that a worker has suspended.
    pub(super) fn offer(&mut self, now: Instant, offer: Offer<L::Buffer>) {
        let (worker, flow) = (offer.worker, offer.flow);
        let Some(syn) = read_segment(offer.frame.bytes(), &offer.headers) else {
            self.means.counters.count(Counter::DropTcpOptions);
            return self.means.outboxes[worker].order(Order::Remove { flow });
        };
        // Authenticated TCP survives nobody in the middle (DESIGN section 4).
        if syn.options.authenticated {
            let release = Order::Release { flow, path: Path::Bypassed, frame: offer.frame };
            return self.means.outboxes[worker].order(release);
        }
        let Some(slot) = self.hold(now, &offer) else { return self.when_suspended_full(offer) };
        let decision = self.ask_module(now, slot, |module, partial| module.offered(partial));
        self.carry_out(now, slot, decision);
    }

    /// Finds a place for the SYN, whoever has to go for it.
    fn hold(&mut self, now: Instant, offer: &Offer<L::Buffer>) -> Option<u32> {
        let Offer { worker, flow, key, client_side, module, ref frame, .. } = *offer;
        let arrival = Arrival { worker, flow, client_side, module, key, syn: frame.bytes() };
        let full = match self.suspended.insert(now, &arrival) {
            Ok(slot) => return Some(slot),
            Err(full) => full,
        };
        if self.means.settings.when_suspended_full == WhenFull::Oldest
            && let Some(oldest) = self.suspended.in_the_way(full, worker, &key)
        {
            self.means.counters.count(Counter::DropSuspendedOldest);
            self.end_asked(now, oldest);
            self.dismiss(oldest, Gone::Displaced);
            if let Ok(slot) = self.suspended.insert(now, &arrival) {
                return Some(slot);
            }
        }
        let passes = self.means.settings.when_suspended_full == WhenFull::Pass;
        self.means.counters.count(match full {
            _ if passes => Counter::FlowsPassedFull,
            Full::Table => Counter::DropSuspendedFull,
            Full::Source => Counter::DropSuspendedSource,
            Full::Destination => Counter::DropSuspendedDestination,
            Full::LongSyns | Full::TooLong => Counter::DropSynTooLong,
        });
        None
    }

    fn when_suspended_full(&mut self, offer: Offer<L::Buffer>) {
        let Offer { worker, flow, frame, .. } = offer;
        self.means.outboxes[worker].order(match self.means.settings.when_suspended_full {
            WhenFull::Pass => Order::Release { flow, path: Path::Bypassed, frame },
            WhenFull::Oldest | WhenFull::Drop => Order::Remove { flow },
        });
    }

    /// Shows the partial connection in `slot` to its module.
    fn ask_module(
        &mut self,
        now: Instant,
        slot: u32,
        ask: impl FnOnce(&mut dyn Module, &PartialConnection<'_>) -> Decision,
    ) -> Decision {
        let Some((partial, key)) = self.suspended.get(slot).zip(self.suspended.key(slot)) else {
            return Decision::Drop;
        };
        let Some((frame, headers)) = self.suspended.syn(slot) else { return Decision::Drop };
        let Some(syn) = read_segment(frame, &headers) else { return Decision::Drop };
        let partial_connection = PartialConnection {
            ticket: self.suspended.ticket(slot),
            key,
            options: &syn.options,
            syn: frame,
            at: partial.at(now),
            history: self.history.of(now, &key),
        };
        ask(&mut *self.modules[usize::from(partial.module)], &partial_connection)
    }

    /// Decisions that modules have come to in their own time.
    pub(super) fn take_decisions(&mut self, now: Instant) -> usize {
        let mut taken = 0;
        for module in 0..self.modules.len() {
            for _ in 0..DECISIONS_PER_ROUND {
                let Some((ticket, decision)) = self.modules[module].decided() else { break };
                taken += 1;
                match self.awaited(module, ticket) {
                    Some(slot) => self.carry_out(now, slot, decision),
                    None => self.means.counters.count(Counter::DecisionsLate),
                }
            }
        }
        taken
    }

    /// The partial connection that a module may still decide about.
    fn awaited(&self, module: usize, ticket: Ticket) -> Option<u32> {
        let slot = self.suspended.by_ticket(ticket)?;
        let partial = self.suspended.get(slot)?;
        let is_open = partial.phase != Phase::Refused && usize::from(partial.module) == module;
        is_open.then_some(slot)
    }

    /// Does what a module wants done with the partial connection in `slot`.
    fn carry_out(&mut self, now: Instant, slot: u32, decision: Decision) {
        match decision {
            Decision::Proxy(proxying) => self.begin_asking(now, slot, proxying, Target::default()),
            Decision::ProxyTo(proxying, target) => self.begin_asking(now, slot, proxying, target),
            Decision::Later(within) => self.wait_for_module(now, slot, within),
            Decision::Drop => {
                self.means.counters.count(Counter::DropModule);
                self.end_asked(now, slot);
                self.dismiss(slot, Gone::Settled);
            }
            Decision::Reject(rejection) => {
                self.end_asked(now, slot);
                self.refuse(now, slot, rejection);
            }
            Decision::Bypass => self.release(now, slot, Path::Bypassed),
            Decision::Forward(hop) => self.divert(now, slot, hop),
            Decision::Monitor => self.release(now, slot, Path::Monitored),
        }
        self.rearm_partial(slot);
    }

    fn wait_for_module(&mut self, now: Instant, slot: u32, within: Duration) {
        if let Some(partial) = self.suspended.get_mut(slot) {
            partial.phase = Phase::Deciding;
            partial.is_known = true;
            partial.wait(now, within, self.means.settings.leg.syn_timeout);
        }
    }

    /// The SYN leaves verbatim. A server that has been asked already answers a SYN that it knows with what it said before;
    /// one that got another number has to forget that first.
    pub(super) fn release(&mut self, now: Instant, slot: u32, path: Path) {
        let is_mirrored = self.suspended.get(slot).is_some_and(|partial| partial.proxying.isn == Isn::Mirror);
        if !is_mirrored {
            self.end_asked(now, slot);
        }
        let Some((partial, (frame, _))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        let (worker, flow) = (usize::from(partial.worker), partial.flow);
        match self.means.copy(frame) {
            Some(frame) => {
                self.means.outboxes[worker].order(Order::Release { flow, path, frame });
                self.forget_partial(slot, Gone::Settled);
            }
            None => {
                self.means.counters.count(Counter::BuffersExhausted);
                self.dismiss(slot, Gone::Settled);
            }
        }
    }

    /// The client is refused, now and whenever it repeats its SYN in the next time.
    fn refuse(&mut self, now: Instant, slot: u32, rejection: Rejection) {
        let index = self.rejections.intern(rejection);
        let Some((frame, headers)) = self.suspended.syn(slot) else { return };
        let Some(partial) = self.suspended.get(slot) else { return };
        let mut cx = self.means.context(now, usize::from(partial.worker));
        cx.refuse(partial.client_side, frame, &headers, &rejection);
        self.tell_gone(slot, Gone::Settled);
        self.suspended.forget_syn(slot);
        if let Some(partial) = self.suspended.get_mut(slot) {
            (partial.phase, partial.rejection) = (Phase::Refused, index);
            partial.wait(now, self.means.settings.refused, Duration::MAX);
        }
    }

    /// The SYN goes to the server, or the server's answer, which its module has just seen, to the client.
    fn begin_asking(&mut self, now: Instant, slot: u32, proxying: Proxying, target: Target) {
        let Some(key) = self.suspended.key(slot) else { return };
        let keyed = self.means.settings.isn_key.towards_server(&key, now);
        let syn = self.suspended.syn(slot).map(|(_, headers)| headers.seq);
        let Some((partial, isn)) = self.suspended.get_mut(slot).zip(syn) else { return };
        // What was asked before is asked again under the same number: the server repeats its answer.
        let is_new = partial.asked == 0;
        if is_new {
            partial.iss = if proxying.isn == Isn::Mirror { isn } else { keyed };
            partial.proxying = proxying;
        } else {
            partial.proxying.consult = None;
        }
        partial.is_known |= proxying.consult.is_some();
        partial.asked = 0;
        partial.phase = Phase::Asking;
        if is_new && target != Target::default() {
            self.order_far_side(now, slot, &target);
        }
        self.ask_server(now, slot);
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
        let Some((frame, headers)) = self.suspended.syn(slot) else { return };
        let mut cx = self.means.context(now, worker);
        ask::syn(&mut cx, way, frame, &headers, iss);
    }

    /// A timer of a partial connection.
    pub(super) fn on_partial_timer(&mut self, now: Instant, slot: u32) {
        let Some(partial) = self.suspended.get(slot) else { return };
        let silent = partial.age(now) >= self.means.settings.leg.syn_timeout;
        match partial.phase {
            _ if !partial.is_due(now) => {}
            Phase::Refused => self.dismiss(slot, Gone::Settled),
            Phase::Deciding if silent => self.dismiss(slot, Gone::Overdue),
            Phase::Deciding => {
                let decision = match self.ask_module(now, slot, |module, partial| module.overdue(partial)) {
                    Decision::Later(_) => Decision::Drop,
                    decision => decision,
                };
                return self.carry_out(now, slot, decision);
            }
            Phase::Asking if silent => {
                // The server was silent, so are we (seed 000: no response for any of a number of reasons).
                if self.goes_on(now, slot, Outcome::Silent, None) {
                    self.dismiss(slot, Gone::Overdue);
                }
            }
            Phase::Asking => {
                let has_waited =
                    partial.proxying.consult.is_some_and(|wait| partial.age(now) >= wait.silence());
                if !has_waited || self.goes_on(now, slot, Outcome::Silent, None) {
                    self.ask_server(now, slot);
                }
            }
        }
        self.rearm_partial(slot);
    }

    /// A segment of a flow that nobody has been answered on.
    pub(super) fn on_partial_segment(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let Some(segment) = read_segment(frame.bytes(), headers) else {
            return self.means.counters.count(Counter::DropTcpOptions);
        };
        self.means.counters.count(Counter::Terminated);
        match direction {
            Direction::ClientToServer => self.on_held_client(now, slot, &segment, headers, frame),
            Direction::ServerToClient => self.on_asked_server(now, slot, &segment, headers, frame),
        }
        self.rearm_partial(slot);
    }

    /// The client may repeat its SYN, give up, or begin anew.
    fn on_held_client(
        &mut self,
        now: Instant,
        slot: u32,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let Some(partial) = self.suspended.get(slot) else { return };
        let begins = segment.flags.syn() && !segment.flags.ack() && !segment.flags.rst();
        if partial.phase == Phase::Refused {
            if begins {
                let rejection = self.rejections.get(partial.rejection);
                let (worker, port) = (usize::from(partial.worker), partial.client_side);
                self.means.context(now, worker).refuse(port, frame.bytes(), headers, &rejection);
            }
            return;
        }
        let Some((held, held_headers)) = self.suspended.syn(slot) else { return };
        let isn = held_headers.seq;
        if segment.flags.rst() {
            // Before the handshake a RST counts with the number after the SYN, and with no other (DESIGN section 4).
            if segment.seq == isn.advance(1) {
                self.end_asked(now, slot);
                self.dismiss(slot, Gone::Client);
            }
        } else if begins && segment.seq == isn {
            self.means.counters.count(Counter::SynAbsorbed);
            let same = read_segment(held, &held_headers)
                .is_some_and(|syn| Handshake::of(&syn) == Handshake::of(segment));
            if same {
                // Its timestamp is later, and that one is to be echoed.
                self.suspended.renew_syn(slot, frame.bytes());
            }
        } else if begins && partial.phase == Phase::Deciding && partial.asked == 0 {
            self.begin_anew(now, slot, headers, frame);
        } else if begins {
            // The server has one already: what it says to another is between the ends.
            self.pass_across(now, slot, Direction::ClientToServer, segment, frame);
        } else if segment.flags.syn()
            && segment.seq == isn
            && let Some(partial) = self.suspended.get_mut(slot)
        {
            partial.has_crossed = true;
        }
    }

    /// A SYN with another number while the server has heard of none: it takes the held one's place.
    fn begin_anew(&mut self, now: Instant, slot: u32, headers: &TcpHeaders, frame: L::Buffer) {
        let Some(key) = self.suspended.key(slot) else { return };
        let Some(partial) = self.suspended.get(slot) else { return };
        let (worker, flow, client_side, module) =
            (usize::from(partial.worker), partial.flow, partial.client_side, partial.module);
        self.forget_partial(slot, Gone::Renewed);
        self.offer(now, Offer { worker, flow, key, client_side, module, headers: *headers, frame });
    }

    /// What a server that was asked may say (RFC 9293 section 3.10.7.3).
    fn on_asked_server(
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
        match (flags.rst(), flags.syn(), flags.ack()) {
            (true, ..) if ours => self.server_refuses(now, slot, frame),
            (true, ..) => {}
            (false, true, true) if ours => self.server_accepts(now, slot, segment, headers, frame),
            // First step: an answer to a SYN of former times.
            (false, true, true) => self.reset_server(now, slot, segment.ack),
            // Simultaneous open (RFC 9293 section 3.5): the server has begun a connection to the client before our SYN
            // came. That SYN makes it answer with SYN-ACK, and the client, who never hears of the server's own, with
            // ACK: both get their connection, with their own numbers, and neither needs anything but what is kept
            // anyway. Passed on, the client's SYN-ACK would confirm the server behind our back.
            (false, true, false) => self.means.counters.count(Counter::SynCrossed),
            (false, false, true) => self.pass_across(now, slot, Direction::ServerToClient, segment, frame),
            (false, false, false) => {}
        }
    }

    /// SYN-ACK: the legs' TCBs are built, and the client is answered, unless its module wants to see it first.
    fn server_accepts(
        &mut self,
        now: Instant,
        slot: u32,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        if !self.goes_on(now, slot, Outcome::Accepted, Some(segment)) {
            return;
        }
        let Some(place) = self.free.pop() else { return self.when_participating_full(now, slot) };
        let Some((partial, key)) = self.suspended.get(slot).zip(self.suspended.key(slot)) else { return };
        let Some((syn, syn_headers)) = self.suspended.syn(slot) else { return };
        let worker = usize::from(partial.worker);
        let session = self.modules[usize::from(partial.module)].session(&key);
        let answered = Answered { partial, key, syn, syn_headers: &syn_headers, segment, headers };
        let mut cx = self.means.context(now, worker);
        let connection = Connection::answered(&mut cx, &answered, session, frame);
        let flow = partial.flow;
        match connection {
            Some(connection) => {
                self.forget_partial(slot, Gone::Settled);
                self.place(place, worker, flow, connection);
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
    fn server_refuses(&mut self, now: Instant, slot: u32, frame: L::Buffer) {
        if !self.goes_on(now, slot, Outcome::Refused, None) {
            return;
        }
        let Some((partial, (syn, headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        let (worker, port) = (usize::from(partial.worker), partial.client_side);
        let is_mirrored = partial.proxying.isn == Isn::Mirror;
        let mut cx = self.means.context(now, worker);
        if is_mirrored {
            // Same quad, same numbers: the server's own answer is exactly what the client would have got.
            cx.forward(port, frame);
        } else {
            cx.answer_with(port, syn, &headers, &Rejection::Reset);
        }
        self.dismiss(slot, Gone::Settled);
    }

    /// An ICMP error about a partial connection.
    pub(super) fn on_partial_icmp(
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

    /// The client gets the same error, about its own SYN (seed 000: ICMP error of some form).
    fn network_refuses(&mut self, now: Instant, slot: u32, error: &IcmpError, frame: L::Buffer) {
        let outcome = Outcome::Unreachable { kind: error.kind, code: error.code };
        if !self.goes_on(now, slot, outcome, None) {
            return;
        }
        let Some((partial, (syn, headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        let (worker, port) = (usize::from(partial.worker), partial.client_side);
        let mut cx = self.means.context(now, worker);
        if let Some(error) = cx.requote(frame.bytes(), error, syn, &headers) {
            cx.forward(port, error);
        }
        self.dismiss(slot, Gone::Settled);
    }

    /// Whether the client is to hear what the server, or the network, has said. A module that wanted to see it first
    /// decides, and if it decides otherwise that is carried out.
    fn goes_on(&mut self, now: Instant, slot: u32, outcome: Outcome, segment: Option<&Segment>) -> bool {
        if let Some(key) = self.suspended.key(slot) {
            self.history.remember(now, &key, outcome);
        }
        let Some(partial) = self.suspended.get_mut(slot) else { return false };
        if partial.proxying.consult.take().is_none() {
            return true;
        }
        let answer = Answer { outcome, options: segment.map(|segment| &segment.options) };
        let decision = self.ask_module(now, slot, |module, partial| module.answered(partial, &answer));
        let goes_on = matches!(decision, Decision::Proxy(_) | Decision::ProxyTo(..));
        if !goes_on {
            self.carry_out(now, slot, decision);
        }
        goes_on
    }

    /// What belongs to neither handshake is between the ends: a SYN with another number once the server has one, and
    /// the bare ACK by which a server answers it. With numbers of our own the ends could not make sense of it: the
    /// server gets the RST that the client would send (RFC 9293 section 3.10.7.3), and forgets what it had on this quad.
    fn pass_across(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        segment: &Segment,
        frame: L::Buffer,
    ) {
        let Some(partial) = self.suspended.get(slot) else { return };
        let (worker, client_side) = (usize::from(partial.worker), partial.client_side);
        if partial.proxying.isn != Isn::Mirror {
            self.means.counters.count(Counter::DropForeignHandshake);
            if direction == Direction::ServerToClient {
                self.reset_server(now, slot, segment.ack);
            }
            return;
        }
        let way = match direction {
            Direction::ClientToServer => partial.way(self.means.settings.peers[usize::from(client_side.0)]),
            Direction::ServerToClient => client_side.into(),
        };
        self.means.context(now, worker).forward(way, frame);
    }

    /// A server that has our SYN gets RST: the client is gone, or will never hear of it.
    pub(super) fn end_asked(&mut self, now: Instant, slot: u32) {
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        if std::mem::take(&mut partial.asked) > 0 {
            let seq = partial.iss.advance(1);
            self.reset_server(now, slot, seq);
        }
    }

    fn reset_server(&mut self, now: Instant, slot: u32, seq: Seq) {
        let Some((partial, (frame, headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        let way = partial.way(self.means.settings.peers[usize::from(partial.client_side.0)]);
        let mut cx = self.means.context(now, usize::from(partial.worker));
        ask::reset(&mut cx, way, frame, &headers, seq);
    }

    fn tell_gone(&mut self, slot: u32, why: Gone) {
        let ticket = self.suspended.ticket(slot);
        if let Some(partial) = self.suspended.get_mut(slot)
            && std::mem::take(&mut partial.is_known)
        {
            self.modules[usize::from(partial.module)].gone(ticket, why);
        }
    }

    /// The control core forgets it; its worker has been told something else.
    pub(super) fn forget_partial(&mut self, slot: u32, why: Gone) {
        self.tell_gone(slot, why);
        self.suspended.remove(slot);
        self.timers.cancel(self.partial_timer(slot));
    }

    /// The control core and the worker forget it.
    pub(super) fn dismiss(&mut self, slot: u32, why: Gone) {
        if let Some(partial) = self.suspended.get(slot) {
            let flow = partial.flow;
            self.means.outboxes[usize::from(partial.worker)].order(Order::Remove { flow });
        }
        self.forget_partial(slot, why);
    }

    /// Timers of partial connections follow those of connections on the wheel.
    fn partial_timer(&self, slot: u32) -> u32 {
        self.connections.len() as u32 + slot
    }

    pub(super) fn rearm_partial(&mut self, slot: u32) {
        if let Some(partial) = self.suspended.get(slot) {
            self.timers.arm(self.partial_timer(slot), partial.due());
        }
    }
}
