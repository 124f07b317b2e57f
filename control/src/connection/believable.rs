//! Which numbers an end could have sent. Nothing is concluded from a segment with others: who guesses must not end a boundary
//! (DESIGN section 6).

use dataplane::wire::seq::Seq;

use crate::tcp::Segment;

/// From and up to, both included, in the numbers of the leg towards the segment's sender. Either stretch may be longer than half
/// of all numbers: a window of 1 GiB ahead, and as much behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Believable {
    /// Where a segment may begin.
    pub(super) numbers: [Seq; 2],
    /// What it may acknowledge.
    pub(super) acks: [Seq; 2],
}

impl Believable {
    pub(super) fn has(&self, segment: &Segment) -> bool {
        let lies_in =
            |seq: Seq, [from, to]: [Seq; 2]| seq.0.wrapping_sub(from.0) <= to.0.wrapping_sub(from.0);
        lies_in(segment.seq, self.numbers) && (!segment.flags.ack() || lies_in(segment.ack, self.acks))
    }
}

#[cfg(test)]
mod tests {
    use dataplane::wire::seq::MAX_WINDOW;
    use dataplane::wire::tcp_flags::TcpFlags;
    use dataplane::wire::tcp_options::TcpOptions;

    use super::*;

    fn segment(seq: Seq, ack: Seq) -> Segment {
        let (flags, options) = (TcpFlags::ACK, TcpOptions::default());
        Segment { seq, ack, flags, window: 0, urgent: 0, options, len: 0, congested: false }
    }

    #[test]
    fn the_largest_windows_have_their_ends_wherever_numbers_wrap() {
        for at in [0, 1, MAX_WINDOW, 1 << 31, (1 << 31) - 1, u32::MAX - MAX_WINDOW, u32::MAX].map(Seq) {
            let all = [at.retreat(MAX_WINDOW), at.advance(MAX_WINDOW)];
            let believable = Believable { numbers: all, acks: [all[0], at] };
            let has = |seq, ack| believable.has(&segment(seq, ack));
            assert!(has(all[0], at) && has(all[1], at) && has(at, all[0]), "{at:?}");
            assert!(!has(all[0].retreat(1), at) && !has(all[1].advance(1), at), "{at:?}");
            assert!(!has(at, at.advance(1)) && !has(at, all[0].retreat(1)), "{at:?}");
        }
    }

    #[test]
    fn what_acknowledges_nothing_has_no_acknowledgment() {
        let believable = Believable { numbers: [Seq(1), Seq(2)], acks: [Seq(7), Seq(7)] };
        let mut segment = segment(Seq(1), Seq(0));
        assert!(!believable.has(&segment));
        segment.flags = TcpFlags::RST;
        assert!(believable.has(&segment));
    }
}
