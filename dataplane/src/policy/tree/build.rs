//! Grows the tree from the top.

use super::leaf::{Block, RULES, blocks};
use super::split::{Cut, split};
use super::{Child, DEPTH, LEAF, Node, REFERENCES_PER_RULE, Tree};
use crate::policy::region::{Bounds, Region};

/// What it costs to enter a node, its child's entry included, in cache lines.
const NODE_COST: usize = 2;

/// What it costs to look through a leaf, in cache lines; rules that its digests admit have to be compared in any case.
fn leaf_cost(rules: &[u32]) -> usize {
    rules.len().div_ceil(RULES)
}

pub(super) struct Builder<'a> {
    regions: &'a [Region],
    nodes: Vec<Node>,
    children: Vec<Child>,
    blocks: Vec<Block>,
}

/// How far the arrays were filled.
struct Mark {
    nodes: usize,
    children: usize,
    blocks: usize,
}

/// A subtree and its longest search, in cache lines.
struct Grown {
    child: Child,
    cost: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(regions: &'a [Region]) -> Self {
        Builder { regions, nodes: Vec::new(), children: Vec::new(), blocks: Vec::new() }
    }

    pub(super) fn build(mut self, bounds: &Bounds) -> Tree {
        let longest = |region: &Region| (0..bounds.len()).map(|d| region.list(d).len()).max().unwrap_or(1);
        let entries: usize = self.regions.iter().map(longest).sum();
        let rules: Vec<u32> = (0..self.regions.len() as u32).collect();
        let root = self.grow(rules, bounds, REFERENCES_PER_RULE * entries, DEPTH).child;
        Tree { root, nodes: self.nodes.into(), children: self.children.into(), blocks: self.blocks.into() }
    }

    /// The subtree of these rules (ascending) in these bounds, with at most `budget` references to rules.
    fn grow(&mut self, mut rules: Vec<u32>, bounds: &Bounds, budget: usize, depth: usize) -> Grown {
        // Whatever stands behind a rule that has all of it is never reached here.
        if let Some(at) = rules.iter().position(|rule| self.is_last(*rule, bounds)) {
            rules.truncate(at + 1);
        }
        if rules.len() <= LEAF || depth == 0 {
            return self.leaf(&rules, bounds);
        }
        let regions = self.regions;
        let Some(cut) = split(regions, &rules, bounds).filter(|cut| cut.references <= budget) else {
            return self.leaf(&rules, bounds);
        };
        let mark = self.mark();
        let grown = self.divide(&rules, bounds, budget, depth - 1, &cut);
        if grown.cost < leaf_cost(&rules) {
            return grown;
        }
        self.back_to(&mark);
        self.leaf(&rules, bounds)
    }

    fn divide(&mut self, rules: &[u32], bounds: &Bounds, budget: usize, depth: usize, cut: &Cut) -> Grown {
        let (parts, aside) = cut.distribute(self.regions, rules);
        let share = |part: &[u32]| budget * part.len() / cut.references;
        let mut children: Vec<Child> = Vec::with_capacity(parts.len());
        let mut longest = 0;
        for (number, part) in parts.into_iter().enumerate() {
            let share = share(&part);
            let grown = self.grow(part, &cut.bounds_of(number, bounds), share, depth);
            longest = longest.max(grown.cost);
            children.push(grown.child);
        }
        let aside_share = share(&aside);
        let aside = self.grow(aside, bounds, aside_share, depth);
        let best = children.iter().chain([&aside.child]).map(|child| child.best).min();
        let node = Node {
            cuts: cut.padded(),
            children: self.children.len() as u32,
            aside: aside.child,
            dimension: cut.dimension as u8,
            shift: cut.shift,
        };
        self.children.extend(children);
        self.nodes.push(node);
        let target = self.nodes.len() as u32 - 1;
        let child = Child { best: best.unwrap_or(Child::NOTHING), target };
        Grown { child, cost: NODE_COST + longest + aside.cost }
    }

    fn is_last(&self, rule: u32, bounds: &Bounds) -> bool {
        self.regions[rule as usize].decides_all(bounds)
    }

    fn leaf(&mut self, rules: &[u32], bounds: &Bounds) -> Grown {
        let Some(best) = rules.first() else { return Grown { child: Child::EMPTY, cost: 0 } };
        let target = self.blocks.len() as u32 | Child::LEAF;
        self.blocks.extend(blocks(self.regions, rules, bounds));
        Grown { child: Child { best: *best, target }, cost: leaf_cost(rules) }
    }

    fn mark(&self) -> Mark {
        Mark { nodes: self.nodes.len(), children: self.children.len(), blocks: self.blocks.len() }
    }

    fn back_to(&mut self, mark: &Mark) {
        self.nodes.truncate(mark.nodes);
        self.children.truncate(mark.children);
        self.blocks.truncate(mark.blocks);
    }
}
