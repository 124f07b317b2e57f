//! What is searched, what is found however it is cut, repeated or reordered, and what happens then.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, CLIENT, DEFAULTS, SERVER, frame, quad, rules};
use super::{ACK, OFFER, SYN, cut_through, headers};
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::places::Limits;
use dataplane::inspect::{Ahead, Inspection, Manner};
use dataplane::packet::is_tcp_checksum_valid;
use dataplane::policy::{Action, Fallback, RuleSpec, Snapshot, SynMatch};
use dataplane::port::PortId;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::{Event, Order, Split};

pub const ROOMY: Limits = Limits { flows: 4, bytes: 64 << 10, waiting: 8 };

fn pattern(bytes: &str, direction: Option<Direction>, verdict: Verdict) -> Pattern {
    Pattern {
        name: bytes.to_owned(),
        bytes: bytes.as_bytes().to_vec(),
        direction,
        verdict,
        replacement: Vec::new(),
    }
}

fn inspected(action: Action, verdict: Verdict, ahead: Ahead, when_full: Fallback) -> Snapshot {
    let patterns = [pattern("evil", None, verdict)];
    let inspection = Inspection::new(&patterns, Manner { ahead, when_full, ..Manner::default() }).unwrap();
    rules(action).with_inspections(vec![Arc::new(inspection)], vec![0])
}

fn bench(action: Action, verdict: Verdict) -> Bench {
    let policy = inspected(action, verdict, Ahead::Drop, Fallback::Drop);
    let mut bench = Bench::new(policy);
    bench.worker = bench.worker.with_inspection(ROOMY, [7; 4]);
    bench
}

/// A monitored flow whose handshake is over: 101 and 501 come next.
fn monitored(verdict: Verdict) -> Bench {
    let mut bench = bench(Action::Monitor, verdict);
    open(&mut bench);
    bench
}

pub fn open(bench: &mut Bench) {
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]));
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"", &[]));
    assert!(bench.collect(SERVER).is_some() && bench.collect(CLIENT).is_some());
    assert!(bench.collect(SERVER).is_some());
}

/// A segment of the client's that has `bytes` at `seq`; whether it passes.
fn send(bench: &mut Bench, seq: u32, bytes: &str) -> bool {
    let segment = frame(quad(false), ACK, seq, 501, bytes.as_bytes(), &[]);
    bench.deliver(CLIENT, &segment);
    match bench.collect(SERVER) {
        Some(out) => {
            assert_eq!(out, segment, "what passes, passes as it came");
            true
        }
        None => false,
    }
}

fn acknowledge(bench: &mut Bench, ack: u32) {
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 501, ack, b"", &[]));
    assert!(bench.collect(CLIENT).is_some());
}

#[test]
fn a_pattern_is_found_across_segments_and_its_last_segment_never_passes() {
    let mut bench = monitored(Verdict::Drop);
    assert!(send(&mut bench, 101, "an e"));
    assert!(send(&mut bench, 105, "vi"));
    for _ in 0..3 {
        assert!(!send(&mut bench, 107, "l word"));
    }
    assert!(!send(&mut bench, 107, "l"), "cut at another place either");
    assert_eq!((bench.count(Counter::DropInspectMatch), bench.count(Counter::InspectMatches)), (4, 4));
    assert!(send(&mut bench, 107, "ew"));
}

#[test]
fn both_ends_are_reset_with_the_numbers_that_they_obey() {
    for deltas in [(0, 0), (1000, -300)] {
        let mut bench = bench(OFFER, Verdict::Reset);
        cut_through(&mut bench, deltas.0, deltas.1);
        let evil = frame(quad(false), ACK, 101, 501, b"evil", &[]);
        bench.deliver(CLIENT, &evil);
        let reset = bench.collect(SERVER).expect("a RST for the receiver");
        let got = headers(&reset);
        assert_eq!((got.quad, got.flags, got.payload_len()), (quad(false), TcpFlags::RST | ACK, 0));
        let wrapping = |number: u32, by: i32| Seq(number.wrapping_add_signed(by));
        assert_eq!((got.seq, got.ack), (wrapping(101, deltas.0), wrapping(501, -deltas.1)));
        assert!(is_tcp_checksum_valid(&reset, &got));
        // Its sender hears of it when it repeats.
        bench.deliver(CLIENT, &evil);
        let got = headers(&bench.collect(CLIENT).expect("a RST for the sender"));
        assert_eq!((got.quad, got.flags, got.seq), (quad(false).reversed(), TcpFlags::RST, Seq(501)));
        // A receiver that challenges it gets the number that it asks for.
        bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 801, 1090, b"", &[]));
        assert_eq!(headers(&bench.collect(SERVER).unwrap()).seq, Seq(1090));
        bench.deliver(SERVER, &frame(quad(false).reversed(), TcpFlags::RST, 801, 0, b"", &[]));
        assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None), "a RST is never answered");
        assert_eq!(bench.count(Counter::DropInspectReset), 4);
        // A SYN begins another connection.
        bench.deliver(CLIENT, &frame(quad(false), SYN, 900, 0, b"", &[]));
        assert!(bench.heard().is_some());
        assert_eq!(bench.worker.searched(), 0);
    }
}

#[test]
fn bytes_that_are_repeated_with_others_pass_as_they_were() {
    let mut bench = monitored(Verdict::Drop);
    assert!(send(&mut bench, 101, "abcd") && send(&mut bench, 105, "efgh"));
    // The first ones may never have come to their receiver. However they are cut, there is one version of each.
    for (at, came, goes) in [
        (101, "evil", "abcd"),
        (101, "abcdevil", "abcdefgh"),
        (103, "evil", "cdef"),
        (105, "evilij", "efghij"),
        (104, "evilevil", "defghij!"),
    ] {
        let came = if goes.ends_with('!') { "evilevi!" } else { came };
        bench.deliver(CLIENT, &frame(quad(false), ACK, at, 501, came.as_bytes(), &[]));
        assert_eq!(bench.collect(SERVER), Some(frame(quad(false), ACK, at, 501, goes.as_bytes(), &[])));
    }
    assert_eq!(bench.count(Counter::InspectRewritten), 5);
    assert!(send(&mut bench, 101, "abcd") && send(&mut bench, 102, "bcdefgh"));
    // What has been acknowledged nobody takes again.
    acknowledge(&mut bench, 112);
    assert!(send(&mut bench, 101, "evil") && !send(&mut bench, 112, "evil"));
    assert_eq!((bench.count(Counter::InspectRewritten), bench.worker.kept()), (5, 0));
}

#[test]
fn segments_ahead_of_a_hole_wait_for_their_repetition() {
    let mut bench = monitored(Verdict::Drop);
    assert!(!send(&mut bench, 103, "il"), "found or not, it is not its turn");
    assert_eq!(bench.count(Counter::DropInspectAhead), 1);
    assert!(send(&mut bench, 101, "ev") && !send(&mut bench, 103, "il"));
    assert_eq!(bench.count(Counter::DropInspectMatch), 1);

    let policy = inspected(Action::Monitor, Verdict::Drop, Ahead::Pass, Fallback::Drop);
    let mut bench = Bench::new(policy);
    bench.worker = bench.worker.with_inspection(ROOMY, [7; 4]);
    open(&mut bench);
    assert!(send(&mut bench, 105, "next") && send(&mut bench, 101, "evil"), "as configured");
    assert!(!send(&mut bench, 109, "evil"));
    assert_eq!(bench.count(Counter::InspectGaps), 1);
}

#[test]
fn nothing_gets_past_in_a_corrupt_segment_a_syn_or_a_fragment() {
    let mut bench = monitored(Verdict::Drop);
    let mut corrupt = frame(quad(false), ACK, 101, 501, b"good", &[]);
    corrupt[54] ^= 1;
    bench.deliver(CLIENT, &corrupt);
    let mut fragment = frame(quad(false), ACK, 101, 501, b"evil", &[]);
    fragment[20] = 0x20;
    fragment[24..26].copy_from_slice(&[0, 0]);
    let sum = dataplane::wire::checksum::Sum::of(&fragment[14..34]).checksum();
    fragment[24..26].copy_from_slice(&sum.to_be_bytes());
    bench.deliver(CLIENT, &fragment);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"evil", &[]));
    assert_eq!(bench.collect(SERVER), None);
    let reasons = [Counter::DropTcpChecksum, Counter::DropFragmentInspected, Counter::DropInspectHandshake];
    assert_eq!(reasons.map(|reason| bench.count(reason)), [1; 3]);
    assert!(!send(&mut bench, 101, "evil"));
}

#[test]
fn a_stream_begins_where_both_ends_say() {
    let mut bench = bench(Action::Monitor, Verdict::Drop);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    assert!(
        !{
            bench.collect(SERVER);
            send(&mut bench, 101, "x")
        },
        "nobody has answered"
    );
    bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]));
    // Another SYN, which the server does not heed, would make evil an old byte.
    bench.deliver(CLIENT, &frame(quad(false), SYN, 900, 0, b"", &[]));
    bench.collect(SERVER);
    assert!(!send(&mut bench, 101, "evil"));
    assert_eq!(bench.count(Counter::DropInspectHandshake), 2);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    bench.collect(SERVER);
    // The ACK that completes the handshake may be lost, or carry the first data.
    assert!(send(&mut bench, 101, "good") && !send(&mut bench, 105, "evil"));
}

#[test]
fn the_urgent_byte_stays_where_it_was_seen() {
    let mut bench = monitored(Verdict::Drop);
    let mut urgent = frame(quad(false), ACK | TcpFlags::URG, 101, 501, b"data", &[]);
    let sum = u16::from_be_bytes([urgent[50], urgent[51]]);
    urgent[53] = 2;
    urgent[50..52].copy_from_slice(&dataplane::wire::checksum::update_u16(sum, 0, 2).to_be_bytes());
    assert!(is_tcp_checksum_valid(&urgent, &headers(&urgent)));
    bench.deliver(CLIENT, &urgent);
    assert_eq!(bench.collect(SERVER), Some(frame(quad(false), ACK, 101, 501, b"data", &[])));
    assert_eq!(bench.count(Counter::UrgentCleared), 1);
}

#[test]
fn full_tables_have_a_named_policy() {
    let none = Limits::default();
    let few = Limits { flows: 1, bytes: 2048, waiting: 0 };
    for (when_full, counter) in
        [(Fallback::Drop, Counter::DropInspectionsFull), (Fallback::Pass, Counter::InspectionsSkipped)]
    {
        let mut bench = Bench::new(inspected(Action::Monitor, Verdict::Drop, Ahead::Drop, when_full));
        bench.worker = bench.worker.with_inspection(none, [7; 4]);
        open(&mut bench);
        assert_eq!(send(&mut bench, 101, "evil"), when_full == Fallback::Pass);
        assert_eq!(bench.count(counter), 1);
    }
    let mut bench = monitored(Verdict::Drop);
    bench.worker = bench.worker.with_inspection(few, [7; 4]);
    let mut wide = frame(quad(false).reversed(), ACK, 501, 101, b"", &[]);
    let sum = u16::from_be_bytes([wide[50], wide[51]]);
    wide[48..50].copy_from_slice(&9000u16.to_be_bytes());
    wide[50..52].copy_from_slice(&dataplane::wire::checksum::update_u16(sum, 1000, 9000).to_be_bytes());
    bench.deliver(SERVER, &wide);
    let full = "a".repeat(1024);
    assert!(send(&mut bench, 101, &full) && send(&mut bench, 1125, &full) && !send(&mut bench, 2149, "b"));
    assert_eq!(bench.count(Counter::DropInspectInFlight), 1);
    acknowledge(&mut bench, 2149);
    assert!(send(&mut bench, 2149, "b"));
}

#[test]
fn the_server_is_searched_by_patterns_of_its_own_and_places_come_back() {
    let there = [pattern("up", Some(Direction::ClientToServer), Verdict::Drop)];
    let back = [pattern("down", Some(Direction::ServerToClient), Verdict::Drop)];
    let patterns = [there, back].concat();
    let inspection = Inspection::new(&patterns, Manner::default()).unwrap();
    let mut bench = Bench::new(rules(Action::Monitor).with_inspections(vec![Arc::new(inspection)], vec![0]));
    bench.worker = bench.worker.with_inspection(ROOMY, [7; 4]);
    open(&mut bench);
    let answer = |bench: &mut Bench, seq, bytes: &[u8]| {
        bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, seq, 101, bytes, &[]));
        bench.collect(PortId(0)).is_some()
    };
    assert!(answer(&mut bench, 501, b"up do") && !answer(&mut bench, 506, b"wn"));
    assert!(send(&mut bench, 101, "down u") && !send(&mut bench, 107, "p"));
    assert_eq!(bench.worker.searched(), 1);
    bench.wait(std::time::Duration::from_secs(700));
    assert_eq!((bench.worker.searched(), bench.worker.table().len()), (0, 0));
}

#[test]
fn a_flow_that_merges_is_searched_from_there_on() {
    let mut bench = bench(OFFER, Verdict::Drop);
    cut_through(&mut bench, 7, 0);
    assert!(bench.worker.searched() == 1);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"ev", &[]));
    assert_eq!(headers(&bench.collect(SERVER).unwrap()).seq, Seq(108));
    bench.deliver(CLIENT, &frame(quad(false), ACK, 103, 501, b"il", &[]));
    assert_eq!((bench.collect(SERVER), bench.count(Counter::DropInspectMatch)), (None, 1));
}

#[test]
fn what_does_not_belong_to_the_connection_is_dropped_by_name() {
    let inspection = Inspection::new(&[], Manner { window: true, ..Manner::default() }).unwrap();
    let mut bench = Bench::new(rules(Action::Monitor).with_inspections(vec![Arc::new(inspection)], vec![0]));
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    bench.collect(SERVER);
    assert!(!send(&mut bench, 101, "x"));
    bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]));
    assert!(send(&mut bench, 101, ""));
    assert!(send(&mut bench, 101, "data"));
    assert!(send(&mut bench, 1101, "") && !send(&mut bench, 1102, ""), "the window is 1000");
    bench.deliver(CLIENT, &frame(quad(false), ACK, 105, 502, b"", &[]));
    bench.deliver(CLIENT, &frame(quad(false), SYN, 105, 0, b"", &[]));
    bench.deliver(CLIENT, &frame(quad(false), TcpFlags::RST, 100, 0, b"", &[]));
    assert_eq!(bench.collect(SERVER), None);
    bench.deliver(CLIENT, &frame(quad(false), ACK | TcpFlags::FIN, 105, 501, b"", &[]));
    assert!(bench.collect(SERVER).is_some());
    assert!(!send(&mut bench, 106, "more") && send(&mut bench, 101, "data"));
    let reasons = [
        Counter::DropBeforeHandshake,
        Counter::DropWindowBeyond,
        Counter::DropAckUnsent,
        Counter::DropSynInConnection,
        Counter::DropWindowBefore,
        Counter::DropAfterFin,
    ];
    assert_eq!(reasons.map(|reason| bench.count(reason)), [1; 6]);
}

#[test]
fn a_closer_look_is_wanted_and_nothing_is_lost_by_it() {
    let mut bench = bench(OFFER, Verdict::Split);
    cut_through(&mut bench, 0, 0);
    assert!(send(&mut bench, 101, "ev") && !send(&mut bench, 103, "il"));
    let Some(Event::Wanted { flow, key, module: 0, edits: false }) = bench.heard() else { panic!("nothing") };
    assert_eq!((key.quad, bench.count(Counter::InspectWaited)), (quad(false), 1));
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
    // The handshake of this flow was not seen: it cannot be split, and nothing passes for that.
    assert!(matches!(bench.heard(), Some(Event::Unsplit { .. })));
    assert_eq!(bench.count(Counter::DropInspectSplit), 1);
    assert!(!send(&mut bench, 103, "il") && bench.heard().is_none(), "not so soon again");
    assert_eq!(bench.count(Counter::DropInspectSplit), 2);
    bench.wait(Duration::from_millis(100));
    assert!(!send(&mut bench, 103, "il") && bench.heard().is_some());
    bench.wait(Duration::from_millis(499));
    assert!(!send(&mut bench, 103, "il") && !send(&mut bench, 105, " and more"));
    assert_eq!(bench.count(Counter::DropInspectHeld), 1);
    // Nobody answers.
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.count(Counter::DropInspectSplit), 4);
    assert!(!send(&mut bench, 105, " and more") && send(&mut bench, 103, "ent"));

    let mut bench = monitored(Verdict::Split);
    assert!(send(&mut bench, 101, "ev") && !send(&mut bench, 103, "il") && !send(&mut bench, 105, "!"));
    bench.deliver(CLIENT, &frame(quad(false), ACK | TcpFlags::FIN, 106, 501, b"", &[]));
    let Some(Event::Wanted { flow, key, .. }) = bench.heard() else { panic!("nothing") };
    while bench.heard().is_some() {}
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
    let Some(Event::Split(split)) = bench.heard() else { panic!("no split") };
    assert_eq!(split.view.track[0].end, Seq(103), "what waits is above the boundary");
    let mut up = std::iter::from_fn(|| match bench.heard() {
        Some(Event::Segment { headers, .. }) => Some((headers.seq.0, headers.payload_len())),
        _ => None,
    });
    assert!(up.by_ref().eq([(103, 2), (105, 1), (106, 0)]));
    // What has passed is repeated as it passed, for as long as its receiver may lack it.
    assert!(!send(&mut bench, 101, "no"));
    let Some(Event::Segment { frame: passed, .. }) = bench.heard() else { panic!("no segment") };
    assert_eq!(&passed.bytes()[54..], b"ev");
    assert_eq!(bench.worker.searched(), 1);
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 501, 103, b"", &[]));
    assert_eq!((bench.worker.searched(), bench.worker.kept()), (0, 0));
}

#[test]
fn without_a_flow_nothing_passes_where_a_rule_inspects() {
    let mut bench = bench(Action::Monitor, Verdict::Drop);
    assert!(!send(&mut bench, 101, "evil"));
    assert_eq!(bench.count(Counter::DropStray), 1);
    let mut bench = Bench::new(rules(Action::Monitor));
    assert!(send(&mut bench, 101, "evil"));
}

/// Only here is it known which rule has decided: what it has asked of the SYN, or the time, cannot be asked again.
#[test]
fn an_offer_says_which_inspection_the_rule_names() {
    let patterns = [pattern("evil", None, Verdict::Drop)];
    let inspection = || Arc::new(Inspection::new(&patterns, Manner::default()).unwrap());
    for (windows, named) in [(1_000..=1_000, 0), (2_000..=2_000, 1)] {
        let asking = Some(SynMatch { windows: vec![windows], ..SynMatch::default() });
        let rules = [RuleSpec { syn: asking, ..RuleSpec::everything(OFFER) }, RuleSpec::everything(OFFER)];
        let snapshot = Snapshot::compile(&rules, DEFAULTS).unwrap();
        let mut bench = Bench::new(snapshot.with_inspections(vec![inspection(), inspection()], vec![0, 1]));
        bench.worker = bench.worker.with_inspection(ROOMY, [7; 4]);
        bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
        match bench.heard() {
            Some(Event::Offered { inspection, .. }) => assert_eq!(inspection, named),
            _ => panic!("the SYN was not offered"),
        }
    }
}

/// However often its segments are repeated, a flow that cannot be split bothers nobody.
#[test]
fn who_is_refused_asks_less_and_less_often() {
    let mut bench = bench(OFFER, Verdict::Split);
    cut_through(&mut bench, 0, 0);
    let mut asked = Vec::new();
    for at in 0..6000 {
        assert!(!send(&mut bench, 101, "evil"));
        while let Some(event) = bench.heard() {
            if let Event::Wanted { flow, key, .. } = event {
                asked.push(at);
                bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
            }
        }
        bench.wait(Duration::from_millis(10));
    }
    let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..3], [10, 20, 40]);
    assert_eq!((asked.len(), bench.worker.waiting()), (10, 0), "in a minute: {asked:?}");
    // What is not found passes all the same.
    assert!(send(&mut bench, 101, "good"));
}

/// A client that has lost its connection begins another one by the same port, with a number that its server could take for the
/// old one's: it must not be kept out for as long as it tries.
#[test]
fn who_is_only_ever_dropped_keeps_no_flow_alive() {
    let inspection = Inspection::new(&[], Manner { window: true, ..Manner::default() }).unwrap();
    let mut bench = Bench::new(rules(Action::Monitor).with_inspections(vec![Arc::new(inspection)], vec![0]));
    open(&mut bench);
    let syn = frame(quad(false), SYN, 600, 0, b"", &[]);
    for _ in 0..11 {
        bench.wait(Duration::from_secs(60));
        bench.deliver(CLIENT, &syn);
    }
    assert_eq!((bench.count(Counter::FlowsExpired), bench.count(Counter::FlowsMonitored)), (1, 2));
    assert_eq!(bench.count(Counter::DropSynInConnection), 10);
    assert!(bench.collect(SERVER).is_some());
}

/// What passes does, and what waits.
#[test]
fn who_passes_an_inspection_keeps_its_flow_alive() {
    let mut bench = monitored(Verdict::Drop);
    for at in 0..11 {
        bench.wait(Duration::from_secs(60));
        assert!(send(&mut bench, 101 + at, "x"));
        acknowledge(&mut bench, 102 + at);
    }
    assert_eq!(bench.count(Counter::FlowsExpired), 0);
}

/// Out of the window it does no harm, and its server says what it expects.
#[test]
fn a_syn_that_nobody_takes_for_data_passes_and_its_answer_decides() {
    let inspection = Inspection::new(&[], Manner { window: true, ..Manner::default() }).unwrap();
    let mut bench = Bench::new(rules(Action::Monitor).with_inspections(vec![Arc::new(inspection)], vec![0]));
    open(&mut bench);
    bench.wait(Duration::from_secs(10));
    bench.deliver(CLIENT, &frame(quad(false), SYN, 900_000, 0, b"", &[]));
    assert!(bench.collect(SERVER).is_some());
    bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 77, 900_001, b"", &[]));
    assert_eq!(headers(&bench.collect(SERVER).expect("a RST")).flags, TcpFlags::RST);
    assert!(bench.collect(CLIENT).is_none() && bench.worker.table().is_empty());
}
