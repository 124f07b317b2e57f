//! The world: two hosts, two cables, the box in between, and virtual time that jumps from event to event.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use dataplane::clock::Instant;
use dataplane::port::sim::{SimPeer, SimPool, SimPort};

use crate::app::App;
use crate::connection::Connection;
use crate::content::Content;
use crate::crutch::FORGOTTEN;
use crate::frame;
use crate::host::{Host, Side};
use crate::invariant::{Invariant, Violation, violation};
use crate::link::Link;
use crate::middle::{Build, Middle, Parts};
use crate::plan::{Kind, Plan};
use crate::profile::Profile;
use crate::rng::Rng;
use crate::tap::{Point, Tap};
use crate::trace::Trace;

/// Polls of the middle without a step of time after which it is declared stuck.
const POLLS_PER_INSTANT: u32 = 10_000;

/// A frame under way: when it arrives, in which order of sending, where. `inwards` is towards the middle.
type Event = (Instant, u64, bool, Side, Vec<u8>);

/// Everything there is.
pub struct World {
    pub now: Instant,
    pub hosts: [Host; 2],
    pub connections: Vec<Connection>,
    pub tap: Tap,
    pub trace: Rc<RefCell<Trace>>,
    pub profile: Profile,
    pub middle: Box<dyn Middle>,
    pub pool: SimPool,
    pub peers: [SimPeer; 2],
    /// Connections that a host's own stack has hung.
    pub hung: usize,
    vlan: Option<u16>,
    /// By side: towards the middle, towards the host.
    links: [[Link; 2]; 2],
    events: BinaryHeap<Reverse<Event>>,
    sent: u64,
    deadlines: [Option<Instant>; 2],
    dirty: [bool; 2],
    polls: u64,
}

impl World {
    pub fn new(seed: u64, profile: Profile, build: Build, trace: Rc<RefCell<Trace>>) -> World {
        let mut rng = Rng::new(seed);
        let mut hosts = Side::BOTH.map(|side| Host::new(side, profile.jitter_us > 0, &mut rng));
        let mut plans = rng.fork(1);
        let mut connections = Vec::with_capacity(profile.connections);
        for index in 0..profile.connections {
            let plan = Plan::draw(index, &profile, &mut plans);
            let contents = [Content::new(seed, index, 0), Content::new(seed, index, 1)];
            for side in [0, 1] {
                let app = App::new(plan.parts[side].clone(), contents[side], contents[1 - side]);
                hosts[side].add(&plan, app, side == Side::Server as usize && plan.kind != Kind::ClosedPort);
            }
            connections.push(Connection::new(index, plan));
        }
        let mut faults = rng.fork(2);
        let links = Side::BOTH.map(|_| {
            let shape = profile.faults(&mut faults);
            [Link::new(shape, faults.fork(3)), Link::new(shape, faults.fork(4))]
        });
        let pool = SimPool::new(profile.pool);
        let (client, client_peer) = SimPort::new(profile.tx_capacity);
        let (server, server_peer) = SimPort::new(profile.tx_capacity);
        let middle = build(Parts { client, server, pool: pool.clone(), rng: rng.fork(5), profile });
        World {
            now: Instant::ZERO,
            hosts,
            connections,
            tap: Tap::default(),
            trace,
            vlan: profile.vlan.then(|| rng.between(1, 4094) as u16),
            profile,
            middle,
            pool,
            peers: [client_peer, server_peer],
            hung: 0,
            links,
            events: BinaryHeap::new(),
            sent: 0,
            deadlines: [None; 2],
            dirty: [true; 2],
            polls: 0,
        }
    }

    /// Goes to the next moment at which something happens, and lets it happen. False: nothing ever will.
    pub fn step(&mut self) -> Result<bool, Violation> {
        let Some(next) = self.next_moment() else { return Ok(false) };
        self.now = next.max(self.now);
        self.start_connections();
        self.deliver_due()?;
        self.run_middle()?;
        for side in Side::BOTH {
            let due = self.deadlines[side as usize].is_some_and(|at| at <= self.now);
            if due || std::mem::take(&mut self.dirty[side as usize]) {
                self.run_host(side)?;
            }
        }
        Ok(true)
    }

    fn next_moment(&self) -> Option<Instant> {
        if self.dirty.contains(&true) {
            return Some(self.now);
        }
        let frame = self.events.peek().map(|Reverse(event)| event.0);
        let starts = self.connections.iter().filter(|c| !c.started).map(|c| c.plan.start);
        let timers = self.deadlines.into_iter().flatten();
        frame.into_iter().chain(timers).chain(starts).chain(self.middle.next_deadline()).min()
    }

    fn start_connections(&mut self) {
        let now = self.now;
        for connection in self.connections.iter_mut().filter(|c| !c.started && c.plan.start <= now) {
            connection.started = true;
            connection.last_progress = now;
            self.hosts[0].connect(connection.index, &connection.plan);
            self.dirty[0] = true;
        }
    }

    fn deliver_due(&mut self) -> Result<(), Violation> {
        while self.events.peek().is_some_and(|Reverse(event)| event.0 <= self.now) {
            let Some(Reverse((_, _, inwards, side, mut frame))) = self.events.pop() else { break };
            if !inwards {
                if self.vlan.is_none_or(|vlan| frame::pop_tag(&mut frame, vlan).is_some()) {
                    self.hosts[side as usize].deliver(self.now, frame);
                    self.dirty[side as usize] = true;
                }
                continue;
            }
            let point = Point { side, inwards: true };
            let Some(buffer) = self.pool.copy_of(&frame) else {
                self.trace.borrow_mut().record(self.now, point, "no buffer", &frame);
                continue;
            };
            self.see(point, &frame)?;
            self.peers[side as usize].deliver(buffer);
        }
        Ok(())
    }

    /// A frame passes one of the middle's ports.
    fn see(&mut self, point: Point, frame: &[u8]) -> Result<(), Violation> {
        self.trace.borrow_mut().record(self.now, point, "", frame);
        match frame::parse(frame) {
            Some(segment) => self.tap.observe(point, &segment, frame.len()),
            None => Ok(()),
        }
    }

    fn run_middle(&mut self) -> Result<(), Violation> {
        for _ in 0..POLLS_PER_INSTANT {
            let waiting = self.peers.iter().any(|peer| peer.undelivered() > 0);
            let due = self.middle.next_deadline().is_some_and(|at| at <= self.now);
            if !waiting && !due {
                return Ok(());
            }
            self.middle.poll(self.now);
            self.polls += 1;
            for side in Side::BOTH {
                while let Some(buffer) = self.peers[side as usize].collect() {
                    let frame = dataplane::buffer::Buffer::bytes(&buffer).to_vec();
                    self.see(Point { side, inwards: false }, &frame)?;
                    self.send(side, false, frame);
                }
            }
            self.check_middle()?;
            self.tap.polled();
        }
        violation(Invariant::Livelock, format!("polled {POLLS_PER_INSTANT} times at one moment"))
    }

    /// What holds after every step of the middle.
    fn check_middle(&mut self) -> Result<(), Violation> {
        let middle = &self.middle;
        let all = self.polls.is_multiple_of(256);
        self.tap.check_acks(all, |quad, direction| middle.held_bytes(quad, direction))?;
        let verdict = middle.check(&self.tap, self.now);
        verdict.or_else(|detail| violation(Invariant::Middle, detail))
    }

    fn run_host(&mut self, side: Side) -> Result<(), Violation> {
        let (now, connections) = (self.now, &mut self.connections);
        let frames = self.hosts[side as usize].poll(now, |index| connections[index].last_progress = now)?;
        for mut frame in frames {
            if let Some(vlan) = self.vlan {
                frame::push_tag(&mut frame, vlan);
            }
            self.send(side, true, frame);
        }
        self.deadlines[side as usize] = self.hosts[side as usize].next_deadline(now);
        Ok(())
    }

    /// Puts a frame on the cable.
    fn send(&mut self, side: Side, inwards: bool, frame: Vec<u8>) {
        let arrivals = self.links[side as usize][usize::from(!inwards)].send(self.now, &frame);
        if arrivals.is_empty() {
            self.trace.borrow_mut().record(self.now, Point { side, inwards }, "lost on the cable", &frame);
        }
        for (at, bytes) in arrivals {
            self.sent += 1;
            self.events.push(Reverse((at, self.sent, inwards, side, bytes)));
        }
    }

    /// Reminds the sockets of a connection of what they have forgotten. smoltcp can lose its only timer.
    pub fn jog(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let quiet_since = connection.last_progress.max(connection.jogged);
        if self.now - quiet_since < FORGOTTEN {
            return;
        }
        connection.jogged = self.now;
        for side in Side::BOTH {
            if self.hosts[side as usize].has_forgotten(index, self.now) {
                self.hosts[side as usize].jog(index);
                self.dirty[side as usize] = true;
            }
        }
    }

    /// Resets an end whose peer is gone for good.
    pub fn abort(&mut self, side: Side, index: usize) {
        self.hosts[side as usize].abort(index);
        self.dirty[side as usize] = true;
    }
}
