//! What inspections ask of participating flows, and what their workers tell of others.

use std::sync::Arc;
use std::time::Duration;

use control::core::journal::Happening;
use control::core::query::Query;
use control::module::relay::MergeWhen;
use dataplane::counters::Counter;
use dataplane::flow::quad::{FlowKey, Segment};
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::{Inspection, Manner};
use dataplane::policy::{Action, Defaults, Fallback, RuleSpec, Snapshot, Strays};
use dataplane::worker::message::Event;

use crate::rig::*;

/// Everything is searched for "evil", which is only told of.
fn inspected() -> Rig {
    let patterns = [Pattern {
        name: "evil".to_owned(),
        bytes: b"evil".to_vec(),
        direction: None,
        verdict: Verdict::Event,
        replacement: Vec::new(),
    }];
    let inspection = Arc::new(Inspection::new(&patterns, Manner::default()).unwrap());
    let defaults = Defaults {
        action: Action::Pass,
        strays: Strays::Drop,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    let everything = RuleSpec::everything(Action::Offer { module: 0 });
    let rules = Snapshot::compile(&[everything], defaults).unwrap();
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.core = rig.core.with_rules(Arc::new(rules.with_inspections(vec![inspection], vec![0])));
    rig
}

/// What the journal has of hits, the oldest first.
fn hits(rig: &mut Rig) -> Vec<Hit> {
    let (answer, answered) = crossbeam::channel::bounded(1);
    rig.core.ask(Query::Events { limit: usize::MAX, answer });
    let entries = answered.recv().expect("an answer");
    let hit = |what| match what {
        Happening::Hit(hit) => Some(hit),
        _ => None,
    };
    entries.into_iter().filter_map(|entry| hit(entry.what)).collect()
}

#[test]
fn what_is_found_in_a_participating_flow_is_told_as_on_its_worker() {
    let mut rig = inspected();
    rig.establish();
    rig.client(ack(C + 1, S + 1), b"an ev");
    assert_eq!(hits(&mut rig), []);
    rig.client(ack(C + 6, S + 1), b"il");
    rig.server(ack(S + 1, C + 8), b"evil");
    let found = |direction, place| Hit { inspection: 0, pattern: 0, direction, place };
    assert_eq!(hits(&mut rig), [found(C2S, 3), found(S2C, 0)]);
    // What a worker tells of stands among them.
    let key = FlowKey { quad: quad(3), segment: Segment(0) };
    rig.tell(Event::Hit { key, hit: found(S2C, 77) });
    assert_eq!(hits(&mut rig)[2..], [found(S2C, 77)]);
}

#[test]
fn no_more_is_told_of_a_participating_flow_than_somebody_can_read() {
    let mut rig = inspected();
    rig.establish();
    for n in 0..3 {
        rig.client(ack(C + 1 + n * 400, S + 1), "evil".repeat(100).as_bytes());
    }
    assert_eq!((hits(&mut rig).len(), rig.count(Counter::InspectUntold)), (100, 200));
    rig.wait(Duration::from_millis(100));
    rig.server(ack(S + 1, C + 1201), "evil".repeat(130).as_bytes());
    assert_eq!((hits(&mut rig).len(), rig.count(Counter::InspectUntold)), (110, 320));
}
