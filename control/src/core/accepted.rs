//! Flows that their module has accepted: who begins them, and whose endpoint, or session, has something to do.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::policy::Fallback;
use dataplane::refusal::Rejection;

use super::Core;
use super::handover::edited;
use crate::connection::{Accepting, Chosen, Connection, Greeting};
use crate::module::{Gone, Proxying};

/// Endpoints of one module that are looked after in a round; the others wait.
const ENDPOINTS_PER_ROUND: usize = 256;

impl<L: Pool> Core<L> {
    /// The client of the partial connection in `slot` gets a SYN-ACK of ours; what it says first decides about the server
    /// (DESIGN section 4, client-first).
    pub(super) fn greet(&mut self, now: Instant, slot: u32, proxying: Proxying, chosen: Chosen) {
        let Some(place) = self.find_place(now) else { return self.begin_without_place(now, slot) };
        if let Some(partial) = self.suspended.get_mut(slot) {
            partial.proxying = proxying;
        }
        let Some((partial, key)) = self.suspended.get(slot).zip(self.suspended.key(slot)) else { return };
        let Some((syn, syn_headers)) = self.suspended.syn(slot) else { return };
        let ticket = self.suspended.ticket(slot);
        let (worker, flow, inspection) = (usize::from(partial.worker), partial.flow, partial.inspection());
        let module = &mut self.modules[usize::from(partial.module)];
        let session = edited(module.session(&key), self.rules.as_deref(), inspection, Default::default());
        let profile = self.means.history.profile(&key);
        let is_proven = partial.is_proven;
        let greeting = Greeting { partial, key, syn, syn_headers: &syn_headers, profile, chosen };
        let mut cx = self.means.context(now, worker);
        match Connection::greeted(&mut cx, &greeting, session) {
            Some(mut connection) => {
                connection.name(ticket);
                self.hand_over(slot);
                self.place(place, worker, flow, connection);
                if is_proven {
                    self.on_slot(now, place, Connection::settle);
                }
            }
            None => {
                self.free.push(place);
                self.dismiss(slot, Gone::Settled);
            }
        }
    }

    /// Nobody has refused the client: its SYN passes, or it may repeat it.
    fn begin_without_place(&mut self, now: Instant, slot: u32) {
        let is_proven = self.suspended.get(slot).is_some_and(|partial| partial.is_proven);
        if self.means.settings.when_full == Fallback::Pass && !is_proven {
            self.means.counters.count(Counter::FlowsPassedFull);
            return self.release(now, slot, Path::Bypassed);
        }
        self.means.counters.count(Counter::DropConnectionsFull);
        self.reset_if_proven(now, slot);
        self.dismiss(slot, Gone::Displaced);
    }

    /// The client of the partial connection in `slot` gets a SYN-ACK of ours, and its module the bytes.
    pub(super) fn accept(&mut self, now: Instant, slot: u32) {
        let Some(key) = self.suspended.key(slot) else { return };
        let ticket = self.suspended.ticket(slot);
        let Some(place) = self.find_place(now) else { return self.begin_without_place(now, slot) };
        let connection = self.suspended.get(slot).zip(self.suspended.syn(slot)).and_then(|(partial, syn)| {
            let endpoint = self.modules[usize::from(partial.module)].endpoint(ticket, &key)?;
            let (syn, syn_headers) = (syn.0, &syn.1);
            let mut cx = self.means.context(now, usize::from(partial.worker));
            Connection::accepted(&mut cx, &Accepting { partial, key, syn, syn_headers, ticket }, endpoint)
        });
        match connection {
            Some(connection) => {
                let (worker, flow) = (connection.worker(), connection.flow());
                self.hand_over(slot);
                self.place(place, worker, flow, connection);
            }
            None => {
                // Nobody is there (`Module::endpoint`): the client hears so, as from a host where nobody listens.
                self.free.push(place);
                self.refuse(now, slot, Rejection::Reset);
            }
        }
    }

    /// Lets those endpoints of accepted flows send and read, and those sessions speak, that have something to do or say.
    pub(super) fn attend_endpoints(&mut self, now: Instant) -> usize {
        let mut attended = 0;
        for module in 0..self.modules.len() {
            for _ in 0..ENDPOINTS_PER_ROUND {
                let Some(ticket) = self.modules[module].stirred() else { break };
                attended += 1;
                if let Some(place) = self.by_ticket.get(&ticket) {
                    self.on_slot(now, *place, |connection, cx| connection.on_stirred(cx));
                }
            }
        }
        attended
    }

    /// What modules have counted becomes part of the control core's counters.
    pub(super) fn count_modules(&mut self) {
        for module in &mut self.modules {
            module.counted(&mut |counter, count| self.means.counters.add(counter, count));
        }
    }
}
