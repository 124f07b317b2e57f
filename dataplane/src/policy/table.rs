//! The rules of one family, compiled: what a look-up compares a SYN with once the tree has named candidates.

use super::Found;
use super::region::{ADDRESSES, DIMENSIONS, Family, Range, Region};
use super::spec::RuleSpec;
use super::tree::{Tree, Word};

/// Not a rule; not a list either.
pub(super) const NONE: u32 = u32::MAX;

/// A SYN as a point: destination and source address, destination and source port, VLAN stack.
pub(super) type Point<W> = [W; DIMENSIONS];

/// A rule. 48 bytes for IPv4: what most rules are compared by is on one cache line.
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
}

impl<W> CompiledRule<W> {
    pub(super) const fn found(&self) -> Found {
        Found { index: self.index, condition: self.condition }
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
}

/// Whether a sorted list has a range that `value` lies in.
fn is_listed<W: Copy + PartialOrd>(list: &[Range<W>], value: W) -> bool {
    let at = list.partition_point(|range| range.last < value);
    list.get(at).is_some_and(|range| range.first <= value)
}

impl<W: Word> Table<W> {
    /// `conditions` has the condition of each rule, or [`NONE`].
    pub(super) fn build(specs: &[RuleSpec], conditions: &[u32], family: Family) -> Table<W> {
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
            }
        });
        let rules = rules.collect();
        let regions: Vec<Region> = regions.into_iter().map(|(_, region)| region).collect();
        Table {
            rules,
            lists: lists.into(),
            addresses: addresses.into(),
            numbers: numbers.into(),
            tree: Tree::build(&regions, family),
        }
    }

    /// The first rule in order, from index `from` on, that the point belongs to and `admits` takes.
    pub(super) fn first(
        &self,
        point: &Point<W>,
        from: u32,
        mut admits: impl FnMut(&CompiledRule<W>) -> bool,
    ) -> Option<&CompiledRule<W>> {
        let place = self.tree.first(point, |place| {
            let rule = &self.rules[place as usize];
            rule.index >= from && self.matches(rule, point) && admits(rule)
        })?;
        Some(&self.rules[place as usize])
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
