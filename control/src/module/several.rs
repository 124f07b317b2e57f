//! Several ports at once (seed 000: "multiple TCP connection requests by a connection initiator"): what one client tries
//! of one server is held together. A CIFS client tries 445 and 139, and goes on with the port that answers.
//!
//! Every port is tried, each with its own SYN. What the client hears, and in which order:
//!
//! - With [`Complete::Each`] it hears nothing before the server has answered on all ports that the client has tried, or has
//!   been silent for a while on those that are left. Then each port is answered as the server answered it, in the order in
//!   which it did: as over a wire, but for the time that the first answers were held.
//! - With [`Complete::First`] the port is chosen on which the client completes its handshake first. The client hears of the
//!   first port that the server accepts at once: it is that port's turn. What the server says on the others is held. When
//!   the client has completed, the others are refused, so that there is no moment at which a client that counts refusals
//!   has to give up or try another address. For the same reason a refusal is held while another port may still accept; when
//!   none does, each port is answered as the server answered it.
//!
//! The client has to complete because a SYN proves nothing: anybody could send one in a client's name, on a port that the
//! server accepts, and so have the others refused. A turn is over when the flow is, its client never validated (it has sent
//! RST, or nothing for `timeouts.syn`); then it is that of the next port that the server has accepted. Nor does a turn hold
//! up anybody for longer than `wait`: what has been held for so long is told, and a SYN-ACK begins a turn beside the other.
//! The client that then completes a second port has that one reset.
//!
//! That is the order in which the control core has it sent. Ports whose flows different workers own leave by different
//! queues, in the same round.
//!
//! A port that nobody has tried yet is waited for by nobody: a client that tries the second port when it has been refused on
//! the first would otherwise wait for nothing. After [`Complete::First`] the choice holds for a while, for ports that the
//! client tries a little later.

mod table;
#[cfg(test)]
mod tests;
mod turn;

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::FlowKey;
use dataplane::refusal::Rejection;
use lru::LruCache;

use super::{
    Answer, Consult, Decision, Departing, Endpoint, Gone, Mark, Module, Order, Outcome, PartialConnection,
    Proxying, Session, Ticket,
};
use table::{Ends, Member, Standing, Table};
use turn::{Reports, Turn};

/// Which ports are completed, of those that the server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Complete {
    /// Each.
    #[default]
    Each,
    /// The first.
    First,
}

/// How ports are held together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// Ports of servers that belong together.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Which are completed.
    pub complete: Complete,
    /// For so long after its SYN, the silence of a port holds up what other ports have to say; and for so long after its
    /// server's answer a port waits for another one's turn to be over.
    pub wait: Duration,
    /// For so long after the first port was completed, others are refused.
    pub afterwards: Duration,
    /// With what.
    pub others: Rejection,
    /// Partial connections that are held together at once, and clients of servers whose choice is known.
    pub outstanding: NonZeroUsize,
}

/// The module: `inner`, whose servers are asked together.
pub struct Several {
    inner: Box<dyn Module>,
    together: Together,
    table: Table,
    /// The port that was completed first, and when. The least recently used makes room.
    chosen: LruCache<Ends, (u16, Instant), ahash::RandomState>,
    reports: Arc<Reports>,
    refused: u64,
    crowded: u64,
}

/// Let the client hear what the server has said. How it is proxied was decided when the server was asked.
fn told() -> Decision {
    Decision::Proxy(Proxying::default())
}

impl Several {
    /// Takes its memory now.
    pub fn new(inner: Box<dyn Module>, together: Together) -> Several {
        let capacity = together.outstanding;
        Several {
            inner,
            table: Table::new(u32::try_from(capacity.get()).unwrap_or(u32::MAX)),
            chosen: LruCache::with_hasher(capacity, ahash::RandomState::new()),
            reports: Reports::new(capacity.get()),
            together,
            refused: 0,
            crowded: 0,
        }
    }

    fn is_one_of_them(&self, port: u16) -> bool {
        self.together.ports.iter().any(|range| range.contains(&port))
    }

    fn refusal(&mut self) -> Decision {
        self.refused += 1;
        Decision::Reject(self.together.others)
    }

    /// The port that was completed, while that still counts.
    fn chosen(&self, now: Instant, ends: &Ends) -> Option<u16> {
        let (port, at) = self.chosen.peek(ends)?;
        (now.since(*at) < self.together.afterwards).then_some(*port)
    }

    /// Joins those of the same ends. `false`: there is no room, and it is proxied on its own.
    fn join(&mut self, partial: &PartialConnection<'_>) -> bool {
        let joins = self.table.join(partial.ticket, &partial.key);
        self.crowded += u64::from(!joins);
        joins
    }

    /// What has come of turns: a port has been completed, and what the client has tried besides is refused, as the server did
    /// where it did; or the next one's turn begins.
    fn hear(&mut self, now: Instant) {
        while let Some((ticket, outcome)) = self.reports.next() {
            let Some(member) = self.table.leave(ticket) else { continue };
            match outcome {
                turn::Outcome::Completed => {
                    self.chosen.put(member.ends, (member.port(), now));
                    self.table.refuse_others(&member.ends, member.port());
                }
                turn::Outcome::Over => self.table.advance(&member.ends),
            }
        }
    }

    /// The server has accepted a port of which one is to be completed: it is its turn, or that of another.
    fn accepted(&mut self, member: &Member) -> Decision {
        let waits = self.table.has_turn(&member.ends) && !self.table.is_turn_of(&member.ends, member.port());
        if waits {
            self.table.stand(member.ticket, Standing::Willing);
            return Decision::Later(self.together.wait);
        }
        self.table.stand(member.ticket, Standing::Trying);
        told()
    }

    /// The server has been silent on a port for as long as the others wait. It goes on being asked.
    fn fell_silent(&mut self, ticket: Ticket, ends: &Ends) -> Decision {
        let consult = match self.together.complete {
            // Whenever it answers, the client hears that at once.
            Complete::Each => {
                self.table.leave(ticket);
                None
            }
            // It may still be the first that accepts.
            Complete::First => {
                self.table.stand(ticket, Standing::Silent);
                Some(Consult::within(Duration::MAX))
            }
        };
        self.table.advance(ends);
        Decision::Proxy(Proxying { consult, ..Proxying::default() })
    }
}

impl Module for Several {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        let port = partial.key.quad.server_port;
        if !self.is_one_of_them(port) {
            return self.inner.offered(partial);
        }
        self.hear(partial.now);
        let ends = Ends::of(&partial.key);
        let chosen = self.chosen(partial.now, &ends);
        if chosen.is_some_and(|chosen| chosen != port) {
            return self.refusal();
        }
        let mut decision = self.inner.offered(partial);
        if let Decision::Proxy(proxying) | Decision::ProxyTo(proxying, _) = &mut decision
            && proxying.order == Order::ServerFirst
            && chosen.is_none()
            && self.join(partial)
        {
            proxying.consult = Some(Consult::within(self.together.wait));
        }
        decision
    }

    fn overdue(&mut self, partial: &PartialConnection<'_>) -> Decision {
        self.hear(partial.now);
        let Some(member) = self.table.get(partial.ticket) else { return self.inner.overdue(partial) };
        // It has been held for as long as it may be.
        match member.standing {
            Standing::Willing | Standing::Next => self.table.stand(member.ticket, Standing::Trying),
            standing => {
                self.table.leave(member.ticket);
                if standing == Standing::Refused {
                    return self.refusal();
                }
            }
        }
        told()
    }

    fn answered(&mut self, partial: &PartialConnection<'_>, answer: &Answer<'_>) -> Decision {
        self.hear(partial.now);
        let Some(member) = self.table.get(partial.ticket) else {
            return self.inner.answered(partial, answer);
        };
        if member.standing == Standing::Refused {
            // Another port was quicker in the same round.
            self.table.leave(member.ticket);
            return self.refusal();
        }
        match answer.outcome {
            Outcome::Silent => return self.fell_silent(member.ticket, &member.ends),
            Outcome::Accepted if self.together.complete == Complete::First => {
                return self.accepted(&member);
            }
            _ => {}
        }
        if self.table.is_alone(&member.ends) {
            self.table.leave(member.ticket);
            return told();
        }
        self.table.stand(member.ticket, Standing::Held);
        self.table.advance(&member.ends);
        Decision::Later(self.together.wait)
    }

    fn decided(&mut self, now: Instant) -> Option<(Ticket, Decision)> {
        self.hear(now);
        let Some(member) = self.table.next_ready() else { return self.inner.decided(now) };
        let decision = if member.standing == Standing::Refused { self.refusal() } else { told() };
        Some((member.ticket, decision))
    }

    fn gone(&mut self, ticket: Ticket, why: Gone) {
        match self.table.get(ticket) {
            // Its session says when its turn is over.
            Some(member) if member.has_session => {}
            Some(member) => {
                self.table.leave(ticket);
                self.table.advance(&member.ends);
            }
            None => self.inner.gone(ticket, why),
        }
    }

    fn mark(&mut self, departing: &Departing) -> Mark {
        self.inner.mark(departing)
    }

    fn keeps(&self, kind: u8, data: &[u8]) -> bool {
        self.inner.keeps(kind, data)
    }

    fn endpoint(&mut self, ticket: Ticket, key: &FlowKey) -> Option<Box<dyn Endpoint>> {
        self.inner.endpoint(ticket, key)
    }

    fn stirred(&mut self) -> Option<Ticket> {
        self.inner.stirred()
    }

    fn retire(&mut self) {
        self.inner.retire();
    }

    fn counted(&mut self, count: &mut dyn FnMut(Counter, u64)) {
        self.refused += self.reports.take_reset();
        for (counter, n) in
            [(Counter::TogetherRefused, &mut self.refused), (Counter::TogetherFull, &mut self.crowded)]
        {
            count(counter, std::mem::take(n));
        }
        self.inner.counted(count);
    }

    fn proxying(&self) -> Proxying {
        self.inner.proxying()
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        let inner = self.inner.session(key);
        let Some((ticket, race)) = self.table.begin(key) else { return inner };
        let (port, reports) = (key.quad.server_port, Some(Arc::clone(&self.reports)));
        Box::new(Turn { inner, ticket, port, race, reports })
    }

    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.inner.session_of_split(key)
    }
}
