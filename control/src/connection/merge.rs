//! The merge (seed 001, FIG. 5 and 6): two TCBs become one connection object.
//!
//! 1. *Drain*. Nothing new is taken. Acknowledgments, SACK and windows of what comes are processed at once, its
//!    sequence space is held. Both legs wait until all that they sent is acknowledged.
//! 2. *Park*. The worker keeps what comes from now on; its answer says that everything before has come up.
//! 3. *Install*. Deltas are taken, each end gets one ACK with the other's window, the held segments go through the
//!    object in order, then those parked. The TCBs are gone.
//!
//! A drain that outlasts its deadline is undone: the held segments are fed to the TCBs as if they came now. So it is when the
//! worker has no place to go on searching a flow that is searched.

use dataplane::buffer::{Buffer, Pool};
use dataplane::counters::Counter;
use dataplane::flow::object::{Track, View};
use dataplane::flow::quad::Direction;
use dataplane::flow::state::TcpState;
use dataplane::packet::TcpHeaders;
use dataplane::wire::seq::Delta;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};
use dataplane::worker::message::Order;

use super::leg::read_segment;
use super::through::Ledger;
use super::{Connection, Held, Phase};
use crate::core::context::Context;
use crate::core::handover::Refused;
use crate::core::journal::Happening;
use crate::module::MERGE_RETRY;
use crate::tcp::{Segment, State};

/// The wait after an undone merge is doubled this often.
const MAX_DOUBLINGS: u32 = 7;

impl<L: Pool> Connection<L> {
    /// Starts draining when the module has said so and both legs are in a state that can be merged.
    pub(super) fn begin_merge_if_due(&mut self, cx: &mut Context<'_, L>) {
        if !self.merge_wanted || !cx.merging || self.merge_retry.is_some_and(|at| cx.now < at) {
            return;
        }
        // From here on every event is an occasion; one that never comes (a FIN was first) needs no timer.
        self.merge_retry = None;
        if let Some(obstacle) = self.obstacle() {
            return self.count_if_for_room(cx, obstacle);
        }
        // On a flow with no far end there is nothing to merge with.
        if self.server.is_none() {
            return;
        }
        if !self.can_reconcile() {
            self.merge_wanted = false;
            return cx.counters.count(Counter::MergesRefusedOptions);
        }
        self.merge_began = cx.now;
        // What passes while it leaves nobody would search.
        let is_bulk = self.is_bulk(cx) && !self.is_searched();
        let Some(server) = self.server.as_mut() else { return };
        if is_bulk {
            self.client.block.acknowledge_now();
            server.block.acknowledge_now();
            cx.counters.count(Counter::MergesInMotion);
            return self.begin_leaving();
        }
        // Step 604 has a blank acknowledgment for the last byte taken go out now. What is still to be acknowledged is so by the
        // last ACK before the object takes over (`announce_windows`), or by the timer of delayed acknowledgments.
        let rtt = self.client.block.srtt().max(server.block.srtt()).unwrap_or_default();
        self.phase = Phase::Draining { deadline: cx.now + rtt + cx.settings.drain };
    }

    /// Its session is at a point where the ends understand each other without it.
    pub(super) fn module_lets_go(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.may_leave())
    }

    /// Somebody wants it merged. Its module is not asked whether that is wise, only whether it is possible.
    pub(crate) fn order_merge(&mut self, cx: &mut Context<'_, L>) -> Result<(), Refused> {
        // It is on its way already: who orders it hears when it is done.
        if matches!(self.phase, Phase::Draining { .. } | Phase::Leaving | Phase::Parking) {
            return Ok(());
        }
        if !cx.merging {
            return Err(Refused::Off);
        }
        if self.proxying.is_none_or(|proxying| proxying.never_merges) {
            return Err(Refused::NeverMerges);
        }
        if self.server.is_none() || self.phase != Phase::Relaying {
            return Err(Refused::NotParticipating);
        }
        if !self.can_reconcile() {
            return Err(Refused::Options);
        }
        if !self.module_lets_go() {
            return Err(Refused::Module);
        }
        self.merge_wanted = true;
        self.merge_retry = None;
        self.settle(cx);
        Ok(())
    }

    /// Its bytes pass nowhere without being searched.
    pub(super) fn is_searched(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.sees_all())
    }

    /// What an object that takes the place of both legs says of them; none while a FIN has not been passed on and
    /// acknowledged, or when nothing is open any more.
    pub(super) fn open_state(&self) -> Option<TcpState> {
        match (self.client.block.state(), self.server.as_ref()?.block.state()) {
            (State::Established, State::Established) => Some(TcpState::Established),
            (State::CloseWait, State::FinWait2) => Some(TcpState::ClientClosed),
            (State::FinWait2, State::CloseWait) => Some(TcpState::ServerClosed),
            _ => None,
        }
    }

    /// A segment while merging: its acknowledgment counts at once, its bytes wait.
    pub(super) fn on_merging(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let now = cx.now;
        let Some(leg) = self.sender(direction) else { return };
        if !segment.flags.rst() {
            leg.block.on_ack_only(now, segment);
        }
        // A pure ACK is never replayed: it would be a duplicate.
        if headers.sequence_len() == 0 && !segment.flags.rst() {
            return;
        }
        if self.held.len() >= cx.settings.held_per_flow || cx.load.held >= cx.settings.held || cx.scarce {
            return cx.counters.count(Counter::DropHeldFull);
        }
        self.held.push_back(Held { direction, headers: *headers, frame });
    }

    /// When all that was sent has been acknowledged, the worker is told to park.
    pub(super) fn park_if_drained(&mut self, cx: &mut Context<'_, L>) {
        if matches!(self.phase, Phase::Draining { .. }) && self.is_drained() {
            self.phase = Phase::Parking;
            cx.outbox.order(Order::Park { flow: self.flow, searched: self.is_searched() });
        }
    }

    /// Seed 001, FIG. 6, steps 606 to 612: both sides have acknowledged all. A flow that acknowledges through only waits
    /// until what it has taken is sent: its sender still has it, and end to end is who repeats it. What a module has
    /// edited has to arrive first, for there are no deltas by which the sender could repeat that.
    fn is_drained(&self) -> bool {
        let Some(server) = &self.server else { return false };
        let legs = [&self.client.block, &server.block];
        match &self.through {
            // What is repeated end to end would be kept by nobody to compare it with.
            Some(ledgers) if self.is_searched() => {
                legs.iter().all(|block| block.is_drained()) && ledgers.iter().all(Ledger::is_even)
            }
            Some(ledgers) => {
                legs.iter().all(|block| block.is_handed_over()) && ledgers.iter().all(Ledger::is_even)
            }
            None => legs.iter().all(|block| block.is_drained()),
        }
    }

    /// The worker has parked: all earlier segments have come up, none comes any more.
    pub fn on_parked(&mut self, cx: &mut Context<'_, L>) {
        if self.phase != Phase::Parking {
            return;
        }
        if let Some(([delta_c2s, delta_s2c], view)) = self.left() {
            cx.outbox.order(Order::Install { flow: self.flow, delta_c2s, delta_s2c, view });
            cx.outbox.order(Order::Resume { flow: self.flow });
            self.phase = Phase::Done;
            cx.journal.note(cx.now, self.merge_began, self.key, Happening::MergedInMotion);
            return;
        }
        let Some(([delta_c2s, delta_s2c], view)) = self.replaced() else { return };
        cx.outbox.order(Order::Install { flow: self.flow, delta_c2s, delta_s2c, view });
        self.announce_windows(cx);
        for Held { direction, headers, frame } in std::mem::take(&mut self.held) {
            cx.outbox.order(Order::Replay { flow: self.flow, direction, headers, frame });
        }
        cx.outbox.order(Order::Resume { flow: self.flow });
        self.phase = Phase::Done;
        cx.journal.note(cx.now, self.merge_began, self.key, Happening::Merged);
    }

    /// The object that takes the place of both legs, from the end of all that was taken, by direction: deltas, and what its worker
    /// has to know.
    #[inline(always)]
    pub(super) fn replaced(&self) -> Option<([Delta; 2], View)> {
        let (client, server) = (&self.client.block, &self.server.as_ref()?.block);
        // FIG. 8: seq1 − ack1 and seq2 − ack2, where all is sent that is to be sent.
        let delta_c2s = Delta::between(server.closed_at(), client.rcv_nxt());
        let delta_s2c = Delta::between(client.closed_at(), server.rcv_nxt());
        let from_client = Track { end: client.rcv_nxt(), ack: server.ack_number() };
        let from_server = Track { end: server.rcv_nxt(), ack: client.ack_number() };
        let view = View {
            track: [from_client, from_server],
            edges: [
                client.offered_right_edge().max(server.peer_right_edge().minus(delta_c2s)),
                server.offered_right_edge().max(client.peer_right_edge().minus(delta_s2c)),
            ],
            promises: self.promises(),
            clock: self.clock,
            mss: [client, server].map(|block| block.peer_offer().mss.unwrap_or(0)),
            tcp: self.open_state().unwrap_or(TcpState::Established),
            searched: self.session.as_ref().and_then(|session| session.searched()),
        };
        Some(([delta_c2s, delta_s2c], view))
    }

    /// The worker has not: it has no place to go on searching the flow, which is searched where it is until there is one.
    pub fn on_unparked(&mut self, cx: &mut Context<'_, L>) {
        if self.phase == Phase::Parking {
            self.undo_merge(cx);
            self.settle(cx);
        }
    }

    /// Each end gets one ACK with the other's present window, so that nobody waits for a reopening that nobody will
    /// announce (DESIGN section 5); unless it has certainly heard of that already.
    fn announce_windows(&mut self, cx: &mut Context<'_, L>) {
        let Some(server) = &self.server else { return };
        let (client_ts, server_ts) = (self.clients_clock(), self.servers_clock(cx.now));
        for (to, opposite, value) in [(&self.client, server, server_ts), (server, &self.client, client_ts)] {
            let window = to.block.field_of(opposite.block.peer_window_left());
            if to.block.has_heard(window) {
                continue;
            }
            let timestamps = to.block.ts_recent().map(|echo| Timestamps { value, echo });
            let ack = TcpRepr {
                seq: to.block.snd_nxt(),
                ack: to.block.ack_number(),
                // A mark that the end has not heard of is not told by anybody else.
                flags: TcpFlags::ACK | to.block.echo_flags(),
                window,
                urgent: 0,
                options: TcpOptions { timestamps, ..TcpOptions::default() },
            };
            cx.transmit(to.way, &to.template, &ack, 0, |_| {});
        }
    }

    /// The drain took too long: the flow goes on participating, nothing is lost, and the merge is tried again later.
    pub(super) fn undo_merge(&mut self, cx: &mut Context<'_, L>) {
        cx.counters.count(Counter::MergesUndone);
        cx.journal.note(cx.now, self.merge_began, self.key, Happening::MergeUndone);
        self.phase = Phase::Relaying;
        self.merge_retry = Some(cx.now + MERGE_RETRY * (1 << self.merge_attempts.min(MAX_DOUBLINGS)));
        self.merge_attempts += 1;
        for Held { direction, headers, frame } in std::mem::take(&mut self.held) {
            if let Some(segment) = read_segment(frame.bytes(), &headers) {
                self.on_relayed(cx, direction, &segment, &headers, frame);
            }
        }
    }
}
