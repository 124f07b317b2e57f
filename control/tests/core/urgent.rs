//! Urgent data through the relay (RFC 9293 section 3.8.5).

use control::module::relay::MergeWhen;
use control::module::{Decision, Edit, Module, PartialConnection, Session, Step};
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::rig::*;

/// With its pointer `urgent` bytes behind its first number.
fn urg(seq: u32, urgent: u16) -> TcpRepr {
    TcpRepr { urgent, flags: TcpFlags::URG | TcpFlags::ACK, ..ack(seq, S + 1) }
}

/// Where segments to the server begin, their length, and what number their pointer means.
fn to_server(said: &[Said]) -> Vec<(u32, usize, Option<u32>)> {
    let segments = said.iter().filter_map(|said| match said {
        Said::Tcp(SERVER, tcp, payload) => Some((tcp, payload.len())),
        _ => None,
    });
    segments
        .map(|(tcp, len)| {
            let point = tcp.flags.contains(TcpFlags::URG).then(|| tcp.seq.0 + u32::from(tcp.urgent));
            (tcp.seq.0, len, point)
        })
        .collect()
}

#[test]
fn the_pointer_keeps_its_place() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    let said = rig.client(urg(C + 1, 3), b"abcdef");
    assert_eq!(to_server(&said), [(C + 1, 6, Some(C + 4))]);
    rig.server(ack(S + 1, C + 7), b"");
    let said = rig.client(ack(C + 7, S + 1), b"plain");
    assert_eq!(to_server(&said), [(C + 7, 5, None)]);
}

#[test]
fn a_pointer_beyond_its_segment_and_one_without_data_go_ahead_of_the_bytes() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    assert_eq!(to_server(&rig.client(urg(C + 1, 50), b"")), [(C + 1, 0, Some(C + 51))]);
    let said = rig.client(urg(C + 1, 50), &[7; 20]);
    assert_eq!(to_server(&said), [(C + 1, 20, Some(C + 51))]);
    // The next ones move it on, one by one.
    let said = rig.client(urg(C + 21, 40), &[7; 40]);
    assert_eq!(to_server(&said), [(C + 21, 40, Some(C + 61))]);
    let said = rig.client(urg(C + 61, 1), &[7; 1]);
    assert_eq!(to_server(&said), [(C + 61, 1, Some(C + 62))]);
    rig.server(ack(S + 1, C + 62), b"");
    assert_eq!(to_server(&rig.client(ack(C + 62, S + 1), b"x")), [(C + 62, 1, None)]);
}

/// RFC 9293 section 3.8.5: the receiver learns of it although its window is closed.
#[test]
fn a_closed_window_does_not_hold_up_the_pointer() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.server(TcpRepr { window: 0, ..ack(S + 1, C + 1) }, b"");
    let said = rig.client(urg(C + 1, 2), b"ab");
    assert_eq!(to_server(&said), [(C + 1, 0, Some(C + 3))]);
}

/// Doubles every byte.
struct Stutter;
struct StutterSession;

impl Module for Stutter {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        relay(MergeWhen::Never).offered(partial)
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(StutterSession)
    }
}

impl Session for StutterSession {
    fn data(&mut self, _: Direction, bytes: &[u8]) -> (Edit, Step) {
        (Edit::Replace(bytes.iter().flat_map(|b| [*b; 2]).collect()), Step::Relay)
    }
}

#[test]
fn what_a_module_has_lengthened_before_moves_the_pointer() {
    let mut rig = Rig::established(Stutter);
    assert_eq!(to_server(&rig.client(ack(C + 1, S + 1), b"abc")), [(C + 1, 6, None)]);
    let said = rig.client(urg(C + 4, 1), b"d");
    assert_eq!(to_server(&said), [(C + 7, 2, Some(C + 8))]);
}
