//! Errors of one leg at the other: the same error, in its order with the data (seed 002).

use std::time::Duration;

use control::module::Acknowledge;
use control::module::relay::{MergeWhen, Relay};
use dataplane::counters::Counter;
use dataplane::wire::tcp::TcpRepr;

use crate::rig::*;

const S1: Duration = Duration::from_secs(1);

fn established() -> Rig {
    Rig::established(relay(MergeWhen::Never))
}

#[test]
fn a_reset_with_nothing_before_it_crosses_at_once() {
    let mut rig = established();
    assert_eq!(script(&rig.server(rst(S + 1), b"")), [">C R. 5001:1001 0"]);
    let mut rig = established();
    assert_eq!(script(&rig.client(rst(C + 1), b"")), [">S R. 1001:5001 0"]);
}

#[test]
fn a_reset_comes_behind_the_data_before_it() {
    // A server that answers and closes with unread input: the client gets the answer, then the RST.
    let mut rig = established();
    assert_eq!(script(&rig.server(ack(S + 1, C + 1), b"413")), [">C . 5001:1001 3"]);
    assert!(rig.server(rst(S + 4), b"").is_empty());
    assert_eq!(script(&rig.client(ack(C + 1, S + 4), b"")), [">C R. 5004:1001 0"]);
}

#[test]
fn what_was_lost_before_the_reset_is_repeated_before_it() {
    let mut rig = established();
    rig.server(ack(S + 1, C + 1), b"413");
    rig.server(rst(S + 4), b"");
    let said = script(&rig.wait(S1));
    assert!(!said.is_empty() && said.iter().all(|line| line == ">C . 5001:1001 3"), "{said:?}");
    assert_eq!(script(&rig.client(ack(C + 1, S + 4), b"")), [">C R. 5004:1001 0"]);
}

#[test]
fn more_than_the_windows_take_goes_first_and_so_does_a_fin() {
    let mut rig = established();
    // The initial window lets 14 of these 18 segments out.
    for n in 0..18 {
        rig.client(ack(C + 1 + n * 1000, S + 1), &[0; 1000]);
    }
    rig.client(fin(C + 18_001, S + 1), b"");
    rig.client(rst(C + 18_002), b"");
    let said = script(&rig.server(ack(S + 1, C + 14_001), b""));
    assert_eq!(said.last().map(String::as_str), Some(">S F. 17921:5001 1080"), "{said:?}");
    assert_eq!(script(&rig.server(ack(S + 1, C + 18_002), b"")), [">S R. 19002:5001 0"]);
}

#[test]
fn a_reader_that_has_stopped_hears_of_it_all_the_same() {
    let mut rig = established();
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.server(TcpRepr { window: 0, ..ack(S + 1, C + 4) }, b"");
    rig.client(ack(C + 4, S + 1), b"more");
    rig.client(rst(C + 8), b"");
    let said = script(&rig.wait(9 * S1));
    assert!(said.iter().all(|line| !line.contains('R')), "{said:?}");
    let said = script(&rig.wait(2 * S1));
    assert_eq!(said.last().map(String::as_str), Some(">S R. 1004:5001 0"), "{said:?}");
}

#[test]
fn who_begins_anew_after_a_reset_does_not_wait_for_the_old_data() {
    let mut rig = established();
    rig.client(ack(C + 1, S + 1), b"GET");
    assert!(rig.client(rst(C + 4), b"").is_empty());
    assert_eq!(script(&rig.client(syn(C + 70_000), b"")), [">S R. 1004:5001 0", "restart 0"]);
    rig.assert_gone();
}

#[test]
fn resets_from_both_ends_are_the_end() {
    let mut rig = established();
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.client(rst(C + 4), b"");
    assert_eq!(script(&rig.server(rst(S + 1), b"")), ["remove"]);
    rig.assert_gone();
}

#[test]
fn what_comes_for_an_end_that_is_gone_is_not_delivered_and_not_kept_long() {
    let mut rig = established();
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.client(rst(C + 4), b"");
    rig.server(ack(S + 1, C + 1), b"200");
    let said = script(&rig.server(ack(S + 4, C + 4), b""));
    assert_eq!(said, [">S R. 1004:5004 0"]);
    assert_eq!(rig.pool.in_use(), 0);
    rig.wait(11 * S1);
    rig.assert_gone();
}

#[test]
fn an_end_that_vanishes_is_a_reset_for_the_other() {
    for acknowledge in [Acknowledge::Receipt, Acknowledge::Through] {
        let mut rig = Rig::established(Relay { acknowledge, ..relay(MergeWhen::Never) });
        rig.client(ack(C + 1, S + 1), b"GET");
        let said = script(&rig.wait(400 * S1));
        let resets: Vec<_> = said.iter().filter(|line| line.contains('R')).collect();
        let acknowledged = if acknowledge == Acknowledge::Receipt { C + 4 } else { C + 1 };
        assert_eq!(resets, [&format!(">C R. 5001:{acknowledged} 0")], "{said:?}");
        rig.wait(11 * S1);
        rig.assert_gone();
    }
}

#[test]
fn errors_of_the_network_are_passed_on_and_end_nothing() {
    // Established connections survive "host unreachable" (RFC 1122 section 4.2.3.9, RFC 5461): who decides is the endpoint.
    for (kind, code) in [(3, 0), (3, 1), (3, 13), (11, 0)] {
        let mut rig = established();
        rig.client(ack(C + 1, S + 1), b"GET");
        assert_eq!(script(&rig.icmp(C2S, kind, code, C + 1)), [">C icmp"], "{kind}/{code}");
        let said = script(&rig.server(ack(S + 1, C + 4), b"200"));
        assert!(said.contains(&">C . 5001:1004 3".into()), "{said:?}");
    }
    let mut rig = established();
    assert!(rig.icmp(C2S, 3, 3, C + 999_999).is_empty(), "a guess");
    assert_eq!(rig.count(Counter::DropForgedIcmp), 1);
}
