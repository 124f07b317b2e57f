//! What rules cost: a look-up, a SYN on the worker, and a SYN on its whole way until its server is asked, with 10, 1000 and
//! 10,000 of them.
//!
//! The SYNs are the same for every number of rules, and so is their way: each is offered. The port's share is measured
//! alone and subtracted. *Rules asking* is a SYN on the worker where every rule has a fingerprint or a rate, and none decides.

mod held;
mod set;
mod syns;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use dataplane::flow::quad::{Quad, Segment};
use dataplane::policy::Snapshot;

use crate::{Contender, measure, median};
use held::Held;
use set::{Family, Set};
use syns::{Syns, Wire};

/// Numbers of rules; the first is what the others are compared with.
const RULES: [usize; 3] = [10, 1000, 10_000];
/// More SYNs than any cache remembers the way of.
const SYNS: usize = 1 << 16;

/// Look-ups alone.
struct LookUps {
    snapshot: Arc<Snapshot>,
    quads: Arc<[Quad]>,
    next: usize,
}

impl Contender for LookUps {
    fn round(&mut self) -> usize {
        const BURST: usize = 32;
        for quad in &self.quads[self.next..self.next + BURST] {
            black_box(self.snapshot.decide(black_box(quad), Segment(0)));
        }
        self.next = (self.next + BURST) % self.quads.len();
        BURST
    }
}

/// All numbers of rules, one after the other, in every sample.
struct Table {
    columns: [Vec<f64>; RULES.len()],
}

impl Table {
    fn of(samples: usize, mut sample: impl FnMut() -> [f64; RULES.len()]) -> Table {
        let mut columns: [Vec<f64>; RULES.len()] = Default::default();
        for _ in 0..samples {
            columns.iter_mut().zip(sample()).for_each(|(column, value)| column.push(value));
        }
        Table { columns }
    }

    /// Medians, and the ratio of the last column to the first.
    fn print(self, what: &str) {
        let mut ratios: Vec<f64> = self.columns[2].iter().zip(&self.columns[0]).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let [few, some, many] = self.columns.map(median);
        println!(
            "{what:<18} {few:>8.1} {some:>8.1} {many:>8.1} {:>8.2}  ({low:.2} to {high:.2})",
            median(ratios)
        );
    }
}

/// Prints everything.
pub fn report(samples: usize) {
    println!("rules such as firewalls have (bench/src/rules/set.rs); ns each, 65,536 different SYNs in turn");
    println!("{:<18} {:>8} {:>8} {:>8} {:>8}  of 10,000 rules to ten, median", "", 10, 1000, 10_000, "ratio");
    for family in [Family::V4, Family::V6] {
        let set = Set::new(family, RULES[RULES.len() - 1]);
        let quads: Arc<[Quad]> = set.quads(SYNS).into();
        let compile = |rules: usize| {
            let start = Instant::now();
            let snapshot = Arc::new(set.compile(rules));
            (snapshot, start.elapsed())
        };
        let compiled = RULES.map(compile);
        let mut look_ups = compiled.each_ref().map(|(snapshot, _)| LookUps {
            snapshot: Arc::clone(snapshot),
            quads: quads.clone(),
            next: 0,
        });
        let all = |contenders: &mut [LookUps; 3]| contenders.each_mut().map(|contender| measure(contender));
        Table::of(samples, || all(&mut look_ups)).print(&format!("{family} look-up"));
        let mut wire = Wire::new(&quads);
        let mut workers = compiled.each_ref().map(|(snapshot, _)| Syns::new(Arc::clone(snapshot), &quads));
        let table = Table::of(samples, || {
            let wire = measure(&mut wire);
            workers.each_mut().map(|worker| measure(worker) - wire)
        });
        table.print(&format!("{family} on worker"));
        let mut whole = compiled.each_ref().map(|(snapshot, _)| Held::new(Arc::clone(snapshot), &quads));
        let table = Table::of(samples, || {
            let wire = measure(&mut wire);
            whole.each_mut().map(|appliance| measure(appliance) - wire)
        });
        table.print(&format!("{family} whole SYN"));
        let asking = RULES.map(|rules| Arc::new(set.compile_asking(rules)));
        let mut workers = asking.map(|snapshot| Syns::new(snapshot, &quads));
        let table = Table::of(samples, || {
            let wire = measure(&mut wire);
            workers.each_mut().map(|worker| measure(worker) - wire)
        });
        table.print(&format!("{family} rules asking"));
        let built = compiled[RULES.len() - 1].1;
        println!("{:<18} {:>26.1} ms to compile", format!("{family} snapshot"), built.as_secs_f64() * 1e3);
    }
}
