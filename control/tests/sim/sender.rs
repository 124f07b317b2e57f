//! What may be asked of a sender, seen from its peer's end of the cable: nothing beyond the window, nothing again that
//! was acknowledged, nothing again without need, and no silence while there is something to send.
//!
//! Offsets count from the byte after the SYN; a FIN is one byte.

use std::time::Duration;

use dataplane::clock::Instant;

use crate::frame::Segment;
use crate::invariant::{Invariant, Violation, violation};

/// The longest interval between two transmissions of a sender that has something to send and may (RFC 6298 section 2.5,
/// the appliance's own bound), and what a clock's tick and a stalled box add.
const LONGEST: Duration = Duration::from_secs(61);

/// One direction of one leg, where the middle sends.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// Window scales of the peer's SYN and of our own: both, or none counts.
    shifts: [Option<u8>; 2],
    isn: Option<u32>,
    /// Highest acknowledgment, the right edge that came with it or after it, and the highest that there was.
    una: u64,
    /// The same before the present poll of the middle: what comes in one go is answered one by one.
    settled: (u64, u64),
    edge: u64,
    max_edge: u64,
    /// The number of the segment that the edge was taken from.
    edge_from: Option<u32>,
    /// End of the highest sent.
    pub sent: u64,
    /// What was sent beyond the edge: a probe, to be sent again when the window opens.
    probe: (u64, u64),
    /// Bytes sent again, and bytes on the way that did not arrive.
    pub again: u64,
    pub lost: u64,
    /// The edge went back: the peer may have dropped what it had asked for.
    pub took_back: bool,
    /// When something was sent last, or could first be.
    since: Instant,
}

impl Sender {
    /// A segment of the peer's has come in: its acknowledgment and window are for us.
    pub fn heard(&mut self, now: Instant, poll: u64, segment: &Segment) {
        self.settle(poll);
        if segment.flags.syn() {
            self.shifts[0] = segment.shift;
        }
        let Some(isn) = self.isn.filter(|_| segment.flags.ack() && !segment.flags.rst()) else { return };
        let first = isn.wrapping_add(1);
        let acked =
            self.una.wrapping_add(u64::from(segment.ack.wrapping_sub(first.wrapping_add(self.una as u32))));
        if acked > self.sent.max(self.una) {
            return;
        }
        let newer =
            acked > self.una || self.edge_from.is_none_or(|from| segment.seq.wrapping_sub(from) < 1 << 31);
        let shift = match self.shifts {
            [Some(theirs), Some(_)] if !segment.flags.syn() => theirs.min(14),
            _ => 0,
        };
        if acked > self.una || self.edge <= self.una {
            self.since = now;
        }
        self.una = acked;
        let edge = acked + (u64::from(segment.window) << shift);
        // What a box may take for current when segments overtake each other.
        self.max_edge = self.max_edge.max(edge);
        if newer {
            self.took_back |= edge < self.edge;
            (self.edge, self.edge_from) = (edge, Some(segment.seq));
        }
    }

    /// A segment of ours goes out.
    pub fn says(&mut self, now: Instant, poll: u64, segment: &Segment) -> Result<(), Violation> {
        self.settle(poll);
        if segment.flags.rst() {
            return Ok(());
        }
        if segment.flags.syn() {
            (self.isn, self.shifts[1]) = (Some(segment.seq), segment.shift);
            return Ok(());
        }
        let Some(isn) = self.isn else { return Ok(()) };
        let len = u64::from(segment.sequence_len());
        if len == 0 {
            return Ok(());
        }
        self.since = now;
        let first = isn.wrapping_add(1);
        let ahead = segment.seq.wrapping_sub(first.wrapping_add(self.una as u32)) as i32;
        let start = self.una.saturating_add_signed(ahead.into());
        let end = start + len;
        let known = self.settled.1;
        if end <= known {
            return violation(
                Invariant::Sender,
                format!("{start}..{end} is sent again, and all before {known} was acknowledged"),
            );
        }
        // One byte may be a probe; a FIN takes no room.
        let allowed = self.max_edge + 1 + u64::from(segment.flags.fin());
        if end > allowed {
            return violation(
                Invariant::Sender,
                format!("{start}..{end} is sent, the right edge was never beyond {}", self.max_edge),
            );
        }
        self.count(start, end);
        Ok(())
    }

    fn settle(&mut self, poll: u64) {
        if self.settled.0 != poll {
            self.settled = (poll, self.una);
        }
    }

    fn count(&mut self, start: u64, end: u64) {
        if end > self.edge {
            self.probe = (start.max(self.edge).min(self.probe.0.max(self.una)), end.max(self.probe.1));
        }
        let again = self.sent.min(end).saturating_sub(start);
        let probed = end.min(self.probe.1).saturating_sub(start.max(self.probe.0));
        self.again += again.saturating_sub(probed);
        self.sent = self.sent.max(end);
    }

    /// What the cable has done to a segment of ours.
    pub fn loses(&mut self, segment: &Segment) {
        self.lost += u64::from(segment.sequence_len());
    }

    /// Whether it has been silent for longer than it may, when it holds bytes that the peer has not got.
    pub fn is_silent(&mut self, now: Instant, held: u64, stood_still: Duration) -> bool {
        if held == 0 {
            self.since = now;
        }
        held > 0 && now - self.since > LONGEST + stood_still
    }

    /// Judges what was sent again when all is over. `fair`: the cables have lost nothing and kept order.
    pub fn judge(&self, fair: bool) -> Result<(), Violation> {
        if fair && self.again > 0 && !self.took_back {
            return violation(Invariant::Sender, format!("{} bytes sent again on a fair cable", self.again));
        }
        Ok(())
    }
}
