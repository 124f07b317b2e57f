//! Clients that were answered with a SYN cookie before anybody was asked.

use std::time::Duration;

use control::connection::Phase;
use control::module::relay::MergeWhen;
use control::module::{
    Acknowledge, Decision, Gone, Module, PartialConnection, Proxying, Session, Target, Ticket,
};
use control::suspended::{self, WhenFull};
use dataplane::cookie::Terms;
use dataplane::counters::Counter;
use dataplane::flow::quad::FlowKey;
use dataplane::port::PortId;
use dataplane::refusal::Rejection;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{SynOptions, TcpOptions, Timestamps};

use crate::rig::*;

/// The number that the worker's SYN-ACK had.
const COOKIE: u32 = 77_000;

fn offered() -> TcpOptions {
    syn(C).options
}

/// The client's acknowledgment.
fn first() -> TcpRepr {
    ack(C + 1, COOKIE + 1)
}

impl Rig {
    /// The client has been answered by the worker, and has acknowledged that; what it said in its SYN follows from the cookie.
    fn offer_proven(&mut self, said: &TcpOptions, tcp: TcpRepr, payload: &[u8]) -> Vec<Said> {
        let (headers, frame) = self.frame(C2S, &tcp, payload);
        let mut bytes = [0; 40];
        let len = said.emit(&mut bytes);
        let said = SynOptions::find(&bytes[..len]).expect("sound options");
        self.offered(Terms::of(said, false), headers, frame)
    }
}

fn to(port: PortId, said: &[Said]) -> Vec<(TcpRepr, Vec<u8>)> {
    let segment = |said: &Said| match said {
        Said::Tcp(at, tcp, payload) if *at == port => Some((tcp.clone(), payload.clone())),
        _ => None,
    };
    said.iter().filter_map(segment).collect()
}

/// Server-first, as its module says: the server is asked at once.
#[test]
fn the_server_is_asked_at_once_and_gets_what_was_said() {
    for words in [&b""[..], b"GET /"] {
        let mut rig = Rig::new(relay(MergeWhen::Never));
        let said = rig.offer_proven(&offered(), first(), words);
        assert!(to(CLIENT, &said).iter().all(|(tcp, _)| !tcp.flags.syn()), "it has its answer: {said:?}");
        let asked = &to(SERVER, &said)[..];
        let [(asked, _)] = asked else { panic!("{said:?}") };
        assert_eq!((asked.flags, asked.options.mss), (TcpFlags::SYN, Some(1460)));
        assert_eq!((asked.options.window_scale, asked.options.sack_permitted), (Some(SHIFT), true));
        let next = asked.seq.0.wrapping_add(1);
        let said = rig.server(syn_ack(S, next), b"");
        let got: Vec<u8> = to(SERVER, &said).into_iter().flat_map(|(_, payload)| payload).collect();
        assert_eq!(got, words);
        let said = rig.server(ack(S + 1, next.wrapping_add(words.len() as u32)), b"200");
        let [(response, payload)] = &to(CLIENT, &said)[..] else { panic!("{said:?}") };
        assert_eq!(
            (&payload[..], response.seq.0, response.ack.0),
            (&b"200"[..], COOKIE + 1, C + 1 + words.len() as u32)
        );
        assert_eq!(rig.count(Counter::Terminated), 3, "the acknowledgment and two of the server's");
    }
}

#[test]
fn it_merges_and_its_numbers_are_translated() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    let said = rig.offer_proven(&offered(), first(), b"");
    let [(asked, _)] = &to(SERVER, &said)[..] else { panic!("{said:?}") };
    rig.server(syn_ack(S, asked.seq.0.wrapping_add(1)), b"");
    let said = script(&rig.parked());
    let (c2s, s2c) = (asked.seq.0.wrapping_sub(C) as i32, (COOKIE as i32) - S as i32);
    assert!(said.contains(&format!("install {c2s} {s2c}")), "{said:?}");
    assert!(said.contains(&"resume".to_owned()), "{said:?}");
}

/// What a cookie cannot carry the acknowledgment says again: the clock goes on from what the client was shown.
#[test]
fn timestamps_go_on_where_the_worker_began() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    let timestamps =
        |value, echo| TcpOptions { timestamps: Some(Timestamps { value, echo }), ..TcpOptions::default() };
    rig.now = rig.now + Duration::from_secs(100);
    let said = rig.offer_proven(&offered(), TcpRepr { options: timestamps(50, u32::MAX), ..first() }, b"x");
    let [(asked, _)] = &to(SERVER, &said)[..] else { panic!("{said:?}") };
    assert_eq!(asked.options.timestamps.map(|shown| shown.value), Some(50));
    rig.now = rig.now + Duration::from_millis(5);
    let options = TcpOptions { timestamps: Some(Timestamps { value: 9000, echo: 50 }), ..syn(S).options };
    rig.server(TcpRepr { options, ..syn_ack(S, asked.seq.0.wrapping_add(1)) }, b"");
    let next = asked.seq.0.wrapping_add(2);
    let said = rig.server(TcpRepr { options: timestamps(9010, 50), ..ack(S + 1, next) }, b"200");
    let [(response, _)] = &to(CLIENT, &said)[..] else { panic!("{said:?}") };
    let shown = response.options.timestamps.unwrap();
    assert_eq!(shown.echo, 50);
    assert!(shown.value < 1000, "behind {} by little: {}", u32::MAX, shown.value);
}

/// A client that is not heard any more is nobody's any more; a SYN that comes again is one of former times.
#[test]
fn who_repeats_its_syn_has_its_answer_already() {
    let mut rig = Rig::new(Thinking);
    assert!(rig.offer_proven(&offered(), first(), b"").is_empty(), "its module thinks");
    assert!(rig.client(syn(C), b"").is_empty());
    assert_eq!(rig.count(Counter::SynAbsorbed), 1);
    let said = rig.wait(Duration::from_millis(20));
    let [(asked, _)] = &to(SERVER, &said)[..] else { panic!("{said:?}") };
    let said = rig.server(syn_ack(S, asked.seq.0.wrapping_add(1)), b"");
    assert!(to(CLIENT, &said).iter().all(|(tcp, _)| !tcp.flags.syn()), "{said:?}");
    let said = rig.server(ack(S + 1, asked.seq.0.wrapping_add(1)), b"220");
    let [(greeting, _)] = &to(CLIENT, &said)[..] else { panic!("{said:?}") };
    assert_eq!(greeting.seq.0, COOKIE + 1, "what the SYN said of its answer is still known");
}

/// Decides after a while.
struct Thinking;

impl Module for Thinking {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        assert!(partial.is_connected);
        Decision::Later(Duration::from_millis(10))
    }

    fn overdue(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying { acknowledge: Acknowledge::Through, ..Proxying::default() })
    }

    fn gone(&mut self, _: Ticket, why: Gone) {
        assert!(matches!(why, Gone::Settled | Gone::Displaced), "{why:?}");
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        relay(MergeWhen::Never).session(key)
    }
}

/// Its module never learned to be client-first: the target that it names is where the flow goes.
#[test]
fn another_server_is_asked_where_the_module_says_so() {
    let server = Some("11.0.0.9:8080".parse().unwrap());
    let decision = Decision::ProxyTo(Proxying::default(), Target { server, ..Target::default() });
    let mut rig = Rig::new(Deciding(decision));
    let said = script(&rig.offer_proven(&offered(), first(), b""));
    assert!(said.contains(&format!("far 10.0.0.1:4000 -> 11.0.0.9:8080 by {}", SERVER.0)), "{said:?}");
    let said = rig.far_side(None);
    assert!(matches!(&said[..], [Said::Far(syn, _)] if syn.flags == TcpFlags::SYN), "{said:?}");
}

struct Deciding(Decision);

impl Module for Deciding {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        self.0
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        relay(MergeWhen::Never).session(key)
    }
}

/// Its SYN cannot be taken back.
#[test]
fn who_is_not_proxied_is_reset_by_the_number_that_it_knows() {
    let others = [
        Decision::Drop,
        Decision::Reject(Rejection::named("host-unreachable").unwrap()),
        Decision::Bypass,
        Decision::Monitor,
        Decision::Forward(Default::default()),
        Decision::Accept,
    ];
    for decision in others {
        let mut rig = Rig::new(Deciding(decision));
        let said = rig.offer_proven(&offered(), first(), b"GET /");
        assert!(to(SERVER, &said).is_empty(), "{decision:?}: {said:?}");
        let resets = to(CLIENT, &said);
        assert!(!resets.is_empty(), "{decision:?}: {said:?}");
        for (reset, _) in resets {
            assert_eq!((reset.flags.rst(), reset.seq), (true, Seq(COOKIE + 1)), "{decision:?}");
        }
        assert_eq!(rig.count(Counter::CookiesRefused), 1);
        rig.wait(Duration::from_secs(80));
        rig.assert_gone();
    }
}

#[test]
fn whatever_the_server_says_instead_resets_it() {
    for refusal in 0..3 {
        let mut rig = Rig::new(relay(MergeWhen::Never));
        let said = rig.offer_proven(&offered(), first(), b"");
        let [(asked, _)] = &to(SERVER, &said)[..] else { panic!("{said:?}") };
        let next = asked.seq.0.wrapping_add(1);
        let said = match refusal {
            0 => rig.server(tcp(TcpFlags::RST | TcpFlags::ACK, 0, next), b""),
            1 => rig.icmp(C2S, 3, 1, asked.seq.0),
            _ => rig.wait(Duration::from_secs(80)),
        };
        assert!(to(CLIENT, &said).iter().any(|(tcp, _)| tcp.flags.rst()), "{refusal}: {said:?}");
        rig.wait(Duration::from_secs(11));
        rig.assert_gone();
    }
}

/// Whatever becomes of SYNs without a place: whoever is there takes that of somebody who may not be.
#[test]
fn it_takes_the_place_of_who_has_shown_nothing() {
    for when in [WhenFull::Drop, WhenFull::Pass, WhenFull::Oldest] {
        let mut rig = Rig::with(relay(MergeWhen::Never), settings_with(suspended::Limits::of(1), when));
        rig.turn_to(1);
        rig.offer(syn(C));
        rig.turn_to(0);
        let said = script(&rig.offer_proven(&offered(), first(), b""));
        assert!(said.contains(&"participate".to_owned()), "{when:?}: {said:?}");
        assert_eq!((rig.count(Counter::DropSuspendedOldest), rig.released.len()), (1, 0), "{when:?}");
    }
}

/// Nobody goes for it who has been validated: it hears that it has no connection, which nothing else would tell a client that waits for
/// a greeting.
#[test]
fn without_a_place_it_is_reset() {
    for decides_later in [false, true] {
        let settings = || control::core::context::Settings { connections: 1, ..settings() };
        let mut rig = match decides_later {
            false => Rig::with(relay(MergeWhen::Never), settings()),
            true => Rig::with(Thinking, settings()),
        };
        rig.turn_to(1);
        let mut said = rig.offer_proven(&offered(), first(), b"");
        said.extend(rig.wait(Duration::from_millis(20)));
        let [(asked, _)] = &to(SERVER, &said)[..] else { panic!("{said:?}") };
        rig.server(syn_ack(S, asked.seq.0.wrapping_add(1)), b"");
        rig.turn_to(0);
        let mut said = rig.offer_proven(&offered(), first(), b"");
        said.extend(rig.wait(Duration::from_millis(20)));
        let resets = to(CLIENT, &said);
        assert!(
            resets.iter().any(|(reset, _)| reset.flags.rst() && reset.seq == Seq(COOKIE + 1)),
            "{said:?}"
        );
        assert_eq!(rig.count(Counter::DropConnectionsFull), 1);
    }
}

/// A silent server is no reason why others should have none: a client that waits for it has what it had while it was held.
#[test]
fn who_waits_for_a_silent_server_makes_room() {
    let mut rig =
        Rig::with(relay(MergeWhen::Never), control::core::context::Settings { connections: 1, ..settings() });
    rig.turn_to(1);
    let said = rig.offer_proven(&offered(), first(), b"");
    let [(asked, _)] = &to(SERVER, &said)[..] else { panic!("{said:?}") };
    rig.turn_to(0);
    let said = rig.offer_proven(&offered(), first(), b"");
    let resets = |port| to(port, &said).into_iter().find(|(tcp, _)| tcp.flags.rst()).map(|(tcp, _)| tcp.seq);
    assert_eq!(resets(CLIENT), Some(Seq(COOKIE + 1)), "{said:?}");
    assert_eq!(resets(SERVER), Some(asked.seq.advance(1)), "{said:?}");
    assert!(to(SERVER, &said).iter().any(|(tcp, _)| tcp.flags == TcpFlags::SYN), "{said:?}");
    assert_eq!(rig.count(Counter::HandshakesDisplaced), 1);
}

fn settings_with(suspended: suspended::Limits, when: WhenFull) -> control::core::context::Settings {
    control::core::context::Settings { suspended, when_suspended_full: when, ..settings() }
}

#[test]
fn a_flood_begins_before_the_last_place_is_taken_and_ends_when_it_is_over() {
    // 8 places.
    let mut rig = Rig::new(relay(MergeWhen::Never));
    for n in 0..7 {
        rig.turn_to(n);
        rig.offer(syn(C));
    }
    assert_eq!((&rig.floods[..], rig.count(Counter::Floods)), (&[(6, true)][..], 1));
    // All but three go; for five seconds nobody is sure.
    for n in 0..4 {
        rig.turn_to(n);
        rig.client(rst(C + 1), b"");
    }
    rig.wait(Duration::from_millis(4900));
    assert_eq!((rig.floods.len(), rig.core.suspended()), (1, 3));
    rig.wait(Duration::from_millis(200));
    assert_eq!(rig.floods[1..], [(3, false)]);
    // It was not over: the next time it lasts for twice as long.
    for n in 10..13 {
        rig.turn_to(n);
        rig.offer(syn(C));
    }
    rig.client(rst(C + 1), b"");
    for n in 4..6 {
        rig.turn_to(n);
        rig.client(rst(C + 1), b"");
    }
    rig.wait(Duration::from_millis(9900));
    assert_eq!(rig.floods[2..], [(6, true)]);
    rig.wait(Duration::from_millis(200));
    assert_eq!(rig.floods[3..], [(3, false)]);
}

/// Their servers answer, they do not: what they have is a place among the participating flows.
#[test]
fn clients_that_are_never_validated_are_a_flood() {
    // 16 places, and 8 others.
    let mut rig = Rig::with(
        relay(MergeWhen::Never),
        control::core::context::Settings { connections: 16, ..settings() },
    );
    let answered = |rig: &mut Rig, n: u32| {
        rig.turn_to(n);
        rig.offer(syn(C));
        rig.server(syn_ack(S, C + 1), b"");
    };
    for n in 0..8 {
        answered(&mut rig, n);
        rig.client(ack(C + 1, S + 1), b"");
    }
    // Eight are left.
    for n in 8..14 {
        answered(&mut rig, n);
    }
    assert_eq!(rig.floods, []);
    rig.turn_to(14);
    rig.offer(syn(C));
    assert_eq!(rig.floods, [(1, true)]);
}

/// A prefix with a limit of its own never takes all places; that it displaces is enough.
#[test]
fn a_flood_from_one_prefix_is_noticed() {
    let suspended =
        suspended::Limits { per_source: Some(2), source_prefix: (8, 56), ..suspended::Limits::of(8) };
    for when in [WhenFull::Oldest, WhenFull::Drop] {
        let mut rig = Rig::with(relay(MergeWhen::Never), settings_with(suspended, when));
        for n in 0..3 {
            rig.turn_to(n);
            rig.offer(syn(C));
        }
        assert_eq!(rig.floods, [(2, true)]);
    }
}

/// Answers that are remembered need no place that anybody lacks.
#[test]
fn refused_syns_are_no_flood() {
    let mut rig = Rig::deciding(Decision::Reject(Rejection::Reset));
    for n in 0..8 {
        rig.turn_to(n);
        rig.offer(syn(C));
    }
    assert_eq!((rig.core.suspended(), rig.count(Counter::Floods)), (8, 0));
}

#[test]
fn it_is_relayed_as_soon_as_both_are_there() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    let said = rig.offer_proven(&offered(), first(), b"");
    let [(asked, _)] = &to(SERVER, &said)[..] else { panic!("{said:?}") };
    assert_eq!(rig.core.connections().next().map(|flow| flow.phase()), Some(Phase::Connecting));
    rig.server(syn_ack(S, asked.seq.0.wrapping_add(1)), b"");
    assert_eq!(rig.core.connections().next().map(|flow| flow.phase()), Some(Phase::Relaying));
}
