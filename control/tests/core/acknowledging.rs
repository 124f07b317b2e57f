//! When senders are acknowledged whose bytes are relayed (RFC 9293 section 3.8.6.3), and with what.

use std::time::Duration;

use control::module::relay::MergeWhen;

use crate::rig::*;

const DELAYED: Duration = Duration::from_millis(40);

fn asked() -> Rig {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    assert_eq!(script(&rig.client(ack(C + 1, S + 1), b"GET")), [">S . 1001:5001 3"]);
    rig
}

#[test]
fn a_request_is_acknowledged_with_its_response() {
    let mut rig = asked();
    assert_eq!(script(&rig.server(ack(S + 1, C + 4), b"200")), [">C . 5001:1004 3"]);
    assert_eq!(script(&rig.client(ack(C + 4, S + 4), b"")), [">S . 1004:5004 0"]);
    assert!(rig.wait(DELAYED).is_empty());
}

#[test]
fn what_its_receiver_acknowledges_without_an_answer_is_acknowledged_then() {
    let mut rig = asked();
    assert_eq!(script(&rig.server(ack(S + 1, C + 4), b"")), [">C . 5001:1004 0"]);
    assert!(rig.wait(DELAYED).is_empty());
}

#[test]
fn nothing_waits_longer_than_any_delayed_acknowledgment() {
    let mut rig = asked();
    assert!(rig.wait(DELAYED - Duration::from_millis(1)).is_empty());
    assert_eq!(script(&rig.wait(Duration::from_millis(1))), [">C . 5001:1004 0"]);
}

#[test]
fn the_second_segment_is_acknowledged_at_once() {
    let mut rig = asked();
    assert_eq!(script(&rig.client(ack(C + 4, S + 1), b" /")), [">C . 5001:1006 0", ">S . 1004:5001 2"]);
}

/// Nobody is behind it whose answer could be waited for.
#[test]
fn bytes_that_go_to_nobody_are_acknowledged_at_once() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.server(rst(S + 1), b"");
    assert!(!rig.client(ack(C + 1, S + 1), b"GET").is_empty());
}

/// Segments of the client's that the control core finds together.
fn together(rig: &mut Rig, segments: &[(u32, &[u8])]) -> Vec<String> {
    for (seq, payload) in segments {
        rig.client_unheard(ack(*seq, S + 1), payload);
    }
    script(&rig.poll())
}

#[test]
fn the_acknowledgment_of_a_server_goes_along_with_the_request() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    rig.server(syn_ack(S, C + 1), b"");
    let said = together(&mut rig, &[(C + 1, b""), (C + 1, b"GET")]);
    let to_server: Vec<_> = said.iter().filter(|line| line.starts_with(">S")).collect();
    assert_eq!(to_server, [">S . 1001:5001 3"]);
}

#[test]
fn segments_that_come_together_are_answered_in_pairs() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    let said = together(&mut rig, &[0, 3, 6, 9].map(|at| (C + 1 + at, &b"GET"[..])));
    let to_client: Vec<_> = said.iter().filter(|line| line.starts_with(">C")).collect();
    assert_eq!(to_client, [">C . 5001:1007 0", ">C . 5001:1013 0"], "{said:?}");
}

/// One that is owed an acknowledgment already counts, too.
#[test]
fn no_acknowledgment_is_for_three_segments() {
    let mut rig = asked();
    let said = together(&mut rig, &[3, 6].map(|at| (C + 1 + at, &b"GET"[..])));
    let to_client: Vec<_> = said.iter().filter(|line| line.starts_with(">C")).collect();
    assert_eq!(to_client, [">C . 5001:1007 0"], "{said:?}");
}

/// A sender without SACK counts them (RFC 5681 section 3.2): what comes together says it as often as what does not.
#[test]
fn each_segment_behind_a_hole_is_answered_at_once() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    let said = together(&mut rig, &[3, 6, 9].map(|at| (C + 1 + at, &b"GET"[..])));
    let to_client = said.iter().filter(|line| line.starts_with(">C . 5001:1001")).count();
    assert_eq!(to_client, 3, "{said:?}");
}
