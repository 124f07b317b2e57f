//! Selective acknowledgment, the sender's half: what the peer says that it holds (RFC 2018, RFC 6675).

use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;

/// Ranges that are remembered. A peer that reports more holes than this only costs retransmissions.
const MAX_RANGES: usize = 64;

/// The scoreboard: disjoint ranges in order, all within `(SND.UNA, SND.NXT]`.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    ranges: Vec<SackBlock>,
}

impl Scoreboard {
    /// Takes the blocks of one acknowledgment and returns how many bytes were not known before.
    ///
    /// Blocks that are empty, below `una` (D-SACK, RFC 2883) or beyond `nxt` say nothing.
    pub(super) fn update(&mut self, blocks: &[SackBlock], una: Seq, nxt: Seq) -> u32 {
        let before = self.bytes();
        for block in blocks {
            if block.left.lt(block.right) && block.left.gt(una) && block.right.le(nxt) {
                self.insert(*block);
            }
        }
        self.bytes().saturating_sub(before)
    }

    fn insert(&mut self, new: SackBlock) {
        let first = self.ranges.partition_point(|r| r.right.lt(new.left));
        let last = first + self.ranges[first..].partition_point(|r| r.left.le(new.right));
        if first == last {
            if self.ranges.len() < MAX_RANGES {
                self.ranges.insert(first, new);
            }
            return;
        }
        let left = new.left.min(self.ranges[first].left);
        let right = new.right.max(self.ranges[last - 1].right);
        self.ranges[first] = SackBlock { left, right };
        self.ranges.drain(first + 1..last);
    }

    /// Forgets what is cumulatively acknowledged.
    pub(super) fn advance(&mut self, una: Seq) {
        self.ranges.retain_mut(|r| {
            r.left = r.left.max(una);
            r.left.lt(r.right)
        });
    }

    /// Forgets everything: after a timeout the peer may have dropped it (RFC 2018 section 8).
    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    /// Bytes SACKed.
    pub(super) fn bytes(&self) -> u32 {
        self.ranges.iter().map(|r| r.left.distance_to(r.right)).sum()
    }

    /// Bytes SACKed before `end`.
    pub(super) fn bytes_before(&self, end: Seq) -> u32 {
        self.ranges.iter().map(|r| r.left.distance_to(r.right.min(end))).sum()
    }

    /// The end of the highest range.
    pub(super) fn highest(&self) -> Option<Seq> {
        self.ranges.last().map(|r| r.right)
    }

    /// The first stretch of `[from, until)` that is not SACKed, whole.
    pub(super) fn hole(&self, from: Seq, until: Seq) -> Option<(Seq, Seq)> {
        let mut start = from;
        for range in &self.ranges {
            if range.left.gt(start) {
                break;
            }
            start = start.max(range.right);
        }
        let end = self.ranges.iter().find(|r| r.left.gt(start)).map_or(until, |r| r.left.min(until));
        start.lt(end).then_some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(left: u32, right: u32) -> SackBlock {
        SackBlock { left: Seq(left), right: Seq(right) }
    }

    #[test]
    fn merges_in_any_order() {
        let mut s = Scoreboard::default();
        assert_eq!(s.update(&[block(300, 400)], Seq(100), Seq(1000)), 100);
        assert_eq!(s.update(&[block(500, 600), block(300, 400)], Seq(100), Seq(1000)), 100);
        assert_eq!(s.update(&[block(400, 500)], Seq(100), Seq(1000)), 100);
        assert_eq!(s.ranges, [block(300, 600)]);
        assert_eq!(s.update(&[block(250, 700)], Seq(100), Seq(1000)), 150);
        assert_eq!(s.ranges, [block(250, 700)]);
    }

    #[test]
    fn nonsense_says_nothing() {
        let mut s = Scoreboard::default();
        let blocks = [block(50, 90), block(100, 200), block(900, 1001), block(300, 300), block(400, 300)];
        assert_eq!(s.update(&blocks, Seq(100), Seq(1000)), 0);
    }

    #[test]
    fn holes() {
        let mut s = Scoreboard::default();
        s.update(&[block(200, 300), block(400, 500)], Seq(100), Seq(1000));
        assert_eq!(s.hole(Seq(100), Seq(1000)), Some((Seq(100), Seq(200))));
        assert_eq!(s.hole(Seq(200), Seq(1000)), Some((Seq(300), Seq(400))));
        assert_eq!(s.hole(Seq(450), Seq(500)), None);
        assert_eq!(s.hole(Seq(450), Seq(700)), Some((Seq(500), Seq(700))));
        assert_eq!((s.bytes(), s.bytes_before(Seq(450)), s.highest()), (200, 150, Some(Seq(500))));
        s.advance(Seq(450));
        assert_eq!(s.ranges, [block(450, 500)]);
    }

    #[test]
    fn a_flood_of_holes_is_bounded() {
        let mut s = Scoreboard::default();
        for i in 0..1000 {
            s.update(&[block(200 + i * 10, 201 + i * 10)], Seq(100), Seq(100_000));
        }
        assert_eq!(s.ranges.len(), MAX_RANGES);
    }
}
