//! What has to be looked at before it passes (seed 001, FIG. 7: steps 704 and 706).

use super::carry::is_verified;
use super::message::Event;
use super::*;
use crate::flow::object::{NONE, Object, Traits};
use crate::flow::quad::Direction;
use crate::flow::state::TcpState;
use crate::inspect::patterns::Verdict;
use crate::inspect::stream::{self, Outcome, Stream, Streams};
use crate::inspect::{Inspection, window};
use crate::packet::{self, Packet, TcpHeaders};
use crate::policy::Fallback;
use crate::refusal::{self, Rejection};
use crate::wire::build::FrameTemplate;
use crate::wire::seq::Seq;
use crate::wire::tcp::{TcpHeader, TcpRepr};
use crate::wire::tcp_flags::TcpFlags;

impl<P: Port> Worker<P> {
    /// With room to search flows; without this there is none. `key` comes from the system's generator.
    pub fn with_inspection(self, limits: stream::Limits, key: [u64; 4]) -> Self {
        Worker { streams: Streams::new(limits, key), ..self }
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
        mut frame: P::Buffer,
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
            self.answer_condemned(slot, direction, headers, frame);
            return None;
        }
        if traits.has(Traits::WATCHED)
            && let Some(reason) = window::strange(self.table.object(slot), direction, headers)
        {
            self.counters.count(reason);
            return None;
        }
        let outcome = match traits.has(Traits::SEARCHED) {
            true => self.search(slot, direction, headers, frame.bytes()),
            false => Outcome::Pass,
        };
        match outcome {
            Outcome::Pass => {}
            Outcome::PassAhead => self.counters.count(Counter::InspectGaps),
            Outcome::Drop(reason) => {
                self.counters.count(reason);
                return None;
            }
            Outcome::Found(verdict) => {
                self.found(now, slot, direction, headers, verdict, frame);
                return None;
            }
        }
        if traits.has(Traits::SEARCHED) && headers.flags.intersects(TcpFlags::URG) {
            clear_urgent(frame.bytes_mut(), headers);
            self.counters.count(Counter::UrgentCleared);
        }
        Some(frame)
    }

    fn search(&mut self, slot: u32, direction: Direction, headers: &TcpHeaders, frame: &[u8]) -> Outcome {
        let record = self.table.record(slot);
        let (index, mut place) = (record.inspection, self.streams.place_of(slot));
        let Some(inspection) = self.policy.snapshot.inspection(index) else { return Outcome::Pass };
        let bytes = frame.get(usize::from(headers.payload)..usize::from(headers.end)).unwrap_or_default();
        // Nobody takes what is in a RST.
        let bytes = if headers.flags.rst() { &[] } else { bytes };
        let object = self.table.object(slot);
        if !bytes.is_empty() && headers.flags.syn() {
            return Outcome::Drop(Counter::DropInspectHandshake);
        }
        if place == NONE && !bytes.is_empty() {
            let Some(next) = agreed(object, direction, headers) else {
                return Outcome::Drop(Counter::DropInspectHandshake);
            };
            let Some(taken) = self.streams.take(slot, streams(inspection, next)) else {
                return self.without_place(slot);
            };
            place = taken;
        }
        let mut outcome = Outcome::Pass;
        if let (Some(patterns), Some((stream, prints))) =
            (inspection.patterns(direction), self.streams.get(place, direction.index()))
        {
            let found;
            (outcome, found) = stream.take(prints, patterns, inspection.ahead, headers.seq, bytes);
            self.counters.add(Counter::InspectMatches, found.into());
        }
        let passes = matches!(outcome, Outcome::Pass | Outcome::PassAhead);
        if passes
            && headers.flags.ack()
            && !headers.flags.rst()
            && let Some((stream, prints)) = self.streams.get(place, direction.reverse().index())
        {
            let ack = headers.ack.minus(self.table.object(slot).other_delta(direction));
            stream.acknowledge(prints, ack);
        }
        outcome
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
                Outcome::Pass
            }
        }
    }

    /// The flow is cut through, and its bytes up to here have been somebody else's: the search begins.
    pub(super) fn begin_search(&mut self, slot: u32) {
        self.end_search(slot);
        let next = self.table.object(slot).track.map(|track| track.end);
        let index = self.table.record(slot).inspection;
        let Some(inspection) = self.policy.snapshot.inspection(index) else { return };
        // Without a place, the first segment with data is the one that asks again, and hears no.
        let _ = self.streams.take(slot, streams(inspection, next));
    }

    /// The flow's bytes are not searched any more.
    pub(super) fn end_search(&mut self, slot: u32) {
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
            // Passes, and is not heard of here.
            Verdict::Count => {}
            Verdict::Split => {
                self.counters.count(Counter::DropInspectSplit);
                self.want_split(slot);
            }
            Verdict::Drop => self.counters.count(Counter::DropInspectMatch),
            Verdict::Reset => self.condemn(now, slot, direction, headers, frame),
        }
    }

    /// The control core orders the split. When its mailbox is full, the next repetition asks again.
    pub(super) fn want_split(&mut self, slot: u32) {
        let (flow, key) = (self.table.flow_ref(slot), self.table.key(slot));
        let event = Event::Wanted { flow, key, module: self.table.record(slot).module };
        if self.events.free() > EVENT_RESERVE {
            // There is room.
            let _ = self.events.try_send(event);
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
        let place = self.streams.place_of(slot);
        let next =
            self.streams.get(place, direction.index()).map_or(headers.seq, |(stream, _)| stream.next());
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
    fn originate(&mut self, slot: u32, direction: Direction, frame: P::Buffer) {
        let Ok(Packet::Tcp(headers)) = packet::parse(frame.bytes()) else { return };
        self.counters.count(Counter::Originated);
        self.deliver(slot, direction, &headers, frame);
    }
}

/// Where both directions begin.
fn streams(inspection: &Inspection, next: [Seq; 2]) -> [Option<Stream>; 2] {
    Direction::BOTH.map(|direction| {
        inspection.patterns(direction).map(|patterns| Stream::new(next[direction.index()], patterns))
    })
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
fn clear_urgent(frame: &mut [u8], headers: &TcpHeaders) {
    let Some(tcp) = frame.get_mut(usize::from(headers.l4)..).and_then(TcpHeader::view_mut) else { return };
    tcp.clear_urgent();
}
