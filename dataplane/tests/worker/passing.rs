//! What passes without a TCB: strays, fallbacks, monitored flows, ICMP errors, tags, the MTU.

use std::time::Duration;

use super::bench::{Bench, CLIENT, DEFAULTS, SERVER, frame, icmp_error, quad, rules};
use super::inspect::open;
use super::{ACK, OFFER, SYN, cut_through, headers, suspend};
use dataplane::buffer::ChecksumHint;
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::flow::quad::Quad;
use dataplane::packet::{Packet, is_tcp_checksum_valid, parse};
use dataplane::policy::{Action, Defaults, Fallback, RuleSpec, Snapshot, Strays};
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::Limits;

/// Everything to port 80 is offered.
fn offer_with(defaults: Defaults) -> Snapshot {
    let rule = RuleSpec { destination_ports: vec![80..=80], ..RuleSpec::everything(OFFER) };
    Snapshot::compile(&[rule], defaults).unwrap()
}

#[test]
fn strays_are_reset_or_passed_as_the_config_says() {
    let mut bench = Bench::new(offer_with(Defaults { strays: Strays::Reset, ..DEFAULTS }));
    let stray = frame(quad(false), ACK, 7, 900, b"x", &[(0x8100, 5)]);
    bench.deliver(CLIENT, &stray);
    let reset = bench.collect(CLIENT).expect("a RST where the stray came from");
    let got = headers(&reset);
    assert_eq!((got.quad, got.flags, got.seq), (quad(false).reversed(), TcpFlags::RST, Seq(900)));
    assert_eq!(got.segment.inner_vlan(), 5);
    bench.deliver(CLIENT, &frame(quad(false), TcpFlags::RST, 7, 0, b"", &[]));
    assert_eq!((bench.count(Counter::DropStrayReset), bench.collect(CLIENT)), (2, None), "no RST for a RST");
    let mut corrupt = stray.clone();
    corrupt[58] ^= 1;
    bench.deliver(CLIENT, &corrupt);
    assert_eq!(
        (bench.count(Counter::DropTcpChecksum), bench.collect(CLIENT)),
        (1, None),
        "nobody can say whose"
    );

    let mut bench = Bench::new(offer_with(Defaults { strays: Strays::Pass, ..DEFAULTS }));
    bench.deliver(CLIENT, &stray);
    assert_eq!((bench.collect(SERVER), bench.pool.in_use()), (Some(stray), 0));
}

/// A worker that never has a round without frames: flows go as fast as they come.
#[test]
fn flows_that_come_in_full_bursts_do_not_fill_the_table() {
    let limits = Limits { flows: 4096, parked: 1, far_sides: 4 };
    let mut bench =
        Bench::with_limits(offer_with(Defaults { action: Action::Bypass, ..DEFAULTS }), limits, 256);
    let elsewhere = |n: u32| {
        let [_, a, b, c] = n.to_be_bytes();
        Quad::between(([10, a, b, c], 4000).into(), ([10, 0, 0, 2], 22).into()).unwrap()
    };
    for round in 0..2000 {
        for n in 0..32 {
            let syn = frame(elsewhere(0x10000 + round * 32 + n), SYN, 1, 0, b"", &[]);
            bench.peers[0].deliver(bench.pool.copy_of(&syn).unwrap());
        }
        // Half of the table while none is open for longer than 75 s.
        bench.now = bench.now + Duration::from_millis(1200);
        bench.worker.poll(bench.now);
        while bench.collect(SERVER).is_some() {}
        assert_eq!(bench.count(Counter::DropFlowsFull), 0, "in round {round}");
    }
    assert!(bench.worker.table().len() < 2500, "{}", bench.worker.table().len());
}

#[test]
fn a_flow_that_passed_for_want_of_a_place_goes_on() {
    let policy = offer_with(Defaults { flows_full: Fallback::Pass, ..DEFAULTS });
    let mut bench = Bench::with_limits(policy, Limits { flows: 1, parked: 1, far_sides: 4 }, 256);
    suspend(&mut bench, false);
    let mut others = [quad(false); 2];
    (others[0].client_port, others[1].client_port) = (1, 2);
    for (other, passed) in others.into_iter().zip(1..) {
        for segment in [frame(other, SYN, 1, 0, b"", &[]), frame(other, ACK, 2, 9, b"x", &[])] {
            bench.deliver(CLIENT, &segment);
            assert_eq!(bench.collect(SERVER), Some(segment));
        }
        assert_eq!(bench.count(Counter::FlowsPassedFull), passed);
    }
    bench.wait(Duration::from_secs(601));
    bench.deliver(CLIENT, &frame(others[1], ACK, 3, 9, b"x", &[]));
    assert_eq!((bench.count(Counter::DropStray), bench.collect(SERVER)), (1, None), "idle for too long");
}

#[test]
fn a_monitored_flow_is_followed_from_syn_to_linger() {
    let mut bench = Bench::new(rules(Action::Monitor));
    let (there, back) = (quad(true), quad(true).reversed());
    let tags = &[(0x88a8, 9), (0x8100, 0x6007)];
    let talk = [
        (CLIENT, frame(there, SYN, 100, 0, b"", tags)),
        (SERVER, frame(back, SYN | ACK, 500, 101, b"", tags)),
        (CLIENT, frame(there, ACK, 101, 501, b"hi", tags)),
        // Neither expected by the server nor next after what was sent.
        (CLIENT, frame(there, TcpFlags::RST, 90, 0, b"", tags)),
        (SERVER, frame(back, ACK | TcpFlags::FIN, 501, 103, b"", tags)),
        (CLIENT, frame(there, ACK | TcpFlags::FIN, 103, 502, b"", tags)),
        (SERVER, frame(back, ACK, 502, 104, b"", tags)),
    ];
    for (from, segment) in talk {
        bench.deliver(from, &segment);
        let to = if from == CLIENT { SERVER } else { CLIENT };
        assert_eq!(bench.collect(to), Some(segment), "untouched");
        let slot = bench.worker.table().occupied(0..8).next().unwrap();
        assert_eq!(bench.worker.table().object(slot).path, Path::Monitored);
        bench.wait(Duration::from_secs(9));
    }
    assert_eq!(bench.worker.table().len(), 1);
    bench.wait(Duration::from_secs(2));
    assert!(bench.worker.table().is_empty(), "both FINs are acknowledged: ten seconds");
}

#[test]
fn during_the_handshake_only_a_rst_for_it_counts() {
    for (from_client, flags, seq, ack, ends) in [
        (true, TcpFlags::RST, 101, 0, true),
        (true, TcpFlags::RST, 4711, 0, false),
        (false, TcpFlags::RST | ACK, 0, 101, true),
        (false, TcpFlags::RST | ACK, 0, 99, false),
    ] {
        let mut bench = Bench::new(rules(Action::Bypass));
        bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
        let (port, quad) = if from_client { (CLIENT, quad(false)) } else { (SERVER, quad(false).reversed()) };
        bench.deliver(port, &frame(quad, flags, seq, ack, b"", &[]));
        bench.wait(Duration::from_secs(11));
        assert_eq!(bench.worker.table().is_empty(), ends, "{flags:?} {seq} {ack}");
    }
}

#[test]
fn an_icmp_error_about_a_cut_through_segment_quotes_what_was_sent() {
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 1000, -300);
    let sent = frame(quad(false), ACK, 101, 501, b"request", &[]);
    bench.deliver(CLIENT, &sent);
    let forwarded = bench.collect(SERVER).unwrap();
    bench.deliver(SERVER, &icmp_error(&forwarded));
    assert_eq!(bench.collect(CLIENT), Some(icmp_error(&sent)));

    let answer = frame(quad(false).reversed(), ACK, 801, 1108, b"response", &[]);
    bench.deliver(SERVER, &answer);
    let forwarded = bench.collect(CLIENT).unwrap();
    bench.deliver(CLIENT, &icmp_error(&forwarded));
    assert_eq!(bench.collect(SERVER), Some(icmp_error(&answer)));

    bench.deliver(CLIENT, &icmp_error(&sent));
    assert_eq!((bench.count(Counter::DropWrongSide), bench.collect(SERVER)), (1, None));
}

#[test]
fn an_icmp_error_about_no_flow_crosses_untouched() {
    for v6 in [false, true] {
        let mut bench = Bench::new(rules(OFFER));
        let error = icmp_error(&frame(quad(v6), ACK, 1, 2, b"x", &[]));
        assert!(matches!(parse(&error), Ok(Packet::IcmpError(_))));
        bench.deliver(SERVER, &error);
        assert_eq!(bench.collect(CLIENT), Some(error));
    }
}

#[test]
fn a_datagram_longer_than_the_mtu_is_dropped_and_tags_do_not_count() {
    let tags: &[(u16, u16)] = &[(0x88a8, 9), (0x8100, 7)];
    let mut bench = Bench::new(rules(OFFER));
    cut_through(&mut bench, 1, 1);
    let mut passing = quad(false);
    passing.server_port = 81;
    for (quad, tags) in [(quad(false), &[][..]), (passing, tags), (passing, &[][..])] {
        bench.deliver(CLIENT, &frame(quad, ACK, 101, 501, &[0; 1460], tags));
        let out = bench.collect(SERVER).expect("1500 bytes fit");
        assert!(is_tcp_checksum_valid(&out, &headers(&out)));
        bench.deliver(CLIENT, &frame(quad, ACK, 101, 501, &[0; 1461], tags));
        assert_eq!(bench.collect(SERVER), None);
    }
    let udp = |len: usize| [&[2; 12][..], &[0x88, 0xb5], &vec![0; len]].concat();
    bench.deliver(CLIENT, &udp(1500));
    assert_eq!(bench.collect(SERVER), Some(udp(1500)));
    bench.deliver(CLIENT, &udp(1501));
    assert_eq!((bench.count(Counter::DropMtu), bench.pool.in_use()), (4, 0));
}

/// RFC 9293 section 3.9.2.3, MUST-57 and MUST-63.
#[test]
fn a_syn_of_or_for_no_single_host_is_offered_to_nobody() {
    let mut bench = Bench::new(offer_with(DEFAULTS));
    let (host4, host6) = ("10.0.0.1", "fd00::1");
    let pairs = [
        (host4, "224.0.0.1"),
        (host4, "255.255.255.255"),
        (host4, "0.0.0.0"),
        ("0.0.0.0", host4),
        ("239.1.2.3", host4),
        ("255.255.255.255", host4),
        (host6, "ff02::1"),
        (host6, "::"),
        ("::", host6),
        ("ff05::2", host6),
    ];
    for (source, destination) in pairs {
        let address = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
        let quad = Quad::between((address(source), 4000).into(), (address(destination), 80).into()).unwrap();
        bench.deliver(CLIENT, &frame(quad, SYN, 100, 0, b"", &[]));
    }
    assert_eq!(bench.count(Counter::DropTcpAddress), pairs.len() as u64);
    assert!(bench.events.try_receive().is_none());
    assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None));
}

/// The server saw the client's own number: passed on, its answer would open a connection that no module has agreed to.
#[test]
fn a_late_syn_ack_of_a_protected_server_opens_nothing() {
    let mut bench = Bench::new(offer_with(DEFAULTS));
    bench.deliver(SERVER, &frame(quad(true).reversed(), SYN | ACK, 500, 101, b"", &[]));
    assert_eq!((bench.count(Counter::DropStray), bench.collect(CLIENT)), (1, None));
    // Any other segment of it is none of our business.
    let segment = frame(quad(true).reversed(), ACK, 500, 101, b"x", &[]);
    bench.deliver(SERVER, &segment);
    assert_eq!(bench.collect(CLIENT), Some(segment));
}

/// A cluster whose members share a multicast MAC, each answering from its own.
#[test]
fn a_syn_whose_frame_goes_to_a_group_passes_and_so_does_its_flow() {
    let mut bench = Bench::new(offer_with(DEFAULTS));
    let mut syn = frame(quad(false), SYN, 100, 0, b"", &[]);
    syn[..6].copy_from_slice(&[0x03, 0xbf, 10, 0, 0, 1]);
    bench.deliver(CLIENT, &syn);
    assert_eq!(bench.collect(SERVER), Some(syn));
    let answer = frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]);
    bench.deliver(SERVER, &answer);
    assert_eq!(bench.collect(CLIENT), Some(answer));
    assert!(bench.events.try_receive().is_none());
    assert_eq!(bench.count(Counter::FlowsBypassed), 1);
}

/// The device says that the checksum is wrong: its receiver drops what passes, and so nothing of it is believed.
#[test]
fn what_the_device_calls_corrupt_passes_and_moves_nothing() {
    for delta in [0, 1000] {
        for action in [OFFER, Action::Monitor] {
            let mut bench = Bench::new(rules(action));
            if action == OFFER {
                cut_through(&mut bench, delta, -delta);
            } else {
                open(&mut bench);
            }
            let (there, back) = (quad(false), quad(false).reversed());
            let slot = bench.worker.table().occupied(0..8).next().expect("a flow");
            let known = |bench: &Bench| {
                let object = bench.worker.table().object(slot);
                (object.track, object.edges, object.tcp)
            };
            let before = known(&bench);
            let segments = [
                (CLIENT, frame(there, ACK, 101, 501, b"in order", &[])),
                (SERVER, frame(back, ACK, 501, 101, b"", &[])),
                (SERVER, frame(back, ACK, 501, 150, b"and an acknowledgment", &[])),
                (CLIENT, frame(there, ACK, 300, 501, b"ahead", &[])),
                (CLIENT, frame(there, ACK | TcpFlags::FIN, 101, 501, b"", &[])),
                (SERVER, frame(back, TcpFlags::RST, 501, 0, b"", &[])),
            ];
            for (from, mut segment) in segments {
                // A window that nobody has given.
                segment[48] ^= 0x40;
                bench.deliver_hinted(from, &segment, ChecksumHint::Bad);
                let out = bench.collect(if from == CLIENT { SERVER } else { CLIENT }).expect("it passes");
                assert!(!is_tcp_checksum_valid(&out, &headers(&out)), "as corrupt as it came");
                assert_eq!(known(&bench), before);
            }
            bench.deliver_hinted(CLIENT, &frame(there, ACK, 101, 501, b"sound", &[]), ChecksumHint::Good);
            assert_ne!(known(&bench), before);
        }
    }
}

#[test]
fn a_corrupt_syn_begins_nothing_on_a_lingering_flow() {
    let mut bench = Bench::new(rules(Action::Monitor));
    open(&mut bench);
    bench.deliver(CLIENT, &frame(quad(false), TcpFlags::RST, 101, 0, b"", &[]));
    let flows = |bench: &Bench| bench.count(Counter::FlowsMonitored);
    let mut corrupt = frame(quad(false), SYN, 900, 0, b"", &[]);
    corrupt[40] ^= 1;
    bench.deliver(CLIENT, &corrupt);
    assert_eq!(flows(&bench), 1);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 900, 0, b"", &[]));
    assert_eq!(flows(&bench), 2);
}
