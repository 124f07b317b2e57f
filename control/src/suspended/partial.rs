//! One partial connection: what is known of a held SYN besides the SYN itself.

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::object::Record;
use dataplane::flow::table::FlowRef;
use dataplane::port::PortId;
use dataplane::wire::seq::Seq;

use super::syns::SynId;
use super::{Arrival, Marks, NONE};
use crate::core::context::Way;
use crate::module::Proxying;

/// Bits of an inspection's index: there are never more than `policy::compile::MOST_INSPECTIONS`, and all of them set is none.
const INSPECTION: u16 = (1 << 14) - 1;
/// See [`Partial::make_known`].
const KNOWN: u16 = 1 << 14;
/// See [`Partial::has_crossed`].
const CROSSED: u16 = 1 << 15;

/// Where it is on its way to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its module thinks. Nobody has heard of it.
    Deciding,
    /// The server has been asked; the client has heard nothing.
    Asking,
    /// Refused; the answer is remembered for the SYNs that come again. Its SYN is not kept any more.
    Refused,
}

/// What its server is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// What its SYN says.
    Own,
    /// Another server, client address or next hop, which its worker has still to agree to.
    Ordered,
    /// The same, settled: the worker knows it.
    Far,
}

/// A partial connection. Together with its SYN, timer and places in tables it is all that a held flow takes on the
/// control core; the worker has its flow's entry.
#[derive(Debug)]
pub(crate) struct Partial {
    /// The millisecond when it goes on by itself, modulo 2^32: a tick of the timer wheel.
    due: u32,
    /// The millisecond when it came, modulo 2^32.
    came: u32,
    /// The microsecond when the SYN went to the server last, modulo 2^32: an hour is more than it may take.
    sent: u32,
    pub(crate) flow: FlowRef,
    /// Neighbours by age, older and younger.
    pub(super) older: u32,
    pub(super) younger: u32,
    pub(crate) syn: Option<SynId>,
    /// What it counts for while its SYN is kept.
    pub(crate) marks: Marks,
    /// Number of the SYN that the server has got.
    pub(crate) iss: Seq,
    /// Number, as the server has got it, of the last SYN that was passed on beside that one; until there is one, the same.
    pub(crate) passed: Seq,
    /// There are at most 64.
    pub(crate) worker: u8,
    pub(crate) module: u16,
    /// The index of its inspection, and two things that are so or not in the bits above: a record is not larger for them.
    inspection: u16,
    /// Of a refused one, the index of the interned rejection; of one with a far side, the client's port there.
    number: u16,
    pub(crate) client_side: PortId,
    /// Port pair of its segment.
    pub(super) pair: u8,
    pub(crate) phase: Phase,
    /// How often the SYN has gone to the server.
    pub(crate) asked: u8,
    pub(crate) side: Side,
    /// The client has a connection already, by a SYN cookie.
    pub(crate) is_proven: bool,
    pub(crate) proxying: Proxying,
}

impl Partial {
    /// One that comes now, with all that is not decided yet at its default.
    pub(super) fn new(now: Instant, arrival: &Arrival<'_>, syn: SynId, marks: Marks) -> Partial {
        Partial {
            due: now.as_millis() as u32,
            came: now.as_millis() as u32,
            sent: 0,
            flow: arrival.flow,
            older: NONE,
            younger: NONE,
            syn: Some(syn),
            marks,
            iss: Seq(0),
            passed: Seq(0),
            worker: arrival.worker as u8,
            module: arrival.module,
            inspection: arrival.inspection & INSPECTION,
            number: 0,
            client_side: arrival.client_side,
            pair: arrival.key.segment.pair(),
            phase: Phase::Deciding,
            asked: 0,
            side: Side::Own,
            is_proven: arrival.is_proven,
            proxying: Proxying::default(),
        }
    }

    /// Index of the inspection that its rule names, or [`Record::NO_INSPECTION`]. It means the same over any reload.
    pub(crate) fn inspection(&self) -> u16 {
        match self.inspection & INSPECTION {
            INSPECTION => Record::NO_INSPECTION,
            index => index,
        }
    }

    /// The module knows the ticket and is told when it is void.
    pub(crate) fn make_known(&mut self) {
        self.inspection |= KNOWN;
    }

    /// Whether it was; from now on it is not.
    pub(crate) fn take_known(&mut self) -> bool {
        let was = self.inspection & KNOWN != 0;
        self.inspection &= !KNOWN;
        was
    }

    /// The client has answered a SYN of the server's that met its own (RFC 9293 section 3.5, figure 7).
    pub(crate) fn has_crossed(&self) -> bool {
        self.inspection & CROSSED != 0
    }

    /// It has just done so.
    pub(crate) fn cross(&mut self) {
        self.inspection |= CROSSED;
    }

    /// Which way frames to its server leave; `server_side` is the port opposite to the client's.
    pub(crate) fn way(&self, server_side: PortId) -> Way {
        match self.side {
            Side::Own => Way::Port(server_side),
            Side::Ordered | Side::Far => Way::Far(self.flow),
        }
    }

    /// It is refused, by the interned rejection of this index.
    pub(crate) fn refuse(&mut self, rejection: u16) {
        (self.phase, self.number) = (Phase::Refused, rejection);
    }

    /// Index of the rejection by which it is refused.
    pub(crate) fn rejection(&self) -> Option<u16> {
        (self.phase == Phase::Refused).then_some(self.number)
    }

    /// Its worker has given it a far side, where the client has this port.
    pub(crate) fn set_far(&mut self, client_port: u16) {
        (self.side, self.number) = (Side::Far, client_port);
    }

    /// The client's port as its server sees it, once it has a far side and as long as it is not refused.
    pub(crate) fn far_port(&self) -> Option<u16> {
        (self.side == Side::Far && self.phase != Phase::Refused).then_some(self.number)
    }

    /// The server has got the SYN under this number.
    pub(crate) fn ask_under(&mut self, iss: Seq) {
        (self.iss, self.passed) = (iss, iss);
    }

    /// How long ago it came, to a millisecond.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        Duration::from_millis((now.as_millis() as u32).wrapping_sub(self.came).into())
    }

    /// When it came, to a millisecond.
    pub(crate) fn at(&self, now: Instant) -> Instant {
        Instant::from_millis(now.as_millis().saturating_sub(self.age(now).as_millis() as u64))
    }

    /// It goes on by itself after `wait`, but when it is as old as `at_most` at the latest.
    pub(crate) fn wait(&mut self, now: Instant, wait: Duration, at_most: Duration) {
        let wait = wait.min(at_most.saturating_sub(self.age(now)));
        self.due = (now + wait).as_nanos().div_ceil(1_000_000) as u32;
    }

    /// The tick when it goes on by itself.
    pub(crate) fn due(&self) -> u32 {
        self.due
    }

    /// That tick has come.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        (now.as_millis() as u32).wrapping_sub(self.due) as i32 >= 0
    }

    /// The SYN goes to the server once more.
    pub(crate) fn note_sent(&mut self, now: Instant) {
        self.asked = self.asked.saturating_add(1);
        self.sent = (now.as_nanos() / 1000) as u32;
    }

    /// Somebody has thought about the server's answer for so long: as if all had happened that much later.
    pub(crate) fn discount(&mut self, thought: Duration) {
        self.sent = self.sent.wrapping_add(thought.as_micros() as u32);
    }

    /// When it went there last, to a microsecond.
    pub(crate) fn sent(&self, now: Instant) -> Instant {
        let now_us = now.as_nanos() / 1000;
        let ago = u64::from((now_us as u32).wrapping_sub(self.sent));
        Instant::ZERO + Duration::from_micros(now_us.saturating_sub(ago))
    }
}

/// RFC 6298 (2.1) and (5.5): 1, 2, 4 … s.
pub(crate) fn patience(asked: u8) -> Duration {
    const LONGEST: Duration = Duration::from_secs(60);
    Duration::from_secs(1 << asked.saturating_sub(1).min(6)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syn_is_repeated_by_rfc_6298() {
        assert_eq!([1, 2, 3, 6, 7, 200].map(|n| patience(n).as_secs()), [1, 2, 4, 32, 60, 60]);
    }
}
