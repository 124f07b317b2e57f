//! What rules cost, with 10, 1000 and 10,000 of them: a look-up, a SYN that is refused, one on the worker, one on its whole way until
//! its server is asked; and what meets none, a frame that is cut through and most of a connection.
//!
//! The SYNs are the same for every number of rules, and so is their way. The port's share is measured alone and subtracted. *Rules
//! that ask* is a SYN on the worker where every rule has a fingerprint or a rate, and none decides.

pub mod held;
mod set;
pub mod syns;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use dataplane::flow::quad::{Quad, Segment};
use dataplane::policy::Snapshot;

use super::connections::cycle::{Connections, Cycle};
use super::flood::Answering;
use super::growth::{Growth, against, alone, behind_port};
use crate::carried::cut_through_beside;
use crate::forwarder::{Forwarder, Nothing};
use crate::generator::Generator;
use crate::race::{Contender, Samples, Spread};
use crate::suite::{Finding, Measurement, Row, Run};
use crate::traffic::{Family, Traffic};
use crate::worker::Beside;
use held::Held;
use set::Set;
use syns::{Syns, Wire};

pub const MEASUREMENT: Measurement = Measurement {
    name: "rules",
    about: "What rules cost: a look-up, SYNs, a connection, and a frame that is cut through",
    budget: "reported",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "Rules such as firewalls have (`bench/src/measurements/rules/set.rs`), 65,536 different SYNs in turn, all of which \
    are offered. Nanoseconds a SYN, the port's own cost, measured alone in each sample, subtracted. *Rules that ask*: every rule has \
    a fingerprint or a rate, and none decides. *Refused*: all rules refuse, and every SYN becomes a RST. *The whole way*: worker and \
    control core take turns on one thread. *Frame*: of one of 1000 flows, with deltas; it meets no rule. *Connection*: as in \
    `connections`, 1024 at once, worker and control core together; its SYN is the one of its nine segments that meets rules, few of which \
    are about its server. The ratio is that of the most rules to the fewest.";

const LOOK_UP: &str = "look-up";
/// Connections of each contender and sample.
const CONNECTIONS: usize = 10_000;
/// SYNs or frames.
const UNITS: usize = 100_000;
/// Numbers of rules; the first is what the others are compared with.
const RULES: [u32; 3] = [10, 1000, LAST];
const LAST: u32 = 10_000;
/// Of those that are cut through, and what is added to their numbers.
const FLOWS: u32 = 1000;
const DELTA: i32 = 1_000_003;
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

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let mut growth = Growth::new(HOW, "rules", &RULES);
    let mut built = Vec::new();
    for family in [Family::V4, Family::V6] {
        run.say(family.to_string());
        built.push(of_family(run, family, &mut growth));
    }
    run.say("connections");
    connections(run, &mut growth);
    let mut finding = growth.finish("With rules, IPv4");
    finding.rows.extend(built);
    Ok(finding)
}

/// Looked up, and on their way; returns how long the rules took to compile.
fn of_family(run: &Run, family: Family, growth: &mut Growth) -> Row {
    let set = Set::new(family, LAST as usize);
    let quads: Arc<[Quad]> = set.quads(SYNS).into();
    let mut built = Vec::new();
    let compiled = RULES.map(|rules| {
        let start = Instant::now();
        let rules = Arc::new(set.compile(rules as usize));
        built.push(start.elapsed().as_secs_f64() * 1e3);
        Beside { rules, idle: 0 }
    });
    let refusing =
        RULES.map(|rules| Beside { rules: Arc::new(set.compile_refusing(rules as usize)), idle: 0 });
    let asking = RULES.map(|rules| Beside { rules: Arc::new(set.compile_asking(rules as usize)), idle: 0 });
    let length = run.length(UNITS);
    let mut add = |what: &str, samples: &Samples, own: fn(&[f64], usize) -> f64| {
        growth.add(format!("{family}, {what}"), samples, own);
        // A look-up by itself grows so much more than what it is a part of that nothing else could be told apart.
        if family == Family::V4 && what != LOOK_UP {
            growth.show(what);
        }
    };

    let look_ups =
        |Beside { rules, .. }: &Beside| LookUps { snapshot: rules.clone(), quads: quads.clone(), next: 0 };
    add(LOOK_UP, &alone(length, &mut compiled.each_ref().map(look_ups)), |times, rules| times[rules]);
    let mut wire = Wire::new(&quads);
    let mut workers = refusing.each_ref().map(|beside| Answering::refusing_beside(beside, &quads));
    add("SYN that is refused", &against(length, &mut wire, &mut workers), behind_port);
    let mut workers = compiled.each_ref().map(|beside| Syns::new(beside, &quads));
    add("SYN on the worker", &against(length, &mut wire, &mut workers), behind_port);
    let mut whole = compiled.each_ref().map(|beside| Held::new(beside, &quads));
    add("SYN's whole way", &against(length, &mut wire, &mut whole), behind_port);
    let mut workers = asking.each_ref().map(|beside| Syns::new(beside, &quads));
    add("rules that ask", &against(length, &mut wire, &mut workers), behind_port);

    let traffic = Traffic { family, ..Traffic::shortest(FLOWS) };
    let mut port = Forwarder::start(Generator::pair(&traffic), Nothing);
    let mut workers = compiled.each_ref().map(|beside| cut_through_beside(beside, &traffic, DELTA));
    add("frame that is cut through", &against(length, &mut port, &mut workers), behind_port);
    let ratio = built[built.len() - 1] / built[0];
    let values = built.into_iter().chain([ratio]).map(|value| Some(Spread::of([value]))).collect();
    Row { case: format!("{family}, to compile, ms"), values }
}

/// Whole ones: nothing but their SYNs meets any rule.
fn connections(run: &Run, growth: &mut Growth) {
    let set = Set::new(Family::V4, LAST as usize);
    let mut cycles = RULES.map(|rules| {
        let beside = Beside { rules: Arc::new(set.compile(rules as usize)), idle: 0 };
        Connections(Cycle::beside(&beside, Family::V4, 1024))
    });
    let samples = alone(run.length(CONNECTIONS), &mut cycles);
    growth.add(Connections::case("IPv4, connection", &cycles), &samples, |times, rules| times[rules]);
    growth.show("connection");
}
