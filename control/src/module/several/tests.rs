//! What is held together, what is told when and in which order, and that nothing is left of it.

use std::collections::BTreeMap;

use dataplane::flow::quad::{Quad, Segment};
use dataplane::wire::tcp_options::TcpOptions;
use proptest::prelude::*;

use super::*;
use crate::module::relay::{MergeWhen, Relay};
use crate::module::{Acknowledge, History, Isn, ServerAck};

const WAIT: Duration = Duration::from_millis(500);
const AFTERWARDS: Duration = Duration::from_secs(2);
const REFUSED: Decision = Decision::Reject(Rejection::Reset);

fn several(complete: Complete, outstanding: usize) -> Several {
    let relay = Relay {
        merge: MergeWhen::Established,
        server_ack: ServerAck::AfterClient,
        isn: Isn::Keyed,
        acknowledge: Acknowledge::Receipt,
        client_first: None,
    };
    let together = Together {
        ports: vec![445..=445, 137..=139],
        complete,
        wait: WAIT,
        afterwards: AFTERWARDS,
        others: Rejection::Reset,
        outstanding: NonZeroUsize::new(outstanding).unwrap(),
    };
    Several::new(Box::new(relay), together)
}

/// Calls of a control core, at a time that the test says.
struct Bench {
    module: Several,
    now: Instant,
}

impl Bench {
    fn new(complete: Complete) -> Bench {
        Bench { module: several(complete, 8), now: Instant::ZERO }
    }

    fn with<T>(
        &mut self,
        ticket: u64,
        key: FlowKey,
        ask: impl FnOnce(&mut Several, &PartialConnection<'_>) -> T,
    ) -> T {
        let options = TcpOptions::default();
        let partial = PartialConnection {
            ticket: Ticket(ticket),
            key,
            options: &options,
            syn: &[],
            at: self.now,
            now: self.now,
            history: History::default(),
        };
        ask(&mut self.module, &partial)
    }

    fn offer_to(&mut self, ticket: u64, key: FlowKey) -> Decision {
        self.with(ticket, key, |module, partial| module.offered(partial))
    }

    /// The server's port is the ticket modulo 1000, its client's port the rest.
    fn offer(&mut self, ticket: u64) -> Decision {
        self.offer_to(ticket, key("10.0.0.1", "10.0.0.2", ticket))
    }

    fn try_all(&mut self, tickets: &[u64]) {
        for ticket in tickets {
            let decision = self.offer(*ticket);
            assert!(is_asked(decision), "{ticket}: {decision:?}");
        }
    }

    fn answer(&mut self, ticket: u64, outcome: Outcome) -> Decision {
        let answer = Answer { outcome, options: None };
        let key = key("10.0.0.1", "10.0.0.2", ticket);
        self.with(ticket, key, |module, partial| module.answered(partial, &answer))
    }

    /// All that it has decided, in order: what is told, and `!` before what is refused.
    fn decided(&mut self) -> Vec<String> {
        let decided = std::iter::from_fn(|| self.module.decided());
        let shown = |(Ticket(ticket), decision): (Ticket, Decision)| match decision {
            Decision::Proxy(proxying) if proxying.consult.is_none() => ticket.to_string(),
            REFUSED => format!("!{ticket}"),
            other => panic!("{other:?}"),
        };
        decided.map(shown).collect()
    }

    fn gone(&mut self, ticket: u64) {
        self.module.gone(Ticket(ticket), Gone::Client);
    }

    fn assert_empty(&self) {
        assert!(self.module.table.is_empty());
    }
}

fn key(client: &str, server: &str, ticket: u64) -> FlowKey {
    let [client, server]: [std::net::IpAddr; 2] = [client, server].map(|text| text.parse().unwrap());
    let ports = (4000 + (ticket / 1000) as u16, (ticket % 1000) as u16);
    let quad = Quad::between((client, ports.0).into(), (server, ports.1).into()).unwrap();
    FlowKey { quad, segment: Segment::new(0, 0, 0) }
}

fn is_asked(decision: Decision) -> bool {
    matches!(decision, Decision::Proxy(proxying)
        if proxying.consult == Some(Consult::within(WAIT)) && proxying.isn == Isn::Keyed)
}

fn is_plain(decision: Decision) -> bool {
    matches!(decision, Decision::Proxy(proxying) if proxying.consult.is_none())
}

const LATER: Decision = Decision::Later(WAIT);
const ACCEPTED: Outcome = Outcome::Accepted;
const SAID_NO: Outcome = Outcome::Refused;
const SILENT: Outcome = Outcome::Silent;
const UNREACHABLE: Outcome = Outcome::Unreachable { kind: 3, code: 1 };

#[test]
fn each_port_is_told_when_all_have_answered_in_their_order() {
    let mut bench = Bench::new(Complete::Each);
    bench.try_all(&[445, 139, 138]);
    assert_eq!(bench.answer(138, UNREACHABLE), LATER);
    assert_eq!(bench.answer(445, ACCEPTED), LATER);
    assert!(bench.decided().is_empty());
    assert_eq!(bench.answer(139, SAID_NO), LATER);
    assert_eq!(bench.decided(), ["138", "445", "139"]);
    bench.assert_empty();
}

#[test]
fn a_port_on_its_own_and_one_that_is_none_of_them_wait_for_nothing() {
    for complete in [Complete::Each, Complete::First] {
        let mut bench = Bench::new(complete);
        assert!(is_plain(bench.offer(80)));
        assert!(is_asked(bench.offer(445)));
        assert!(is_plain(bench.answer(445, SAID_NO)));
        bench.assert_empty();
    }
}

#[test]
fn silence_is_waited_for_once() {
    let mut bench = Bench::new(Complete::Each);
    bench.try_all(&[445, 139]);
    assert_eq!(bench.answer(445, ACCEPTED), LATER);
    assert!(is_plain(bench.answer(139, SILENT)), "what it says later is told at once");
    assert_eq!(bench.decided(), ["445"]);
    bench.assert_empty();

    // Whoever comes late does not hold up the others for ever.
    let mut bench = Bench::new(Complete::Each);
    bench.try_all(&[445, 139]);
    assert_eq!(bench.answer(445, ACCEPTED), LATER);
    let late = key("10.0.0.1", "10.0.0.2", 445);
    assert!(is_plain(bench.with(445, late, |module, partial| module.overdue(partial))));
    bench.gone(139);
    bench.assert_empty();
}

#[test]
fn the_first_that_accepts_is_completed_and_the_others_are_refused_behind_it() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139, 138, 1445]);
    assert_eq!(bench.answer(138, SAID_NO), LATER, "another may accept");
    assert!(is_plain(bench.answer(445, ACCEPTED)));
    assert_eq!(bench.decided(), ["!139", "138"], "the server's own words where it has said something");
    assert!(is_plain(bench.answer(1445, ACCEPTED)), "another connection to the same port");
    bench.assert_empty();
    let mut counted = BTreeMap::new();
    bench.module.counted(&mut |counter, n| {
        counted.insert(counter.name(), n);
    });
    assert_eq!((counted["together_refused"], counted["together_full"]), (1, 0));
}

#[test]
fn one_that_answers_in_the_same_round_is_too_late() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139]);
    assert!(is_plain(bench.answer(139, ACCEPTED)));
    assert_eq!(bench.answer(445, ACCEPTED), REFUSED);
    assert!(bench.decided().is_empty());
    bench.assert_empty();
}

#[test]
fn when_none_accepts_each_port_is_told_what_the_server_said() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139]);
    assert_eq!(bench.answer(139, UNREACHABLE), LATER);
    assert_eq!(bench.answer(445, SAID_NO), LATER);
    assert_eq!(bench.decided(), ["139", "445"]);
    bench.assert_empty();
}

#[test]
fn a_silent_port_may_still_be_the_first() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139, 1138]);
    assert_eq!(bench.answer(139, SAID_NO), LATER);
    for silent in [445, 1138] {
        let decision = bench.answer(silent, SILENT);
        assert!(matches!(decision, Decision::Proxy(proxying) if proxying.consult.is_some()), "{decision:?}");
    }
    assert_eq!(bench.decided(), ["139"], "a refusal is not held for ever");
    assert!(is_plain(bench.answer(445, ACCEPTED)));
    assert_eq!(bench.decided(), ["!1138"]);
    bench.assert_empty();
}

#[test]
fn the_choice_holds_for_a_while() {
    let mut bench = Bench::new(Complete::First);
    bench.offer(445);
    bench.answer(445, ACCEPTED);
    bench.now = bench.now + (AFTERWARDS - Duration::from_millis(1));
    assert_eq!(bench.offer(139), REFUSED);
    assert!(is_plain(bench.offer(1445)));
    assert!(is_asked(bench.offer_to(7, key("10.0.0.9", "10.0.0.2", 139))), "another client");
    assert!(is_asked(bench.offer_to(8, key("10.0.0.1", "10.0.0.9", 139))), "another server");
    let other = FlowKey { segment: Segment::new(0, 0, 5), ..key("10.0.0.1", "10.0.0.2", 139) };
    assert!(is_asked(bench.offer_to(9, other)), "another VLAN");
    bench.now = bench.now + Duration::from_millis(1);
    assert!(is_asked(bench.offer(2139)));
}

#[test]
fn who_gives_up_is_waited_for_no_more() {
    let mut bench = Bench::new(Complete::Each);
    bench.try_all(&[445, 139]);
    bench.answer(445, ACCEPTED);
    bench.gone(139);
    assert_eq!(bench.decided(), ["445"]);
    // What is gone before it was told is not told.
    bench.try_all(&[1445, 1139]);
    bench.answer(1445, SAID_NO);
    bench.answer(1139, SAID_NO);
    bench.gone(1445);
    assert_eq!(bench.decided(), ["1139"]);
    bench.assert_empty();
}

#[test]
fn what_has_no_room_is_proxied_on_its_own() {
    let mut bench = Bench::new(Complete::First);
    bench.module = several(Complete::First, 1);
    assert!(is_asked(bench.offer(445)));
    assert!(is_plain(bench.offer(139)));
    bench.gone(445);
    assert!(is_asked(bench.offer(1139)));
    let mut crowded = 0;
    bench.module.counted(&mut |counter, n| crowded += n * u64::from(counter == Counter::TogetherFull));
    assert_eq!(crowded, 1);
}

/// What a partial connection is to the control core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The module will hear what its server says.
    Consulted,
    /// It has said *later*.
    Thinks,
}

proptest! {
    /// Any order of what can happen: nothing is asked for ever, and nothing is left when all are gone.
    #[test]
    fn nothing_is_left(first in any::<bool>(), steps in prop::collection::vec((0u8..9, 0u64..12), 1..200)) {
        let mut bench = Bench::new(if first { Complete::First } else { Complete::Each });
        let mut partials: BTreeMap<u64, Phase> = BTreeMap::new();
        // Ports 137 to 139 and 445, in three connections each, between two pairs of ends, of either family.
        let key_of = |ticket: u64| {
            let port = [137, 138, 139, 445][(ticket % 4) as usize] + 1000 * (ticket / 4);
            if ticket.is_multiple_of(3) { key("fd00::1", "fd00::2", port) } else { key("10.0.0.1", "10.0.0.2", port) }
        };
        let mut next = 0;
        for (what, which) in steps {
            bench.now = bench.now + Duration::from_millis(100);
            let ticket = partials.keys().nth(which as usize % partials.len().max(1)).copied();
            let answer = |bench: &mut Bench, ticket: u64, outcome| {
                let answer = Answer { outcome, options: None };
                bench.with(ticket, key_of(ticket), |module, partial| module.answered(partial, &answer))
            };
            let (ticket, decision) = match (what, ticket) {
                (0..=3, _) => {
                    next += 1;
                    (next, bench.offer_to(next, key_of(next)))
                }
                (4..=6, Some(ticket)) if partials[&ticket] == Phase::Consulted => {
                    let outcome = [ACCEPTED, SAID_NO, SILENT][usize::from(what) - 4];
                    (ticket, answer(&mut bench, ticket, outcome))
                }
                (7, Some(ticket)) => {
                    partials.remove(&ticket);
                    bench.gone(ticket);
                    continue;
                }
                (_, Some(ticket)) if partials[&ticket] == Phase::Thinks => {
                    let overdue = |module: &mut Several, partial: &PartialConnection<'_>| module.overdue(partial);
                    (ticket, bench.with(ticket, key_of(ticket), overdue))
                }
                _ => continue,
            };
            match decision {
                Decision::Later(_) => partials.insert(ticket, Phase::Thinks),
                Decision::Proxy(proxying) if proxying.consult.is_some() => {
                    partials.insert(ticket, Phase::Consulted)
                }
                _ => partials.remove(&ticket),
            };
            while let Some((Ticket(ticket), _)) = bench.module.decided() {
                prop_assert!(partials.remove(&ticket).is_some(), "decided about {ticket}, which is gone");
            }
            // Whoever is held is held for somebody who is still asked.
            for (held, _) in partials.iter().filter(|(_, phase)| **phase == Phase::Thinks) {
                let ends = Ends::of(&key_of(*held));
                prop_assert!(bench.module.table.awaits(&ends), "{held} waits for nobody");
            }
        }
        for ticket in partials.into_keys() {
            bench.gone(ticket);
        }
        while bench.module.decided().is_some() {}
        bench.assert_empty();
    }
}
