//! Partial connections that go on to another server, under another client address, or by another next hop (seed 000:
//! "another server", "another proxy").
//!
//! The control core says where to; the worker gives the flow its far side and translates. Before it has agreed nothing is
//! sent: a SYN of a quad that is another flow's would hit that one's server.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::flow::far::{FarSide, NextHop};
use dataplane::flow::object::Path;
use dataplane::flow::quad::Quad;
use dataplane::flow::table::{FlowRef, Refused};
use dataplane::worker::message::{ClientPort, Order};

use crate::core::Core;
use crate::core::secret::clock;
use crate::module::{Departing, Gone, Mark, Target};
use crate::suspended::partial::{Phase, Side};

impl<L: Pool> Core<L> {
    /// Asks the worker for the far side of a partial connection whose server is about to be asked.
    pub(super) fn order_far_side(&mut self, now: Instant, slot: u32, target: &Target) {
        let Some(key) = self.suspended.key(slot) else { return };
        let Some(far) = self.far_side(slot, target.quad(&key.quad), target.hop) else { return };
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        partial.side = Side::Ordered;
        let (worker, flow) = (usize::from(partial.worker), partial.flow);
        // Of a number that nobody can guess, the lower half (RFC 6056).
        let from = self.means.settings.isn_key.towards_server(&key, clock(now)).0 as u16;
        let ports = ClientPort::Searched { from };
        self.means.outboxes[worker].order(Order::SetFarSide { flow, far, ports });
    }

    /// What the SYN says to the server besides what the client has said: nothing, but by a far side what its module wants.
    pub(super) fn mark(&mut self, slot: u32) -> Mark {
        let Some(partial) = self.suspended.get(slot) else { return Mark::default() };
        let Some(client_port) = partial.far_port() else { return Mark::default() };
        let Some(key) = self.suspended.key(slot) else { return Mark::default() };
        let departing = Departing { key, client_port, seq: partial.iss };
        self.modules[usize::from(partial.module)].mark(&departing)
    }

    /// The worker has agreed, and the server is asked; or it has not, and the client hears nothing: it may try again. The
    /// worker has counted why.
    pub(in crate::core) fn on_far_side(
        &mut self,
        now: Instant,
        worker: usize,
        flow: FlowRef,
        placed: Result<u16, Refused>,
    ) {
        let Some(slot) = self.suspended.find(worker, flow) else {
            // A client-first flow; or it has ended meanwhile.
            return self.on_flow(now, worker, flow, |c, cx| c.on_far_side(cx, placed.err()));
        };
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        if partial.side == Side::Own {
            // Taken back since.
            return;
        }
        match placed {
            Err(_) => self.dismiss(slot, Gone::Displaced),
            Ok(client_port) => {
                // Of two that were ordered one after the other the last answer counts.
                partial.set_far(client_port);
                if partial.phase == Phase::Asking && partial.asked == 0 {
                    self.ask_server(now, slot);
                }
            }
        }
        self.rearm_partial(slot);
    }

    /// It is decided otherwise: whoever was asked is not meant any more and forgets it, and the flow's server is the one that
    /// its SYN names. An order that its worker has still to answer is taken back like one that it has carried out.
    pub(super) fn turn_back(&mut self, now: Instant, slot: u32) {
        self.end_asked(now, slot);
        let Some(partial) = self.suspended.get_mut(slot) else { return };
        if std::mem::replace(&mut partial.side, Side::Own) != Side::Own {
            let (worker, flow) = (usize::from(partial.worker), partial.flow);
            self.means.outboxes[worker].order(Order::ClearFarSide { flow });
        }
    }

    /// The SYN leaves by another next hop, and all that follows.
    pub(super) fn divert(&mut self, now: Instant, slot: u32, hop: NextHop) {
        self.end_asked(now, slot);
        let Some(key) = self.suspended.key(slot) else { return };
        let Some(far) = self.far_side(slot, key.quad, hop) else { return };
        let Some(partial) = self.suspended.get(slot) else { return };
        let (worker, flow) = (usize::from(partial.worker), partial.flow);
        self.means.outboxes[worker].order(Order::Divert { flow, far });
        self.release(now, slot, Path::Bypassed);
    }

    fn far_side(&self, slot: u32, quad: Quad, hop: NextHop) -> Option<FarSide> {
        let (partial, (syn, headers)) = self.suspended.get(slot).zip(self.suspended.syn(slot))?;
        let opposite = self.means.settings.peers[usize::from(partial.client_side.0)];
        FarSide::of_syn(syn, headers.l3, quad, hop, opposite)
    }
}
