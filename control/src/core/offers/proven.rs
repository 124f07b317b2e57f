//! Clients that have a connection before anybody was asked: they have acknowledged the SYN cookie of their worker (DESIGN
//! section 4).
//!
//! From what the cookie says the SYN is written once more, so that modules, and all that holds partial connections, see what they
//! always see. Such a flow is client-first, whatever its module says; one that is not to be proxied is reset, for its SYN cannot
//! be taken back any more.

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::cookie::Terms;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::packet::{self, Packet, TcpHeaders};
use dataplane::refusal::Rejection;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::Timestamps;
use dataplane::worker::message::Order;

use super::{Core, Offer};
use crate::connection::{Chosen, read_segment};
use crate::core::flows::Arrived;
use crate::module::{self, Acknowledge, Decision, Proxying, Target};

impl<L: Pool> Core<L> {
    /// A client that is answered already; the frame may be its first words.
    pub(super) fn offer_proven(&mut self, now: Instant, offer: Offer<L::Buffer>, terms: Terms) {
        let (worker, flow, port) = (offer.worker, offer.flow, offer.client_side);
        let Some(said) = read_segment(offer.frame.bytes(), &offer.headers) else {
            self.means.counters.count(Counter::DropTcpOptions);
            return self.means.outboxes[worker].order(Order::Remove { flow });
        };
        let is_held = match self.written_again(&offer, terms, said.options.timestamps) {
            Some((frame, headers)) => self.consider(now, Offer { headers, frame, ..offer }),
            None => {
                self.means.counters.count(Counter::BuffersExhausted);
                self.means.outboxes[worker].order(Order::Remove { flow });
                false
            }
        };
        let Offer { headers, frame, .. } = offer;
        if is_held {
            let arrived = Arrived { direction: Direction::ClientToServer, port, headers, frame };
            self.on_segment(now, worker, flow, arrived);
        } else {
            self.means.counters.count(Counter::Terminated);
            self.means.counters.count(Counter::CookiesRefused);
            let mut cx = self.means.context(now, worker);
            cx.answer_with(port, frame.bytes(), &headers, &Rejection::Reset);
        }
    }

    /// A client that has a connection hears that it has none any more; any other hears nothing.
    pub(in crate::core) fn reset_if_proven(&mut self, now: Instant, slot: u32) {
        let Some((partial, (syn, headers))) = self.suspended.get(slot).zip(self.suspended.syn(slot)) else {
            return;
        };
        if !partial.is_proven {
            return;
        }
        let (worker, port) = (usize::from(partial.worker), partial.client_side);
        // As if its acknowledgment had come now: what answers that has the number which it knows.
        let acknowledgment = TcpHeaders { ack: headers.ack.advance(1), flags: TcpFlags::ACK, ..headers };
        self.means.counters.count(Counter::CookiesRefused);
        self.means.context(now, worker).answer_with(port, syn, &acknowledgment, &Rejection::Reset);
    }

    /// The SYN that the client began with, as far as a cookie says so. Beside what a SYN has, it says in the field for an
    /// acknowledgment which number was acknowledged, and in its timestamps which clock was shown.
    fn written_again(
        &mut self,
        offer: &Offer<L::Buffer>,
        terms: Terms,
        timestamps: Option<Timestamps>,
    ) -> Option<(L::Buffer, TcpHeaders)> {
        let Offer { key, ref headers, ref frame, .. } = *offer;
        let syn = TcpRepr {
            seq: headers.seq.retreat(1),
            ack: headers.ack.retreat(1),
            flags: TcpFlags::SYN,
            window: headers.window,
            urgent: 0,
            options: terms.options(key.quad.addresses.is_v6(), timestamps),
        };
        let template = FrameTemplate::learn(frame.bytes(), headers);
        let mut buffer = self.means.pool.take()?;
        template.build(&syn, &[], buffer.extend(template.header_len(&syn))?)?;
        let Ok(Packet::Tcp(read)) = packet::parse(buffer.bytes()) else { return None };
        Some((buffer, TcpHeaders { segment: headers.segment, ..read }))
    }

    /// What becomes of such a client, when its module has decided otherwise than about a SYN.
    pub(super) fn carry_out_proven(&mut self, now: Instant, slot: u32, decision: Decision) {
        let (proxying, chosen) = match decision {
            Decision::Later(within) => return self.wait_for_module(now, slot, within),
            Decision::Proxy(proxying) if proxying.order == module::Order::ServerFirst => {
                (proxying, Chosen::Already(Target::default()))
            }
            Decision::ProxyTo(proxying, target) if proxying.order == module::Order::ServerFirst => {
                (proxying, Chosen::Already(target))
            }
            Decision::Proxy(proxying) | Decision::ProxyTo(proxying, _) => (proxying, Chosen::BySession),
            Decision::Drop
            | Decision::Reject(_)
            | Decision::Bypass
            | Decision::Forward(_)
            | Decision::Monitor
            | Decision::Accept => {
                self.means.counters.count(Counter::CookiesRefused);
                (Proxying::default(), Chosen::Nobody)
            }
        };
        let proxying = Proxying {
            order: module::Order::ClientFirst,
            acknowledge: Acknowledge::Receipt,
            consult: None,
            ..proxying
        };
        self.greet(now, slot, proxying, chosen);
    }
}
