//! The poll-mode worker: one thread, one RX/TX queue of every port, one flow table, nothing shared.
//!
//! [`Worker::poll`] is the whole loop body. Each phase takes what is there, in bursts, and never waits.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::{Budget, Rate};
use crate::buffer::Buffer;
use crate::clock::Instant;
use crate::counters::Counter;
use crate::flow::hash::KeyedHash;
use crate::flow::table::FlowTable;
use crate::inspect::places::{self, Streams};
use crate::policy::Installed;
use crate::port::impaired::Tally;
use crate::port::{BURST, Burst, Port, PortId};

mod admit;
mod anew;
mod carry;
mod classify;
mod cookies;
mod far;
pub mod heartbeat;
mod housekeeping;
pub mod idle;
mod inspect;
pub mod mailbox;
pub mod message;
mod orders;
pub mod parked;
mod plain;
pub mod report;
mod service;
mod split;
mod standing;
pub mod steer;
mod told;
pub mod transmit;
mod waiting;

use classify::Seen;
use cookies::Answering;
use heartbeat::Heartbeat;
use mailbox::{Receiver, Sender};
use message::{Event, Order};
use parked::Parked;
use report::{Counters, Gauges, Report};
use steer::{Handed, Neighbours, Steering};
use transmit::Line;

/// Rounds between two housekeepings.
const HOUSEKEEPING_ROUNDS: u32 = 32;
/// Orders carried out in one round, at most: packets must not wait for a long queue of them.
const ORDERS_PER_ROUND: usize = 256;
/// Places of the event mailbox that segments leave free, so that answers to orders always fit.
const EVENT_RESERVE: usize = 64;

/// Sizes, all taken at start.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Flows in the table.
    pub flows: usize,
    /// Frames parked during merges.
    pub parked: usize,
    /// Flows whose far side is not what the client's SYN says.
    pub far_sides: usize,
}

/// How long an entry stays without a packet.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// While the handshake is not complete.
    pub opening: Duration,
    /// Open in both directions.
    pub established: Duration,
    /// One side has sent its FIN.
    pub half_closed: Duration,
    /// After both FINs are acknowledged, or a RST.
    pub linger: Duration,
    /// Without a sign of life for this long the control core counts as stalled.
    pub control_stall: Duration,
}

impl Timeouts {
    /// The same for all.
    pub const fn all(duration: Duration) -> Timeouts {
        Timeouts {
            opening: duration,
            established: duration,
            half_closed: duration,
            linger: duration,
            control_stall: duration,
        }
    }
}

/// What a worker is made of.
pub struct Parts<P: Port> {
    /// Its number, dense from 0.
    pub id: usize,
    /// Its queue of every port, by [`PortId`].
    pub lines: Vec<Line<P>>,
    /// Table sizes.
    pub limits: Limits,
    /// Entry life times.
    pub timeouts: Timeouts,
    /// Key of the flow table.
    pub hash: KeyedHash,
    /// Key of the SYN cookies.
    pub cookie_key: [u64; 2],
    /// Who owns what.
    pub steering: Steering,
    /// Rings to the other workers.
    pub neighbours: Neighbours<P::Buffer>,
    /// To the control core.
    pub events: Sender<Event<P::Buffer>>,
    /// From the control core.
    pub orders: Receiver<Order<P::Buffer>>,
    /// ICMP errors that refuse SYNs.
    pub icmp_errors: Rate,
    /// Rules.
    pub policy: Box<Installed>,
    /// Counted up by the control core while it lives.
    pub heartbeat: Arc<Heartbeat>,
    /// Where counters are published.
    pub report: Arc<Report>,
}

/// A worker.
pub struct Worker<P: Port> {
    id: usize,
    lines: Vec<Line<P>>,
    timeouts: Timeouts,
    table: FlowTable,
    /// Of the frames of a burst, while it is carried. They keep their place, as making it anew costs more than filling it.
    seen: Box<[Seen]>,
    parked: Parked<P::Buffer>,
    streams: Streams,
    /// Segments of searched flows, by their lane's number.
    waiting: Parked<P::Buffer>,
    /// The most of one direction of a flow.
    waiting_each: usize,
    told: told::Told,
    answering: Answering,
    syns: anew::Syns,
    steering: Steering,
    neighbours: Neighbours<P::Buffer>,
    events: Sender<Event<P::Buffer>>,
    orders: Receiver<Order<P::Buffer>>,
    icmp_errors: Rate,
    errors_made: Budget,
    policy: Box<Installed>,
    control: housekeeping::ControlWatch,
    report: Arc<Report>,
    counters: Counters,
    rounds: u32,
    /// Flows that had been added a round ago.
    added: u32,
    /// Until then flows may live that passed without a place in the table.
    unplaced_until: Instant,
}

impl<P: Port> Worker<P> {
    /// Takes all memory that the worker will ever use.
    pub fn new(parts: Parts<P>) -> Self {
        Worker {
            id: parts.id,
            lines: parts.lines,
            timeouts: parts.timeouts,
            table: FlowTable::new(parts.limits.flows, parts.limits.far_sides, parts.hash),
            seen: [const { Seen::NOTHING }; BURST].into(),
            parked: Parked::new(parts.limits.parked),
            streams: Streams::new(places::Limits::default(), [0; 4]),
            waiting: Parked::new(0),
            waiting_each: 0,
            told: told::Told::default(),
            answering: Answering::new(parts.cookie_key),
            syns: anew::Syns::new(),
            steering: parts.steering,
            neighbours: parts.neighbours,
            events: parts.events,
            orders: parts.orders,
            icmp_errors: parts.icmp_errors,
            errors_made: Budget::default(),
            policy: parts.policy,
            control: housekeeping::ControlWatch::new(parts.heartbeat, parts.timeouts.control_stall),
            report: parts.report,
            counters: Counters::default(),
            rounds: 0,
            added: 0,
            unplaced_until: Instant::ZERO,
        }
    }

    /// One round. Returns how much there was to do; 0 lets the caller idle.
    pub fn poll(&mut self, now: Instant) -> usize {
        let mut work = self.carry_out_orders(now);
        work += self.take_handed_over(now);
        for port in 0..self.lines.len() {
            work += self.receive(now, PortId(port as u8));
        }
        self.transmit();
        self.sweep_behind_new(now);
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(HOUSEKEEPING_ROUNDS) || work == 0 {
            work += self.keep_house(now);
        }
        work
    }

    /// Phase: a burst of one port.
    fn receive(&mut self, now: Instant, port: PortId) -> usize {
        let mut burst: Burst<P::Buffer> = Burst::new();
        let n = self.lines[usize::from(port.0)].receive(&mut burst, &mut self.counters);
        self.classify(now, port, &mut burst, false);
        n
    }

    /// Phase: what other workers received for flows of ours.
    fn take_handed_over(&mut self, now: Instant) -> usize {
        let mut work = 0;
        for ring in 0..self.neighbours.from.len() {
            let mut burst: Burst<Handed<P::Buffer>> = Burst::new();
            while !burst.is_full()
                && let Some(handed) = self.neighbours.from[ring].try_receive()
            {
                burst.push(handed);
            }
            work += burst.len();
            self.classify_handed(now, burst);
        }
        work
    }

    /// By runs of frames that came in on one port.
    fn classify_handed(&mut self, now: Instant, burst: Burst<Handed<P::Buffer>>) {
        let mut run: Burst<P::Buffer> = Burst::new();
        let mut came_in_on = PortId(0);
        for Handed { port, frame } in burst {
            if port != came_in_on && !run.is_empty() {
                self.classify(now, came_in_on, &mut run, true);
            }
            came_in_on = port;
            run.push(frame);
        }
        self.classify(now, came_in_on, &mut run, true);
    }

    /// Phase: everything queued goes to the devices.
    fn transmit(&mut self) {
        for line in &mut self.lines {
            line.flush(&mut self.counters);
        }
    }

    /// Sends `frame` out of `port`, unless it is longer than the pair's MTU (`datagram`: its IP length, bytes).
    #[inline]
    fn forward(&mut self, port: PortId, datagram: usize, frame: P::Buffer) {
        let line = &mut self.lines[usize::from(port.0)];
        if datagram > usize::from(line.mtu) {
            self.counters.count(Counter::DropMtu);
            return;
        }
        line.send(frame, &mut self.counters);
    }

    #[inline]
    fn peer(&self, port: PortId) -> PortId {
        self.lines[usize::from(port.0)].peer
    }

    /// Table sizes at this moment.
    pub fn gauges(&self) -> Gauges {
        let cables = self.lines.iter().map(|line| line.port().impaired());
        let cables = cables.fold(Tally::default(), |sum, cable| sum + cable);
        Gauges {
            flows: self.table.len() as u64,
            flows_capacity: self.table.capacity() as u64,
            parked: self.parked.len() as u64,
            parked_capacity: self.parked.capacity() as u64,
            far_sides: self.table.far_sides() as u64,
            far_sides_capacity: self.table.far_sides_capacity() as u64,
            inspected: self.streams.len() as u64,
            inspected_capacity: self.streams.capacity() as u64,
            inspected_bytes: self.streams.kept.used() as u64,
            inspected_bytes_capacity: self.streams.kept.capacity() as u64,
            impaired: cables.waiting,
            impaired_capacity: cables.capacity,
            control_stalled: u64::from(self.control.is_stalled()),
            flooded: u64::from(self.answering.is_flooded),
            ..Gauges::default()
        }
    }

    /// Publishes counters and table sizes; housekeeping does so all the time.
    pub fn report(&self) {
        self.report.publish(&self.counters, self.gauges());
    }

    /// The counters as they are now.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Flows whose bytes are searched.
    pub fn searched(&self) -> usize {
        self.streams.len()
    }

    /// Segments of theirs that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes that are kept of them, by whole blocks.
    pub fn kept(&self) -> usize {
        self.streams.kept.used()
    }

    /// The flow table, for checks.
    pub fn table(&self) -> &FlowTable {
        &self.table
    }

    /// The queue of port `index`, for a generator that has to be told something.
    pub fn port_mut(&mut self, index: usize) -> &mut P {
        self.lines[index].port_mut()
    }

    /// Where the worker's queues are, for statistics and checks.
    pub fn lines(&self) -> &[Line<P>] {
        &self.lines
    }
}
