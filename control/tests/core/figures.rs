//! The figures of seed 000 from their first arrow to their last, in the order in which its text tells them.
//!
//! The text calls what stands in the middle a proxy; here it is a control core, and the paths of C (client) and S (server)
//! are what `script` prints: `>C` is sent to the client, `>S` to the server.

use std::time::Duration;

use control::module::relay::{MergeWhen, Relay};
use control::module::{Decision, Isn, ServerAck};
use dataplane::counters::Counter;
use dataplane::flow::far::NextHop;
use dataplane::refusal::Rejection;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::rig::*;

const SECOND: Duration = Duration::from_secs(1);

fn asking(isn: Isn) -> Rig {
    Rig::new(Relay { isn, ..relay(MergeWhen::Never) })
}

/// Without the window that the client is told on the side.
fn to_server(said: &[Said]) -> Vec<String> {
    script(said).into_iter().filter(|line| line.starts_with(">S")).collect()
}

/// Offers the client's SYN; returns the one that the server gets.
fn asked(rig: &mut Rig) -> TcpRepr {
    let said = rig.offer(syn(C));
    let [Said::Tcp(SERVER, asked, payload)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((asked.flags, payload.len()), (TcpFlags::SYN, 0));
    asked.clone()
}

/// The conventional proxy of paragraphs 3 to 5, which `order = "client-first"` still is: SYN, SYN-ACK, ACK and a request from
/// the client, and only then the same with the server.
#[test]
fn conventional() {
    let mut rig = Rig::new(Relay { client_first: Some(3 * SECOND), ..relay(MergeWhen::Never) });
    let said = rig.offer(syn(C));
    let [Said::Participate, Said::Tcp(CLIENT, ours, _)] = &said[..] else { panic!("{said:?}") };
    let ours = ours.seq.0.wrapping_add(1);
    assert!(rig.client(ack(C + 1, ours), b"").is_empty(), "the server has not heard of it");
    let said = rig.client(ack(C + 1, ours), b"GET /");
    let asked = said.iter().find_map(|said| match said {
        Said::Tcp(SERVER, asked, _) => Some(asked.seq.0.wrapping_add(1)),
        _ => None,
    });
    let next = asked.expect("a SYN to the server");
    let said = script(&rig.server(syn_ack(S, next), b""));
    // Its ACK and the request are one segment. The client learns how much more the server takes than it was promised.
    assert_eq!(said, [format!(">C . {ours}:1006 0"), format!(">S . {next}:5001 5")]);
    let said = script(&rig.server(ack(S + 1, next.wrapping_add(5)), b"200"));
    assert!(said.contains(&format!(">C . {ours}:1006 3")), "{said:?}");
}

/// Paragraph 23: the server says nothing, for any of a number of reasons. The client repeats its SYN, so do we, and nobody
/// answers the client, who gives up as it would without us.
#[test]
fn no_response() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let mut rig = asking(isn);
        let first = asked(&mut rig);
        let mut to_server = Vec::new();
        // Linux repeats its SYN after 1, 3, 7, 15, 31 and 63 s.
        for pause in [1, 2, 4, 8, 16, 32] {
            to_server.extend(rig.wait(pause * SECOND));
            assert!(rig.client(syn(C), b"").is_empty(), "absorbed");
        }
        to_server.extend(rig.wait(11 * SECOND));
        assert!(rig.core.suspended() == 1, "held for 74 s");
        let repeated = vec![Said::Tcp(SERVER, first, Vec::new()); 6];
        assert_eq!(to_server, repeated, "ours by RFC 6298, and nothing to the client");
        assert_eq!(rig.count(Counter::SynAbsorbed), 6);
        let said = script(&rig.wait(2 * SECOND));
        assert_eq!(said, ["remove"], "nor at the end");
        rig.assert_gone();
        // A client with more patience is one that begins.
        assert!(script(&rig.offer(syn(C)))[0].starts_with(">S S "));
    }
}

/// Paragraph 25: the server denies the connection by RST, and the client gets one about its own SYN.
#[test]
fn denied() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let mut rig = asking(isn);
        let asked = asked(&mut rig);
        let refusal = tcp(TcpFlags::RST | TcpFlags::ACK, 0, asked.seq.0.wrapping_add(1));
        assert_eq!(script(&rig.server(refusal, b"")), [">C R. 0:1001 0", "remove"]);
        rig.assert_gone();
    }
}

/// Paragraphs 26 and 27: SYN, SYN', SYN-ACK', ACK', SYN-ACK, ACK, then data both ways. As the figure draws it, with
/// `server_ack = "at-once"`; by default ACK' waits for the client's.
#[test]
fn accepted() {
    let acks = [ServerAck::AtOnce, ServerAck::AfterClient];
    for (server_ack, isn) in acks.into_iter().flat_map(|ack| [(ack, Isn::Mirror), (ack, Isn::Keyed)]) {
        let mut rig = Rig::new(Relay { server_ack, isn, ..relay(MergeWhen::Never) });
        let c = asked(&mut rig).seq.0.wrapping_add(1);
        let said = rig.server(syn_ack(S, c), b"");
        let [Said::Participate, Said::Tcp(CLIENT, answer, _), ..] = &said[..] else { panic!("{said:?}") };
        let s = answer.seq.0.wrapping_add(1);
        let acknowledgment = format!(">S . {c}:5001 0");
        let at_once = script(&said).contains(&acknowledgment);
        let said = to_server(&rig.client(ack(C + 1, s), b""));
        assert_eq!(
            (at_once, said),
            match server_ack {
                ServerAck::AtOnce => (true, vec![]),
                ServerAck::AfterClient => (false, vec![acknowledgment]),
            }
        );
        let said = script(&rig.client(ack(C + 1, s), b"request"));
        assert!(said.contains(&format!(">S . {c}:5001 7")), "{said:?}");
        let said = script(&rig.server(ack(S + 1, c.wrapping_add(7)), b"response"));
        assert!(said.contains(&format!(">C . {s}:1008 8")), "{said:?}");
        let said = script(&rig.server(fin(S + 9, c.wrapping_add(7)), b""));
        assert!(said.contains(&format!(">C F. {}:1008 0", s.wrapping_add(8))), "{said:?}");
    }
}

/// Paragraph 28: the first of two passes the SYN on verbatim and forgets it; the second may do with it whatever it could
/// with a client's own.
#[test]
fn forwarded() {
    let hop = NextHop { mac: Some([2, 0, 0, 0, 0, 0x99]), ..NextHop::default() };
    for (second, expected) in [
        (Decision::Bypass, "release Bypassed"),
        (Decision::Drop, "remove"),
        (Decision::Reject(Rejection::Reset), ">C R. 0:1001 0"),
        (Decision::Forward(hop), "divert 10.0.0.1:4000 -> 11.0.0.2:80 by 1"),
    ] {
        for pass_on in [Decision::Forward(hop), Decision::Bypass] {
            let mut first = Rig::deciding(pass_on);
            let sent = first.bytes_of_client(&syn(C));
            let said = script(&first.offer(syn(C)));
            assert_eq!(said.last().map(String::as_str), Some("release Bypassed"));
            assert_eq!(first.released, [sent], "not a byte is another one");
            first.assert_gone();
            let mut rig = Rig::deciding(second);
            assert_eq!(script(&rig.offer(syn(C)))[0], expected);
        }
    }
    // Accepted by the second as if it were alone.
    let mut rig = asking(Isn::Mirror);
    asked(&mut rig);
    let said = script(&rig.server(syn_ack(S, C + 1), b""));
    assert_eq!(said, ["participate", ">C S. 5000:1001 0"]);
}

/// Paragraph 29: a device on the way returns an ICMP error about our SYN, and the client gets one of the same type about its
/// own.
#[test]
fn unreachable() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        // Net, host, port unreachable, and prohibited; TTL exceeded on the way.
        for (kind, code) in [(3, 0), (3, 1), (3, 3), (3, 13), (11, 0)] {
            let mut rig = asking(isn);
            let asked = asked(&mut rig);
            assert_eq!(asked.seq.0 == C, isn == Isn::Mirror);
            assert_eq!(script(&rig.icmp(C2S, kind, code, asked.seq.0)), [">C icmp", "remove"]);
            assert_eq!(rig.errors, [(CLIENT, kind, code, C)], "{isn:?}");
            rig.assert_gone();
        }
    }
}

/// Paragraphs 22 and 31: what can be ordered before any server has been asked. (Accepted: `accepted.rs`.)
#[test]
fn decided_without_the_server() {
    let icmp = Rejection::named("admin-prohibited").unwrap();
    let cases = [
        (Decision::Drop, "remove", 0),
        (Decision::Reject(Rejection::Reset), ">C R. 0:1001 0", 1),
        (Decision::Reject(icmp), ">C icmp", 1),
    ];
    for (decision, expected, remembered) in cases {
        let mut rig = Rig::deciding(decision);
        assert_eq!(script(&rig.offer(syn(C))), [expected]);
        assert_eq!(
            rig.core.suspended(),
            remembered,
            "{decision:?}: the block is held for a timeout period, or not"
        );
        rig.wait(11 * SECOND);
        rig.assert_gone();
    }
}

/// Paragraphs 37 and 38: SYNs of one client for several ports are held together, the server is tried on each, and each port
/// is answered as the server has answered it.
#[test]
fn several_ports() {
    let ports = [445, 139, 80, 8080];
    let mut rig = asking(Isn::Mirror);
    let mut first = Vec::new();
    for port in ports {
        rig.turn_to_server_port(port);
        first.extend(script(&rig.offer(syn(C + u32::from(port)))));
    }
    let expected: Vec<String> =
        ports.iter().map(|port| format!(">S S {}:0 0", C + u32::from(*port))).collect();
    assert_eq!((first, rig.core.suspended()), (expected, 4));
    // The last is answered first, and no answer moves another port.
    rig.turn_to_server_port(8080);
    assert_eq!(script(&rig.icmp(C2S, 3, 13, C + 8080)), [">C icmp", "remove"]);
    rig.turn_to_server_port(139);
    let said = script(&rig.server(syn_ack(S, C + 140), b""));
    assert_eq!(said, ["participate".to_string(), format!(">C S. 5000:{} 0", C + 140)]);
    rig.turn_to_server_port(445);
    let refusal = tcp(TcpFlags::RST | TcpFlags::ACK, 0, C + 446);
    assert_eq!(script(&rig.server(refusal, b"")), [format!(">C R. 0:{} 0", C + 446), "remove".into()]);
    assert_eq!(rig.core.suspended(), 1, "port 80 waits");
    rig.turn_to_server_port(139);
    assert_eq!(to_server(&rig.client(ack(C + 140, S + 1), b"")), [format!(">S . {}:5001 0", C + 140)]);
}
