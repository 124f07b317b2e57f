//! Which worker owns a flow, and the rings that carry to it what its own queue did not receive.
//!
//! Symmetric RSS brings both directions of a flow to one queue, so a whole TCP segment belongs to whoever received it.
//! What RSS places by addresses alone (first fragments, ICMP errors that quote a flow) and everything on ports without
//! RSS is handed over here.

use std::sync::Arc;

use crate::flow::hash::KeyedHash;
use crate::flow::quad::Quad;
use crate::port::PortId;

use super::mailbox::{Receiver, Sender, mailbox};

/// How ownership follows from a key.
#[derive(Clone)]
pub enum Steering {
    /// One worker owns everything.
    Single,
    /// The ports have no RSS: a keyed hash decides, for every segment.
    Hash {
        /// Shared by all workers, and not the one that their tables use.
        hash: KeyedHash,
        /// How many there are.
        workers: u32,
    },
    /// The device's RSS has placed whole segments; `queue` computes where it places a quad.
    Rss {
        /// The device's hash and indirection table in software.
        queue: Arc<dyn Fn(&Quad) -> usize + Send + Sync>,
    },
}

impl Steering {
    /// Owner of a whole TCP segment received by worker `here`.
    #[inline]
    pub fn owner_of_segment(&self, quad: &Quad, here: usize) -> usize {
        match self {
            Steering::Hash { .. } => self.owner_of_flow(quad, here),
            Steering::Single | Steering::Rss { .. } => here,
        }
    }

    /// Owner of the flow that a fragment or an ICMP error belongs to.
    pub fn owner_of_flow(&self, quad: &Quad, here: usize) -> usize {
        match self {
            Steering::Single => here,
            // By the quad alone, as devices do: a flow that goes on in another VLAN or pair stays where it is.
            Steering::Hash { hash, workers } => {
                (((hash.of_quad(quad) >> 32) * u64::from(*workers)) >> 32) as usize
            }
            Steering::Rss { queue } => queue(quad),
        }
    }
}

/// A frame for another worker, with the port on which it came in.
pub struct Handed<B> {
    /// Port of arrival.
    pub port: PortId,
    /// The frame.
    pub frame: B,
}

/// One worker's ends of the rings to and from every other.
pub struct Neighbours<B> {
    /// By worker; its own place is empty.
    pub to: Vec<Option<Sender<Handed<B>>>>,
    /// From every other.
    pub from: Vec<Receiver<Handed<B>>>,
}

impl<B> Neighbours<B> {
    /// Rings of `capacity` frames between each two of `workers`.
    pub fn mesh(workers: usize, capacity: usize) -> Vec<Neighbours<B>> {
        let empty = || Neighbours { to: (0..workers).map(|_| None).collect(), from: Vec::new() };
        let mut all: Vec<Neighbours<B>> = (0..workers).map(|_| empty()).collect();
        for source in 0..workers {
            for target in (0..workers).filter(|target| *target != source) {
                let (sender, receiver) = mailbox(capacity);
                all[source].to[target] = Some(sender);
                all[target].from.push(receiver);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_owner_and_all_workers_get_flows() {
        let steering = Steering::Hash { hash: KeyedHash::new([1, 2, 3, 4]), workers: 3 };
        let mut seen = [0u32; 3];
        for port in 1..400 {
            let client = std::net::SocketAddr::from(([10, 0, 0, 1], port));
            let quad = Quad::between(client, "10.0.0.2:80".parse().unwrap()).unwrap();
            let owner = steering.owner_of_segment(&quad, 0);
            assert_eq!(owner, steering.owner_of_flow(&quad.reversed(), 1));
            seen[owner] += 1;
        }
        assert!(seen.iter().all(|n| *n > 80), "{seen:?}");
    }

    #[test]
    fn a_mesh_connects_each_with_every_other() {
        let mut mesh = Neighbours::<u8>::mesh(3, 4);
        assert!(mesh[0].to[0].is_none());
        let handed = Handed { port: PortId(1), frame: 7 };
        assert!(mesh[0].to[2].as_mut().unwrap().try_send(handed).is_ok());
        let got: Vec<u8> = mesh[2].from.iter_mut().filter_map(|r| r.try_receive()).map(|h| h.frame).collect();
        assert_eq!(got, [7]);
    }
}
