//! What has to be looked at before it passes (seed 001, FIG. 7: steps 704 and 706).

use super::carry::is_verified;
use super::*;
use crate::flow::object::{Object, Traits};
use crate::flow::quad::Direction;
use crate::flow::state::TcpState;
use crate::inspect::hits::Hit;
use crate::inspect::patterns::Verdict;
use crate::inspect::places::{self, Lane, Streams};
use crate::inspect::stream::{Outcome, Part, Stream};
use crate::inspect::{Inspection, Reached, Searched, window};
use crate::packet::{self, Packet, TcpHeaders};
use crate::policy::Fallback;
use crate::refusal::{self, Rejection};
use crate::wire::build::FrameTemplate;
use crate::wire::seq::Seq;
use crate::wire::tcp::{TcpHeader, TcpRepr};
use crate::wire::tcp_flags::TcpFlags;

impl<P: Port> Worker<P> {
    /// With room to search flows; without this there is none. `key` comes from the system's generator.
    pub fn with_inspection(self, limits: places::Limits, key: [u64; 4]) -> Self {
        Worker {
            streams: Streams::new(limits, key),
            waiting: Parked::new(limits.waiting),
            waiting_each: limits.waiting_each(),
            ..self
        }
    }

    /// The flow gets the inspection that its rule names.
    pub(super) fn set_inspection(&mut self, slot: u32, inspection: u16) {
        let Some(wanted) = self.policy.snapshot.inspection(inspection) else { return };
        let (searches, watches) = (wanted.searches(), wanted.window);
        self.table.record_mut(slot).inspection = inspection;
        let traits = &mut self.table.object_mut(slot).traits;
        traits.set(Traits::SEARCHED, searches);
        traits.set(Traits::WATCHED, watches);
    }

    /// A segment of an inspected flow, as its sender sent it. `None` when it goes nowhere, under a name.
    #[inline(never)]
    pub(super) fn inspect(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) -> Option<P::Buffer> {
        let traits = self.table.object(slot).traits;
        if traits.has(Traits::COUNTED) {
            self.count_towards_split(now, slot);
            if !traits.intersects(Traits::EXAMINED) {
                return Some(frame);
            }
        }
        if headers.first_fragment {
            self.counters.count(Counter::DropFragmentInspected);
            return None;
        }
        // Its receiver would not take it: it must not count as seen.
        if !is_verified(&frame, headers) {
            self.counters.count(Counter::DropTcpChecksum);
            return None;
        }
        if traits.has(Traits::CONDEMNED) {
            self.renew(now, slot);
            self.answer_condemned(slot, direction, headers, frame);
            return None;
        }
        if traits.has(Traits::WATCHED)
            && let Some(reason) = window::strange(self.table.object(slot), direction, headers)
        {
            self.counters.count(reason);
            return None;
        }
        match traits.has(Traits::SEARCHED) {
            true => self.inspect_bytes(now, slot, direction, headers, frame),
            false => {
                self.renew(now, slot);
                Some(frame)
            }
        }
    }

    /// The same of one that belongs to its connection, by what is in it.
    fn inspect_bytes(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) -> Option<P::Buffer> {
        let (lane, outcome) = self.search(now, slot, direction, headers, frame.bytes());
        if let Some(lane) = lane {
            self.let_go(now, lane);
        }
        if !matches!(outcome, Outcome::Drop(_) | Outcome::Found(_)) {
            self.renew(now, slot);
        }
        match outcome {
            Outcome::Pass { restored } => {
                self.dress(lane.filter(|_| restored), headers, &mut frame);
                if let Some(lane) = lane {
                    self.note_gone(lane, headers, None);
                }
            }
            Outcome::PassAhead => {
                self.counters.count(Counter::InspectGaps);
                self.dress(None, headers, &mut frame);
            }
            Outcome::Hold | Outcome::Await(_) | Outcome::Queue(_) => {
                match lane {
                    Some(lane) => self.keep_waiting(now, lane, headers, frame, outcome),
                    None => self.counters.count(Counter::DropFlowGone),
                }
                return None;
            }
            Outcome::Drop(reason) => {
                self.counters.count(reason);
                return None;
            }
            Outcome::Found(verdict) => {
                self.found(now, slot, direction, headers, verdict, frame);
                return None;
            }
        }
        Some(frame)
    }

    /// What becomes of it, and the lane in which that was found out: looked up once, for all that is done about a segment.
    /// What is to wait has one.
    fn search(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: &[u8],
    ) -> (Option<Lane>, Outcome) {
        const PASS: Outcome = Outcome::Pass { restored: false };
        let index = self.table.record(slot).inspection;
        let Some(inspection) = self.policy.snapshot.inspection(index) else { return (None, PASS) };
        let bytes = frame.get(usize::from(headers.payload)..usize::from(headers.end)).unwrap_or_default();
        // Nobody takes what is in a RST.
        let bytes = if headers.flags.rst() { &[] } else { bytes };
        let object = self.table.object(slot);
        let drop = |reason| (None, Outcome::Drop(reason));
        if !bytes.is_empty() && headers.flags.syn() {
            return drop(Counter::DropInspectHandshake);
        }
        // Its receiver does not take it, and so it moves no boundary: a search that went on behind it would begin anew at a
        // split, wherever the sender likes.
        if !bytes.is_empty()
            && object.terms.are_known()
            && object.tcp == TcpState::Established
            && headers.seq.gt(object.edges[direction.index()])
        {
            return drop(Counter::DropWindowBeyond);
        }
        let mut lane = self.streams.lane(slot, direction);
        if !bytes.is_empty() && lane.is_none() {
            let Some(next) = agreed(object, direction, headers) else {
                return drop(Counter::DropInspectHandshake);
            };
            if !self.streams.take(slot, streams(inspection, next, [Reached::default(); 2])) {
                return (None, self.without_place(slot));
            }
            lane = self.streams.lane(slot, direction);
        }
        let Some(lane) = lane else { return (None, PASS) };
        let mut outcome = PASS;
        if let Some((stream, kept)) = self.streams.get(lane) {
            let part = Part { at: headers.seq, bytes, is_last: is_last(object, direction, headers) };
            // Before it is judged: it is as if it had been lost.
            if part.end().gt(stream.queued()) && self.waiting.len_of(lane.number()) >= self.waiting_each {
                return drop(Counter::DropInspectWaiting);
            }
            let mut found = 0;
            outcome = stream.take(kept, inspection, direction, &part, &mut |pattern, place| {
                inspection.hits.count(self.id, pattern);
                found += 1;
                let verdict = inspection.verdict(pattern);
                let hit = Hit { inspection: index, pattern, direction, place, verdict };
                self.told.tell(now, &mut self.events, &mut self.counters, self.table.key(slot), hit);
            });
            self.counters.add(Counter::InspectMatches, found);
        }
        if !matches!(outcome, Outcome::Drop(_) | Outcome::Found(_)) {
            self.acknowledge_kept(lane, headers);
        }
        (Some(lane), outcome)
    }

    /// What a segment in `lane` acknowledges need not be kept any longer.
    pub(super) fn acknowledge_kept(&mut self, lane: Lane, headers: &TcpHeaders) {
        if headers.flags.ack()
            && !headers.flags.rst()
            && let Some((stream, kept)) = self.streams.get(lane.reverse())
        {
            let delta = self.table.object(lane.slot).other_delta(lane.direction);
            stream.acknowledge(kept, headers.ack.minus(delta));
        }
    }

    /// All places are taken.
    #[cold]
    fn without_place(&mut self, slot: u32) -> Outcome {
        let index = self.table.record(slot).inspection;
        match self.policy.snapshot.inspection(index).map(|inspection| inspection.when_full) {
            Some(Fallback::Drop) => Outcome::Drop(Counter::DropInspectionsFull),
            Some(Fallback::Pass) | None => {
                self.table.object_mut(slot).traits.set(Traits::SEARCHED, false);
                self.counters.count(Counter::InspectionsSkipped);
                Outcome::Pass { restored: false }
            }
        }
    }

    /// The flow is cut through, and its bytes up to here have been somebody else's: the search goes on where that was, or begins.
    pub(super) fn begin_search(&mut self, slot: u32, searched: Option<Searched>) {
        self.end_search(slot);
        let next = self.table.object(slot).track.map(|track| track.end);
        let index = self.table.record(slot).inspection;
        let Some(inspection) = self.policy.snapshot.inspection(index) else { return };
        // There is one: either it was reserved, or what is given back here was its own; or nobody has searched the flow, and the
        // first segment with data asks again.
        let searched = searched.filter(|searched| searched.inspection == index);
        let reached = searched.map_or([Reached::default(); 2], |searched| searched.reached);
        let _ = self.streams.take(slot, streams(inspection, next, reached));
    }

    /// The flow's bytes are not searched any more.
    pub(super) fn end_search(&mut self, slot: u32) {
        if self.streams.is_empty() {
            return;
        }
        let Some(lane) = self.streams.lane(slot, Direction::ClientToServer) else { return };
        for lane in [lane, lane.reverse()] {
            self.drop_waiting(lane, Counter::DropFlowGone);
        }
        self.streams.give_back(slot);
    }

    #[cold]
    fn found(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        verdict: Verdict,
        frame: P::Buffer,
    ) {
        match verdict {
            // They are not heard of here.
            Verdict::Event | Verdict::Edit | Verdict::Split => {}
            Verdict::Drop => self.counters.count(Counter::DropInspectMatch),
            Verdict::Reset => self.condemn(now, slot, direction, headers, frame),
        }
    }

    /// The segment becomes the RST for its receiver. Its sender repeats it, and is answered then: so one frame ends both
    /// ends, each with exactly the number that it obeys (RFC 5961 section 3.2). A receiver that still misses something
    /// before it challenges the RST, and its challenge is answered, too.
    #[cold]
    fn condemn(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) {
        let lane = self.streams.lane(slot, direction);
        let stream = lane.and_then(|lane| self.streams.get(lane));
        let next = stream.map_or(headers.seq, |(stream, _)| stream.gone());
        self.end_search(slot);
        let object = self.table.object_mut(slot);
        object.tcp = TcpState::Reset;
        object.traits.set(Traits::CONDEMNED, true);
        let (own, other) = (object.own_delta(direction), object.other_delta(direction));
        self.table.arm(slot, now + self.timeouts.linger);
        self.counters.count(Counter::DropInspectReset);
        let template = FrameTemplate::learn(frame.bytes(), headers);
        let ack = if headers.flags.ack() { headers.ack.minus(other) } else { Seq(0) };
        let flags = if headers.flags.ack() { TcpFlags::RST | TcpFlags::ACK } else { TcpFlags::RST };
        let reset = TcpRepr { seq: next.plus(own), ack, flags, ..TcpRepr::default() };
        let Some(len) = template.emit(&reset, 0, frame.bytes_mut()) else { return };
        frame.truncate(len);
        template.fill_checksum(frame.bytes_mut());
        self.originate(slot, direction, frame);
    }

    /// Whatever still comes on a condemned flow is answered with RST, but a RST (invariant 5).
    #[cold]
    fn answer_condemned(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) {
        self.counters.count(Counter::DropInspectReset);
        if refusal::refuse(&mut frame, headers, &Rejection::Reset).is_some() {
            self.originate(slot, direction.reverse(), frame);
        }
    }

    /// A frame of our own to the receiver of what travels `direction`.
    pub(super) fn originate(&mut self, slot: u32, direction: Direction, frame: P::Buffer) {
        let Ok(Packet::Tcp(headers)) = packet::parse(frame.bytes()) else { return };
        self.counters.count(Counter::Originated);
        self.deliver(slot, direction, &headers, frame);
    }
}

/// Where both directions begin.
fn streams(inspection: &Inspection, next: [Seq; 2], reached: [Reached; 2]) -> [Option<Stream>; 2] {
    Direction::BOTH.map(|direction| {
        let (next, reached) = (next[direction.index()], reached[direction.index()]);
        inspection.searches_in(direction).then(|| Stream::resume(next, inspection, direction, reached))
    })
}

/// Whether nothing comes behind the segment: its FIN says so, or an earlier one that came ahead of it.
fn is_last(object: &Object, direction: Direction, headers: &TcpHeaders) -> bool {
    let end = headers.seq.advance(headers.payload_len());
    let is_known = || end.advance(1) == object.track[direction.index()].end;
    headers.flags.fin() || (object.tcp.fin_seen(direction) && is_known())
}

/// What comes next in each direction before any data has passed; `None` unless each end has acknowledged exactly what the
/// other has sent. A SYN that nobody has answered, or an acknowledgment of what nobody has sent, would put the beginning
/// of a stream where its receiver does not see it.
fn agreed(object: &Object, direction: Direction, headers: &TcpHeaders) -> Option<[Seq; 2]> {
    if object.tcp == TcpState::SynSent || !headers.flags.ack() {
        return None;
    }
    let ack = headers.ack.minus(object.other_delta(direction));
    let is_agreed = Direction::BOTH.into_iter().all(|of| {
        let (sent, heard) = (object.track[of.index()].end, object.track[of.reverse().index()].ack);
        // This segment's own word is the newest, or the first.
        let heard = match of.reverse() == direction {
            true if object.tcp == TcpState::SynReceived && direction == Direction::ClientToServer => ack,
            true => heard.max(ack),
            false => heard,
        };
        sent == heard
    });
    is_agreed.then(|| object.track.map(|track| track.end))
}

/// Receivers take the urgent byte out of the stream (RFC 6093 section 3.4): without the flag it stays where it was seen.
pub(super) fn clear_urgent(frame: &mut [u8], headers: &TcpHeaders) {
    let Some(tcp) = frame.get_mut(usize::from(headers.l4)..).and_then(TcpHeader::view_mut) else { return };
    tcp.clear_urgent();
}
