//! A flow that its module has accepted (seed 000: "accept"): one leg, and the module's endpoint as its far end.
//!
//! The client's handshake is ordinary, with numbers and options of our own. Its data is taken from the first byte on, but
//! kept from the endpoint until the handshake has validated the client. Such a flow never merges: there is nothing to
//! merge with.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::packet::TcpHeaders;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::Order;

use super::begun::Origin;
use super::leg::{Leg, Look, read_segment};
use super::path::{family, mss_within};
use super::promises::OwnClock;
use super::{BlockOf, Connection, Phase};
use crate::core::context::Context;
use crate::core::secret::clock;
use crate::module::{Endpoint, Sending, Ticket};
use crate::suspended::partial::Partial;
use crate::tcp::{Block, Chunk, Handshake, State};

/// TTL of segments that speak for a server which nobody has heard.
const UNHEARD_TTL: u8 = 64;

/// A partial connection whose module is the server.
pub(crate) struct Accepting<'a> {
    pub(crate) partial: &'a Partial,
    /// Client → server.
    pub(crate) key: FlowKey,
    /// The client's SYN, verbatim.
    pub(crate) syn: &'a [u8],
    pub(crate) syn_headers: &'a TcpHeaders,
    /// The module's name for it.
    pub(crate) ticket: Ticket,
}

/// The far end.
pub(super) struct Local {
    /// Gone once it has been told of a reset.
    endpoint: Option<Box<dyn Endpoint>>,
    ticket: Ticket,
    is_established: bool,
    is_finished: bool,
    clock: OwnClock,
}

impl Local {
    /// TSval of a segment that is sent now.
    pub(super) fn clock(&self, now: Instant) -> u32 {
        self.clock.at(now)
    }

    /// The client has completed its handshake.
    pub(super) fn establish(&mut self) {
        if let Some(endpoint) = &mut self.endpoint
            && !std::mem::replace(&mut self.is_established, true)
        {
            endpoint.established();
        }
    }
}

impl<L: Pool> Connection<L> {
    /// The client leg's TCB, and the answer to the client.
    pub(crate) fn accepted(
        cx: &mut Context<'_, L>,
        accepting: &Accepting<'_>,
        endpoint: Box<dyn Endpoint>,
    ) -> Option<Connection<L>> {
        let Accepting { partial, key, ticket, .. } = *accepting;
        let syn = read_segment(accepting.syn, accepting.syn_headers)?;
        let mut block: BlockOf<L> = Block::suspended(partial.at(cx.now), &syn, cx.settings.leg);
        block.set_family(family(&key.quad));
        let local = Local {
            endpoint: Some(endpoint),
            ticket,
            is_established: false,
            is_finished: false,
            clock: OwnClock::new(&key, &cx.settings.isn_key),
        };
        let client = Leg {
            block,
            template: answer_to(accepting.syn, accepting.syn_headers),
            way: partial.client_side.into(),
            look: Look::Known,
        };
        let origin = Origin::of(partial, key);
        let mut connection = Connection { local: Some(local), ..Connection::begun(cx, origin, client) };
        connection.greet(cx);
        Some(connection)
    }

    /// SYN-ACK, with an ISN of ours (RFC 6528) and such options as every stack has.
    fn greet(&mut self, cx: &mut Context<'_, L>) {
        let mss = mss_within(cx.settings.mtu[usize::from(self.client_side.0)], &self.key.quad);
        let largest = cx.settings.leg.receive_buffer;
        let offer = Handshake {
            mss: Some(mss),
            window_scale: Some(shift_for(largest)),
            sack_permitted: true,
            timestamps: true,
            window: largest.min(u16::MAX.into()) as u16,
            ecn: TcpFlags(0),
        };
        let iss = cx.settings.isn_key.towards_client(&self.key, clock(cx.now));
        self.client.block.answer(cx.now, iss, &offer);
        self.client.block.set_link_mss(mss);
        self.await_client(cx);
        cx.outbox.order(Order::Participate { flow: self.flow });
        self.settle(cx);
    }

    /// A SYN with another number before the handshake is complete: we are listening again (RFC 9293 section 3.10.7.4,
    /// fourth step, SYN-RECEIVED after a passive open), and whoever decides decides anew.
    pub(super) fn listen_again(&mut self, cx: &mut Context<'_, L>, frame: L::Buffer) {
        self.end_local();
        self.next_syn = Some(frame);
        self.finish(cx);
    }

    /// The module's name for a flow that it has accepted, or whose session may be stirred.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.local.as_ref().map(|local| local.ticket).or(self.hold.ticket)
    }

    /// Moves what can be moved between the leg and the endpoint, and renews what the client may send.
    pub(super) fn pump_local(&mut self, cx: &mut Context<'_, L>) {
        self.receive_local(cx);
        self.send_local(cx);
        let share = cx.load.window_share(cx.settings);
        let rtt = || self.client.block.srtt().unwrap_or_default();
        let [inward, outward] = &mut self.allowances;
        inward.review(cx.now, self.client.block.read_to(), rtt, share == u32::MAX);
        outward.review(cx.now, self.client.block.snd_una(), rtt, share == u32::MAX);
        // What the endpoint has not taken closes the window.
        let offer = inward.bytes().min(share).saturating_sub(self.client.block.readable());
        self.client.block.set_offer(offer, false);
    }

    fn receive_local(&mut self, cx: &mut Context<'_, L>) {
        let Some(local) = &mut self.local else { return };
        let Some(endpoint) = &mut local.endpoint else {
            // Nobody will read it.
            while self.client.block.read().is_some() {}
            return;
        };
        while self.client.block.readable() > 0 && endpoint.room() > 0 {
            let Some(chunk) = self.client.block.read() else { break };
            cx.counters.add(Counter::RelayedBytes, chunk.len() as u64);
            endpoint.receive(chunk.bytes());
        }
        if self.client.block.fin_received() && self.client.block.readable() == 0 && !local.is_finished {
            local.is_finished = true;
            endpoint.finished();
        }
    }

    fn send_local(&mut self, cx: &mut Context<'_, L>) {
        let share = cx.load.window_share(cx.settings);
        let most = self.allowances[Direction::ServerToClient.index()].bytes().min(share);
        loop {
            let Some(local) = &mut self.local else { return };
            let Some(endpoint) = &mut local.endpoint else { return };
            if self.client.block.state() == State::Closed {
                return;
            }
            let room = most.saturating_sub(self.client.block.queued()).min(self.client.block.send_space());
            match endpoint.send(room as usize) {
                Sending::Nothing => return,
                Sending::Bytes(bytes) => {
                    cx.counters.add(Counter::RelayedBytes, bytes.len() as u64);
                    self.client.block.write(Chunk::owned(bytes));
                }
                Sending::Closed => return self.client.block.close(),
                Sending::Reset => {
                    local.endpoint = None;
                    return self.client.block.abort();
                }
            }
        }
    }

    /// The endpoint is told that nothing will come any more, whatever it has not read.
    pub(super) fn end_local(&mut self) {
        if let Some(mut endpoint) = self.local.as_mut().and_then(|local| local.endpoint.take()) {
            endpoint.reset();
        }
    }

    /// The endpoint has still to be given what came before the end of the leg.
    pub(super) fn owes_local(&self) -> bool {
        let Some(local) = &self.local else { return false };
        let block = &self.client.block;
        let is_owed = block.readable() > 0 || block.fin_received() && !local.is_finished;
        local.endpoint.is_some() && self.phase == Phase::Relaying && (is_owed || self.ending.is_some())
    }
}

/// The smallest window scale with which a window field can say `bytes`.
fn shift_for(bytes: u32) -> u8 {
    (0..14).find(|shift| u32::from(u16::MAX) << shift >= bytes).unwrap_or(14)
}

/// How frames to the client look that answer this one of its own: turned round.
pub(super) fn answer_to(frame: &[u8], headers: &TcpHeaders) -> FrameTemplate {
    let mut template = FrameTemplate::learn(frame, headers);
    template.quad = template.quad.reversed();
    template.ttl = UNHEARD_TTL;
    let (destination, source) = template.ethernet[..12].split_at_mut(6);
    destination.swap_with_slice(source);
    template
}

#[cfg(test)]
mod tests {
    use super::shift_for;

    #[test]
    fn a_window_field_can_say_the_receive_buffer() {
        let shifts = [16_384, 65_535, 65_536, 4 << 20, 64 << 20].map(shift_for);
        assert_eq!(shifts, [0, 0, 1, 7, 11]);
    }
}
