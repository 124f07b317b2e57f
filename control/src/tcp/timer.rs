//! Timers of one leg: retransmission or window probe, delayed acknowledgment, TIME-WAIT.

use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;

use super::block::Block;
use super::events::Events;
use super::state::State;

/// RFC 9293 section 3.8.6.3 allows half a second; this is what Linux takes at least.
pub(super) const DELAYED_ACK: Duration = Duration::from_millis(40);

/// When what is due.
#[derive(Debug)]
pub(super) struct Timers {
    /// When the handshake began.
    pub(super) started: Instant,
    /// When the peer last made progress, or had nothing to make progress on.
    pub(super) progress: Instant,
    /// Retransmission timeout, or the next window probe.
    pub(super) retransmit: Option<Instant>,
    /// Reordering becomes loss (RFC 8985 section 6).
    pub(super) reorder: Option<Instant>,
    /// Tail loss probe (RFC 8985 section 7).
    pub(super) tail: Option<Instant>,
    /// The pace lets the next segment go.
    pub(super) pace: Option<Instant>,
    /// Doublings of the window probe's interval.
    pub(super) probes: u32,
    /// Delayed acknowledgment.
    pub(super) ack: Option<Instant>,
    /// End of TIME-WAIT.
    pub(super) linger: Option<Instant>,
}

impl Timers {
    pub(super) fn new(now: Instant) -> Self {
        Timers {
            started: now,
            progress: now,
            retransmit: None,
            reorder: None,
            tail: None,
            pace: None,
            probes: 0,
            ack: None,
            linger: None,
        }
    }

    pub(super) fn stop(&mut self) {
        self.stop_sending();
        self.ack = None;
        self.linger = None;
    }

    /// Nothing is outstanding that could be lost.
    pub(super) fn stop_sending(&mut self) {
        self.retransmit = None;
        self.reorder = None;
        self.tail = None;
        self.pace = None;
    }
}

impl<B: Buffer> Block<B> {
    /// When `on_timer` wants to be called; it may be called earlier, and any number of times.
    #[inline(always)]
    pub fn deadline(&self) -> Option<Instant> {
        let give_up = (self.state == State::SynSent).then(|| self.timers.started + self.limits.syn_timeout);
        let Timers { retransmit, reorder, tail, pace, ack, linger, .. } = self.timers;
        let keepalive = self.keepalive_deadline();
        [retransmit, reorder, tail, pace, ack, linger, give_up, keepalive]
            .into_iter()
            .fold(None, Instant::earlier)
    }

    /// Lets time pass. Call `poll` afterwards.
    pub fn on_timer(&mut self, now: Instant) -> Events {
        if self.timers.ack.is_some_and(|at| at <= now) {
            self.timers.ack = None;
            self.out.ack_now = true;
        }
        if self.timers.linger.is_some_and(|at| at <= now) {
            return self.finish(Events::NONE);
        }
        if self.state == State::SynSent && now >= self.timers.started + self.limits.syn_timeout {
            return self.finish(Events::GAVE_UP);
        }
        // `poll` sends what it has kept waiting.
        self.timers.pace = self.timers.pace.filter(|at| *at > now);
        if self.timers.reorder.is_some_and(|at| at <= now) {
            self.timers.reorder = None;
            self.on_reordering_timer(now);
        }
        if self.timers.tail.is_some_and(|at| at <= now) {
            self.timers.tail = None;
            if self.on_tail_timer(now) {
                return Events::NONE;
            }
        }
        if self.keepalive_deadline().is_some_and(|at| at <= now) {
            return self.on_keepalive_timer(now);
        }
        if self.timers.retransmit.is_some_and(|at| at <= now) {
            self.timers.retransmit = None;
            return self.on_retransmit_timer(now);
        }
        Events::NONE
    }

    fn on_retransmit_timer(&mut self, now: Instant) -> Events {
        if self.state == State::SynSent {
            self.rto.back_off();
            self.out.syn = true;
            return Events::NONE;
        }
        if !self.state.sends_data() {
            return Events::NONE;
        }
        if now.since(self.timers.progress) >= self.limits.user_timeout {
            return self.finish(Events::GAVE_UP);
        }
        // The window is closed (RFC 9293 section 3.8.6.1), or too small for what waits and has been so for long enough
        // (the override of section 3.8.6.2.1). Neither is a sign of congestion.
        if self.snd.edge.le(self.snd.una) || self.snd.una == self.snd.nxt {
            self.timers.probes = self.timers.probes.saturating_add(1);
            self.out.probe = true;
        } else {
            self.on_retransmission_timeout(now);
        }
        Events::NONE
    }

    /// The block is over.
    pub(super) fn finish(&mut self, reason: Events) -> Events {
        self.state = State::Closed;
        self.out.clear();
        self.release();
        reason | Events::CLOSED
    }

    /// Both FINs are acknowledged: RFC 9293 section 3.6.1, with the appliance's own, shorter, duration.
    pub(super) fn start_linger(&mut self, now: Instant) {
        self.timers.stop_sending();
        // While the peer's FIN waits for its acknowledgment there is nothing to linger for yet.
        self.timers.linger = (!self.withholds()).then(|| now + self.limits.linger);
    }
}
