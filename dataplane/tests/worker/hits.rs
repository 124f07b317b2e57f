//! What is told of what is found: each hit, whatever comes of it, but no more of them than somebody can read.

use std::sync::Arc;
use std::time::Duration;

use super::ACK;
use super::bench::{Bench, CLIENT, SERVER, frame, quad, rules};
use super::inspect::{ROOMY, open};
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::{Ahead, Inspection, Manner};
use dataplane::policy::Action;
use dataplane::worker::Limits;
use dataplane::worker::message::Event;

const FOR_THE_SERVER: Direction = Direction::ClientToServer;

fn searching(patterns: &[(&str, Verdict)], ahead: Ahead) -> Bench {
    with_mailbox(patterns, ahead, 256)
}

/// With a mailbox for so many events.
fn with_mailbox(patterns: &[(&str, Verdict)], ahead: Ahead, events: usize) -> Bench {
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
    let policy = rules(Action::Monitor).with_inspections(vec![Arc::new(inspection)], vec![0]);
    let mut bench = Bench::with_limits(policy, Limits { flows: 8, parked: 4, far_sides: 4 }, events);
    bench.worker = bench.worker.with_inspection(ROOMY, [7; 4]);
    open(&mut bench);
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
    Hit { inspection: 0, pattern, direction, place }
}

#[test]
fn a_hit_is_told_whatever_comes_of_it_and_where_it_begins() {
    for verdict in [Verdict::Event, Verdict::Edit, Verdict::Split, Verdict::Drop, Verdict::Reset] {
        let mut bench = searching(&[("never", Verdict::Event), ("evil", verdict)], Ahead::Drop);
        send(&mut bench, 101, b"an e");
        send(&mut bench, 105, b"vi");
        assert_eq!(told(&mut bench), []);
        send(&mut bench, 107, b"l word");
        assert_eq!(told(&mut bench), [hit(1, FOR_THE_SERVER, 3)], "{verdict:?}");
        assert_eq!(bench.count(Counter::InspectUntold), 0);
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
    send(&mut bench, 1101, b"unsearched");
    send(&mut bench, 1111, b"evil");
    assert_eq!(told(&mut bench), [hit(0, FOR_THE_SERVER, 1010)]);
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
    assert_eq!((told(&mut bench).len(), bench.count(Counter::InspectUntold)), (100, 30));
    bench.wait(Duration::from_millis(500));
    repeat(&mut bench, 130);
    assert_eq!((told(&mut bench).len(), bench.count(Counter::InspectUntold)), (50, 110));
    assert_eq!(bench.count(Counter::InspectMatches), 260, "all are counted");
    // 64 places are for what cannot wait.
    let mut crowded = with_mailbox(&[("evil", Verdict::Event)], Ahead::Drop, 67);
    send(&mut crowded, 101, "evil".repeat(10).as_bytes());
    assert_eq!((told(&mut crowded).len(), crowded.count(Counter::InspectUntold)), (3, 7));
}
