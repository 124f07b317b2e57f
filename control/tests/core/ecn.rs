//! Explicit congestion notification across the two legs and through a merge (RFC 3168).

use control::module::relay::MergeWhen;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::rig::*;

/// DSCP of the endpoints' frames, in its place in the traffic class.
const DSCP: u8 = 0x28;
const ECT_0: u8 = 2;
const MARKED: u8 = 3;

fn flagged(tcp: TcpRepr, flags: TcpFlags) -> TcpRepr {
    TcpRepr { flags: tcp.flags | flags, ..tcp }
}

/// Both ends have agreed to it.
fn established() -> Rig {
    let mut rig = Rig::new(relay(MergeWhen::FirstResponse));
    rig.class = DSCP;
    rig.offer(flagged(syn(C), TcpFlags::ECE | TcpFlags::CWR));
    rig.server(flagged(syn_ack(S, C + 1), TcpFlags::ECE), b"");
    rig.client(ack(C + 1, S + 1), b"");
    assert!(
        rig.classes.iter().all(|class| *class == DSCP),
        "SYNs and ACKs are not marked: {:?}",
        rig.classes
    );
    rig.classes.clear();
    rig
}

#[test]
fn data_may_be_marked_and_the_echo_of_a_mark_goes_along_with_a_merge() {
    let mut rig = established();
    rig.class = DSCP | MARKED;
    let said = script(&rig.client(ack(C + 1, S + 1), b"GET"));
    assert_eq!(said, [">S . 1001:5001 3"]);
    assert_eq!(rig.classes, [DSCP | ECT_0], "data may be marked");
    rig.class = DSCP;
    let said = script(&rig.server(ack(S + 1, C + 4), b"200"));
    assert!(said.contains(&">C E. 5001:1004 3".into()), "{said:?}");
    rig.classes.clear();
    // The client has nothing more to send, and so nothing to answer with.
    let said = script(&rig.client(ack(C + 4, S + 4), b""));
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
    let said = script(&rig.parked());
    assert!(said.contains(&">C E. 5004:1004 0".into()), "{said:?}");
    assert!(said.contains(&">S . 1004:5004 0".into()), "{said:?}");
    assert!(rig.classes.iter().all(|class| *class == DSCP), "{:?}", rig.classes);
    rig.assert_gone();
}
