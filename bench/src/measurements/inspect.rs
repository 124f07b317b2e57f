//! What an inspection costs a segment that is cut through: the same segments over the same flows, without one and with.
//!
//! Both ends send, each acknowledging the other's last segment, so that what is kept is given back. The port's share is measured
//! alone and subtracted. The text is words of small letters, and so are the patterns: the search is never far from one.

mod data;

use std::sync::Arc;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::object::{Track, View};
use dataplane::flow::terms::{Promises, Terms};
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::places::Limits;
use dataplane::inspect::{Inspection, Manner};
use dataplane::policy::{Action, RuleSpec, Snapshot};
use dataplane::wire::seq::{Delta, Seq};

use crate::forwarder::{Forwarder, Nothing};
use crate::race::{Contender, race};
use crate::suite::{Finding, Measurement, Row, Run};
use crate::traffic::{Family, bare_syn};
use crate::worker::{Carrier, OFFER, Rig};
use data::{Conversation, DataPort};

pub const MEASUREMENT: Measurement = Measurement {
    name: "inspect",
    about: "Segments with data of flows that are cut through and inspected, against the same without an inspection",
    budget: "reported",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "One worker, ports in memory, 1024 flows; both ends send text of small letters in every segment and acknowledge the other's last; patterns of twelve small letters, none of which occurs. Nanoseconds a segment, the port's own cost, measured \
    alone in each sample, subtracted; the ratio is to the same segments without an inspection.";

/// Segments of each contender and sample.
const SEGMENTS: usize = 50_000;
const FLOWS: u32 = 1024;
/// By their length on the wire, FCS included: bytes of their text.
const FRAMES: [(&str, usize); 2] = [("64", 6), ("1518", 1460)];

/// What is asked of the flows.
struct Asked {
    what: &'static str,
    inspection: Option<Inspection>,
}

/// None of the patterns is in the text: it has none of its letters twelve times without a blank.
fn patterns(count: usize) -> Vec<Pattern> {
    let mut random = fastrand::Rng::with_seed(5);
    let mut pattern = |number| Pattern {
        name: format!("pattern[{number}]"),
        bytes: (0..12).map(|_| random.lowercase() as u8).collect(),
        direction: None,
        verdict: Verdict::Drop,
        replacement: Vec::new(),
    };
    (0..count).map(&mut pattern).collect()
}

fn asked() -> [Asked; 5] {
    let with = |what, count, window| {
        let manner = Manner { window, ..Manner::default() };
        let inspection = Inspection::new(&patterns(count), manner).expect("so many can be compiled");
        Asked { what, inspection: Some(inspection) }
    };
    [
        Asked { what: "not inspected", inspection: None },
        with("window", 0, true),
        with("1 pattern", 1, false),
        with("1000 patterns", 1000, false),
        with("window, 1000", 1000, true),
    ]
}

/// The real worker with every flow cut through, and inspected or not.
fn inspected(inspection: Option<Inspection>, text: usize) -> Carrier<DataPort> {
    let everything = RuleSpec::everything(Action::Offer { module: 0 });
    let rules = Snapshot::compile(&[everything], OFFER).expect("one rule fits");
    let rules = match inspection {
        Some(inspection) => rules.with_inspections(vec![Arc::new(inspection)], vec![0]),
        None => rules,
    };
    let mut rig =
        Rig::new(Conversation::ports(FLOWS, text), FLOWS as usize, Arc::new(rules), &Arc::default());
    let limits = Limits { flows: FLOWS as usize, bytes: FLOWS as usize * 4096, waiting: 16 };
    rig.worker = rig.worker.with_inspection(limits, [1, 2, 3, 4]);
    let clock = SystemClock::start();
    for n in 0..FLOWS {
        rig.inject(bare_syn(Family::V4.quad(n)));
        let promises = Promises::mirrored(Terms::new(Some([7, 7]), true, false));
        let track = [Track { end: Seq(1), ack: Seq(1) }; 2];
        let view = View { track, edges: [Seq(data::WINDOW << 7); 2], promises, ..View::default() };
        rig.cut_through(clock.now(), Delta(0), view);
    }
    Carrier::start(rig, clock)
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["ns", "of not inspected"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    for (frame, text) in FRAMES {
        run.say(format!("{frame}-byte frames"));
        let asked = asked();
        let names = asked.each_ref().map(|asked| asked.what);
        let mut wire = Forwarder::start(Conversation::ports(FLOWS, text), Nothing);
        let mut carriers = asked.map(|asked| inspected(asked.inspection, text));
        let mut contenders: Vec<&mut dyn Contender> = vec![&mut wire];
        contenders.extend(carriers.iter_mut().map(|carrier| carrier as &mut dyn Contender));
        let samples = race(run.length(SEGMENTS), &mut contenders);
        carriers.iter().for_each(Carrier::assert_nothing_was_lost);
        for (at, name) in names.into_iter().enumerate() {
            let ns = samples.spread(|times| times[1 + at] - times[0]);
            let ratio = samples.spread(|times| (times[1 + at] - times[0]) / (times[1] - times[0]));
            let case = format!("{frame}-byte frames, {name}");
            finding.rows.push(Row { case, values: vec![Some(ns), Some(ratio)] });
        }
    }
    Ok(finding)
}
