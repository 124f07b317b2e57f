//! Loss recovery: what an acknowledgment, or its absence, says about what is outstanding, and what follows from it.
//!
//! `flight` knows what was sent when, `rack` what of it is lost (RFC 8985), `prr` how the window comes down (RFC 6937),
//! `tail` probes for losses at the end (RFC 8985 section 7), `timeout` is what remains when nothing else speaks
//! (RFC 6298, RFC 5682), `undo` takes back what was a mistake (RFC 3708, RFC 5682). A peer without SACK is served by
//! RFC 6582 over the same records.

mod flight;
#[cfg(test)]
mod flight_tests;
mod prr;
mod rack;
mod tail;
mod timeout;
mod undo;

use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::{MAX_WINDOW, Seq};
use dataplane::wire::tcp_options::SackBlock;

pub(super) use flight::Flight;
pub(super) use timeout::Frto;

use super::block::Block;
use super::congestion::{Acked, Congestion};
use super::input::Arrival;
use super::segment::Segment;
use flight::{Delivery, Sent};
use prr::Prr;
use rack::{DUPLICATES, Found, Rack};
use tail::Tail;
use undo::Undo;

/// What the sender believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is lost.
    Open,
    /// The network has said that it is congested; nothing is lost.
    Reducing,
    /// Something is lost: fast recovery.
    Fast,
    /// The retransmission timer has expired.
    Timeout,
}

impl Phase {
    /// The window comes down in proportion to what arrives.
    const fn is_reducing(self) -> bool {
        matches!(self, Phase::Reducing | Phase::Fast)
    }
}

/// The state of loss recovery.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    /// SND.NXT when the phase began: it ends when all before it is acknowledged (RFC 6675's RecoveryPoint).
    pub(super) high: Seq,
    /// SND.NXT at the last loss (RFC 6582's `recover`): what was sent again before may be what is duplicated now.
    repeated: Seq,
    /// When the last recovery began: what was sent again before was a probe, and none of its doing.
    began: Instant,
    /// What the last tail probe has sent again.
    probed: Option<SackBlock>,
    pub(super) frto: Frto,
    /// One retransmission goes out whatever the window says.
    pub(super) force: bool,
    rack: Rack,
    prr: Prr,
    undo: Undo,
    tail: Option<Tail>,
    /// The retransmission timer has expired, and nothing was acknowledged since.
    expired: bool,
    /// Duplicate acknowledgments in a row, of a peer without SACK.
    duplicates: u32,
    /// The round trip is measured again once this is acknowledged and more: once a round trip (RFC 6298 section 3).
    measured: Seq,
    /// The congestion window has been what limits, at least until this is acknowledged.
    limited: Option<Seq>,
}

impl Recovery {
    pub(super) fn new(start: Seq) -> Self {
        Recovery {
            phase: Phase::Open,
            high: start.retreat(1),
            repeated: start.retreat(1),
            began: Instant::ZERO,
            probed: None,
            frto: Frto::Off,
            force: false,
            rack: Rack::new(start),
            prr: Prr::default(),
            undo: Undo::default(),
            tail: None,
            expired: false,
            duplicates: 0,
            measured: start,
            limited: None,
        }
    }

    /// Nothing has been sent yet, and the first number will be `start`.
    pub(super) fn renumber(&mut self, start: Seq) {
        self.high = start.retreat(1);
        self.repeated = start.retreat(1);
        self.measured = start;
        self.rack.renumber(start);
    }

    /// The handshake has taken `rtt`.
    pub(super) fn start_rtt(&mut self, now: Instant, rtt: Duration) {
        self.rack.start_rtt(now, rtt);
    }

    /// The congestion window keeps something from being sent.
    pub(super) fn note_limited(&mut self, nxt: Seq) {
        self.limited = Some(nxt);
    }

    /// `bytes` have been sent.
    pub(super) fn on_sent(&mut self, bytes: u32, retransmission: bool) {
        if self.phase.is_reducing() {
            self.prr.on_sent(bytes);
        }
        if retransmission {
            self.force = false;
            if matches!(self.phase, Phase::Fast | Phase::Timeout) {
                self.undo.on_resent(bytes);
            }
        }
    }

    /// What began the recovery, or came during it, was no mistake.
    pub(super) fn forbid_undo(&mut self) {
        self.undo = Undo::default();
    }

    /// Marks must not drift half a sequence space away, where comparisons would turn around.
    fn keep_up(&mut self, una: Seq) {
        self.limited = self.limited.filter(|at| at.ge(una));
        self.measured = self.measured.max(una.retreat(MAX_WINDOW));
        self.repeated = self.repeated.max(una.retreat(MAX_WINDOW));
        if self.phase == Phase::Open {
            self.high = self.high.max(una.retreat(MAX_WINDOW));
        }
    }
}

/// A block below what is acknowledged, or within the next one, reports a duplicate (RFC 2883 section 4).
fn dsack(blocks: &[SackBlock], ack: Seq) -> Option<SackBlock> {
    let first = *blocks.first()?;
    let within = blocks.get(1).is_some_and(|next| first.left.ge(next.left) && first.right.le(next.right));
    let is_block = first.left.lt(first.right);
    (is_block && (first.right.le(ack) || within)).then_some(first)
}

impl<B: Buffer> Block<B> {
    /// Takes an acceptable acknowledgment's number and SACK blocks to the records. SND.UNA is still the old one.
    pub(super) fn deliver(&mut self, arrival: &Arrival<'_>) -> Delivery {
        let segment = arrival.segment;
        let Recovery { rack, high, began, .. } = &self.snd.recovery;
        let mut delivery = Delivery::new(arrival.now, rack.least_rtt(), *high, rack.fack(), *began);
        if segment.ack.gt(self.snd.una) {
            self.snd.flight.acknowledge(segment.ack, &mut delivery);
        }
        if self.sack {
            for block in &segment.options.sack {
                self.snd.flight.sack(*block, &mut delivery);
            }
        }
        delivery
    }

    /// Nothing is outstanding, nothing is being recovered from and no probe is out: who acknowledges nothing new can only have
    /// a window to tell, or a mark.
    pub(super) fn is_at_rest(&self) -> bool {
        let Recovery { phase, tail, .. } = &self.snd.recovery;
        self.snd.una == self.snd.nxt
            && self.snd.flight.count() == 0
            && *phase == Phase::Open
            && tail.is_none()
    }

    /// The one segment that is outstanding, when nothing is known of it but that it was sent once, and all that is acknowledged
    /// is that it has arrived: there is nothing to recover from, and the records have nothing more to say.
    pub(super) fn take_whole_flight(&mut self, segment: &Segment) -> Option<Sent> {
        #[cfg(test)]
        if super::tests::short_way::is_shut() {
            return None;
        }
        let Recovery { phase, tail, .. } = &self.snd.recovery;
        let is_plain = *phase == Phase::Open && tail.is_none() && segment.options.sack.is_empty();
        if !is_plain || segment.ack != self.snd.nxt {
            return None;
        }
        self.snd.flight.take_only(segment.ack)
    }

    /// What [`Block::recover`] comes to when `sent` was taken by [`Block::take_whole_flight`].
    pub(super) fn recover_whole(&mut self, arrival: &Arrival<'_>, sent: &Sent) {
        #[cfg(test)]
        super::tests::short_way::note_taken();
        let (now, una) = (arrival.now, self.snd.una);
        let delivery = Delivery::whole(now, sent);
        self.measure(&delivery);
        let recovery = &mut self.snd.recovery;
        recovery.keep_up(una);
        recovery.rack.take(now, una, &delivery);
        recovery.expired = false;
        recovery.duplicates = 0;
        self.take_echo(now, arrival.segment, delivery.bytes);
        self.adjust_window(now, &delivery, delivery.bytes, delivery.bytes, Found::default());
        self.timers.reorder = None;
        self.timers.tail = None;
    }

    /// What the acknowledgment means to the round trip, to what is lost, and to the window. SND.UNA is the new one.
    pub(super) fn recover(
        &mut self,
        arrival: &Arrival<'_>,
        delivery: &Delivery,
        duplicate: bool,
        before: u32,
    ) {
        let now = arrival.now;
        self.measure(delivery);
        let una = self.snd.una;
        self.snd.recovery.keep_up(una);
        self.snd.recovery.rack.take(now, una, delivery);
        let dsack = if self.sack { dsack(&arrival.segment.options.sack, arrival.segment.ack) } else { None };
        if let Some(block) = dsack {
            self.take_dsack(block);
        }
        self.take_early(delivery.early);
        self.take_tail_ack(arrival, delivery, dsack);
        let delivered = self.count_duplicates(delivery, duplicate);
        let ended = self.end_if_complete();
        let found = self.find_losses(now, delivery);
        self.step(now, delivery, duplicate, found, ended);
        self.take_echo(now, arrival.segment, before);
        // At the end of a recovery the window has just been set; it grows with the next acknowledgment.
        if !ended || self.snd.recovery.phase != Phase::Open {
            self.adjust_window(now, delivery, delivered, before, found);
        }
        self.timers.reorder = found.wait.map(|wait| now + wait);
        if delivery.acked > 0 || delivery.sacked > 0 {
            self.arm_tail(now);
        }
    }

    /// RFC 6298 section 3 and 4: a sample once a round trip, of what was sent once.
    fn measure(&mut self, delivery: &Delivery) {
        if let Some(rtt) = delivery.patient_rtt()
            && self.snd.una.gt(self.snd.recovery.measured)
        {
            self.rto.sample(rtt);
            self.snd.recovery.measured = self.snd.nxt;
        }
    }

    /// RFC 6582: without SACK a duplicate stands for a segment that has arrived somewhere. Returns the bytes that have left
    /// the network: what duplicates stood for has done so before it is acknowledged.
    fn count_duplicates(&mut self, delivery: &Delivery, duplicate: bool) -> u32 {
        let size = self.segment_size();
        let counted = self.snd.flight.duplicates();
        let recovery = &mut self.snd.recovery;
        if delivery.acked > 0 {
            recovery.expired = false;
            recovery.duplicates = 0;
            match recovery.phase {
                Phase::Timeout => self.snd.flight.clear_duplicates(),
                _ => self.snd.flight.forget_duplicates(delivery.acked, size),
            }
        }
        // After a timeout, only new data tells that its duplicate is not of our own making.
        let own = recovery.phase == Phase::Timeout && self.snd.nxt.le(recovery.high);
        if !self.sack && duplicate && !own {
            recovery.duplicates += 1;
            self.snd.flight.count_duplicate(size);
        }
        (delivery.bytes + self.snd.flight.duplicates()).saturating_sub(counted)
    }

    /// All that was outstanding when the phase began is acknowledged.
    fn end_if_complete(&mut self) -> bool {
        let recovery = &mut self.snd.recovery;
        if recovery.phase == Phase::Open || recovery.frto != Frto::Off || self.snd.una.lt(recovery.high) {
            return false;
        }
        if recovery.phase.is_reducing() {
            self.congestion.set_window(self.congestion.threshold());
        }
        if recovery.phase != Phase::Reducing {
            recovery.rack.recovered();
        }
        recovery.phase = Phase::Open;
        recovery.force = false;
        self.snd.flight.clear_duplicates();
        true
    }

    fn find_losses(&mut self, now: Instant, delivery: &Delivery) -> Found {
        let recovering = matches!(self.snd.recovery.phase, Phase::Fast | Phase::Timeout);
        if self.sack {
            let srtt = self.rto.srtt();
            return self.snd.recovery.rack.detect(&mut self.snd.flight, now, recovering, srtt);
        }
        let recovery = &mut self.snd.recovery;
        let lost = match recovery.phase {
            // RFC 6582 section 3.2 step 2: what our own retransmissions duplicate must not count again.
            Phase::Open | Phase::Reducing
                if recovery.duplicates >= DUPLICATES && self.snd.una.gt(recovery.repeated) =>
            {
                self.snd.flight.mark_first_lost()
            }
            // Step 5: a partial acknowledgment says that the next one is lost too.
            Phase::Fast if delivery.acked > 0 => {
                recovery.force = true;
                self.snd.flight.mark_first_lost()
            }
            _ => 0,
        };
        Found { lost, ..Found::default() }
    }

    /// The phase after what was found.
    fn step(&mut self, now: Instant, delivery: &Delivery, duplicate: bool, found: Found, ended: bool) {
        match self.snd.recovery.phase {
            Phase::Open | Phase::Reducing => {
                // What was sent during the last recovery may have been lost in it too.
                if found.lost > 0 || ended && self.snd.flight.lost() > 0 {
                    self.enter_fast_recovery(now);
                }
            }
            Phase::Fast => {}
            // A retransmission that is lost as well goes out again as slow start allows.
            Phase::Timeout => self.step_after_timeout(now, delivery, duplicate),
        }
    }

    /// What is outstanding in segments of more than `size` bytes goes out again, and not because the network is congested:
    /// the path or the peer had no room for it.
    pub(super) fn resend_larger_than(&mut self, size: u32) {
        self.snd.flight.mark_lost(|record| Some(record.len() > size));
        self.snd.recovery.frto = Frto::Off;
    }

    /// The network is congested, and nothing is lost: the window comes down from `before` bytes as it does after a loss.
    pub(super) fn enter_reduction(&mut self, now: Instant, before: u32) {
        let outstanding = self.snd.flight.outstanding().max(before);
        self.congestion.on_congestion(now, self.congestion.window());
        let recovery = &mut self.snd.recovery;
        recovery.prr = Prr::new(outstanding);
        recovery.phase = Phase::Reducing;
        // The probe has nothing to add.
        recovery.tail = None;
        recovery.high = self.snd.nxt;
        recovery.forbid_undo();
    }

    pub(super) fn enter_fast_recovery(&mut self, now: Instant) {
        let outstanding = self.snd.flight.outstanding();
        let recovery = &mut self.snd.recovery;
        if recovery.phase != Phase::Reducing {
            // Of the window, not of what happens to be outstanding: an application that pauses has not made the path
            // narrower, and a window that is not used does not grow (RFC 9438 section 4.6, RFC 7661).
            self.congestion.on_congestion(now, self.congestion.window());
            recovery.prr = Prr::new(outstanding);
        }
        recovery.high = self.snd.nxt;
        recovery.repeated = self.snd.nxt;
        recovery.began = now;
        recovery.frto = Frto::Off;
        recovery.force = true;
        recovery.tail = None;
        match recovery.phase {
            // The marks that began it were no mistake.
            Phase::Reducing => recovery.undo = Undo::default(),
            _ => recovery.undo.begin(self.snd.una),
        }
        recovery.phase = Phase::Fast;
        self.timers.tail = None;
        self.timers.retransmit = Some(self.rto.expires(now));
        self.ecn.on_reduction(false);
    }

    #[inline(always)]
    fn adjust_window(
        &mut self,
        now: Instant,
        delivery: &Delivery,
        delivered: u32,
        before: u32,
        found: Found,
    ) {
        let recovery = &mut self.snd.recovery;
        if recovery.phase.is_reducing() {
            let safe = delivery.acked > 0 && found.lost == 0;
            let (pipe, size) = (self.snd.flight.pipe(), self.segment_size());
            let threshold = self.congestion.threshold();
            let window = self.snd.recovery.prr.window(delivered, pipe, threshold, size, safe);
            self.congestion.set_window(window.max(size));
        } else if delivery.acked > 0 {
            let window = self.congestion.window();
            // RFC 9438 section 5.8 and RFC 7661 section 4.3: a window that was not used proves nothing about the path.
            let starting = window < self.congestion.threshold() && 2 * u64::from(before) >= u64::from(window);
            let limited = recovery.phase == Phase::Timeout || starting || recovery.limited.is_some();
            let (una, nxt) = (self.snd.una, self.snd.nxt);
            let rtt = delivery.rtt();
            let acked = Acked { now, bytes: delivery.bytes, flight: before, rtt, limited, una, nxt };
            self.congestion.on_ack(&acked);
        }
    }

    /// The reordering timer: what has not come by now is lost (RFC 8985 section 6.3).
    pub(super) fn on_reordering_timer(&mut self, now: Instant) {
        let recovering = matches!(self.snd.recovery.phase, Phase::Fast | Phase::Timeout);
        let srtt = self.rto.srtt();
        let found = self.snd.recovery.rack.detect(&mut self.snd.flight, now, recovering, srtt);
        self.timers.reorder = found.wait.map(|wait| now + wait);
        if found.lost == 0 {
            return;
        }
        if matches!(self.snd.recovery.phase, Phase::Open | Phase::Reducing) {
            self.enter_fast_recovery(now);
        }
        if self.snd.recovery.phase.is_reducing() {
            let (pipe, size) = (self.snd.flight.pipe(), self.segment_size());
            let threshold = self.congestion.threshold();
            let window = self.snd.recovery.prr.window(0, pipe, threshold, size, false);
            self.congestion.set_window(window.max(size));
        }
    }
}
