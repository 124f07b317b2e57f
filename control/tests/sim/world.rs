//! The world: two hosts, two cables, the box in between, and virtual time that jumps from event to event.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::Direction;
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
use crate::trouble::{Router, STANDS_STILL, Squeeze, Stalls};

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
    /// When the middle stands still.
    stalls: Stalls,
    /// By side: what happens to windows towards the middle, and to large frames towards the host.
    squeezes: [Option<Squeeze>; 2],
    routers: [Option<Router>; 2],
    dice: Rng,
    events: BinaryHeap<Reverse<Event>>,
    sent: u64,
    deadlines: [Option<Instant>; 2],
    dirty: [bool; 2],
    listened: Instant,
    polls: u64,
}

impl World {
    pub fn new(seed: u64, profile: Profile, build: Build, trace: Rc<RefCell<Trace>>) -> World {
        let mut rng = Rng::new(seed);
        let mut hosts = Side::BOTH.map(|side| Host::new(side, &profile, &mut rng));
        let mut plans = rng.fork(1);
        let mut connections = Vec::with_capacity(profile.connections);
        for index in 0..profile.connections {
            let plan = Plan::draw(index, &profile, &mut plans);
            let contents = [0, 1].map(|side| {
                let pieces = plan.parts[side].pieces.iter().map(|piece| piece.len);
                Content::new(seed, index, side).with(profile.edits, pieces)
            });
            for side in [0, 1] {
                let [outgoing, incoming] = [side, 1 - side].map(|side| contents[side].clone());
                let app = App::new(plan.parts[side].clone(), outgoing, incoming);
                hosts[side].add(&plan, app, side == Side::Server as usize && plan.kind != Kind::ClosedPort);
            }
            connections.push(Connection::new(index, plan));
        }
        let mut faults = rng.fork(2);
        let links = Side::BOTH.map(|_| {
            let shape = profile.faults(&mut faults);
            [Link::new(shape, faults.fork(3)), Link::new(shape, faults.fork(4))]
        });
        let mut trouble = rng.clone().fork(8);
        let pool = SimPool::new(profile.pool);
        let (client, client_peer) = SimPort::new(profile.tx_capacity);
        let (server, server_peer) = SimPort::new(profile.tx_capacity);
        let middle = build(Parts { client, server, pool: pool.clone(), rng: rng.fork(5), profile });
        World {
            now: Instant::ZERO,
            hosts,
            connections,
            tap: Tap::new(middle.sends_itself(), middle.hesitation(), profile.ponders()),
            trace,
            vlan: profile.vlan.then(|| rng.between(1, 4094) as u16),
            profile,
            middle,
            pool,
            peers: [client_peer, server_peer],
            hung: 0,
            links,
            stalls: Stalls::draw(&profile, &mut trouble),
            squeezes: Side::BOTH.map(|_| Squeeze::draw(&profile, &mut trouble)),
            routers: Side::BOTH.map(|_| Router::draw(&profile, &mut trouble)),
            dice: trouble,
            events: BinaryHeap::new(),
            sent: 0,
            deadlines: [None; 2],
            dirty: [true; 2],
            listened: Instant::ZERO,
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

    /// All buffers are back.
    pub fn is_quiet(&self) -> bool {
        self.pool.in_use() == 0
    }

    fn next_moment(&self) -> Option<Instant> {
        if self.dirty.contains(&true) {
            return Some(self.now);
        }
        let frame = self.events.peek().map(|Reverse(event)| event.0);
        let starts = self.connections.iter().filter(|c| !c.started).map(|c| c.plan.start);
        let timers = self.deadlines.into_iter().flatten();
        let middle = self.stalls.until(self.now).or_else(|| self.middle.next_deadline());
        frame.into_iter().chain(timers).chain(starts).chain(middle).min()
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
            Some(segment) => self.tap.observe(self.now, point, &segment, frame.len()),
            None => Ok(()),
        }
    }

    fn run_middle(&mut self) -> Result<(), Violation> {
        if self.stalls.until(self.now).is_some() {
            return Ok(());
        }
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
    fn send(&mut self, side: Side, inwards: bool, mut frame: Vec<u8>) {
        if let (true, Some(squeeze)) = (inwards, &self.squeezes[side as usize])
            && let Some(segment) = frame::parse(&frame)
        {
            squeeze.apply(self.now, &segment, &mut frame);
        }
        if let (false, Some(router)) = (inwards, &self.routers[side as usize])
            && let Some(report) = router.refuse(&frame, &mut self.dice)
        {
            self.trace.borrow_mut().record(self.now, Point { side, inwards }, "too large", &frame);
            self.note_lost(side, inwards, &frame);
            return report.into_iter().for_each(|report| self.send(side, true, report));
        }
        let arrivals = self.links[side as usize][usize::from(!inwards)].send(self.now, &frame);
        if arrivals.is_empty() {
            self.trace.borrow_mut().record(self.now, Point { side, inwards }, "lost on the cable", &frame);
            self.note_lost(side, inwards, &frame);
        }
        for (at, bytes) in arrivals {
            self.sent += 1;
            self.events.push(Reverse((at, self.sent, inwards, side, bytes)));
        }
    }

    fn note_lost(&mut self, side: Side, inwards: bool, frame: &[u8]) {
        if !inwards && let Some(segment) = frame::parse(frame) {
            self.tap.lose(side, &segment);
        }
    }

    /// Once in a second: a sender that has something to send, and has not for longer than it may.
    pub fn check_silence(&mut self) -> Result<(), Violation> {
        if self.now < self.listened + Duration::from_secs(1) {
            return Ok(());
        }
        self.listened = self.now;
        let stood_still = if self.profile.bad_clocks { STANDS_STILL } else { Duration::ZERO };
        for connection in self.connections.iter().filter(|c| c.started && !c.ended) {
            let Some(quad) = connection.quad() else { continue };
            for (direction, side) in
                [(Direction::ClientToServer, Side::Server), (Direction::ServerToClient, Side::Client)]
            {
                let held = self.middle.held_bytes(&quad, direction).unwrap_or(0);
                let Some(sender) = self.tap.sender(&quad, side) else { continue };
                if sender.is_silent(self.now, held, stood_still) {
                    let what = format!("{held} bytes held, and silence to the {}", side.name());
                    return violation(Invariant::Sender, connection.describe(&self.hosts))
                        .map_err(|v| v.at(what));
                }
            }
        }
        Ok(())
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
