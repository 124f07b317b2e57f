//! Flows whose far side is not what the client's SYN says (`flow/far.rs`).
//!
//! Translation has one place, the edge of the far network. What comes from there looks as the client sees the flow before
//! anything else happens to it, and what goes there looks so until it leaves: objects, parked and replayed frames, the
//! control core and its TCBs know nothing of it.
//!
//! A later fragment holds no ports, and may come to a worker that has not seen the first: it cannot be led to its flow. So
//! first fragments of such flows are dropped by name; without them, nobody makes anything of the others.

use super::message::{ClientPort, Event};
use super::*;
use crate::flow::far::{FarSide, LinkHeader, NextHop};
use crate::flow::object::Path;
use crate::flow::quad::{Addresses, Direction, Quad, Segment};
use crate::flow::table::{FlowRef, Refused};
use crate::packet::{self, IcmpError, Packet, TcpHeaders};
use crate::rewrite::translate;
use crate::wire::icmp;

/// Client ports that are tried for one far side: as one worker of several, or on a busy address, not every one fits.
const PORTS_TRIED: u16 = 256;
/// The first port that is taken instead of the client's own.
const FIRST_PORT: u16 = 1024;
/// Far sides that are looked at to make room for one, at most. Each is settled or goes, so none is looked at twice in vain.
const LOOKED_AT: usize = 64;

/// How a packet of a flow with a far side looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    AsTheClientSeesIt,
    AsItIsThere,
}

impl<P: Port> Worker<P> {
    /// A segment of a flow with a far side, known by either key.
    #[inline(never)]
    pub(super) fn carry_far(
        &mut self,
        now: Instant,
        port: PortId,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) {
        let Some(came) = self.came(slot, direction, port, &headers.quad, headers.segment) else {
            return self.counters.count(Counter::DropFarSide);
        };
        if headers.first_fragment {
            return self.counters.count(Counter::DropFragmentFarSide);
        }
        if direction == Direction::ServerToClient && headers.flags.syn() && !headers.flags.ack() {
            // A connection that the far server begins cannot be the client's: that one has never spoken to it.
            if !self.is_only_diverted(slot) {
                return self.counters.count(Counter::DropForeignHandshake);
            }
            let object = self.table.object(slot);
            if object.tcp.is_over() && object.path.is_carried() {
                self.forget(slot);
                return self.admit(now, port, headers, frame);
            }
        }
        if came == Came::AsTheClientSeesIt {
            return self.carry_on(now, slot, direction, headers, frame);
        }
        let near = self.table.key(slot).quad.reversed();
        let Some(far) = self.table.far(slot) else { return };
        let same_tags = far.key.segment.vlans() == self.table.key(slot).segment.vlans();
        translate::segment(frame.bytes_mut(), headers, &near);
        let Some(shift) = set_link(&mut frame, headers.l3, &far.to_client, same_tags) else {
            return self.counters.count(Counter::DropTagRoom);
        };
        let move_by = |at: u16| at.wrapping_add_signed(shift);
        let headers = TcpHeaders {
            quad: near,
            segment: self.table.key(slot).segment,
            l3: move_by(headers.l3),
            l4: move_by(headers.l4),
            payload: move_by(headers.payload),
            end: move_by(headers.end),
            ..*headers
        };
        self.counters.count(Counter::Translated);
        self.carry_on(now, slot, direction, &headers, frame);
    }

    /// On which side of the flow a packet with these quad and tags travels `direction`; `None` when that does not begin there.
    fn came(
        &self,
        slot: u32,
        direction: Direction,
        port: PortId,
        quad: &Quad,
        tags: Segment,
    ) -> Option<Came> {
        let far = self.table.far(slot)?;
        let (near, client_side) = (self.table.key(slot), PortId(self.table.object(slot).client_side));
        let is_by = |side: PortId, wanted: &Quad, segment: Segment| {
            port == side && quad == wanted && tags.vlans() == segment.vlans()
        };
        if direction == Direction::ClientToServer {
            return is_by(client_side, &near.quad, near.segment).then_some(Came::AsTheClientSeesIt);
        }
        if is_by(far.port, &far.key.quad.reversed(), far.key.segment) {
            return Some(Came::AsItIsThere);
        }
        // What went by another hop may well be answered by the ordinary way: its server and its routes are the same.
        let is_ordinary =
            far.key.quad == near.quad && is_by(self.peer(client_side), &near.quad.reversed(), near.segment);
        is_ordinary.then_some(Came::AsTheClientSeesIt)
    }

    /// Whether only the way to the server is another, not the connection.
    fn is_only_diverted(&self, slot: u32) -> bool {
        self.table.far(slot).is_some_and(|far| far.key.quad == self.table.key(slot).quad)
    }

    /// A segment of the flow's client leaves for the far side.
    #[inline(never)]
    pub(super) fn leave(&mut self, slot: u32, headers: &TcpHeaders, mut frame: P::Buffer) {
        let tags = self.table.key(slot).segment.vlans();
        let Some(far) = self.table.far(slot) else { return self.counters.count(Counter::DropFlowGone) };
        translate::segment(frame.bytes_mut(), headers, &far.key.quad);
        let (port, same_tags) = (far.port, far.key.segment.vlans() == tags);
        if set_link(&mut frame, headers.l3, &far.to_server, same_tags).is_none() {
            return self.counters.count(Counter::DropTagRoom);
        }
        self.counters.count(Counter::Translated);
        self.forward(port, usize::from(headers.end - headers.l3), frame);
    }

    /// An ICMP error from the side of the network where the quoted segment went; from the far side, it is about what the
    /// client has sent. `None` when it is dropped.
    #[inline(never)]
    pub(super) fn enter_icmp(
        &mut self,
        port: PortId,
        slot: u32,
        quoted: Direction,
        error: &IcmpError,
        frame: &mut P::Buffer,
    ) -> Option<IcmpError> {
        // The quoted segment, travelling back.
        let (back, quad) = (quoted.reverse(), error.quad.reversed());
        let Some(came) = self.came(slot, back, port, &quad, error.segment) else {
            self.counters.count(Counter::DropFarSide);
            return None;
        };
        // About another hop than its addressee's, or another server: that one would send the wrong thing elsewhere (RFC 792).
        if error.kind == icmp::v4::REDIRECT && matches!(error.quad.addresses, Addresses::V4(..)) {
            self.counters.count(Counter::DropRedirectFarSide);
            return None;
        }
        if came == Came::AsTheClientSeesIt {
            return Some(*error);
        }
        let near = self.table.key(slot);
        let far = self.table.far(slot)?;
        let same_tags = far.key.segment.vlans() == near.segment.vlans();
        translate::icmp_error(frame.bytes_mut(), error, &near.quad);
        let Some(shift) = set_link(frame, error.l3, &far.to_client, same_tags) else {
            self.counters.count(Counter::DropTagRoom);
            return None;
        };
        let move_by = |at: u16| at.wrapping_add_signed(shift);
        self.counters.count(Counter::Translated);
        Some(IcmpError {
            quad: near.quad,
            segment: near.segment.vlans(),
            l3: move_by(error.l3),
            l4: move_by(error.l4),
            quoted_l4: move_by(error.quoted_l4),
            end: move_by(error.end),
            ..*error
        })
    }

    /// An ICMP error about what the server has sent leaves for the far side.
    #[inline(never)]
    pub(super) fn leave_icmp(&mut self, slot: u32, error: &IcmpError, mut frame: P::Buffer) {
        let tags = self.table.key(slot).segment.vlans();
        let Some(far) = self.table.far(slot) else { return self.counters.count(Counter::DropFlowGone) };
        translate::icmp_error(frame.bytes_mut(), error, &far.key.quad.reversed());
        let (port, same_tags) = (far.port, far.key.segment.vlans() == tags);
        if set_link(&mut frame, error.l3, &far.to_server, same_tags).is_none() {
            return self.counters.count(Counter::DropTagRoom);
        }
        self.counters.count(Counter::Translated);
        self.forward(port, usize::from(error.end - error.l3), frame);
    }

    /// Order: a frame of the control core's for the flow's server, as its client would have sent it.
    pub(super) fn transmit_far(&mut self, flow: FlowRef, frame: P::Buffer) {
        let Some(slot) = self.table.resolve(flow) else { return self.counters.count(Counter::DropFlowGone) };
        self.counters.count(Counter::Originated);
        match packet::parse(frame.bytes()) {
            Ok(Packet::Tcp(headers)) => self.leave(slot, &headers, frame),
            Ok(Packet::IcmpError(error)) => self.leave_icmp(slot, &error, frame),
            Ok(Packet::Other) => self.counters.count(Counter::DropFarSide),
            Err(reason) => self.counters.count(reason),
        }
    }

    /// Order: the flow gets a far side. The answer says whether it has.
    pub(super) fn set_far_side(&mut self, flow: FlowRef, far: FarSide, ports: ClientPort) {
        let Some(slot) = self.table.resolve(flow) else { return self.counters.count(Counter::OrdersLate) };
        let placed = self.place_far(slot, far, ports);
        if placed == Err(Refused::Full) {
            self.counters.count(Counter::DropFarSidesFull);
        }
        self.answer(Event::FarSide { flow, placed });
    }

    /// Order: the flow gets a far side by another hop, or goes.
    pub(super) fn divert(&mut self, slot: u32, far: FarSide) {
        let refused = self.place_far(slot, far, ClientPort::Kept).err();
        if refused == Some(Refused::Full) {
            self.counters.count(Counter::DropFarSidesFull);
        }
        if refused.is_some() {
            self.forget(slot);
        }
    }

    /// A SYN that a rule sends on by another hop (seed 000: "the saved connection request is forwarded").
    pub(super) fn divert_new(
        &mut self,
        now: Instant,
        port: PortId,
        headers: &TcpHeaders,
        hop: NextHop,
        frame: P::Buffer,
    ) {
        let far = FarSide::of_syn(frame.bytes(), headers.l3, headers.quad, hop, self.peer(port));
        let Some(far) = far else { return self.counters.count(Counter::DropMalformedEthernet) };
        let Ok(slot) = self.table.insert(&headers.key(), Path::Bypassed, port.0, now) else {
            return self.when_full(now, port, headers, Counter::DropFlowsFull, frame);
        };
        self.table.arm(slot, now + self.timeouts.opening);
        match self.place_far(slot, far, ClientPort::Kept) {
            Ok(_) => {}
            // Counted there, or here by what is configured for full tables.
            Err(Refused::InUse) => return self.forget(slot),
            Err(Refused::Full) => {
                self.forget(slot);
                return self.when_full(now, port, headers, Counter::DropFarSidesFull, frame);
            }
        }
        self.counters.count(Counter::FlowsForwarded);
        self.carry(now, port, slot, Direction::ClientToServer, headers, frame);
    }

    /// Finds a client port by which the far side comes back to this worker and is nobody else's, the wanted one if it is.
    fn place_far(&mut self, slot: u32, far: FarSide, ports: ClientPort) -> Result<u16, Refused> {
        let Some(line) = self.lines.get(usize::from(far.port.0)) else {
            self.counters.count(Counter::DropFarSideInUse);
            return Err(Refused::InUse);
        };
        let (pair, mac) = (line.pair, line.mac);
        let is_elsewhere = far.port != self.peer(PortId(self.table.object(slot).client_side));
        let mut far = far.on_pair(pair);
        if is_elsewhere || self.policy.snapshot.services().contains(far.key.quad.addresses.source()) {
            // It is our own MAC by which that address is found there; and the client's router is not behind that port, so
            // that switches there would learn it in the wrong place.
            far.to_server[6..12].copy_from_slice(&mac);
        }
        let own = far.key.quad.client_port;
        let others = match ports {
            ClientPort::Kept => 0..0,
            ClientPort::Searched { .. } => 0..PORTS_TRIED,
        };
        let from = if let ClientPort::Searched { from } = ports { from } else { own };
        let span = u16::MAX - FIRST_PORT + 1;
        let others = others.map(|n| FIRST_PORT + (from % span).wrapping_add(n) % span);
        let mut result = Err(Refused::InUse);
        for client_port in std::iter::once(own).chain(others) {
            far.key.quad.client_port = client_port;
            if self.steering.owner_of_flow(&far.key.quad, self.id) != self.id {
                continue;
            }
            result = self.table.set_far(slot, far.clone()).map(|()| client_port);
            if result == Err(Refused::Full) && self.evict_far() {
                result = self.table.set_far(slot, far.clone()).map(|()| client_port);
            }
            if result != Err(Refused::InUse) {
                break;
            }
        }
        match result {
            Ok(_) => self.counters.count(Counter::FlowsFarSide),
            Err(Refused::Full) => {}
            Err(Refused::InUse) => self.counters.count(Counter::DropFarSideInUse),
        }
        result
    }

    /// Takes its place from the oldest flow that has not opened, or is over; the flow goes with it, because without its far
    /// side its segments would go astray. Without this a SYN of nobody's would keep a place for the whole of
    /// [`Timeouts::opening`], and a slow flood of them all places.
    #[cold]
    fn evict_far(&mut self) -> bool {
        for _ in 0..LOOKED_AT {
            let Some(slot) = self.table.oldest_far() else { return false };
            let object = self.table.object(slot);
            let (is_held, is_gone) = match object.path {
                Path::Suspended => (true, true),
                Path::Participating | Path::Parked => (true, false),
                // The client has yet to show that it is there: a server answers SYNs of forged sources, too.
                _ => (false, object.tcp.is_opening() || object.tcp.is_over()),
            };
            if !is_gone {
                self.table.settle_far(slot);
                continue;
            }
            // The control core has to forget it, too; it is told, or keeps it.
            if is_held && !self.tell_expired(slot) {
                return false;
            }
            self.forget(slot);
            self.counters.count(Counter::FarSidesEvicted);
            return true;
        }
        false
    }
}

/// Gives a frame whose IP header begins at `l3` another link header; of the one with the same tags (`same_tags`), only the
/// MACs: the priority stays the frame's own. Returns by how much the IP header has moved; `None` when there is no room.
fn set_link<B: Buffer>(frame: &mut B, l3: u16, link: &LinkHeader, same_tags: bool) -> Option<i16> {
    let old = usize::from(l3);
    let kept = if same_tags { 12 } else { link.len() };
    let shift = if same_tags { 0 } else { link.len() as i16 - l3 as i16 };
    match shift {
        0 => {}
        1.. if frame.grow_front(link.len() - old) => {}
        1.. => return None,
        _ => frame.shrink_front(old - link.len()),
    }
    frame.bytes_mut().get_mut(..kept)?.copy_from_slice(&link[..kept]);
    Some(shift)
}
