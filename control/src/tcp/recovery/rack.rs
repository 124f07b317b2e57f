//! RACK: what was sent sufficiently before something that has arrived is lost (RFC 8985 section 6).

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

use super::flight::{Delivery, Flight};

/// RFC 5681 section 3.2, RFC 8985's DupThresh.
pub(in crate::tcp) const DUPLICATES: u32 = 3;

/// RFC 8985 section 6.2 step 4: recoveries without DSACK after which the reordering window is small again.
const PERSISTENCE: u32 = 16;

/// The shortest round trip is forgotten after this long, so that a path that has become longer is believed.
const LEAST_RTT_IS_VALID: Duration = Duration::from_secs(300);

/// The control core's timers and, after a pause, its clock go by this.
const TICK: Duration = Duration::from_millis(1);

/// The state of RFC 8985 section 5.3.
#[derive(Debug)]
pub(in crate::tcp) struct Rack {
    /// Of all that has arrived, what was sent last: when, and its end (RACK.xmit_ts, RACK.end_seq).
    newest: Option<(Instant, Seq)>,
    /// The round trip of that.
    rtt: Duration,
    /// RACK.min_RTT, and since when it counts.
    least_rtt: Option<(Duration, Instant)>,
    /// RACK.fack.
    fack: Seq,
    reordering_seen: bool,
    multiplier: u32,
    persistence: u32,
    /// RACK.dsack_round.
    dsack_round: Option<Seq>,
}

/// What RACK has found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tcp) struct Found {
    /// Bytes that are lost, and were not known to be.
    pub(in crate::tcp) lost: u32,
    /// What may still be reordered is lost after this long.
    pub(in crate::tcp) wait: Option<Duration>,
}

impl Rack {
    pub(super) fn new(start: Seq) -> Self {
        Rack {
            newest: None,
            rtt: Duration::ZERO,
            least_rtt: None,
            fack: start,
            reordering_seen: false,
            multiplier: 1,
            persistence: 0,
            dsack_round: None,
        }
    }

    /// Nothing has been sent yet.
    pub(super) fn renumber(&mut self, start: Seq) {
        self.fack = start;
    }

    pub(super) fn fack(&self) -> Seq {
        self.fack
    }

    pub(super) fn least_rtt(&self) -> Duration {
        self.least_rtt.map_or(Duration::ZERO, |(rtt, _)| rtt)
    }

    pub(super) fn start_rtt(&mut self, now: Instant, rtt: Duration) {
        self.least_rtt = Some((rtt, now));
    }

    /// Steps 1 to 3 of section 6.2.
    pub(super) fn take(&mut self, now: Instant, una: Seq, delivery: &Delivery) {
        if let Some(rtt) = delivery.rtt() {
            let keeps =
                |(least, since): &(Duration, Instant)| *least < rtt && now < *since + LEAST_RTT_IS_VALID;
            self.least_rtt = self.least_rtt.filter(keeps).or(Some((rtt, now)));
        }
        // An old mark must not drift half a sequence space away, where comparisons would turn around.
        self.fack = delivery.fack.max(una);
        self.reordering_seen |= delivery.reordered;
        let Some((at, end)) = delivery.newest else { return };
        let is_newer =
            |(known_at, known_end): (Instant, Seq)| known_at < at || known_at == at && known_end.lt(end);
        if self.newest.is_none_or(is_newer) {
            self.newest = Some((at, end));
            self.rtt = now.since(at);
        }
    }

    /// Step 4: a DSACK says that a retransmission was needless, so its original was late; the window grows, once a round
    /// trip.
    pub(super) fn take_dsack(&mut self, una: Seq, nxt: Seq) {
        self.reordering_seen = true;
        // A mark beyond SND.NXT is so old that the numbers have wrapped since.
        if self.dsack_round.is_some_and(|round| una.ge(round) || round.gt(nxt)) {
            self.dsack_round = None;
        }
        if self.dsack_round.is_none() {
            self.dsack_round = Some(nxt);
            self.multiplier = self.multiplier.saturating_add(1);
            self.persistence = PERSISTENCE;
        }
    }

    /// Step 4: a recovery has ended.
    pub(super) fn recovered(&mut self) {
        self.persistence = self.persistence.saturating_sub(1);
        if self.persistence == 0 {
            self.multiplier = 1;
        }
    }

    /// Step 4, `RACK_update_reo_wnd`: by how much a segment may be late.
    fn reordering_window(&self, flight: &Flight, recovering: bool, srtt: Option<Duration>) -> Duration {
        if !self.reordering_seen && (recovering || flight.sacked_segments() >= DUPLICATES) {
            return Duration::ZERO;
        }
        let window = self.least_rtt().saturating_mul(self.multiplier) / 4;
        window.min(srtt.unwrap_or(window))
    }

    /// Step 5, `RACK_detect_loss`.
    pub(super) fn detect(
        &self,
        flight: &mut Flight,
        now: Instant,
        recovering: bool,
        srtt: Option<Duration>,
    ) -> Found {
        let mut found = Found::default();
        let Some(newest) = self.newest.filter(|_| flight.count() > 0) else { return found };
        let patience = self.rtt + self.reordering_window(flight, recovering, srtt);
        found.lost = flight.mark_lost(|record| {
            if !record.is_before(newest) {
                // What was sent once was sent in order: behind the first such record that is too new, all are.
                return record.resent.then_some(false);
            }
            let age = now.since(record.at);
            // By a clock that stands still nobody knows which of two was sent first: what was sent again would be lost again
            // with every acknowledgment of its neighbours.
            let patience = if record.resent { patience.max(TICK) } else { patience };
            if age < patience {
                found.wait = found.wait.max(Some(patience - age));
                return Some(false);
            }
            Some(true)
        });
        found
    }

    /// Section 6.3, `RACK_mark_losses_on_RTO`: the first segment, and what was sent long enough ago.
    pub(super) fn mark_after_timeout(&self, flight: &mut Flight, now: Instant, srtt: Option<Duration>) {
        let patience = self.rtt + self.reordering_window(flight, true, srtt);
        flight.mark_lost(|record| Some(now.since(record.at) >= patience));
        flight.mark_first_lost();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_count_once_a_round_trip_however_long_ago_the_last_one_was() {
        let mut rack = Rack::new(Seq(0));
        let mut told = |una: u32, nxt: u32| {
            rack.take_dsack(Seq(una), Seq(nxt));
            rack.multiplier
        };
        assert_eq!([told(100, 1000), told(999, 2000), told(1000, 2000)], [2, 2, 3]);
        // Numbers have gone on by more than half of all.
        let later = 2000 + (1 << 31) + 1;
        assert_eq!([told(later, later + 1000), told(later + 999, later + 2000)], [4, 4]);
    }
}
