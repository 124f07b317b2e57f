//! Events and orders: no answer is lost, an order for a flow that is gone does nothing, memory comes back.

use std::time::Duration;

use super::bench::{Bench, CLIENT, SERVER, frame, quad, rules};
use super::{ACK, OFFER, SYN, cut_through, suspend};
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::object::{Path, View};
use dataplane::flow::quad::{Direction, Quad};
use dataplane::wire::seq::Delta;
use dataplane::worker::Limits;
use dataplane::worker::message::{Event, Listing, Order};

const ROOMY: Limits = Limits { flows: 256, parked: 64, far_sides: 4 };

fn parked(bench: &mut Bench) -> dataplane::flow::table::FlowRef {
    let flow = suspend(bench, false);
    bench.order(Order::Participate { flow });
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    flow
}

#[test]
fn answers_fit_behind_the_segments_of_a_flow_that_participates() {
    let mut bench = Bench::with_limits(rules(OFFER), ROOMY, 80);
    let flow = suspend(&mut bench, false);
    bench.order(Order::Participate { flow });
    for n in 0..30 {
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101 + n, 501, b"x", &[]));
    }
    // More answers than the reserve, behind more segments than there is room for.
    for question in 0..60 {
        let listing = Listing { question, cursor: None, only: None, flows: Default::default() };
        assert!(bench.orders.try_send(Order::List(Box::new(listing))).is_ok());
    }
    let (mut segments, mut answers) = (0, Vec::new());
    for _ in 0..4 {
        bench.poll();
        while let Some(event) = bench.events.try_receive() {
            match event {
                Event::Segment { .. } => segments += 1,
                Event::Listed(listing) => answers.push(listing.question),
                _ => panic!("another event"),
            }
        }
    }
    assert_eq!(answers, (0..60).collect::<Vec<u64>>());
    assert_eq!((segments, bench.count(Counter::DropEventsFull)), (16, 14), "the reserve is 64 of 80");
}

#[test]
fn orders_for_a_flow_that_is_gone_do_nothing() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = suspend(&mut bench, false);
    bench.order(Order::Remove { flow });
    let again = suspend(&mut bench, false);
    assert_eq!(flow.slot, again.slot, "the same place, another flow");
    let segment = frame(quad(false), ACK, 101, 501, b"x", &[]);
    let buffer = || bench.pool.clone().copy_of(&segment).unwrap();
    let (replayed, restarted, released) = (buffer(), buffer(), buffer());
    let direction = Direction::ClientToServer;
    let headers = super::headers(&segment);
    let (delta_c2s, delta_s2c, view) = (Delta(1), Delta(1), View::default());
    for order in [
        Order::Participate { flow },
        Order::Release { flow, path: Path::Bypassed, frame: released },
        Order::Park { flow, searched: false },
        Order::Install { flow, delta_c2s, delta_s2c, view },
        Order::Resume { flow },
        Order::Remove { flow },
    ] {
        bench.order(order);
    }
    assert_eq!(bench.count(Counter::OrdersLate), 6);
    bench.order(Order::Replay { flow, direction, headers, frame: replayed });
    assert_eq!(bench.count(Counter::DropFlowGone), 1);
    bench.order(Order::Restart { flow, port: CLIENT, frame: restarted });
    assert!(
        matches!(bench.events.try_receive(), Some(Event::Segment { .. })),
        "taken as if it had just come"
    );
    assert!(bench.events.try_receive().is_none());
    assert_eq!(bench.worker.gauges().flows, 1);
    assert_eq!((bench.collect(SERVER), bench.pool.in_use()), (None, 0));
}

#[test]
fn orders_out_of_turn_leave_a_suspended_flow_alone() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = suspend(&mut bench, false);
    let view = View::default();
    bench.order(Order::Park { flow, searched: false });
    bench.order(Order::Install { flow, delta_c2s: Delta(1), delta_s2c: Delta(1), view });
    bench.order(Order::Resume { flow });
    let syn = frame(quad(false), SYN, 100, 0, b"", &[]);
    let buffer = bench.pool.copy_of(&syn).unwrap();
    bench.order(Order::Release { flow, path: Path::Bypassed, frame: buffer });
    assert_eq!(bench.collect(SERVER), Some(syn));
}

#[test]
fn frames_parked_on_a_flow_that_is_removed_are_counted() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = parked(&mut bench);
    for n in 0..3 {
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101 + n, 501, b"x", &[]));
    }
    bench.order(Order::Remove { flow });
    assert_eq!((bench.count(Counter::DropFlowGone), bench.pool.in_use()), (3, 0));
}

#[test]
fn the_control_core_hears_of_a_participating_flow_that_expired() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = suspend(&mut bench, false);
    bench.order(Order::Participate { flow });
    bench.wait(Duration::from_secs(590));
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"x", &[]));
    bench.wait(Duration::from_secs(590));
    assert!(matches!(bench.events.try_receive(), Some(Event::Segment { .. })));
    bench.wait(Duration::from_secs(28));
    assert!(bench.events.try_receive().is_none(), "the control core's own idle time and linger come first");
    bench.wait(Duration::from_secs(3));
    assert!(matches!(bench.events.try_receive(), Some(Event::Expired { flow: gone }) if gone == flow));
    assert!(bench.worker.table().is_empty());
}

#[test]
fn an_idle_flow_goes_after_its_time_and_not_before() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 1, 1);
    for _ in 0..3 {
        bench.wait(Duration::from_secs(599));
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"", &[]));
        assert!(bench.collect(SERVER).is_some());
    }
    bench.wait(Duration::from_secs(601));
    assert!(bench.worker.table().is_empty());
}

#[test]
fn a_table_is_listed_page_by_page_and_each_flow_once() {
    let mut bench = Bench::with_limits(rules(OFFER), ROOMY, 512);
    for client_port in 1..=150 {
        bench.deliver(CLIENT, &frame(Quad { client_port, ..quad(false) }, SYN, 1, 0, b"", &[]));
        assert!(matches!(bench.events.try_receive(), Some(Event::Offered { .. })));
    }
    let mut ports = Vec::new();
    let mut page =
        Some(Box::new(Listing { question: 1, cursor: None, only: None, flows: Default::default() }));
    while let Some(listing) = page.take() {
        bench.order(Order::List(listing));
        let Some(Event::Listed(mut listing)) = bench.events.try_receive() else { panic!("no answer") };
        ports.extend(listing.flows.drain(..).map(|flow| flow.key.quad.client_port));
        page = listing.cursor.is_some().then_some(listing);
    }
    ports.sort_unstable();
    assert_eq!(ports, (1..=150).collect::<Vec<u16>>());
}

#[test]
fn a_control_core_that_has_not_begun_yet_has_not_stalled() {
    let mut bench = Bench::new(rules(OFFER));
    bench.now = bench.now + Duration::from_secs(5);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 1, 0, b"", &[]));
    let Some(Event::Offered { frame, .. }) = bench.events.try_receive() else { panic!("not offered") };
    assert!(!frame.bytes().is_empty());
    assert_eq!(bench.worker.gauges().control_stalled, 0);
}

/// The control core writes what it releases; were it no segment, it would not go without a name.
#[test]
fn what_is_no_segment_is_not_released() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = suspend(&mut bench, false);
    let frame = bench.pool.copy_of(&[0; 60]).expect("the pool has room");
    bench.order(Order::Release { flow, path: Path::Bypassed, frame });
    assert_eq!((bench.count(Counter::DropFlowGone), bench.pool.in_use()), (1, 0));
}
