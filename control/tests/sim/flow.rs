//! What the tap knows of one flow: what each leg has sent and acknowledged, as offsets in the streams, and the rules
//! that need nothing else: no amplifier, no answer to a RST, and handshakes that a responder's repetitions bring on.
//!
//! Offsets count from the byte after the SYN; a FIN is one byte.

use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, Quad};

use crate::frame::Segment;
use crate::host::Side;
use crate::invariant::{Invariant, Violation, violation};
use crate::sender::Sender;
use crate::tap::Point;

/// When something has come in.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The poll that sees it first.
    pub poll: u64,
    pub now: Instant,
    /// Until when it may be kept before it is passed on.
    pub until: Instant,
}

/// One leg of a flow; arrays are by direction of the data.
#[derive(Debug, Clone, Default)]
pub struct Leg {
    /// Initial sequence numbers seen.
    pub isn: [Option<u32>; 2],
    /// End of the highest sequence seen.
    pub sent: [u64; 2],
    /// Highest acknowledgment seen.
    pub acked: [u64; 2],
}

/// What is known of a flow.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Client → server.
    pub quad: Quad,
    /// Where the client is.
    pub initiator: Side,
    /// By side.
    pub legs: [Leg; 2],
    /// By side: what the middle sends there, when it is its own.
    pub senders: [Sender; 2],
    /// A RST was seen: the ends disagree from here on.
    pub reset: bool,
    /// The initiator has acknowledged a SYN-ACK: its address is its own.
    pub validated: bool,
    /// RSTs that came in on each side and have not left on the other.
    resets: [u32; 2],
    packets: Ledger,
    recent: Recent,
    greeting: Greeting,
    is_pondered: bool,
}

/// What the responder has said from its SYN on, without a hole, while the initiator is not validated.
#[derive(Debug, Clone, Default)]
struct Greeting {
    /// The initiator has to hear of it.
    is_due: bool,
    end: u32,
    /// A repetition of it that nothing has gone to the initiator for.
    asks: Option<Arrival>,
}

/// Packets in that have not been spent on a packet out.
#[derive(Debug, Clone, Default)]
struct Ledger {
    from_initiator: u32,
    from_responder: u32,
    largest: usize,
}

/// What came in since the last poll.
#[derive(Debug, Clone, Default)]
struct Recent {
    poll: u64,
    resets: [u32; 2],
    others: u32,
}

impl Flow {
    /// Nothing known yet. `is_pondered`: a module may think about a responder's answer before the initiator hears of it.
    pub fn new(quad: Quad, initiator: Side, is_pondered: bool) -> Flow {
        Flow {
            quad,
            initiator,
            legs: Default::default(),
            senders: Default::default(),
            reset: false,
            validated: false,
            resets: [0; 2],
            packets: Ledger::default(),
            recent: Recent::default(),
            greeting: Greeting { is_due: !is_pondered, ..Greeting::default() },
            is_pondered,
        }
    }

    /// The side from which data in `direction` comes.
    pub fn sender(&self, direction: Direction) -> Side {
        match direction {
            Direction::ClientToServer => self.initiator,
            Direction::ServerToClient => self.initiator.opposite(),
        }
    }

    /// The highest byte that the middle has acknowledged to the sender.
    pub fn acked_to_sender(&self, direction: Direction) -> u64 {
        self.legs[self.sender(direction) as usize].acked[direction.index()]
    }

    /// The highest byte that the receiver has acknowledged to the middle.
    pub fn acked_by_receiver(&self, direction: Direction) -> u64 {
        self.legs[self.sender(direction).opposite() as usize].acked[direction.index()]
    }
}

impl Flow {
    /// A client that uses its port again starts a new flow.
    pub fn restart_on_new_syn(&mut self, point: Point, segment: &Segment, direction: Direction) {
        let fresh = point.inwards && segment.flags.syn() && !segment.flags.ack();
        let known = self.legs[point.side as usize].isn[0];
        if fresh && direction == Direction::ClientToServer && known.is_some_and(|isn| isn != segment.seq) {
            *self = Flow::new(self.quad, self.initiator, self.is_pondered);
        }
    }

    /// A segment of it has come in on `side`.
    pub fn came_in(
        &mut self,
        at: Arrival,
        side: Side,
        segment: &Segment,
        len: usize,
    ) -> Result<(), Violation> {
        if self.recent.poll != at.poll {
            self.recent = Recent { poll: at.poll, ..Recent::default() };
        }
        match segment.flags.rst() {
            true => {
                self.recent.resets[side as usize] += 1;
                self.resets[side as usize] += 1;
            }
            false => self.recent.others += 1,
        }
        let packets = &mut self.packets;
        packets.largest = packets.largest.max(len);
        if side == self.initiator {
            packets.from_initiator += 1;
            let promised = self.legs[side as usize].isn[Direction::ServerToClient.index()];
            let acknowledges = |isn: u32| segment.ack.wrapping_sub(isn.wrapping_add(1)) < 1 << 31;
            let speaks = segment.flags.ack() && !segment.flags.syn() && !segment.flags.rst();
            self.validated |= speaks && promised.is_some_and(acknowledges);
            return Ok(());
        }
        packets.from_responder += 1;
        self.greets(at, side, segment)
    }

    /// What the responder repeats goes unacknowledged as long as the initiator is not validated, and no timer repeats the
    /// SYN-ACK to that one: each repetition has to (DESIGN section 4), or both ends may wait for ever.
    fn greets(&mut self, at: Arrival, side: Side, segment: &Segment) -> Result<(), Violation> {
        let isn = self.legs[side as usize].isn[Direction::ServerToClient.index()];
        let isn = isn.or(segment.flags.syn().then_some(segment.seq));
        let Some(isn) = isn.filter(|_| segment.flags.ack() && !segment.flags.rst()) else { return Ok(()) };
        let start = segment.seq.wrapping_sub(isn);
        if !self.greeting.is_due || self.validated || self.reset || start > 1 || segment.sequence_len() == 0 {
            return Ok(());
        }
        let (end, greeting) = (start + segment.sequence_len(), &mut self.greeting);
        if end > greeting.end {
            greeting.end = end;
            return Ok(());
        }
        let first = *greeting.asks.get_or_insert(at);
        if first.poll != at.poll && at.now > first.until {
            let detail =
                format!("{}: the responder repeats itself, and the initiator hears nothing", self.quad);
            return violation(Invariant::Stall, detail);
        }
        Ok(())
    }

    /// A segment of it leaves on `side` in poll number `poll`.
    pub fn goes_out(
        &mut self,
        poll: u64,
        side: Side,
        segment: &Segment,
        len: usize,
    ) -> Result<(), Violation> {
        let recent = &self.recent;
        let only_resets = recent.poll == poll
            && recent.others == 0
            && recent.resets[side as usize] > 0
            && recent.resets[side.opposite() as usize] == 0;
        // A SYN sent before, whose timer has expired while the box stood still, is no answer either.
        let repeats_syn = segment.flags.syn()
            && !segment.flags.ack()
            && self.legs[side as usize].isn[Direction::ClientToServer.index()] == Some(segment.seq);
        // What came from the other side and has waited in the box is no answer.
        let waited = match segment.flags.rst() {
            true => &mut self.resets[side.opposite() as usize],
            false => &mut self.packets.from_responder,
        };
        let forwarded = *waited > 0;
        if segment.flags.rst() {
            *waited = waited.saturating_sub(1);
        }
        if only_resets && !forwarded && !repeats_syn && (segment.flags.rst() || !self.validated) {
            return violation(Invariant::ResetAnswered, format!("{}: {:?}", self.quad, segment.flags));
        }
        let packets = &mut self.packets;
        if side != self.initiator {
            packets.from_initiator = packets.from_initiator.saturating_sub(1);
            return Ok(());
        }
        (self.greeting.asks, self.greeting.is_due) = (None, true);
        if self.validated {
            return Ok(());
        }
        let complaint = if packets.from_responder > 0 {
            packets.from_responder -= 1;
            None
        } else if packets.from_initiator > 0 {
            packets.from_initiator -= 1;
            None
        } else {
            Some("more packets out than in")
        };
        let larger = (len > packets.largest).then_some("larger than what came in");
        let payload = (!segment.payload.is_empty()).then_some("payload before the handshake");
        match complaint.or(larger).or(payload) {
            Some(what) => violation(
                Invariant::Amplifier,
                format!("{}: {what} ({:?}, {len} bytes)", self.quad, segment.flags),
            ),
            None => Ok(()),
        }
    }

    /// Sequence and acknowledgment, where they extend what is known.
    pub fn learn(&mut self, side: Side, direction: Direction, segment: &Segment) {
        if segment.flags.rst() {
            self.reset = true;
            return;
        }
        let leg = &mut self.legs[side as usize];
        let (data, acks) = (direction.index(), direction.reverse().index());
        if segment.flags.syn() {
            leg.isn[data] = Some(segment.seq);
        }
        let end = segment.seq.wrapping_add(segment.sequence_len());
        raise(&mut leg.sent[data], leg.isn[data], end);
        if segment.flags.ack() {
            raise(&mut leg.acked[acks], leg.isn[acks], segment.ack);
        }
    }
}

/// Raises `highest` to the offset of sequence number `to`, when that is later and less than 2^31 away.
fn raise(highest: &mut u64, isn: Option<u32>, to: u32) {
    let Some(isn) = isn else { return };
    let ahead = to.wrapping_sub(isn.wrapping_add(1).wrapping_add(*highest as u32));
    if ahead < 1 << 31 {
        *highest += u64::from(ahead);
    }
}
