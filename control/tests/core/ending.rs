//! How flows end, and that each of them does.

use std::time::Duration;

use control::connection::Phase;
use control::module::relay::MergeWhen;
use control::module::{Decision, Edit, Module, PartialConnection, Proxying, Session, Step};
use dataplane::counters::Counter;
use dataplane::flow::quad::{Direction, FlowKey};

use crate::rig::*;

/// Closes both directions in order, the client first.
fn close(rig: &mut Rig) {
    rig.client(fin(C + 1, S + 1), b"");
    rig.server(ack(S + 1, C + 2), b"");
    rig.server(fin(S + 1, C + 2), b"");
    rig.client(ack(C + 2, S + 2), b"");
}

#[test]
fn a_half_closed_flow_relays_the_other_half() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    let said = script(&rig.client(fin(C + 1, S + 1), b"GET"));
    assert!(said.contains(&">S F. 1001:5001 3".into()), "{said:?}");
    let said = script(&rig.server(ack(S + 1, C + 5), b"200"));
    assert!(said.contains(&">C . 5001:1005 3".into()), "{said:?}");
    let said = script(&rig.server(fin(S + 4, C + 5), b""));
    assert!(said.contains(&">C F. 5004:1005 0".into()), "{said:?}");
}

#[test]
fn a_flow_closed_in_order_lingers_and_goes() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    close(&mut rig);
    assert_eq!(script(&rig.wait(Duration::from_secs(9))), Vec::<String>::new());
    assert_eq!(script(&rig.wait(Duration::from_secs(2))), ["remove"]);
    rig.assert_gone();
}

#[test]
fn a_syn_on_a_lingering_flow_begins_another_one_from_either_end() {
    for (direction, expected) in [(C2S, "restart 0"), (S2C, "restart 1")] {
        let mut rig = Rig::established(relay(MergeWhen::Never));
        close(&mut rig);
        let said = match direction {
            C2S => rig.client(syn(C + 100_000), b""),
            S2C => rig.server(syn(S + 100_000), b""),
        };
        assert_eq!(script(&said), [expected], "{direction:?}");
        rig.assert_gone();
    }
}

#[test]
fn a_reset_crosses_and_one_that_was_not_believed_is_repeated() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    assert_eq!(script(&rig.client(rst(C + 1), b"")), [">S R. 1001:5001 0"]);
    assert!(matches!(rig.core.connections().next().map(|c| c.phase()), Some(Phase::Ended { .. })));
    assert_eq!(script(&rig.server(ack(S + 1, C + 1), b"late")), [">S R 1001:0 0"]);
    assert!(rig.client(ack(C + 1, S + 1), b"").is_empty(), "who has reset hears nothing");
    assert_eq!(rig.pool.in_use(), 0, "no byte is kept");
    assert_eq!(script(&rig.client(syn(C + 7), b"")), ["restart 0"]);
    rig.assert_gone();
}

#[test]
fn a_flow_that_was_reset_is_forgotten_after_its_linger() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.server(rst(S + 1), b"");
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();
}

/// All was said and acknowledged, as far as the server is concerned; its leg is in TIME-WAIT when the client resets.
#[test]
fn a_reset_behind_the_end_leaves_the_rest_of_time_wait() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(fin(C + 1, S + 1), b"");
    rig.server(ack(S + 1, C + 2), b"");
    rig.server(fin(S + 1, C + 2), b"");
    rig.wait(Duration::from_secs(6));
    assert!(rig.client(rst(C + 2), b"").is_empty(), "the server has been told all");
    assert!(
        rig.server(ack(S + 2, C + 2), b"").is_empty(),
        "a duplicate must not end its TIME-WAIT (RFC 1337)"
    );
    assert_eq!(script(&rig.server(fin(S + 1, C + 2), b"")), [">S R 1002:0 0"]);
    // A late RST of its own does not make it somebody else.
    for late in [rst(S + 2), ack(S + 2, C + 2)] {
        assert!(rig.server(late, b"").is_empty());
    }
    assert!(rig.wait(Duration::from_secs(3)).is_empty());
    assert_eq!(script(&rig.wait(Duration::from_secs(2))), ["remove"], "10 s after the server's FIN");
    rig.assert_gone();
}

#[test]
fn an_idle_flow_is_reset_at_both_ends() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    assert!(rig.wait(Duration::from_secs(3599)).is_empty());
    let said = script(&rig.wait(Duration::from_secs(2)));
    assert_eq!(said, [">C R. 5001:1001 0", ">S R. 1001:5001 0"]);
    assert_eq!(rig.count(Counter::FlowsExpired), 1);
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();
}

#[test]
fn a_half_closed_flow_has_less_time() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(fin(C + 1, S + 1), b"");
    rig.server(ack(S + 1, C + 2), b"");
    rig.wait(Duration::from_secs(75));
    assert_eq!((rig.count(Counter::FlowsExpired), rig.core.connections().count()), (1, 0));
    rig.assert_gone();
}

#[test]
fn a_worker_that_never_answers_does_not_keep_a_flow_for_ever() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    rig.establish();
    let said = script(&rig.wait(Duration::from_secs(3601)));
    assert_eq!(said.last().map(String::as_str), Some("remove"), "{said:?}");
    rig.assert_gone();
}

#[test]
fn errors_about_established_segments_go_to_whom_they_speak_for() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    assert_eq!(script(&rig.icmp(C2S, 3, 1, C + 1)), [">C icmp"]);
    assert_eq!(script(&rig.icmp(S2C, 3, 1, S + 1)), [">S icmp"]);
    assert!(rig.icmp(C2S, 3, 1, C + 2).is_empty());
    assert_eq!(rig.count(Counter::DropForgedIcmp), 1);
}

/// RFC 9293 section 3.8.4: whoever asks is answered, and what it asks for is the other end.
#[test]
fn a_keepalive_is_answered_and_asks_the_other_end() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    assert_eq!(script(&rig.client(ack(C, S + 1), b"")), [">C . 5001:1001 0", ">S . 1000:5001 0"]);
    assert!(rig.server(ack(S + 1, C + 1), b"").is_empty());
    assert!(rig.wait(Duration::from_secs(600)).is_empty());
}

#[test]
fn an_end_that_asks_learns_that_the_other_is_gone() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(ack(C, S + 1), b"");
    let said = script(&rig.wait(Duration::from_secs(8 * 75)));
    assert_eq!(said, [">S . 1000:5001 0"; 8]);
    assert_eq!(script(&rig.wait(Duration::from_secs(75))), [">C R. 5001:1001 0"]);
}

#[test]
fn our_own_keepalive_keeps_a_flow_whose_ends_are_silent() {
    let mut settings = settings();
    settings.leg.keepalive = Some(control::tcp::Keepalive { idle: Duration::from_secs(3000) });
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    rig.establish();
    for _ in 0..3 {
        let mut said = script(&rig.wait(Duration::from_secs(3000)));
        said.sort();
        assert_eq!(said, [">C . 5000:1001 0", ">S . 1000:5001 0"]);
        rig.client(ack(C + 1, S + 1), b"");
        rig.server(ack(S + 1, C + 1), b"");
    }
}

/// Resets when it sees anything, and must not be shown more.
struct Censor;
struct CensorSession(bool);

impl Module for Censor {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying { never_merges: true, ..Proxying::default() })
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(CensorSession(false))
    }
}

impl Session for CensorSession {
    fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
        assert!(!self.0, "shown more after its reset");
        self.0 = true;
        (Edit::Pass, Step::Reset)
    }
}

#[test]
fn a_module_that_resets_is_shown_no_more() {
    let mut rig = Rig::established(Censor);
    // The hole makes two chunks readable at once.
    rig.client(ack(C + 4, S + 1), b"two");
    let said = script(&rig.client(ack(C + 1, S + 1), b"one"));
    assert_eq!(said, [">C R. 5001:1007 0", ">S R. 1001:5001 0"]);
}
