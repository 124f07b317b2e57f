//! Flows with a far side of their own: another server, client address, VLAN or next hop.

use super::bench::{Bench, CLIENT, SERVER, frame, icmp_error, quad, rules};
use super::{ACK, OFFER, SYN, cut_through, headers, suspend};
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::far::{FarSide, NextHop};
use dataplane::flow::object::{Path, Track, View};
use dataplane::flow::quad::{Direction, Quad};
use dataplane::flow::table::{FlowRef, Refused};
use dataplane::packet::{Packet, TcpHeaders, is_tcp_checksum_valid, parse};
use dataplane::policy::{Action, Defaults, Fallback, RuleSpec, Snapshot};
use dataplane::port::PortId;
use dataplane::wire::icmp;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::{ClientPort, Event, Listing, Order};

/// Another server, and another address and port for the client.
pub fn far_quad(v6: bool) -> Quad {
    let ends = if v6 { ("[fd01::5]:777", "[fd01::9]:8080") } else { ("10.1.0.5:777", "10.1.0.9:8080") };
    Quad::between(ends.0.parse().unwrap(), ends.1.parse().unwrap()).unwrap()
}

fn far_side(v6: bool, quad: Quad, hop: NextHop) -> FarSide {
    let syn = frame(super::bench::quad(v6), SYN, 100, 0, b"", &[]);
    FarSide::of_syn(&syn, 14, quad, hop, SERVER).unwrap()
}

/// What the answer to an order for a far side refuses. A port that it names is the one that the flow is known by.
fn set_far(bench: &mut Bench, flow: FlowRef, far: FarSide, ports: ClientPort) -> Option<Refused> {
    bench.order(Order::SetFarSide { flow, far, ports });
    match bench.events.try_receive() {
        Some(Event::FarSide { placed: Ok(port), .. }) => {
            let known = bench.worker.table().far(flow.slot).map(|far| far.key.quad.client_port);
            assert_eq!(known, Some(port));
            None
        }
        Some(Event::FarSide { placed, .. }) => placed.err(),
        _ => panic!("the order was not answered"),
    }
}

const TAGGED: NextHop = NextHop { mac: Some([9; 6]), vlans: Some((0, 20)), port: None };
/// Tags of frames on the far side.
pub const TAGS: &[(u16, u16)] = &[(0x8100, 20)];

/// A cut-through flow with deltas whose far side differs in everything.
pub fn translated(bench: &mut Bench, v6: bool) -> FlowRef {
    let flow = suspend(bench, v6);
    assert_eq!(set_far(bench, flow, far_side(v6, far_quad(v6), TAGGED), ClientPort::Kept), None);
    bench.order(Order::Participate { flow });
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    let track = [Track { end: Seq(101), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }];
    let view = View { track, ..View::default() };
    bench.order(Order::Install { flow, delta_c2s: Delta(1000), delta_s2c: Delta(-300), view });
    bench.order(Order::Resume { flow });
    flow
}

#[test]
fn a_cut_through_flow_has_the_far_quad_tags_and_macs_there_and_its_own_here() {
    for v6 in [false, true] {
        let mut bench = Bench::new(rules(OFFER));
        translated(&mut bench, v6);
        bench.deliver(CLIENT, &frame(quad(v6), ACK, 101, 501, b"request", &[]));
        let out = bench.collect(SERVER).expect("forwarded");
        let mut expected = frame(far_quad(v6), ACK, 1101, 801, b"request", TAGS);
        expected[..6].fill(9);
        assert_eq!(out, expected, "as if the client had been there");

        bench.deliver(SERVER, &frame(far_quad(v6).reversed(), ACK, 801, 1108, b"response", TAGS));
        let out = bench.collect(CLIENT).expect("forwarded");
        let mut expected = frame(quad(v6).reversed(), ACK, 501, 108, b"response", &[]);
        // Where the SYN came from.
        expected[..6].fill(0xa);
        expected[6..12].fill(0xc);
        assert_eq!(out, expected);
        assert_eq!(bench.count(Counter::Translated), 2);
    }
}

#[test]
fn what_is_corrupt_arrives_as_corrupt() {
    let mut bench = Bench::new(rules(OFFER));
    translated(&mut bench, false);
    let mut corrupt = frame(quad(false), ACK, 101, 501, b"request", &[]);
    *corrupt.last_mut().unwrap() ^= 1;
    bench.deliver(CLIENT, &corrupt);
    let out = bench.collect(SERVER).expect("passes");
    assert!(!is_tcp_checksum_valid(&out, &headers(&out)));
}

/// The decision has changed: nothing of the flow goes to the other server, and nothing of that one is the flow's.
#[test]
fn a_far_side_that_is_taken_back_leaves_no_trace() {
    for v6 in [false, true] {
        let mut bench = Bench::new(rules(OFFER));
        let flow = suspend(&mut bench, v6);
        assert_eq!(set_far(&mut bench, flow, far_side(v6, far_quad(v6), TAGGED), ClientPort::Kept), None);
        bench.order(Order::ClearFarSide { flow });
        assert_eq!(bench.worker.table().far_sides(), 0);
        let syn = frame(quad(v6), SYN, 100, 0, b"", &[]);
        let held = bench.pool.copy_of(&syn).unwrap();
        bench.order(Order::Release { flow, path: Path::Bypassed, frame: held });
        assert_eq!(bench.collect(SERVER), Some(syn), "as it came");
        let answer = frame(quad(v6).reversed(), SYN | ACK, 500, 101, b"", &[]);
        bench.deliver(SERVER, &answer);
        assert_eq!(bench.collect(CLIENT), Some(answer));
        assert_eq!(bench.count(Counter::Translated), 0);
    }
}

#[test]
fn the_control_core_sees_one_flow_with_the_clients_quad() {
    for v6 in [false, true] {
        let mut bench = Bench::on_pair(rules(OFFER), 3);
        let flow = suspend(&mut bench, v6);
        assert_eq!(set_far(&mut bench, flow, far_side(v6, far_quad(v6), TAGGED), ClientPort::Kept), None);
        let syn = bench.pool.copy_of(&frame(quad(v6), SYN, 100, 0, b"", &[])).unwrap();
        bench.order(Order::TransmitFar { flow, frame: syn });
        let mut expected = frame(far_quad(v6), SYN, 100, 0, b"", TAGS);
        expected[..6].fill(9);
        assert_eq!(bench.collect(SERVER), Some(expected));

        bench.deliver(SERVER, &frame(far_quad(v6).reversed(), SYN | ACK, 500, 101, b"", TAGS));
        let Some(Event::Segment { direction, headers: got, frame: up, .. }) = bench.events.try_receive()
        else {
            panic!("the answer goes up");
        };
        assert_eq!((direction, got.quad), (Direction::ServerToClient, quad(v6).reversed()));
        let of_pair = headers(up.bytes()).segment.of_pair(3);
        assert_eq!(
            got,
            TcpHeaders { segment: of_pair, ..headers(up.bytes()) },
            "what the worker says of the frame is so"
        );
        assert!(is_tcp_checksum_valid(up.bytes(), &got));

        let mut error = icmp_error(&frame(far_quad(v6), SYN, 100, 0, b"", &[]));
        error.splice(12..12, [0x81, 0, 0, 20]);
        bench.deliver(SERVER, &error);
        let Some(Event::Icmp { error: got, frame: up, .. }) = bench.events.try_receive() else {
            panic!("the error goes up");
        };
        assert_eq!(parse(up.bytes()), Ok(Packet::IcmpError(got)));

        bench.order(Order::List(Box::new(Listing {
            question: 7,
            cursor: None,
            only: None,
            flows: Default::default(),
        })));
        let Some(Event::Listed(listing)) = bench.events.try_receive() else { panic!("no listing") };
        assert_eq!((listing.flows[0].key.quad, listing.flows[0].far), (quad(v6), Some(far_quad(v6))));
    }
}

#[test]
fn an_icmp_error_is_about_what_its_addressee_has_sent() {
    for v6 in [false, true] {
        let mut bench = Bench::new(rules(OFFER));
        translated(&mut bench, v6);
        let sent = frame(quad(v6), ACK, 101, 501, b"request", &[]);
        bench.deliver(CLIENT, &sent);
        bench.collect(SERVER).unwrap();
        // `icmp_error` reads untagged frames: the error is made without the tag and gets it afterwards.
        let on_far_side = frame(far_quad(v6), ACK, 1101, 801, b"request", &[]);
        let mut error = icmp_error(&on_far_side);
        error.splice(12..12, [0x81, 0, 0, 20]);
        bench.deliver(SERVER, &error);
        let got = bench.collect(CLIENT).expect("delivered");
        let Ok(Packet::IcmpError(found)) = parse(&got) else { panic!("a valid error about TCP") };
        assert_eq!((found.quad, found.seq), (quad(v6), Seq(101)));
        assert_eq!(got[..6], [0xa; 6], "to the client");
        assert_eq!(outer(&got).1, quad(v6).addresses.source());
        assert_eq!(outer(&got).0, outer(&error[4..]).0, "who reports stays");

        // What the server sent, refused behind the client.
        let answer = frame(quad(v6).reversed(), ACK, 501, 108, b"response", &[]);
        bench.deliver(CLIENT, &icmp_error(&answer));
        let got = bench.collect(SERVER).expect("delivered");
        let Ok(Packet::IcmpError(found)) = parse(&got) else { panic!("a valid error about TCP") };
        assert_eq!((found.quad, found.seq), (far_quad(v6).reversed(), Seq(801)));
        assert_eq!(
            (found.segment.inner_vlan(), outer(&got[4..]).1),
            (20, far_quad(v6).addresses.destination())
        );
    }
}

/// Source and destination of an untagged frame (or of one whose tag has been cut off in front).
fn outer(frame: &[u8]) -> (std::net::IpAddr, std::net::IpAddr) {
    let ip = &frame[14..];
    let v6 = |at: usize| <[u8; 16]>::try_from(&ip[at..at + 16]).unwrap().into();
    let v4 = |at: usize| <[u8; 4]>::try_from(&ip[at..at + 4]).unwrap().into();
    if ip[0] >> 4 == 6 { (v6(8), v6(24)) } else { (v4(12), v4(16)) }
}

#[test]
fn on_either_side_only_that_sides_quad_counts() {
    let mut bench = Bench::new(rules(OFFER));
    translated(&mut bench, false);
    let strangers = [
        // The original server, which has never heard of the connection; the far quad on the client's side; the far side
        // without its tag, which is somebody else's.
        (SERVER, frame(quad(false).reversed(), ACK, 801, 1108, b"x", &[]), Counter::DropFarSide),
        (CLIENT, frame(far_quad(false), ACK, 101, 501, b"x", TAGS), Counter::DropFarSide),
        (CLIENT, frame(far_quad(false).reversed(), ACK, 101, 501, b"x", TAGS), Counter::DropFarSide),
        (SERVER, frame(far_quad(false).reversed(), SYN, 101, 501, b"", TAGS), Counter::DropForeignHandshake),
    ];
    for (port, segment, reason) in strangers {
        let before = bench.count(reason);
        bench.deliver(port, &segment);
        assert_eq!(bench.count(reason), before + 1, "{}", reason.name());
        assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None));
    }
    let mut error = icmp_error(&frame(quad(false), ACK, 101, 501, b"x", &[]));
    bench.deliver(SERVER, &error);
    error.splice(12..12, [0x81, 0, 0, 20]);
    bench.deliver(SERVER, &error);
    assert_eq!((bench.count(Counter::DropFarSide), bench.collect(CLIENT).is_some()), (4, true));
}

#[test]
fn what_is_in_use_is_refused_and_another_port_is_found() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 0, 0);
    let flow = suspend(&mut bench, true);
    let other = Quad { client_port: 4001, ..quad(true) };
    bench.deliver(CLIENT, &frame(other, SYN, 7, 0, b"", &[]));
    let Some(Event::Offered { flow: second, .. }) = bench.events.try_receive() else { panic!("not offered") };
    let hop = NextHop::default();
    assert_eq!(set_far(&mut bench, flow, far_side(true, far_quad(true), hop), ClientPort::Kept), None);
    let wanted = far_side(true, far_quad(true), hop);
    assert_eq!(set_far(&mut bench, second, wanted.clone(), ClientPort::Kept), Some(Refused::InUse));
    assert_eq!(bench.count(Counter::DropFarSideInUse), 1);
    assert_eq!(set_far(&mut bench, second, wanted, ClientPort::Searched { from: 65_535 }), None);
    let slot = bench.worker.table().resolve(second).unwrap();
    let port = bench.worker.table().far(slot).unwrap().key.quad.client_port;
    assert_eq!(port, 1024 + 65_535 % 64_512);
    bench.order(Order::Remove { flow });
    bench.order(Order::Remove { flow: second });
    assert_eq!(bench.worker.table().far_sides(), 0);
}

#[test]
fn with_two_workers_the_far_side_comes_back_to_the_same_one() {
    for v6 in [false, true] {
        let mut benches = Bench::two(&rules(OFFER), 8);
        for client_port in 1..20 {
            let near = Quad { client_port, ..quad(v6) };
            benches[0].deliver(CLIENT, &frame(near, SYN, 100, 0, b"", &[]));
            let Some(Event::Offered { flow, .. }) = benches[0].events.try_receive() else { continue };
            let far = far_side(v6, Quad { client_port, ..far_quad(v6) }, TAGGED);
            assert_eq!(set_far(&mut benches[0], flow, far, ClientPort::Searched { from: 9 }), None);
            let table = benches[0].worker.table();
            let quad = table.far(table.resolve(flow).unwrap()).unwrap().key.quad;
            benches[1].deliver(SERVER, &frame(quad.reversed(), SYN | ACK, 500, 101, b"", TAGS));
            benches[0].poll();
            let up = benches[0].events.try_receive();
            assert!(matches!(up, Some(Event::Segment { direction: Direction::ServerToClient, .. })));
            benches[0].order(Order::Remove { flow });
        }
        assert!(benches[0].count(Counter::FlowsFarSide) > 3);
    }
}

#[test]
fn a_rule_forwards_the_syn_and_all_that_follows_by_mac_and_vlan() {
    for v6 in [false, true] {
        let policy = rules(Action::Forward { hop: 0 }).with_hops(vec![TAGGED]);
        let mut bench = Bench::new(policy);
        let syn = frame(quad(v6), SYN, 100, 0, b"", &[]);
        bench.deliver(CLIENT, &syn);
        let mut expected = frame(quad(v6), SYN, 100, 0, b"", TAGS);
        expected[..6].fill(9);
        assert_eq!(bench.collect(SERVER), Some(expected), "verbatim but for its link header");
        bench.deliver(SERVER, &frame(quad(v6).reversed(), SYN | ACK, 500, 101, b"", TAGS));
        let mut expected = frame(quad(v6).reversed(), SYN | ACK, 500, 101, b"", &[]);
        expected[..6].fill(0xa);
        expected[6..12].fill(0xc);
        assert_eq!(bench.collect(CLIENT), Some(expected));
        bench.deliver(CLIENT, &frame(quad(v6), ACK, 101, 501, b"x", &[]));
        assert_eq!(bench.collect(SERVER).map(|out| out[..6].to_vec()), Some(vec![9; 6]));
        assert_eq!(bench.count(Counter::FlowsForwarded), 1);
    }
}

fn release(bench: &mut Bench, flow: FlowRef, v6: bool) {
    let syn = bench.pool.copy_of(&frame(quad(v6), SYN, 100, 0, b"", &[])).unwrap();
    bench.order(Order::Release { flow, path: Path::Bypassed, frame: syn });
}

#[test]
fn a_suspended_flow_is_diverted_and_released() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = suspend(&mut bench, false);
    let hop = NextHop { mac: Some([9; 6]), ..NextHop::default() };
    bench.order(Order::Divert { flow, far: far_side(false, quad(false), hop) });
    release(&mut bench, flow, false);
    let mut expected = frame(quad(false), SYN, 100, 0, b"", &[]);
    expected[..6].fill(9);
    assert_eq!(bench.collect(SERVER), Some(expected));
    // Hairpinned to the port that it came from, another flow leaves there.
    let flow = suspend(&mut bench, true);
    let hop = NextHop { port: Some(CLIENT), ..hop };
    bench.order(Order::Divert { flow, far: far_side(true, quad(true), hop) });
    release(&mut bench, flow, true);
    assert!(bench.collect(CLIENT).is_some());
    bench.deliver(CLIENT, &frame(quad(true).reversed(), SYN | ACK, 500, 101, b"", &[]));
    assert_eq!(bench.collect(CLIENT).map(|out| headers(&out).flags), Some(SYN | ACK));
}

/// A SYN of this client port's to the forwarding rule; whether it has left on the far side.
fn begin(bench: &mut Bench, client_port: u16) -> bool {
    bench.deliver(CLIENT, &frame(Quad { client_port, ..quad(false) }, SYN, 100, 0, b"", &[]));
    bench.collect(SERVER).is_some_and(|out| out[..6] == [9; 6])
}

/// The server's SYN-ACK, and the client's ACK when it is there.
fn answer(bench: &mut Bench, client_port: u16, is_there: bool) {
    let near = Quad { client_port, ..quad(false) };
    bench.deliver(SERVER, &frame(near.reversed(), SYN | ACK, 500, 101, b"", TAGS));
    assert!(bench.collect(CLIENT).is_some());
    if is_there {
        bench.deliver(CLIENT, &frame(near, ACK, 101, 501, b"", &[]));
        assert!(bench.collect(SERVER).is_some());
    }
}

#[test]
fn what_has_not_opened_makes_room_and_what_is_open_stays() {
    let policy = rules(Action::Forward { hop: 0 }).with_hops(vec![TAGGED]);
    let mut bench = Bench::new(policy);
    assert!(begin(&mut bench, 1));
    answer(&mut bench, 1, true);
    // Nobody is behind these: the server answers some, and no ACK comes.
    for client_port in 2..40 {
        assert!(begin(&mut bench, client_port), "{client_port}");
        if client_port % 2 == 0 {
            answer(&mut bench, client_port, false);
        }
    }
    assert_eq!((bench.count(Counter::FarSidesEvicted), bench.count(Counter::DropFarSidesFull)), (35, 0));
    assert_eq!((bench.worker.table().len(), bench.worker.table().far_sides()), (4, 4));
    let known = |bench: &mut Bench, client_port| {
        bench.deliver(CLIENT, &frame(Quad { client_port, ..quad(false) }, ACK, 101, 501, b"x", &[]));
        bench.collect(SERVER).is_some_and(|out| out[..6] == [9; 6])
    };
    assert!(known(&mut bench, 1), "open");
    assert!(known(&mut bench, 37) && !known(&mut bench, 36), "the oldest went first");
}

#[test]
fn a_partial_connection_makes_room_and_the_control_core_hears_of_it() {
    let mut bench = Bench::new(rules(OFFER));
    let side = |client_port| far_side(false, Quad { client_port, ..far_quad(false) }, TAGGED);
    let offered = |bench: &mut Bench, client_port| {
        bench.deliver(CLIENT, &frame(Quad { client_port, ..quad(false) }, SYN, 7, 0, b"", &[]));
        let Some(Event::Offered { flow, .. }) = bench.events.try_receive() else { panic!("not offered") };
        flow
    };
    let flows = [1, 2, 3, 4, 5, 6].map(|client_port| offered(&mut bench, client_port));
    for (flow, client_port) in flows.into_iter().zip(1..=4) {
        assert_eq!(set_far(&mut bench, flow, side(client_port), ClientPort::Kept), None);
    }
    bench.order(Order::SetFarSide { flow: flows[4], far: side(5), ports: ClientPort::Kept });
    let Some(Event::Expired { flow }) = bench.events.try_receive() else { panic!("told of nothing") };
    assert_eq!(flow, flows[0]);
    let Some(Event::FarSide { placed, .. }) = bench.events.try_receive() else { panic!("not answered") };
    assert_eq!((placed, bench.count(Counter::FarSidesEvicted)), (Ok(5), 1));
    // Once its client has been answered, nobody takes it away.
    for flow in &flows[1..5] {
        bench.order(Order::Participate { flow: *flow });
    }
    assert_eq!(set_far(&mut bench, flows[5], side(6), ClientPort::Kept), Some(Refused::Full));
    assert_eq!((bench.count(Counter::DropFarSidesFull), bench.count(Counter::FarSidesEvicted)), (1, 1));
}

#[test]
fn a_list_of_far_sides_full_of_open_flows_is_a_full_table() {
    for flows_full in [Fallback::Drop, Fallback::Pass] {
        let rule = RuleSpec::everything(Action::Forward { hop: 0 });
        let policy = Snapshot::compile(&[rule], Defaults { flows_full, ..super::bench::DEFAULTS }).unwrap();
        let mut bench = Bench::new(policy.with_hops(vec![TAGGED]));
        for client_port in 1..=4 {
            assert!(begin(&mut bench, client_port));
            answer(&mut bench, client_port, true);
        }
        let syn = frame(Quad { client_port: 5, ..quad(false) }, SYN, 100, 0, b"", &[]);
        bench.deliver(CLIENT, &syn);
        let passes = flows_full == Fallback::Pass;
        assert_eq!(bench.collect(SERVER), passes.then_some(syn), "verbatim, the ordinary way");
        let counts = [Counter::FlowsPassedFull, Counter::DropFarSidesFull].map(|reason| bench.count(reason));
        assert_eq!(counts, [u64::from(passes), u64::from(!passes)]);
        assert_eq!(bench.worker.table().len(), 4);
    }
}

#[test]
fn a_first_fragment_of_a_flow_with_a_far_side_is_dropped_by_name() {
    let policy = rules(Action::Forward { hop: 0 }).with_hops(vec![TAGGED]);
    let mut bench = Bench::new(policy);
    assert!(begin(&mut bench, 1));
    let mut first_fragment = frame(Quad { client_port: 1, ..quad(false) }, ACK, 101, 501, b"12345678", &[]);
    first_fragment[20] = 0x20;
    first_fragment[24..26].fill(0);
    let sum = dataplane::wire::checksum::Sum::of(&first_fragment[14..34]).checksum();
    first_fragment[24..26].copy_from_slice(&sum.to_be_bytes());
    bench.deliver(CLIENT, &first_fragment);
    assert_eq!((bench.count(Counter::DropFragmentFarSide), bench.collect(SERVER)), (1, None));
}

#[test]
fn a_client_begins_another_connection_after_this_one() {
    let mut bench = Bench::new(rules(OFFER));
    translated(&mut bench, false);
    bench.deliver(CLIENT, &frame(quad(false), TcpFlags::RST | ACK, 101, 501, b"", &[]));
    suspend(&mut bench, false);
    assert_eq!((bench.worker.table().len(), bench.worker.table().far_sides()), (1, 0));
}

#[test]
fn what_went_by_another_hop_may_be_answered_the_ordinary_way() {
    let hairpin = NextHop { mac: Some([9; 6]), vlans: None, port: Some(CLIENT) };
    for (v6, hop) in [(false, TAGGED), (true, TAGGED), (false, hairpin), (true, hairpin)] {
        let mut bench = Bench::new(rules(Action::Forward { hop: 0 }).with_hops(vec![hop]));
        bench.deliver(CLIENT, &frame(quad(v6), SYN, 100, 0, b"", &[]));
        while bench.collect(SERVER).or_else(|| bench.collect(CLIENT)).is_some() {}
        let ordinary = [
            frame(quad(v6).reversed(), SYN | ACK, 500, 101, b"", &[]),
            icmp_error(&frame(quad(v6), SYN, 100, 0, b"", &[])),
            // Both call each other at once, perhaps.
            frame(quad(v6).reversed(), SYN, 500, 0, b"", &[]),
        ];
        for segment in ordinary {
            bench.deliver(SERVER, &segment);
            assert_eq!(bench.collect(CLIENT), Some(segment), "verbatim");
        }
        assert_eq!(bench.worker.table().len(), 1);
        // It is not the client's own who answers there.
        bench.deliver(SERVER, &frame(quad(v6), ACK, 101, 501, b"", &[]));
        assert_eq!(bench.count(Counter::DropFarSide), 1);
        // After a refusal the server may begin anew, by either way: not a flow of the client's.
        bench.deliver(SERVER, &frame(quad(v6).reversed(), TcpFlags::RST | ACK, 0, 101, b"", &[]));
        bench.collect(CLIENT).unwrap();
        let call = frame(quad(v6).reversed(), SYN, 900, 0, b"", &[]);
        bench.deliver(SERVER, &call);
        assert_eq!((bench.collect(CLIENT), bench.worker.table().len()), (Some(call), 0));
    }
}

#[test]
fn out_of_a_port_that_is_not_opposite_a_frame_has_that_ports_mac() {
    let hairpin = NextHop { mac: Some([9; 6]), vlans: None, port: Some(CLIENT) };
    for (hop, port, source) in [(hairpin, CLIENT, [0xe0; 6]), (TAGGED, SERVER, [0xa; 6])] {
        let mut bench = Bench::new(rules(Action::Forward { hop: 0 }).with_hops(vec![hop]));
        bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
        assert_eq!(bench.collect(port).unwrap()[6..12], source);
    }
}

#[test]
fn a_redirect_about_another_way_is_not_for_the_client() {
    let mut bench = Bench::new(rules(OFFER));
    translated(&mut bench, false);
    let about = frame(far_quad(false), ACK, 1101, 801, b"request", &[]);
    let mut redirect = icmp_error(&about);
    redirect[34] = icmp::v4::REDIRECT;
    icmp::fill_checksum(&mut redirect[34..], &far_quad(false).addresses);
    redirect.splice(12..12, [0x81, 0, 0, 20]);
    bench.deliver(SERVER, &redirect);
    assert_eq!((bench.count(Counter::DropRedirectFarSide), bench.collect(CLIENT)), (1, None));
}

#[test]
fn a_port_that_does_not_exist_is_counted() {
    let hop = NextHop { port: Some(PortId(7)), ..NextHop::default() };
    let mut bench = Bench::new(rules(Action::Forward { hop: 0 }).with_hops(vec![hop]));
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    assert_eq!((bench.count(Counter::DropFarSideInUse), bench.worker.table().len()), (1, 0));
    assert_eq!(bench.pool.in_use(), 0);
}
