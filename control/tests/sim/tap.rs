//! A passive observer at both ports of the middle. Frames with a wrong TCP checksum are no evidence.

use std::collections::HashMap;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, Quad};

use crate::flow::{Arrival, Flow};
use crate::frame::Segment;
use crate::host::Side;
use crate::invariant::{Invariant, Violation, violation};
use crate::sender::{Order, Sender};

/// Where a frame was seen, from the middle: on which port, and whether it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub side: Side,
    pub inwards: bool,
}

/// All flows seen.
#[derive(Debug, Default)]
pub struct Tap {
    flows: Vec<Flow>,
    index: HashMap<Quad, usize>,
    touched: Vec<usize>,
    poll: u64,
    /// What leaves the middle is of its own making.
    middle_sends: bool,
    /// How long it may keep what it passes on.
    hesitation: Duration,
    /// Its modules may think about a responder's answer.
    ponders: bool,
}

impl Tap {
    /// An observer of a middle that makes all segments with data by itself, or not, may keep others for `hesitation`, and
    /// whose modules may think about a responder's answer, or do not.
    pub fn new(middle_sends: bool, hesitation: Duration, ponders: bool) -> Tap {
        Tap { middle_sends, hesitation, ponders, ..Tap::default() }
    }

    /// All flows, in the order of their first packets.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// The flow of that quad (client → server).
    pub fn flow(&self, quad: &Quad) -> Option<&Flow> {
        self.index.get(quad).map(|&at| &self.flows[at])
    }

    /// A segment that the middle has sent on `side` is lost.
    pub fn lose(&mut self, side: Side, segment: &Segment) {
        // Damaged before, it is of whatever flow its damage says, and nothing was taken of it.
        if !segment.checksum_ok {
            return;
        }
        let (at, _) = self.locate(Point { side, inwards: false }, segment);
        self.flows[at].senders[side as usize].loses(segment);
    }

    /// The middle's sender on `side` of that flow, when it is one.
    pub fn sender(&mut self, quad: &Quad, side: Side) -> Option<&mut Sender> {
        if !self.middle_sends {
            return None;
        }
        let flow = &mut self.flows[*self.index.get(quad)?];
        // After a RST nobody listens to what it says.
        (!flow.reset).then_some(&mut flow.senders[side as usize])
    }

    /// Judges the middle's senders when all is over.
    pub fn judge_senders(&self, order: Order) -> Result<(), Violation> {
        for flow in self.flows.iter().filter(|flow| self.middle_sends && !flow.reset) {
            for side in Side::BOTH {
                let verdict = flow.senders[side as usize].judge(order);
                verdict.map_err(|v| v.at(format!("{}, {}", flow.quad, side.name())))?;
            }
        }
        Ok(())
    }

    /// Says that the middle has been polled: what comes in from now on is answered by the next poll.
    pub fn polled(&mut self) {
        self.poll += 1;
    }

    /// Takes down a segment that has passed `point` as a frame of `len` bytes.
    pub fn observe(
        &mut self,
        now: Instant,
        point: Point,
        segment: &Segment,
        len: usize,
    ) -> Result<(), Violation> {
        if !segment.checksum_ok {
            return Ok(());
        }
        let (at, direction) = self.locate(point, segment);
        let flow = &mut self.flows[at];
        let travels_right = (flow.sender(direction) == point.side) == point.inwards;
        if !travels_right {
            return violation(
                Invariant::Middle,
                format!("{}: a frame left on the side it came from", flow.quad),
            );
        }
        flow.restart_on_new_syn(point, segment, direction);
        let arrival = Arrival { poll: self.poll, now, until: now + self.hesitation };
        match point.inwards {
            true => flow.came_in(arrival, point.side, segment, len)?,
            false => flow.goes_out(self.poll, point.side, segment, len)?,
        }
        flow.learn(point.side, direction, segment);
        let sender = &mut flow.senders[point.side as usize];
        if point.inwards {
            sender.heard(now, self.poll, segment);
        } else if self.middle_sends && !flow.reset {
            sender
                .says(now, self.poll, segment)
                .map_err(|v| v.at(format!("{}, {}", flow.quad, point.side.name())))?;
        }
        if self.touched.last() != Some(&at) {
            self.touched.push(at);
        }
        Ok(())
    }

    /// Which flow, and which way. A flow begins with the first packet seen of it.
    fn locate(&mut self, point: Point, segment: &Segment) -> (usize, Direction) {
        if let Some(&at) = self.index.get(&segment.quad) {
            return (at, Direction::ClientToServer);
        }
        if let Some(&at) = self.index.get(&segment.quad.reversed()) {
            return (at, Direction::ServerToClient);
        }
        let initiator = if point.inwards { point.side } else { point.side.opposite() };
        self.flows.push(Flow::new(segment.quad, initiator, self.ponders));
        self.index.insert(segment.quad, self.flows.len() - 1);
        (self.flows.len() - 1, Direction::ClientToServer)
    }

    /// No byte is acknowledged that nobody has: for the flows touched since the last call, or for `all`.
    pub fn check_acks(
        &mut self,
        all: bool,
        held: impl Fn(&Quad, Direction) -> Option<u64>,
    ) -> Result<(), Violation> {
        let touched = std::mem::take(&mut self.touched);
        let chosen = if all { (0..self.flows.len()).collect() } else { touched };
        for at in chosen {
            let flow = &self.flows[at];
            for direction in [Direction::ClientToServer, Direction::ServerToClient] {
                let (told, known) = (flow.acked_to_sender(direction), flow.acked_by_receiver(direction));
                if flow.reset || told <= known {
                    continue;
                }
                let Some(held) = held(&flow.quad, direction) else { continue };
                if told > known + held {
                    let detail = format!(
                        "{} {direction:?}: {told} bytes acknowledged to the sender, {known} by the receiver, {held} held",
                        flow.quad
                    );
                    return violation(Invariant::Acks, detail);
                }
            }
        }
        Ok(())
    }
}
