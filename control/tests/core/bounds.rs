//! Memory has a limit, and a policy for when it is reached.

use std::time::Duration;

use control::core::context::Settings;
use control::module::relay::{MergeWhen, Relay};
use control::module::{Decision, Module, PartialConnection, Session};
use control::suspended::{self, WhenFull};
use dataplane::counters::Counter;
use dataplane::flow::quad::FlowKey;
use dataplane::policy::Fallback;
use dataplane::refusal::{IcmpRejection, Rejection};

use crate::rig::*;

#[test]
fn what_is_kept_is_counted_while_it_is_kept() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(ack(C + 1, S + 1), b"12345");
    assert_eq!(rig.core.load().bytes, 5);
    // Behind a hole of two.
    rig.client(ack(C + 8, S + 1), b"89");
    assert_eq!(rig.core.load().bytes, 5 + 2);
    rig.server(ack(S + 1, C + 6), b"");
    assert_eq!(rig.core.load().bytes, 2);
}

#[test]
fn what_an_expired_flow_kept_is_kept_no_more() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(ack(C + 1, S + 1), b"12345");
    rig.expired();
    assert_eq!((rig.core.load().bytes, rig.core.load().connections), (0, 0));
    rig.assert_gone();
}

#[test]
fn full_memory_drops_by_name_but_no_flow_stands_still() {
    let settings = Settings { buffered: 3_000, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    rig.establish();
    for n in 0..4 {
        rig.client(ack(C + 1 + n * 1000, S + 1), &[0; 1000]);
    }
    assert_eq!((rig.core.load().bytes, rig.count(Counter::DropBuffersFull)), (3000, 1));
    let said = script(&rig.server(ack(S + 1, C + 1), b"reply"));
    assert!(said.contains(&">C . 5001:4001 5".into()), "the other direction keeps nothing yet: {said:?}");
    rig.server(ack(S + 6, C + 3001), b"");
    rig.client(ack(C + 3001, S + 6), &[0; 1000]);
    assert_eq!(rig.core.load().bytes, 1000, "it goes on where it was");
}

#[test]
fn all_merges_together_hold_no_more_than_allowed() {
    let settings = Settings { held: 2, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Established), settings);
    rig.establish();
    for n in 0..3 {
        rig.client(ack(C + 1 + n, S + 1), b"x");
    }
    assert_eq!((rig.core.load().held, rig.count(Counter::DropHeldFull)), (2, 1));
    rig.parked();
    rig.assert_gone();
}

#[test]
fn segments_fit_the_pair_whatever_the_ends_have_promised() {
    let settings = Settings { mtu: vec![600, 600], ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    rig.establish();
    let said = rig.client(ack(C + 1, S + 1), &[0; 1400]);
    let sizes: Vec<usize> = said
        .iter()
        .filter_map(|said| match said {
            Said::Tcp(SERVER, _, payload) if !payload.is_empty() => Some(payload.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [560, 560, 280]);
}

#[test]
fn a_syn_beyond_the_last_place_passes_or_is_dropped_as_configured() {
    let suspended = suspended::Limits::of(1);
    for (when_suspended_full, expected, counter) in [
        (WhenFull::Drop, vec!["remove"], Counter::DropSuspendedFull),
        (WhenFull::Pass, vec!["release Bypassed"], Counter::FlowsPassedFull),
        // Its server forgets it: an answer to nobody must not open a connection past us.
        (WhenFull::Oldest, vec![">S R 1001:0 0", "remove", ">S S 1000:0 0"], Counter::DropSuspendedOldest),
    ] {
        let settings = Settings { suspended, when_suspended_full, ..settings() };
        let mut rig = Rig::with(relay(MergeWhen::Never), settings);
        rig.offer(syn(C));
        rig.turn_to(1);
        assert_eq!(script(&rig.offer(syn(C))), expected);
        assert_eq!((rig.count(counter), rig.core.suspended()), (1, 1));
    }
}

/// Two reasons, two names: there is room for few long SYNs, and for none that is longer than a frame.
#[test]
fn a_long_syn_without_a_place_is_not_called_too_long() {
    let settings = Settings { when_suspended_full: WhenFull::Drop, connections: 1, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    for n in 0..5 {
        rig.turn_to(n);
        rig.offer_with(syn(C), &[7; 400]);
    }
    assert_eq!((rig.count(Counter::DropLongSynsFull), rig.count(Counter::DropSynTooLong)), (1, 0));
    assert_eq!(rig.core.suspended(), 4);
}

#[test]
fn one_source_has_its_share_and_no_more() {
    let limits = suspended::Limits { per_source: Some(2), ..suspended::Limits::of(8) };
    let settings = Settings { suspended: limits, when_suspended_full: WhenFull::Drop, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    for n in [0, 1, 2, 256] {
        rig.turn_to(n);
        rig.offer(syn(C));
    }
    assert_eq!(
        (rig.count(Counter::DropSuspendedSource), rig.core.suspended()),
        (1, 3),
        "one /24, and another"
    );
    // Who has been answered is not held any more, but may be nobody.
    rig.turn_to(0);
    rig.server(syn_ack(S, C + 1), b"");
    rig.turn_to(3);
    assert_eq!(script(&rig.offer(syn(C))), ["remove"]);
    rig.turn_to(0);
    rig.client(ack(C + 1, S + 1), b"");
    rig.turn_to(3);
    assert_eq!(script(&rig.offer(syn(C))), [">S S 1000:0 0"]);
}

/// However it ends: what a client that was never validated counted for is given back once.
#[test]
fn the_share_of_a_client_that_never_completes_comes_back() {
    let limits =
        suspended::Limits { per_source: Some(1), per_destination: Some(2), ..suspended::Limits::of(8) };
    let ends: [fn(&mut Rig); 4] = [
        |rig| drop(rig.client(rst(C + 1), b"")),
        |rig| drop(rig.expired()),
        |rig| drop(rig.wait(Duration::from_secs(80))),
        |rig| drop(rig.client(ack(C + 1, S + 1), b"")),
    ];
    for end in ends {
        let settings =
            Settings { suspended: limits, when_suspended_full: WhenFull::Drop, connections: 8, ..settings() };
        let mut rig = Rig::with(relay(MergeWhen::Never), settings);
        rig.offer(syn(C));
        rig.server(syn_ack(S, C + 1), b"");
        rig.turn_to(1);
        assert_eq!(script(&rig.offer(syn(C))), ["remove"]);
        rig.turn_to(0);
        end(&mut rig);
        rig.wait(Duration::from_secs(11));
        rig.turn_to(1);
        assert_eq!(script(&rig.offer(syn(C))), [">S S 1000:0 0"]);
        rig.turn_to(2);
        assert_eq!(script(&rig.offer(syn(C))), ["remove"], "and no more than it counted for");
    }
}

/// A flood of clients that never complete displaces itself, and nobody else.
#[test]
fn the_oldest_client_that_is_not_validated_makes_room_for_another_flow() {
    let client_first = Relay { client_first: Some(Duration::from_secs(3)), ..relay(MergeWhen::Never) };
    for (relay, is_asked) in [(relay(MergeWhen::Never), true), (client_first, false)] {
        for when_full in [Fallback::Drop, Fallback::Pass] {
            let mut rig = Rig::with(relay, Settings { connections: 2, when_full, ..settings() });
            let begin = |rig: &mut Rig, n| {
                rig.turn_to(n);
                let said = rig.offer(syn(C));
                let said = if is_asked { rig.server(syn_ack(S, C + 1), b"") } else { said };
                let iss = said.iter().find_map(|said| match said {
                    Said::Tcp(CLIENT, tcp, _) => Some(tcp.seq.0),
                    _ => None,
                });
                (script(&said), iss)
            };
            let (_, iss) = begin(&mut rig, 0);
            rig.client(ack(C + 1, iss.expect("an answer").wrapping_add(1)), b"");
            for n in 1..6 {
                let (said, iss) = begin(&mut rig, n);
                let removed = said.iter().filter(|line| *line == "remove").count();
                assert_eq!((removed, iss.is_some()), (usize::from(n > 1), true), "{n}: {said:?}");
                assert_eq!(said.iter().any(|line| line.starts_with(">S R")), is_asked && n > 1, "{said:?}");
            }
            assert_eq!((rig.count(Counter::HandshakesDisplaced), rig.core.connections().count()), (4, 2));
            let clients: Vec<_> = rig.core.connections().map(|c| c.key().quad.client().ip()).collect();
            assert!(clients.contains(&"10.0.0.1".parse().unwrap()), "who is validated stays");
        }
    }
}

/// Without a place that could be had, what the configuration says holds for every way of beginning.
#[test]
fn a_flow_that_would_begin_with_the_client_passes_or_is_dropped_as_configured() {
    let client_first = Relay { client_first: Some(Duration::from_secs(3)), ..relay(MergeWhen::Never) };
    for (when_full, expected, counter) in [
        (Fallback::Drop, "remove", Counter::DropConnectionsFull),
        (Fallback::Pass, "release Bypassed", Counter::FlowsPassedFull),
    ] {
        let mut rig = Rig::with(client_first, Settings { connections: 1, when_full, ..settings() });
        let said = rig.offer(syn(C));
        let [_, Said::Tcp(CLIENT, answer, _)] = &said[..] else { panic!("{said:?}") };
        rig.client(ack(C + 1, answer.seq.0.wrapping_add(1)), b"");
        rig.turn_to(1);
        assert_eq!(script(&rig.offer(syn(C))), [expected]);
        assert_eq!((rig.count(counter), rig.core.suspended()), (1, 0));
    }
}

#[test]
fn a_syn_over_its_share_displaces_the_oldest_that_counts_for_the_same() {
    let limits = suspended::Limits { per_source: Some(1), ..suspended::Limits::of(8) };
    let settings = Settings { suspended: limits, when_suspended_full: WhenFull::Oldest, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    for n in [256, 0] {
        rig.turn_to(n);
        rig.offer(syn(C));
        rig.server(syn_ack(S, C + 1), b"");
    }
    rig.turn_to(1);
    assert_eq!(script(&rig.offer(syn(C))), [">S R. 1001:5001 0", "remove", ">S S 1000:0 0"]);
    let left: Vec<_> = rig.core.connections().map(|c| c.key().quad.client().ip().to_string()).collect();
    assert_eq!((left, rig.count(Counter::HandshakesDisplaced)), (vec!["10.0.1.1".to_owned()], 1));
}

#[test]
fn an_answer_without_a_place_for_its_flow_waits_for_the_next_or_passes_as_configured() {
    for (when_full, expected, counter) in [
        (Fallback::Drop, vec![], Counter::DropConnectionsFull),
        // The server repeats its answer to the SYN as it came, past us.
        (Fallback::Pass, vec!["release Bypassed"], Counter::FlowsPassedFull),
    ] {
        let settings = Settings { connections: 1, when_full, ..settings() };
        let mut rig = Rig::with(relay(MergeWhen::Never), settings);
        rig.establish();
        rig.turn_to(1);
        rig.offer(syn(C));
        assert_eq!(script(&rig.server(syn_ack(S, C + 1), b"")), expected);
        assert_eq!(rig.count(counter), 1);
        if when_full == Fallback::Drop {
            rig.turn_to(0);
            rig.expired();
            rig.turn_to(1);
            let said = rig.server(syn_ack(S, C + 1), b"");
            assert_eq!(script(&said), ["participate", ">C S. 5000:1001 0"]);
        }
    }
}

#[test]
fn answers_that_a_peer_can_ask_for_do_not_pile_up_behind_a_worker_that_does_not_take_them() {
    let mut rig = Rig::deciding(Decision::Reject(Rejection::Reset));
    rig.offer(syn(C));
    rig.stop_taking_orders();
    for _ in 0..6_000 {
        rig.client(syn(C), b"");
    }
    assert!(rig.count(Counter::DropOrdersFull) > 1_000);
    assert!(rig.pool.in_use() < 4_500, "{}", rig.pool.in_use());
}

/// A module that refuses each SYN in another name.
struct Inventive(u32);

impl Module for Inventive {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        self.0 += 1;
        let from = Some(self.0.to_be_bytes().into());
        let Some(Rejection::Icmp(error)) = Rejection::named("host-prohibited") else { unreachable!() };
        Decision::Reject(Rejection::Icmp(IcmpRejection { from_v4: from, ..error }))
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        unreachable!("it never proxies")
    }
}

/// No program can use up what others' refusals are remembered by.
#[test]
fn as_many_different_rejections_are_remembered_as_refusals_are() {
    let mut rig = Rig::new(Inventive(0));
    for n in 0..1_500 {
        rig.turn_to(n);
        assert_eq!(script(&rig.offer(syn(C))).last().map(String::as_str), Some(">C icmp"), "{n}");
        assert_eq!(script(&rig.client(syn(C), b"")), [">C icmp"], "{n}");
        // No more errors may be made at once than there are tokens.
        rig.wait(Duration::from_millis(2));
    }
}
