//! What the peer is told of what came twice (RFC 2883), in the first block of the SACK option.

use arrayvec::ArrayVec;
use dataplane::buffer::Buffer;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;

use super::block::Block;
use super::reassembly::extend;

/// RFC 2018 section 3: blocks that fit into 40 bytes of options …
const BLOCKS: usize = 4;

/// … and beside timestamps.
const BLOCKS_BESIDE_TIMESTAMPS: usize = 3;

impl<B: Buffer> Block<B> {
    /// `[left, right)` has come although it had been received before; nothing when it is empty.
    ///
    /// It is reported once (RFC 2883 section 4, rule 2), by the next segment that is sent, wherever RCV.NXT is by then.
    pub(super) fn note_duplicate(&mut self, left: Seq, right: Seq) {
        if self.sack && left.lt(right) {
            extend(&mut self.rcv.duplicate, left, right);
        }
    }

    /// The SACK option of a segment sent now: what came twice, then what lies behind a gap. Should the duplicate be part
    /// of such a range, that range comes second, because it is the latest reported (RFC 2883 section 4, rule 5).
    pub(super) fn sack_option(&self) -> ArrayVec<SackBlock, BLOCKS> {
        let has_none = self.rcv.duplicate.is_none() && self.rcv.reassembly.is_empty();
        if has_none || !self.sack || self.withholds() {
            return ArrayVec::new();
        }
        let room = if self.timestamps { BLOCKS_BESIDE_TIMESTAMPS } else { BLOCKS };
        self.rcv.duplicate.into_iter().chain(self.rcv.reassembly.sack_blocks()).take(room).collect()
    }
}
