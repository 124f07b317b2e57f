//! Modules that think, that want to know what the server says, and that decide otherwise (seed 000).

use std::time::Duration;

use control::core::context::Settings;
use control::module::{Consult, Decision, History, Isn, Order, Outcome, Proxying, Target};
use control::suspended::{Limits, WhenFull};
use dataplane::counters::Counter;
use dataplane::refusal::Rejection;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::puppet::Puppet;
use crate::rig::*;

const PATIENCE: Duration = Duration::from_secs(5);
const LATER: Decision = Decision::Later(PATIENCE);

fn proxy() -> Decision {
    Decision::Proxy(Proxying::default())
}

fn consulting(isn: Isn) -> Decision {
    Decision::Proxy(Proxying { consult: Some(Consult::within(PATIENCE)), isn, ..Proxying::default() })
}

fn refused() -> dataplane::wire::tcp::TcpRepr {
    tcp(TcpFlags::RST | TcpFlags::ACK, 0, C + 1)
}

#[test]
fn nobody_hears_anything_while_the_module_thinks() {
    let (notes, puppet) = Puppet::new(LATER);
    let mut rig = Rig::new(puppet);
    assert!(rig.offer(syn(C)).is_empty());
    assert!(rig.client(syn(C), b"").is_empty(), "a repeated SYN is absorbed");
    assert_eq!(rig.count(Counter::SynAbsorbed), 1);
    assert!(rig.icmp(C2S, 3, 1, C).is_empty());
    assert_eq!(rig.count(Counter::DropForgedIcmp), 1, "nobody has been asked");
    notes.decide(proxy());
    assert_eq!(script(&rig.wait(Duration::from_millis(1))), [">S S 1000:0 0"]);
    let said = script(&rig.server(syn_ack(S, C + 1), b""));
    assert_eq!(said, ["participate", ">C S. 5000:1001 0"]);
    assert_eq!(notes.told(), ["offered", "gone Settled"]);
}

#[test]
fn every_decision_can_come_late() {
    for (decision, expected) in [
        (Decision::Drop, vec!["remove"]),
        (Decision::Reject(Rejection::Reset), vec![">C R. 0:1001 0"]),
        (Decision::Bypass, vec!["release Bypassed"]),
        (Decision::Monitor, vec!["release Monitored"]),
        (proxy(), vec![">S S 1000:0 0"]),
    ] {
        let (notes, puppet) = Puppet::new(LATER);
        let mut rig = Rig::new(puppet);
        rig.offer(syn(C));
        notes.decide(decision);
        assert_eq!(script(&rig.wait(Duration::from_millis(1))), expected);
        assert!(rig.core.suspended() == 0 || !matches!(decision, Decision::Drop));
    }
}

#[test]
fn who_thinks_too_long_is_asked_once_more_and_must_decide_then() {
    for (overdue, expected) in [(proxy(), ">S S 1000:0 0"), (LATER, "remove")] {
        let (notes, puppet) = Puppet::new(LATER);
        let mut rig = Rig::new(Puppet { overdue, ..puppet });
        rig.offer(syn(C));
        assert!(rig.wait(PATIENCE - Duration::from_millis(2)).is_empty());
        assert_eq!(script(&rig.wait(Duration::from_millis(3)))[0], expected);
        assert_eq!(notes.told()[..2], ["offered", "overdue"]);
    }
}

#[test]
fn a_decision_about_what_is_gone_changes_nothing() {
    let (notes, puppet) = Puppet::new(LATER);
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    assert_eq!(script(&rig.client(rst(C + 1), b"")), ["remove"], "the server has never heard of it");
    notes.decide(proxy());
    assert!(rig.wait(Duration::from_millis(5)).is_empty());
    assert_eq!(rig.count(Counter::DecisionsLate), 1);
    assert_eq!(notes.told(), ["offered", "gone Client"]);
    rig.assert_gone();
}

#[test]
fn a_client_that_begins_anew_takes_the_place_of_its_own_syn() {
    let (notes, puppet) = Puppet::new(LATER);
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    assert!(rig.client(syn(C + 500), b"").is_empty());
    assert_eq!(
        (notes.told(), rig.core.suspended()),
        (vec!["offered".into(), "gone Renewed".into(), "offered".into()], 1)
    );
    notes.decide(proxy());
    assert_eq!(script(&rig.wait(Duration::from_millis(1))), [">S S 1500:0 0"]);
    // The server has heard of this one: a third is between the ends.
    assert_eq!(script(&rig.client(syn(C + 900), b"")), [">S S 1900:0 0"]);
}

/// The held SYN was lost, or the server has forgotten it: it has half a connection that nobody decided about.
#[test]
fn a_server_that_takes_the_syn_that_was_passed_on_lets_the_client_be_offered_anew() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let (notes, puppet) = Puppet::new(consulting(isn));
        let mut rig = Rig::new(puppet);
        rig.offer(syn(C));
        let said = rig.client(syn(C + 500), b"");
        let [Said::Tcp(SERVER, passed, _)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(passed.seq.0 == C + 500, isn == Isn::Mirror);
        let next = passed.seq.0.wrapping_add(1);
        // Any other number is an answer to a SYN of former times, and changes nothing.
        let former = next.wrapping_add(7);
        assert_eq!(script(&rig.server(syn_ack(S, former), b"")), [format!(">S R {former}:0 0")]);
        let said = script(&rig.server(syn_ack(S, next), b""));
        assert_eq!(said, [format!(">S R {next}:0 0"), "remove".into()]);
        assert_eq!(notes.told(), ["offered", "gone Renewed"]);
        rig.assert_gone();
        let said = rig.offer(syn(C + 500));
        let [Said::Tcp(SERVER, asked, _)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(asked.seq, passed.seq);
    }
}

#[test]
fn a_module_that_asks_sees_the_answer_before_the_client_does() {
    let (notes, puppet) = Puppet::new(consulting(Isn::Mirror));
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    let said = script(&rig.server(syn_ack(S, C + 1), b""));
    assert_eq!(said, ["participate", ">C S. 5000:1001 0"]);
    assert_eq!(notes.told(), ["offered", "Accepted Some(1460)", "gone Settled"]);

    let (notes, puppet) = Puppet::new(consulting(Isn::Mirror));
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    assert_eq!(script(&rig.server(refused(), b"")), [">C R. 0:1001 0", "remove"]);
    assert_eq!(notes.told(), ["offered", "Refused None", "gone Settled"]);

    let (notes, puppet) = Puppet::new(consulting(Isn::Mirror));
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    assert_eq!(script(&rig.icmp(C2S, 3, 13, C)), [">C icmp", "remove"]);
    assert_eq!(notes.told(), ["offered", "Unreachable { kind: 3, code: 13 } None", "gone Settled"]);
}

#[test]
fn silence_is_an_answer_after_as_long_as_the_module_says() {
    let (notes, puppet) = Puppet::new(consulting(Isn::Mirror));
    let mut rig = Rig::new(Puppet { answered: Decision::Reject(Rejection::Reset), ..puppet });
    rig.offer(syn(C));
    let said = script(&rig.wait(PATIENCE + Duration::from_millis(2)));
    assert_eq!(said, [">S S 1000:0 0", ">S S 1000:0 0", ">S R 1001:0 0", ">C R. 0:1001 0"]);
    assert_eq!(notes.told(), ["offered", "Silent None", "gone Settled"]);

    // Who wants to go on goes on asking, as often as without the module: after 1, 3, 7, 15, 31 and 63 s.
    let (notes, puppet) = Puppet::new(consulting(Isn::Mirror));
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    let said = script(&rig.wait(Duration::from_secs(80)));
    assert_eq!(said.last().map(String::as_str), Some("remove"));
    assert_eq!(said.iter().filter(|line| line.starts_with(">S S")).count(), 6, "{said:?}");
    assert_eq!(notes.told(), ["offered", "Silent None", "gone Overdue"]);
}

#[test]
fn what_the_server_said_can_be_answered_otherwise_and_the_server_forgets_it() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        for (answered, expected) in
            [(Decision::Drop, vec!["remove"]), (Decision::Reject(Rejection::Reset), vec![">C R. 0:1001 0"])]
        {
            let (notes, puppet) = Puppet::new(consulting(isn));
            let mut rig = Rig::new(Puppet { answered, ..puppet });
            let said = rig.offer(syn(C));
            let [Said::Tcp(SERVER, asked, _)] = &said[..] else { panic!("{said:?}") };
            let next = asked.seq.0.wrapping_add(1);
            let said = script(&rig.server(syn_ack(S, next), b""));
            assert_eq!(said[0], format!(">S R {next}:0 0"));
            assert_eq!(said[1..], expected);
            assert_eq!(notes.told(), ["offered", "Accepted Some(1460)", "gone Settled"]);
        }
    }
}

/// The server repeats its SYN-ACK before our RST has reached it, and by then it is asked anew: taken for the answer to that, it
/// would be a connection that the server has forgotten.
#[test]
fn an_answer_to_a_syn_that_was_taken_back_is_none_to_the_next_one() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        let (notes, puppet) = Puppet::new(consulting(isn));
        let client_first = Proxying { order: Order::ClientFirst, isn, ..Proxying::default() };
        let mut rig = Rig::new(Puppet { answered: LATER, ..puppet });
        let said = rig.offer(syn(C));
        let [Said::Tcp(SERVER, first, _)] = &said[..] else { panic!("{said:?}") };
        let before = first.seq.0.wrapping_add(1);
        assert!(rig.server(syn_ack(S, before), b"").is_empty());
        notes.decide(Decision::Proxy(client_first));
        let said = rig.wait(Duration::from_millis(1));
        assert!(script(&said).contains(&format!(">S R {before}:0 0")), "{said:?}");
        let ours = said.iter().find_map(|said| match said {
            Said::Tcp(CLIENT, greeting, _) => Some(greeting.seq.0.wrapping_add(1)),
            _ => None,
        });
        let said = rig.client(ack(C + 1, ours.expect("a SYN-ACK")), b"hello");
        let asked = said.iter().find_map(|said| match said {
            Said::Tcp(SERVER, asked, _) => Some(asked.seq.0.wrapping_add(1)),
            _ => None,
        });
        let asked = asked.expect("a SYN to the server");
        assert_eq!(script(&rig.server(syn_ack(S, before), b"")), [format!(">S R {before}:0 0")]);
        let said = script(&rig.server(syn_ack(S + 7_000, asked), b""));
        assert!(said.contains(&format!(">S . {asked}:{} 5", S + 7_001)), "{said:?}");
    }
}

#[test]
fn what_a_module_thinks_about_is_kept_and_the_server_hears_nothing_more() {
    for isn in [Isn::Mirror, Isn::Keyed] {
        for decision in [proxy(), Decision::Drop, Decision::Reject(Rejection::Reset), Decision::Bypass] {
            let (notes, puppet) = Puppet::new(consulting(isn));
            let mut rig = Rig::new(Puppet { answered: LATER, ..puppet });
            let said = rig.offer(syn(C));
            let [Said::Tcp(SERVER, asked, _)] = &said[..] else { panic!("{said:?}") };
            let next = asked.seq.0.wrapping_add(1);
            assert!(rig.server(syn_ack(S, next), b"").is_empty());
            assert_eq!(rig.core.load().held, 1);
            assert!(rig.server(syn_ack(S, next), b"").is_empty(), "the server repeats itself");
            notes.decide(decision);
            let said = script(&rig.wait(Duration::from_millis(1)));
            if decision == proxy() {
                assert!(said[0] == "participate" && said[1].starts_with(">C S."), "{said:?}");
                assert_eq!(said.len(), 2, "{said:?}");
            }
            assert_eq!(rig.core.load().held, 0);
            assert_eq!(notes.told(), ["offered", "Accepted Some(1460)", "gone Settled"]);
        }
        for (refusal, expected) in [(true, ">C R. 0:1001 0"), (false, ">C icmp")] {
            let (notes, puppet) = Puppet::new(consulting(isn));
            let mut rig = Rig::new(Puppet { answered: LATER, ..puppet });
            let said = rig.offer(syn(C));
            let [Said::Tcp(SERVER, asked, _)] = &said[..] else { panic!("{said:?}") };
            let asked = asked.seq.0;
            let said = match refusal {
                true => rig.server(tcp(TcpFlags::RST | TcpFlags::ACK, 0, asked.wrapping_add(1)), b""),
                false => rig.icmp(C2S, 3, 13, asked),
            };
            assert!(said.is_empty(), "{said:?}");
            notes.decide(proxy());
            assert_eq!(script(&rig.wait(Duration::from_millis(1))), [expected, "remove"]);
            assert_eq!(notes.told().last().map(String::as_str), Some("gone Settled"));
            rig.assert_gone();
        }
    }
}

#[test]
fn what_is_kept_goes_with_the_client() {
    let (_, puppet) = Puppet::new(consulting(Isn::Mirror));
    let mut rig = Rig::new(Puppet { answered: LATER, ..puppet });
    rig.offer(syn(C));
    rig.server(syn_ack(S, C + 1), b"");
    assert_eq!(script(&rig.client(rst(C + 1), b"")), [">S R 1001:0 0", "remove"]);
    rig.assert_gone();
}

/// The answer has come after 100 ms, and was thought about for 4 s: the round trip was 100 ms.
#[test]
fn time_to_think_is_no_round_trip() {
    let (notes, puppet) = Puppet::new(consulting(Isn::Mirror));
    let mut rig = Rig::new(Puppet { answered: LATER, ..puppet });
    rig.offer(syn(C));
    rig.wait(Duration::from_millis(100));
    rig.server(syn_ack(S, C + 1), b"");
    rig.wait(Duration::from_secs(4));
    notes.decide(proxy());
    rig.wait(Duration::from_millis(1));
    rig.client(ack(C + 1, S + 1), b"");
    rig.client(ack(C + 1, S + 1), b"hello");
    // RFC 6298 (2.2): R + 4 R / 2, and the minimum of 200 ms is less.
    let said = script(&rig.wait(Duration::from_millis(350)));
    assert_eq!(said, [">C . 5001:1006 0", ">S . 1001:5001 5"], "repeated after 300 ms");
}

#[test]
fn who_thinks_about_an_answer_that_could_not_be_kept_has_it_repeated() {
    let (notes, puppet) = Puppet::new(consulting(Isn::Keyed));
    let none = control::core::context::Settings { held: 0, ..settings() };
    let mut rig = Rig::with(Puppet { answered: LATER, ..puppet }, none);
    let said = rig.offer(syn(C));
    let [Said::Tcp(SERVER, asked, _)] = &said[..] else { panic!("{said:?}") };
    let next = asked.seq.0.wrapping_add(1);
    assert!(rig.server(syn_ack(S, next), b"").is_empty());
    assert!(rig.server(syn_ack(S, next), b"").is_empty(), "the server repeats itself");
    notes.decide(proxy());
    let again = rig.wait(Duration::from_millis(1));
    let [Said::Tcp(SERVER, repeated, _)] = &again[..] else { panic!("{again:?}") };
    assert_eq!(repeated, asked, "the same number: the server repeats its answer");
    let said = script(&rig.server(syn_ack(S, next), b""));
    assert_eq!(said[0], "participate");
    assert_eq!(notes.told(), ["offered", "Accepted Some(1460)", "gone Settled"]);
}

#[test]
fn a_server_that_was_asked_answers_the_syn_as_it_came() {
    for (isn, resets) in [(Isn::Mirror, false), (Isn::Keyed, true)] {
        let (notes, puppet) = Puppet::new(consulting(isn));
        let mut rig = Rig::new(puppet);
        rig.offer(syn(C));
        notes.decide(Decision::Bypass);
        let said = script(&rig.wait(Duration::from_millis(1)));
        assert_eq!(said.iter().any(|line| line.starts_with(">S R")), resets, "{said:?}");
        assert_eq!(said.last().map(String::as_str), Some("release Bypassed"));
        assert_eq!(notes.told(), ["offered", "gone Settled"]);
        rig.assert_gone();
    }
}

/// However old the SYN is: the module has its say, the server hears that nobody will answer it, and it is counted.
#[test]
fn who_thinks_for_as_long_as_a_syn_is_held_is_asked_all_the_same() {
    let for_ever = Decision::Later(Duration::from_secs(3600));
    let held = Duration::from_secs(76);
    for (overdue, expected, counter) in [
        (Decision::Drop, vec![">S R 1001:0 0", "remove"], Counter::DropModule),
        (Decision::Reject(Rejection::Reset), vec![">S R 1001:0 0", ">C R. 0:1001 0"], Counter::SynAbsorbed),
        // The answer was kept.
        (proxy(), vec!["participate", ">C S. 5000:1001 0"], Counter::SynAbsorbed),
    ] {
        let (notes, puppet) = Puppet::new(consulting(Isn::Mirror));
        let mut rig = Rig::new(Puppet { answered: for_ever, overdue, ..puppet });
        rig.offer(syn(C));
        assert!(rig.server(syn_ack(S, C + 1), b"").is_empty());
        rig.client(syn(C), b"");
        let said = script(&rig.wait(held));
        assert_eq!(said[..2], expected);
        assert_eq!(notes.told()[..3], ["offered", "Accepted Some(1460)", "overdue"]);
        assert_eq!((rig.count(counter), rig.count(Counter::SuspendedExpired)), (1, 0));
    }

    // No server could answer in time.
    let (notes, puppet) = Puppet::new(for_ever);
    let mut rig = Rig::new(Puppet { overdue: proxy(), ..puppet });
    rig.offer(syn(C));
    assert_eq!(script(&rig.wait(held)), ["remove"]);
    assert_eq!(notes.told(), ["offered", "overdue", "gone Overdue"]);
    assert_eq!(rig.count(Counter::SuspendedExpired), 1);

    // None did.
    let (_, puppet) = Puppet::new(proxy());
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    rig.wait(held);
    assert_eq!(rig.count(Counter::SuspendedExpired), 1);
}

/// Before its worker has answered, and when the other server has been asked: who is not meant any more hears so, and the
/// flow is as if nobody else had ever been meant.
#[test]
fn a_decision_that_changes_takes_the_other_server_back() {
    let target = Target { server: Some("12.0.0.9:8080".parse().unwrap()), ..Target::default() };
    let consult = Some(Consult::within(PATIENCE));
    let client_first = Proxying { order: Order::ClientFirst, ..Proxying::default() };
    for (decision, expected) in [
        (Decision::Bypass, vec!["release Bypassed"]),
        (Decision::Monitor, vec!["release Monitored"]),
        (Decision::Reject(Rejection::Reset), vec![">C R. 0:1001 0"]),
        (Decision::Proxy(client_first), vec!["participate", ">C S."]),
    ] {
        for is_asked in [false, true] {
            let proxying = Proxying { consult, ..Proxying::default() };
            let (notes, puppet) = Puppet::new(Decision::ProxyTo(proxying, target));
            let mut rig = Rig::new(Puppet { answered: LATER, ..puppet });
            assert_eq!(script(&rig.offer(syn(C))), ["far 10.0.0.1:4000 -> 12.0.0.9:8080 by 1"]);
            if is_asked {
                assert_eq!(script(&rig.far_side(None)), [">F S 1000:0 0"]);
                assert!(rig.server(syn_ack(S, C + 1), b"").is_empty());
            }
            notes.decide(decision);
            let said = script(&rig.wait(Duration::from_millis(1)));
            let asked = is_asked.then_some(">F R 1001:0 0");
            let all: Vec<_> = asked.into_iter().chain(["clearfar"]).chain(expected.iter().copied()).collect();
            assert_eq!(said.len(), all.len(), "{said:?}");
            assert!(said.iter().zip(&all).all(|(line, start)| line.starts_with(start)), "{said:?}");
            if !is_asked {
                assert!(rig.far_side(None).is_empty(), "an answer that is not meant any more");
            }
        }
    }
}

/// A server that has not been asked yet need not be: the module has come back to the one that the client wants.
#[test]
fn who_comes_back_to_the_clients_server_asks_that_one() {
    let target = Target { server: Some("12.0.0.9:8080".parse().unwrap()), ..Target::default() };
    let (notes, puppet) = Puppet::new(Decision::ProxyTo(
        Proxying { consult: Some(Consult::within(PATIENCE)), ..Proxying::default() },
        target,
    ));
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    notes.decide(proxy());
    assert_eq!(script(&rig.wait(Duration::from_millis(1))), ["clearfar", ">S S 1000:0 0"]);
    assert!(rig.far_side(None).is_empty());
    assert_eq!(script(&rig.server(syn_ack(S, C + 1), b"")), ["participate", ">C S. 5000:1001 0"]);
}

/// A flood of SYNs to what is refused anyway costs no honest client its place.
#[test]
fn an_answer_that_is_only_remembered_makes_room_before_anybody_who_waits() {
    for when_suspended_full in [WhenFull::Oldest, WhenFull::Drop, WhenFull::Pass] {
        let (notes, puppet) = Puppet::new(LATER);
        let suspended = Limits::of(2);
        let mut rig = Rig::with(puppet, Settings { suspended, when_suspended_full, ..settings() });
        rig.offer(syn(C));
        for n in 1..5 {
            rig.turn_to(n);
            let said = script(&rig.offer(syn(C)));
            assert_eq!(said, ["remove"].repeat(usize::from(n > 1)), "{n}");
            notes.decide(Decision::Reject(Rejection::Reset));
            assert_eq!(script(&rig.wait(Duration::from_millis(1))), [">C R. 0:1001 0"]);
        }
        assert_eq!(rig.count(Counter::RefusalsForgotten), 3);
        assert!(!notes.told().contains(&"gone Displaced".to_owned()));
        rig.turn_to(0);
        assert!(rig.client(syn(C), b"").is_empty());
        assert_eq!(rig.count(Counter::SynAbsorbed), 1, "the first still waits");
    }
}

#[test]
fn what_happened_before_is_told() {
    let (notes, puppet) = Puppet::new(proxy());
    let mut rig = Rig::new(puppet);
    rig.offer(syn(C));
    rig.server(refused(), b"");
    rig.wait(Duration::from_secs(2));
    rig.turn_to(1);
    rig.offer(syn(C));
    let histories = notes.histories();
    assert_eq!(histories[0], History::default());
    let server = histories[1].server.expect("it has answered before");
    assert_eq!((server.outcome, server.age), (Outcome::Refused, Duration::from_secs(2)));
    assert_eq!(histories[1].client, None, "another client");
}
