//! One flow over four stretches of cable, and the moves that can be made in it.

use std::collections::VecDeque;
use std::time::Duration;

use control::core::handover::HandOver;
use control::core::query::Query;
use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::flow::quad::Quad;
use dataplane::wire::seq::Seq;

use super::end::{End, Life};
use super::scribe::Scribe;
use crate::appliance::{Appliance, IDLE};
use crate::books;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// What can happen. `out` is on the way from the appliance to the end of that side.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// The program writes so many bytes.
    Write(Side, u32),
    /// Its end asks whether the other one is there.
    Ask(Side),
    /// It writes no more.
    Close(Side),
    /// It resets the connection.
    Reset(Side),
    /// The first frame on that cable arrives, is lost, arrives and stays, or goes behind the others.
    Pass {
        out: bool,
        side: Side,
    },
    Lose {
        out: bool,
        side: Side,
    },
    Duplicate {
        out: bool,
        side: Side,
    },
    Reorder {
        out: bool,
        side: Side,
    },
    Split,
    Merge,
    /// So many milliseconds, and both ends send again what is not acknowledged.
    Wait(u64),
}

pub struct World {
    appliance: Appliance,
    ends: [End; 2],
    /// By direction (`out`) and side.
    cables: [[VecDeque<Vec<u8>>; 2]; 2],
    quad: Quad,
    now: Instant,
}

impl World {
    /// With the flow established.
    pub fn new(isns: [u32; 2], may_be_edited: bool) -> World {
        let quad =
            Quad::between(([10, 0, 0, 1], 4000).into(), ([10, 0, 0, 2], 80).into()).expect("one family");
        let ends = [(quad, isns[0]), (quad.reversed(), isns[1])]
            .map(|(quad, isn)| End::new(quad, Seq(isn), may_be_edited));
        let now = Instant::from_millis(1_000);
        let appliance = match may_be_edited {
            true => Appliance::with(Box::new(Scribe)),
            false => Appliance::relaying(),
        };
        let mut world = World { appliance, ends, cables: Default::default(), quad, now };
        for side in [0, 1] {
            let syn = world.ends[side].syn();
            world.cables[0][side].push_back(syn);
            world.run_dry();
        }
        assert!(world.ends.iter().all(End::knows_peer), "no handshake");
        world
    }

    pub fn take(&mut self, next: Move) {
        match next {
            Move::Write(side, len) if !self.ends[side as usize].closed => {
                self.ends[side as usize].written += u64::from(len);
            }
            Move::Write(..) => {}
            Move::Ask(side) => self.ends[side as usize].ask(),
            Move::Close(side) => self.ends[side as usize].closed = true,
            Move::Reset(side) => self.ends[side as usize].reset(),
            Move::Pass { out, side } => self.pass(out, side as usize),
            Move::Lose { out, side } => drop(self.cable(out, side).pop_front()),
            Move::Duplicate { out, side } => {
                if let Some(first) = self.cable(out, side).front().cloned() {
                    self.cable(out, side).push_front(first);
                    self.pass(out, side as usize);
                }
            }
            Move::Reorder { out, side } => {
                if let Some(first) = self.cable(out, side).pop_front() {
                    self.cable(out, side).push_back(first);
                }
            }
            Move::Split => self.order(HandOver::Split),
            Move::Merge => self.order(HandOver::Merge),
            Move::Wait(ms) => self.wait(ms),
        }
        self.go_on();
    }

    fn cable(&mut self, out: bool, side: Side) -> &mut VecDeque<Vec<u8>> {
        &mut self.cables[usize::from(out)][side as usize]
    }

    fn pass(&mut self, out: bool, side: usize) {
        let Some(frame) = self.cables[usize::from(out)][side].pop_front() else { return };
        if !out {
            return self.appliance.deliver(side, &frame);
        }
        let [client, server] = &mut self.ends;
        match side {
            0 => client.hear(&frame, server),
            _ => server.hear(&frame, client),
        }
    }

    fn order(&mut self, what: HandOver) {
        let (answer, _) = crossbeam::channel::bounded(1);
        self.appliance.core.ask(Query::HandOver { what, flow: self.quad.into(), answer });
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while self.now < until {
            let next = self.appliance.core.next_deadline(self.now);
            self.now = next.max(self.now + Duration::from_millis(1)).min(until);
            self.go_on();
        }
        self.ends.iter_mut().for_each(End::time_out);
    }

    /// The appliance and the ends do what they can; what they send is on the cables.
    fn go_on(&mut self) {
        self.appliance.run(self.now);
        for side in [0, 1] {
            while let Some(frame) = self.appliance.queues[side].collect() {
                self.cables[1][side].push_back(frame.bytes().to_vec());
            }
            let said = self.ends[side].speak();
            self.cables[0][side].extend(said);
        }
    }

    /// Everything on the cables arrives.
    fn run_dry(&mut self) {
        self.go_on();
        for _ in 0..10_000 {
            let waiting = |(out, side): &(usize, usize)| !self.cables[*out][*side].is_empty();
            let Some((out, side)) = [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().find(waiting) else {
                return;
            };
            self.pass(out == 1, side);
            self.go_on();
        }
        panic!("they never stop talking");
    }

    /// The cables are good from now on: all arrives, and both ends know it.
    pub fn finish(&mut self) {
        for _ in 0..200 {
            self.run_dry();
            let [client, server] = &self.ends;
            if client.life != Life::Open || server.life != Life::Open {
                return self.finish_reset();
            }
            let is_done = |end: &End, peer: &End| end.acked == end.total() && end.has_all_of(peer);
            if is_done(client, server) && is_done(server, client) {
                break;
            }
            self.wait(1_000);
        }
        // What is still to be said, and timers that let go of what is not needed any more.
        for _ in 0..3 {
            self.wait(2_000);
            self.run_dry();
        }
        let [client, server] = &self.ends;
        let [acked, total] = [|end: &End| end.acked, End::total].map(|of| [of(client), of(server)]);
        assert_eq!(
            acked,
            total,
            "{:?} {}",
            self.appliance.core.connections().collect::<Vec<_>>(),
            self.appliance.dump()
        );
        assert!(client.has_all_of(server) && server.has_all_of(client), "bytes are missing");
        self.assert_answers();
        self.audit();
        self.assert_lingers_no_longer();
    }

    /// Who asks whether the other one is there hears that it is, however often the flow has changed hands.
    fn assert_answers(&mut self) {
        for side in [0, 1] {
            if self.ends.iter().any(|end| end.closed) {
                return;
            }
            self.ends[side].ask();
            self.run_dry();
            let connections: Vec<_> = self.appliance.core.connections().collect();
            assert!(self.ends[side].is_answered, "{side} {connections:?} {}", self.appliance.dump());
        }
    }

    /// What both ends have closed is remembered for as long as they may repeat something, and no longer.
    fn assert_lingers_no_longer(&mut self) {
        if !self.ends.iter().all(|end| end.closed) {
            return;
        }
        self.wait(IDLE.as_millis() as u64 + 1);
        self.run_dry();
        let connections: Vec<_> = self.appliance.core.connections().collect();
        assert!(connections.is_empty(), "{connections:?} {}", self.appliance.dump());
    }

    /// The other end hears of it at the latest when it has something to say.
    fn finish_reset(&mut self) {
        for _ in 0..20 {
            let is_open = |end: &End| end.life == Life::Open;
            if !self.ends.iter().any(is_open) {
                break;
            }
            self.ends.iter_mut().filter(|end| is_open(end) && !end.closed).for_each(|end| end.written += 1);
            self.wait(1_000);
            self.run_dry();
        }
        // What the appliance has still to say is answered with RST, or the flow ends because nobody speaks.
        self.wait(2_000);
        self.run_dry();
        self.now = self.now + 2 * IDLE;
        self.wait(2_000);
        self.run_dry();
        // Who has closed, and has been told that all has arrived, waits for nothing that a RST could end.
        let is_at_rest = |end: &End| end.life != Life::Open || end.closed && end.acked == end.total();
        assert!(
            self.ends.iter().all(is_at_rest),
            "{:?} {:?} {}",
            self.ends.each_ref().map(|end| end.life),
            self.appliance.core.connections().collect::<Vec<_>>(),
            self.appliance.dump()
        );
        self.audit();
    }

    fn audit(&self) {
        let workers = || std::iter::once(&self.appliance.worker);
        books::ownership(workers(), &self.appliance.core).unwrap_or_else(|what| panic!("{what}"));
        books::names(workers(), &self.appliance.core).unwrap_or_else(|what| panic!("{what}"));
        assert_eq!(
            self.appliance.pool.in_use(),
            0,
            "a buffer is kept: {:?} {}",
            self.appliance.core.connections().collect::<Vec<_>>(),
            self.appliance.dump()
        );
    }
}
