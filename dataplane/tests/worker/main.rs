//! The worker as a whole, on simulated ports: what goes in, what comes out, what is counted.

mod anew;
mod bench;
mod cookies;
mod edits;
mod far;
mod hits;
mod inspect;
mod messages;
mod passing;
mod reconciled;
mod runs;
mod service;
mod split;
mod standing;
mod steering;

use std::time::Duration;

use bench::{Bench, CLIENT, DEFAULTS, SERVER, frame, quad, rules};
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::object::{Path, Track, View};
use dataplane::flow::quad::Direction;
use dataplane::flow::table::FlowRef;
use dataplane::packet::{Packet, TcpHeaders, is_tcp_checksum_valid, parse};
use dataplane::policy::{Action, Defaults, Fallback, Snapshot};
use dataplane::refusal::Rejection;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::Limits;
use dataplane::worker::message::{Event, Listing, Order};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const OFFER: Action = Action::Offer { module: 0 };

fn headers(frame: &[u8]) -> TcpHeaders {
    match parse(frame) {
        Ok(Packet::Tcp(headers)) => headers,
        other => panic!("not a segment: {other:?}"),
    }
}

/// Delivers a SYN and returns the flow that it became.
fn suspend(bench: &mut Bench, v6: bool) -> FlowRef {
    bench.deliver(CLIENT, &frame(quad(v6), SYN, 100, 0, b"", &[]));
    match bench.events.try_receive() {
        Some(Event::Offered { flow, .. }) => flow,
        _ => panic!("the SYN was not offered"),
    }
}

/// A cut-through flow with the given deltas.
fn cut_through(bench: &mut Bench, delta_c2s: i32, delta_s2c: i32) -> FlowRef {
    let flow = suspend(bench, false);
    bench.order(Order::Participate { flow });
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    let track = [Track { end: Seq(101), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }];
    let view = View { track, ..View::default() };
    let (delta_c2s, delta_s2c) = (Delta(delta_c2s), Delta(delta_s2c));
    bench.order(Order::Install { flow, delta_c2s, delta_s2c, view });
    bench.order(Order::Resume { flow });
    flow
}

#[test]
fn what_is_not_tcp_crosses_untouched_both_ways() {
    let mut bench = Bench::new(rules(OFFER));
    let arp = [&[0xff; 12][..], &[8, 6], &[1; 46]].concat();
    bench.deliver(CLIENT, &arp);
    assert_eq!(bench.collect(SERVER), Some(arp.clone()));
    bench.deliver(SERVER, &arp);
    assert_eq!(bench.collect(CLIENT), Some(arp));
}

#[test]
fn a_syn_is_held_verbatim_and_nobody_hears_anything() {
    for v6 in [false, true] {
        let mut bench = Bench::new(rules(OFFER));
        let syn = frame(quad(v6), SYN, 100, 0, b"", &[(0x8100, 0x6007)]);
        bench.deliver(CLIENT, &syn);
        let Some(Event::Offered { flow, headers, frame: held, .. }) = bench.events.try_receive() else {
            panic!("the SYN was not offered");
        };
        let key = headers.key();
        assert_eq!((key.quad, key.segment.inner_vlan(), held.bytes()), (quad(v6), 7, &syn[..]));
        assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None));
        bench.order(Order::Release { flow, path: Path::Bypassed, frame: held });
        assert_eq!(bench.collect(SERVER), Some(syn), "released as it came");
        let answer = frame(quad(v6).reversed(), SYN | ACK, 500, 101, b"", &[(0x8100, 0x6007)]);
        bench.deliver(SERVER, &answer);
        assert_eq!(bench.collect(CLIENT), Some(answer));
        assert_eq!(bench.pool.in_use(), 0);
    }
}

#[test]
fn rules_drop_and_reject() {
    let mut bench = Bench::new(rules(Action::Drop));
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None));
    assert_eq!(bench.count(Counter::DropPolicy), 1);

    let mut bench = Bench::new(rules(Action::Reject { rejection: 0 }));
    bench.deliver(CLIENT, &frame(quad(true), SYN, 100, 0, b"", &[]));
    let reset = bench.collect(CLIENT).expect("a RST");
    let got = headers(&reset);
    assert_eq!((got.quad, got.flags), (quad(true).reversed(), TcpFlags::RST | ACK));
    assert_eq!((got.seq, got.ack), (Seq(0), Seq(101)));
    assert!(is_tcp_checksum_valid(&reset, &got));
    assert_eq!(bench.collect(SERVER), None);
}

#[test]
fn a_rule_rejects_with_an_icmp_error_as_often_as_it_may() {
    for v6 in [false, true] {
        let named = Rejection::named("host-prohibited").unwrap();
        let policy = rules(Action::Reject { rejection: 1 }).with_rejections(vec![Rejection::Reset, named]);
        let mut bench = Bench::new(policy);
        let syn = frame(quad(v6), SYN, 100, 0, b"", &[(0x8100, 7)]);
        bench.deliver(CLIENT, &syn);
        let answer = bench.collect(CLIENT).expect("an error");
        let Ok(Packet::IcmpError(error)) = parse(&answer) else { panic!("no error about TCP") };
        let sort = if v6 { (1, 1) } else { (3, 10) };
        assert_eq!((error.quad, error.seq, (error.kind, error.code)), (quad(v6), Seq(100), sort));
        let burst = (1..100).filter(|_| {
            bench.deliver(CLIENT, &syn);
            bench.collect(CLIENT).is_some()
        });
        assert_eq!(burst.count(), 49);
        assert_eq!((bench.count(Counter::DropPolicyReject), bench.count(Counter::DropIcmpLimit)), (50, 50));
        bench.wait(Duration::from_millis(1));
        bench.deliver(CLIENT, &syn);
        assert!(bench.collect(CLIENT).is_some(), "a thousand a second");
        assert_eq!(bench.collect(SERVER), None);
        assert_eq!(bench.pool.in_use(), 0);
    }
}

#[test]
fn other_destinations_pass_and_strays_to_protected_ones_do_not() {
    let mut bench = Bench::new(rules(OFFER));
    let mut elsewhere = quad(false);
    elsewhere.server_port = 81;
    for flags in [SYN, ACK, TcpFlags::RST] {
        let passing = frame(elsewhere, flags, 1, 1, b"x", &[]);
        bench.deliver(CLIENT, &passing);
        assert_eq!(bench.collect(SERVER), Some(passing));
    }
    bench.deliver(CLIENT, &frame(quad(false), ACK, 1, 1, b"x", &[]));
    assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None));
    assert_eq!(bench.count(Counter::DropStray), 1);
}

#[test]
fn cut_through_rewrites_both_directions_and_counts() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 1000, -300);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"request", &[]));
    let out = bench.collect(SERVER).expect("forwarded");
    let got = headers(&out);
    assert_eq!((got.seq, got.ack), (Seq(1101), Seq(801)), "seq + Δ1, ack − Δ2");
    assert!(is_tcp_checksum_valid(&out, &got));
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 801, 1108, b"response", &[]));
    let out = bench.collect(CLIENT).expect("forwarded");
    let got = headers(&out);
    assert_eq!((got.seq, got.ack), (Seq(501), Seq(108)), "seq + Δ2, ack − Δ1");
    assert!(is_tcp_checksum_valid(&out, &got));
    bench.order(Order::List(Box::new(Listing {
        question: 7,
        cursor: None,
        only: None,
        flows: Default::default(),
    })));
    let Some(Event::Listed(listing)) = bench.events.try_receive() else { panic!("no listing") };
    let listed = &listing.flows[0];
    assert_eq!((listing.flows.len(), listing.cursor, listed.path), (1, None, Path::CutThrough));
    let frames = Direction::BOTH.map(|direction| listed.traffic.frames(direction));
    assert_eq!((frames, listed.record.merges), ([2, 1], 1));
    assert_eq!((listed.delta_c2s, listed.delta_s2c), (Delta(1000), Delta(-300)));
}

#[test]
fn held_segments_are_replayed_before_parked_ones_and_those_before_new_ones() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = suspend(&mut bench, false);
    bench.order(Order::Participate { flow });
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"1", &[]));
    let Some(Event::Segment { direction, headers: held, frame: first, .. }) = bench.events.try_receive()
    else {
        panic!("a participating flow's segment goes up");
    };
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    for n in 0..5 {
        bench.deliver(CLIENT, &frame(quad(false), ACK, 102 + n, 501, b"2", &[]));
    }
    assert_eq!(bench.count(Counter::DropParkedFull), 1, "room for four");
    let track = [Track { end: Seq(101), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }];
    let view = View { track, ..View::default() };
    bench.order(Order::Install { flow, delta_c2s: Delta(10), delta_s2c: Delta(0), view });
    bench.order(Order::Replay { flow, direction, headers: held, frame: first });
    bench.order(Order::Resume { flow });
    bench.deliver(CLIENT, &frame(quad(false), ACK, 107, 501, b"3", &[]));
    let order: Vec<u32> = std::iter::from_fn(|| bench.collect(SERVER)).map(|f| headers(&f).seq.0).collect();
    assert_eq!(order, [111, 112, 113, 114, 115, 117]);
}

#[test]
fn a_closed_flow_lingers_and_goes_and_a_syn_begins_another() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 0, 0);
    let (there, back) = (quad(false), quad(false).reversed());
    bench.deliver(CLIENT, &frame(there, ACK | TcpFlags::FIN, 101, 501, b"", &[]));
    bench.deliver(SERVER, &frame(back, ACK | TcpFlags::FIN, 501, 102, b"", &[]));
    bench.deliver(CLIENT, &frame(there, ACK, 102, 502, b"", &[]));
    bench.wait(Duration::from_secs(5));
    assert_eq!(bench.worker.table().len(), 1, "it lingers");
    bench.deliver(SERVER, &frame(back, ACK | TcpFlags::FIN, 501, 102, b"", &[]));
    bench.wait(Duration::from_secs(9));
    assert_eq!(bench.worker.table().len(), 1, "a straggler renews the linger");
    bench.wait(Duration::from_secs(2));
    assert_eq!((bench.worker.table().len(), bench.count(Counter::FlowsExpired)), (0, 1));

    cut_through(&mut bench, 0, 0);
    bench.deliver(CLIENT, &frame(there, TcpFlags::RST | ACK, 101, 501, b"", &[]));
    suspend(&mut bench, false);
    assert_eq!(bench.worker.table().len(), 1);
}

#[test]
fn a_corrupt_segment_passes_and_ends_no_entry() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 7, 0);
    for flag in [TcpFlags::RST, TcpFlags::FIN] {
        let mut corrupt = frame(quad(false), ACK, 101, 501, b"data", &[]);
        corrupt[47] |= flag.0 as u8;
        bench.deliver(CLIENT, &corrupt);
        let out = bench.collect(SERVER).expect("as corrupt as it was sent");
        assert!(!is_tcp_checksum_valid(&out, &headers(&out)));
    }
    bench.wait(Duration::from_secs(300));
    assert_eq!(bench.worker.table().len(), 1, "its receiver drops it, so nothing has ended");
}

#[test]
fn a_forged_reset_does_not_end_the_entry() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 0, 0);
    for _ in 0..2 {
        bench.deliver(CLIENT, &frame(quad(false), TcpFlags::RST, 150, 0, b"", &[]));
    }
    bench.wait(Duration::from_secs(60));
    assert_eq!(bench.worker.table().len(), 1, "not the exact number: the receiver would not obey it either");
}

#[test]
fn full_tables_have_a_named_policy() {
    let mut bench = Bench::with_limits(rules(OFFER), Limits { flows: 1, parked: 1, far_sides: 4 }, 256);
    suspend(&mut bench, false);
    bench.deliver(CLIENT, &frame(quad(true), SYN, 1, 0, b"", &[]));
    assert_eq!((bench.count(Counter::DropFlowsFull), bench.collect(SERVER)), (1, None));

    let defaults = Defaults { flows_full: Fallback::Pass, action: Action::Bypass, ..DEFAULTS };
    let policy = Snapshot::compile(&[], defaults).unwrap();
    let mut bench = Bench::with_limits(policy, Limits { flows: 1, parked: 1, far_sides: 4 }, 256);
    for v6 in [false, true] {
        let syn = frame(quad(v6), SYN, 1, 0, b"", &[]);
        bench.deliver(CLIENT, &syn);
        assert_eq!(bench.collect(SERVER), Some(syn));
    }
    assert_eq!((bench.count(Counter::FlowsBypassed), bench.count(Counter::FlowsPassedFull)), (1, 1));
}

#[test]
fn bad_input_is_dropped_by_name_and_no_buffer_is_lost() {
    let mut bench = Bench::new(rules(OFFER));
    let good = frame(quad(false), SYN, 1, 0, b"", &[]);
    let mut zero_ttl = good.clone();
    zero_ttl[22] = 0;
    zero_ttl[24..26].copy_from_slice(&[0, 0]);
    let sum = dataplane::wire::checksum::Sum::of(&zero_ttl[14..34]).checksum();
    zero_ttl[24..26].copy_from_slice(&sum.to_be_bytes());
    let mut land = quad(false);
    land.addresses = dataplane::flow::quad::Addresses::V4([10, 0, 0, 2], [10, 0, 0, 2]);
    let mut corrupt = good.clone();
    corrupt[40] ^= 1;
    let cases = [
        (good[..30].to_vec(), Counter::DropMalformedIpv4),
        (zero_ttl, Counter::DropTtlZero),
        (frame(land, SYN, 1, 0, b"", &[]), Counter::DropLand),
        (frame(quad(false), SYN | TcpFlags::FIN, 1, 0, b"", &[]), Counter::DropTcpFlags),
        (corrupt, Counter::DropTcpChecksum),
    ];
    for (bytes, reason) in cases {
        bench.deliver(CLIENT, &bytes);
        assert_eq!(bench.count(reason), 1, "{}", reason.name());
        assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None), "{}", reason.name());
    }
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn without_a_control_core_cut_through_goes_on_and_new_flows_get_what_the_config_says() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 5, 0);
    bench.stall(Duration::from_secs(3));
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"x", &[]));
    assert!(bench.collect(SERVER).is_some());
    bench.deliver(CLIENT, &frame(quad(true), SYN, 1, 0, b"", &[]));
    assert_eq!(bench.count(Counter::DropControlStalled), 1);
}

#[test]
fn a_full_event_mailbox_drops_segments_by_name_and_forgets_no_slot() {
    let mut bench = Bench::with_limits(rules(OFFER), Limits { flows: 8, parked: 4, far_sides: 4 }, 64);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 1, 0, b"", &[]));
    assert_eq!(bench.count(Counter::DropEventsFull), 1);
    assert_eq!((bench.worker.gauges().flows, bench.pool.in_use()), (0, 0));
}
