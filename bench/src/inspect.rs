//! What an inspection costs a segment that is cut through: the same segments over the same flows, without one and with.
//!
//! Both ends send, each acknowledging the other's last segment, so that what is kept is given back. The port's share is measured
//! alone and subtracted. The text is words of small letters, and so are the patterns: the search is never far from one.

mod data;

use std::sync::Arc;

use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::object::{Track, View};
use dataplane::flow::terms::{Promises, Terms};
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::places::Limits;
use dataplane::inspect::{Inspection, Manner};
use dataplane::policy::{Action, RuleSpec, Snapshot};
use dataplane::port::{Burst, Port};
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp_flags::TcpFlags;

use crate::generator::{frame, quad};
use crate::worker::{Carrier, OFFER, Rig};
use crate::{Contender, measure, median};
use data::{Conversation, DataPort};

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

/// The port alone.
struct Wire([DataPort; 2]);

impl Contender for Wire {
    fn round(&mut self) -> usize {
        let mut moved = 0;
        for side in 0..2 {
            let mut burst = Burst::new();
            moved += self.0[side].receive(&mut burst);
            self.0[1 - side].transmit(&mut burst);
        }
        moved
    }
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
        rig.worker.port_mut(0).inject = Some(frame(quad(n), TcpFlags::SYN, 0, 0).to_vec());
        let promises = Promises::mirrored(Terms::new(Some([7, 7]), true, false));
        let track = [Track { end: Seq(1), ack: Seq(1) }; 2];
        let view = View { track, edges: [Seq(data::WINDOW << 7); 2], promises, ..View::default() };
        rig.cut_through(clock.now(), Delta(0), view);
    }
    Carrier::start(rig, clock)
}

/// What is dropped is quick.
fn assert_all_has_passed(carrier: &Carrier<DataPort>) {
    let counters = carrier.worker.counters();
    let is_about_loss =
        |counter: &&Counter| counter.name().starts_with("drop_") || counter.name().starts_with("inspect");
    for counter in Counter::ALL.iter().filter(is_about_loss) {
        assert_eq!(counters.get(*counter), 0, "{}", counter.name());
    }
}

/// Prints everything.
pub fn report(samples: usize) {
    println!("segments with data, both ways, {FLOWS} flows; ns each, the port's own work subtracted");
    println!(
        "{:>6} {:<14} {:>9} {:>9}  of not inspected, median (lowest to highest)",
        "frame", "", "ns", "ratio"
    );
    for (frame, text) in FRAMES {
        let asked = asked();
        let names = asked.each_ref().map(|asked| asked.what);
        let mut wire = Wire(Conversation::ports(FLOWS, text));
        wire.0.iter_mut().for_each(|port| port.running = true);
        let mut contenders = asked.map(|asked| inspected(asked.inspection, text));
        let mut columns: [Vec<f64>; 5] = Default::default();
        let mut ratios: [Vec<f64>; 5] = Default::default();
        for _ in 0..samples {
            let port = measure(&mut wire);
            let now = contenders.each_mut().map(|contender| measure(contender) - port);
            for (at, value) in now.into_iter().enumerate() {
                columns[at].push(value);
                ratios[at].push(value / now[0]);
            }
        }
        contenders.iter().for_each(assert_all_has_passed);
        for ((name, column), ratios) in names.into_iter().zip(columns).zip(ratios) {
            let (low, high) = ratios.iter().fold((f64::MAX, 0f64), |(l, h), r| (l.min(*r), h.max(*r)));
            let (ns, ratio) = (median(column), median(ratios));
            println!("{frame:>6} {name:<14} {ns:>9.1} {ratio:>9.2}  ({low:.2} to {high:.2})");
        }
    }
}
