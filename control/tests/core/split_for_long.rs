//! A split flow of which one direction goes on for more than half a sequence space, byte by byte, while nothing new is said in the
//! other one. What is known of the idle direction stays where it is; nothing of it may be compared with what has moved on.

use std::time::Duration;

use control::core::handover::HandOver;
use control::module::relay::MergeWhen;
use dataplane::flow::object::Path;
use dataplane::flow::terms::Terms;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;

use crate::rig::*;
use crate::splitting::{at_client, at_server, bytes, seen, split_seen};

const SEGMENT: u32 = 1460;

/// The client sends so many bytes behind its first 1000, and says all the while that it has so many of the server's 2000.
fn upload(rig: &mut Rig, len: u64, acknowledged: u32) -> u32 {
    let payload = bytes(SEGMENT as usize);
    let mut sent = 1000u32;
    for n in 0..len / u64::from(SEGMENT) {
        let said = rig.client(ack(C.wrapping_add(1 + sent), at_client(acknowledged)), &payload);
        let passed = |said: &Said| matches!(said, Said::Tcp(SERVER, tcp, bytes) if tcp.seq.0 == at(sent) && bytes.len() == payload.len());
        assert!(said.iter().any(passed), "segment {n}: {:?}", script(&said));
        sent = sent.wrapping_add(SEGMENT);
        rig.now = rig.now + Duration::from_micros(10);
        rig.server(ack(S + 1 + 2000, at(sent)), b"");
    }
    sent
}

fn at(sent: u32) -> u32 {
    at_server(0).wrapping_add(sent)
}

/// The client has all but the last 1500 bytes of the server's when the flow is split, or all.
fn one_direction_goes_on(acknowledged: u32, len: u64) {
    let view = {
        let mut view = seen(Terms::new(Some([SHIFT, SHIFT]), true, false), 64_000);
        view.track[0].ack = Seq(S + 1 + acknowledged);
        view
    };
    let mut rig = split_seen(Rig::new(relay(MergeWhen::AfterBytes(1 << 40))), view);
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"");
    let sent = upload(&mut rig, len, acknowledged);
    let client = C.wrapping_add(1 + sent);
    if acknowledged < 2000 {
        // Lost all the while, and still between the ends.
        let again = rig.server(ack(S + 1 + acknowledged, at(sent)), &bytes(100));
        assert_eq!(script(&again), [format!(">C . {}:{client} 100", at_client(acknowledged))]);
    }
    rig.client(ack(client, at_client(2000)), b"");
    let said = script(&rig.server(ack(S + 1 + 2000, at(sent)), b"news"));
    assert!(said.contains(&format!(">C . {}:{client} 4", at_client(2000))), "{said:?}");
    let wide = TcpRepr { window: u16::MAX, ..ack(client, at_client(2004)) };
    rig.client(wide, b"");
    let _ = rig.order_hand_over(HandOver::Merge, Path::Participating);
    let said = script(&rig.parked());
    assert_eq!(said[0], "install 100 -50", "{said:?}");
    let view = rig.installed.expect("an object");
    assert_eq!(view.track.map(|track| track.end), [Seq(client), Seq(S + 1 + 2004)]);
    assert_eq!(view.track.map(|track| track.ack), [Seq(S + 1 + 2004), Seq(client)]);
    assert_eq!(view.edges[1], Seq(S + 1 + 2004).advance(u32::from(u16::MAX) << SHIFT));
}

/// More than half of all numbers, in a million and a half segments.
const LONG: u64 = (1 << 31) + (1 << 28);

#[test]
fn whose_idle_direction_waits_for_its_receiver() {
    one_direction_goes_on(500, LONG);
}

#[test]
fn whose_idle_direction_has_arrived() {
    one_direction_goes_on(2000, LONG);
}
