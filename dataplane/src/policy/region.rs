//! What a rule matches, as a region of a space of five dimensions: two addresses, two ports, a VLAN stack.
//!
//! In each dimension a rule admits some ranges of numbers; a SYN is a point. A rule's region is the product of its lists.

use std::ops::RangeInclusive;

use super::spec::RuleSpec;
use crate::flow::quad::Segment;

/// Destination address, source address, destination port, source port, VLAN stack.
pub(super) const DIMENSIONS: usize = 5;
/// Dimensions that are addresses come first.
pub(super) const ADDRESSES: usize = 2;

/// The space that a rule is looked at in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// From `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range<W> {
    pub(super) first: W,
    pub(super) last: W,
}

impl<W: Copy + PartialOrd> Range<W> {
    pub(super) fn contains(&self, value: W) -> bool {
        self.first <= value && value <= self.last
    }
}

impl Range<u128> {
    pub(super) fn covers(&self, other: &Range<u128>) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The same in fewer bits. What does not fit is not asked for.
    pub(super) fn narrow<W: TryFrom<u128> + Default>(&self) -> Range<W> {
        let narrow = |value| W::try_from(value).unwrap_or_default();
        Range { first: narrow(self.first), last: narrow(self.last) }
    }
}

/// Ranges in each dimension.
pub(super) type Bounds = [Range<u128>; DIMENSIONS];

/// All that there is.
pub(super) fn everything(family: Family) -> Bounds {
    let up_to = |last| Range { first: 0, last };
    let address = match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    };
    let port = u16::MAX.into();
    [up_to(address), up_to(address), up_to(port), up_to(port), up_to(0xff_ffff)]
}

/// A segment's VLAN ids with the inner one in front: rules that name the tag next to the payload alone are ranges then.
pub(super) const fn vlan_order(segment: Segment) -> u32 {
    (segment.inner_vlan() as u32) << 12 | segment.outer_vlan() as u32
}

/// A rule's region. Every list is sorted, its ranges neither overlap nor touch, and none is empty.
#[derive(Debug, Clone)]
pub(super) struct Region {
    /// It depends on more than where the point is: others may have to stand in for it.
    is_conditional: bool,
    lists: [Vec<Range<u128>>; DIMENSIONS],
}

impl Region {
    /// Of one family; `None` when the rule names addresses of the other one only.
    pub(super) fn of(rule: &RuleSpec, family: Family) -> Option<Region> {
        let all = everything(family);
        let addresses = |list: &[super::Prefix], all: Range<u128>| {
            let ranges: Vec<_> = list.iter().filter_map(|prefix| prefix.range(family)).collect();
            (list.is_empty() || !ranges.is_empty()).then(|| merged(ranges, all))
        };
        let ports = |list: &[RangeInclusive<u16>], all| merged(list.iter().map(port_range).collect(), all);
        let vlans = rule.vlans.iter().map(|vlan| vlan.range()).collect();
        Some(Region {
            is_conditional: rule.syn.is_some() || rule.rate.is_some(),
            lists: [
                addresses(&rule.destinations, all[0])?,
                addresses(&rule.sources, all[1])?,
                ports(&rule.destination_ports, all[2]),
                ports(&rule.source_ports, all[3]),
                merged(vlans, all[4]),
            ],
        })
    }

    /// The ranges of one dimension.
    pub(super) fn list(&self, dimension: usize) -> &[Range<u128>] {
        &self.lists[dimension]
    }

    /// Of one dimension, the ranges that lie in `bounds` at least in part.
    pub(super) fn within(&self, dimension: usize, bounds: &Range<u128>) -> &[Range<u128>] {
        let list = self.list(dimension);
        let start = list.partition_point(|range| range.last < bounds.first);
        let end = list.partition_point(|range| range.first <= bounds.last);
        &list[start..end]
    }

    /// Whether it decides about every point of `bounds`, whatever else is asked.
    pub(super) fn decides_all(&self, bounds: &Bounds) -> bool {
        let mut bounds = bounds.iter().enumerate();
        !self.is_conditional
            && bounds.all(|(dimension, bounds)| {
                // What is covered by several ranges would be covered by one: they neither overlap nor touch.
                self.within(dimension, bounds).first().is_some_and(|range| range.covers(bounds))
            })
    }
}

fn port_range(range: &RangeInclusive<u16>) -> Range<u128> {
    Range { first: (*range.start()).into(), last: (*range.end()).into() }
}

/// Sorted, with overlapping and touching ranges made one; `all` when there are none.
fn merged(mut ranges: Vec<Range<u128>>, all: Range<u128>) -> Vec<Range<u128>> {
    if ranges.is_empty() {
        return vec![all];
    }
    ranges.sort_unstable_by_key(|range| range.first);
    let mut merged: Vec<Range<u128>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => last.last = last.last.max(range.last),
            _ => merged.push(range),
        }
    }
    merged
}
