//! A pair of appliances as a tunnel (seed 000: "forwarded … to another proxy"): the near end sends connections to the far
//! end's address and port, and the SYN names the original server there ([`option`]); the far end asks that one.
//!
//! Nothing but the SYN is special. What the original server says, SYN-ACK, RST, an ICMP error or nothing, is what the far end
//! lets the near end hear and that one the client: the client has heard nothing until the server has answered, and no round
//! trip and no byte has been added. Both ends merge with the ends' own numbers.

pub mod option;

use dataplane::counters::Counter;
use dataplane::flow::quad::{FlowKey, Quad};
use dataplane::packet::{self, Packet};
use dataplane::wire::tcp::HEADER_LEN;

use super::redirect::Redirect;
use super::{Decision, Departing, Mark, Module, PartialConnection, Proxying, Session, Target};
use option::{Carrier, Keys, Unproven};

/// The near end: all that it is offered goes to the far end.
pub struct Enter {
    redirect: Redirect,
    keys: Keys,
}

impl Enter {
    /// The far end is the server of `redirect`; flows of a family without one go to their own, and say nothing more.
    pub fn new(redirect: Redirect, keys: Keys) -> Enter {
        Enter { redirect, keys }
    }
}

impl Module for Enter {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        self.redirect.offered(partial)
    }

    fn mark(&mut self, departing: &Departing) -> Mark {
        let quad = departing.key.quad;
        let target = self.redirect.target(&quad);
        if target.server.is_none() {
            return Mark::default();
        }
        let carrier = Carrier {
            quad: Quad { client_port: departing.client_port, ..target.quad(&quad) },
            seq: departing.seq,
        };
        self.keys.sign(quad.server(), &carrier)
    }

    fn proxying(&self) -> Proxying {
        self.redirect.proxying()
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.redirect.session(key)
    }

    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.redirect.session_of_split(key)
    }
}

/// The far end: what a near end has signed goes to its original server, and nothing else goes anywhere.
pub struct Leave {
    redirect: Redirect,
    keys: Keys,
    /// SYNs without an option, and with one that proves nothing, since these were counted last.
    unsigned: u64,
    forged: u64,
}

impl Leave {
    /// Beyond, clients and next hop are those of `redirect`.
    pub fn new(redirect: Redirect, keys: Keys) -> Leave {
        Leave { redirect, keys, unsigned: 0, forged: 0 }
    }
}

impl Module for Leave {
    /// Who has not signed hears nothing: nobody is to learn by asking that a tunnel ends here.
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        let quad = partial.key.quad;
        let proven = match packet::parse(partial.syn) {
            Ok(Packet::Tcp(headers)) => {
                let options = usize::from(headers.l4) + HEADER_LEN..usize::from(headers.payload);
                let carrier = Carrier { quad, seq: headers.seq };
                self.keys.verify(partial.syn.get(options).unwrap_or_default(), &carrier)
            }
            _ => Err(Unproven::Unsigned),
        };
        match proven {
            Ok(server) => {
                let target = Target { server: Some(server), ..self.redirect.target(&quad) };
                Decision::ProxyTo(self.redirect.relay.proxying(), target)
            }
            Err(Unproven::Unsigned) => {
                self.unsigned += 1;
                Decision::Drop
            }
            Err(Unproven::Forged) => {
                self.forged += 1;
                Decision::Drop
            }
        }
    }

    /// The servers behind are not to learn what the ends of the tunnel say to each other.
    fn keeps(&self, kind: u8, data: &[u8]) -> bool {
        option::is_one(kind, data)
    }

    fn counted(&mut self, count: &mut dyn FnMut(Counter, u64)) {
        count(Counter::TunnelUnsigned, std::mem::take(&mut self.unsigned));
        count(Counter::TunnelForged, std::mem::take(&mut self.forged));
    }

    fn proxying(&self) -> Proxying {
        self.redirect.relay.proxying()
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.redirect.relay.session(key)
    }

    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.redirect.session_of_split(key)
    }
}
