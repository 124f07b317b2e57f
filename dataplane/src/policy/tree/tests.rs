//! The tree against reading the rules one after the other: answers, and what they cost. Rule sets are drawn from a seed; points
//! lie at the ends of rules, where mistakes are.

use std::cell::Cell;

use super::*;
use crate::policy::region::{Bounds, DIMENSIONS, Range};
use crate::policy::{Action, Prefix, RuleSpec, VlanMatch};

/// Rules that somebody may write.
type Kind = fn(&mut fastrand::Rng, u32) -> RuleSpec;

const KINDS: [(&str, Kind); 5] =
    [("mixed", mixed), ("nested", nested), ("crossing", crossing), ("ports", ports), ("lists", lists)];

fn prefix(v4: bool, bits: u128, length: u8) -> Prefix {
    let address =
        if v4 { (bits as u32).to_be_bytes().into() } else { std::net::IpAddr::from(bits.to_be_bytes()) };
    Prefix::new(address, length).unwrap()
}

/// In the documentation's and a company's networks, of a length that one meets.
fn network(rng: &mut fastrand::Rng, v4: bool) -> Prefix {
    match v4 {
        true => prefix(
            true,
            u128::from(10 << 24 | rng.u32(..1 << 22)),
            [16, 22, 24, 24, 28, 32, 32][rng.usize(..7)],
        ),
        false => {
            let low = if rng.bool() { rng.u64(..).into() } else { u128::from(rng.u16(..)) };
            let bits = 0x2001_0db8 << 96 | u128::from(rng.u32(..1 << 14)) << 72 | low;
            prefix(false, bits, [48, 56, 64, 64, 128, 128][rng.usize(..6)])
        }
    }
}

/// As in the papers' lists: most name both ends and a port, some one end only.
fn mixed(rng: &mut fastrand::Rng, _: u32) -> RuleSpec {
    let v4 = rng.u8(..10) < 7;
    let mut rule = RuleSpec::everything(Action::Drop);
    if rng.u8(..10) < 8 {
        rule.destinations.push(network(rng, v4));
    }
    if rule.destinations.is_empty() || rng.u8(..10) < 6 {
        rule.sources.push(network(rng, v4));
    }
    match rng.u8(..10) {
        0..6 => rule.destination_ports.push(rng.choice([22..=22, 80..=80, 443..=443, 8000..=8080]).unwrap()),
        6 => rule.destination_ports.push(1024..=65535),
        _ => {}
    }
    if rng.u8(..20) == 0 {
        rule.vlans.push(VlanMatch::inner(rng.u16(..8)));
    }
    rule
}

/// Each inside of the next.
fn nested(_: &mut fastrand::Rng, number: u32) -> RuleSpec {
    let (source, destination) = (128 - number % 97, 128 - number / 97 % 97);
    RuleSpec {
        sources: vec![prefix(false, 0x2001 << 112 | 7, source as u8)],
        destinations: vec![prefix(false, 0x2001 << 112 | 9, destination as u8)],
        ..RuleSpec::everything(Action::Drop)
    }
}

/// A source or a destination, never both: every pair of them overlaps, and no cut separates them without copies.
fn crossing(rng: &mut fastrand::Rng, number: u32) -> RuleSpec {
    let mut rule = RuleSpec::everything(Action::Drop);
    let list = if number.is_multiple_of(2) { &mut rule.sources } else { &mut rule.destinations };
    list.push(prefix(true, rng.u32(..).into(), rng.u8(8..32)));
    rule
}

/// Ranges of ports of any length, in both dimensions: there is no structure to be found.
fn ports(rng: &mut fastrand::Rng, _: u32) -> RuleSpec {
    let range = |rng: &mut fastrand::Rng| {
        let (a, b) = (rng.u16(..), rng.u16(..));
        a.min(b)..=a.max(b)
    };
    RuleSpec {
        source_ports: vec![range(rng)],
        destination_ports: vec![range(rng)],
        ..RuleSpec::everything(Action::Drop)
    }
}

fn lists(rng: &mut fastrand::Rng, number: u32) -> RuleSpec {
    let mut rule = mixed(rng, number);
    for _ in 0..rng.u8(..12) {
        rule.destinations.push(network(rng, true));
        rule.sources.push(network(rng, true));
    }
    rule
}

fn rules(kind: Kind, count: u32, family: Family, seed: u64) -> Vec<Region> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).filter_map(|number| Region::of(&kind(&mut rng, number), family)).collect()
}

fn contains(region: &Region, point: &Point<u128>) -> bool {
    (0..DIMENSIONS)
        .all(|dimension| region.list(dimension).iter().any(|range| range.contains(point[dimension])))
}

/// A point at ends of some rules, or just outside.
fn point(rng: &mut fastrand::Rng, regions: &[Region], all: &Bounds) -> Point<u128> {
    let rule = rng.choice(regions).unwrap().clone();
    std::array::from_fn(|dimension| {
        let other = rng.choice(regions).unwrap();
        let from = if rng.u8(..4) > 0 { &rule } else { other };
        let range: &Range<u128> = rng.choice(from.list(dimension)).unwrap();
        let end = if rng.bool() { range.first } else { range.last };
        let near = [end, end, end.wrapping_sub(1), end.wrapping_add(1)][rng.usize(..4)];
        near.clamp(all[dimension].first, all[dimension].last)
    })
}

fn first<W: Word>(tree: &Tree, regions: &[Region], point: &Point<u128>) -> (Option<u32>, usize)
where
    <W as TryFrom<u128>>::Error: std::fmt::Debug,
{
    let looked_at = Cell::new(0);
    let found = tree.first(&point.map(|number| W::try_from(number).unwrap()), |place| {
        looked_at.set(looked_at.get() + 1);
        contains(&regions[place as usize], point)
    });
    (found, looked_at.get())
}

/// The most rules that a look-up compared.
fn check(name: &str, regions: &[Region], family: Family, seed: u64) -> usize {
    let tree = Tree::build(regions, family);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut most = 0;
    for _ in 0..3000 {
        let point = point(&mut rng, regions, &everything(family));
        let expected = regions.iter().position(|region| contains(region, &point)).map(|place| place as u32);
        let (found, looked_at) = match family {
            Family::V4 => first::<u32>(&tree, regions, &point),
            Family::V6 => first::<u128>(&tree, regions, &point),
        };
        assert_eq!(found, expected, "{name} {family:?} seed {seed}: {point:x?}");
        assert!(looked_at <= regions.len(), "{name}: no more than the list has");
        most = most.max(looked_at);
    }
    most
}

#[test]
fn answers_as_the_list_does() {
    for (name, kind) in KINDS {
        for (seed, count) in [(1, 1), (2, 7), (3, 40), (4, 300), (5, 1500)] {
            for family in [Family::V4, Family::V6] {
                let regions = rules(kind, count, family, seed);
                if !regions.is_empty() {
                    check(name, &regions, family, seed);
                }
            }
        }
    }
}

#[test]
fn few_rules_are_a_list() {
    let tree = Tree::build(&rules(mixed, LEAF as u32, Family::V4, 1), Family::V4);
    assert!(tree.nodes.is_empty());
    assert_eq!(Tree::build(&[], Family::V4).first(&[0u32; 5], |_| true), None);
}

#[test]
fn ten_thousand_realistic_rules_are_a_few_comparisons() {
    for family in [Family::V4, Family::V6] {
        let regions = rules(mixed, 10_000, family, 9);
        let most = check("mixed", &regions, family, 9);
        // Digests tell nearly all others off: with every rule of the leaves compared it is up to 48.
        assert!(most <= 10, "{family:?}: {most} of {} rules compared", regions.len());
    }
}

#[test]
fn memory_is_bounded_whatever_the_rules_are_like() {
    for (name, kind) in KINDS {
        for family in [Family::V4, Family::V6] {
            let regions = rules(kind, 4000, family, 11);
            let longest = |region: &Region| (0..DIMENSIONS).map(|d| region.list(d).len()).max().unwrap();
            let entries: usize = regions.iter().map(longest).sum();
            let tree = Tree::build(&regions, family);
            // At worst every reference has a block to itself; a node and its children take 64 + 13 * 8 bytes.
            let bound = REFERENCES_PER_RULE * entries * (64 + 168 / 2);
            assert!(tree.bytes() <= bound, "{name} {family:?}: {} bytes, {entries} entries", tree.bytes());
            let references =
                tree.blocks.iter().flat_map(|block| block.places).filter(|place| *place != Child::NOTHING);
            let references = references.count();
            assert!(references <= REFERENCES_PER_RULE * entries.max(1), "{name}: {references} references");
        }
    }
}

#[test]
fn what_stands_behind_a_rule_that_matches_everything_is_not_kept() {
    let mut regions = rules(mixed, 50, Family::V4, 3);
    regions.insert(0, Region::of(&RuleSpec::everything(Action::Drop), Family::V4).unwrap());
    let tree = Tree::build(&regions, Family::V4);
    const NOTHING: u32 = Child::NOTHING;
    let places: Vec<_> = tree.blocks.iter().map(|block| block.places).collect();
    assert_eq!((tree.nodes.len(), places), (0, vec![[0, NOTHING, NOTHING, NOTHING, NOTHING]]));
}

/// All places to ask, in batches as a look-up does, and the one that decides.
fn walk(tree: &Tree, point: &Point<u32>, judge: impl Fn(u32) -> Verdict) -> (Vec<u32>, Option<u32>) {
    let (mut from, mut all) = (0, Vec::new());
    loop {
        let found = tree.candidates(point, from, &judge);
        all.extend(&found.asked);
        match found.then {
            Then::Nothing => return (all, None),
            Then::Decides(place) => return (all, Some(place)),
            Then::More(place) => from = place,
        }
    }
}

#[test]
fn whoever_is_asked_is_asked_in_order_and_nobody_is_left_out() {
    let rate = crate::policy::RateSpec {
        per_second: 1,
        burst: 1,
        side: crate::policy::Side::Above,
        per: crate::policy::Per::Rule,
    };
    for (name, kind) in KINDS {
        for (seed, count) in [(1, 5), (2, 60), (3, 700)] {
            let mut rng = fastrand::Rng::with_seed(seed);
            // All may leave the point to others, so the tree hides none.
            let rule = |number| RuleSpec { rate: Some(rate), ..kind(&mut rng, number) };
            let rules: Vec<RuleSpec> = (0..count).map(rule).collect();
            let regions: Vec<Region> = rules.iter().filter_map(|rule| Region::of(rule, Family::V4)).collect();
            if regions.is_empty() {
                continue;
            }
            let tree = Tree::build(&regions, Family::V4);
            for _ in 0..1000 {
                let point = point(&mut rng, &regions, &everything(Family::V4));
                let deciding = 1 + rng.u32(..100);
                let judge = |place: u32| match contains(&regions[place as usize], &point) {
                    false => Verdict::No,
                    true if place % 7 == 3 => Verdict::No,
                    true if place % deciding == deciding - 1 => Verdict::Decides,
                    true => Verdict::Ask,
                };
                let (mut asked, mut decides) = (Vec::new(), None);
                for place in 0..regions.len() as u32 {
                    match judge(place) {
                        Verdict::No => {}
                        Verdict::Ask => asked.push(place),
                        Verdict::Decides => {
                            decides = Some(place);
                            break;
                        }
                    }
                }
                let got = walk(&tree, &point.map(|number| number as u32), judge);
                assert_eq!(got, (asked, decides), "{name} seed {seed}: {point:x?}");
            }
        }
    }
}
