//! What is known of servers and clients from before (seed 000: "information stored at the proxy, e.g. from past activity").
//!
//! The least recently used entry makes room. An entry says how it ended last, and when; no policy follows from it here.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

use lru::LruCache;

use dataplane::clock::Instant;
use dataplane::flow::quad::{FlowKey, Segment};

use crate::module;
use crate::module::{Outcome, Past};
use crate::tcp::Handshake;

type Table<K, V> = LruCache<K, V, ahash::RandomState>;

/// An outcome, and when.
type Seen = (Outcome, Instant);

/// The tables of both ends.
pub(crate) struct History {
    /// With what the server promised in its last SYN-ACK.
    servers: Table<(Segment, SocketAddr), (Seen, Option<Handshake>)>,
    clients: Table<(Segment, IpAddr), Seen>,
}

impl History {
    /// Of at most `capacity` servers and as many clients.
    pub(crate) fn new(capacity: NonZeroUsize) -> History {
        History {
            servers: LruCache::with_hasher(capacity, ahash::RandomState::new()),
            clients: LruCache::with_hasher(capacity, ahash::RandomState::new()),
        }
    }

    /// What is known of the ends of a flow.
    pub(crate) fn of(&self, now: Instant, key: &FlowKey) -> module::History {
        let past = |(outcome, at): Seen| Past { outcome, age: now.since(at) };
        let server = self.servers.peek(&(key.segment, key.quad.server()));
        module::History {
            server: server.map(|(seen, _)| past(*seen)),
            client: self.clients.peek(&(key.segment, key.quad.client().ip())).copied().map(past),
        }
    }

    /// What the server promised last, if that is known.
    pub(crate) fn profile(&self, key: &FlowKey) -> Option<Handshake> {
        self.servers.peek(&(key.segment, key.quad.server()))?.1.clone()
    }

    /// How an attempt has ended; `promised` in the SYN-ACK. `is_own`: the server that was asked is the one that the client's
    /// SYN names; of another one nothing is remembered, for nobody asks for it by its name.
    pub(crate) fn remember(
        &mut self,
        now: Instant,
        key: &FlowKey,
        is_own: bool,
        outcome: Outcome,
        promised: Option<Handshake>,
    ) {
        if is_own {
            let server = (key.segment, key.quad.server());
            let promised = promised.or_else(|| self.profile(key));
            self.servers.put(server, ((outcome, now), promised));
        }
        self.clients.put((key.segment, key.quad.client().ip()), (outcome, now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dataplane::flow::quad::Quad;

    use super::*;

    fn key(client: &str, server: &str) -> FlowKey {
        let quad = Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap();
        FlowKey { quad, segment: Segment::new(0, 0, 0) }
    }

    #[test]
    fn the_last_outcome_of_either_end_counts_and_the_oldest_goes() {
        let mut history = History::new(NonZeroUsize::new(2).unwrap());
        let at = Instant::from_millis;
        let one = key("10.0.0.1:1", "10.0.0.9:80");
        history.remember(at(0), &one, true, Outcome::Refused, None);
        history.remember(at(10), &key("10.0.0.2:1", "10.0.0.9:80"), true, Outcome::Accepted, None);
        history.remember(at(20), &key("10.0.0.2:1", "10.0.0.9:80"), false, Outcome::Silent, None);
        let seen = history.of(at(30), &one);
        let past = |outcome, ms| Some(Past { outcome, age: Duration::from_millis(ms) });
        assert_eq!((seen.server, seen.client), (past(Outcome::Accepted, 20), past(Outcome::Refused, 30)));
        history.remember(at(40), &key("10.0.0.3:1", "10.0.0.9:81"), true, Outcome::Silent, None);
        assert_eq!(history.of(at(50), &one).client, None);
        assert_eq!(history.of(at(50), &key("10.0.0.1:1", "10.0.0.9:82")).server, None, "another port");
    }
}
