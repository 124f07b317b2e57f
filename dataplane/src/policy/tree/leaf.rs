//! Where a search ends: a few rules, and of each a digest that tells whether it is worth to be read.
//!
//! Of the rules in a leaf most are not about the point that comes there, and each stands on a cache line of its own: they, and
//! not the nodes, are what a look-up in many rules waits for. So a leaf keeps of every rule eight bits of both ends in
//! each of three dimensions, those which tell its rules from the rest of its space best: five rules on one cache line. What the
//! digest admits is compared in full; what it does not admit is not the one.

use super::{Child, Word};
use crate::policy::region::{Bounds, DIMENSIONS, Range, Region};
use crate::policy::table::Point;

/// Rules in a block.
pub(super) const RULES: usize = 5;
/// Dimensions that a digest has.
const LOOKED_AT: usize = 3;

/// One dimension of the digests of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
struct Digests {
    dimension: u8,
    /// Which 8 bits of the number are compared: no range in the block has ends that differ in those above.
    shift: u8,
    /// By rule: where its range begins, and how much further it ends.
    firsts: [u8; RULES],
    spans: [u8; RULES],
}

/// One cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Block {
    /// Ascending; [`Child::NOTHING`] behind the last.
    pub(super) places: [u32; RULES],
    /// Blocks that the leaf has from here on.
    pub(super) len: u32,
    digests: [Digests; LOOKED_AT],
}

const _: () = assert!(size_of::<Block>() == 64, "a block is one cache line");

impl Block {
    /// A bit for each rule that may be about a point, the first one's lowest. One that is not set is certain for points of the
    /// leaf's bounds, and no rule of a leaf is about others.
    #[inline]
    pub(super) fn admits<W: Word>(&self, point: &Point<W>) -> u32 {
        let mut admitted = [true; RULES];
        for digests in &self.digests {
            let number = point[usize::from(digests.dimension)].byte(digests.shift);
            for (rule, admitted) in admitted.iter_mut().enumerate() {
                *admitted &= number.wrapping_sub(digests.firsts[rule]) <= digests.spans[rule];
            }
        }
        (0..).zip(admitted).fold(0, |bits, (rule, admitted)| bits | u32::from(admitted) << rule)
    }

    /// The last place, or [`Child::NOTHING`] in a block that is not full.
    pub(super) fn last(&self) -> u32 {
        self.places[RULES - 1]
    }
}

/// The blocks of a leaf with these rules (ascending).
pub(super) fn blocks<'a>(
    regions: &'a [Region],
    rules: &'a [u32],
    bounds: &'a Bounds,
) -> impl Iterator<Item = Block> + 'a {
    let len = rules.len().div_ceil(RULES);
    rules.chunks(RULES).enumerate().map(move |(number, rules)| {
        let mut places = [Child::NOTHING; RULES];
        places[..rules.len()].copy_from_slice(rules);
        let mut all: [(u32, Digests); DIMENSIONS] =
            std::array::from_fn(|dimension| digests(dimension, regions, rules, &bounds[dimension]));
        all.sort_by_key(|(admitted, _)| *admitted);
        let digests = std::array::from_fn(|at| all[at].1);
        Block { places, len: (len - number) as u32, digests }
    })
}

/// The digests by one dimension which admit the fewest points of `bounds`, and how many they admit: in 256ths, of all rules
/// together.
fn digests(dimension: usize, regions: &[Region], rules: &[u32], bounds: &Range<u128>) -> (u32, Digests) {
    // Of each rule, what it has within the bounds; `None` for all of it.
    let ranges = rules.iter().map(|rule| {
        let list = regions[*rule as usize].within(dimension, bounds);
        let (first, last) = (list.first()?.first.max(bounds.first), list.last()?.last.min(bounds.last));
        let range = Range { first, last };
        (!range.covers(bounds)).then_some(range)
    });
    let ranges: Vec<Option<Range<u128>>> = ranges.collect();
    let ends = || ranges.iter().flatten();
    let (Some(first), Some(last)) = (ends().map(|r| r.first).min(), ends().map(|r| r.last).max()) else {
        let spans = [u8::MAX; RULES];
        return (
            rules.len() as u32 * 256,
            Digests { dimension: dimension as u8, spans, ..Digests::default() },
        );
    };
    // Above the lowest that will do, a window tells no less as long as the bounds have bits there.
    let lowest = (u128::BITS - (first ^ last).leading_zeros()).saturating_sub(u8::BITS);
    let highest = (u128::BITS - (bounds.first ^ bounds.last).leading_zeros()).saturating_sub(u8::BITS);
    let at = |shift| {
        let mut digests = Digests { dimension: dimension as u8, shift: shift as u8, ..Digests::default() };
        let mut admitted = 0;
        for (rule, range) in ranges.iter().enumerate() {
            let (first, span) = match range {
                Some(range) => {
                    let first = (range.first >> shift) as u8;
                    (first, ((range.last >> shift) as u8).wrapping_sub(first))
                }
                None => (0, u8::MAX),
            };
            (digests.firsts[rule], digests.spans[rule]) = (first, span);
            admitted += u32::from(span) + 1;
        }
        (admitted, digests)
    };
    (lowest..=highest.max(lowest)).map(at).min_by_key(|(admitted, _)| *admitted).expect("one at least")
}
