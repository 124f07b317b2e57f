//! `relay`: passes bytes on, and merges when it is told to.

use std::time::Duration;

use dataplane::flow::quad::{Direction, FlowKey};

use super::{
    Acknowledge, Choice, Decision, Edit, Isn, Module, Order, PartialConnection, Proxying, ServerAck, Session,
    Step,
};

/// When the relay has seen enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeWhen {
    /// As soon as both legs are up.
    Established,
    /// After the server's first bytes that follow bytes of the client.
    FirstResponse,
    /// After this many bytes in each direction.
    AfterBytes(u64),
    /// Never.
    Never,
}

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Relay {
    /// When to merge.
    pub merge: MergeWhen,
    /// When to acknowledge the server.
    pub server_ack: ServerAck,
    /// Initial sequence numbers.
    pub isn: Isn,
    /// When each sender is acknowledged.
    pub acknowledge: Acknowledge,
    /// Client-first, and how long a client may say nothing before its server is asked all the same.
    pub client_first: Option<Duration>,
}

impl Relay {
    /// How it proxies.
    pub fn proxying(&self) -> Proxying {
        Proxying {
            server_ack: self.server_ack,
            isn: self.isn,
            acknowledge: self.acknowledge,
            never_merges: self.merge == MergeWhen::Never,
            order: if self.client_first.is_some() { Order::ClientFirst } else { Order::ServerFirst },
            ..Proxying::default()
        }
    }
}

impl Module for Relay {
    fn offered(&mut self, _partial: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(self.proxying())
    }

    fn proxying(&self) -> Proxying {
        Relay::proxying(self)
    }

    fn session(&mut self, _key: &FlowKey) -> Box<dyn Session> {
        let wait = self.client_first.unwrap_or_default();
        Box::new(RelaySession { merge: self.merge, wait, seen: [0; 2], response: false })
    }

    /// Somebody wanted to have it here: it stays until somebody wants it merged.
    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        Relay { merge: MergeWhen::Never, ..*self }.session(key)
    }
}

struct RelaySession {
    merge: MergeWhen,
    wait: Duration,
    seen: [u64; 2],
    response: bool,
}

impl RelaySession {
    fn step(&self) -> Step {
        let enough = match self.merge {
            MergeWhen::Established => true,
            MergeWhen::FirstResponse => self.response,
            MergeWhen::AfterBytes(n) => self.seen.iter().all(|seen| *seen >= n),
            MergeWhen::Never => false,
        };
        if enough { Step::Merge } else { Step::Relay }
    }
}

impl Session for RelaySession {
    /// Whoever speaks first: a client that waits for its server's greeting has said all that it will.
    fn choose(&mut self, said: &[u8], is_all: bool) -> Choice {
        if said.is_empty() && !is_all { Choice::Wait(self.wait) } else { Choice::Original }
    }

    fn established(&mut self) -> Step {
        self.step()
    }

    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        self.seen[direction.index()] += bytes.len() as u64;
        self.response |= direction == Direction::ServerToClient && self.seen[0] > 0;
        (Edit::Pass, self.step())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ClientToServer as C, ServerToClient as S};

    fn session(merge: MergeWhen) -> RelaySession {
        RelaySession { merge, wait: Duration::ZERO, seen: [0; 2], response: false }
    }

    #[test]
    fn each_policy_merges_when_it_says() {
        assert_eq!(session(MergeWhen::Established).established(), Step::Merge);
        assert_eq!(session(MergeWhen::Never).established(), Step::Relay);

        let mut first = session(MergeWhen::FirstResponse);
        assert_eq!(first.data(S, b"220 ready").1, Step::Relay, "a greeting is no response");
        assert_eq!(first.data(C, b"EHLO").1, Step::Relay);
        assert_eq!(first.data(S, b"250").1, Step::Merge);

        let mut bytes = session(MergeWhen::AfterBytes(4));
        assert_eq!(bytes.data(C, b"12345").1, Step::Relay);
        assert_eq!(bytes.data(S, b"123").1, Step::Relay);
        assert_eq!(bytes.data(S, b"4").1, Step::Merge);
    }
}
