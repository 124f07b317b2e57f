//! Worker and control core in turns on this thread, each with its own clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use control::core::context::Settings;
use control::core::{Core, WorkerLink};
use control::module::relay::MergeWhen;
use dataplane::clock::{self, Clock, SystemClock};
use dataplane::port::Port;
use dataplane::worker::Worker;

use crate::core::relaying;
use crate::pooled::{Home, Pooled};
use crate::worker::{Beside, Rig, Room, Source};

/// Of a ring, as in a configuration that says nothing of it.
pub const MESSAGES: usize = 4096;

/// The longest that a round may seem to take.
const LONGEST: Duration = Duration::from_millis(1);

/// An appliance of one thread that offers every flow to a relay.
pub struct Turns<P: Port> {
    pub worker: Worker<P>,
    pub core: Core<Home>,
    clock: SystemClock,
    present: Present,
}

/// Time as worker and control core see it: it does not leap. Who halts this thread halts the ends of its connections with it;
/// taken for silent for so long, they would get segments again that they are about to acknowledge.
struct Present {
    now: clock::Instant,
    /// When that was, by the system's clock.
    seen: clock::Instant,
}

impl Present {
    fn new(now: clock::Instant) -> Present {
        Present { now, seen: now }
    }

    fn advance(&mut self, system: clock::Instant) -> clock::Instant {
        self.now = self.now + system.since(self.seen).min(LONGEST);
        self.seen = system;
        self.now
    }
}

/// What it is made for.
pub struct Plan {
    /// Room in the worker's table, beside those that are idle.
    pub flows: usize,
    /// Room in each ring.
    pub messages: usize,
    /// How long one that is over stays there.
    pub linger: Duration,
    pub merge: MergeWhen,
    pub settings: Settings,
}

/// A port with the ends of connections behind it.
pub trait Timed: Source + Port<Buffer = Pooled> {
    /// Time in its calls so far.
    fn spent(&self) -> Duration;
}

/// What a sample took, or a unit of it; nanoseconds of processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    pub worker: f64,
    pub core: f64,
    /// In both ports' calls.
    pub ends: f64,
}

/// In the order of their fields; wall time.
pub type Walls = [Duration; 3];

impl Spent {
    /// Of each of so many units. Wall time tells who has spent it, processor time how much it was: whoever was interrupted
    /// has not worked meanwhile.
    pub fn new(walls: Walls, processor: Duration, units: u64) -> Spent {
        let whole: Duration = walls.iter().sum();
        let each = processor.as_nanos() as f64 / whole.as_nanos() as f64 / units as f64;
        let [worker, core, ends] = walls.map(|wall| wall.as_nanos() as f64 * each);
        Spent { worker, core, ends }
    }

    /// What a unit takes when worker and control core have a processor core each.
    pub fn slower(&self) -> f64 {
        self.worker.max(self.core)
    }
}

impl<P: Timed> Turns<P> {
    /// Whose ends begin at once.
    pub fn new(ends: [P; 2], plan: Plan, beside: &Beside) -> Turns<P> {
        let Plan { flows, messages, linger, merge, settings } = plan;
        let heartbeat = Arc::default();
        let room = Room { flows: flows + beside.idle as usize, messages, linger };
        let mut rig = Rig::with(ends, room, Arc::clone(&beside.rules), &heartbeat);
        let clock = SystemClock::start();
        rig.fill(clock, beside.idle);
        rig.start();
        let Rig { worker, orders, events } = rig;
        let core = relaying(Home, vec![WorkerLink { events, orders }], merge, settings, heartbeat);
        Turns::of_parts(worker, core, clock)
    }

    /// For who gives each a thread.
    pub fn into_parts(self) -> (Worker<P>, Core<Home>, SystemClock) {
        (self.worker, self.core, self.clock)
    }

    /// Of what was taken apart.
    pub fn of_parts(worker: Worker<P>, core: Core<Home>, clock: SystemClock) -> Turns<P> {
        Turns { worker, core, clock, present: Present::new(clock.now()) }
    }

    fn in_ports(&self) -> Duration {
        self.worker.lines().iter().map(|line| line.port().spent()).sum()
    }

    /// A turn of each.
    pub fn round(&mut self, walls: &mut Walls) {
        let now = self.present.advance(self.clock.now());
        let in_ports = self.in_ports();
        let start = Instant::now();
        self.worker.poll(now);
        let between = Instant::now();
        self.core.poll(now);
        let end = Instant::now();
        let in_ports = self.in_ports() - in_ports;
        walls[0] += (between - start).saturating_sub(in_ports);
        walls[1] += end - between;
        walls[2] += in_ports;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_no_time() {
        let millis = clock::Instant::from_millis;
        let mut present = Present::new(millis(5));
        assert_eq!(present.advance(clock::Instant::from_nanos(5_000_700)).as_nanos(), 5_000_700);
        assert_eq!(present.advance(millis(205)).as_nanos(), 6_000_700, "LONGEST later");
        assert_eq!(present.advance(clock::Instant::from_nanos(205_000_100)).as_nanos(), 6_000_800);
    }

    #[test]
    fn processor_time_is_told_apart_by_wall_time() {
        let walls = [30, 60, 10].map(Duration::from_nanos);
        let spent = Spent::new(walls, Duration::from_nanos(50), 5);
        assert_eq!(spent, Spent { worker: 3.0, core: 6.0, ends: 1.0 });
    }
}
