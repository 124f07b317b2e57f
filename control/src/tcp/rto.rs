//! Retransmission timeout from round-trip samples (RFC 6298).

use std::time::Duration;

use dataplane::clock::Instant;

use super::limits::Limits;

/// RFC 6298 (2.1): before the first sample.
pub(super) const INITIAL: Duration = Duration::from_secs(1);

/// RFC 6298 (5.7): when the SYN had to be repeated and no sample could be taken.
const INITIAL_AFTER_LOST_SYN: Duration = Duration::from_secs(3);

/// The estimator. It counts in nanoseconds: 584 years are more than any limit.
#[derive(Debug)]
pub(super) struct Rto {
    /// SRTT and RTTVAR.
    smoothed: Option<(u64, u64)>,
    base: u64,
    backoff: u32,
    min: u64,
    max: u64,
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

impl Rto {
    pub(super) fn new(limits: &Limits) -> Self {
        let (min, max) = (nanos(limits.rto_min), nanos(limits.rto_max));
        Rto { smoothed: None, base: nanos(INITIAL), backoff: 0, min, max }
    }

    /// The timeout to be set now, backoff included.
    pub(super) fn current(&self) -> Duration {
        self.after(self.backoff)
    }

    /// The timeout after `doublings` in a row.
    pub(super) fn after(&self, doublings: u32) -> Duration {
        Duration::from_nanos(self.nanos_after(doublings))
    }

    fn nanos_after(&self, doublings: u32) -> u64 {
        self.base.saturating_mul(1 << doublings.min(30)).min(self.max)
    }

    /// When the timeout expires that is set at `now`: what every segment asks.
    pub(super) fn expires(&self, now: Instant) -> Instant {
        now.plus_nanos(self.nanos_after(self.backoff))
    }

    /// [`Rto::srtt`] in nanoseconds.
    pub(super) fn srtt_nanos(&self) -> Option<u64> {
        self.smoothed.map(|(srtt, _)| srtt)
    }

    /// Smoothed round-trip time, once there was a sample.
    pub(super) fn srtt(&self) -> Option<Duration> {
        self.smoothed.map(|(srtt, _)| Duration::from_nanos(srtt))
    }

    /// How often in a row the timer has expired.
    pub(super) fn expirations(&self) -> u32 {
        self.backoff
    }

    /// The timer has expired: (5.5).
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// A round trip of a segment that was sent once (Karn): (2.2), (2.3), and the end of any backoff.
    #[inline(always)]
    pub(super) fn sample(&mut self, rtt: Duration) {
        let rtt = nanos(rtt);
        let (srtt, rttvar) = match self.smoothed {
            None => (rtt, rtt / 2),
            Some((srtt, rttvar)) => (srtt * 7 / 8 + rtt / 8, rttvar * 3 / 4 + srtt.abs_diff(rtt) / 4),
        };
        self.smoothed = Some((srtt, rttvar));
        // The lower bound is one of patience beyond the round trip, as in Linux: a peer's delayed acknowledgment must not
        // look like a loss on a long path with little variance.
        self.base = (srtt + (rttvar * 4).max(self.min)).min(self.max);
        self.backoff = 0;
    }

    /// The handshake is complete: what the SYN's own timer had come to no longer counts.
    pub(super) fn handshake_done(&mut self) {
        if self.smoothed.is_none() && self.backoff > 0 {
            self.base = nanos(INITIAL_AFTER_LOST_SYN).clamp(self.min, self.max);
        }
        self.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn follows_the_rfc() {
        let mut rto = Rto::new(&Limits::default());
        assert_eq!(rto.current(), MS(1000));
        rto.sample(MS(400));
        assert_eq!((rto.srtt(), rto.current()), (Some(MS(400)), MS(1200)));
        rto.sample(MS(480));
        assert_eq!(rto.srtt(), Some(MS(410)));
        assert_eq!(rto.current(), MS(410) + MS(170) * 4);
    }

    #[test]
    fn backs_off_until_a_sample_and_never_beyond_the_bound() {
        let mut rto = Rto::new(&Limits::default());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(rto.current(), Duration::from_secs(seconds));
            rto.back_off();
        }
        rto.sample(MS(1));
        assert_eq!(rto.current(), MS(201));
    }

    #[test]
    fn a_lost_syn_makes_the_first_data_patient() {
        let mut rto = Rto::new(&Limits::default());
        rto.back_off();
        rto.handshake_done();
        assert_eq!(rto.current(), Duration::from_secs(3));
    }
}
