//! The ends of a tunnel: what the SYN between them says, and who is asked.

use std::time::Duration;

use control::core::context::Settings;
use control::module::redirect::{Places, Redirect};
use control::module::relay::MergeWhen;
use control::module::tunnel::option::{Carrier, Keys};
use control::module::tunnel::{Enter, Leave};
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::packet::{self, Packet};
use dataplane::policy::Fallback;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps, packed};

use crate::rig::*;

const KEY: [u8; 32] = [9; 32];
/// As the rig's only client has it.
const CLIENT_AT: &str = "10.0.0.1:4000";
const SERVER_AT: &str = "11.0.0.2:80";
const FAR_END: &str = "12.0.0.9:500";

fn keys() -> Keys {
    Keys::new(&[KEY])
}

fn carrier(client: &str, end: &str) -> Carrier {
    let quad = Quad::between(client.parse().unwrap(), end.parse().unwrap()).unwrap();
    Carrier { quad, seq: Seq(C) }
}

fn near_end() -> Rig {
    let places = Places { servers: vec![FAR_END.parse().unwrap()], ..Places::default() };
    Rig::new(Enter::new(Redirect::new(relay(MergeWhen::Established), places, [1; 4], "near"), keys()))
}

fn far_end() -> Rig {
    far_end_with(settings())
}

fn far_end_with(settings: Settings) -> Rig {
    let redirect = Redirect::new(relay(MergeWhen::Established), Places::default(), [1; 4], "far");
    Rig::with(Leave::new(redirect, keys()), settings)
}

/// Of the last frame for the server: behind Ethernet without tags, IPv4 and the fixed TCP header.
fn far_options(rig: &Rig) -> &[u8] {
    &rig.far_frame[14 + 20 + 20..]
}

fn linux_syn() -> TcpRepr {
    let mut syn = syn(C);
    syn.options.timestamps = Some(Timestamps { value: 77, echo: 0 });
    syn
}

const ORDERED: &str = "far 10.0.0.1:4000 -> 12.0.0.9:500 by 1";

#[test]
fn the_near_end_names_the_original_server_whenever_the_syn_leaves() {
    let mut rig = near_end();
    assert_eq!(script(&rig.offer(linux_syn())), [ORDERED]);
    let asked = rig.far_side(None);
    let [Said::Far(first, _)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(
        first.options,
        TcpOptions { other: true, ..linux_syn().options },
        "and all that the client says"
    );
    for again in [false, true] {
        if again {
            rig.far_frame.clear();
            assert_eq!(script(&rig.wait(Duration::from_millis(1500))), [">F S 1000:0 0"]);
        }
        let proven = keys().verify(far_options(&rig), &carrier(CLIENT_AT, FAR_END));
        assert_eq!(proven, Ok(SERVER_AT.parse().unwrap()), "again: {again}");
    }
    // From here on it is a connection like any other.
    rig.server(syn_ack(S, C + 1), b"");
    let said = script(&rig.client(ack(C + 1, S + 1), b""));
    assert_eq!(said, [">F . 1001:5001 0", "park"]);
    assert_eq!(far_options(&rig), b"");
    assert_eq!(script(&rig.parked())[0], "install 0 0");
}

#[test]
fn the_signature_covers_the_port_that_the_worker_has_found() {
    let mut rig = near_end();
    rig.offer(linux_syn());
    rig.placed(Ok(20_000));
    let verify = |client| keys().verify(far_options(&rig), &carrier(client, FAR_END));
    assert_eq!(verify("10.0.0.1:20000"), Ok(SERVER_AT.parse().unwrap()));
    assert!(verify(CLIENT_AT).is_err());
}

#[test]
fn the_far_end_asks_the_original_server_and_says_nothing_of_the_tunnel() {
    let mut rig = far_end();
    let mark = keys().sign("12.0.0.7:8080".parse().unwrap(), &carrier(CLIENT_AT, SERVER_AT));
    let options = packed(&linux_syn().options, &mark).unwrap();
    let said = script(&rig.with_options(&options).offer(linux_syn()));
    assert_eq!(said, ["far 10.0.0.1:4000 -> 12.0.0.7:8080 by 1"]);
    let asked = rig.far_side(None);
    let [Said::Far(asked, _)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(asked.options, linux_syn().options, "no option more");
    assert_eq!(script(&rig.server(syn_ack(S, C + 1), b"")), ["participate", ">C S. 5000:1001 0"]);
}

/// There is no room for TCBs, so that the client's SYN itself goes on: to a server that is to know nothing of a tunnel.
#[test]
fn a_syn_that_is_released_where_the_tunnel_ends_leaves_without_the_option() {
    let mut rig = far_end_with(Settings { connections: 1, when_full: Fallback::Pass, ..settings() });
    for n in 0..2 {
        rig.turn_to(n);
        let client = format!("10.0.0.{}:4000", n + 1);
        let mark = keys().sign("12.0.0.7:8080".parse().unwrap(), &carrier(&client, SERVER_AT));
        let options = packed(&linux_syn().options, &mark).unwrap();
        rig.with_options(&options).offer(linux_syn());
        rig.far_side(None);
        let said = script(&rig.server(syn_ack(S, C + 1), b""));
        assert_eq!(said[0], ["participate", "release Bypassed"][n as usize]);
        // Who has completed its handshake makes no room.
        rig.client(ack(C + 1, S + 1), b"");
    }
    let [released] = &rig.released[..] else { panic!("{:?}", rig.released) };
    let Ok(Packet::Tcp(headers)) = packet::parse(released) else { panic!("{released:?}") };
    assert!(packet::is_tcp_checksum_valid(released, &headers));
    assert_eq!((headers.seq, usize::from(headers.end)), (Seq(C), released.len()));
    assert_eq!(released[14 + 20 + 20..], packed(&linux_syn().options, b"").unwrap()[..]);
}

#[test]
fn what_nobody_with_a_key_has_signed_for_this_syn_is_dropped_in_silence() {
    let sign = |client, server, key| {
        Keys::new(&[key]).sign("12.0.0.7:80".parse().unwrap(), &carrier(client, server))
    };
    let cases = [
        (sign("10.0.0.1:4001", SERVER_AT, KEY), Counter::TunnelForged),
        (sign(CLIENT_AT, FAR_END, KEY), Counter::TunnelForged),
        (sign(CLIENT_AT, SERVER_AT, [8; 32]), Counter::TunnelForged),
        (Default::default(), Counter::TunnelUnsigned),
    ];
    for (mark, counter) in cases {
        let mut rig = far_end();
        let options = packed(&linux_syn().options, &mark).unwrap();
        assert_eq!(script(&rig.with_options(&options).offer(linux_syn())), ["remove"]);
        rig.wait(Duration::from_millis(100));
        assert_eq!((rig.count(counter), rig.count(Counter::DropModule)), (1, 1), "{counter:?}");
        rig.assert_gone();
    }
}

#[test]
fn no_syn_that_nobody_has_signed_goes_through_a_tunnel() {
    let mut rig = near_end();
    rig.offer(linux_syn());
    rig.far_side(None);
    assert_eq!(script(&rig.client(syn(C + 900), b"")), [">F R 1001:0 0", "restart 0"]);
    assert_eq!(far_options(&rig), b"");
}

/// The same with another number: the option is another SYN's.
#[test]
fn an_option_does_not_serve_another_syn() {
    let mut rig = far_end();
    let mark = keys().sign("12.0.0.7:80".parse().unwrap(), &carrier(CLIENT_AT, SERVER_AT));
    let options = packed(&syn(C).options, &mark).unwrap();
    assert_eq!(script(&rig.with_options(&options).offer(syn(C + 1))), ["remove"]);
}
