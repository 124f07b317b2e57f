//! SYNs that are answered and forgotten: SYN cookies (RFC 4987 section 3.6, DESIGN section 4).
//!
//! A SYN that cannot be held, or whose module wants none held, becomes the SYN-ACK that its client waits for. Who acknowledges it
//! is where he says he is, and has a connection: only now the flow gets an entry, and its module is asked, client-first.

use super::admit::Arrival;
use super::carry::is_verified;
use super::*;
use crate::cookie::{self, Cookie, Cookies, Terms};
use crate::packet::TcpHeaders;
use crate::policy::{Action, CookieUse, Decision};
use crate::refusal::Rejection;
use crate::wire::accept::{self, Acceptance};
use crate::wire::tcp;
use crate::wire::tcp_options::{self, SynOptions};

/// How this worker answers.
pub(super) struct Answering {
    cookies: Cookies,
    /// The control core says so.
    pub is_flooded: bool,
    /// Until then a segment without a flow may show that its sender was answered.
    until: Instant,
}

impl Answering {
    pub fn new(key: [u64; 2]) -> Answering {
        Answering { cookies: Cookies::new(key), is_flooded: false, until: Instant::ZERO }
    }
}

/// Who has shown that he was answered.
pub(super) struct Proof {
    terms: Terms,
    decision: Decision,
    module: u16,
}

impl<P: Port> Worker<P> {
    /// Whether a SYN that is to be offered is answered first.
    #[inline(always)]
    pub(super) fn wants_cookie(&mut self, decision: Decision, module: u16, headers: &TcpHeaders) -> bool {
        let is_wanted = match self.policy.snapshot.cookies_of(module) {
            CookieUse::Never => false,
            CookieUse::UnderFlood => self.answering.is_flooded || !self.events.has_room_beside(EVENT_RESERVE),
            CookieUse::Always => true,
        };
        // What is found by more than its quad would not be found again.
        is_wanted && self.policy.snapshot.is_found_by_quad(decision, &headers.quad, headers.segment)
    }

    /// The SYN becomes the SYN-ACK that answers it; one that has to be held is given back.
    #[inline(never)]
    pub(super) fn answer_with_cookie(
        &mut self,
        now: Instant,
        port: PortId,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) -> Option<P::Buffer> {
        let asked = accept::read(frame.bytes(), headers);
        let said = |asked: SynOptions| Some((asked, Terms::of(asked, headers.quad.addresses.is_v6())?));
        let Some((asked, terms)) = asked.and_then(said) else { return Some(frame) };
        if !is_verified(&frame, headers) {
            self.counters.count(Counter::DropTcpChecksum);
            return None;
        }
        let overhead = headers.l4 - headers.l3 + tcp::HEADER_LEN as u16;
        let Cookie { seq, clock } = self.answering.cookies.make(now, headers, terms);
        let mss = self.lines[usize::from(port.0)].mtu.min(cookie::MTU).saturating_sub(overhead);
        let acceptance = Acceptance { seq, clock, mss, window: cookie::WINDOW, shift: cookie::SHIFT };
        let Some(len) = accept::accept(frame.bytes_mut(), headers, asked, &acceptance) else {
            self.counters.count(Counter::DropMalformedTcp);
            return None;
        };
        frame.truncate(len);
        self.answering.until = now + cookie::LIFE;
        self.counters.count(Counter::CookiesSent);
        self.counters.count(Counter::Originated);
        self.forward(port, len - usize::from(headers.l3), frame);
        None
    }

    /// Whether a segment without a flow shows that its sender was answered, and may still have what he was promised.
    ///
    /// A module that wants no cookies any more gets those who were answered before.
    pub(super) fn proof(&mut self, now: Instant, headers: &TcpHeaders, frame: &[u8]) -> Option<Proof> {
        let flags = headers.flags;
        if now >= self.answering.until || !flags.ack() || flags.syn() || flags.rst() || headers.first_fragment
        {
            return None;
        }
        let decision = self.policy.snapshot.decide(&headers.quad, headers.segment);
        let Action::Offer { module } = decision.action else { return None };
        let options = frame.get(usize::from(headers.l4) + tcp::HEADER_LEN..usize::from(headers.payload))?;
        let echo = tcp_options::timestamps(options).map(|shown| shown.echo);
        let terms = self.answering.cookies.check(now, headers, echo);
        if terms.is_none() {
            self.counters.count(Counter::CookiesFailed);
        }
        terms.map(|terms| Proof { terms, decision, module })
    }

    /// The flow of a client that has a connection already. It is told when there is no place for it; when the control core is only
    /// late with what came before, silence has it repeat what it says.
    pub(super) fn take_proof(
        &mut self,
        proof: Proof,
        now: Instant,
        port: PortId,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        if !is_verified(&frame, headers) {
            return self.counters.count(Counter::DropTcpChecksum);
        }
        if self.control.is_stalled() {
            return self.counters.count(Counter::DropControlStalled);
        }
        if !self.events.has_room_beside(EVENT_RESERVE) {
            return self.counters.count(Counter::DropEventsFull);
        }
        let Proof { terms, decision: Decision { rule, .. }, module } = proof;
        let arrival = Arrival { now, port, headers, rule };
        if self.table.len() == self.table.capacity() {
            return self.refuse(arrival, &Rejection::Reset, frame, Counter::DropFlowsFull);
        }
        if self.suspend(arrival, module, Some(terms), frame) {
            self.counters.count(Counter::CookiesAccepted);
        }
    }
}
