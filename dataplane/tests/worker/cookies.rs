//! SYNs that are answered with cookies, and what comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::packet::is_tcp_checksum_valid;
use dataplane::policy::{Action, CookieUse, Defaults, Fallback, Installed, RuleSpec, Snapshot, SynMatch};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::Limits;
use dataplane::worker::message::{Event, Order};

use super::bench::{Bench, CLIENT, DEFAULTS, SERVER, frame, quad, rules};
use super::{ACK, OFFER, SYN, headers};

fn bench(cookies: CookieUse) -> Bench {
    Bench::new(rules(OFFER).with_cookies(vec![cookies]))
}

/// The number of the SYN-ACK that the client gets.
fn answered(bench: &mut Bench, v6: bool) -> u32 {
    bench.deliver(CLIENT, &frame(quad(v6), SYN, 100, 0, b"", &[]));
    let answer = bench.collect(CLIENT).expect("a SYN-ACK");
    let said = headers(&answer);
    assert_eq!((said.quad, said.flags, said.ack.0), (quad(v6).reversed(), SYN | ACK, 101));
    assert!(is_tcp_checksum_valid(&answer, &said));
    said.seq.0
}

fn is_offered_anew(bench: &mut Bench) -> bool {
    matches!(bench.events.try_receive(), Some(Event::Offered { proof: Some(_), .. }))
}

#[test]
fn nothing_is_kept_of_a_syn_and_who_answers_is_offered_once() {
    for v6 in [false, true] {
        let mut bench = bench(CookieUse::Always);
        let cookie = answered(&mut bench, v6);
        assert_eq!((bench.worker.table().len(), bench.pool.in_use()), (0, 0));
        assert!(bench.events.try_receive().is_none());
        assert_eq!(bench.collect(SERVER), None);

        // Its first data do as well as a bare ACK.
        let ack = frame(quad(v6), ACK, 101, cookie.wrapping_add(1), b"GET /", &[]);
        bench.deliver(CLIENT, &ack);
        let Some(Event::Offered { flow, proof: Some(_), headers: told, frame: held, .. }) =
            bench.events.try_receive()
        else {
            panic!("not offered");
        };
        assert_eq!((told.quad, held.bytes()), (quad(v6), &ack[..]));
        bench.order(Order::Participate { flow });
        bench.deliver(CLIENT, &ack);
        assert!(matches!(bench.events.try_receive(), Some(Event::Segment { .. })), "it has a flow by now");
        let counters = [Counter::CookiesSent, Counter::CookiesAccepted, Counter::FlowsOffered];
        assert_eq!(counters.map(|counter| bench.count(counter)), [1, 1, 0]);
    }
}

#[test]
fn whoever_was_not_answered_is_a_stray() {
    let mut bench = bench(CookieUse::Always);
    let segment = |seq, ack, flags| frame(quad(false), flags, seq, ack, b"", &[]);
    bench.deliver(CLIENT, &segment(101, 1, ACK));
    assert_eq!((bench.count(Counter::CookiesFailed), bench.count(Counter::DropStray)), (0, 1));
    let next = answered(&mut bench, false).wrapping_add(1);
    for wrong in [
        segment(101, next.wrapping_add(1), ACK),
        segment(102, next, ACK),
        frame(quad(false), ACK, 101, next, b"", &[(0x8100, 7)]),
    ] {
        bench.deliver(CLIENT, &wrong);
    }
    assert_eq!((bench.count(Counter::CookiesFailed), bench.count(Counter::DropStray)), (3, 4));
    bench.deliver(CLIENT, &segment(101, next, TcpFlags::RST | ACK));
    assert_eq!(bench.count(Counter::DropStray), 5, "who refuses the answer wants nothing");
    bench.deliver(CLIENT, &segment(101, next, ACK));
    assert!(is_offered_anew(&mut bench));
}

#[test]
fn a_cookie_grows_old_and_a_corrupt_answer_is_none() {
    let mut bench = bench(CookieUse::Always);
    let next = answered(&mut bench, false).wrapping_add(1);
    let ack = frame(quad(false), ACK, 101, next, b"x", &[]);
    let mut corrupt = ack.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    bench.deliver(CLIENT, &corrupt);
    assert_eq!((bench.count(Counter::DropTcpChecksum), bench.worker.table().len()), (1, 0));
    bench.wait(Duration::from_secs(69));
    bench.deliver(CLIENT, &ack);
    assert_eq!((bench.count(Counter::DropStray), bench.worker.table().len()), (1, 0));
}

#[test]
fn under_a_flood_and_no_longer() {
    let mut bench = bench(CookieUse::UnderFlood);
    let syn = frame(quad(false), SYN, 100, 0, b"", &[]);
    let held = |bench: &mut Bench| {
        bench.deliver(CLIENT, &syn);
        match bench.events.try_receive() {
            Some(Event::Offered { flow, proof: None, .. }) => bench.order(Order::Remove { flow }),
            _ => panic!("not held"),
        }
    };
    held(&mut bench);
    bench.order(Order::Flood { is_on: true });
    let next = answered(&mut bench, false).wrapping_add(1);
    bench.order(Order::Flood { is_on: false });
    held(&mut bench);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, next, b"", &[]));
    assert!(is_offered_anew(&mut bench), "who was answered is, though it is over");
}

fn other(n: u16) -> Quad {
    let client = SocketAddr::from(([10, 0, 0, 1], 5000 + n));
    Quad::between(client, ([10, 0, 0, 2], 80).into()).unwrap()
}

#[test]
fn when_the_control_core_is_late_a_client_is_answered_all_the_same() {
    let policy = rules(OFFER).with_cookies(vec![CookieUse::UnderFlood]);
    let mut bench = Bench::with_limits(policy, Limits { flows: 8, parked: 4, far_sides: 4 }, 65);
    bench.deliver(CLIENT, &frame(other(1), SYN, 100, 0, b"", &[]));
    assert_eq!(bench.count(Counter::FlowsOffered), 1);
    let next = answered(&mut bench, false).wrapping_add(1);
    let ack = frame(quad(false), ACK, 101, next, b"", &[]);
    bench.deliver(CLIENT, &ack);
    assert_eq!((bench.count(Counter::DropEventsFull), bench.collect(CLIENT)), (1, None));
    let Some(Event::Offered { flow, .. }) = bench.events.try_receive() else { panic!("one is held") };
    bench.order(Order::Remove { flow });
    bench.deliver(CLIENT, &ack);
    assert!(is_offered_anew(&mut bench), "it has repeated itself");
}

/// A full table is what `flows_full` is about, cookies or not; and who was answered before it was full hears that it is.
#[test]
fn a_full_table_answers_nobody_and_resets_who_was_answered() {
    for flows_full in [Fallback::Pass, Fallback::Drop] {
        let defaults = Defaults { action: OFFER, flows_full, ..DEFAULTS };
        let policy = Snapshot::compile(&[], defaults).unwrap().with_cookies(vec![CookieUse::UnderFlood]);
        let mut bench = Bench::with_limits(policy, Limits { flows: 1, parked: 4, far_sides: 4 }, 256);
        bench.order(Order::Flood { is_on: true });
        let next = answered(&mut bench, false).wrapping_add(1);
        bench.order(Order::Flood { is_on: false });
        bench.deliver(CLIENT, &frame(other(1), SYN, 100, 0, b"", &[]));
        bench.deliver(CLIENT, &frame(other(2), SYN, 100, 0, b"", &[]));
        assert_eq!(
            (bench.collect(SERVER).is_some(), bench.collect(CLIENT)),
            (flows_full == Fallback::Pass, None)
        );
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101, next, b"x", &[]));
        let reset = headers(&bench.collect(CLIENT).expect("a RST"));
        assert_eq!((reset.flags, reset.seq.0), (TcpFlags::RST, next));
    }
}

/// Traffic that no rule protects is nobody's business, however many cookies are about; nor does a client's later segment pass for its
/// first one.
#[test]
fn only_a_clients_first_words_to_a_protected_server_are_looked_at() {
    let mut bench = bench(CookieUse::Always);
    let next = answered(&mut bench, false).wrapping_add(1);
    let elsewhere = Quad::between(([10, 0, 0, 1], 4000).into(), ([10, 0, 0, 2], 22).into()).unwrap();
    let passing = frame(elsewhere, ACK, 101, next, b"", &[]);
    bench.deliver(CLIENT, &passing);
    assert_eq!((bench.collect(SERVER), bench.count(Counter::CookiesFailed)), (Some(passing), 0));
}

/// What its rule asks beyond the quad cannot be asked of an acknowledgment.
#[test]
fn a_syn_that_more_than_its_quad_has_decided_about_is_held() {
    let with_ttl = |ttl| {
        let asked = SynMatch { ttls: vec![ttl..=ttl], ..SynMatch::default() };
        RuleSpec { syn: Some(asked), ..RuleSpec::everything(OFFER) }
    };
    for (ttl, other, is_held) in [(61, Action::Drop, true), (61, OFFER, true), (60, OFFER, false)] {
        let rules = [with_ttl(ttl), RuleSpec::everything(other)];
        let policy = Snapshot::compile(&rules, DEFAULTS).unwrap().with_cookies(vec![CookieUse::Always]);
        let mut bench = Bench::new(policy);
        bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
        assert_eq!(matches!(bench.events.try_receive(), Some(Event::Offered { proof: None, .. })), is_held);
        assert_eq!(bench.count(Counter::CookiesSent), u64::from(!is_held));
    }
}

#[test]
fn what_cannot_be_answered_in_its_place_is_held() {
    let mut bench = bench(CookieUse::Always);
    let mut with_options = frame(quad(false), SYN, 100, 0, b"", &[]);
    // Router alert.
    with_options[14] = 0x46;
    with_options.splice(34..34, [148, 4, 0, 0]);
    with_options[17] += 4;
    with_options[24..26].fill(0);
    let header = dataplane::wire::checksum::Sum::of(&with_options[14..38]).checksum();
    with_options[24..26].copy_from_slice(&header.to_be_bytes());
    bench.deliver(CLIENT, &with_options);
    assert!(matches!(bench.events.try_receive(), Some(Event::Offered { proof: None, .. })));
    assert_eq!((bench.count(Counter::CookiesSent), bench.collect(CLIENT)), (0, None));
    let mut corrupt = frame(quad(true), SYN, 100, 0, b"", &[]);
    *corrupt.last_mut().unwrap() ^= 1;
    bench.deliver(CLIENT, &corrupt);
    assert_eq!((bench.count(Counter::DropTcpChecksum), bench.collect(CLIENT)), (1, None));
}

/// Rules that were changed meanwhile: whoever is offered, by whatever module, has his connection; others are nobody's.
#[test]
fn an_acknowledgment_counts_by_the_rules_in_force() {
    for (action, is_taken) in [(OFFER, true), (Action::Drop, false)] {
        let mut bench = bench(CookieUse::Always);
        let next = answered(&mut bench, false).wrapping_add(1);
        let policy = Installed::new(Arc::new(rules(action)));
        bench.order(Order::Policy(Box::new(policy)));
        assert!(matches!(bench.events.try_receive(), Some(Event::Replaced(_))));
        bench.deliver(CLIENT, &frame(quad(false), ACK, 101, next, b"", &[]));
        assert_eq!(
            (is_offered_anew(&mut bench), bench.worker.table().len()),
            (is_taken, usize::from(is_taken))
        );
    }
}
