//! Segments of searched flows that wait on the worker: for the rest of what may be something to be replaced, or for somebody
//! who looks closer (a split). Nothing is lost by it, and a full arena is as if they had been lost.

use super::inspect::clear_urgent;
use super::message::Event;
use super::parked::Waiting;
use super::*;
use crate::flow::object::{Path, Record, Traits};
use crate::flow::quad::Direction;
use crate::flow::table::FlowRef;
use crate::inspect::Reached;
use crate::inspect::patterns;
use crate::inspect::places::Lane;
use crate::inspect::stream::{Ended, Outcome, Stream, Why};
use crate::packet::TcpHeaders;
use crate::wire::tcp::TcpHeader;
use crate::wire::tcp_flags::TcpFlags;

/// Lanes looked at in one housekeeping, at most.
const LOOKED_AT: usize = 64;
/// How long the rest of what may be something to be replaced may take to come by itself.
const NEXT: Duration = Duration::from_millis(10);
/// How long a split is waited for: a control core that is alive and willing has answered by then. Then the segments are
/// dropped, and their repetition asks again.
const PATIENCE: Duration = Duration::from_millis(500);

impl<P: Port> Worker<P> {
    /// The segment waits behind those that do already.
    pub(super) fn keep_waiting(
        &mut self,
        now: Instant,
        lane: Lane,
        headers: &TcpHeaders,
        frame: P::Buffer,
        outcome: Outcome,
    ) {
        let Lane { slot, direction, .. } = lane;
        // Those behind it were not refused: what the other direction waits for is no reason to drop them.
        if let Outcome::Await(why @ (Why::Look | Why::Resize)) = outcome
            && !self.streams.may_ask(slot, why, now)
        {
            self.counters.count(Counter::DropInspectSplit);
            return self.drop_waiting(lane, Counter::DropInspectSplit);
        }
        let is_first = self.waiting.first(lane.number()).is_none();
        let end = headers.seq.advance(headers.payload_len());
        let searched = self.streams.get(lane).and_then(|(stream, _)| stream.state_at(end));
        let waiting = Waiting { direction, headers: *headers, frame, searched };
        if self.waiting.push(lane.number(), waiting).is_err() {
            self.counters.count(Counter::DropParkedFull);
            return self.drop_waiting(lane, Counter::DropParkedFull);
        }
        self.counters.count(Counter::InspectWaited);
        if is_first {
            self.streams.watch(lane, now);
        }
        match outcome {
            // Nobody would come.
            Outcome::Await(Why::Rest) | Outcome::Queue(Why::Rest)
                if self.table.record(slot).module == Record::NO_MODULE =>
            {
                self.settle(now, lane);
            }
            Outcome::Await(why) | Outcome::Queue(why) => self.want_split(slot, why),
            _ => {}
        }
    }

    /// The control core orders the split, and knows what it has ordered already. When its mailbox is full, the next segment
    /// asks again.
    pub(super) fn want_split(&mut self, slot: u32, why: Why) {
        let edits = why != Why::Look;
        let (flow, key) = (self.table.flow_ref(slot), self.table.key(slot));
        let event = Event::Wanted { flow, key, module: self.table.record(slot).module, edits };
        let _ = self.events.try_send_leaving(EVENT_RESERVE, event);
    }

    /// What waits and need not any more goes on, in order.
    pub(super) fn let_go(&mut self, now: Instant, lane: Lane) {
        let Lane { slot, direction, .. } = lane;
        while let Some(first) = self.waiting.first(lane.number()) {
            let end = first.headers.seq.advance(first.headers.payload_len());
            if !self.streams.get(lane).is_some_and(|(stream, _)| stream.is_settled(end)) {
                return;
            }
            let Some(waiting) = self.waiting.pop(lane.number()) else { return };
            let Waiting { headers, mut frame, searched, .. } = waiting;
            self.dress(Some(lane), &headers, &mut frame);
            self.note_gone(lane, &headers, searched);
            self.go_on(now, slot, direction, &headers, frame);
        }
    }

    /// The segment goes out. `searched` is where the search stood behind it, when that was noted.
    pub(super) fn note_gone(&mut self, lane: Lane, headers: &TcpHeaders, searched: Option<patterns::State>) {
        if headers.payload_len() == 0 || headers.flags.rst() {
            return;
        }
        let inspection = self.policy.snapshot.inspection(self.table.record(lane.slot).inspection);
        if let Some((stream, kept)) = self.streams.get(lane) {
            let end = headers.seq.advance(headers.payload_len());
            let patterns = inspection.and_then(|inspection| inspection.patterns(lane.direction));
            stream.go(kept, patterns, end, searched);
        }
    }

    /// The bytes that its receiver gets: those that are kept in a lane. Urgent ones stay where they were seen.
    pub(super) fn dress(&mut self, kept_in: Option<Lane>, headers: &TcpHeaders, frame: &mut P::Buffer) {
        if headers.flags.intersects(TcpFlags::URG) {
            clear_urgent(frame.bytes_mut(), headers);
            self.counters.count(Counter::UrgentCleared);
        }
        if kept_in.is_some_and(|lane| self.restore(lane, headers, frame)) {
            self.counters.count(Counter::InspectRewritten);
        }
    }

    /// Whatever is kept takes the place of what came; whether that was something else.
    fn restore(&mut self, lane: Lane, headers: &TcpHeaders, frame: &mut P::Buffer) -> bool {
        let Some((stream, kept)) = self.streams.get(lane) else { return false };
        let Some(segment) = frame.bytes_mut().get_mut(usize::from(headers.l4)..usize::from(headers.end))
        else {
            return false;
        };
        let offset = usize::from(headers.payload - headers.l4);
        let Some((_, payload)) = segment.split_at_mut_checked(offset) else { return false };
        let Some(update) = kept.restore(stream.kept(), headers.seq, offset, payload) else { return false };
        if let Some(tcp) = TcpHeader::view_mut(segment) {
            tcp.update_checksum(update);
        }
        true
    }

    /// What waits goes nowhere: its sender repeats it.
    pub(super) fn drop_waiting(&mut self, lane: Lane, why: Counter) {
        while self.waiting.pop(lane.number()).is_some() {
            self.counters.count(why);
        }
        if let Some((stream, _)) = self.streams.get(lane) {
            stream.forget_queue();
        }
    }

    /// The flow cannot be split: what waits for that has waited in vain.
    #[cold]
    pub(super) fn refuse_closer_look(&mut self, now: Instant, flow: FlowRef) {
        let Some(slot) = self.table.resolve(flow) else { return };
        let Some(lane) = self.streams.lane(slot, Direction::ClientToServer) else { return };
        let lanes = [lane, lane.reverse()];
        let mut awaits = |lane| self.streams.get(lane).and_then(|(stream, _)| stream.awaits());
        let whys = lanes.map(&mut awaits);
        for is_rest in [false, true] {
            if let Some(why) = whys.into_iter().flatten().find(|why| why.is_rest() == is_rest) {
                self.streams.refuse(slot, why, now);
            }
        }
        for (lane, _) in lanes.into_iter().zip(whys).filter(|(_, why)| why.is_some()) {
            self.give_up_waiting(now, lane);
        }
    }

    /// The flow is being split: how far what is searched of it, where there is something, has passed. What has gone out is still repeated from here (`restore_passing`), for its receiver has
    /// seen no other bytes.
    pub(super) fn end_streams(&mut self, slot: u32) -> [Option<Ended>; 2] {
        let object = *self.table.object(slot);
        let inspection = self.policy.snapshot.inspection(self.table.record(slot).inspection);
        let searched = |direction| inspection.is_some_and(|inspection| inspection.searches_in(direction));
        let is_searched = Direction::BOTH.map(|of| object.traits.has(Traits::SEARCHED) && searched(of));
        Direction::BOTH.map(|direction| {
            let lane = self.streams.lane(slot, direction);
            let stream = lane.and_then(|lane| self.streams.get(lane));
            let ended = stream.map(|(stream, kept)| stream.end(kept));
            // Without a place nothing has passed that is not acknowledged.
            let acknowledged = object.track[direction.reverse().index()].ack;
            let unsearched = Ended { gone: acknowledged, edited: 0, reached: Reached::default() };
            ended.or(Some(unsearched)).filter(|_| is_searched[direction.index()])
        })
    }

    /// The flow has been split: what waits goes up, behind the answer.
    pub(super) fn hand_up(&mut self, slot: u32) {
        let Some(lane) = self.streams.lane(slot, Direction::ClientToServer) else { return };
        for lane in [lane, lane.reverse()] {
            while let Some(Waiting { headers, frame, .. }) = self.waiting.pop(lane.number()) {
                self.send_up(slot, lane.direction, &headers, frame);
            }
        }
        // Unless the last of them has given it back.
        if let Some(lane) = self.streams.lane(slot, Direction::ClientToServer) {
            self.give_back_if_done(lane);
        }
    }

    /// A segment of a flow that was split with something kept: repetitions of what had gone out are what had gone out, urgent
    /// bytes, too.
    #[cold]
    pub(super) fn restore_passing(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: &mut P::Buffer,
    ) {
        let Some(lane) = self.streams.lane(slot, direction) else { return };
        self.dress(Some(lane), headers, frame);
        self.acknowledge_kept(lane, headers);
        self.give_back_if_done(lane);
    }

    fn give_back_if_done(&mut self, lane: Lane) {
        let mut is_needed = |lane: Lane| {
            let waits = self.waiting.first(lane.number()).is_some();
            let keeps = |(stream, _): (&mut Stream, _)| stream.kept().start() != stream.kept().end();
            waits || self.streams.get(lane).is_some_and(keeps)
        };
        if !is_needed(lane) && !is_needed(lane.reverse()) {
            self.end_search(lane.slot);
        }
    }

    /// Housekeeping: what has waited for long enough. Returns how much there was to do.
    pub(super) fn look_at_waiting(&mut self, now: Instant) -> usize {
        let mut work = 0;
        for _ in 0..self.streams.watched().min(LOOKED_AT) {
            let Some((lane, since)) = self.streams.next_watched() else { break };
            if self.waiting.first(lane.number()).is_none() {
                continue;
            }
            let age = now - since;
            let Some((stream, _)) = self.streams.get(lane) else { continue };
            let awaits = stream.awaits();
            let record = self.table.record(lane.slot);
            let inspection = self.policy.snapshot.inspection(record.inspection);
            let hold = inspection.map_or(Duration::ZERO, |inspection| inspection.hold);
            let patience = if matches!(awaits, None | Some(Why::Rest)) { hold } else { PATIENCE };
            if age >= patience {
                if let Some(why) = awaits {
                    self.streams.refuse(lane.slot, why, now);
                }
                self.give_up_waiting(now, lane);
                work += 1;
                continue;
            }
            if age >= NEXT
                && awaits.is_none()
                && record.module != Record::NO_MODULE
                && self.streams.may_ask(lane.slot, Why::Rest, now)
                && let Some((stream, _)) = self.streams.get(lane)
            {
                stream.await_rest();
                self.want_split(lane.slot, Why::Rest);
            }
            self.streams.watch(lane, since);
        }
        work
    }

    #[cold]
    fn give_up_waiting(&mut self, now: Instant, lane: Lane) {
        let Some((stream, _)) = self.streams.get(lane) else { return };
        if matches!(stream.awaits(), Some(Why::Look | Why::Resize)) {
            return self.drop_waiting(lane, Counter::DropInspectSplit);
        }
        self.counters.count(Counter::InspectGivenUp);
        self.settle(now, lane);
    }

    /// What waits goes on as it is, as far as it has been searched.
    fn settle(&mut self, now: Instant, lane: Lane) {
        let index = self.table.record(lane.slot).inspection;
        let Some((stream, _)) = self.streams.get(lane) else { return };
        let Some(inspection) = self.policy.snapshot.inspection(index) else { return };
        stream.settle(inspection, lane.direction);
        self.let_go(now, lane);
        // What came while somebody else was waited for has not been searched.
        self.drop_waiting(lane, Counter::DropInspectSplit);
    }

    /// On to its receiver, by the flow's path.
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        match self.table.object(slot).path {
            Path::Monitored | Path::Bypassed => {
                self.observe(now, slot, direction, headers, &frame);
                self.deliver(slot, direction, headers, frame);
            }
            _ => self.rewrite(now, slot, direction, headers, frame),
        }
    }
}
