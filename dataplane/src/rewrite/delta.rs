//! Sequence, acknowledgment and SACK edges moved by the deltas; the checksum by what changed (RFC 1624).
//!
//! The checksum is never repaired: a segment that arrives corrupt leaves exactly as corrupt.

use std::ops::Range;

use crate::packet::TcpHeaders;
use crate::wire::checksum::Update;
use crate::wire::seq::Delta;
use crate::wire::tcp::{HEADER_LEN, TcpHeader};
use crate::wire::tcp_options::edit_sack_edges;

/// The deltas as they apply to one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deltas {
    /// Added to the sequence number.
    pub own: Delta,
    /// Subtracted from acknowledgment number and SACK edges.
    pub other: Delta,
}

impl Deltas {
    /// Nothing to rewrite.
    pub const fn are_zero(self) -> bool {
        self.own.is_zero() && self.other.is_zero()
    }
}

/// Rewrites the segment at `headers` in `frame`.
#[inline(always)]
pub fn apply(frame: &mut [u8], headers: &TcpHeaders, deltas: Deltas) {
    let l4 = usize::from(headers.l4);
    // An ack field without the ACK flag is noise that the receiver ignores; it stays as it came (DESIGN section 1).
    let acknowledges = headers.flags.ack() && !deltas.other.is_zero();
    let mut update = match acknowledges && headers.has_options() {
        true => apply_to_options(frame, l4 + HEADER_LEN..headers.payload.into(), deltas.other),
        false => Update::NONE,
    };
    let Some(tcp) = frame.get_mut(l4..).and_then(TcpHeader::view_mut) else { return };
    if acknowledges {
        tcp.edit_ack(headers.ack.minus(deltas.other), &mut update);
    }
    tcp.edit_seq(headers.seq.plus(deltas.own), &mut update);
    tcp.update_checksum(update);
}

/// SACK edges among the options. By itself, so that segments without any are spared what it keeps in memory.
#[inline(never)]
fn apply_to_options(frame: &mut [u8], options: Range<usize>, other: Delta) -> Update {
    let mut update = Update::NONE;
    if let Some(options) = frame.get_mut(options) {
        edit_sack_edges(options, &mut update, |edge| edge.minus(other));
    }
    update
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::quad::Quad;
    use crate::packet::is_tcp_checksum_valid;
    use crate::packet::tests::tcp as headers;
    use crate::wire::build::FrameTemplate;
    use crate::wire::seq::Seq;
    use crate::wire::tcp::TcpRepr;
    use crate::wire::tcp_flags::TcpFlags;
    use crate::wire::tcp_options::{SackBlock, Timestamps};
    use proptest::prelude::*;

    fn quad(v6: bool) -> Quad {
        let ends = if v6 { ("[fd00::1]:1", "[fd00::2]:2") } else { ("10.0.0.1:1", "10.0.0.2:2") };
        Quad::between(ends.0.parse().unwrap(), ends.1.parse().unwrap()).unwrap()
    }

    fn repr() -> impl Strategy<Value = TcpRepr> {
        let block = (any::<u32>(), any::<u32>()).prop_map(|(l, r)| SackBlock { left: Seq(l), right: Seq(r) });
        let blocks = prop::collection::vec(block, 0..4);
        (any::<u32>(), any::<u32>(), any::<bool>(), any::<Option<(u32, u32)>>(), blocks).prop_map(
            |(seq, ack, has_ack, timestamps, blocks)| {
                let mut repr = TcpRepr { seq: Seq(seq), ack: Seq(ack), window: 9, ..TcpRepr::default() };
                repr.flags = if has_ack { TcpFlags::ACK | TcpFlags::PSH } else { TcpFlags::RST };
                repr.options.timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
                repr.options.sack = blocks.into_iter().take(3).collect();
                repr
            },
        )
    }

    proptest! {
        /// The rewritten frame is the frame that would have been built with the moved numbers, checksum included; a
        /// corrupt one stays corrupt; and the opposite deltas bring the original back.
        #[test]
        fn equals_a_segment_built_anew(
            repr in repr(), own in any::<i32>(), other in any::<i32>(), v6 in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 0..80), corrupt in any::<bool>(),
        ) {
            let template = FrameTemplate::new([1; 6], [2; 6], &[], 64, quad(v6));
            let build = |repr: &TcpRepr| {
                let mut frame = [0; 300];
                let len = template.build(repr, &payload, &mut frame).unwrap();
                frame[..len].to_vec()
            };
            let mut frame = build(&repr);
            let original = frame.clone();
            let flip = frame.len() - 1;
            if corrupt && !payload.is_empty() { frame[flip] ^= 0x40; }
            let deltas = Deltas { own: Delta(own), other: Delta(other) };
            let before = headers(&frame);
            apply(&mut frame, &before, deltas);
            if corrupt && !payload.is_empty() {
                prop_assert!(!is_tcp_checksum_valid(&frame, &headers(&frame)));
                frame[flip] ^= 0x40;
            }
            let mut moved = repr.clone();
            moved.seq = repr.seq.plus(deltas.own);
            if repr.flags.ack() {
                moved.ack = repr.ack.minus(deltas.other);
                for block in &mut moved.options.sack {
                    *block = SackBlock {
                        left: block.left.minus(deltas.other),
                        right: block.right.minus(deltas.other),
                    };
                }
            }
            prop_assert!(is_tcp_checksum_valid(&frame, &headers(&frame)));
            prop_assert_eq!(&frame, &build(&moved));
            let back = Deltas { own: Delta(own.wrapping_neg()), other: Delta(other.wrapping_neg()) };
            let after = headers(&frame);
            apply(&mut frame, &after, back);
            prop_assert_eq!(frame, original);
        }
    }
}
