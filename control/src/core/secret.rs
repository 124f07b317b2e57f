//! Initial sequence numbers that nobody can guess (RFC 6528): a keyed hash of the quad plus a number that moves on.
//!
//! What moves on is the opposite end's own ISN where there is one, else a clock. So what lies between the numbers of two ends
//! is the same for every connection on their quad: a SYN that follows another one at once is as far beyond it as its sender
//! wanted, whoever translates it, and a late segment of the old connection is as old as it is.
//!
//! SipHash-2-4, not the flow table's hash: a peer sees these values, so the key must not follow from them.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher24;

use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::rewrite::delta::Deltas;
use dataplane::wire::seq::{Delta, Seq};

/// The keys of one start of the appliance.
#[derive(Clone)]
pub struct IsnKey {
    client: SipHasher24,
    server: SipHasher24,
}

impl IsnKey {
    /// From 256 bits of the system's generator, or of a simulation's seed.
    pub fn new(key: [u64; 4]) -> Self {
        IsnKey {
            client: SipHasher24::new_with_keys(key[0], key[1]),
            server: SipHasher24::new_with_keys(key[2], key[3]),
        }
    }

    /// ISN that we use towards the client: `ISN = M + F(quad, key)`, with `m` the server's own or of [`clock`].
    pub fn towards_client(&self, key: &FlowKey, m: Seq) -> Seq {
        m.plus(offset(&self.client, key))
    }

    /// ISN that we use towards the server, with `m` the client's own.
    pub fn towards_server(&self, key: &FlowKey, m: Seq) -> Seq {
        m.plus(offset(&self.server, key))
    }

    /// What lies between the ends' numbers, for a segment that travels in `direction`.
    pub fn deltas(&self, key: &FlowKey, direction: Direction) -> Deltas {
        let [client, server] = [&self.client, &self.server].map(|hash| offset(hash, key));
        match direction {
            Direction::ClientToServer => Deltas { own: server, other: client },
            Direction::ServerToClient => Deltas { own: client, other: server },
        }
    }
}

/// RFC 9293 section 3.4.1: a clock of 4 microseconds.
pub fn clock(now: Instant) -> Seq {
    Seq((now.as_nanos() / 4_000) as u32)
}

/// RFC 6528 section 3: `F(quad, key)`.
fn offset(hash: &SipHasher24, key: &FlowKey) -> Delta {
    let mut hash = *hash;
    key.hash(&mut hash);
    Delta(hash.finish() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::flow::quad::{Quad, Segment};

    #[test]
    fn differs_by_leg_quad_and_key_and_moves_with_time() {
        let quad = |port| Quad::between(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 80).into()).unwrap();
        let key = |port| FlowKey { quad: quad(port), segment: Segment(0) };
        let (one, two) = (IsnKey::new([1, 2, 3, 4]), IsnKey::new([4, 3, 2, 1]));
        let zero = clock(Instant::ZERO);
        assert_ne!(one.towards_client(&key(1), zero), one.towards_server(&key(1), zero));
        assert_ne!(one.towards_client(&key(1), zero), one.towards_client(&key(2), zero));
        assert_ne!(one.towards_client(&key(1), zero), two.towards_client(&key(1), zero));
        let later = one.towards_client(&key(1), clock(Instant::from_millis(4)));
        assert_eq!(one.towards_client(&key(1), zero).distance_to(later), 1000);
    }

    #[test]
    fn deltas_lead_from_one_ends_numbers_to_the_others() {
        let quad = Quad::between(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 80).into()).unwrap();
        let (key, keys) = (FlowKey { quad, segment: Segment(0) }, IsnKey::new([1, 2, 3, 4]));
        let (client, server) = (Seq(1000), Seq(u32::MAX));
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            let to_server = direction == Direction::ClientToServer;
            let [own, other] = if to_server { [client, server] } else { [server, client] };
            let deltas = keys.deltas(&key, direction);
            let shown = |to_server, isn| match to_server {
                true => keys.towards_server(&key, isn),
                false => keys.towards_client(&key, isn),
            };
            assert_eq!(own.plus(deltas.own), shown(to_server, own));
            assert_eq!(shown(!to_server, other).minus(deltas.other), other);
        }
    }
}
