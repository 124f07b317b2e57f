//! Where to cut a set of rules.

use arrayvec::ArrayVec;

use super::CUTS;
use crate::policy::region::{Bounds, DIMENSIONS, Range, Region};

/// A dimension, and where it is cut.
pub(super) struct Cut {
    pub(super) dimension: usize,
    /// From the first to the last number that any rule names which does not have all of this dimension: numbers outside match
    /// none of those, whichever part they are taken to be in, and the others are aside.
    range: Range<u128>,
    /// Numbers are compared by the 32 bits from here on.
    pub(super) shift: u8,
    /// The last number, in these 32 bits, of each part but the last; ascending.
    cuts: ArrayVec<u32, CUTS>,
    /// References to rules that all parts together have, those aside included.
    pub(super) references: usize,
    /// Rules that a search here has to look at afterwards, on the average over rules.
    expected: usize,
}

/// Where a rule belongs after a cut.
enum Place {
    /// A bit for each part that it has a point in.
    Parts(u32),
    /// One of its ranges has points in more than half of the parts.
    Aside,
}

/// The cut that leaves the fewest rules to look at; `None` when none leaves notably fewer.
pub(super) fn split(regions: &[Region], rules: &[u32], bounds: &Bounds) -> Option<Cut> {
    let cuts = (0..DIMENSIONS).filter_map(|dimension| Cut::along(dimension, regions, rules, bounds));
    let best = cuts.min_by_key(|cut| (cut.expected, cut.references))?;
    // Less than a tenth is not worth the node.
    (best.expected * 10 <= rules.len() * 9).then_some(best)
}

/// Of one dimension, the smallest range that has all numbers that rules name there, apart from rules that have all of it.
fn hull(dimension: usize, regions: &[Region], rules: &[u32], all: &Range<u128>) -> Option<Range<u128>> {
    let named = rules.iter().filter_map(|rule| match regions[*rule as usize].within(dimension, all) {
        [one] if one.covers(all) => None,
        list => {
            Some(Range { first: list.first()?.first.max(all.first), last: list.last()?.last.min(all.last) })
        }
    });
    named.reduce(|a, b| Range { first: a.first.min(b.first), last: a.last.max(b.last) })
}

impl Cut {
    fn along(dimension: usize, regions: &[Region], rules: &[u32], bounds: &Bounds) -> Option<Cut> {
        let range = hull(dimension, regions, rules, &bounds[dimension])?;
        // The bits in front are the same in all of the range.
        let bits = u128::BITS - (range.first ^ range.last).leading_zeros();
        let mut cut = Cut {
            dimension,
            range,
            shift: bits.saturating_sub(u32::BITS) as u8,
            cuts: ArrayVec::new(),
            references: 0,
            expected: 0,
        };
        let mut ends = Vec::new();
        for rule in rules {
            for part in regions[*rule as usize].within(dimension, &range) {
                cut.before(part.first, &mut ends);
                if part.last < range.last {
                    cut.before(part.last + 1, &mut ends);
                }
            }
        }
        cut.choose(ends);
        if cut.cuts.is_empty() {
            return None;
        }
        cut.weigh(regions, rules, bounds);
        Some(cut)
    }

    fn window(&self, number: u128) -> u32 {
        (number >> self.shift) as u32
    }

    /// Cutting so that `number` begins a part: between two windows when it begins one, otherwise around the one that it is
    /// in, which is looked into more closely further down.
    fn before(&self, number: u128, ends: &mut Vec<u32>) {
        if number <= self.range.first {
            return;
        }
        let window = self.window(number);
        let begins_window = number & ((1 << self.shift) - 1) == 0;
        if window > self.window(self.range.first) {
            ends.push(window - 1);
        }
        if !begins_window && window < self.window(self.range.last) {
            ends.push(window);
        }
    }

    /// All of a few; of many, those between which as many lie.
    fn choose(&mut self, mut ends: Vec<u32>) {
        ends.sort_unstable();
        let mut distinct = ends.clone();
        distinct.dedup();
        if distinct.len() <= CUTS {
            self.cuts.extend(distinct);
            return;
        }
        for number in 1..=CUTS {
            let end = ends[number * ends.len() / (CUTS + 1)];
            if self.cuts.last() != Some(&end) {
                self.cuts.push(end);
            }
        }
    }

    fn part_of(&self, window: u32) -> usize {
        self.cuts.partition_point(|cut| *cut < window)
    }

    fn place(&self, region: &Region) -> Place {
        let mut parts = 0;
        for piece in region.within(self.dimension, &self.range) {
            let first = self.part_of(self.window(piece.first.max(self.range.first)));
            let last = self.part_of(self.window(piece.last.min(self.range.last)));
            if 2 * (last + 1 - first) > self.cuts.len() + 1 {
                return Place::Aside;
            }
            parts |= (2u32 << last) - (1 << first);
        }
        Place::Parts(parts)
    }

    fn weigh(&mut self, regions: &[Region], rules: &[u32], bounds: &Bounds) {
        let (parts, aside) = self.distribute(regions, rules);
        let in_parts: usize = parts.iter().map(Vec::len).sum();
        let squares: usize = parts.iter().map(|part| part.len() * part.len()).sum();
        self.references = in_parts + aside.len();
        self.expected = squares.checked_div(in_parts).unwrap_or(0) + aside.len();
        // Where most rules share the 32 bits that are compared here, the next ones tell what the cut is worth.
        let fullest = (0..parts.len()).max_by_key(|part| parts[*part].len()).unwrap_or(0);
        if self.shift > 0 && 4 * parts[fullest].len() > 3 * in_parts {
            let within = self.bounds_of(fullest, bounds);
            if let Some(next) = Cut::along(self.dimension, regions, &parts[fullest], &within) {
                self.expected = next.expected + aside.len();
            }
        }
    }

    /// The rules of each part, and those aside; in order.
    pub(super) fn distribute(&self, regions: &[Region], rules: &[u32]) -> (Vec<Vec<u32>>, Vec<u32>) {
        let (mut parts, mut aside) = (vec![Vec::new(); self.cuts.len() + 1], Vec::new());
        for rule in rules {
            match self.place(&regions[*rule as usize]) {
                Place::Aside => aside.push(*rule),
                Place::Parts(bits) => {
                    let of = |part: &usize| bits >> part & 1 == 1;
                    (0..parts.len()).filter(of).for_each(|part| parts[part].push(*rule));
                }
            }
        }
        (parts, aside)
    }

    /// The bounds of a part of `bounds`.
    pub(super) fn bounds_of(&self, part: usize, bounds: &Bounds) -> Bounds {
        let whole = self.range;
        let beneath = (1u128 << self.shift) - 1;
        let above = !u128::from(u32::MAX).checked_shl(self.shift.into()).unwrap_or(0) & !beneath;
        let last_of = |cut: u32| whole.first & above | u128::from(cut) << self.shift | beneath;
        let first = part.checked_sub(1).map_or(whole.first, |before| last_of(self.cuts[before]) + 1);
        let last = self.cuts.get(part).map_or(whole.last, |cut| last_of(*cut));
        let mut bounds = *bounds;
        bounds[self.dimension] = Range { first, last };
        bounds
    }

    /// As a node holds them: no number is greater than those that are not there.
    pub(super) fn padded(&self) -> [u32; CUTS] {
        let mut cuts = [u32::MAX; CUTS];
        cuts[..self.cuts.len()].copy_from_slice(&self.cuts);
        cuts
    }
}
