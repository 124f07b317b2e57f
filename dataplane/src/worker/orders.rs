//! Phase: what the control core has ordered.

use super::message::{Event, LISTING, ListedFlow, Listing, Order};
use super::*;
use crate::flow::object::{Path, Traits, View};
use crate::flow::quad::Direction;
use crate::flow::table::FlowRef;
use crate::packet::{self, Packet, TcpHeaders};
use crate::wire::seq::Delta;

/// Slots looked at for one page: a sparse table must not hold up the packets.
const SLOTS_PER_PAGE: u32 = 4096;

impl<P: Port> Worker<P> {
    /// Carries out waiting orders, as long as an answer to each is certain to fit the event mailbox.
    ///
    /// An order may also send segments up, any number of them; those leave `EVENT_RESERVE` places free. So that many
    /// orders can be carried out before the mailbox has to be looked at again.
    pub(super) fn carry_out_orders(&mut self, now: Instant) -> usize {
        let mut done = 0;
        while done < ORDERS_PER_ROUND {
            let has_all = self.events.has_room_beside(EVENT_RESERVE - 1);
            let batch = if has_all { EVENT_RESERVE } else { self.events.free() };
            if batch == 0 {
                break;
            }
            for _ in 0..batch {
                let Some(order) = self.orders.try_receive() else { return done };
                self.carry_out(now, order);
                done += 1;
            }
        }
        done
    }

    fn carry_out(&mut self, now: Instant, order: Order<P::Buffer>) {
        match order {
            Order::Transmit { port, frame } => {
                self.counters.count(Counter::Originated);
                self.lines[usize::from(port.0)].send(frame, &mut self.counters);
            }
            Order::TransmitFar { flow, frame } => self.transmit_far(flow, frame),
            Order::SetFarSide { flow, far, ports } => self.set_far_side(flow, far, ports),
            Order::Divert { flow, far } => self.on_flow(flow, |worker, slot| worker.divert(slot, far)),
            Order::ClearFarSide { flow } => {
                self.on_flow(flow, |worker, slot| worker.table.clear_far(slot));
            }
            Order::Policy(policy) => {
                let before = std::mem::replace(&mut self.policy, policy);
                self.answer(Event::Replaced(before));
            }
            Order::Flood { is_on } => self.answering.is_flooded = is_on,
            Order::List(listing) => self.list(listing),
            Order::Participate { flow } => {
                self.on_flow(flow, |worker, slot| worker.participate(now, slot));
            }
            Order::Release { flow, path, frame } => {
                self.on_flow(flow, |worker, slot| worker.release(now, slot, path, frame));
            }
            Order::Park { flow, searched } => {
                self.on_flow(flow, |worker, slot| worker.begin_parking(flow, slot, searched));
            }
            Order::Install { flow, delta_c2s, delta_s2c, view } => {
                self.on_flow(flow, |worker, slot| worker.install(slot, delta_c2s, delta_s2c, &view));
            }
            Order::Split(split) => self.split(now, split),
            Order::Replay { flow, direction, headers, frame } => {
                self.replay(now, flow, direction, &headers, frame);
            }
            Order::Resume { flow } => self.on_flow(flow, |worker, slot| worker.resume(now, flow, slot)),
            Order::Remove { flow } => self.on_flow(flow, Self::forget),
            Order::Restart { flow, port, frame } => {
                self.on_flow(flow, Self::forget);
                self.counters.count(Counter::Restarted);
                self.classify_one(now, port, frame);
            }
            Order::Readmit { port, frame } => self.classify_one(now, port, frame),
        }
    }

    /// Applies an order to a flow that still lives; the entry may have expired meanwhile.
    fn on_flow(&mut self, flow: FlowRef, apply: impl FnOnce(&mut Self, u32)) {
        match self.table.resolve(flow) {
            Some(slot) => apply(self, slot),
            None => self.counters.count(Counter::OrdersLate),
        }
    }

    pub(super) fn answer(&mut self, event: Event<P::Buffer>) {
        // `carry_out_orders` has made sure of the room.
        if self.events.try_send(event).is_err() {
            self.counters.count(Counter::DropEventsFull);
        }
    }

    fn participate(&mut self, now: Instant, slot: u32) {
        let object = self.table.object_mut(slot);
        if object.path == Path::Suspended {
            object.path = Path::Participating;
            self.counters.count(Counter::FlowsProxied);
            // Its rule may have an idle time for it.
            self.table.arm(slot, now);
        }
    }

    /// The held SYN leaves verbatim; the flow passes from now on.
    fn release(&mut self, now: Instant, slot: u32, path: Path, frame: P::Buffer) {
        let object = self.table.object_mut(slot);
        // The control core has written a SYN.
        let Ok(Packet::Tcp(headers)) = packet::parse(frame.bytes()) else {
            return self.counters.count(Counter::DropFlowGone);
        };
        if object.path != Path::Suspended {
            return self.counters.count(Counter::DropFlowGone);
        }
        object.path = path;
        if path == Path::Bypassed {
            object.traits.set(Traits::INSPECTED, false);
        }
        self.table.arm(slot, now + self.timeouts.opening);
        self.counters.count(if path == Path::Monitored {
            Counter::FlowsMonitored
        } else {
            Counter::FlowsBypassed
        });
        // Taken off the wire when it was offered; the control core has written it anew.
        self.counters.count(Counter::Originated);
        self.observe(now, slot, Direction::ClientToServer, &headers, &frame);
        self.deliver(slot, Direction::ClientToServer, &headers, frame);
    }

    fn begin_parking(&mut self, flow: FlowRef, slot: u32, searched: bool) {
        let object = self.table.object_mut(slot);
        if object.path != Path::Participating {
            return;
        }
        // What has been searched there must go on being searched here: a pattern may have begun.
        if searched && object.traits.has(Traits::SEARCHED) && !self.streams.reserve(slot) {
            self.counters.count(Counter::MergesAwaitedPlace);
            return self.answer(Event::Unparked { flow });
        }
        self.table.object_mut(slot).path = Path::Parked;
        self.answer(Event::Parked { flow });
    }

    fn install(&mut self, slot: u32, delta_c2s: Delta, delta_s2c: Delta, view: &View) {
        let object = self.table.object_mut(slot);
        if object.path != Path::Parked {
            return;
        }
        (object.delta_c2s, object.delta_s2c) = (delta_c2s, delta_s2c);
        (object.track, object.edges) = (view.track, view.edges);
        object.tcp = view.tcp;
        self.table.set_promises(slot, view.promises, view.clock);
        self.table.record_mut(slot).mss = view.mss;
        if self.table.object(slot).traits.has(Traits::SEARCHED) {
            self.begin_search(slot, view.searched);
        }
    }

    fn replay(
        &mut self,
        now: Instant,
        flow: FlowRef,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        match self.table.resolve(flow) {
            Some(slot) => {
                self.counters.count(Counter::Replayed);
                self.cut_through_late(now, slot, direction, headers, frame);
            }
            None => self.counters.count(Counter::DropFlowGone),
        }
    }

    fn resume(&mut self, now: Instant, flow: FlowRef, slot: u32) {
        let object = self.table.object_mut(slot);
        if object.path != Path::Parked {
            return;
        }
        object.path = Path::CutThrough;
        let record = self.table.record_mut(slot);
        record.merges = record.merges.saturating_add(1);
        self.counters.count(Counter::Merges);
        while let Some(waiting) = self.parked.pop(slot) {
            self.cut_through_late(now, slot, waiting.direction, &waiting.headers, waiting.frame);
        }
        // One of them may have ended the flow, and the next one of its quad have its place.
        if self.table.resolve(flow).is_some() {
            let deadline = self.next_look(now, slot);
            self.table.arm(slot, deadline);
        }
    }

    fn list(&mut self, mut listing: Box<Listing>) {
        let from = listing.cursor.take().unwrap_or(0);
        let limit = from.saturating_add(SLOTS_PER_PAGE).min(self.table.capacity() as u32);
        listing.cursor = (limit < self.table.capacity() as u32).then_some(limit);
        for slot in self.table.occupied(from..limit) {
            if listing.only.is_some_and(|quad| !self.table.has_quad(slot, &quad)) {
                continue;
            }
            if listing.flows.len() == LISTING {
                listing.cursor = Some(slot);
                break;
            }
            let object = self.table.object(slot);
            listing.flows.push(ListedFlow {
                flow: self.table.flow_ref(slot),
                key: self.table.key(slot),
                path: object.path,
                delta_c2s: object.delta_c2s,
                delta_s2c: object.delta_s2c,
                far: self.table.far(slot).map(|far| far.key.quad),
                traffic: self.table.traffic(slot),
                record: *self.table.record(slot),
            });
        }
        self.answer(Event::Listed(listing));
    }
}
