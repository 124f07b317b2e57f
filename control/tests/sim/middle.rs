//! The box in the middle: what the world asks of it, and a plain wire as the first of its kind.

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, Quad};
use dataplane::port::sim::{SimBuffer, SimPool, SimPort};
use dataplane::port::{Burst, Port};

use crate::profile::Profile;
use crate::rng::Rng;
use crate::tap::Tap;

/// What a middle box is built from.
pub struct Parts {
    /// The port towards the clients.
    pub client: SimPort,
    /// The port towards the servers.
    pub server: SimPort,
    /// Where both ports' frames come from, and where the box takes its own from.
    pub pool: SimPool,
    /// For keys, and for orders (split, merge) at odd moments.
    pub rng: Rng,
    /// What kind of world it is in.
    pub profile: Profile,
}

/// Builds the box of one run.
pub type Build = fn(Parts) -> Box<dyn Middle>;

/// A box between two links.
pub trait Middle {
    /// Does everything that is due at `now`: takes all received frames, runs rings and timers dry, transmits.
    ///
    /// The answer to a frame must be transmitted in the poll that takes it, unless `next_deadline` says when.
    fn poll(&mut self, now: Instant);

    /// When it wants to be polled without a frame; a time that is not after the last poll: again at once (which is
    /// right when a port refused a frame, and reported as a livelock when it goes on).
    fn next_deadline(&self) -> Option<Instant>;

    /// Bytes of one direction that the box has taken from the sender, will deliver, and that the receiver has not
    /// acknowledged; a FIN counts as one byte. `None`: not accountable, since a module has edited this stream.
    fn held_bytes(&self, quad: &Quad, direction: Direction) -> Option<u64> {
        let _ = (quad, direction);
        Some(0)
    }

    /// Whether it has cut this connection, on purpose.
    fn has_cut(&self, quad: &Quad) -> bool {
        let _ = quad;
        false
    }

    /// How long it may keep a frame before it passes it on.
    fn hesitation(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether every segment with data that leaves it is one of its own making.
    fn sends_itself(&self) -> bool {
        false
    }

    /// Whether it may keep so many buffers when the hosts are done.
    fn may_keep(&self, buffers: usize) -> bool {
        buffers == 0
    }

    /// The box's own invariants, after every step. `Err` says what is wrong.
    fn check(&self, tap: &Tap, now: Instant) -> Result<(), String> {
        let _ = (tap, now);
        Ok(())
    }

    /// What a failing run should show of its state.
    fn dump(&self) -> String {
        String::new()
    }
}

/// Forwards every frame, untouched, in order.
pub struct Wire {
    ports: [SimPort; 2],
    refused: [Burst<SimBuffer>; 2],
}

impl Wire {
    pub fn new(parts: Parts) -> Wire {
        Wire { ports: [parts.client, parts.server], refused: Default::default() }
    }

    pub fn build(parts: Parts) -> Box<dyn Middle> {
        Box::new(Wire::new(parts))
    }
}

impl Middle for Wire {
    fn poll(&mut self, _now: Instant) {
        for from in 0..2 {
            let burst = &mut self.refused[from];
            while self.ports[from].receive(burst) > 0 || !burst.is_empty() {
                if self.ports[1 - from].transmit(burst) == 0 {
                    break;
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.refused.iter().any(|burst| !burst.is_empty()).then_some(Instant::ZERO)
    }
}
