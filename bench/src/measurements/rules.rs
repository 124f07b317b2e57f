//! What rules cost: a look-up, a SYN on the worker, and a SYN on its whole way until its server is asked, with 10, 1000 and
//! 10,000 of them.
//!
//! The SYNs are the same for every number of rules, and so is their way: each is offered. The port's share is measured
//! alone and subtracted. *Rules asking* is a SYN on the worker where every rule has a fingerprint or a rate, and none decides.

pub mod held;
mod set;
pub mod syns;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use dataplane::flow::quad::{Quad, Segment};
use dataplane::policy::Snapshot;

use crate::race::{Contender, Samples, Spread, race};
use crate::suite::{Finding, Measurement, Row, Run};
use crate::traffic::Family;
use held::Held;
use set::Set;
use syns::{Syns, Wire};

pub const MEASUREMENT: Measurement = Measurement {
    name: "rules",
    about: "What rules cost: a look-up, a SYN on the worker, a SYN until its server is asked",
    budget: "reported",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "Rules such as firewalls have (`bench/src/measurements/rules/set.rs`), 65,536 different SYNs in turn, all of which \
    are offered. Nanoseconds a SYN, the port's own cost, measured alone in each sample, subtracted. *Rules that ask*: every rule has \
    a fingerprint or a rate, and none decides. *The whole way*: worker and control core take turns on one thread. The ratio is that \
    of the most rules to the fewest.";

/// SYNs of each contender and sample.
const UNITS: usize = 100_000;
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

/// The port alone, and the same with every number of rules.
fn against<C: Contender>(run: &Run, wire: &mut Wire, contenders: &mut [C]) -> Samples {
    let mut all: Vec<&mut dyn Contender> = vec![wire];
    all.extend(contenders.iter_mut().map(|contender| contender as &mut dyn Contender));
    race(run.length(UNITS), &mut all)
}

/// Nanoseconds by number of rules, and the ratio of the last to the first, where `alone` is a contender's own time.
fn row(case: String, samples: &Samples, alone: impl Fn(&[f64], usize) -> f64) -> Row {
    let columns = (0..RULES.len()).map(|rules| samples.spread(|times| alone(times, rules)));
    let ratio = samples.spread(|times| alone(times, RULES.len() - 1) / alone(times, 0));
    Row { case, values: columns.chain([ratio]).map(Some).collect() }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let mut columns: Vec<String> = RULES.iter().map(|rules| format!("{rules} rules")).collect();
    columns.push("ratio".into());
    let mut finding = Finding { how: HOW.into(), columns, ..Finding::default() };
    for family in [Family::V4, Family::V6] {
        run.say(family.to_string());
        finding.rows.extend(of_family(run, family));
    }
    Ok(finding)
}

fn of_family(run: &Run, family: Family) -> Vec<Row> {
    let set = Set::new(family, RULES[RULES.len() - 1]);
    let quads: Arc<[Quad]> = set.quads(SYNS).into();
    let mut built = [0.0; RULES.len()];
    let compiled: [Arc<Snapshot>; RULES.len()] = std::array::from_fn(|at| {
        let start = Instant::now();
        let snapshot = Arc::new(set.compile(RULES[at]));
        built[at] = start.elapsed().as_secs_f64() * 1e3;
        snapshot
    });
    let behind_port = |times: &[f64], rules: usize| times[1 + rules] - times[0];
    let look_ups =
        |snapshot: &Arc<Snapshot>| LookUps { snapshot: Arc::clone(snapshot), quads: quads.clone(), next: 0 };
    let mut look_ups = compiled.each_ref().map(look_ups);
    let mut all: Vec<&mut dyn Contender> = look_ups.iter_mut().map(|one| one as &mut dyn Contender).collect();
    let samples = race(run.length(UNITS), &mut all);
    let mut rows = vec![row(format!("{family}, look-up"), &samples, |times, rules| times[rules])];
    let mut wire = Wire::new(&quads);
    let mut workers = compiled.each_ref().map(|snapshot| Syns::new(Arc::clone(snapshot), &quads));
    let samples = against(run, &mut wire, &mut workers);
    rows.push(row(format!("{family}, SYN on the worker"), &samples, behind_port));
    let mut whole = compiled.each_ref().map(|snapshot| Held::new(Arc::clone(snapshot), &quads));
    let samples = against(run, &mut wire, &mut whole);
    rows.push(row(format!("{family}, SYN's whole way"), &samples, behind_port));
    let mut workers = RULES.map(|rules| Syns::new(Arc::new(set.compile_asking(rules)), &quads));
    let samples = against(run, &mut wire, &mut workers);
    rows.push(row(format!("{family}, rules that ask"), &samples, behind_port));
    let once = |value| Some(Spread::of([value]));
    let values = built.map(once).into_iter().chain([once(built[RULES.len() - 1] / built[0])]).collect();
    rows.push(Row { case: format!("{family}, to compile, ms"), values });
    rows
}
