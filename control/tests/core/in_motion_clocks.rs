//! Timestamps while a flow is merged in motion: what a leg still says below the boundary must not be older than what has passed
//! above, or its receiver drops it (PAWS, RFC 7323 section 5).

use control::core::handover::HandOver;
use control::module::relay::MergeWhen;
use dataplane::flow::object::Path;
use dataplane::port::PortId;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::{SackBlock, Timestamps};

use crate::rig::*;

const SEGMENT: u32 = 1400;
const NEXT: u32 = C + 1 + 14 * SEGMENT;

fn stamped(mut tcp: TcpRepr, value: u32, echo: u32) -> TcpRepr {
    tcp.options.timestamps = Some(Timestamps { value, echo });
    tcp
}

/// The numbers and timestamps of what was said to this port.
fn clocks(said: &[Said], port: PortId) -> Vec<(u32, u32, u32)> {
    let told = said.iter().filter_map(|said| match said {
        Said::Tcp(to, tcp, _) if *to == port => {
            let ts = tcp.options.timestamps.expect("timestamps");
            Some((tcp.seq.0, ts.value, ts.echo))
        }
        _ => None,
    });
    told.collect()
}

/// 14 segments of the client's, whose clock stands at 100, are on their way to the server, whose clock stands at 5000; and as many
/// of the server's, if `both`.
fn leaving(both: bool) -> Rig {
    let mut rig = Rig::new(relay(MergeWhen::AfterBytes(1 << 40)));
    rig.offer(stamped(syn(C), 100, 0));
    rig.server(stamped(syn_ack(S, C + 1), 5000, 100), b"");
    rig.client(stamped(ack(C + 1, S + 1), 100, 5000), b"");
    for n in 0..14 {
        rig.client(stamped(ack(C + 1 + n * SEGMENT, S + 1), 100, 5000), &[b'x'; SEGMENT as usize]);
    }
    for n in (0..14).filter(|_| both) {
        rig.server(stamped(ack(S + 1 + n * SEGMENT, C + 1), 5000, 100), &[b'y'; SEGMENT as usize]);
    }
    let _ = rig.order_hand_over(HandOver::Merge, Path::Participating);
    rig
}

/// The client has not heard that all it has sent is here, and sends some of it again.
fn asks_again(rig: &mut Rig, acknowledged: u32, value: u32) -> Vec<(u32, u32, u32)> {
    let again = stamped(ack(C + 1, acknowledged), value, 5000);
    clocks(&rig.client(again, &[b'x'; SEGMENT as usize]), CLIENT)
}

#[test]
fn what_is_said_below_is_not_older_than_what_has_passed_above() {
    let mut rig = leaving(false);
    let below = C + 1 + SEGMENT;
    for (n, value) in [(0, 5010), (1, 5020), (2, 5030)] {
        rig.server(stamped(ack(S + 1 + 4 * n, below), value, 100), b"word");
    }
    assert_eq!(asks_again(&mut rig, S + 1, 100), [(S + 13, 5030, 100)], "the client has taken 5030");
    // What the client has said above counts for what the server gets again.
    rig.client(stamped(ack(NEXT, S + 13), 130, 5030), b"more");
    let said: Vec<_> = (0..20).flat_map(|_| rig.wait(std::time::Duration::from_millis(200))).collect();
    let said = clocks(&said, SERVER);
    assert!(
        !said.is_empty() && said.iter().all(|(_, value, echo)| (*value, *echo) == (130, 5030)),
        "{said:?}"
    );
}

/// The client may have got what comes later first: it would drop the rest for its age.
#[test]
fn what_comes_ahead_of_a_hole_is_nobodys_clock() {
    let mut rig = leaving(false);
    rig.server(stamped(ack(S + 5, C + 1 + SEGMENT), 5090, 100), b"word");
    assert_eq!(asks_again(&mut rig, S + 1, 100)[0].1, 5000);
    rig.server(stamped(ack(S + 1, C + 1 + SEGMENT), 5010, 100), b"last");
    assert_eq!(asks_again(&mut rig, S + 1, 100)[0].1, 5010);
}

/// The same, whatever follows what is ahead: it does not fill the hole.
#[test]
fn what_follows_what_is_ahead_of_a_hole_is_nobodys_clock_either() {
    let mut rig = leaving(false);
    rig.server(stamped(ack(S + 5, C + 1 + SEGMENT), 5090, 100), b"word");
    rig.server(stamped(ack(S + 9, C + 1 + SEGMENT), 5091, 100), b"more");
    assert_eq!(asks_again(&mut rig, S + 1, 100)[0].1, 5000, "the client has nothing before S + 5");
}

/// An acknowledgment that goes on in a number that its sender has not said carries no clock that belongs to the other one.
#[test]
fn an_acknowledgment_in_another_number_says_the_clock_of_that() {
    let mut rig = leaving(true);
    rig.client(stamped(ack(NEXT, S + 1), 100, 5000), b"lost");
    rig.client(stamped(ack(NEXT + 4, S + 1), 100, 5000), b"here");
    // The server's last four are not sent yet, and what it has sent since was lost before us.
    let mut sacking = stamped(ack(S + 1 + 15 * SEGMENT, C + 1 + SEGMENT), 5090, 100);
    sacking.options.sack.push(SackBlock { left: Seq(NEXT + 4), right: Seq(NEXT + 8) });
    let said = clocks(&rig.server(sacking, b""), CLIENT);
    assert_eq!(said[0], (S + 1 + 10 * SEGMENT, 5000, 100));
}
