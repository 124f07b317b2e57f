//! Delayed acceptance (seed 000): a SYN is held, its module decides, the server is asked, and only then does the client
//! hear anything: what the server or the network said, or what the module wants it to hear.

mod asking;
mod far;
mod kept;
mod proven;

use std::time::Duration;

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::cookie::Terms;
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::flow::table::FlowRef;
use dataplane::packet::TcpHeaders;
use dataplane::port::PortId;
use dataplane::refusal::Rejection;
use dataplane::wire::tcp_options::TcpOptions;
use dataplane::worker::message::Order;

pub(crate) use kept::BYTES_PER_ANSWER;
pub(super) use kept::Kept;

use super::Core;
use crate::connection::{Chosen, read_segment, read_segment_into};
use crate::module::{self, Decision, Gone, Isn, Module, Outcome, PartialConnection, Target, Ticket};
use crate::suspended::partial::{Partial, Phase, Side};
use crate::suspended::{Arrival, Full, WhenFull};
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
    /// Index of the inspection.
    pub(super) inspection: u16,
    /// What the SYN said, when the client has a connection already: then the rest is of the segment that shows it.
    pub(super) proof: Option<Terms>,
    /// The SYN's headers.
    pub(super) headers: TcpHeaders,
    /// The SYN, verbatim.
    pub(super) frame: B,
}

impl<L: Pool> Core<L> {
    /// A SYN that a worker has suspended, or one that it has answered.
    pub(super) fn offer(&mut self, now: Instant, offer: Offer<L::Buffer>) {
        match offer.proof {
            None => {
                self.consider(now, offer);
            }
            Some(terms) => self.offer_proven(now, offer, terms),
        }
    }

    /// The SYN gets a place, and its module is asked. Says whether it got one.
    fn consider(&mut self, now: Instant, offer: Offer<L::Buffer>) -> bool {
        let (worker, flow) = (offer.worker, offer.flow);
        let mut syn = Segment::default();
        if !read_segment_into(offer.frame.bytes(), &offer.headers, &mut syn) {
            self.means.counters.count(Counter::DropTcpOptions);
            self.means.outboxes[worker].order(Order::Remove { flow });
            return false;
        }
        // Authenticated TCP survives nobody in the middle (DESIGN section 4).
        if syn.options.authenticated {
            let release = Order::Release { flow, path: Path::Bypassed, frame: offer.frame };
            self.means.outboxes[worker].order(release);
            return false;
        }
        let held = self.hold(now, &offer, &syn);
        self.note_flood(now, worker);
        let Some(slot) = held else {
            self.when_suspended_full(offer);
            return false;
        };
        let decision =
            self.ask_module_about(now, slot, &syn.options, |module, partial| module.offered(partial));
        self.carry_out(now, slot, decision);
        true
    }

    /// Finds a place for the SYN, whoever has to go for it.
    fn hold(&mut self, now: Instant, offer: &Offer<L::Buffer>, segment: &Segment) -> Option<u32> {
        let Offer { worker, flow, key, client_side, module, inspection, proof, ref headers, ref frame } =
            *offer;
        let (syn, is_proven) = (frame.bytes(), proof.is_some());
        let arrival =
            Arrival { worker, flow, client_side, module, inspection, is_proven, key, syn, headers, segment };
        let full = match self.suspended.insert(now, &arrival) {
            Ok(slot) => return Some(slot),
            Err(full) => full,
        };
        if self.make_room(now, full, worker, &key, is_proven)
            && let Ok(slot) = self.suspended.insert(now, &arrival)
        {
            return Some(slot);
        }
        let passes = self.means.settings.when_suspended_full == WhenFull::Pass && !is_proven;
        self.means.counters.count(match full {
            _ if passes => Counter::FlowsPassedFull,
            Full::Table => Counter::DropSuspendedFull,
            Full::Source => Counter::DropSuspendedSource,
            Full::Destination => Counter::DropSuspendedDestination,
            Full::LongSyns => Counter::DropLongSynsFull,
            Full::TooLong => Counter::DropSynTooLong,
        });
        None
    }

    /// Somebody older goes, so that a SYN that was refused as `full` has a place: an answer that is only remembered, or, if
    /// the configuration says so, one that waits for its own.
    ///
    /// Whoever has shown that he is there is not held up by those who have not.
    fn make_room(&mut self, now: Instant, full: Full, worker: usize, key: &FlowKey, is_proven: bool) -> bool {
        if let Some(remembered) = self.suspended.remembered_in_the_way(full, worker) {
            self.means.counters.count(Counter::RefusalsForgotten);
            self.dismiss(remembered, Gone::Settled);
            return true;
        }
        if matches!(full, Full::Table | Full::Source | Full::Destination) {
            self.begin_flood(now, worker);
        }
        if self.means.settings.when_suspended_full != WhenFull::Oldest && !is_proven {
            return false;
        }
        let Some(oldest) = self.suspended.in_the_way(full, worker, key) else {
            return self.displace_one_of(now, full, self.suspended.marks(key));
        };
        self.means.counters.count(Counter::DropSuspendedOldest);
        self.end_asked(now, oldest);
        self.dismiss(oldest, Gone::Displaced);
        true
    }

    fn when_suspended_full(&mut self, offer: Offer<L::Buffer>) {
        let Offer { worker, flow, frame, proof, .. } = offer;
        self.means.outboxes[worker].order(match self.means.settings.when_suspended_full {
            _ if proof.is_some() => Order::Remove { flow },
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
        let Some(syn) = self.suspended.segment(slot) else { return Decision::Drop };
        self.ask_module_about(now, slot, &syn.options, ask)
    }

    /// The same, where the SYN's options have been read already.
    fn ask_module_about(
        &mut self,
        now: Instant,
        slot: u32,
        options: &TcpOptions,
        ask: impl FnOnce(&mut dyn Module, &PartialConnection<'_>) -> Decision,
    ) -> Decision {
        let Some((partial, (frame, opened))) = self.suspended.get(slot).zip(self.suspended.open(slot)) else {
            return Decision::Drop;
        };
        let partial_connection = PartialConnection {
            ticket: self.suspended.ticket(slot),
            key: opened.key,
            options,
            syn: frame,
            at: partial.at(now),
            now,
            is_connected: partial.is_proven,
            past: &self.means.history,
        };
        ask(&mut *self.modules[usize::from(partial.module)], &partial_connection)
    }

    /// Decisions that modules have come to in their own time.
    pub(super) fn take_decisions(&mut self, now: Instant) -> usize {
        let mut taken = 0;
        for module in 0..self.modules.len() {
            for _ in 0..DECISIONS_PER_ROUND {
                let Some((ticket, decision)) = self.modules[module].decided(now) else { break };
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
        let is_proven = self.suspended.get(slot).is_some_and(|partial| partial.is_proven);
        match decision {
            decision if is_proven => self.carry_out_proven(now, slot, decision),
            Decision::Proxy(proxying) | Decision::ProxyTo(proxying, _)
                if proxying.order == module::Order::ClientFirst =>
            {
                self.turn_back(now, slot);
                self.greet(now, slot, proxying, Chosen::BySession);
            }
            Decision::Proxy(proxying) => self.begin_asking(now, slot, proxying, Target::default()),
            Decision::ProxyTo(proxying, target) => self.begin_asking(now, slot, proxying, target),
            Decision::Later(within) => self.wait_for_module(now, slot, within),
            Decision::Accept => {
                self.turn_back(now, slot);
                self.accept(now, slot);
            }
            Decision::Drop => {
                self.means.counters.count(Counter::DropModule);
                self.end_asked(now, slot);
                self.dismiss(slot, Gone::Settled);
            }
            Decision::Reject(rejection) => {
                self.turn_back(now, slot);
                self.refuse(now, slot, rejection);
            }
            Decision::Bypass => self.let_pass(now, slot, Path::Bypassed),
            Decision::Forward(hop) => self.divert(now, slot, hop),
            Decision::Monitor => self.let_pass(now, slot, Path::Monitored),
        }
        self.rearm_partial(slot);
    }

    fn wait_for_module(&mut self, now: Instant, slot: u32, within: Duration) {
        if let Some(partial) = self.suspended.get_mut(slot) {
            partial.phase = Phase::Deciding;
            partial.make_known();
            partial.wait(now, within, self.means.settings.leg.syn_timeout);
        }
    }

    /// The SYN leaves verbatim, for the server that it names. Another one that was asked is not meant any more.
    fn let_pass(&mut self, now: Instant, slot: u32, path: Path) {
        if self.suspended.get(slot).is_some_and(|partial| partial.side != Side::Own) {
            self.turn_back(now, slot);
        }
        self.release(now, slot, path);
    }

    /// The SYN leaves verbatim, but for what was said to its module alone, and by the far side if there is one. A server that
    /// has been asked already answers a SYN that it knows with what it said before; one that got another number has to forget
    /// that first.
    pub(super) fn release(&mut self, now: Instant, slot: u32, path: Path) {
        let is_mirrored = self.suspended.get(slot).is_some_and(|partial| partial.proxying.isn == Isn::Mirror);
        if !is_mirrored {
            self.end_asked(now, slot);
        }
        let Some((partial, (frame, headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        let (worker, flow) = (usize::from(partial.worker), partial.flow);
        let module = &self.modules[usize::from(partial.module)];
        match self.means.copy_without(frame, &headers, |kind, data| module.keeps(kind, data)) {
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
    pub(super) fn refuse(&mut self, now: Instant, slot: u32, rejection: Rejection) {
        let Some((frame, headers)) = self.suspended.syn(slot) else { return };
        let Some(partial) = self.suspended.get(slot) else { return };
        let mut cx = self.means.context(now, usize::from(partial.worker));
        cx.refuse(partial.client_side, frame, &headers, &rejection);
        self.tell_gone(slot, Gone::Settled);
        let index = self.rejections.intern(rejection);
        self.suspended.refuse(slot, index);
        if let Some(partial) = self.suspended.get_mut(slot) {
            partial.wait(now, self.means.settings.refused, Duration::MAX);
        }
    }

    /// A timer of a partial connection.
    pub(super) fn on_partial_timer(&mut self, now: Instant, slot: u32) {
        let Some(partial) = self.suspended.get(slot) else { return };
        let silent = partial.age(now) >= self.means.settings.leg.syn_timeout;
        match partial.phase {
            _ if !partial.is_due(now) => {}
            Phase::Refused => self.dismiss(slot, Gone::Settled),
            Phase::Deciding => return self.ask_overdue(now, slot, silent),
            Phase::Asking if silent => {
                // The server was silent, so are we (seed 000: no response for any of a number of reasons).
                if self.goes_on(now, slot, Outcome::Silent, None) {
                    self.means.counters.count(Counter::SuspendedExpired);
                    self.dismiss(slot, Gone::Overdue);
                }
            }
            Phase::Asking => {
                let has_waited =
                    partial.proxying.consult.is_some_and(|wait| partial.age(now) >= wait.silence());
                if !has_waited || self.goes_on(now, slot, Outcome::Silent, None) {
                    self.ask_server_again(now, slot);
                }
            }
        }
        self.rearm_partial(slot);
    }

    /// Its module has thought for as long as it may. `is_last`: the SYN is as old as it may become, and no server could
    /// answer it any more that has not already.
    fn ask_overdue(&mut self, now: Instant, slot: u32, is_last: bool) {
        let decision = self.ask_module(now, slot, |module, partial| module.overdue(partial));
        let decision = match decision {
            Decision::Later(_) => Decision::Drop,
            Decision::Proxy(proxying) | Decision::ProxyTo(proxying, _)
                if is_last && proxying.order == module::Order::ServerFirst && !self.has_answer(slot) =>
            {
                self.means.counters.count(Counter::SuspendedExpired);
                self.end_asked(now, slot);
                self.reset_if_proven(now, slot);
                return self.dismiss(slot, Gone::Overdue);
            }
            decision => decision,
        };
        self.carry_out(now, slot, decision);
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
        let mut segment = Segment::default();
        if !read_segment_into(frame.bytes(), headers, &mut segment) {
            return self.means.counters.count(Counter::DropTcpOptions);
        }
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
        let is_proven = partial.is_proven;
        if let Some(rejection) = partial.rejection() {
            if begins {
                let rejection = self.rejections.get(rejection);
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
            } else if partial.phase == Phase::Asking {
                // The client's answer to a bare ACK of the server's (RFC 9293 section 3.10.7.3): the server is to forget
                // the connection that it has on this quad, or it will say the same to every SYN.
                self.pass_across(now, slot, Direction::ClientToServer, headers, frame);
            }
        } else if begins && segment.seq == isn {
            self.means.counters.count(Counter::SynAbsorbed);
            let same = read_segment(held, &held_headers)
                .is_some_and(|syn| Handshake::of(&syn) == Handshake::of(segment));
            // Of one that has been answered, what is kept says what it was answered with.
            if same && !is_proven {
                // Its timestamp is later, and that one is to be echoed.
                self.suspended.renew_syn(slot, frame.bytes());
            }
        } else if begins && is_proven {
            // It has a connection, whose end nobody has heard of: RFC 9293 section 3.10.7.4 knows nothing of another one.
            self.means.counters.count(Counter::SynAbsorbed);
        } else if begins && (partial.asked == 0 || partial.side != Side::Own) {
            self.end_asked(now, slot);
            self.begin_anew(now, slot, headers, frame);
        } else if begins {
            // The server has one already: what it says to another is between the ends.
            self.pass_syn_across(now, slot, headers, frame);
        } else if segment.flags.syn()
            && segment.seq == isn
            && let Some(partial) = self.suspended.get_mut(slot)
        {
            partial.cross();
        }
    }

    /// A SYN with another number takes the held one's place while the server has heard of none. Where a far side was asked,
    /// always: what goes there is not what the client says (another server's address, a tunnel's signature), but what was
    /// decided about one SYN, and nobody has decided about this one.
    fn begin_anew(&mut self, now: Instant, slot: u32, headers: &TcpHeaders, frame: L::Buffer) {
        let Some(key) = self.suspended.key(slot) else { return };
        let Some(partial) = self.suspended.get(slot) else { return };
        let Partial { worker, flow, client_side, module, side, .. } = *partial;
        let inspection = partial.inspection();
        let worker = usize::from(worker);
        self.forget_partial(slot, Gone::Renewed);
        if side != Side::Own {
            // The far side, and the worker's answer to who has ordered it, go with the flow.
            return self.means.outboxes[worker].order(Order::Restart { flow, port: client_side, frame });
        }
        let (headers, proof) = (*headers, None);
        self.consider(
            now,
            Offer { worker, flow, key, client_side, module, inspection, proof, headers, frame },
        );
    }

    fn tell_gone(&mut self, slot: u32, why: Gone) {
        self.forget_answer(slot);
        let ticket = self.suspended.ticket(slot);
        if let Some(partial) = self.suspended.get_mut(slot)
            && partial.take_known()
        {
            self.modules[usize::from(partial.module)].gone(ticket, why);
        }
    }

    /// The control core forgets it; its worker has been told something else.
    pub(super) fn forget_partial(&mut self, slot: u32, why: Gone) {
        self.tell_gone(slot, why);
        if let Some(index) = self.suspended.remove(slot).and_then(|partial| partial.rejection()) {
            self.rejections.release(index);
        }
        self.timers.cancel(self.partial_timer(slot));
    }

    /// It participates from now on, and counts for its prefix until its client is validated.
    pub(super) fn hand_over(&mut self, slot: u32) {
        self.tell_gone(slot, Gone::Settled);
        self.suspended.hand_over(slot);
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

    fn rearm_partial(&mut self, slot: u32) {
        if let Some(partial) = self.suspended.get(slot) {
            self.timers.arm(self.partial_timer(slot), partial.due());
        }
    }
}
