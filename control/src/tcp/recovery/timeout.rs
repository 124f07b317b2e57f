//! The retransmission timeout, and whether it was one (RFC 6298 section 5, RFC 5682).

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;

use super::Phase;
use super::flight::Delivery;
use crate::tcp::block::Block;
use crate::tcp::congestion::Congestion;

/// F-RTO: how the timeout is being questioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tcp) enum Frto {
    /// It is not, or it has proved true.
    Off,
    /// The first segment is out again; nothing else is before its acknowledgment (RFC 5682 section 2.1, step 1).
    Repeated,
    /// New data is out, nothing else was sent again (step 2b).
    Asking,
}

impl<B: Buffer> Block<B> {
    /// RFC 6298 (5.4) to (5.6), RFC 8985 section 6.3.
    pub(in crate::tcp) fn on_retransmission_timeout(&mut self, now: Instant) {
        let again = std::mem::replace(&mut self.snd.recovery.expired, true);
        // What is being recovered from has lowered the threshold already, and the window with it.
        let answered = self.snd.recovery.phase.is_reducing() && self.snd.una.lt(self.snd.recovery.high);
        self.congestion.on_timeout(now, self.congestion.window(), again || answered);
        self.rto.back_off();
        self.timers.retransmit = Some(self.rto.expires(now));
        self.timers.reorder = None;
        self.timers.tail = None;
        self.snd.flight.clear_duplicates();
        self.snd.flight.forget_sacks_if_reneged();
        let srtt = self.rto.srtt();
        if self.sack {
            self.snd.recovery.rack.mark_after_timeout(&mut self.snd.flight, now, srtt);
        } else {
            // Nothing would ever say that what is spared now was lost too.
            self.snd.flight.mark_lost(|_| Some(true));
        }
        let una = self.snd.una;
        let recovery = &mut self.snd.recovery;
        if !again {
            recovery.undo.begin(una);
            self.ecn.on_reduction(false);
        }
        recovery.high = self.snd.nxt;
        recovery.repeated = self.snd.nxt;
        recovery.began = now;
        recovery.force = true;
        recovery.duplicates = 0;
        recovery.tail = None;
        // RFC 5682 section 2.1: not when losses were known before.
        let known = recovery.phase == Phase::Fast || recovery.phase == Phase::Timeout && !again;
        recovery.phase = Phase::Timeout;
        recovery.frto = if known { Frto::Off } else { Frto::Repeated };
        self.suspect_path(now);
    }

    /// An acknowledgment after a timeout, in RFC 5682's order (section 3.1 with SACK, section 2.1 without).
    pub(super) fn step_after_timeout(&mut self, now: Instant, delivery: &Delivery, duplicate: bool) {
        let frto = self.snd.recovery.frto;
        if frto == Frto::Off {
            return;
        }
        // Steps 3b: what was sent before the timeout and not again has just arrived. Without SACK, an acknowledgment that
        // covers a retransmission too may be of data that had been waiting behind it.
        if delivery.original && (self.sack || !delivery.resent) {
            return self.undo_recovery();
        }
        let advances = delivery.acked > 0;
        let complete = self.snd.una.ge(self.snd.recovery.high);
        self.snd.recovery.frto = match frto {
            _ if complete => Frto::Off,
            _ if !advances && !duplicate && delivery.sacked == 0 => frto,
            Frto::Repeated if advances && self.can_send_new() => Frto::Asking,
            Frto::Asking if advances && delivery.sacked == 0 => frto,
            _ => Frto::Off,
        };
        // What was sent to ask with may have been lost.
        if self.end_if_complete() && self.snd.flight.lost() > 0 {
            self.enter_fast_recovery(now);
        }
    }

    /// There is new data, and the peer has room for it.
    fn can_send_new(&self) -> bool {
        self.fresh_cut().is_some_and(|cut| self.snd.nxt.distance_to(self.snd.edge) >= cut.len.max(1))
    }
}
