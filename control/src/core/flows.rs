//! Events of participating flows: whose they are, and what follows from each.
//!
//! A connection takes a segment in, and is then *settled*: what became ready is done, and what its legs have to say goes out.
//! Two segments of one flow that come one behind the other are settled together, so that a client's ACK and its request are one
//! segment to the server. They are no more than two, for every second one is to be acknowledged (RFC 9293 section 3.8.6.3).
//! One that has to be answered at once, as each segment behind a hole has (RFC 5681 section 4.2), waits for none. Whatever else
//! happens finds the flow settled.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::flow::table::FlowRef;
use dataplane::packet::TcpHeaders;
use dataplane::port::PortId;
use dataplane::worker::message::Order;

use super::context::Context;
use super::load::Load;
use super::{Core, tick};
use crate::connection::{Connection, Phase};
use crate::module::Gone;
use crate::suspended::Marks;

/// A segment that has come up.
pub(super) struct Arrived<B> {
    pub(super) direction: Direction,
    pub(super) port: PortId,
    pub(super) headers: TcpHeaders,
    pub(super) frame: B,
}

impl<L: Pool> Core<L> {
    /// A segment of a partial connection, of a flow, or of one that has gone meanwhile.
    #[inline(always)]
    pub(super) fn on_segment(
        &mut self,
        now: Instant,
        worker: usize,
        flow: FlowRef,
        arrived: Arrived<L::Buffer>,
    ) {
        let Some(slot) = self.by_flow.get(&(worker, flow)).copied() else {
            self.settle_last(now);
            return self.on_segment_of_none(now, worker, flow, arrived);
        };
        let was_unsettled = self.unsettled == Some(slot);
        if !was_unsettled {
            self.settle_last(now);
        }
        let Arrived { direction, headers, frame, .. } = arrived;
        let Some(connection) = &mut self.connections[slot as usize] else { return };
        let mut cx = self.means.context(now, worker);
        connection.on_segment(&mut cx, direction, &headers, frame);
        self.unsettled = Some(slot);
        if was_unsettled || !connection.may_wait(direction) {
            self.settle_last(now);
        }
    }

    /// What became ready with the last segment is done.
    #[inline(always)]
    pub(super) fn settle_last(&mut self, now: Instant) {
        if let Some(slot) = self.unsettled.take() {
            self.settle(now, slot);
        }
    }

    #[inline(never)]
    fn settle(&mut self, now: Instant, slot: u32) {
        self.on_slot(now, slot, |connection, cx| connection.settle(cx));
    }

    fn on_segment_of_none(
        &mut self,
        now: Instant,
        worker: usize,
        flow: FlowRef,
        arrived: Arrived<L::Buffer>,
    ) {
        let Arrived { direction, port, headers, frame } = arrived;
        let begins_another = headers.flags.syn() && !headers.flags.ack();
        if let Some(slot) = self.suspended.find(worker, flow) {
            self.on_partial_segment(now, slot, direction, &headers, frame);
        } else if begins_another {
            // A client that reuses its port was quicker than the order that removes its last flow.
            self.means.outboxes[worker].order(Order::Readmit { port, frame });
        } else {
            self.means.counters.count(Counter::DropFlowGone);
        }
    }

    /// A flow begins to participate: the partial connection that has been handed over.
    pub(super) fn place(&mut self, slot: u32, worker: usize, flow: FlowRef, connection: Connection<L>) {
        let marks = self.suspended.marks(connection.key());
        self.connections[slot as usize] = Some(connection);
        self.begin(slot, worker, flow, marks);
    }

    /// The same, of a flow that stands in its place already, and counts for `marks`.
    pub(super) fn begin(&mut self, slot: u32, worker: usize, flow: FlowRef, marks: Marks) {
        let Some(connection) = &mut self.connections[slot as usize] else { return };
        if connection.phase() == Phase::Done {
            self.suspended.give_back(connection.key());
            if let Some(ticket) = connection.ticket() {
                self.by_ticket.remove(&ticket);
            }
            self.connections[slot as usize] = None;
            return self.free.push(slot);
        }
        if let Some(ticket) = connection.ticket() {
            self.by_ticket.insert(ticket, slot);
        }
        self.by_flow.insert((worker, flow), slot);
        let (before, after) = connection.recount();
        self.means.load.change(before, after);
        self.validating.add(slot, marks);
        self.rearm(slot);
    }

    /// A frame of a flow, which may have been merged or removed while the frame was on its way.
    pub(super) fn on_frame(
        &mut self,
        now: Instant,
        worker: usize,
        flow: FlowRef,
        handle: impl FnOnce(&mut Connection<L>, &mut Context<'_, L>),
    ) {
        match self.by_flow.get(&(worker, flow)) {
            Some(slot) => self.on_slot(now, *slot, handle),
            None => self.means.counters.count(Counter::DropFlowGone),
        }
    }

    /// Any other event of a flow: nothing is lost with it.
    pub(super) fn on_flow(
        &mut self,
        now: Instant,
        worker: usize,
        flow: FlowRef,
        handle: impl FnOnce(&mut Connection<L>, &mut Context<'_, L>),
    ) {
        if let Some(slot) = self.by_flow.get(&(worker, flow)) {
            self.on_slot(now, *slot, handle);
        }
    }

    /// A flow that its worker has forgotten; nobody is told, as with any idle flow.
    pub(super) fn forget(&mut self, worker: usize, flow: FlowRef) {
        if let Some(slot) = self.suspended.find(worker, flow) {
            self.forget_partial(slot, Gone::Overdue);
        }
        if let Some(slot) = self.by_flow.get(&(worker, flow)) {
            self.drop_flow(*slot);
        }
    }

    pub(super) fn on_slot(
        &mut self,
        now: Instant,
        slot: u32,
        handle: impl FnOnce(&mut Connection<L>, &mut Context<'_, L>),
    ) {
        let Some(connection) = &mut self.connections[slot as usize] else { return };
        let mut cx = self.means.context(now, connection.worker());
        handle(connection, &mut cx);
        if connection.phase() == Phase::Done {
            return self.drop_flow(slot);
        }
        let (before, after) = connection.recount();
        self.means.load.change(before, after);
        self.review_validation(slot);
        self.rearm(slot);
    }

    /// A flow that is over gives back what it had.
    fn drop_flow(&mut self, slot: u32) {
        let Some(connection) = &self.connections[slot as usize] else { return };
        self.means.load.change(connection.counted(), Load::default());
        self.by_flow.remove(&(connection.worker(), connection.flow()));
        if let Some(ticket) = connection.ticket() {
            self.by_ticket.remove(&ticket);
        }
        if self.validating.remove(slot) {
            self.suspended.give_back(connection.key());
        }
        self.connections[slot as usize] = None;
        self.timers.cancel(slot);
        self.free.push(slot);
    }

    /// A timer that is armed stays where it is unless there is something to do before: moved for each event, it would be moved
    /// again by the next one. When it fires too early it is armed for what there is to do then.
    #[inline(always)]
    pub(super) fn rearm(&mut self, slot: u32) {
        let Some(connection) = &mut self.connections[slot as usize] else { return };
        if let Some(deadline) = connection.arm() {
            self.timers.arm(slot, tick(deadline));
        }
    }

    /// The timer of a flow has fired, perhaps for what has been put off since.
    pub(super) fn on_flow_timer(&mut self, now: Instant, slot: u32) {
        let Some(connection) = &mut self.connections[slot as usize] else { return };
        connection.disarm();
        match connection.deadline() {
            Some(deadline) if deadline > now => self.rearm(slot),
            _ => self.on_slot(now, slot, Connection::on_timer),
        }
    }
}
