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

/// Bytes of one direction that acknowledgments lost, and tails probed, may bring about beside lost data.
const SLACK: u64 = 16_384;

/// What a sender can expect of the way to its peer and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Everything arrives, in order and in constant time.
    Fair,
    /// What arrives does so in order.
    Kept,
    /// Anything can happen; a peer that knows no D-SACK does not tell (smoltcp).
    Broken,
}

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

    /// Judges what was sent again when all is over.
    pub fn judge(&self, order: Order) -> Result<(), Violation> {
        let allowed = match order {
            // The peer may have dropped what it had asked for before its window shrank.
            Order::Fair if self.took_back => self.sent,
            Order::Fair => 0,
            Order::Kept => 2 * self.lost + SLACK,
            Order::Broken => 2 * self.lost + self.sent / 2 + SLACK,
        };
        if self.again > allowed {
            let (again, sent, lost) = (self.again, self.sent, self.lost);
            let detail = format!("{again} bytes of {sent} sent again, {lost} were lost ({order:?} order)");
            return violation(Invariant::Sender, detail);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dataplane::wire::build::FrameTemplate;
    use dataplane::wire::seq::Seq;
    use dataplane::wire::tcp::TcpRepr;
    use dataplane::wire::tcp_flags::TcpFlags;

    use super::*;
    use crate::frame;

    const NOW: Instant = Instant::ZERO;

    fn segment(flags: TcpFlags, seq: u32, ack: u32, window: u16, len: usize) -> Segment {
        let end = |text: &str| text.parse().expect("an address");
        let quad = dataplane::flow::quad::Quad::between(end("10.0.0.1:1"), end("10.0.0.2:2"));
        let template = FrameTemplate::new([2; 6], [1; 6], &[], 60, quad.expect("one family"));
        let tcp = TcpRepr { seq: Seq(seq), ack: Seq(ack), flags, window, ..TcpRepr::default() };
        let mut bytes = [0; 2_048];
        let len = template.build(&tcp, &[7; 1_400][..len], &mut bytes).expect("it fits");
        frame::parse(&bytes[..len]).expect("a segment")
    }

    fn data(seq: u32, len: usize) -> Segment {
        segment(TcpFlags::ACK, seq, 1, 100, len)
    }

    /// Has sent a SYN with number 99 and may send 1,000 bytes, from number 100 on.
    fn open() -> Sender {
        let mut sender = Sender::default();
        sender.says(NOW, 0, &segment(TcpFlags::SYN, 99, 0, 100, 0)).expect("a SYN");
        sender.heard(NOW, 0, &segment(TcpFlags::SYN | TcpFlags::ACK, 0, 100, 1_000, 0));
        sender
    }

    #[test]
    fn beyond_the_window_nothing_but_a_probe_goes() {
        let mut sender = open();
        assert!(sender.says(NOW, 0, &data(100, 1_000)).is_ok());
        assert!(sender.clone().says(NOW, 0, &data(1_100, 1)).is_ok());
        assert!(sender.says(NOW, 0, &data(1_100, 2)).is_err());
    }

    #[test]
    fn what_was_acknowledged_before_the_poll_is_not_sent_again() {
        let mut sender = open();
        sender.says(NOW, 0, &data(100, 500)).expect("fits");
        sender.heard(NOW, 1, &segment(TcpFlags::ACK, 1, 600, 1_000, 0));
        assert!(sender.says(NOW, 1, &data(100, 500)).is_ok(), "that acknowledgment came with others");
        assert!(sender.says(NOW, 2, &data(100, 500)).is_err());
    }

    #[test]
    fn what_is_sent_again_is_weighed_against_what_was_lost() {
        let mut sender = open();
        sender.says(NOW, 0, &data(100, 500)).expect("fits");
        assert!(sender.judge(Order::Fair).is_ok());
        sender.says(NOW, 0, &data(100, 500)).expect("fits");
        assert!(sender.judge(Order::Fair).is_err());
        assert!(sender.judge(Order::Kept).is_ok());
        sender.again += SLACK;
        assert!(sender.judge(Order::Kept).is_err());
        sender.loses(&data(100, 500));
        assert!(sender.judge(Order::Kept).is_ok());
    }

    #[test]
    fn silence_is_measured_from_when_there_was_something_to_say() {
        let mut sender = open();
        let later = NOW + 2 * LONGEST;
        assert!(!sender.is_silent(later, 0, Duration::ZERO));
        assert!(!sender.is_silent(later, 1, Duration::ZERO));
        assert!(sender.is_silent(later + 2 * LONGEST, 1, Duration::ZERO));
    }
}
