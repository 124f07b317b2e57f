//! What each end of a flow was promised, and what lies between the promises (DESIGN section 4, client-first).
//!
//! - *Windows* are shifted, rounded down and clamped, whatever either end has promised.
//! - *Timestamps* towards a client that was answered by a clock of ours are the server's, and as far ahead as ours was when the
//!   server answered: the client never sees a step back, not over any series of merges and splits, for what is added stays
//!   the same. Where one end has timestamps and the other has none nobody could make them up (RFC 7323 section 3.2: every
//!   segment carries them): such a flow is relayed for its whole life.
//! - *SACK* blocks do not get to an end that was not promised any. An end that was, and whose peer knows no SACK, gets none:
//!   a receiver may do so (RFC 2018 section 4), but its losses are found by its timer then. That happens with the first
//!   flow to such a server; the next client is promised none.
//! - *Segments* larger than the server takes cannot be made smaller on the way: relayed for its whole life, too.

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::flow::terms::{Promises, Terms};
use dataplane::rewrite::reconcile::{Clocks, Reconciliation};
use dataplane::wire::seq::Seq;

use super::Connection;
use super::path::family;
use crate::core::secret::IsnKey;
use crate::tcp::{Block, Handshake};

/// A timestamp clock of ours, towards a client that no server has answered yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnClock {
    /// RFC 7323 section 5.4: milliseconds; it begins somewhere else on every flow.
    offset: u32,
}

impl OwnClock {
    /// Nobody is behind the client's leg whose numbers could be used; the other leg's key begins the clock.
    pub(super) fn new(key: &FlowKey, secret: &IsnKey) -> OwnClock {
        OwnClock { offset: secret.towards_server(key, Seq(0)).0 }
    }

    /// One that showed `value` when it was heard of last, and goes on from there.
    pub(super) fn going_on(value: u32, now: Instant) -> OwnClock {
        OwnClock { offset: value.wrapping_sub(now.as_millis() as u32) }
    }

    /// TSval of a segment that is sent now.
    pub(super) fn at(self, now: Instant) -> u32 {
        self.offset.wrapping_add(now.as_millis() as u32)
    }
}

impl<L: Pool> Connection<L> {
    /// What the ends were promised and promise; without a server, nothing.
    pub(super) fn promises(&self) -> Promises {
        let Some(server) = &self.server else { return Promises::UNKNOWN };
        Promises::between(
            terms(&self.client.block, Direction::ClientToServer),
            terms(&server.block, Direction::ServerToClient),
        )
    }

    /// What has to be done to a segment that passes in `direction`, its numbers aside.
    pub(super) fn reconciliation(&self, direction: Direction) -> Reconciliation {
        Reconciliation::new(self.promises(), self.clock, direction)
    }

    /// More than numbers lies between the ends.
    pub(super) fn is_reconciled(&self) -> bool {
        !self.promises().agree() || self.clock != 0
    }

    /// How far the timestamps of what travels `direction` are moved.
    pub(super) fn clocks(&self, direction: Direction) -> Clocks {
        Clocks::new(self.clock, direction)
    }

    /// Whether an object can make up for what the ends were promised differently.
    pub(super) fn can_reconcile(&self) -> bool {
        let Some(server) = &self.server else { return false };
        let timestamps = self.client.block.has_timestamps() == server.block.has_timestamps();
        // RFC 9293 section 3.7.1: without the option, 536 for IPv4 and 1220 for IPv6.
        let default_mss = family(&self.key.quad).default_mss();
        let kept = server.block.peer_offer();
        timestamps && self.greeted.as_ref().is_none_or(|greeted| greeted.keeps_segments(kept, default_mss))
    }

    /// TSval of segments that speak for the server: its own clock, as the client knows it.
    pub(super) fn servers_clock(&self, now: Instant) -> u32 {
        if let Some(local) = &self.local {
            return local.clock(now);
        }
        match (self.server.as_ref().and_then(|leg| leg.block.ts_recent()), &self.greeted) {
            (Some(value), _) => value.wrapping_add(self.clocks(Direction::ServerToClient).own),
            (None, Some(greeted)) => greeted.clock.at(now),
            (None, None) => 0,
        }
    }

    /// TSval of segments that speak for the client.
    pub(super) fn clients_clock(&self) -> u32 {
        let value = self.client.block.ts_recent().unwrap_or(0);
        value.wrapping_add(self.clocks(Direction::ClientToServer).own)
    }

    /// The server's clock is known: towards the client it goes on where ours is.
    pub(super) fn take_servers_clock(&mut self, now: Instant) {
        let (Some(greeted), Some(server)) = (&self.greeted, &self.server) else { return };
        if let Some(value) = server.block.ts_recent() {
            self.clock = greeted.clock.at(now).wrapping_sub(value);
        }
    }
}

/// What is in force on the leg of the end that sends in direction `end`.
fn terms<B: Buffer>(block: &Block<B>, end: Direction) -> Terms {
    let shifts = block.shifts().map(|[peers, ours]| match end {
        Direction::ClientToServer => [peers, ours],
        Direction::ServerToClient => [ours, peers],
    });
    Terms::new(shifts, block.has_sack(), block.has_timestamps()).with_ecn(block.has_ecn())
}

/// What the SYN of the end that sends in direction `of` has promised, or what was promised to the other in its name, as far
/// as it is in force at that other end of the leg in whose `terms` it stands.
pub(super) fn in_force(terms: Terms, of: Direction, mss: u16) -> Handshake {
    Handshake {
        mss: Some(mss).filter(|mss| *mss != 0),
        window_scale: terms.scaling().then(|| terms.shift(of)),
        sack_permitted: terms.sack(),
        timestamps: terms.timestamps(),
        ..Handshake::default()
    }
}
