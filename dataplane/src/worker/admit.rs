//! Unknown quads: a SYN meets the rules, anything else is a stray (DESIGN section 3, steps 5 and 7).

use super::carry::is_verified;
use super::message::Event;
use super::*;
use crate::cookie::Terms;
use crate::flow::object::Path;
use crate::flow::quad::Direction;
use crate::packet::TcpHeaders;
use crate::policy::{Action, Decision, Fallback, Strays};
use crate::refusal::{self, Rejection};
use crate::wire::reset::{is_of_group, is_to_group};

/// A segment that no flow expected.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub now: Instant,
    pub port: PortId,
    pub headers: &'a TcpHeaders,
    /// The rule that has decided, which says what goes on being asked of its flow; or [`Decision::NO_RULE`].
    pub rule: u32,
}

impl<P: Port> Worker<P> {
    /// A TCP segment without a flow.
    pub(super) fn admit(&mut self, now: Instant, port: PortId, headers: &TcpHeaders, frame: P::Buffer) {
        // No connection begins or ends at such an address; it may only be lent to one.
        let services = self.policy.snapshot.services();
        if !services.is_empty() && services.contains(headers.quad.addresses.destination()) {
            return self.counters.count(Counter::DropServiceAddress);
        }
        if !headers.flags.syn() || headers.flags.ack() {
            return self.stray(now, port, headers, frame);
        }
        let decision = self.policy.decide(now, headers, frame.bytes());
        let arrival = Arrival { now, port, headers, rule: decision.rule };
        match decision.action {
            Action::Pass => self.pass_on(port, headers, frame),
            Action::Drop => self.counters.count(Counter::DropPolicy),
            Action::Reject { rejection } => {
                let rejection = self.policy.snapshot.rejection(rejection);
                self.refuse(arrival, &rejection, frame, Counter::DropPolicyReject);
            }
            Action::Forward { hop } => match self.policy.snapshot.hop(hop) {
                Some(hop) => self.divert_new(now, port, headers, hop, frame),
                None => self.counters.count(Counter::DropPolicy),
            },
            Action::Bypass => self.let_pass(arrival, Path::Bypassed, frame),
            Action::Monitor => self.let_pass(arrival, Path::Monitored, frame),
            Action::Offer { module } => self.offer(arrival, decision, module, frame),
        }
    }

    fn pass_on(&mut self, port: PortId, headers: &TcpHeaders, frame: P::Buffer) {
        self.forward(self.peer(port), usize::from(headers.end - headers.l3), frame);
    }

    /// While flows without a place in the table may live, any stray may be theirs and passes.
    ///
    /// A SYN-ACK without a flow answers a SYN that is held no longer. The numbers that its server has seen are the
    /// client's own, so it would open a connection that no module has agreed to, and whose every other segment is a stray.
    fn stray(&mut self, now: Instant, port: PortId, headers: &TcpHeaders, frame: P::Buffer) {
        if let Some(proof) = self.proof(now, headers, frame.bytes()) {
            return self.take_proof(proof, now, port, headers, frame);
        }
        let policy = &self.policy.snapshot;
        let is_late = headers.flags.syn() && policy.protects(&headers.quad.reversed(), headers.segment);
        if !is_late && !policy.protects(&headers.quad, headers.segment) {
            return self.pass_on(port, headers, frame);
        }
        if now < self.unplaced_until {
            self.unplaced_until = now + self.timeouts.established;
            return self.pass_on(port, headers, frame);
        }
        match self.policy.snapshot.strays() {
            Strays::Pass => self.pass_on(port, headers, frame),
            Strays::Drop => self.counters.count(Counter::DropStray),
            Strays::Reset => {
                let arrival = Arrival { now, port, headers, rule: Decision::NO_RULE };
                self.refuse(arrival, &Rejection::Reset, frame, Counter::DropStrayReset);
            }
        }
    }

    /// The frame becomes the RST or the ICMP error that refuses it and goes back, without a way through the control core.
    /// A RST is never answered (invariant 5).
    pub(super) fn refuse(
        &mut self,
        arrival: Arrival<'_>,
        rejection: &Rejection,
        mut frame: P::Buffer,
        reason: Counter,
    ) {
        let Arrival { now, port, headers, .. } = arrival;
        if !headers.first_fragment && !is_verified(&frame, headers) {
            return self.counters.count(Counter::DropTcpChecksum);
        }
        let is_error = matches!(rejection, Rejection::Icmp(_));
        if is_error && !self.errors_made.take(now, self.icmp_errors) {
            return self.counters.count(Counter::DropIcmpLimit);
        }
        self.counters.count(reason);
        let Some(()) = refusal::refuse(&mut frame, headers, rejection) else { return };
        self.counters.count(Counter::Originated);
        let datagram = frame.bytes().len() - usize::from(headers.l3);
        self.forward(port, datagram, frame);
    }

    fn let_pass(&mut self, arrival: Arrival<'_>, path: Path, frame: P::Buffer) {
        let Arrival { now, port, headers, rule } = arrival;
        match self.table.insert(&headers.key(), path, port.0, now) {
            Ok(slot) => {
                let policy = &self.policy.snapshot;
                let (inspection, standing) = (policy.inspection_of(rule), policy.standing_of(rule));
                if path == Path::Monitored {
                    self.set_inspection(slot, inspection);
                }
                self.set_standing(slot, standing);
                self.table.arm(slot, now + self.timeouts.opening);
                let counter =
                    if path == Path::Monitored { Counter::FlowsMonitored } else { Counter::FlowsBypassed };
                self.counters.count(counter);
                self.carry(now, port, slot, Direction::ClientToServer, headers, frame);
            }
            Err(_) => self.when_full(now, port, headers, Counter::DropFlowsFull, frame),
        }
    }

    /// Suspends the SYN and offers it to the module (seed 000), or answers it so that nothing need be kept of it.
    fn offer(&mut self, arrival: Arrival<'_>, decision: Decision, module: u16, frame: P::Buffer) {
        let Arrival { now, port, headers, .. } = arrival;
        if headers.first_fragment {
            return self.counters.count(Counter::DropFragmentParticipating);
        }
        // RFC 9293 section 3.9.2.3: neither end would answer it, so nobody is asked.
        if is_of_group(&headers.quad.addresses) {
            return self.counters.count(Counter::DropTcpAddress);
        }
        // Several servers may answer, from MAC addresses of their own: nobody could speak for all of them.
        if is_to_group(frame.bytes()) {
            return self.let_pass(arrival, Path::Bypassed, frame);
        }
        if self.control.is_stalled() {
            return match self.policy.snapshot.on_control_stall() {
                Fallback::Drop => self.counters.count(Counter::DropControlStalled),
                Fallback::Pass => self.let_pass(arrival, Path::Bypassed, frame),
            };
        }
        let frame = match self.wants_cookie(decision, module, headers) {
            true => self.answer_with_cookie(now, port, headers, frame),
            false => Some(frame),
        };
        let Some(frame) = frame else { return };
        // Asked before anything is done for it: when more come than the control core can take, most of them end here. What a full
        // table means for a SYN is configured.
        let has_place = self.table.len() < self.table.capacity();
        if has_place && !self.events.has_room_beside(EVENT_RESERVE) {
            return self.counters.count(Counter::DropEventsFull);
        }
        if !is_verified(&frame, headers) {
            return self.counters.count(Counter::DropTcpChecksum);
        }
        if self.suspend(arrival, module, None, frame) {
            self.counters.count(Counter::FlowsOffered);
        }
    }

    /// The flow gets its entry, and the module hears of it. Says whether it does; there is room for the event if there is a place.
    pub(super) fn suspend(
        &mut self,
        arrival: Arrival<'_>,
        module: u16,
        proof: Option<Terms>,
        frame: P::Buffer,
    ) -> bool {
        let Arrival { now, port, headers, rule } = arrival;
        let policy = &self.policy.snapshot;
        let (inspection, standing) = (policy.inspection_of(rule), policy.standing_of(rule));
        let Ok(slot) = self.table.insert(&headers.key(), Path::Suspended, port.0, now) else {
            self.when_full(now, port, headers, Counter::DropFlowsFull, frame);
            return false;
        };
        self.set_inspection(slot, inspection);
        self.set_standing(slot, standing);
        self.table.record_mut(slot).module = module;
        self.table.count(slot, Direction::ClientToServer, headers.end - headers.l3);
        self.table.arm(slot, now + self.timeouts.established);
        let flow = self.table.flow_ref(slot);
        let client_side = port;
        let event = Event::Offered { flow, client_side, module, inspection, proof, headers: *headers, frame };
        let _ = self.events.try_send(event);
        true
    }

    pub(super) fn when_full(
        &mut self,
        now: Instant,
        port: PortId,
        headers: &TcpHeaders,
        reason: Counter,
        frame: P::Buffer,
    ) {
        match self.policy.snapshot.flows_full() {
            Fallback::Drop => self.counters.count(reason),
            Fallback::Pass => {
                self.counters.count(Counter::FlowsPassedFull);
                self.unplaced_until = now + self.timeouts.established;
                self.pass_on(port, headers, frame);
            }
        }
    }
}
