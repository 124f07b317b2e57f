//! A wire that keeps every frame for a random while: a box with a clock, randomness and buffers of its own, to try the
//! world's side of those.

use std::collections::VecDeque;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::port::sim::{SimBuffer, SimPort};
use dataplane::port::{Burst, Port};

use crate::middle::{Middle, Parts};
use crate::profile::Profile;
use crate::rng::Rng;
use crate::tap::Tap;

/// How long it keeps a frame at most.
const LONGEST: Duration = Duration::from_micros(400);

/// Forwards every frame in order, each direction after its own delays.
pub struct Hesitant {
    ports: [SimPort; 2],
    waiting: [VecDeque<(Instant, SimBuffer)>; 2],
    rng: Rng,
    profile: Profile,
}

impl Hesitant {
    pub fn build(parts: Parts) -> Box<dyn Middle> {
        let ports = [parts.client, parts.server];
        Box::new(Hesitant { ports, waiting: Default::default(), rng: parts.rng, profile: parts.profile })
    }
}

impl Middle for Hesitant {
    fn poll(&mut self, now: Instant) {
        for from in 0..2 {
            let waiting = &mut self.waiting[from];
            let mut burst = Burst::new();
            while self.ports[from].receive(&mut burst) > 0 {
                for frame in burst.drain(..) {
                    let at = now + Duration::from_micros(self.rng.below(LONGEST.as_micros() as u64));
                    waiting.push_back((waiting.back().map_or(at, |(last, _)| at.max(*last)), frame));
                }
            }
            while waiting.front().is_some_and(|(at, _)| *at <= now) {
                burst.extend(waiting.pop_front().map(|(_, frame)| frame));
                if self.ports[1 - from].transmit(&mut burst) == 0 {
                    burst.drain(..).for_each(|frame| waiting.push_front((now, frame)));
                    break;
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|queue| queue.front()).map(|(at, _)| *at).min()
    }

    fn hesitation(&self) -> Duration {
        LONGEST
    }

    fn check(&self, tap: &Tap, _now: Instant) -> Result<(), String> {
        if tap.flows().len() > self.profile.connections {
            return Err(format!("{} flows of {} connections", tap.flows().len(), self.profile.connections));
        }
        let known = tap.flows().iter().all(|flow| tap.flow(&flow.quad).is_some());
        if known { Ok(()) } else { Err("a flow that its quad does not find".into()) }
    }
}
