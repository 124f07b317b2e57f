//! SYNs on the quads of connections that there are: those that are over, and those whose server has forgotten them.

use std::time::Duration;

use super::bench::{Bench, CLIENT, SERVER, frame, quad, rules};
use super::far::{TAGS, far_quad, translated};
use super::{ACK, OFFER, SYN, headers};
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::object::{Track, View};
use dataplane::flow::quad::Direction;
use dataplane::flow::table::FlowRef;
use dataplane::flow::terms::{Promises, Terms};
use dataplane::packet::is_tcp_checksum_valid;
use dataplane::policy::Action;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::{Event, Order};

const VLAN: &[(u16, u16)] = &[(0x8100, 7)];
const RST: TcpFlags = TcpFlags::RST;
/// No copy of a flow's own SYN comes so late.
const LATER: Duration = Duration::from_secs(10);

/// A flow that is parked, with deltas of 10 and −20 installed; 101 and 501 come next.
fn parked(bench: &mut Bench, v6: bool, tags: &[(u16, u16)]) -> FlowRef {
    bench.deliver(CLIENT, &frame(quad(v6), SYN, 100, 0, b"", tags));
    let Some(Event::Offered { flow, .. }) = bench.events.try_receive() else { panic!("not offered") };
    bench.order(Order::Participate { flow });
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    flow
}

fn install(bench: &mut Bench, flow: FlowRef) {
    let view = View {
        track: [Track { end: Seq(101), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }],
        edges: [Seq(1101), Seq(1501)],
        promises: Promises::mirrored(Terms::new(Some([7, 3]), true, false)),
        ..View::default()
    };
    bench.order(Order::Install { flow, delta_c2s: Delta(10), delta_s2c: Delta(-20), view });
}

/// The same, cut through for a while.
fn cut_through(bench: &mut Bench, v6: bool, tags: &[(u16, u16)]) -> FlowRef {
    let flow = parked(bench, v6, tags);
    install(bench, flow);
    bench.order(Order::Resume { flow });
    bench.wait(LATER);
    flow
}

fn is_offered(bench: &mut Bench) -> bool {
    matches!(bench.events.try_receive(), Some(Event::Offered { .. }))
}

#[test]
fn a_connection_that_its_server_has_forgotten_is_followed_by_one_that_is_offered() {
    for (v6, tags) in [(false, &[][..]), (true, &[]), (false, VLAN), (true, VLAN)] {
        let mut bench = Bench::new(rules(OFFER));
        cut_through(&mut bench, v6, tags);
        let syn = frame(quad(v6), SYN, 900_000, 0, b"", tags);
        bench.deliver(CLIENT, &syn);
        let passed = bench.collect(SERVER).expect("the server judges it");
        assert_eq!(headers(&passed).seq, Seq(900_010));
        bench.deliver(SERVER, &frame(quad(v6).reversed(), SYN | ACK, 77, 900_011, b"", tags));
        let reset = bench.collect(SERVER).expect("a RST");
        let got = headers(&reset);
        assert_eq!((got.quad, got.flags, got.seq), (quad(v6), RST, Seq(900_011)));
        assert_eq!(got.segment, headers(&syn).segment);
        assert!(is_tcp_checksum_valid(&reset, &got));
        assert!(bench.collect(CLIENT).is_none() && bench.worker.table().is_empty());
        assert_eq!(bench.count(Counter::DropBegunAnew), 1);
        bench.deliver(CLIENT, &syn);
        assert!(is_offered(&mut bench));
    }
}

#[test]
fn so_is_one_that_only_passes_by() {
    for action in [Action::Monitor, Action::Bypass] {
        let mut bench = Bench::new(rules(action));
        bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
        bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]));
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"", &[]));
        bench.wait(LATER);
        while bench.collect(SERVER).or_else(|| bench.collect(CLIENT)).is_some() {}
        let syn = frame(quad(false), SYN, 900_000, 0, b"early", &[]);
        bench.deliver(CLIENT, &syn);
        assert_eq!(bench.collect(SERVER), Some(syn.clone()));
        // It may take what came with the SYN, or leave it.
        bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 77, 900_006, b"", &[]));
        assert_eq!(headers(&bench.collect(SERVER).expect("a RST")).seq, Seq(900_006));
        assert!(bench.collect(CLIENT).is_none() && bench.worker.table().is_empty());
        bench.deliver(CLIENT, &syn);
        assert_eq!(bench.collect(SERVER), Some(syn));
        assert_eq!(bench.worker.table().len(), 1, "by the rules");
    }
}

/// The far server hears it from its own client.
#[test]
fn a_far_server_that_has_forgotten_is_reset_in_its_own_terms() {
    for v6 in [false, true] {
        let mut bench = Bench::new(rules(OFFER));
        translated(&mut bench, v6);
        bench.wait(LATER);
        bench.deliver(CLIENT, &frame(quad(v6), SYN, 900_000, 0, b"", &[]));
        assert_eq!(headers(&bench.collect(SERVER).expect("it judges")).quad, far_quad(v6));
        bench.deliver(SERVER, &frame(far_quad(v6).reversed(), SYN | ACK, 77, 901_001, b"", TAGS));
        let reset = bench.collect(SERVER).expect("a RST");
        let got = headers(&reset);
        assert_eq!((got.quad, got.flags, got.seq), (far_quad(v6), RST, Seq(901_001)));
        assert!(is_tcp_checksum_valid(&reset, &got) && got.segment.inner_vlan() == 20);
        assert!(bench.collect(CLIENT).is_none() && bench.worker.table().is_empty());
        assert_eq!(bench.worker.gauges().far_sides, 0);
    }
}

/// Either end may have forgotten, and either may begin.
#[test]
fn a_connection_that_the_servers_host_begins_is_judged_alike() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, false, &[]);
    bench.deliver(SERVER, &frame(quad(false).reversed(), SYN, 70_000, 0, b"", &[]));
    assert_eq!(headers(&bench.collect(CLIENT).expect("the client judges it")).seq, Seq(69_980));
    bench.deliver(CLIENT, &frame(quad(false), SYN | ACK, 5, 69_981, b"", &[]));
    assert_eq!(headers(&bench.collect(CLIENT).expect("a RST")).flags, RST);
    assert!(bench.collect(SERVER).is_none() && bench.worker.table().is_empty());
}

/// Who forges an answer, or guesses its number, ends nothing; nor does what a link has spoilt, or repeated.
#[test]
fn nothing_but_the_answer_to_a_syn_that_has_passed_ends_a_connection() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = cut_through(&mut bench, false, &[]);
    let back = quad(false).reversed();
    let syn = frame(quad(false), SYN, 900_000, 0, b"", &[]);
    let answer = |ack| frame(back, SYN | ACK, 77, ack, b"", &[]);
    let passes = |bench: &mut Bench, frame: &[u8]| {
        bench.deliver(SERVER, frame);
        assert!(bench.collect(SERVER).is_none() && bench.worker.table().resolve(flow).is_some());
        bench.collect(CLIENT).is_some()
    };
    assert!(passes(&mut bench, &answer(900_011)), "to no SYN");
    bench.deliver(CLIENT, &syn);
    bench.collect(SERVER);
    assert!(passes(&mut bench, &answer(900_012)), "with another number");
    bench.deliver(CLIENT, &syn);
    bench.collect(SERVER);
    let mut corrupt = answer(900_011);
    corrupt[47] ^= 0x20;
    assert!(!passes(&mut bench, &corrupt), "its receiver would not take it");
    assert_eq!(bench.count(Counter::DropTcpChecksum), 1);
    // A server that has the connection says so (RFC 5961 section 4.2).
    assert!(passes(&mut bench, &frame(back, ACK, 501, 111, b"", &[])));
    assert!(passes(&mut bench, &answer(900_011)), "it has answered already");
    assert_eq!(bench.count(Counter::DropBegunAnew), 0);
}

/// Both the SYN and the SYN-ACK may come twice, and late.
#[test]
fn a_handshake_that_is_repeated_by_the_network_ends_nothing() {
    let mut bench = Bench::new(rules(Action::Monitor));
    let (syn, answer) = (
        frame(quad(false), SYN, 100, 0, b"", &[]),
        frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]),
    );
    bench.deliver(CLIENT, &syn);
    bench.deliver(SERVER, &answer);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"", &[]));
    bench.wait(Duration::from_secs(9));
    bench.deliver(CLIENT, &syn);
    bench.deliver(SERVER, &answer);
    assert_eq!(bench.worker.table().len(), 1);
    let at_server = std::iter::from_fn(|| bench.collect(SERVER)).count();
    assert_eq!((at_server, bench.count(Counter::DropBegunAnew)), (3, 0));
}

/// What a SYN in an open connection says is not about it.
#[test]
fn a_syn_in_an_open_connection_moves_no_boundary() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = cut_through(&mut bench, false, &[]);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 1000, 0, b"", &[]));
    let slot = bench.worker.table().resolve(flow).unwrap();
    assert_eq!(bench.worker.table().object(slot).track[0].end, Seq(101));
}

#[test]
fn a_syn_that_has_waited_behind_the_end_of_its_flow_begins_another() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = parked(&mut bench, false, &[]);
    bench.deliver(CLIENT, &frame(quad(false), RST | ACK, 101, 481, b"", &[]));
    for _ in 0..2 {
        bench.deliver(CLIENT, &frame(quad(false), SYN, 9000, 0, b"", &[]));
    }
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 481, 111, b"late", &[]));
    install(&mut bench, flow);
    bench.order(Order::Resume { flow });
    assert_eq!(headers(&bench.collect(SERVER).expect("the RST")).flags, RST | ACK);
    assert!(bench.collect(SERVER).is_none());
    assert!(is_offered(&mut bench));
    let Some(Event::Segment { headers, .. }) = bench.events.try_receive() else { panic!("no repetition") };
    assert_eq!((headers.flags, headers.seq), (SYN, Seq(9000)));
    assert_eq!((bench.worker.gauges().parked, bench.count(Counter::DropFlowGone)), (0, 1));
    // Its timer is its own.
    bench.wait(Duration::from_secs(30));
    assert_eq!(bench.worker.table().len(), 1);
}

/// The control core had held both, and what came later was parked.
#[test]
fn so_does_one_that_was_held() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = parked(&mut bench, true, VLAN);
    bench.deliver(CLIENT, &frame(quad(true), SYN, 9000, 0, b"", VLAN));
    install(&mut bench, flow);
    for held in [frame(quad(true), RST, 101, 0, b"", VLAN), frame(quad(true), SYN, 9000, 0, b"", VLAN)] {
        let buffer = bench.pool.copy_of(&held).unwrap();
        let headers = headers(buffer.bytes());
        bench.order(Order::Replay { flow, direction: Direction::ClientToServer, headers, frame: buffer });
    }
    assert!(is_offered(&mut bench));
    assert!(matches!(bench.events.try_receive(), Some(Event::Segment { .. })), "the parked one, behind it");
    bench.order(Order::Resume { flow });
    assert_eq!(headers(&bench.collect(SERVER).expect("the RST")).flags, RST);
    assert!(bench.collect(SERVER).is_none());
    assert_eq!((bench.worker.table().len(), bench.count(Counter::OrdersLate)), (1, 1));
}
