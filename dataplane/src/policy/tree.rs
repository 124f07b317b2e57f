//! Finds the first rule that a point belongs to, at a cost that hardly depends on how many rules there are.
//!
//! A decision tree over the five dimensions, in the family of HyperSplit (Qi, Xu, Yang, Xue, Li: INFOCOM 2009), EffiCuts
//! (Vamanan, Voskuilen, Vijaykumar: SIGCOMM 2010) and CutSplit (Li, Li, Li, Xie: INFOCOM 2018). A node cuts one dimension at up
//! to twelve places, chosen so that the rules spread evenly (EffiCuts' equi-dense cuts); it is one cache line, its
//! children stand side by side. Thirteen ways at a time, 10,000 rules are some four nodes deep.
//!
//! What makes such trees grow without bound is that a wide rule has to be in many children. The papers separate rules into
//! trees by a fixed idea of what is wide; here every node does by what is wide *there*: a rule that more than half of
//! its children would hold is held once, *aside*, in a tree of its own beneath the same node. A look-up searches both, the one
//! with the earlier rule first; every child says which rule is the earliest beneath it, so what cannot be better than what has
//! been found is not entered. A leaf has a digest of each of its rules (`leaf.rs`), so that of these, too, hardly any other than
//! the one is read. A default at the end of the list, wide as it is, costs nothing once anything else has matched.
//!
//! Bounds, whatever the rules are like:
//! - *memory*: a node passes down a budget of references to rules, [`REFERENCES_PER_RULE`] for each at the root, to each child its
//!   share; a cut that would exceed it is not made. A node has at least two children that each refer to a rule.
//! - *look-up*: a subtree whose longest search, in cache lines, is no better than reading its rules one after the
//!   other becomes that list. So no tree is slower than the list that it replaces, and a few rules are a list.
//! - *depth*: [`DEPTH`]; so is the stack of a look-up, and nothing is allocated.
//! - *build time*: depth times budget times the logarithm of a sort.
//!
//! TupleSpace and TupleMerge (OVS) were the alternative: a hash table for each combination of prefix lengths. They
//! are quick to change, which a snapshot that is replaced whole does not need, and their look-up probes as many tables as
//! there are combinations: a few dozens for IPv4 lists, hundreds for IPv6, and port ranges on top. DPDK's `rte_acl` would tie
//! the rules to a build that has it: this crate works, and is simulated, without DPDK.

mod build;
mod leaf;
mod split;
#[cfg(test)]
mod tests;

use arrayvec::ArrayVec;

use super::region::{Family, Region, everything};
use super::table::Point;
use leaf::Block;

/// Places at which a node cuts its dimension, at most: with them it is 64 bytes.
pub(super) const CUTS: usize = 12;
/// Rules in a leaf that is not worth a cut: two neighbouring lines are read sooner than a node and what is beneath it.
const LEAF: usize = 2 * leaf::RULES;
/// Nodes on the way to a leaf, at most.
const DEPTH: usize = 24;
/// Rules that may or may not be it, of which one search tells.
pub(super) const CANDIDATES: usize = 16;
/// References to rules, for each list entry of all rules together.
const REFERENCES_PER_RULE: usize = 8;

/// A number that rules compare: `u32` for IPv4, `u128` for IPv6.
pub(super) trait Word: Copy + PartialOrd + From<u16> + TryFrom<u128> + Default {
    /// The 32 bits from bit `shift` on.
    fn window(self, shift: u8) -> u32;
    /// The 8 bits from bit `shift` on.
    fn byte(self, shift: u8) -> u8;
}

impl Word for u32 {
    fn window(self, _shift: u8) -> u32 {
        // Nothing of an IPv4 rule is longer, so every shift is 0.
        self
    }

    fn byte(self, shift: u8) -> u8 {
        (self >> shift) as u8
    }
}

impl Word for u128 {
    fn window(self, shift: u8) -> u32 {
        (self >> shift) as u32
    }

    fn byte(self, shift: u8) -> u8 {
        (self >> shift) as u8
    }
}

/// A subtree: its root, and the earliest rule in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Child {
    /// Place of the rule; [`Child::NOTHING`] for an empty subtree, which is never entered.
    best: u32,
    /// A node, or with [`Child::LEAF`] where in [`Tree::blocks`] a leaf begins.
    target: u32,
}

impl Child {
    const LEAF: u32 = 1 << 31;
    const NOTHING: u32 = u32::MAX;
    const EMPTY: Child = Child { best: Child::NOTHING, target: Child::LEAF };

    /// Both, the one with the earlier rule first. Which one that is cannot be foreseen, so there is no branch: the
    /// smaller and the greater of two numbers.
    fn in_order(self, other: Child) -> (Child, Child) {
        let number = |child: Child| u64::from(child.best) << 32 | u64::from(child.target);
        let child = |number: u64| Child { best: (number >> 32) as u32, target: number as u32 };
        let (a, b) = (number(self), number(other));
        (child(a.min(b)), child(a.max(b)))
    }
}

/// One cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
struct Node {
    /// Child `i` holds what is above cut `i - 1` and up to cut `i`; ascending, `u32::MAX` where there are fewer.
    cuts: [u32; CUTS],
    /// Where in [`Tree::children`] its children begin.
    children: u32,
    /// Rules that are wide here.
    aside: Child,
    dimension: u8,
    /// Which 32 bits of the number are compared: all above are the same here.
    shift: u8,
}

const _: () = assert!(size_of::<Node>() == 64, "a node is one cache line");

impl Node {
    /// How many cuts a number is above: in four sums that the compiler keeps in one register.
    fn part_of(&self, number: u32) -> u32 {
        let mut sums = [0; 4];
        for four in self.cuts.chunks_exact(4) {
            for (sum, cut) in sums.iter_mut().zip(four) {
                *sum += u32::from(number > *cut);
            }
        }
        sums.iter().sum()
    }
}

/// The tree over rules that are named by their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    root: Child,
    nodes: Box<[Node]>,
    children: Box<[Child]>,
    /// Those of a leaf stand side by side, the places of its rules ascending.
    blocks: Box<[Block]>,
}

/// What one rule is to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not about it.
    No,
    /// About it, and whether it decides is found out only when its turn has come.
    Ask,
    /// It is the one, unless an earlier one is.
    Decides,
}

/// The earliest places to ask, ascending, and what comes behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidates {
    pub(super) asked: ArrayVec<u32, CANDIDATES>,
    pub(super) then: Then,
}

/// What comes behind all candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// This place decides.
    Decides(u32),
    /// There are more candidates, from this place on.
    More(u32),
}

impl Tree {
    /// Of rules in order.
    pub(super) fn build(regions: &[Region], family: Family) -> Tree {
        build::Builder::new(regions).build(&everything(family))
    }

    /// The first place whose rule `matches`. `matches` is asked of some places only, and of each place once for every leaf that
    /// holds it at most; it must be true only where the point is in the rule's region, and must answer twice the same.
    // This, what it calls and who calls it are one loop, `matches` included: each call in it is some 20 to 40 instructions of a SYN.
    #[inline]
    pub(super) fn first<W: Word>(
        &self,
        point: &Point<W>,
        mut matches: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let found =
            self.candidates(point, 0, |place| if matches(place) { Verdict::Decides } else { Verdict::No });
        if let Then::Decides(place) = found.then { Some(place) } else { None }
    }

    /// The first places from `from` on whose rules `judge` would have asked, up to the first that decides. As with
    /// [`Tree::first`], `judge` hears of some places only, and must answer twice the same. However many rules say no,
    /// one after the other, each is judged hardly more than once: a leaf is entered where the last search has ended.
    #[inline]
    pub(super) fn candidates<W: Word>(
        &self,
        point: &Point<W>,
        from: u32,
        mut judge: impl FnMut(u32) -> Verdict,
    ) -> Candidates {
        let mut found = Candidates { asked: ArrayVec::new(), then: Then::Nothing };
        // What stands here or behind need not be looked at.
        let mut best = Child::NOTHING;
        let mut waiting: ArrayVec<Child, { DEPTH + 1 }> = ArrayVec::new();
        let mut next = self.root;
        loop {
            if next.best < best {
                if next.target & Child::LEAF == 0 {
                    let node = &self.nodes[next.target as usize];
                    let number = point[usize::from(node.dimension)].window(node.shift);
                    let child = node.part_of(number);
                    let child = self.children[(node.children + child) as usize];
                    let (first, second) = child.in_order(node.aside);
                    if second.best < best {
                        waiting.push(second);
                    }
                    next = first;
                    continue;
                }
                best = self.search(next.target & !Child::LEAF, point, from, best, &mut judge, &mut found);
            }
            match waiting.pop() {
                Some(waiting) => next = waiting,
                None => return found,
            }
        }
    }

    /// Looks through a leaf. Returns the place where the search ends from now on.
    #[inline]
    fn search<W: Word>(
        &self,
        leaf: u32,
        point: &Point<W>,
        from: u32,
        mut best: u32,
        judge: &mut impl FnMut(u32) -> Verdict,
        found: &mut Candidates,
    ) -> u32 {
        let leaf = leaf as usize;
        let blocks = &self.blocks[leaf..leaf + self.blocks[leaf].len as usize];
        let start = if from == 0 { 0 } else { blocks.partition_point(|block| block.last() < from) };
        for block in &blocks[start..] {
            let mut admitted = block.admits(point);
            while admitted != 0 {
                let place = block.places[admitted.trailing_zeros() as usize];
                admitted &= admitted - 1;
                if place >= best {
                    return best;
                }
                if place < from {
                    continue;
                }
                best = match judge(place) {
                    Verdict::No => continue,
                    Verdict::Decides => found.end_at(place),
                    Verdict::Ask => found.ask(place).unwrap_or(best),
                };
            }
        }
        best
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.children) + size_of_val(&*self.blocks)
    }
}

impl Candidates {
    /// `place`, which is before the end, decides. Returns it.
    fn end_at(&mut self, place: u32) -> u32 {
        let before = self.asked.partition_point(|asked| *asked < place);
        self.asked.truncate(before);
        self.then = Then::Decides(place);
        place
    }

    /// `place`, which is before the end, is to be asked. Returns the new end when there was no room for all.
    fn ask(&mut self, place: u32) -> Option<u32> {
        let at = self.asked.partition_point(|asked| *asked < place);
        if !self.asked.is_full() {
            self.asked.insert(at, place);
            return None;
        }
        let last = if at == CANDIDATES { place } else { self.asked.remove(CANDIDATES - 1) };
        if at < CANDIDATES {
            self.asked.insert(at, place);
        }
        self.then = Then::More(last);
        Some(last)
    }
}
