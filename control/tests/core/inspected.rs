//! What inspections ask of participating flows, and what their workers tell of others.

use std::sync::Arc;
use std::time::Duration;

use control::core::handover::Refused;
use control::core::journal::Happening;
use control::core::query::Query;
use control::module::MERGE_RETRY;
use control::module::relay::{MergeWhen, Relay};
use dataplane::counters::Counter;
use dataplane::flow::object::Record;
use dataplane::flow::quad::{FlowKey, Segment};
use dataplane::flow::terms::Terms;
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::{Inspection, Manner, Reached, Searched};
use dataplane::policy::{Action, Defaults, Fallback, RuleSpec, Snapshot, Strays};
use dataplane::worker::message::{Event, Unsplittable};

use crate::rig::*;
use crate::splitting::{at_client, seen};

/// Everything is searched for "evil", which is only told of.
fn inspected() -> Rig {
    inspected_by(MergeWhen::Never, &inspection())
}

fn inspection() -> Arc<Inspection> {
    inspection_with("evil", Verdict::Event, "")
}

fn inspection_with(bytes: &str, verdict: Verdict, replacement: &str) -> Arc<Inspection> {
    inspection_of(&[(bytes, verdict, replacement)])
}

fn inspection_of(patterns: &[(&str, Verdict, &str)]) -> Arc<Inspection> {
    let pattern = |(bytes, verdict, replacement): &(&str, Verdict, &str)| Pattern {
        name: (*bytes).to_owned(),
        bytes: (*bytes).into(),
        direction: None,
        verdict: *verdict,
        replacement: (*replacement).into(),
    };
    let patterns: Vec<_> = patterns.iter().map(pattern).collect();
    Arc::new(Inspection::new(&patterns, Manner::default()).expect("patterns"))
}

/// Everything is offered by a rule that names the last of these.
fn rules(inspections: Vec<Arc<Inspection>>) -> Arc<Snapshot> {
    let defaults = Defaults {
        action: Action::Pass,
        strays: Strays::Drop,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    let rule = RuleSpec::everything(Action::Offer { module: 0 });
    let last = inspections.len() as u16 - 1;
    let rules = Snapshot::compile(&[rule], defaults).expect("one rule");
    Arc::new(rules.with_inspections(inspections, vec![last]))
}

fn inspected_by(merge: MergeWhen, inspection: &Arc<Inspection>) -> Rig {
    let mut rig = Rig::new(relay(merge));
    rig.core = rig.core.with_rules(rules(vec![Arc::clone(inspection)]));
    rig.inspection = 0;
    rig
}

/// What the journal has, the oldest first.
fn journal(rig: &mut Rig) -> Vec<Happening> {
    let (answer, answered) = crossbeam::channel::bounded(1);
    rig.core.ask(Query::Events { limit: usize::MAX, answer });
    answered.recv().expect("an answer").into_iter().map(|entry| entry.what).collect()
}

fn hits(rig: &mut Rig) -> Vec<Hit> {
    let hit = |what| match what {
        Happening::Hit(hit) => Some(hit),
        _ => None,
    };
    journal(rig).into_iter().filter_map(hit).collect()
}

#[test]
fn what_is_found_in_a_participating_flow_is_told_as_on_its_worker() {
    let mut rig = inspected();
    rig.establish();
    rig.client(ack(C + 1, S + 1), b"an ev");
    assert_eq!(hits(&mut rig), []);
    rig.client(ack(C + 6, S + 1), b"il");
    rig.server(ack(S + 1, C + 8), b"evil");
    let found =
        |direction, place| Hit { inspection: 0, pattern: 0, direction, place, verdict: Verdict::Event };
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
    assert_eq!((hits(&mut rig).len(), rig.count(Counter::EventsUntold)), (100, 200));
    rig.wait(Duration::from_millis(100));
    rig.server(ack(S + 1, C + 1201), "evil".repeat(130).as_bytes());
    assert_eq!((hits(&mut rig).len(), rig.count(Counter::EventsUntold)), (110, 320));
}

/// Who knows what is only told of cannot hide by it what ends his flow, nor a split that was refused; in one segment neither.
#[test]
fn hits_that_let_pass_use_up_nothing_of_what_is_told_of_others() {
    let inspection = inspection_of(&[("tame", Verdict::Event, ""), ("evil", Verdict::Reset, "")]);
    let mut rig = inspected_by(MergeWhen::Never, &inspection);
    rig.establish();
    rig.client(ack(C + 1, S + 1), ("tame".repeat(130) + "evil").as_bytes());
    assert!(!rig.want_split(Record::NO_MODULE));
    let told = journal(&mut rig);
    assert_eq!((told.len(), rig.count(Counter::EventsUntold)), (102, 30));
    let reset = Hit { inspection: 0, pattern: 1, direction: C2S, place: 520, verdict: Verdict::Reset };
    assert_eq!(told[100..], [Happening::Hit(reset), Happening::SplitRefused(Refused::NoModule)]);
}

const TEXT: &[u8] = b"an evil!";

#[test]
fn a_session_goes_on_where_the_worker_has_searched() {
    let inspection = inspection();
    let patterns = inspection.patterns(C2S).unwrap();
    for cut in 0..=TEXT.len() {
        let (before, behind) = TEXT.split_at(cut);
        let mut rig = inspected_by(MergeWhen::Never, &inspection);
        let state = patterns.search(patterns.start(), before, &mut |_, _| {}).state;
        let reached = [Reached { state: Some(state), place: cut as u64 }, Reached::default()];
        let mut view = seen(Terms::new(Some([SHIFT, SHIFT]), true, false), 64_000);
        view.searched = Some(Searched { inspection: 0, reached });
        rig.split(100, -50, view);
        rig.client(ack(C + 1001, at_client(500)), behind);
        let found = Hit { inspection: 0, pattern: 0, direction: C2S, place: 3, verdict: Verdict::Event };
        let expected = if cut < 7 { vec![found] } else { Vec::new() };
        assert_eq!(hits(&mut rig), expected, "cut at {cut}");
    }
}

#[test]
fn a_flow_for_whose_search_there_is_no_place_goes_on_participating() {
    let mut rig = inspected_by(MergeWhen::AfterBytes(5), &inspection());
    rig.establish();
    rig.client(ack(C + 1, S + 1), b"an ev");
    rig.server(ack(S + 1, C + 6), b"hello");
    assert_eq!(script(&rig.client(ack(C + 6, S + 6), b"")), ["park searched"]);
    assert!(rig.client(ack(C + 6, S + 6), b"il").is_empty(), "it is held");
    let flow = rig.flow;
    assert_eq!(script(&rig.tell(Event::Unparked { flow })), [">S . 1006:5006 2"]);
    assert_eq!((hits(&mut rig).len(), rig.count(Counter::MergesUndone)), (1, 1));
    rig.server(ack(S + 6, C + 8), b"");
    assert_eq!(script(&rig.wait(MERGE_RETRY)).last().map(String::as_str), Some("park searched"));
    rig.parked();
    assert!(rig.installed.is_some());
}

#[test]
fn a_worker_goes_on_where_the_session_has_searched() {
    let inspection = inspection();
    let patterns = inspection.patterns(C2S).unwrap();
    for cut in 1..=TEXT.len() {
        let (before, behind) = TEXT.split_at(cut);
        let mut rig = inspected_by(MergeWhen::AfterBytes(cut as u64), &inspection);
        rig.establish();
        rig.client(ack(C + 1, S + 1), before);
        rig.server(ack(S + 1, C + 1 + cut as u32), &[b'x'; TEXT.len()][..cut]);
        rig.client(ack(C + 1 + cut as u32, S + 1 + cut as u32), b"");
        rig.parked();
        let searched = rig.installed.take().expect("it is merged").searched.expect("it is searched");
        let Reached { state, place } = searched.reached[C2S.index()];
        assert_eq!((searched.inspection, place), (0, cut as u64));
        let mut found = hits(&mut rig).len();
        patterns.search(state.expect("it is known"), behind, &mut |_, _| found += 1);
        assert_eq!(found, 1, "cut at {cut}");
    }
}

#[test]
fn a_split_that_nobody_ordered_and_is_refused_has_a_name_and_is_told() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    for (why, refused, counter) in [
        (Unsplittable::HandshakeUnseen, Refused::HandshakeUnseen, Counter::SplitsRefusedHandshake),
        (Unsplittable::Closing, Refused::Closing, Counter::SplitsRefusedClosing),
        (Unsplittable::Fragments, Refused::Fragments, Counter::SplitsRefusedFragments),
    ] {
        assert!(rig.want_split(0));
        let flow = rig.flow;
        rig.tell(Event::Unsplit { flow, why });
        assert_eq!(
            (rig.count(counter), journal(&mut rig).pop()),
            (1, Some(Happening::SplitRefused(refused)))
        );
    }
    // Who is gone has no reason.
    assert!(rig.want_split(0));
    let flow = rig.flow;
    rig.tell(Event::Unsplit { flow, why: Unsplittable::Gone });
    assert_eq!(journal(&mut rig).len(), 3);
    for _ in 0..150 {
        assert!(!rig.want_split(Record::NO_MODULE));
    }
    let counted = [Counter::SplitsRefusedNoModule, Counter::EventsUntold].map(|counter| rig.count(counter));
    assert_eq!((counted, journal(&mut rig).len()), ([150, 53], 100));
}

#[test]
fn what_is_kept_for_an_edit_counts_as_what_its_flow_keeps() {
    let mut rig = inspected_by(MergeWhen::Never, &inspection_with("evil", Verdict::Edit, "better"));
    rig.establish();
    rig.client(ack(C + 1, S + 1), b"evi");
    assert_eq!(rig.core.load().bytes, 3, "the beginning, which has left the receive buffer");
    rig.client(ack(C + 4, S + 1), b"l");
    assert_eq!(rig.core.load().bytes, 6, "in the send buffer");
    rig.server(ack(S + 1, C + 7), b"");
    assert_eq!(rig.core.load().bytes, 0);
}

/// What the server gets of the client's "acme".
fn edited(module: Relay, inspection: u16) -> String {
    let is_client_first = module.client_first.is_some();
    let mut rig = Rig::new(module);
    // Who decided without the SYN would find the last one; other rules, or those of former configurations, had others.
    let inspections = ["first", "other"].map(|to| inspection_with("acme", Verdict::Edit, to));
    rig.core = rig.core.with_rules(rules(inspections.into()));
    rig.inspection = inspection;
    let said = if is_client_first {
        let next_of = |said: &[Said]| {
            let syn = said.iter().find_map(|said| match said {
                Said::Tcp(_, tcp, _) if tcp.flags.syn() => Some(tcp.seq.0.wrapping_add(1)),
                _ => None,
            });
            syn.expect("a SYN of ours")
        };
        let at_client = next_of(&rig.offer(syn(C)));
        let at_server = next_of(&rig.client(ack(C + 1, at_client), b"acme"));
        rig.server(syn_ack(S, at_server), b"")
    } else {
        rig.establish();
        rig.client(ack(C + 1, S + 1), b"acme")
    };
    let bytes = said.iter().find_map(|said| match said {
        Said::Tcp(SERVER, _, payload) if !payload.is_empty() => Some(payload.clone()),
        _ => None,
    });
    String::from_utf8(bytes.expect("the server gets something")).expect("text")
}

#[test]
fn the_rule_that_has_decided_about_the_syn_says_what_is_edited() {
    let server_first = || relay(MergeWhen::Never);
    let client_first = || Relay { client_first: Some(Duration::from_secs(3)), ..relay(MergeWhen::Never) };
    for (inspection, expected) in [(0, "first"), (1, "other"), (Record::NO_INSPECTION, "acme")] {
        assert_eq!(edited(server_first(), inspection), expected);
        assert_eq!(edited(client_first(), inspection), expected, "client-first");
    }
}
