//! The worker's part of a split (DESIGN section 6).

use super::*;
use dataplane::flow::object::View;
use dataplane::flow::quad::{FlowKey, Segment};
use dataplane::flow::state::TcpState;
use dataplane::flow::table::FlowRef;
use dataplane::flow::terms::{Promises, Terms};
use dataplane::port::sim::SimBuffer;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::TcpOptions;
use dataplane::worker::message::{Split, Unsplittable};

const SHIFTS: [u8; 2] = [7, 3];

/// A flow that is cut through, with terms, and with deltas of 10 and −20; each end may send 1000 bytes more.
fn known(bench: &mut Bench) -> FlowRef {
    merged(bench, TcpState::Established)
}

fn merged(bench: &mut Bench, tcp: TcpState) -> FlowRef {
    let flow = suspend(bench, false);
    bench.order(Order::Participate { flow });
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    let view = View {
        track: [Track { end: Seq(101), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }],
        edges: [Seq(1101), Seq(1501)],
        promises: Promises::mirrored(Terms::new(Some(SHIFTS), true, false)),
        mss: [1460, 1400],
        tcp,
        ..View::default()
    };
    bench.order(Order::Install { flow, delta_c2s: Delta(10), delta_s2c: Delta(-20), view });
    bench.order(Order::Resume { flow });
    flow
}

fn order(bench: &mut Bench, flow: FlowRef, reserve: u32) -> Option<Event<SimBuffer>> {
    let key = FlowKey { quad: quad(false), segment: Segment(0) };
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, reserve))));
    bench.events.try_receive()
}

fn refused(bench: &mut Bench, flow: FlowRef) -> Unsplittable {
    match order(bench, flow, 1 << 20) {
        Some(Event::Unsplit { why, .. }) => why,
        _ => panic!("it is split"),
    }
}

#[test]
fn what_has_passed_is_the_boundary_and_what_comes_goes_up() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = known(&mut bench);
    // 40 bytes of the client's, of which the server acknowledges 30 and gives a window of 8 × 1000.
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 481, &[1; 40], &[]));
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 501, 141, b"", &[]));
    while bench.collect(SERVER).or_else(|| bench.collect(CLIENT)).is_some() {}
    let Some(Event::Split(split)) = order(&mut bench, flow, 1 << 20) else { panic!("it stays") };
    assert_eq!((split.delta_c2s, split.delta_s2c, split.client_side), (Delta(10), Delta(-20), CLIENT));
    let View { track, edges, mss, .. } = split.view;
    assert_eq!(track, [Track { end: Seq(141), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(131) }]);
    assert_eq!(edges[0], Seq(131 + (1000 << SHIFTS[1])));
    assert_eq!(mss, [1460, 1400]);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 141, 481, b"x", &[]));
    assert!(matches!(bench.events.try_receive(), Some(Event::Segment { .. })));
    assert_eq!((bench.collect(SERVER), bench.count(Counter::Splits)), (None, 1));
}

/// A forged segment must not move the boundary.
#[test]
fn what_nobody_would_take_moves_no_boundary() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = known(&mut bench);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 70_000, 481, &[1; 40], &[]));
    let Some(Event::Split(split)) = order(&mut bench, flow, 1 << 20) else { panic!("it stays") };
    assert_eq!(split.view.track[0].end, Seq(101));
}

/// A client that had closed before the merge: the flow lives no longer than a half-closed one may.
#[test]
fn a_merged_flow_lives_by_the_state_that_it_came_with() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = merged(&mut bench, TcpState::ClientClosed);
    bench.wait(Duration::from_secs(119));
    assert!(bench.worker.table().resolve(flow).is_some());
    bench.wait(Duration::from_secs(2));
    assert!(bench.worker.table().resolve(flow).is_none());
    let mut bench = Bench::new(rules(OFFER));
    let flow = merged(&mut bench, TcpState::ServerClosed);
    bench.deliver(CLIENT, &frame(quad(false), ACK | TcpFlags::FIN, 101, 481, b"", &[]));
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 501, 112, b"", &[]));
    bench.wait(Duration::from_secs(11));
    assert!(bench.worker.table().resolve(flow).is_none(), "both have closed");
}

/// Where what passes in order has a wrong checksum its sender repeats it, below the boundary; a wrong number is something else.
#[test]
fn a_corrupt_number_moves_no_boundary() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = known(&mut bench);
    let mut corrupt = |seq| {
        let mut bytes = frame(quad(false), ACK, seq, 481, &[1; 40], &[]);
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        bench.deliver(CLIENT, &bytes);
    };
    corrupt(101);
    corrupt(301);
    let Some(Event::Split(split)) = order(&mut bench, flow, 1 << 20) else { panic!("it stays") };
    assert_eq!(split.view.track[0].end, Seq(141));
}

/// Who guesses a FIN closes nothing.
#[test]
fn a_fin_that_nobody_would_take_moves_no_state() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = known(&mut bench);
    for seq in [70_000, 20] {
        bench.deliver(CLIENT, &frame(quad(false), ACK | TcpFlags::FIN, seq, 481, b"", &[]));
    }
    let Some(Event::Split(split)) = order(&mut bench, flow, 1 << 20) else { panic!("it stays") };
    assert_eq!(split.view.track[0].end, Seq(101));
}

/// Nobody here would put its segments together.
#[test]
fn a_flow_whose_segments_come_in_fragments_is_not_split() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = known(&mut bench);
    let mut fragment = frame(quad(false), ACK, 101, 481, b"12345678", &[]);
    fragment[20] = 0x20;
    fragment[24..26].fill(0);
    let sum = dataplane::wire::checksum::Sum::of(&fragment[14..34]).checksum();
    fragment[24..26].copy_from_slice(&sum.to_be_bytes());
    bench.deliver(CLIENT, &fragment);
    assert_eq!(refused(&mut bench, flow), Unsplittable::Fragments);
}

#[test]
fn a_flow_that_cannot_be_split_stays_and_says_why() {
    let mut bench = Bench::new(rules(OFFER));
    let gone = FlowRef { slot: 7, generation: 7 };
    assert_eq!(refused(&mut bench, gone), Unsplittable::Gone);
    let flow = cut_through(&mut bench, 0, 0);
    assert_eq!(refused(&mut bench, flow), Unsplittable::HandshakeUnseen);
    let mut bench = Bench::new(rules(OFFER));
    let flow = known(&mut bench);
    let why = |event| match event {
        Some(Event::Unsplit { why, .. }) => why,
        _ => panic!("it is split"),
    };
    let window = why(order(&mut bench, flow, 999));
    let Unsplittable::Window { promised } = window else { panic!("{window:?}") };
    assert_eq!(why(order(&mut bench, flow, promised - 1)), window, "it says how much it needs");
    bench.deliver(CLIENT, &frame(quad(false), ACK | TcpFlags::FIN, 101, 481, b"", &[]));
    assert_eq!(refused(&mut bench, flow), Unsplittable::Closing);
}

/// A monitored flow is splittable from its handshake on.
#[test]
fn a_monitored_handshake_tells_all_that_is_needed() {
    let syn = |quad, flags, seq, ack, shift, mss| {
        let options = TcpOptions {
            mss: Some(mss),
            window_scale: Some(shift),
            sack_permitted: true,
            ..TcpOptions::default()
        };
        let tcp =
            TcpRepr { seq: Seq(seq), ack: Seq(ack), flags, window: 1000, options, ..TcpRepr::default() };
        let mut bytes = [0; 128];
        let len =
            FrameTemplate::new([2; 6], [1; 6], &[], 64, quad).build(&tcp, b"", &mut bytes).expect("it fits");
        bytes[..len].to_vec()
    };
    let mut bench = Bench::new(rules(Action::Monitor));
    bench.deliver(CLIENT, &syn(quad(false), SYN, 100, 0, 7, 1460));
    let flow = bench.worker.table().flow_ref(0);
    // Beyond half of the sequence space, and repeated.
    const S: u32 = 0x9000_0000;
    for _ in 0..2 {
        bench.deliver(SERVER, &syn(quad(false).reversed(), SYN | ACK, S, 101, 3, 1400));
    }
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, S + 1, b"", &[]));
    let Some(Event::Split(split)) = order(&mut bench, flow, 1 << 20) else { panic!("it stays") };
    assert_eq!(split.view.promises, Promises::mirrored(Terms::new(Some(SHIFTS), true, false)));
    assert_eq!((split.view.mss, split.module), ([1460, 1400], u16::MAX));
    assert_eq!(split.view.edges[1], Seq(S + 1 + (1000 << SHIFTS[0])));
}

/// Nor what it would have acknowledged.
#[test]
fn who_guesses_an_acknowledgment_moves_nothing() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = known(&mut bench);
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 501, 500_000_000, b"", &[]));
    let Some(Event::Split(split)) = order(&mut bench, flow, 1 << 20) else { panic!("it stays") };
    assert_eq!((split.view.track[1].ack, split.view.edges[0]), (Seq(101), Seq(1101)));
}
