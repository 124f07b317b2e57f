//! What is told of what is found: each hit, whatever comes of it, but no more of them than somebody can read.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, CLIENT, SERVER, frame, quad, rules};
use super::inspect::{ROOMY, open};
use super::{ACK, OFFER, headers, suspend};
use dataplane::counters::Counter;
use dataplane::flow::object::{Path, Track, View};
use dataplane::flow::quad::{Direction, FlowKey, Segment};
use dataplane::flow::table::FlowRef;
use dataplane::flow::terms::{Promises, Terms};
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::places;
use dataplane::inspect::{Ahead, Inspection, Manner, Searched};
use dataplane::policy::Action;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::worker::Limits;
use dataplane::worker::message::{Event, Order, Split};

const FOR_THE_SERVER: Direction = Direction::ClientToServer;

fn searching(patterns: &[(&str, Verdict)], ahead: Ahead) -> Bench {
    with_mailbox(patterns, ahead, 256)
}

/// With a mailbox for so many events.
fn with_mailbox(patterns: &[(&str, Verdict)], ahead: Ahead, events: usize) -> Bench {
    let mut bench = with_rules(Action::Monitor, patterns, ahead, events);
    open(&mut bench);
    bench
}

fn with_rules(action: Action, patterns: &[(&str, Verdict)], ahead: Ahead, events: usize) -> Bench {
    with_room(action, patterns, ahead, events, ROOMY)
}

fn with_room(
    action: Action,
    patterns: &[(&str, Verdict)],
    ahead: Ahead,
    events: usize,
    room: places::Limits,
) -> Bench {
    let patterns: Vec<_> = patterns
        .iter()
        .map(|(bytes, verdict)| Pattern {
            name: (*bytes).to_owned(),
            bytes: bytes.as_bytes().to_vec(),
            direction: None,
            verdict: *verdict,
            replacement: bytes.to_ascii_uppercase().into_bytes(),
        })
        .collect();
    let inspection = Inspection::new(&patterns, Manner { ahead, ..Manner::default() }).unwrap();
    let policy = rules(action).with_inspections(vec![Arc::new(inspection)], vec![0]);
    let mut bench = Bench::with_limits(policy, Limits { flows: 8, parked: 4, far_sides: 4 }, events);
    bench.worker = bench.worker.with_inspection(room, [7; 4]);
    bench
}

fn send(bench: &mut Bench, seq: u32, bytes: &[u8]) {
    bench.deliver(CLIENT, &frame(quad(false), ACK, seq, 501, bytes, &[]));
    bench.collect(SERVER);
}

/// What has been told since this was last asked.
fn told(bench: &mut Bench) -> Vec<Hit> {
    let hits = std::iter::from_fn(|| bench.events.try_receive()).filter_map(|event| match event {
        Event::Hit { key, hit } if key.quad == quad(false) => Some(hit),
        _ => None,
    });
    hits.collect()
}

fn hit(pattern: u16, direction: Direction, place: u64) -> Hit {
    Hit { inspection: 0, pattern, direction, place, verdict: Verdict::Event }
}

#[test]
fn a_hit_is_told_whatever_comes_of_it_and_where_it_begins() {
    for verdict in [Verdict::Event, Verdict::Edit, Verdict::Split, Verdict::Drop, Verdict::Reset] {
        let mut bench = searching(&[("never", Verdict::Event), ("evil", verdict)], Ahead::Drop);
        send(&mut bench, 101, b"an e");
        send(&mut bench, 105, b"vi");
        assert_eq!(told(&mut bench), []);
        send(&mut bench, 107, b"l word");
        assert_eq!(told(&mut bench), [Hit { verdict, ..hit(1, FOR_THE_SERVER, 3) }], "{verdict:?}");
        assert_eq!(bench.count(Counter::EventsUntold), 0);
    }
}

#[test]
fn a_place_counts_each_byte_of_its_direction_once() {
    let mut bench = searching(&[("evil", Verdict::Event)], Ahead::Pass);
    send(&mut bench, 101, b"0123evil");
    send(&mut bench, 101, b"0123evil");
    send(&mut bench, 105, b"evilevil");
    let answer = frame(quad(false).reversed(), ACK, 501, 101, b"evil", &[]);
    bench.deliver(SERVER, &answer);
    let back = hit(0, Direction::ServerToClient, 0);
    assert_eq!(told(&mut bench), [hit(0, FOR_THE_SERVER, 4), hit(0, FOR_THE_SERVER, 8), back]);
    // What was missed has had its place, too.
    send(&mut bench, 601, b"unsearched");
    send(&mut bench, 611, b"evil");
    assert_eq!(told(&mut bench), [hit(0, FOR_THE_SERVER, 510)]);
}

#[test]
fn nobody_fills_the_mailbox_with_hits_and_what_is_not_told_is_counted() {
    let mut bench = searching(&[("evil", Verdict::Event)], Ahead::Drop);
    let mut at = 101;
    let mut repeat = |bench: &mut Bench, times: usize| {
        send(bench, at, "evil".repeat(times).as_bytes());
        at += 4 * times as u32;
    };
    repeat(&mut bench, 130);
    assert_eq!((told(&mut bench).len(), bench.count(Counter::EventsUntold)), (100, 30));
    bench.wait(Duration::from_millis(500));
    repeat(&mut bench, 130);
    assert_eq!((told(&mut bench).len(), bench.count(Counter::EventsUntold)), (50, 110));
    assert_eq!(bench.count(Counter::InspectMatches), 260, "all are counted");
    // 64 places are for what cannot wait.
    let mut crowded = with_mailbox(&[("evil", Verdict::Event)], Ahead::Drop, 67);
    send(&mut crowded, 101, "evil".repeat(10).as_bytes());
    assert_eq!((told(&mut crowded).len(), crowded.count(Counter::EventsUntold)), (3, 7));
}

/// Who knows what is only told of cannot hide by it what ends his flow.
#[test]
fn hits_that_let_pass_use_up_nothing_of_what_is_told_of_others() {
    for (verdict, cheap) in [(Verdict::Reset, "tame"), (Verdict::Drop, "edit"), (Verdict::Split, "tame")] {
        let patterns = [("tame", Verdict::Event), ("edit", Verdict::Edit), ("evil", verdict)];
        let mut bench = searching(&patterns, Ahead::Drop);
        send(&mut bench, 101, cheap.repeat(130).as_bytes());
        assert_eq!((told(&mut bench).len(), bench.count(Counter::EventsUntold)), (100, 30));
        send(&mut bench, 621, b"evil");
        assert_eq!(told(&mut bench), [Hit { verdict, ..hit(2, FOR_THE_SERVER, 520) }]);
    }
}

/// Nor by what is dropped, which he may repeat as often as he likes: his flow goes on.
#[test]
fn hits_that_drop_use_up_nothing_of_what_is_told_of_resets() {
    let mut bench = searching(&[("nasty", Verdict::Drop), ("evil", Verdict::Reset)], Ahead::Drop);
    (0..130).for_each(|_| send(&mut bench, 101, b"nasty"));
    told(&mut bench);
    send(&mut bench, 101, b"evil");
    assert_eq!(told(&mut bench), [Hit { verdict: Verdict::Reset, ..hit(1, FOR_THE_SERVER, 0) }]);
}

/// The client has sent everything before `end`; the flow is cut through from there on.
fn install(bench: &mut Bench, flow: FlowRef, end: u32, searched: Option<Searched>) {
    bench.order(Order::Park { flow, searched: false });
    let view = View {
        track: [Track { end: Seq(end), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }],
        edges: [Seq(end + 1000), Seq(1501)],
        promises: Promises::mirrored(Terms::new(Some([7, 7]), true, false)),
        searched,
        ..View::default()
    };
    bench.order(Order::Install { flow, delta_c2s: Delta::ZERO, delta_s2c: Delta::ZERO, view });
    bench.order(Order::Resume { flow });
}

fn split(bench: &mut Bench, flow: FlowRef) -> Split {
    let key = FlowKey { quad: quad(false), segment: Segment(0) };
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
    let split = std::iter::from_fn(|| bench.heard()).find_map(|event| match event {
        Event::Split(split) => Some(split),
        _ => None,
    });
    *split.expect("it is split")
}

#[test]
fn what_lies_across_a_split_and_a_merge_is_found() {
    for cut in 0..=8 {
        let mut bench = with_rules(OFFER, &[("evil", Verdict::Event)], Ahead::Drop, 256);
        let flow = suspend(&mut bench, false);
        bench.order(Order::Participate { flow });
        install(&mut bench, flow, 101, None);
        let (before, behind) = b"an evil!".split_at(cut);
        send(&mut bench, 101, before);
        let split = split(&mut bench, flow);
        let searched = split.view.searched.expect("it is searched");
        assert_eq!((split.view.track[0].end, searched.reached[0].place), (Seq(101 + cut as u32), cut as u64));
        install(&mut bench, flow, 101 + cut as u32, Some(searched));
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101 + cut as u32, 501, behind, &[]));
        assert_eq!(bench.worker.table().record(flow.slot).merges, 2);
        assert_eq!(bench.count(Counter::InspectMatches), 1, "cut at {cut}");
    }
}

/// Parked without a place, what the session has found the beginning of would be found by nobody.
#[test]
fn a_searched_flow_is_not_parked_without_a_place() {
    let room = places::Limits { flows: 1, ..ROOMY };
    let mut bench = with_room(OFFER, &[("evil", Verdict::Event)], Ahead::Drop, 256, room);
    let flow = suspend(&mut bench, false);
    bench.order(Order::Participate { flow });
    install(&mut bench, flow, 101, None);
    send(&mut bench, 101, b"an ev");
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 501, 106, b"", &[]));
    let searched = split(&mut bench, flow).view.searched;
    assert_eq!(bench.worker.searched(), 0, "there is no place for what participates");
    let other = suspend(&mut bench, true);
    bench.order(Order::Participate { flow: other });
    let park = |bench: &mut Bench, flow, searched| {
        bench.order(Order::Park { flow, searched });
        let is_parked = match bench.heard() {
            Some(Event::Parked { flow: of }) if of == flow => true,
            Some(Event::Unparked { flow: of }) if of == flow => false,
            _ => panic!("no answer"),
        };
        (is_parked, bench.worker.table().object(flow.slot).path, bench.worker.searched())
    };
    assert_eq!(park(&mut bench, other, true), (true, Path::Parked, 1), "it is reserved");
    assert_eq!(park(&mut bench, flow, true), (false, Path::Participating, 1));
    assert_eq!(bench.count(Counter::MergesAwaitedPlace), 1);
    bench.order(Order::Remove { flow: other });
    assert_eq!(park(&mut bench, flow, true), (true, Path::Parked, 1));
    install(&mut bench, flow, 106, searched);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 106, 501, b"il", &[]));
    assert_eq!(told(&mut bench), [hit(0, FOR_THE_SERVER, 3)]);
    // One that was searched by nobody is merged as ever.
    let other = suspend(&mut bench, true);
    bench.order(Order::Participate { flow: other });
    assert_eq!(park(&mut bench, other, false), (true, Path::Parked, 1));
}

#[test]
fn a_state_of_another_inspection_means_nothing() {
    let mut bench = with_rules(OFFER, &[("evil", Verdict::Event)], Ahead::Drop, 256);
    let flow = suspend(&mut bench, false);
    bench.order(Order::Participate { flow });
    install(&mut bench, flow, 101, None);
    send(&mut bench, 101, b"ev");
    let searched = split(&mut bench, flow).view.searched.map(|of| Searched { inspection: 1, ..of });
    install(&mut bench, flow, 103, searched);
    send(&mut bench, 103, b"il evil");
    assert_eq!(told(&mut bench), [hit(0, FOR_THE_SERVER, 3)], "places begin anew, too");
}

#[test]
fn what_waits_is_searched_by_whom_it_goes_to_from_where_it_begins() {
    // The first segment may go on when the second has come, of which the end waits.
    let patterns = [("worse", Verdict::Edit), ("so wo", Verdict::Event)];
    let mut bench = with_rules(OFFER, &patterns, Ahead::Drop, 256);
    let flow = suspend(&mut bench, false);
    bench.order(Order::Participate { flow });
    install(&mut bench, flow, 101, None);
    send(&mut bench, 101, b"wors");
    send(&mut bench, 105, b"t so w");
    assert_eq!(bench.worker.waiting(), 1);
    let split = split(&mut bench, flow);
    let searched = split.view.searched.unwrap();
    assert_eq!((split.view.track[0].end, searched.reached[0].place), (Seq(105), 4));
    install(&mut bench, flow, 105, Some(searched));
    told(&mut bench);
    send(&mut bench, 105, b"t so worst");
    assert_eq!(told(&mut bench), [hit(1, FOR_THE_SERVER, 6)]);
}

/// What was searched and dropped for want of room comes again cut otherwise, and the flow is split there.
#[test]
fn a_search_goes_on_where_what_waited_was_dropped_and_repeated_in_part() {
    let patterns = [("worse", Verdict::Edit), ("evil", Verdict::Event)];
    let room = places::Limits { waiting: 1, ..ROOMY };
    for cut in 1..=6 {
        let mut bench = with_room(OFFER, &patterns, Ahead::Drop, 256, room);
        let flow = suspend(&mut bench, false);
        bench.order(Order::Participate { flow });
        install(&mut bench, flow, 101, None);
        send(&mut bench, 101, b"an evi wo");
        send(&mut bench, 110, b"r");
        assert_eq!((bench.count(Counter::DropParkedFull), bench.worker.waiting()), (2, 0));
        let (before, behind) = b"an evil!".split_at(cut);
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, before, &[]));
        assert_eq!(bench.collect(SERVER).map(|frame| frame.len()), Some(54 + cut), "cut at {cut}");
        let split = split(&mut bench, flow);
        let searched = split.view.searched.expect("it is searched");
        assert_eq!((split.view.track[0].end, searched.reached[0].place), (Seq(101 + cut as u32), cut as u64));
        told(&mut bench);
        install(&mut bench, flow, 101 + cut as u32, Some(searched));
        send(&mut bench, 101 + cut as u32, behind);
        assert_eq!(told(&mut bench), [hit(1, FOR_THE_SERVER, 3)], "cut at {cut}");
    }
}

/// What nobody takes moves no boundary. Searched all the same it would put the search ahead of the boundary, which then began
/// anew at a split, in the midst of a pattern.
#[test]
fn nobody_leads_a_search_beyond_what_its_receiver_takes() {
    let mut bench = searching(&[("evil", Verdict::Drop)], Ahead::Drop);
    let answer = frame(quad(false).reversed(), ACK, 501, 101, b"", &[]);
    bench.deliver(SERVER, &answer);
    while bench.collect(CLIENT).is_some() {}
    // The window of every frame here, unscaled: it is filled, and the last segment that begins within it is taken to its end.
    let window = u32::from(headers(&answer).window);
    for at in (0..window).step_by(1000) {
        send(&mut bench, 101 + at, &vec![b'x'; 1000.min(window - at) as usize]);
    }
    let edge = 101 + window;
    send(&mut bench, edge, b"ev");
    bench.deliver(CLIENT, &frame(quad(false), ACK, edge + 2, 501, b"i", &[]));
    assert_eq!(bench.collect(SERVER), None);
    assert_eq!(bench.count(Counter::DropWindowBeyond), 1);
}
