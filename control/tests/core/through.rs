//! Acknowledge-through (seed 002, claim 20): the sender hears what the receiver has said.

use std::time::Duration;

use control::connection::Phase;
use control::module::relay::{MergeWhen, Relay};
use control::module::{Acknowledge, Decision, Edit, Isn, Module, PartialConnection, Proxying, Session, Step};
use dataplane::counters::Counter;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::wire::seq::Seq;

use crate::rig::*;

const PROXYING: Proxying = Proxying {
    server_ack: control::module::ServerAck::AfterClient,
    isn: Isn::Mirror,
    acknowledge: Acknowledge::Through,
    never_merges: true,
    order: control::module::Order::ServerFirst,
    consult: None,
};

fn through(merge: MergeWhen) -> Relay {
    Relay { acknowledge: Acknowledge::Through, ..relay(merge) }
}

#[test]
fn a_byte_is_acknowledged_when_its_receiver_has_acknowledged_it() {
    let mut rig = Rig::established(through(MergeWhen::Never));
    assert_eq!(script(&rig.client(ack(C + 1, S + 1), b"request")), [">S . 1001:5001 7"]);
    assert!(rig.wait(Duration::from_millis(190)).is_empty(), "no delayed acknowledgment either");
    assert_eq!(script(&rig.server(ack(S + 1, C + 5), b"")), [">C . 5001:1005 0"]);
    // The rest comes with the answer, and the answer's own acknowledgment waits for the client.
    assert_eq!(script(&rig.server(ack(S + 1, C + 8), b"reply")), [">C . 5001:1008 5"]);
    assert_eq!(script(&rig.client(ack(C + 8, S + 6), b"")), [">S . 1008:5006 0"]);
}

#[test]
fn what_the_receiver_loses_the_sender_does_not_hear_of() {
    let mut rig = Rig::established(through(MergeWhen::Never));
    rig.client(ack(C + 1, S + 1), b"request");
    let said = script(&rig.wait(Duration::from_secs(2)));
    assert!(!said.is_empty() && said.iter().all(|line| line == ">S . 1001:5001 7"), "{said:?}");
}

#[test]
fn a_fin_is_acknowledged_when_the_receiver_has_acknowledged_it() {
    let mut rig = Rig::established(through(MergeWhen::Never));
    assert_eq!(script(&rig.client(fin(C + 1, S + 1), b"bye")), [">S F. 1001:5001 3"]);
    assert_eq!(script(&rig.server(ack(S + 1, C + 4), b"")), [">C . 5001:1004 0"], "the bytes alone");
    assert_eq!(script(&rig.server(ack(S + 1, C + 5), b"")), [">C . 5001:1005 0"]);
    assert_eq!(script(&rig.server(fin(S + 1, C + 5), b"")), [">C F. 5001:1005 0"]);
    assert_eq!(script(&rig.client(ack(C + 5, S + 2), b"")), [">S . 1005:5002 0"]);
    rig.wait(Duration::from_secs(11));
    rig.assert_gone();
}

#[test]
fn both_may_close_at_once() {
    let mut rig = Rig::established(through(MergeWhen::Never));
    rig.client(fin(C + 1, S + 1), b"");
    assert_eq!(script(&rig.server(fin(S + 1, C + 1), b"")), [">C F. 5001:1001 0"]);
    assert_eq!(script(&rig.client(ack(C + 2, S + 2), b"")), [">S . 1002:5002 0"]);
    assert_eq!(script(&rig.server(ack(S + 2, C + 2), b"")), [">C . 5002:1002 0"]);
    rig.wait(Duration::from_secs(11));
    rig.assert_gone();
}

/// Says "HELLO" for every "hi", and nothing for anything else.
struct Shouting;

impl Module for Shouting {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(PROXYING)
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(Shouting)
    }
}

impl Session for Shouting {
    fn data(&mut self, _: Direction, bytes: &[u8]) -> (Edit, Step) {
        match bytes {
            b"hi" => (Edit::Replace(b"HELLO".to_vec()), Step::Relay),
            b"." => (Edit::Replace(Vec::new()), Step::Relay),
            _ => (Edit::Pass, Step::Relay),
        }
    }
}

#[test]
fn what_a_module_has_edited_is_acknowledged_when_all_of_it_has_arrived() {
    let mut rig = Rig::established(Shouting);
    assert_eq!(script(&rig.client(ack(C + 1, S + 1), b"hi")), [">S . 1001:5001 5"]);
    assert!(rig.server(ack(S + 1, C + 5), b"").is_empty(), "four bytes of HELLO are not a byte of hi");
    assert_eq!(script(&rig.client(ack(C + 3, S + 1), b"abc")), [">S . 1006:5001 3"]);
    assert_eq!(
        script(&rig.server(ack(S + 1, C + 8), b"")),
        [">C . 5001:1005 0"],
        "hi, and two bytes after it"
    );
    // What is swallowed goes with what came before it.
    assert_eq!(script(&rig.client(ack(C + 6, S + 1), b".")), Vec::<String>::new());
    assert_eq!(script(&rig.server(ack(S + 1, C + 9), b"")), [">C . 5001:1007 0"]);
}

#[test]
fn a_merge_has_nothing_to_drain() {
    let mut rig = Rig::established(through(MergeWhen::FirstResponse));
    rig.client(ack(C + 1, S + 1), b"GET");
    // Nobody has acknowledged the response, and only half of the request: both go on end to end.
    let said = script(&rig.server(ack(S + 1, C + 2), b"200"));
    assert_eq!(said, [">C . 5001:1002 3", "park"]);
    assert_eq!(rig.now.as_nanos(), 0, "at once");
    let said = rig.parked();
    assert_eq!(script(&said)[..3], ["install 0 0", ">C . 5004:1002 0", ">S . 1004:5001 0"]);
    let Said::Install(_, _, track) = said[0] else { unreachable!() };
    assert_eq!((track[0].end, track[0].ack), (Seq(C + 4), Seq(S + 1)));
    assert_eq!((track[1].end, track[1].ack), (Seq(S + 4), Seq(C + 2)));
    let windows: Vec<_> = said.iter().filter_map(right_edge).collect();
    // Each end gets the edge that the other has given: 500 << 7 bytes from its acknowledgment on.
    assert_eq!(windows, [Seq(C + 2).advance(500 << SHIFT), Seq(S + 1).advance(500 << SHIFT)]);
    rig.assert_gone();
}

fn right_edge(said: &Said) -> Option<Seq> {
    match said {
        Said::Tcp(_, tcp, _) => Some(tcp.ack.advance(u32::from(tcp.window) << SHIFT)),
        _ => None,
    }
}

#[test]
fn the_same_merge_has_to_wait_when_it_acknowledges_on_receipt() {
    let mut rig = Rig::established(relay(MergeWhen::FirstResponse));
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.server(ack(S + 1, C + 2), b"200");
    assert!(matches!(rig.core.connections().next().map(|c| c.phase()), Some(Phase::Draining { .. })));
    rig.wait(Duration::from_millis(160));
    assert_eq!(rig.count(Counter::MergesUndone), 1);
}

#[test]
fn a_merge_waits_for_what_has_not_been_sent() {
    let mut rig = Rig::new(through(MergeWhen::FirstResponse));
    rig.establish();
    // Ten segments are what a young congestion window lets out (RFC 6928); the client has fifteen.
    for n in 0..15 {
        rig.client(ack(C + 1 + n * 1460, S + 1), &[0; 1460]);
    }
    let said = script(&rig.server(ack(S + 1, C + 1), b"200"));
    assert!(!said.contains(&"park".into()), "{said:?}");
    let said = script(&rig.server(ack(S + 4, C + 1 + 10 * 1460), b""));
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
}

/// The client may still send what it was promised before its bytes became more: the server has room for that when it has
/// taken those.
#[test]
fn a_merge_waits_for_what_was_edited() {
    let mut rig = Rig::established(MergingShouter);
    rig.client(ack(C + 1, S + 1), b"hi");
    assert_eq!(rig.core.connections().next().map(|c| c.phase()), Some(Phase::Relaying));
    let said = script(&rig.server(ack(S + 1, C + 6), b""));
    assert_eq!(said, [">C . 5001:1003 0", "park"]);
    assert_eq!(script(&rig.parked())[0], "install 3 0");
}

struct MergingShouter;

impl Module for MergingShouter {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying { never_merges: false, ..PROXYING })
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(MergingShouter)
    }
}

impl Session for MergingShouter {
    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        (Shouting.data(direction, bytes).0, Step::Merge)
    }
}

#[test]
fn memory_does_not_grow_beyond_the_window_while_the_receiver_says_nothing() {
    let mut rig = Rig::established(through(MergeWhen::Never));
    for n in 0..200 {
        rig.client(ack(C + 1 + n * 1000, S + 1), &[0; 1000]);
    }
    assert!(rig.core.load().bytes <= 65_536, "{:?}", rig.core.load());
}
