//! Another server, another client address, another next hop: who is told what, and when.

use std::time::Duration;

use control::module::redirect::{Places, Redirect};
use control::module::relay::{MergeWhen, Relay};
use control::module::{Decision, Isn, Proxying, Target};
use dataplane::counters::Counter;
use dataplane::flow::far::NextHop;
use dataplane::flow::table::Refused;
use dataplane::port::PortId;

use crate::rig::*;

fn places() -> Places {
    Places {
        servers: vec!["12.0.0.9:8080".parse().unwrap()],
        clients: vec!["12.0.0.5".parse().unwrap()],
        hop: NextHop::default(),
    }
}

fn redirected(merge: MergeWhen) -> Rig {
    Rig::new(Redirect::new(relay(merge), places(), [1, 2, 3, 4], "m"))
}

const ORDERED: &str = "far 12.0.0.5:4000 -> 12.0.0.9:8080 by 1";

#[test]
fn nothing_is_sent_before_the_worker_has_agreed_and_then_all_by_the_far_side() {
    let mut rig = redirected(MergeWhen::Established);
    assert_eq!(script(&rig.offer(syn(C))), [ORDERED]);
    assert_eq!(script(&rig.far_side(None)), [">F S 1000:0 0"]);
    assert_eq!(script(&rig.server(syn_ack(S, C + 1), b"")), ["participate", ">C S. 5000:1001 0"]);
    let said = script(&rig.client(ack(C + 1, S + 1), b""));
    assert_eq!(said, [">F . 1001:5001 0", "park"]);
    // The ACKs of an install, too.
    assert_eq!(script(&rig.parked()), ["install 0 0", ">C . 5001:1001 0", ">F . 1001:5001 0", "resume"]);
}

#[test]
fn data_goes_by_the_far_side_and_comes_back_to_the_client() {
    let mut rig = redirected(MergeWhen::Never);
    rig.offer(syn(C));
    rig.far_side(None);
    rig.server(syn_ack(S, C + 1), b"");
    rig.client(ack(C + 1, S + 1), b"");
    assert!(script(&rig.client(ack(C + 1, S + 1), b"hello")).contains(&">F . 1001:5001 5".to_owned()));
    assert!(script(&rig.server(ack(S + 1, C + 6), b"world!")).contains(&">C . 5001:1006 6".to_owned()));
    assert_eq!(script(&rig.client(rst(C + 6), b"")), [">F R. 1006:5007 0"]);
}

#[test]
fn a_worker_that_refuses_ends_it_in_silence_and_the_client_may_try_again() {
    for why in [Refused::Full, Refused::InUse] {
        let mut rig = redirected(MergeWhen::Established);
        rig.offer(syn(C));
        assert_eq!(script(&rig.far_side(Some(why))), ["remove"]);
        assert_eq!(rig.core.suspended(), 0);
        assert_eq!(script(&rig.offer(syn(C))), [ORDERED]);
    }
}

#[test]
fn a_worker_that_never_answers_costs_no_place_for_ever() {
    let mut rig = redirected(MergeWhen::Established);
    rig.offer(syn(C));
    let said = script(&rig.wait(Duration::from_secs(80)));
    assert_eq!((said, rig.core.suspended()), (vec!["remove".to_owned()], 0));
    assert!(rig.far_side(None).is_empty(), "an answer to nobody");
}

#[test]
fn a_client_that_gives_up_before_the_worker_has_agreed_is_forgotten() {
    let mut rig = redirected(MergeWhen::Established);
    rig.offer(syn(C));
    assert_eq!(script(&rig.client(rst(C + 1), b"")), ["remove"]);
    assert!(rig.far_side(None).is_empty());
}

/// DESIGN section 4: a SYN with another number replaces the held one while nothing has been sent to any server.
#[test]
fn a_client_that_begins_anew_before_the_worker_has_agreed_is_offered_anew() {
    let mut rig = redirected(MergeWhen::Established);
    rig.offer(syn(C));
    assert_eq!(script(&rig.client(syn(C + 500), b"")), ["restart 0"]);
    assert!(rig.far_side(None).is_empty(), "an answer to nobody");
    rig.assert_gone();
    // The worker takes it for a SYN that has just come in, and its flow is another one.
    rig.turn_to(1);
    rig.offer(syn(C + 500));
    assert_eq!(script(&rig.far_side(None)), [">F S 1500:0 0"]);
}

/// What goes by a far side is what was decided about one SYN. The server that was asked forgets it first.
#[test]
fn a_client_that_begins_anew_when_a_far_side_was_asked_is_offered_anew() {
    let mut rig = redirected(MergeWhen::Established);
    rig.offer(syn(C));
    rig.far_side(None);
    assert_eq!(script(&rig.client(syn(C + 900), b"")), [">F R 1001:0 0", "restart 0"]);
    rig.assert_gone();
    rig.turn_to(1);
    rig.offer(syn(C + 900));
    assert_eq!(script(&rig.far_side(None)), [">F S 1900:0 0"]);
}

#[test]
fn the_syn_is_repeated_and_the_refusal_passed_on() {
    let mut rig = redirected(MergeWhen::Established);
    rig.offer(syn(C));
    rig.far_side(None);
    assert_eq!(script(&rig.wait(Duration::from_millis(1500))), [">F S 1000:0 0"]);
    // The worker has given the frame the addresses that the client knows.
    let said = script(&rig.server(dataplane_rst(), b""));
    assert_eq!(said, [">C R. 0:1001 0", "remove"]);
}

fn dataplane_rst() -> dataplane::wire::tcp::TcpRepr {
    use dataplane::wire::tcp_flags::TcpFlags;
    tcp(TcpFlags::RST | TcpFlags::ACK, 0, C + 1)
}

#[test]
fn numbers_of_our_own_and_another_server_go_together() {
    let target = Target { server: Some("12.0.0.9:8080".parse().unwrap()), ..Target::default() };
    let mut rig =
        Rig::deciding(Decision::ProxyTo(Proxying { isn: Isn::Keyed, ..Proxying::default() }, target));
    assert_eq!(script(&rig.offer(syn(C))), ["far 10.0.0.1:4000 -> 12.0.0.9:8080 by 1"]);
    let said = script(&rig.far_side(None));
    assert!(said[0].starts_with(">F S ") && said[0] != ">F S 1000:0 0", "{said:?}");
    // A client that gives up: the server that was asked hears of it.
    let said = script(&rig.client(rst(C + 1), b""));
    assert!(said[0].starts_with(">F R ") && said[1] == "remove", "{said:?}");
}

#[test]
fn a_forwarded_syn_is_released_behind_its_diversion_and_forgotten() {
    let hop = NextHop { port: Some(PortId(0)), ..NextHop::default() };
    let mut rig = Rig::deciding(Decision::Forward(hop));
    let said = script(&rig.offer(syn(C)));
    assert_eq!(said, ["divert 10.0.0.1:4000 -> 11.0.0.2:80 by 0", "release Bypassed"]);
    assert_eq!((rig.core.suspended(), rig.core.counters().get(Counter::DropModule)), (0, 0));
}

/// The client's words have decided; one that has a connection hears when that cannot be kept.
#[test]
fn client_first_asks_the_other_server_when_the_client_has_spoken() {
    for refused in [None, Some(Refused::InUse)] {
        let relay = Relay { client_first: Some(Duration::from_secs(3)), ..relay(MergeWhen::Never) };
        let mut rig = Rig::new(Redirect::new(relay, places(), [1, 2, 3, 4], "m"));
        let said = rig.offer(syn(C));
        let [Said::Participate, Said::Tcp(CLIENT, greeting, _)] = &said[..] else { panic!("{said:?}") };
        let next = greeting.seq.0.wrapping_add(1);
        let said = script(&rig.client(ack(C + 1, next), b"GET /"));
        assert!(said.contains(&ORDERED.to_owned()), "{said:?}");
        assert!(!said.iter().any(|line| line.starts_with(">F") || line.starts_with(">S")), "{said:?}");
        // What is said meanwhile is kept, and asks nobody again.
        let said = script(&rig.client(ack(C + 6, next), b" HTTP"));
        assert!(!said.contains(&ORDERED.to_owned()), "{said:?}");
        let said = rig.far_side(refused);
        if refused.is_some() {
            assert!(script(&said).iter().any(|line| line.starts_with(">C R")), "{said:?}");
            continue;
        }
        let asked = said.iter().find_map(|said| match said {
            Said::Far(asked, _) => Some(asked.clone()),
            _ => None,
        });
        let asked = asked.unwrap_or_else(|| panic!("{said:?}"));
        let said = rig.server(syn_ack(S, asked.seq.0.wrapping_add(1)), b"");
        let words: Vec<u8> = said
            .iter()
            .flat_map(|said| if let Said::Far(_, payload) = said { payload.clone() } else { Vec::new() })
            .collect();
        assert_eq!(words, b"GET / HTTP");
    }
}
