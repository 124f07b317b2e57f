//! TS.Recent and protection against wrapped sequence numbers (RFC 7323 sections 4.3 and 5).

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::Timestamps;

/// RFC 7323 section 5.5: after this long without a timestamp, TS.Recent says nothing any more.
const RECENT_IS_VALID: Duration = Duration::from_secs(24 * 24 * 3600);

/// What this leg knows of the peer's timestamp clock.
#[derive(Debug, Default)]
pub(super) struct RecentTimestamp {
    recent: Option<(u32, Instant)>,
}

impl RecentTimestamp {
    /// TS.Recent.
    pub(super) fn value(&self) -> Option<u32> {
        self.recent.map(|(value, _)| value)
    }

    /// The timestamp of a SYN or SYN-ACK.
    pub(super) fn start(&mut self, now: Instant, timestamps: Option<Timestamps>) {
        self.recent = timestamps.map(|ts| (ts.value, now));
    }

    /// PAWS: the segment is older than one that was already taken (section 5.3, R1).
    pub(super) fn is_old(&self, now: Instant, timestamps: Timestamps) -> bool {
        self.recent.is_some_and(|(recent, at)| {
            Seq(timestamps.value).lt(Seq(recent)) && now.since(at) < RECENT_IS_VALID
        })
    }

    /// Section 4.3 (2): only a segment that reaches back to what was last acknowledged is echoed, so that the echo of a
    /// delayed ACK covers the delay, and a reordered segment's is never the newest.
    pub(super) fn update(&mut self, now: Instant, timestamps: Timestamps, seq: Seq, last_ack_sent: Seq) {
        if !self.is_old(now, timestamps) && seq.le(last_ack_sent) {
            self.recent = Some((timestamps.value, now));
        }
    }
}
