//! A module that takes its time: it thinks, asks the server first, changes its mind, forgets, and lets some pass.

use std::collections::VecDeque;
use std::time::Duration;

use control::module::relay::Relay;
use control::module::{
    Acknowledge, Answer, Consult, Decision, Gone, Module, Order, Outcome, PartialConnection, Proxying,
    Session, Ticket,
};
use dataplane::clock::Instant;
use dataplane::flow::quad::FlowKey;

use crate::rng::Rng;

/// What `relay` does once the mood has passed.
pub struct Moody {
    relay: Relay,
    rng: Rng,
    /// Partial connections that it thinks about, and in how many rounds it will have decided.
    thinking: VecDeque<(Ticket, u64)>,
    /// It never lets a flow pass by.
    keeps: bool,
}

impl Moody {
    pub fn new(relay: Relay, rng: Rng, keeps: bool) -> Moody {
        Moody { relay, rng, thinking: VecDeque::new(), keeps }
    }

    /// What it does when it does something. A SYN that is dropped comes again.
    fn settled(&mut self) -> Decision {
        let proxying = self.relay.proxying();
        match self.rng.below(14) {
            12 | 13 if proxying.acknowledge == Acknowledge::Receipt => {
                Decision::Proxy(Proxying { order: Order::ClientFirst, ..proxying })
            }
            0 => Decision::Drop,
            1 if !self.keeps => Decision::Bypass,
            2 if !self.keeps => Decision::Monitor,
            3..7 => {
                let silence = Duration::from_millis(self.rng.below(3_000));
                Decision::Proxy(Proxying { consult: Some(Consult::within(silence)), ..proxying })
            }
            _ => Decision::Proxy(proxying),
        }
    }

    fn think(&mut self, ticket: Ticket) -> Decision {
        // A few rounds, or longer than it has time.
        let rounds = if self.rng.below(4) == 0 { u64::MAX } else { self.rng.below(200) };
        self.thinking.push_back((ticket, rounds));
        Decision::Later(Duration::from_millis(self.rng.below(2_000)))
    }
}

impl Module for Moody {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        if self.rng.below(2) == 0 { self.think(partial.ticket) } else { self.settled() }
    }

    fn overdue(&mut self, partial: &PartialConnection<'_>) -> Decision {
        self.thinking.retain(|(ticket, _)| *ticket != partial.ticket);
        self.settled()
    }

    fn answered(&mut self, partial: &PartialConnection<'_>, answer: &Answer<'_>) -> Decision {
        match answer.outcome {
            Outcome::Accepted if self.rng.below(4) == 0 => self.think(partial.ticket),
            // The SYN as it came gets the same answer, past us.
            Outcome::Accepted if self.rng.below(8) == 0 && !self.keeps => Decision::Monitor,
            _ => Decision::Proxy(self.relay.proxying()),
        }
    }

    fn decided(&mut self, _: Instant) -> Option<(Ticket, Decision)> {
        let (ticket, rounds) = self.thinking.pop_front()?;
        if rounds == 0 {
            return Some((ticket, self.settled()));
        }
        self.thinking.push_back((ticket, rounds.saturating_sub(1)));
        None
    }

    fn gone(&mut self, ticket: Ticket, _: Gone) {
        // It is not told of those that it has decided about, and may speak about others too late.
        if self.rng.below(2) == 0 {
            self.thinking.retain(|(thinking, _)| *thinking != ticket);
        }
    }

    fn proxying(&self) -> Proxying {
        self.relay.proxying()
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.relay.session(key)
    }
}
