//! Delayed acceptance: who hears what, and in which order (DESIGN section 4, seed 000).

use std::time::Duration;

use control::module::relay::{MergeWhen, Relay};
use control::module::{Decision, Isn, ServerAck};
use dataplane::counters::Counter;
use dataplane::refusal::Rejection;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::rig::*;

/// A client's SYN, and the number under which its server hears of it.
fn asked(rig: &mut Rig) -> u32 {
    let said = rig.offer(syn(C));
    let [Said::Tcp(SERVER, asked, _)] = &said[..] else { panic!("{said:?}") };
    asked.seq.0
}

#[test]
fn the_server_answers_first_and_is_acknowledged_last() {
    let mut rig = Rig::new(relay(MergeWhen::FirstResponse));
    assert_eq!(script(&rig.offer(syn(C))), [">S S 1000:0 0"]);
    assert_eq!(script(&rig.server(syn_ack(S, C + 1), b"")), ["participate", ">C S. 5000:1001 0"]);
    assert_eq!(script(&rig.client(ack(C + 1, S + 1), b"")), [">S . 1001:5001 0"]);
}

#[test]
fn at_once_the_server_is_acknowledged_with_its_answer() {
    let mut rig = Rig::new(Relay { server_ack: ServerAck::AtOnce, ..relay(MergeWhen::Never) });
    rig.offer(syn(C));
    let said = script(&rig.server(syn_ack(S, C + 1), b""));
    assert_eq!(said, ["participate", ">C S. 5000:1001 0", ">S . 1001:5001 0"]);
    // A client that is reset now ends the server's connection, also when the server has spoken since.
    assert!(rig.server(ack(S + 1, C + 1), b"220").is_empty());
    assert_eq!(script(&rig.client(rst(C + 1), b"")), [">S R. 1001:5004 0"]);
}

/// The client's ACK, or our SYN-ACK, was lost, and no timer of ours repeats that: what the server repeats does. A server
/// that has only a FIN to repeat is no exception: its client may wait for nothing else.
#[test]
fn whatever_the_server_repeats_asks_for_the_clients_acknowledgment() {
    let greetings = [(fin(S + 1, C + 1), &b""[..]), (fin(S + 1, C + 1), b"bye"), (ack(S + 1, C + 1), b"220")];
    for (segment, payload) in greetings {
        let mut rig = Rig::new(Relay { server_ack: ServerAck::AtOnce, ..relay(MergeWhen::Never) });
        rig.offer(syn(C));
        rig.server(syn_ack(S, C + 1), b"");
        assert!(rig.server(segment.clone(), payload).is_empty(), "the client has been answered");
        let said = script(&rig.server(segment.clone(), payload));
        assert_eq!(said, [">C S. 5000:1001 0"], "{:?} with {payload:?}", segment.flags);
        assert!(rig.server(ack(S + 900, C + 1), b"").is_empty());
        assert!(rig.server(ack(S - 90, C + 1), b"of former times").is_empty(), "nothing of this connection");
        let said = script(&rig.client(ack(C + 1, S + 1), b""));
        assert!(
            said.iter().any(|line| line.starts_with(">S . 1001:")),
            "now the server is acknowledged: {said:?}"
        );
        assert!(said.iter().any(|line| line.starts_with(">C ")), "and the client gets it: {said:?}");
    }
}

#[test]
fn a_server_whose_answer_was_acknowledged_at_once_and_lost_repeats_it_to_both() {
    let mut rig = Rig::new(Relay { server_ack: ServerAck::AtOnce, ..relay(MergeWhen::Never) });
    rig.offer(syn(C));
    rig.server(syn_ack(S, C + 1), b"");
    let said = script(&rig.server(syn_ack(S, C + 1), b""));
    assert_eq!(said, [">C S. 5000:1001 0", ">S . 1001:5001 0"]);
}

#[test]
fn drop_bypass_and_monitor_leave_nothing_behind() {
    for (decision, expected) in [
        (Decision::Drop, "remove"),
        (Decision::Bypass, "release Bypassed"),
        (Decision::Monitor, "release Monitored"),
    ] {
        let mut rig = Rig::deciding(decision);
        assert_eq!(script(&rig.offer(syn(C))), [expected]);
        rig.assert_gone();
    }
}

#[test]
fn a_rejection_refuses_whatever_syn_comes_until_it_is_forgotten() {
    let mut rig = Rig::deciding(Decision::Reject(Rejection::Reset));
    assert_eq!(script(&rig.offer(syn(C))), [">C R. 0:1001 0"]);
    assert_eq!(script(&rig.client(syn(C), b"")), [">C R. 0:1001 0"]);
    assert_eq!(script(&rig.client(syn(C + 700), b"")), [">C R. 0:1701 0"], "another attempt, another number");
    assert!(rig.client(rst(C + 1), b"").is_empty(), "a RST is never answered");
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();
}

#[test]
fn a_rejection_by_icmp_is_repeated_as_often_as_errors_may_be_made() {
    let mut rig = Rig::deciding(Decision::Reject(Rejection::named("host-prohibited").unwrap()));
    assert_eq!(script(&rig.offer(syn(C))), [">C icmp"]);
    assert_eq!(script(&rig.client(syn(C + 700), b"")), [">C icmp"], "another attempt, another number");
    let more = (0..100).filter(|_| !rig.client(syn(C), b"").is_empty()).count();
    assert!(more < 60, "{more} errors at once");
    assert_eq!(rig.count(Counter::DropIcmpLimit), 100 - more as u64);
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();
}

#[test]
fn the_servers_refusal_is_the_clients() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    let refusal = tcp(TcpFlags::RST | TcpFlags::ACK, 0, C + 1);
    assert_eq!(script(&rig.server(refusal, b"")), [">C R. 0:1001 0", "remove"]);
    rig.assert_gone();
}

#[test]
fn with_keyed_numbers_the_refusal_is_about_the_clients_own() {
    let mut rig = Rig::new(Relay { isn: Isn::Keyed, ..relay(MergeWhen::Never) });
    let said = rig.offer(syn(C));
    let [Said::Tcp(SERVER, sent, _)] = &said[..] else { panic!("{said:?}") };
    assert_ne!(sent.seq.0, C);
    let refusal = tcp(TcpFlags::RST | TcpFlags::ACK, 0, sent.seq.0.wrapping_add(1));
    assert_eq!(script(&rig.server(refusal, b"")), [">C R. 0:1001 0", "remove"]);
}

#[test]
fn the_networks_refusal_counts_with_the_number_of_our_syn_only() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    assert!(rig.icmp(C2S, 3, 1, C + 1).is_empty());
    assert!(rig.icmp(S2C, 3, 1, 0).is_empty(), "nothing has gone to the client");
    assert_eq!(rig.count(Counter::DropForgedIcmp), 2);
    assert_eq!(script(&rig.icmp(C2S, 3, 1, C)), [">C icmp", "remove"]);
    rig.assert_gone();
}

/// The client has begun anew while the server was silent, and the server has an answer to its second SYN first.
#[test]
fn a_refusal_of_another_syn_is_passed_on_and_ends_nothing() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let mut rig = Rig::new(Relay { isn, ..relay(MergeWhen::Never) });
        let asked = asked(&mut rig);
        let second = asked.wrapping_add(700);
        assert_eq!(script(&rig.client(syn(C + 700), b"")), [format!(">S S {second}:0 0")]);
        let refusal = |seq: u32| tcp(TcpFlags::RST | TcpFlags::ACK, 0, seq.wrapping_add(1));
        let said = script(&rig.server(refusal(second), b""));
        assert!(said[0].starts_with(">C R. ") && said[0].ends_with(":1701 0"), "{said:?}");
        assert_eq!(script(&rig.server(refusal(asked), b"")), [">C R. 0:1001 0", "remove"]);
        rig.assert_gone();
    }
}

/// Redirect and "fragmentation needed" are for the client to heed; the server may well have got the SYN.
#[test]
fn an_error_that_refuses_nothing_is_passed_on_and_ends_nothing() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    for (kind, code) in [(5, 1), (3, 4)] {
        assert_eq!(script(&rig.icmp(C2S, kind, code, C)), [">C icmp"], "{kind}/{code}");
    }
    assert_eq!(script(&rig.server(syn_ack(S, C + 1), b"")), ["participate", ">C S. 5000:1001 0"]);
}

#[test]
fn silence_is_answered_with_silence() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    let said = script(&rig.wait(Duration::from_secs(80)));
    assert_eq!(said.last().map(String::as_str), Some("remove"));
    assert!(said[..said.len() - 1].iter().all(|line| line == ">S S 1000:0 0"), "{said:?}");
    rig.assert_gone();
}

#[test]
fn a_client_that_is_held_may_give_up_with_the_right_number() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    assert_eq!(script(&rig.client(rst(C), b"")), [">S R 1000:0 0"], "between the ends");
    assert_eq!(script(&rig.client(rst(C + 1), b"")), [">S R 1001:0 0", "remove"]);
    rig.assert_gone();
}

/// A server that still has the last connection on this quad (RFC 9293 section 3.5, figure 9).
#[test]
fn a_server_that_answers_with_a_bare_ack_is_reset_and_then_accepts() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let mut rig = Rig::new(Relay { isn, ..relay(MergeWhen::Never) });
        let ours = asked(&mut rig);
        let next = ours.wrapping_add(1);
        let said = rig.server(ack(77, next.wrapping_add(70_000)), b"");
        let [Said::Tcp(CLIENT, old, _)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((old.ack.0, old.flags), (C + 1 + 70_000, TcpFlags::ACK), "as far from the SYN as it was");
        let said = script(&rig.client(tcp(TcpFlags::RST, old.ack.0, 0), b""));
        assert_eq!(said, [format!(">S R {}:0 0", next.wrapping_add(70_000))]);
        assert_eq!(script(&rig.wait(Duration::from_secs(1))), [format!(">S S {ours}:0 0")]);
        let said = script(&rig.server(syn_ack(S, next), b""));
        assert!(said[1].starts_with(">C S. ") && said[1].ends_with(":1001 0"), "{said:?}");
    }
}

/// A late RST of the connection before makes the server, which has just answered, say where it is (RFC 5961 section 4.2).
/// That is no reason to end what it has answered.
#[test]
fn a_server_that_says_again_what_it_expects_is_not_reset() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let mut rig = Rig::new(Relay { isn, ..relay(MergeWhen::Never) });
        let next = asked(&mut rig).wrapping_add(1);
        let said = rig.server(syn_ack(S, next), b"");
        let [_, Said::Tcp(CLIENT, answer, _)] = &said[..] else { panic!("{said:?}") };
        let greets = answer.seq.0.wrapping_add(1);
        assert_eq!(script(&rig.server(ack(S + 1, next), b"")), [format!(">C . {greets}:1001 0")]);
        let said = script(&rig.client(ack(C + 1, greets), b""));
        assert!(said.contains(&format!(">S . {next}:5001 0")), "{said:?}");
    }
}

/// A client that has to tell its connections on a quad apart does it by their numbers, and a server by what becomes of them.
#[test]
fn the_next_connection_of_a_quad_is_as_far_beyond_the_last_as_its_client_wanted() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let mut rig = Rig::new(Relay { isn, ..relay(MergeWhen::Never) });
        let first = asked(&mut rig);
        rig.server(tcp(TcpFlags::RST | TcpFlags::ACK, 0, first.wrapping_add(1)), b"");
        rig.assert_gone();
        let said = rig.offer(syn(C + 9091));
        let [Said::Tcp(SERVER, second, _)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(second.seq.0.wrapping_sub(first), 9091);
    }
}

#[test]
fn a_server_that_takes_its_answer_back_resets_the_client() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    rig.server(syn_ack(S, C + 1), b"");
    assert_eq!(script(&rig.server(rst(S + 1), b"")), [">C R. 5001:1001 0"]);
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();
}

#[test]
fn a_client_that_never_acknowledges_is_given_up_and_hears_nothing() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    rig.server(syn_ack(S, C + 1), b"");
    rig.wait(Duration::from_secs(40));
    // A server that goes on repeating its SYN-ACK does not keep the flow alive.
    assert_eq!(script(&rig.server(syn_ack(S, C + 1), b"")), [">C S. 5000:1001 0"]);
    assert_eq!(script(&rig.wait(Duration::from_secs(36))), [">S R. 1001:5001 0", "remove"]);
    assert_eq!(rig.count(Counter::HandshakesAbandoned), 1);
    rig.assert_gone();
}

/// RFC 9293 section 3.5, figure 7, with us in between: the server's SYN meets ours.
#[test]
fn both_ends_that_open_at_once_get_their_connection() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let mut rig = Rig::new(Relay { isn, ..relay(MergeWhen::Never) });
        let said = rig.offer(syn(C));
        let [Said::Tcp(SERVER, ours, _)] = &said[..] else { panic!("{said:?}") };
        let next = ours.seq.0.wrapping_add(1);
        assert!(rig.server(syn(S), b"").is_empty(), "the client has not to know");
        assert_eq!(rig.count(Counter::SynCrossed), 1);
        // Our SYN has put the server into SYN-RECEIVED.
        let said = rig.server(syn_ack(S, next), b"");
        let [_, Said::Tcp(CLIENT, answer, _)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((answer.ack.0, answer.flags), (C + 1, TcpFlags::SYN | TcpFlags::ACK));
        let said = script(&rig.client(ack(C + 1, answer.seq.0.wrapping_add(1)), b""));
        assert!(said.contains(&format!(">S . {next}:5001 0")), "{said:?}");
        let said = script(&rig.server(ack(S + 1, next), b"hello"));
        assert!(said[0].starts_with(">C ."), "{said:?}");
    }
}

/// The server's SYN came before there was anything to hold it, so that the client answers it.
#[test]
fn a_client_that_answers_the_servers_syn_is_as_good_as_one_that_acknowledges() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    assert!(rig.client(syn_ack(C, S + 1), b"").is_empty(), "nobody has been answered yet");
    rig.server(syn_ack(S, C + 1), b"");
    let said = script(&rig.client(syn_ack(C, S + 1), b""));
    assert_eq!(said, [">C . 5001:1001 0", ">S . 1001:5001 0"]);
}

#[test]
fn a_client_that_begins_anew_learns_what_the_server_expects() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    rig.server(syn_ack(S, C + 1), b"");
    assert_eq!(script(&rig.client(syn(C + 700), b"")), [">S S 1700:0 0"]);
    assert_eq!(script(&rig.server(ack(S + 1, C + 1), b"")), [">C . 5001:1001 0"]);
    assert_eq!(script(&rig.client(rst(C + 1), b"")), [">S R. 1001:5001 0"]);
}
