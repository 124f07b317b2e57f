//! Segments of searched flows that wait on the worker: for the rest of what may be something to be replaced, or for somebody
//! who looks closer (a split). Nothing is lost by it, and a full arena is as if they had been lost.

use super::inspect::clear_urgent;
use super::message::Event;
use super::parked::Waiting;
use super::*;
use crate::flow::object::Path;
use crate::flow::quad::Direction;
use crate::flow::table::FlowRef;
use crate::inspect::places::Lane;
use crate::inspect::stream::{Outcome, Stream};
use crate::packet::TcpHeaders;
use crate::wire::tcp::TcpHeader;
use crate::wire::tcp_flags::TcpFlags;

/// Lanes looked at in one housekeeping, at most.
const LOOKED_AT: usize = 64;
/// How long a split is waited for: a control core that is alive and willing has answered by then. Then the segments are
/// dropped, and their repetition asks again.
const PATIENCE: Duration = Duration::from_millis(500);

impl<P: Port> Worker<P> {
    /// The segment waits behind those that do already.
    pub(super) fn keep_waiting(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
        outcome: Outcome,
    ) {
        let Some(lane) = self.streams.lane(slot, direction) else { return };
        let is_first = self.waiting.first(lane.number()).is_none();
        if self.waiting.push(lane.number(), Waiting { direction, headers: *headers, frame }).is_err() {
            self.counters.count(Counter::DropParkedFull);
            return self.drop_waiting(slot, direction, Counter::DropParkedFull);
        }
        self.counters.count(Counter::InspectWaited);
        if is_first {
            self.streams.watch(lane, now);
        }
        if outcome == Outcome::Await {
            self.want_split(slot);
        }
    }

    /// The control core orders the split, and knows what it has ordered already. When its mailbox is full, the next segment
    /// asks again.
    fn want_split(&mut self, slot: u32) {
        let (flow, key) = (self.table.flow_ref(slot), self.table.key(slot));
        let event = Event::Wanted { flow, key, module: self.table.record(slot).module };
        if self.events.free() > EVENT_RESERVE {
            // There is room.
            let _ = self.events.try_send(event);
        }
    }

    /// What waits and need not any more goes on, in order.
    pub(super) fn let_go(&mut self, now: Instant, slot: u32, direction: Direction) {
        let Some(lane) = self.streams.lane(slot, direction) else { return };
        while let Some(first) = self.waiting.first(lane.number()) {
            let end = first.headers.seq.advance(first.headers.payload_len());
            if !self.streams.get(lane).is_some_and(|(stream, _)| stream.is_settled(end)) {
                return;
            }
            let Some(Waiting { headers, mut frame, .. }) = self.waiting.pop(lane.number()) else { return };
            self.dress(slot, direction, &headers, &mut frame, true);
            self.note_gone(slot, direction, &headers);
            self.go_on(now, slot, direction, &headers, frame);
        }
    }

    /// The segment goes out.
    pub(super) fn note_gone(&mut self, slot: u32, direction: Direction, headers: &TcpHeaders) {
        if headers.payload_len() == 0 || headers.flags.rst() {
            return;
        }
        if let Some(lane) = self.streams.lane(slot, direction)
            && let Some((stream, _)) = self.streams.get(lane)
        {
            stream.go(headers.seq.advance(headers.payload_len()));
        }
    }

    /// The bytes that its receiver gets. Urgent ones stay where they were seen.
    pub(super) fn dress(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: &mut P::Buffer,
        restored: bool,
    ) {
        if headers.flags.intersects(TcpFlags::URG) {
            clear_urgent(frame.bytes_mut(), headers);
            self.counters.count(Counter::UrgentCleared);
        }
        if restored && self.restore(slot, direction, headers, frame) {
            self.counters.count(Counter::InspectRewritten);
        }
    }

    /// Whatever is kept takes the place of what came; whether that was something else.
    fn restore(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: &mut P::Buffer,
    ) -> bool {
        let Some(lane) = self.streams.lane(slot, direction) else { return false };
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
    pub(super) fn drop_waiting(&mut self, slot: u32, direction: Direction, why: Counter) {
        let Some(lane) = self.streams.lane(slot, direction) else { return };
        while self.waiting.pop(lane.number()).is_some() {
            self.counters.count(why);
        }
        if let Some((stream, _)) = self.streams.get(lane) {
            stream.forget_queue();
        }
    }

    /// The flow cannot be split: what waits for that has waited in vain.
    #[cold]
    pub(super) fn refuse_closer_look(&mut self, flow: FlowRef) {
        let Some(slot) = self.table.resolve(flow) else { return };
        for direction in Direction::BOTH {
            let Some(lane) = self.streams.lane(slot, direction) else { return };
            if self.streams.get(lane).is_some_and(|(stream, _)| stream.is_awaited()) {
                self.drop_waiting(slot, direction, Counter::DropInspectSplit);
            }
        }
    }

    /// The flow has been split: what waits goes up, behind the answer. What has gone out already is still repeated from here
    /// (`restore_passing`), for its receiver has seen no other bytes.
    pub(super) fn hand_up(&mut self, slot: u32) {
        for direction in Direction::BOTH {
            let Some(lane) = self.streams.lane(slot, direction) else { return };
            if let Some((stream, kept)) = self.streams.get(lane) {
                stream.end(kept);
            }
            while let Some(Waiting { headers, frame, .. }) = self.waiting.pop(lane.number()) {
                self.send_up(slot, direction, &headers, frame);
            }
        }
        self.give_back_if_done(slot);
    }

    /// A segment of a flow that was split with something kept: repetitions of what had gone out are what had gone out.
    #[cold]
    pub(super) fn restore_passing(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: &mut P::Buffer,
    ) {
        if self.streams.lane(slot, direction).is_none() {
            return;
        }
        if self.restore(slot, direction, headers, frame) {
            self.counters.count(Counter::InspectRewritten);
        }
        self.acknowledge_kept(slot, direction, headers);
        self.give_back_if_done(slot);
    }

    fn give_back_if_done(&mut self, slot: u32) {
        let mut is_needed = |direction| {
            let Some(lane) = self.streams.lane(slot, direction) else { return false };
            let waits = self.waiting.first(lane.number()).is_some();
            let keeps = |(stream, _): (&mut Stream, _)| stream.kept().start() != stream.kept().end();
            waits || self.streams.get(lane).is_some_and(keeps)
        };
        if !is_needed(Direction::ClientToServer) && !is_needed(Direction::ServerToClient) {
            self.end_search(slot);
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
            match now - since >= self.patience(lane) {
                true => {
                    self.give_up_waiting(now, lane);
                    work += 1;
                }
                false => self.streams.watch(lane, since),
            }
        }
        work
    }

    fn patience(&mut self, lane: Lane) -> Duration {
        if self.streams.get(lane).is_some_and(|(stream, _)| stream.is_awaited()) {
            return PATIENCE;
        }
        let index = self.table.record(lane.slot).inspection;
        self.policy.snapshot.inspection(index).map_or(Duration::ZERO, |inspection| inspection.hold)
    }

    #[cold]
    fn give_up_waiting(&mut self, now: Instant, lane: Lane) {
        let Lane { slot, direction, .. } = lane;
        let index = self.table.record(slot).inspection;
        let Some((stream, _)) = self.streams.get(lane) else { return };
        if stream.is_awaited() {
            return self.drop_waiting(slot, direction, Counter::DropInspectSplit);
        }
        let Some(inspection) = self.policy.snapshot.inspection(index) else { return };
        stream.settle(inspection, direction);
        self.counters.count(Counter::InspectGivenUp);
        self.let_go(now, slot, direction);
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
