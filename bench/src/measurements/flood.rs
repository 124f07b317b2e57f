//! SYNs of flows that nobody has seen before, as many as one worker can take: refused, offered, and held until room is needed.

use std::sync::Arc;

use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::policy::{Action, Defaults, Snapshot};
use dataplane::refusal::Rejection;

use super::rules::held::Held;
use super::rules::syns::{SynPort, Syns, Wire, rig};
use crate::race::{Contender, race};
use crate::suite::{Finding, Measurement, Row, Run};
use crate::traffic::Family;
use crate::worker::{OFFER, Rig};

pub const MEASUREMENT: Measurement = Measurement {
    name: "flood",
    about: "SYNs that one worker absorbs: refused by a rule, offered, held",
    budget: "at least 20 times the kernel's SYNPROXY, which is not measured here yet, nor are honest clients among the SYNs",
    only_full: false,
    run,
};

const HOW: &str = "65,536 different SYNs in turn, with the options that Linux sends, over ports in memory; the port's own cost, measured \
    alone in each sample, is subtracted. *Refused*: the rule alone decides, and the SYN becomes the RST that answers it. *Offered*: the \
    SYN gets its entry and goes up the ring, and whoever is there forgets it at once. *Held*: worker and control core take turns on one \
    thread; the SYN gets a place among 4096, its server is asked, nobody answers, and the oldest makes room and is reset.";

/// SYNs of each contender and sample.
const UNITS: usize = 100_000;
const SYNS: u32 = 1 << 16;

/// A worker whose rules refuse everything.
struct Refusing {
    rig: Rig<SynPort>,
    clock: SystemClock,
}

impl Refusing {
    fn new(quads: &[Quad]) -> Refusing {
        let refuse = Defaults { action: Action::Reject { rejection: 0 }, ..OFFER };
        let rules = Snapshot::compile(&[], refuse).expect("no rules fit");
        let rules = rules.with_rejections(vec![Rejection::Reset]);
        let (rig, _) = rig(Arc::new(rules), quads, 4096, &Arc::default());
        Refusing { rig, clock: SystemClock::start() }
    }

    fn refused(&self) -> u64 {
        self.rig.worker.counters().get(Counter::DropPolicyReject)
    }
}

impl Contender for Refusing {
    fn round(&mut self) -> usize {
        let before = self.refused();
        self.rig.worker.poll(self.clock.now());
        (self.refused() - before) as usize
    }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["ns a SYN", "million SYNs a second", "with the port, ns"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    for family in [Family::V4, Family::V6] {
        run.say(family.to_string());
        let mut quads: Vec<Quad> = (0..SYNS).map(|n| family.quad(n)).collect();
        fastrand::Rng::with_seed(3).shuffle(&mut quads);
        let offer = Arc::new(Snapshot::compile(&[], OFFER)?);
        let mut wire = Wire::new(&quads);
        let mut refusing = Refusing::new(&quads);
        let mut offering = Syns::new(Arc::clone(&offer), &quads);
        let mut holding = Held::new(offer, &quads);
        let contenders: &mut [&mut dyn Contender] =
            &mut [&mut wire, &mut refusing, &mut offering, &mut holding];
        let samples = race(run.length(UNITS), contenders);
        for (at, way) in ["refused", "offered", "held"].into_iter().enumerate() {
            let ns = samples.spread(|times| times[1 + at] - times[0]);
            let rate = samples.spread(|times| 1e3 / (times[1 + at] - times[0]));
            let with_port = samples.spread(|times| times[1 + at]);
            let values = [ns, rate, with_port].map(Some).into();
            finding.rows.push(Row { case: format!("{family}, {way}"), values });
        }
    }
    Ok(finding)
}
