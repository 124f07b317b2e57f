//! Initial sequence numbers that nobody can guess (RFC 6528): a keyed hash of the quad plus a clock.
//!
//! SipHash-2-4, not the flow table's hash: a peer sees these values, so the key must not follow from them.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher24;

use dataplane::clock::Instant;
use dataplane::flow::quad::FlowKey;
use dataplane::wire::seq::Seq;

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

    /// ISN that we use towards the client.
    pub fn towards_client(&self, key: &FlowKey, now: Instant) -> Seq {
        isn(&self.client, key, now)
    }

    /// ISN that we use towards the server.
    pub fn towards_server(&self, key: &FlowKey, now: Instant) -> Seq {
        isn(&self.server, key, now)
    }
}

/// RFC 6528 section 3: `ISN = M + F(quad, key)`, M a clock of 4 microseconds.
fn isn(hash: &SipHasher24, key: &FlowKey, now: Instant) -> Seq {
    let mut hash = *hash;
    key.hash(&mut hash);
    Seq((hash.finish() as u32).wrapping_add((now.as_nanos() / 4_000) as u32))
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
        let zero = Instant::ZERO;
        assert_ne!(one.towards_client(&key(1), zero), one.towards_server(&key(1), zero));
        assert_ne!(one.towards_client(&key(1), zero), one.towards_client(&key(2), zero));
        assert_ne!(one.towards_client(&key(1), zero), two.towards_client(&key(1), zero));
        let later = one.towards_client(&key(1), Instant::from_millis(4));
        assert_eq!(one.towards_client(&key(1), zero).distance_to(later), 1000);
    }
}
