//! What rules go on asking of flows: split after so many bytes or so long, ended after so long without a packet.

use std::num::NonZeroU64;
use std::time::Duration;

use super::bench::{Bench, CLIENT, SERVER, frame, quad, rules};
use super::{ACK, OFFER, SYN, cut_through, suspend};
use dataplane::counters::Counter;
use dataplane::flow::object::{Track, View};
use dataplane::flow::quad::{FlowKey, Quad, Segment};
use dataplane::flow::table::FlowRef;
use dataplane::flow::terms::{Promises, Terms};
use dataplane::policy::{Action, Standing};
use dataplane::wire::seq::{Delta, Seq};
use dataplane::worker::message::{Event, Listing, Order, Split};

const MINUTE: Duration = Duration::from_secs(60);

fn bench(action: Action, standing: Standing) -> Bench {
    Bench::new(rules(action).with_standings(vec![standing], vec![0]))
}

fn after_bytes(n: u64) -> Standing {
    Standing { module: Some(3), split_bytes: NonZeroU64::new(n), ..Standing::default() }
}

/// A monitored flow whose handshake is over: 101 and 501 come next, and 120 bytes have passed.
fn monitored(standing: Standing, v6: bool) -> Bench {
    let mut bench = bench(Action::Monitor, standing);
    bench.deliver(CLIENT, &frame(quad(v6), SYN, 100, 0, b"", &[]));
    bench.deliver(SERVER, &frame(quad(v6).reversed(), SYN | ACK, 500, 101, b"", &[]));
    bench.deliver(CLIENT, &frame(quad(v6), ACK, 101, 501, b"", &[]));
    bench
}

/// Data of the client's passes, `n` bytes.
fn send(bench: &mut Bench, quad: Quad, seq: u32, n: usize) {
    bench.deliver(CLIENT, &frame(quad, ACK, seq, 501, &vec![b'x'; n], &[]));
    while bench.collect(SERVER).is_some() {}
}

/// The module that is to look, for each time that the flow is wanted split within `time`.
fn wanted(bench: &mut Bench, time: Duration) -> Vec<u16> {
    let mut modules = Vec::new();
    for _ in 0..time.as_millis() / 20 {
        bench.wait(Duration::from_millis(20));
        while let Some(event) = bench.events.try_receive() {
            if let Event::Wanted { module, .. } = event {
                modules.push(module);
            }
        }
    }
    modules
}

#[test]
fn a_flow_is_split_after_so_many_bytes_of_either_direction() {
    for (v6, headers) in [(false, 40), (true, 60)] {
        let mut bench = monitored(after_bytes(3 * headers + 200 + headers), v6);
        send(&mut bench, quad(v6), 101, 199);
        assert!(wanted(&mut bench, MINUTE / 60).is_empty(), "one is missing");
        bench.deliver(SERVER, &frame(quad(v6).reversed(), ACK, 501, 300, b"", &[]));
        assert_eq!(wanted(&mut bench, MINUTE / 60), [3]);
    }
}

#[test]
fn a_flow_is_split_when_it_is_so_old_though_nothing_passes() {
    let age = Some(Duration::from_secs(10));
    let mut bench = monitored(Standing { module: Some(3), split_age: age, ..Standing::default() }, false);
    assert!(wanted(&mut bench, Duration::from_millis(9_900)).is_empty());
    assert_eq!(wanted(&mut bench, Duration::from_millis(200)), [3]);
}

/// Whoever cannot be split is asked about less and less often.
#[test]
fn what_is_not_split_is_wanted_again_later() {
    let mut bench = monitored(after_bytes(1), false);
    send(&mut bench, quad(false), 101, 1);
    let times = wanted(&mut bench, MINUTE).len();
    assert!((3..15).contains(&times), "{times} times in a minute");
}

/// Split by order, before its rule's time.
#[test]
fn an_earlier_split_is_not_the_rules() {
    for by_age in [false, true] {
        let age = Standing { module: Some(3), split_age: Some(MINUTE / 2), ..Standing::default() };
        let mut bench = bench(OFFER, if by_age { age } else { after_bytes(1000) });
        let flow = suspend(&mut bench, false);
        merge(&mut bench, flow);
        send(&mut bench, quad(false), 101, 10);
        let key = FlowKey { quad: quad(false), segment: Segment(0) };
        let split = |bench: &mut Bench| {
            bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 30))));
            assert!(matches!(bench.events.try_receive(), Some(Event::Split(_))));
            merge(bench, flow);
        };
        split(&mut bench);
        assert!(wanted(&mut bench, MINUTE / 10).is_empty());
        send(&mut bench, quad(false), 102, 1000);
        assert!(!wanted(&mut bench, MINUTE / 2).is_empty(), "the rule wants its own");
        split(&mut bench);
        send(&mut bench, quad(false), 102, 1000);
        assert!(wanted(&mut bench, MINUTE).is_empty());
    }
}

#[test]
fn a_rule_has_a_flow_split_once() {
    let mut bench = bench(OFFER, after_bytes(1));
    let flow = suspend(&mut bench, false);
    merge(&mut bench, flow);
    send(&mut bench, quad(false), 101, 1);
    assert_eq!(wanted(&mut bench, MINUTE / 30), [0, 0], "and once more after a second");
    let key = FlowKey { quad: quad(false), segment: Segment(0) };
    let split = Split { module: 5, ..Split::wanted(flow, key, 1 << 30) };
    bench.order(Order::Split(Box::new(split)));
    assert!(matches!(bench.events.try_receive(), Some(Event::Split(split)) if split.module == 5));
    assert_eq!(bench.worker.table().record(flow.slot).module, 5, "as the order says");
    merge(&mut bench, flow);
    send(&mut bench, quad(false), 102, 100);
    assert!(wanted(&mut bench, MINUTE / 10).is_empty());
}

fn merge(bench: &mut Bench, flow: FlowRef) {
    bench.order(Order::Participate { flow });
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    let view = View {
        track: [Track { end: Seq(101), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }],
        edges: [Seq(10_101), Seq(10_501)],
        promises: Promises::mirrored(Terms::new(None, false, false)),
        ..View::default()
    };
    let zero = Delta(0);
    bench.order(Order::Install { flow, delta_c2s: zero, delta_s2c: zero, view });
    bench.order(Order::Resume { flow });
}

#[test]
fn an_idle_flow_ends_when_its_rule_says_and_keep_alives_are_life() {
    let idle = |time| Standing { idle: Some(time), ..Standing::default() };
    // Shorter and longer than what holds for all (10 minutes).
    for minutes in [2, 30] {
        let mut bench = monitored(idle(minutes * MINUTE), true);
        for _ in 0..3 {
            bench.wait((minutes * MINUTE).mul_f64(0.9));
            // A keep-alive.
            bench.deliver(CLIENT, &frame(quad(true), ACK, 100, 501, b"", &[]));
            while bench.collect(SERVER).is_some() {}
        }
        assert_eq!(bench.count(Counter::FlowsExpired), 0);
        bench.wait(minutes * MINUTE + MINUTE / 60);
        assert_eq!(bench.count(Counter::FlowsExpired), 1, "after {minutes} minutes");
    }
}

#[test]
fn a_participating_flow_is_the_control_cores_to_end() {
    let mut bench = bench(OFFER, Standing { idle: Some(2 * MINUTE), ..Standing::default() });
    let flow = suspend(&mut bench, false);
    bench.order(Order::Participate { flow });
    bench.wait(2 * MINUTE - MINUTE / 30);
    assert!(bench.events.try_receive().is_none());
    bench.wait(MINUTE / 20);
    assert!(matches!(bench.events.try_receive(), Some(Event::Idle { flow: told }) if told == flow));
    assert_eq!(bench.count(Counter::FlowsExpired), 0);
}

/// Whoever asks for one flow is not shown the others.
#[test]
fn a_listing_of_one_quad_has_that_alone() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = cut_through(&mut bench, 0, 0);
    let ask = |bench: &mut Bench, only| {
        let listing = Listing { question: 1, cursor: None, only: Some(only), flows: Default::default() };
        bench.order(Order::List(Box::new(listing)));
        let Some(Event::Listed(listing)) = bench.events.try_receive() else { panic!("no page") };
        listing.flows.iter().map(|listed| listed.flow).collect::<Vec<_>>()
    };
    assert_eq!(ask(&mut bench, quad(false)), [flow]);
    assert!(ask(&mut bench, quad(false).reversed()).is_empty());
    assert!(ask(&mut bench, quad(true)).is_empty());
}
