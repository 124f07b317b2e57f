//! SYNs of flows that nobody has seen before, as many as one worker can take: refused, answered with cookies, offered, and held until
//! room is needed.

mod honest;
mod synproxy;

use std::sync::Arc;
use std::time::Duration;

use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::policy::{Action, CookieUse, Defaults, Prefix, RuleSpec, Snapshot};
use dataplane::refusal::Rejection;

use honest::Outcome;
use synproxy::Synproxy;

use super::rules::held::Held;
use super::rules::syns::{SynPort, Syns, Wire, rig};
use crate::race::{Contender, race};
use crate::suite::{Demand, Finding, Gate, Measurement, Row, Run, one_line};
use crate::traffic::Family;
use crate::worker::{Beside, IDLE_CLIENTS, OFFER, Rig};

pub const MEASUREMENT: Measurement = Measurement {
    name: "flood",
    about: "SYNs that one worker absorbs: refused by a rule, answered with cookies, offered, held",
    budget: "at least 20 times the kernel's SYNPROXY (full run, root); 99.9 % of honest clients served meanwhile",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "65,536 different SYNs in turn, with all options that Linux sends (20 bytes), over ports in memory; the port's own cost, measured \
    alone in each sample, is subtracted. *Refused*: the rule alone decides, and the SYN becomes the RST that answers it. *Cookies*: it becomes the SYN-ACK, and nothing is kept of it, as under a flood. *Offered*: the \
    SYN gets its entry and goes up the ring, and whoever is there, whose time is not counted, forgets it at once, so that the entry goes. *Held*: worker and control core take turns on one \
    thread; the SYN gets a place among 4096, its server is asked, nobody answers, and the oldest makes room and is reset. \
    *Honest clients*: one for 64 SYNs that mean nothing, 10 ms away, with a place for 16,384 held SYNs as a configuration has that \
    says nothing of it, all of them *held*, or *by cookies* once three of four places are taken; all SYNs that are held are answered by the \
    server, nobody uses timestamps or repeats anything, and who has not closed its connection 200 ms after \
    the last has begun was not served. A held SYN keeps its place while 16,384 others come: who is farther away than that takes is served by \
    cookies only. The flood's rate there is one over the slower of worker and control core, connections included. \
    *SYNPROXY*: 50,000 SYNs through a veth, and as many that are dropped on arrival; the difference, in processor time. Its SYN-ACKs \
    are dropped before the device, which is not counted for us either.";

/// SYNs of each contender and sample.
const UNITS: usize = 100_000;
const SYNS: u32 = 1 << 16;
/// Honest ones, of each sample.
const CLIENTS: usize = 5000;

/// As the rules of this and that worker say it.
pub const REFUSE: Defaults = Defaults { action: Action::Reject { rejection: 0 }, ..OFFER };

/// Rules that refuse everything but SYNs of flows that are idle, of which there are so many.
pub fn refusal(idle: u32) -> Beside {
    let (address, length) = IDLE_CLIENTS;
    let clients = Prefix::new(address.into(), length).expect("a prefix of IPv4");
    let offer = RuleSpec { sources: vec![clients], ..RuleSpec::everything(OFFER.action) };
    let rules = Snapshot::compile(&[offer], REFUSE).expect("one rule fits");
    Beside { rules: Arc::new(rules.with_rejections(vec![Rejection::Reset])), idle }
}

/// Rules that offer everything to a module that has its clients answered with cookies.
fn cookies(when: CookieUse) -> Beside {
    let rules = Snapshot::compile(&[], OFFER).expect("no rules fit").with_cookies(vec![when]);
    Beside { rules: Arc::new(rules), idle: 0 }
}

/// A worker that answers every SYN by itself.
pub struct Answering {
    rig: Rig<SynPort>,
    clock: SystemClock,
    answers: Counter,
}

impl Answering {
    fn refusing(quads: &[Quad]) -> Answering {
        let rules = Snapshot::compile(&[], REFUSE).expect("no rules fit");
        let rules = Arc::new(rules.with_rejections(vec![Rejection::Reset]));
        Answering::refusing_beside(&Beside { rules, idle: 0 }, quads)
    }

    /// Beside flows that are idle; the rules refuse everything.
    pub fn refusing_beside(beside: &Beside, quads: &[Quad]) -> Answering {
        Answering::new(beside, quads, Counter::DropPolicyReject)
    }

    fn by_cookies(quads: &[Quad]) -> Answering {
        Answering::new(&cookies(CookieUse::Always), quads, Counter::CookiesSent)
    }

    fn new(beside: &Beside, quads: &[Quad], answers: Counter) -> Answering {
        let (rig, _, clock) = rig(beside, quads, 4096, &Arc::default());
        Answering { rig, clock, answers }
    }

    fn answered(&self) -> u64 {
        self.rig.worker.counters().get(self.answers)
    }
}

impl Contender for Answering {
    fn round(&mut self) -> usize {
        let before = self.answered();
        self.rig.worker.poll(self.clock.now());
        (self.answered() - before) as usize
    }
}

/// In a full run, where there is root; or why not.
fn synproxy(run: &Run) -> Result<Synproxy, String> {
    if !run.is_full {
        return Err("in a full run only".into());
    }
    Synproxy::start().map_err(|error| {
        let why = one_line(&error);
        run.say(format!("without SYNPROXY: {why}"));
        why
    })
}

/// What all SYNs are about, in no order.
pub fn quads(family: Family) -> Vec<Quad> {
    let mut quads: Vec<Quad> = (0..SYNS).map(|n| family.quad(n)).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut quads);
    quads
}

/// The port alone.
pub fn syns(family: Family) -> Box<dyn Contender> {
    Box::new(Wire::new(&quads(family)))
}

pub fn refused(family: Family) -> Box<dyn Contender> {
    Box::new(Answering::refusing(&quads(family)))
}

pub fn by_cookies(family: Family) -> Box<dyn Contender> {
    Box::new(Answering::by_cookies(&quads(family)))
}

pub fn offered(family: Family) -> Box<dyn Contender> {
    Box::new(Syns::new(&Beside::nothing(), &quads(family)))
}

pub fn held(family: Family) -> Box<dyn Contender> {
    Box::new(Held::new(&Beside::nothing(), &quads(family)))
}

/// The worker under SYNs of a family; SYNPROXY among the contenders, if it is there.
fn race_of(
    family: Family,
    run: &mut Run,
    synproxy: &mut Option<Synproxy>,
    finding: &mut Finding,
) -> anyhow::Result<()> {
    let quads = quads(family);
    let offer = Beside::nothing();
    let mut wire = Wire::new(&quads);
    let mut refusing = Answering::refusing(&quads);
    let mut answering = Answering::by_cookies(&quads);
    let mut offering = Syns::new(&offer, &quads);
    let mut holding = Held::new(&offer, &quads);
    let mut contenders: Vec<&mut dyn Contender> =
        vec![&mut wire, &mut refusing, &mut answering, &mut offering, &mut holding];
    contenders.extend(synproxy.as_mut().map(|synproxy| synproxy as &mut dyn Contender));
    let samples = race(run.length(UNITS), &mut contenders);
    let kernel = 5;
    for (at, way) in ["refused", "cookies", "offered", "held"].into_iter().enumerate() {
        let case = format!("{family}, {way}");
        let ns = samples.spread(|times| times[1 + at] - times[0]);
        let rate = samples.spread(|times| 1e3 / (times[1 + at] - times[0]));
        let with_port = samples.spread(|times| times[1 + at]);
        let ratio =
            synproxy.is_some().then(|| samples.spread(|times| times[kernel] / (times[1 + at] - times[0])));
        if let (Some(value), "cookies") = (ratio, way) {
            let what = format!("{case}: SYNs for one that SYNPROXY answers");
            finding.gates.push(Gate { what, value, demand: Demand::AtLeast(20.0) });
        }
        let values = vec![Some(ns), Some(rate), Some(with_port), ratio, None];
        finding.rows.push(Row { case, values });
    }
    if synproxy.is_some() {
        let ns = samples.spread(|times| times[kernel]);
        let rate = samples.spread(|times| 1e3 / times[kernel]);
        let values = vec![Some(ns), Some(rate), None, None, None];
        finding.rows.push(Row { case: "IPv4, the kernel's SYNPROXY".into(), values });
    }
    Ok(())
}

fn honest_clients(family: Family, run: &Run, finding: &mut Finding) {
    let clients = run.length(CLIENTS).units as u64;
    for (way, when) in [("held", CookieUse::Never), ("by cookies", CookieUse::UnderFlood)] {
        let flood = |_| honest::flood(family, clients, &cookies(when));
        let samples: Vec<Outcome> = (0..run.samples).map(flood).collect();
        let [succeeded, rate] = honest::spreads(&samples);
        let what = format!("{family}, {way}: honest clients served, of a hundred");
        finding.gates.push(Gate { what, value: succeeded, demand: Demand::AtLeast(99.9) });
        let values = vec![None, Some(rate), None, None, Some(succeeded)];
        finding.rows.push(Row { case: format!("{family}, {way}, honest clients among them"), values });
    }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns =
        ["ns a SYN", "million SYNs a second", "with the port, ns", "× SYNPROXY", "honest served, %"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let (mut synproxy, absent) = match synproxy(run) {
        Ok(synproxy) => (Some(synproxy), None),
        Err(why) => (None, Some(why)),
    };
    for family in [Family::V4, Family::V6] {
        run.say(family.to_string());
        // SYNPROXY is measured with IPv4.
        let mut peer = if family == Family::V4 { synproxy.take() } else { None };
        race_of(family, run, &mut peer, &mut finding)?;
        run.waited += peer.map_or(Duration::ZERO, |peer| peer.waited());
        honest_clients(family, run, &mut finding);
    }
    if let Some(why) = absent {
        let case = format!("the kernel's SYNPROXY, not measured: {why}");
        finding.rows.push(Row { case, values: vec![None; 5] });
    }
    Ok(finding)
}
