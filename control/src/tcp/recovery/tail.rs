//! Tail loss probe: when acknowledgments stop coming, one segment asks for them before the timeout (RFC 8985 section 7).

use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;

use super::Phase;
use super::flight::Delivery;
use crate::tcp::block::Block;
use crate::tcp::congestion::Congestion;
use crate::tcp::input::Arrival;
use crate::tcp::output::Cut;

/// Before a round trip is known (section 7.2, step 1).
const UNMEASURED: Duration = Duration::from_secs(1);

/// The peer may delay the acknowledgment of less than two full segments by so much (WCDelAckT). RFC 8985 says one
/// segment; RFC 9293 section 3.8.6.3 asks for an acknowledgment of every second *full-sized* one.
const DELAYED_ACK: Duration = Duration::from_millis(200);

/// Two ticks of the control core's timers: what comes later than that is late.
const GRANULARITY: Duration = Duration::from_millis(2);

/// A probe that is out (TLP.end_seq, TLP.is_retrans).
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    end: Seq,
    resent: bool,
}

impl<B: Buffer> Block<B> {
    /// Section 7.2: after new data was sent, and when the last of it is not yet acknowledged.
    #[inline(always)]
    pub(in crate::tcp) fn arm_tail(&mut self, now: Instant) {
        self.timers.tail = None;
        let flight = &self.snd.flight;
        let whole = flight.outstanding() > 0 && flight.sacked() == 0 && flight.lost() == 0;
        if !self.sack || !self.may_probe() || !whole || self.timers.probes > 0 {
            return;
        }
        let may_wait = flight.count() == 1 || flight.outstanding() < 2 * self.segment_size();
        let slack = if may_wait { DELAYED_ACK } else { GRANULARITY };
        let at = match self.rto.srtt_nanos() {
            Some(srtt) => now.plus_nanos(srtt.saturating_mul(2)) + slack,
            None => now + UNMEASURED,
        };
        self.timers.tail = Some(self.timers.retransmit.map_or(at, |retransmit| at.min(retransmit)));
    }

    /// No loss is being recovered from, and no probe is out.
    fn may_probe(&self) -> bool {
        let recovery = &self.snd.recovery;
        matches!(recovery.phase, Phase::Open | Phase::Reducing) && recovery.tail.is_none()
    }

    /// Section 7.3: the timer of it has expired. True when a probe goes out in the timeout's stead.
    pub(in crate::tcp) fn on_tail_timer(&mut self, now: Instant) -> bool {
        self.out.tail_probe = self.may_probe() && self.probe_cut().is_some();
        if self.out.tail_probe {
            // Step 3: whatever comes next is the timeout's.
            self.timers.retransmit = Some(self.rto.expires(now));
        }
        self.out.tail_probe
    }

    pub(in crate::tcp) fn next_tail_probe(&mut self) -> Option<Cut> {
        if !std::mem::take(&mut self.out.tail_probe) {
            return None;
        }
        let cut = self.probe_cut()?;
        let end = cut.start.advance(cut.len + u32::from(cut.fin)).max(self.snd.nxt);
        self.snd.recovery.tail = Some(Tail { end, resent: cut.retransmission });
        self.snd.recovery.probed = cut.retransmission.then_some(SackBlock { left: cut.start, right: end });
        Some(cut)
    }

    /// A new segment if there is one and the peer has room for it, else the last one again, unless the peer has taken back
    /// its window from it: it would not look at it.
    fn probe_cut(&self) -> Option<Cut> {
        self.fresh_cut().or_else(|| {
            let (start, end) = self.snd.flight.tail(self.payload_limit())?;
            let data_end = self.snd.queue.end();
            let len = start.distance_to(end.min(data_end));
            let cut = Cut { start, len, fin: end.gt(data_end), retransmission: true };
            end.le(self.snd.edge).then_some(cut)
        })
    }

    /// Section 7.4.2: what the answer says about the segment that was sent again.
    pub(super) fn take_tail_ack(
        &mut self,
        arrival: &Arrival<'_>,
        delivery: &Delivery,
        dsack: Option<SackBlock>,
    ) {
        let Some(tail) = self.snd.recovery.tail else { return };
        let segment = arrival.segment;
        if segment.ack.lt(tail.end) {
            return;
        }
        let reported = dsack.is_some_and(|block| block.right == tail.end);
        let repeats = delivery.acked == 0 && segment.sequence_len() == 0 && segment.options.sack.is_empty();
        if !tail.resent || reported || repeats {
            self.snd.recovery.tail = None;
        } else if segment.ack.gt(tail.end) {
            // Something was lost, and the probe has repaired it: the network is congested all the same.
            self.snd.recovery.tail = None;
            self.congestion.on_congestion(arrival.now, self.congestion.window());
            self.congestion.set_window(self.congestion.threshold());
            self.ecn.on_reduction(false);
        }
    }
}
