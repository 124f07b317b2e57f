//! The rules of one family, compiled: what a look-up compares a SYN with once the tree has named candidates.

use super::region::{ADDRESSES, DIMENSIONS, Family, Range, Region};
use super::spec::RuleSpec;
use super::tree::{self, CANDIDATES, Tree, Verdict, Word};
use super::{Action, Found};
use arrayvec::ArrayVec;

/// Not a rule; not a list either.
pub(super) const NONE: u32 = u32::MAX;

/// A SYN as a point: destination and source address, destination and source port, VLAN stack.
pub(super) type Point<W> = [W; DIMENSIONS];

/// A rule. 48 bytes for IPv4: what most rules are compared by, and what they say, is on one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompiledRule<W> {
    /// From the first to the last number of each list.
    addresses: [Range<W>; ADDRESSES],
    ports: [Range<u16>; 2],
    vlans: Range<u32>,
    /// In [`Table::lists`], or [`NONE`] when each list is one range and the above is all there is to compare.
    lists: u32,
    /// In configuration order.
    index: u32,
    /// Among the snapshot's conditions, or [`NONE`].
    condition: u32,
    action: Action,
}

impl<W> CompiledRule<W> {
    pub(super) const fn found(&self) -> Found {
        Found { index: self.index, condition: self.condition, action: self.action }
    }
}

/// A part of one of the arrays; empty for a list of one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slice {
    start: u32,
    end: u32,
}

impl Slice {
    fn of<T>(self, array: &[T]) -> &[T] {
        &array[self.start as usize..self.end as usize]
    }
}

/// The rules that can match a SYN of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table<W> {
    rules: Box<[CompiledRule<W>]>,
    /// Of the rules that have a list of several ranges.
    lists: Box<[[Slice; DIMENSIONS]]>,
    addresses: Box<[Range<W>]>,
    /// Ports and VLAN stacks.
    numbers: Box<[Range<u32>]>,
    tree: Tree,
    /// Those that count for a segment which is no SYN, when these are not all: their places, and a tree over the list of them.
    for_strays: Option<(Box<[u32]>, Tree)>,
}

/// Rules to ask one after the other, and what comes behind them.
pub(super) struct Candidates {
    pub(super) asked: ArrayVec<Found, CANDIDATES>,
    pub(super) then: Then,
}

/// What comes behind all candidates.
pub(super) enum Then {
    Nothing,
    Decides(Found),
    /// More candidates, from this place on.
    More(u32),
}

/// Whether a sorted list has a range that `value` lies in.
fn is_listed<W: Copy + PartialOrd>(list: &[Range<W>], value: W) -> bool {
    let at = list.partition_point(|range| range.last < value);
    list.get(at).is_some_and(|range| range.first <= value)
}

impl<W: Word> Table<W> {
    /// `conditions` has the condition of each rule, or [`NONE`]; `for_strays` says whether a rule counts for strays.
    pub(super) fn build(
        specs: &[RuleSpec],
        conditions: &[u32],
        for_strays: impl Fn(usize) -> bool,
        family: Family,
    ) -> Table<W> {
        let regions: Vec<(usize, Region)> = specs
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| Some((index, Region::of(rule, family)?)))
            .collect();
        let (mut lists, mut addresses, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let rules = regions.iter().map(|(index, region)| {
            let mut slices = [Slice::default(); DIMENSIONS];
            for (dimension, slice) in slices.iter_mut().enumerate() {
                let list = region.list(dimension);
                *slice = match dimension {
                    _ if list.len() == 1 => Slice::default(),
                    ..ADDRESSES => append(&mut addresses, list),
                    _ => append(&mut numbers, list),
                };
            }
            let is_plain = slices.iter().all(|slice| *slice == Slice::default());
            lists.extend((!is_plain).then_some(slices));
            CompiledRule {
                addresses: [hull(region, 0), hull(region, 1)],
                ports: [hull(region, 2), hull(region, 3)],
                vlans: hull(region, 4),
                lists: if is_plain { NONE } else { lists.len() as u32 - 1 },
                index: *index as u32,
                condition: conditions[*index],
                action: specs[*index].action,
            }
        });
        let rules = rules.collect();
        let is_whole = regions.iter().all(|(index, _)| for_strays(*index));
        let counting = (0..).zip(&regions).filter(|(_, (index, _))| !is_whole && for_strays(*index));
        let (counting, listed): (Vec<u32>, Vec<Region>) =
            counting.map(|(place, (_, region))| (place, region.clone())).unzip();
        let regions: Vec<Region> = regions.into_iter().map(|(_, region)| region).collect();
        Table {
            rules,
            lists: lists.into(),
            addresses: addresses.into(),
            numbers: numbers.into(),
            tree: Tree::build(&regions, family),
            for_strays: (!is_whole).then(|| (counting.into(), Tree::build(&listed, family))),
        }
    }

    /// Rules that a stray may be compared with.
    #[cfg(test)]
    pub(super) fn rules_for_strays(&self) -> usize {
        self.for_strays.as_ref().map_or(self.rules.len(), |(places, _)| places.len())
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let strays =
            self.for_strays.as_ref().map_or(0, |(places, tree)| size_of_val(&**places) + tree.bytes());
        let lists = size_of_val(&*self.lists) + size_of_val(&*self.addresses) + size_of_val(&*self.numbers);
        size_of_val(&*self.rules) + lists + self.tree.bytes() + strays
    }

    /// The first rule in order that the point belongs to and `admits` takes.
    #[inline]
    pub(super) fn first(&self, point: &Point<W>, mut admits: impl FnMut(Found) -> bool) -> Option<Found> {
        let place = self.tree.first(point, |place| {
            let rule = &self.rules[place as usize];
            self.matches(rule, point) && admits(rule.found())
        })?;
        Some(self.rules[place as usize].found())
    }

    /// The first rule in order that the point belongs to, of those that count for strays.
    pub(super) fn first_for_strays(&self, point: &Point<W>) -> Option<Found> {
        let Some((places, tree)) = &self.for_strays else { return self.first(point, |_| true) };
        let rule = |place: u32| &self.rules[places[place as usize] as usize];
        tree.first(point, |place| self.matches(rule(place), point)).map(|place| rule(place).found())
    }

    /// The first rules in order, from place `from` on, that the point belongs to, as far as `judge` does not say no.
    #[inline]
    pub(super) fn candidates(
        &self,
        point: &Point<W>,
        from: u32,
        mut judge: impl FnMut(Found) -> Verdict,
    ) -> Candidates {
        let found = self.tree.candidates(point, from, |place| {
            let rule = &self.rules[place as usize];
            if self.matches(rule, point) { judge(rule.found()) } else { Verdict::No }
        });
        let rule = |place: u32| self.rules[place as usize].found();
        Candidates {
            asked: found.asked.iter().map(|place| rule(*place)).collect(),
            then: match found.then {
                tree::Then::Nothing => Then::Nothing,
                tree::Then::Decides(place) => Then::Decides(rule(place)),
                tree::Then::More(place) => Then::More(place),
            },
        }
    }

    fn matches(&self, rule: &CompiledRule<W>, point: &Point<W>) -> bool {
        let [destination, source, destination_port, source_port, vlans] = *point;
        let port = |port: W| port.window(0) as u16;
        // Five comparisons without a branch between them: which one fails cannot be foreseen.
        let is_near = rule.addresses[0].contains(destination)
            & rule.addresses[1].contains(source)
            & rule.ports[0].contains(port(destination_port))
            & rule.ports[1].contains(port(source_port))
            & rule.vlans.contains(vlans.window(0));
        is_near && (rule.lists == NONE || self.is_listed(rule, point))
    }

    fn is_listed(&self, rule: &CompiledRule<W>, point: &Point<W>) -> bool {
        let slices = &self.lists[rule.lists as usize];
        slices.iter().enumerate().all(|(dimension, slice)| {
            slice.start == slice.end
                || match dimension {
                    ..ADDRESSES => is_listed(slice.of(&self.addresses), point[dimension]),
                    _ => is_listed(slice.of(&self.numbers), point[dimension].window(0)),
                }
        })
    }
}

fn append<W: TryFrom<u128> + Default>(array: &mut Vec<Range<W>>, list: &[Range<u128>]) -> Slice {
    let start = array.len() as u32;
    array.extend(list.iter().map(Range::narrow));
    Slice { start, end: array.len() as u32 }
}

/// Of lists that are never empty.
fn hull<W: TryFrom<u128> + Default>(region: &Region, dimension: usize) -> Range<W> {
    let list = region.list(dimension);
    Range { first: list[0].first, last: list[list.len() - 1].last }.narrow()
}
