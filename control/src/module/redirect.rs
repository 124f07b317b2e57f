//! `relay`, to another server, under another client address, or by another next hop than the client's own.

use std::net::{IpAddr, SocketAddr};

use ahash::RandomState;
use dataplane::flow::far::NextHop;
use dataplane::flow::quad::{Direction, FlowKey, Quad};

use super::relay::Relay;
use super::{
    Choice, Decision, Edit, Module, Order, PartialConnection, Proxying, Session, Step, Target, Ticket,
};

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// At most one server of each family; flows of a family without one go to their own.
    pub servers: Vec<SocketAddr>,
    /// Addresses that take the place of clients'; those of a family without one are kept.
    pub clients: Vec<IpAddr>,
    /// Where frames go next.
    pub hop: NextHop,
}

impl Places {
    /// Whether flows go where they would go anyway.
    pub fn are_their_own(&self) -> bool {
        *self == Places::default()
    }

    /// One and the same client always gets the same address (RFC 4787 REQ-2: servers may rely on it).
    pub(super) fn target(&self, quad: &Quad, hash: &RandomState) -> Target {
        let is_v4 = quad.client().is_ipv4();
        let count = self.clients.iter().filter(|address| address.is_ipv4() == is_v4).count() as u64;
        let nth = hash.hash_one(quad.client().ip()).checked_rem(count);
        let of_family = |address: &&IpAddr| address.is_ipv4() == is_v4;
        Target {
            server: self.servers.iter().find(|server| server.is_ipv4() == is_v4).copied(),
            client: nth.and_then(|nth| self.clients.iter().filter(of_family).nth(nth as usize)).copied(),
            hop: self.hop,
        }
    }
}

/// The module.
pub struct Redirect {
    pub(super) relay: Relay,
    places: Places,
    hash: RandomState,
}

impl Redirect {
    /// All that `relay` is offered goes to `places`. Which client gets which address follows from `key`, of the whole run and
    /// secret, and the module's name: after a reload, and in a rule's variant of the module, it is the same.
    pub fn new(relay: Relay, places: Places, key: [u64; 4], name: &str) -> Self {
        let [a, b, c, d] = key;
        let module = RandomState::with_seeds(a, b, c, d).hash_one(name);
        Redirect { relay, places, hash: RandomState::with_seeds(a ^ module, b, c, d) }
    }

    /// Where a flow of `quad` goes.
    pub(super) fn target(&self, quad: &Quad) -> Target {
        self.places.target(quad, &self.hash)
    }
}

impl Module for Redirect {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        match self.relay.offered(partial) {
            Decision::Proxy(proxying) if proxying.order == Order::ServerFirst => {
                Decision::ProxyTo(proxying, self.target(&partial.key.quad))
            }
            other => other,
        }
    }

    fn proxying(&self) -> Proxying {
        self.relay.proxying()
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        let (session, target) = (self.relay.session(key), self.target(&key.quad));
        Box::new(Redirected { session, target })
    }

    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.relay.session_of_split(key)
    }
}

/// A session whose own choice is the target.
struct Redirected {
    session: Box<dyn Session>,
    target: Target,
}

impl Session for Redirected {
    fn may_leave(&self) -> bool {
        self.session.may_leave()
    }

    fn choose(&mut self, said: &[u8], is_all: bool) -> Choice {
        match self.session.choose(said, is_all) {
            Choice::Original => Choice::To(self.target),
            other => other,
        }
    }

    fn established(&mut self) -> Step {
        self.session.established()
    }

    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        self.session.data(direction, bytes)
    }

    fn named(&mut self, ticket: Ticket) -> bool {
        self.session.named(ticket)
    }

    fn decide(&mut self, direction: Direction) -> (Edit, Step) {
        self.session.decide(direction)
    }

    fn finished(&mut self, direction: Direction) -> (Edit, Step) {
        self.session.finished(direction)
    }

    fn overdue(&mut self, direction: Direction) -> (Edit, Step) {
        self.session.overdue(direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quad(client: &str, server: &str) -> Quad {
        Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap()
    }

    #[test]
    fn each_family_goes_where_it_can_and_a_client_has_one_address() {
        let places = Places {
            servers: vec!["10.0.0.9:8080".parse().unwrap()],
            clients: ["10.1.0.1", "fd00::1", "10.1.0.2"].map(|text| text.parse().unwrap()).into(),
            hop: NextHop::default(),
        };
        let hash = RandomState::with_seeds(1, 2, 3, 4);
        let v4 = quad("10.0.0.1:5", "10.0.0.2:80");
        let far = places.target(&v4, &hash).quad(&v4);
        assert_eq!((far.server(), far.client().port()), ("10.0.0.9:8080".parse().unwrap(), 5));
        let again = quad("10.0.0.1:6", "10.0.0.3:80");
        assert_eq!(places.target(&again, &hash).quad(&again).client().ip(), far.client().ip());
        let others: std::collections::BTreeSet<_> = (0..50)
            .map(|n| places.target(&quad(&format!("10.0.1.{n}:5"), "10.0.0.2:80"), &hash).client)
            .collect();
        assert_eq!(others.len(), 2, "both are used");
        let v6 = quad("[fd00::7]:5", "[fd00::2]:80");
        assert_eq!(places.target(&v6, &hash).quad(&v6), quad("[fd00::1]:5", "[fd00::2]:80"));
    }

    #[test]
    fn a_client_keeps_its_address_over_a_reload_and_in_every_variant() {
        let client = |n: u8| std::net::IpAddr::from([10, 1, 0, n]);
        let places = Places { clients: (1..=200).map(client).collect(), ..Places::default() };
        let relay = |acknowledge| Relay {
            merge: super::super::relay::MergeWhen::Never,
            server_ack: super::super::ServerAck::AtOnce,
            isn: super::super::Isn::Mirror,
            acknowledge,
            client_first: None,
        };
        let lent = |key, name, acknowledge| {
            let module = Redirect::new(relay(acknowledge), places.clone(), key, name);
            let quad = quad("10.0.0.1:5", "10.0.0.2:80");
            module.places.target(&quad, &module.hash).client
        };
        let (receipt, through) = (super::super::Acknowledge::Receipt, super::super::Acknowledge::Through);
        let first = lent([1, 2, 3, 4], "m", receipt);
        assert_eq!(lent([1, 2, 3, 4], "m", through), first);
        let others = [lent([1, 2, 3, 5], "m", receipt), lent([1, 2, 3, 4], "n", receipt)];
        assert!(others.iter().any(|other| *other != first), "nobody can tell which before");
    }

    #[test]
    fn a_target_of_the_other_family_changes_nothing() {
        let v4 = quad("10.0.0.1:5", "10.0.0.2:80");
        let server = Some("[fd00::9]:80".parse().unwrap());
        for client in [None, Some("fd00::5".parse().unwrap())] {
            assert_eq!(Target { server, client, ..Target::default() }.quad(&v4), v4);
        }
        let client = Some("10.1.0.5".parse().unwrap());
        let kept = Target { server, client, ..Target::default() }.quad(&v4);
        assert_eq!(kept, quad("10.1.0.5:5", "10.0.0.2:80"));
    }
}
