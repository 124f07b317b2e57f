//! Several ports at once (seed 000, the CIFS case): what one client tries of one server, held and answered together.

use std::time::Duration;

use control::core::context::Settings;
use control::module::relay::MergeWhen;
use control::module::several::{Complete, Several, Together};
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::refusal::Rejection;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::rig::*;

const WAIT: Duration = Duration::from_millis(500);
const AFTERWARDS: Duration = Duration::from_secs(2);
/// A client has acknowledged: so is its server, and the flow is to be merged at once.
const UP_445: [&str; 2] = [">S . 1001:5001 0", "park"];
const UP_139: [&str; 2] = [">S . 1101:5001 0", "park"];
const ENDS: [(&str, &str); 2] = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")];

/// One client that tries one server.
struct Cifs {
    rig: Rig,
    ends: (&'static str, &'static str),
}

impl Cifs {
    fn new(complete: Complete, ends: (&'static str, &'static str)) -> Cifs {
        Cifs::with(complete, ends, settings())
    }

    fn with(complete: Complete, ends: (&'static str, &'static str), settings: Settings) -> Cifs {
        let together = Together {
            ports: vec![445..=445, 139..=139],
            complete,
            wait: WAIT,
            afterwards: AFTERWARDS,
            others: Rejection::Reset,
            outstanding: 8.try_into().expect("more than none"),
        };
        let relay = Box::new(relay(MergeWhen::Established));
        Cifs { rig: Rig::with(Several::new(relay, together), settings), ends }
    }

    /// From now on all is about this port.
    fn port(&mut self, port: u16) -> &mut Rig {
        self.port_from(port, 4000)
    }

    /// The same from another port of the client.
    fn port_from(&mut self, port: u16, client_port: u16) -> &mut Rig {
        let [client, server]: [std::net::IpAddr; 2] =
            [self.ends.0, self.ends.1].map(|text| text.parse().expect("an address"));
        let slot = u32::from(client_port) << 16 | u32::from(port);
        let quad = Quad::between((client, client_port).into(), (server, port).into()).expect("one family");
        self.rig.turn_to_quad(slot, quad);
        &mut self.rig
    }

    /// SYNs on both; each is tried by its own. The client's numbers are C on 445 and C + 100 on 139.
    fn try_both(&mut self) {
        assert_eq!(script(&self.port(445).offer(syn(C))), [">S S 1000:0 0"]);
        assert_eq!(script(&self.port(139).offer(syn(C + 100))), [">S S 1100:0 0"]);
    }

    fn accepts(&mut self, port: u16) -> Vec<String> {
        let next = if port == 445 { C + 1 } else { C + 101 };
        script(&self.port(port).server(syn_ack(S, next), b""))
    }

    /// The client acknowledges the server's SYN-ACK on this port.
    fn completes(&mut self, port: u16) -> Vec<String> {
        let next = if port == 445 { C + 1 } else { C + 101 };
        script(&self.port(port).client(ack(next, S + 1), b""))
    }

    fn refuses(&mut self, port: u16) -> Vec<String> {
        let next = if port == 445 { C + 1 } else { C + 101 };
        script(&self.port(port).server(tcp(TcpFlags::RST | TcpFlags::ACK, 0, next), b""))
    }
}

/// Both variants over both families.
fn each(complete: Complete, test: impl Fn(Cifs)) {
    ENDS.into_iter().for_each(|ends| test(Cifs::new(complete, ends)));
}

#[test]
fn the_client_hears_nothing_before_all_have_answered_and_then_all_in_their_order() {
    each(Complete::Each, |mut cifs| {
        cifs.try_both();
        assert!(cifs.accepts(445).is_empty());
        let told = ["participate", ">C S. 5000:1001 0", ">C R. 0:1101 0", "remove"];
        assert_eq!(cifs.refuses(139), told, "and the server hears nothing more");
    });
    each(Complete::Each, |mut cifs| {
        cifs.try_both();
        assert!(cifs.refuses(139).is_empty());
        let told = [">C R. 0:1101 0", "remove", "participate", ">C S. 5000:1001 0"];
        assert_eq!(cifs.accepts(445), told);
        assert_eq!(cifs.rig.core.suspended(), 0);
    });
}

#[test]
fn an_error_of_the_network_is_told_as_it_came() {
    let mut cifs = Cifs::new(Complete::Each, ENDS[0]);
    cifs.try_both();
    assert!(cifs.port(445).icmp(C2S, 3, 1, C).is_empty());
    let told = [">C icmp", "remove", ">C R. 0:1101 0", "remove"];
    assert_eq!(cifs.refuses(139), told);
    cifs.rig.assert_gone();
}

#[test]
fn nobody_waits_longer_for_a_silent_port_and_it_may_answer_late() {
    each(Complete::Each, |mut cifs| {
        cifs.try_both();
        assert!(cifs.accepts(445).is_empty());
        assert!(cifs.rig.wait(WAIT - Duration::from_millis(1)).is_empty());
        let told = script(&cifs.rig.wait(Duration::from_millis(3)));
        assert_eq!(told, ["participate", ">C S. 5000:1001 0"]);
        // 139 is asked again as ever, and its answer is told at once.
        assert_eq!(script(&cifs.rig.wait(WAIT)), [">S S 1100:0 0"]);
        assert_eq!(cifs.accepts(139), ["participate", ">C S. 5000:1101 0"]);
    });
}

#[test]
fn the_first_that_is_completed_is_chosen_and_the_other_refused_behind_it() {
    each(Complete::First, |mut cifs| {
        cifs.try_both();
        assert_eq!(cifs.accepts(139), ["participate", ">C S. 5000:1101 0"]);
        assert!(cifs.accepts(445).is_empty(), "held: nobody knows yet whose SYN that was");
        assert_eq!(cifs.completes(139), [&UP_139[..], &[">S R 1001:0 0", ">C R. 0:1001 0"]].concat());
        // The refused one is remembered for SYNs that come again; a little later another is refused without being asked.
        assert_eq!(script(&cifs.port(445).client(syn(C), b"")), [">C R. 0:1001 0"]);
        cifs.rig.wait(AFTERWARDS - Duration::from_millis(5));
        assert_eq!(script(&cifs.port_from(445, 4001).offer(syn(C + 7))), [">C R. 0:1008 0"]);
        cifs.rig.core.report();
        assert_eq!(cifs.rig.count(Counter::TogetherRefused), 2);
        cifs.rig.wait(Duration::from_millis(10));
        assert_eq!(script(&cifs.port_from(445, 4002).offer(syn(C + 8))), [">S S 1008:0 0"]);
    });
}

#[test]
fn a_refusal_is_held_while_the_other_port_may_be_completed() {
    each(Complete::First, |mut cifs| {
        cifs.try_both();
        assert!(cifs.refuses(445).is_empty());
        assert_eq!(cifs.accepts(139), ["participate", ">C S. 5000:1101 0"]);
        assert_eq!(cifs.completes(139), [&UP_139[..], &[">C R. 0:1001 0", "remove"]].concat());
    });
    each(Complete::First, |mut cifs| {
        cifs.try_both();
        assert!(cifs.refuses(445).is_empty());
        let told = [">C R. 0:1001 0", "remove", ">C R. 0:1101 0", "remove"];
        assert_eq!(cifs.refuses(139), told, "none accepts");
        cifs.rig.assert_gone();
    });
}

/// Somebody sends a SYN in the client's name: its host has no such connection, and resets it.
#[test]
fn a_spoofed_syn_chooses_nothing() {
    each(Complete::First, |mut cifs| {
        cifs.try_both();
        assert_eq!(cifs.accepts(139), ["participate", ">C S. 5000:1101 0"]);
        assert!(cifs.accepts(445).is_empty());
        let said = script(&cifs.port(139).client(rst(C + 101), b""));
        assert_eq!(said, [">S R. 1101:5001 0", "participate", ">C S. 5000:1001 0"]);
        assert_eq!(cifs.completes(445), UP_445);
        assert_eq!(cifs.rig.count(Counter::TogetherRefused), 0);
    });
}

/// The same, and its host says nothing.
#[test]
fn an_unvalidated_client_holds_up_another_port_no_longer_than_silence_does() {
    each(Complete::First, |mut cifs| {
        cifs.try_both();
        assert_eq!(cifs.accepts(139), ["participate", ">C S. 5000:1101 0"]);
        assert!(cifs.accepts(445).is_empty());
        assert!(cifs.rig.wait(WAIT - Duration::from_millis(1)).is_empty());
        let said = script(&cifs.rig.wait(Duration::from_millis(3)));
        assert_eq!(said, ["participate", ">C S. 5000:1001 0"]);
        assert_eq!(cifs.completes(445), UP_445);
        // A client after all, and a slow one: it has completed another port.
        let said = cifs.completes(139);
        assert_eq!(said, [">C R. 5001:1101 0", ">S R. 1101:5001 0"]);
        cifs.rig.core.report();
        assert_eq!(cifs.rig.count(Counter::TogetherRefused), 1);
    });
}

/// Nobody is refused for the sake of a flow that has no place.
#[test]
fn a_port_that_finds_no_place_refuses_no_other() {
    let settings = Settings { connections: 1, ..settings() };
    let mut cifs = Cifs::with(Complete::First, ENDS[0], settings);
    // Somebody else's, which is validated: it makes no room.
    cifs.rig.turn_to(9);
    cifs.rig.establish();
    cifs.try_both();
    assert!(cifs.accepts(139).is_empty());
    assert_eq!(cifs.rig.count(Counter::DropConnectionsFull), 1);
    assert!(cifs.accepts(445).is_empty());
    // Its place is free again, and the server repeats itself.
    cifs.rig.turn_to(9);
    cifs.rig.expired();
    assert_eq!(cifs.accepts(139), ["participate", ">C S. 5000:1101 0"]);
    assert_eq!(cifs.completes(139), [&UP_139[..], &[">S R 1001:0 0", ">C R. 0:1001 0"]].concat());
}

#[test]
fn a_port_that_was_silent_may_be_the_first() {
    each(Complete::First, |mut cifs| {
        cifs.try_both();
        assert!(cifs.refuses(139).is_empty());
        let told = script(&cifs.rig.wait(WAIT + Duration::from_millis(2)));
        assert_eq!(told, [">C R. 0:1101 0", "remove"], "a refusal is not held for ever");
        assert_eq!(script(&cifs.rig.wait(WAIT)), [">S S 1000:0 0"]);
        assert_eq!(cifs.accepts(445), ["participate", ">C S. 5000:1001 0"]);
        assert_eq!(cifs.completes(445), UP_445);
        // It was: 139 comes again, and too late.
        assert_eq!(script(&cifs.port(139).offer(syn(C + 100))), [">C R. 0:1101 0"]);
    });
}

#[test]
fn nobody_answers_and_nothing_is_left() {
    for complete in [Complete::Each, Complete::First] {
        each(complete, |mut cifs| {
            cifs.try_both();
            let said = script(&cifs.rig.wait(Duration::from_secs(80)));
            assert_eq!(said.iter().filter(|line| line.starts_with(">C")).count(), 0, "{said:?}");
            // After 1, 3, 7, 15, 31 and 63 s, each.
            assert_eq!(said.iter().filter(|line| line.starts_with(">S S")).count(), 12, "{said:?}");
            assert_eq!(said.iter().filter(|line| *line == "remove").count(), 2);
            cifs.rig.assert_gone();
        });
    }
}

#[test]
fn a_client_that_gives_up_one_port_waits_for_it_no_more() {
    each(Complete::Each, |mut cifs| {
        cifs.try_both();
        assert!(cifs.accepts(445).is_empty());
        let said = script(&cifs.port(139).client(rst(C + 101), b""));
        assert_eq!(said, [">S R 1101:0 0", "remove", "participate", ">C S. 5000:1001 0"]);
    });
}
