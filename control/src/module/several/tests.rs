//! What is held together, what is told when and in which order, and that nothing is left of it.

use std::collections::BTreeMap;

use dataplane::flow::quad::{Quad, Segment};
use dataplane::wire::tcp_options::TcpOptions;
use proptest::prelude::*;

use super::*;
use crate::core::history::History;
use crate::module::relay::{MergeWhen, Relay};
use crate::module::{Acknowledge, Isn, ServerAck, Step};

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
            is_connected: false,
            past: &History::new(NonZeroUsize::MIN),
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

    /// The server accepts and the client is to hear so: the flow's session.
    fn begin(&mut self, ticket: u64) -> Box<dyn Session> {
        assert!(is_plain(self.answer(ticket, ACCEPTED)), "{ticket} waits");
        self.told(ticket)
    }

    /// The client has been told that the server has accepted.
    fn told(&mut self, ticket: u64) -> Box<dyn Session> {
        let session = self.module.session(&key("10.0.0.1", "10.0.0.2", ticket));
        self.module.gone(Ticket(ticket), Gone::Settled);
        session
    }

    fn overdue(&mut self, ticket: u64) -> Decision {
        let key = key("10.0.0.1", "10.0.0.2", ticket);
        self.with(ticket, key, |module, partial| module.overdue(partial))
    }

    fn refused(&mut self) -> u64 {
        let mut refused = 0;
        self.module.counted(&mut |counter, n| refused += n * u64::from(counter == Counter::TogetherRefused));
        refused
    }

    /// All that it has decided, in order: what is told, and `!` before what is refused.
    fn decided(&mut self) -> Vec<String> {
        let decided = std::iter::from_fn(|| self.module.decided(self.now));
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
fn the_first_that_is_completed_is_chosen_and_the_others_are_refused_behind_it() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139, 138, 137, 1445, 2445]);
    assert_eq!(bench.answer(138, SAID_NO), LATER, "another may accept");
    let mut first = bench.begin(445);
    assert_eq!(bench.answer(137, ACCEPTED), LATER, "it is another port's turn");
    let mut same = bench.begin(1445);
    assert!(bench.decided().is_empty(), "the SYN may have been anybody's");
    assert_eq!(first.established(), Step::Merge);
    assert_eq!(bench.decided(), ["!139", "!137", "138"], "the server's own words where it has refused");
    assert_eq!(same.established(), Step::Merge, "another connection to the same port");
    assert!(is_plain(bench.answer(2445, ACCEPTED)), "and one that is answered later");
    assert_eq!(bench.refused(), 2);
    drop((first, same));
    bench.assert_empty();
}

#[test]
fn a_client_that_never_completes_chooses_nothing_and_the_next_has_its_turn() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139, 138, 137]);
    let spoofed = bench.begin(445);
    assert_eq!(bench.answer(137, SAID_NO), LATER);
    assert_eq!(bench.answer(139, ACCEPTED), LATER);
    assert_eq!(bench.answer(138, ACCEPTED), LATER);
    drop(spoofed);
    assert_eq!(bench.decided(), ["139"], "in the order of their answers");
    drop(bench.told(139));
    assert_eq!(bench.decided(), ["138"]);
    let mut honest = bench.told(138);
    honest.established();
    assert_eq!(bench.decided(), ["137"]);
    assert_eq!((bench.offer(445), bench.offer(139)), (REFUSED, REFUSED));
    drop(honest);
    bench.assert_empty();

    // The last one's turn is over: what the server has refused is told.
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139]);
    let spoofed = bench.begin(445);
    assert_eq!(bench.answer(139, SAID_NO), LATER);
    drop(spoofed);
    assert_eq!(bench.decided(), ["139"]);
    assert!(is_asked(bench.offer(1139)), "nothing has been chosen");
    bench.gone(1139);
    bench.assert_empty();
}

#[test]
fn a_turn_holds_up_nobody_for_longer_than_the_wait() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139, 138]);
    let mut slow = bench.begin(445);
    assert_eq!((bench.answer(139, ACCEPTED), bench.answer(138, SAID_NO)), (LATER, LATER));
    assert!(is_plain(bench.overdue(139)) && is_plain(bench.overdue(138)));
    let mut quick = bench.told(139);
    assert_eq!(quick.established(), Step::Merge);
    assert_eq!(slow.established(), Step::Reset, "also within one round");
    assert!(bench.decided().is_empty());
    assert_eq!(bench.refused(), 1);
    assert_eq!(bench.offer(1445), REFUSED);
    drop((slow, quick));
    bench.assert_empty();
}

#[test]
fn whose_turn_has_not_begun_loses_it_with_its_client() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139, 138]);
    assert!(is_plain(bench.answer(445, ACCEPTED)));
    assert_eq!((bench.answer(139, ACCEPTED), bench.answer(138, ACCEPTED)), (LATER, LATER));
    // Before there was a place for its flow.
    bench.gone(445);
    // Before it was told.
    bench.gone(139);
    assert_eq!(bench.decided(), ["138"]);
    bench.gone(138);
    bench.assert_empty();
}

#[test]
fn one_that_answers_in_the_same_round_is_too_late() {
    let mut bench = Bench::new(Complete::First);
    bench.try_all(&[445, 139, 138]);
    let mut session = bench.begin(139);
    assert_eq!(bench.answer(138, ACCEPTED), LATER);
    session.established();
    assert_eq!(bench.answer(445, ACCEPTED), REFUSED);
    assert_eq!(bench.overdue(138), REFUSED);
    assert!(bench.decided().is_empty());
    drop(session);
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
    bench.begin(445).established();
    assert_eq!(bench.decided(), ["!1138"]);
    bench.assert_empty();
}

#[test]
fn the_choice_holds_for_a_while() {
    let mut bench = Bench::new(Complete::First);
    bench.offer(445);
    let mut session = bench.begin(445);
    bench.now = bench.now + WAIT;
    session.established();
    assert!(bench.decided().is_empty());
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

/// What a control core makes of any order of events.
struct Play {
    bench: Bench,
    partials: BTreeMap<u64, Phase>,
    /// Of those whose client has been told that the server has accepted.
    sessions: Vec<Box<dyn Session>>,
    next: u64,
}

/// Ports 137 to 139 and 445, in any number of connections each, between two pairs of ends, of either family.
fn key_of(ticket: u64) -> FlowKey {
    let port = [137, 138, 139, 445][(ticket % 4) as usize] + 1000 * (ticket / 4);
    if ticket.is_multiple_of(3) { key("fd00::1", "fd00::2", port) } else { key("10.0.0.1", "10.0.0.2", port) }
}

impl Play {
    fn ask(
        &mut self,
        ticket: u64,
        ask: impl FnOnce(&mut Several, &PartialConnection<'_>) -> Decision,
    ) -> Option<(u64, Decision)> {
        Some((ticket, self.bench.with(ticket, key_of(ticket), ask)))
    }

    /// One event, and what was decided about whom.
    fn step(&mut self, what: u8, which: usize) -> Option<(u64, Decision)> {
        let ticket = self.partials.keys().nth(which % self.partials.len().max(1)).copied();
        let session = which % self.sessions.len().max(1);
        match (what, ticket) {
            (0..=3, _) => {
                self.next += 1;
                self.ask(self.next, |module, partial| module.offered(partial))
            }
            (4..=6, Some(ticket)) if self.partials[&ticket] == Phase::Consulted => {
                let outcome = [ACCEPTED, SAID_NO, SILENT][usize::from(what) - 4];
                let answer = Answer { outcome, options: None };
                self.ask(ticket, |module, partial| module.answered(partial, &answer))
            }
            (7, Some(ticket)) => {
                self.partials.remove(&ticket);
                self.bench.gone(ticket);
                None
            }
            (8, _) if !self.sessions.is_empty() => {
                self.sessions[session].established();
                None
            }
            (9, _) if !self.sessions.is_empty() => {
                self.sessions.swap_remove(session);
                None
            }
            (_, Some(ticket)) if self.partials[&ticket] == Phase::Thinks => {
                self.ask(ticket, |module, partial| module.overdue(partial))
            }
            _ => None,
        }
    }

    fn carry_out(&mut self, ticket: u64, decision: Decision) {
        match decision {
            Decision::Later(_) => {
                self.partials.insert(ticket, Phase::Thinks);
            }
            Decision::Proxy(proxying) if proxying.consult.is_some() => {
                self.partials.insert(ticket, Phase::Consulted);
            }
            _ => {
                if decision != REFUSED {
                    self.sessions.push(self.bench.module.session(&key_of(ticket)));
                }
                self.partials.remove(&ticket);
                self.bench.gone(ticket);
            }
        }
    }

    fn take_decisions(&mut self) {
        while let Some((Ticket(ticket), decision)) = self.bench.module.decided(self.bench.now) {
            assert!(self.partials.contains_key(&ticket), "decided about {ticket}, which is gone");
            self.carry_out(ticket, decision);
        }
    }
}

proptest! {
    /// Any order of what can happen: nothing is asked for ever, and nothing is left when all are gone.
    #[test]
    fn nothing_is_left(first in any::<bool>(), steps in prop::collection::vec((0u8..11, 0usize..12), 1..200)) {
        let bench = Bench::new(if first { Complete::First } else { Complete::Each });
        let mut play = Play { bench, partials: BTreeMap::new(), sessions: Vec::new(), next: 0 };
        for (what, which) in steps {
            play.bench.now = play.bench.now + Duration::from_millis(100);
            if let Some((ticket, decision)) = play.step(what, which) {
                play.carry_out(ticket, decision);
            }
            play.take_decisions();
            // Whoever is held is held for somebody who is still asked, or whose turn it is.
            for (held, _) in play.partials.iter().filter(|(_, phase)| **phase == Phase::Thinks) {
                prop_assert!(play.bench.module.table.awaits(&Ends::of(&key_of(*held))), "{held} waits for nobody");
            }
        }
        play.sessions.clear();
        play.take_decisions();
        for ticket in std::mem::take(&mut play.partials).into_keys() {
            play.bench.gone(ticket);
        }
        play.take_decisions();
        play.sessions.clear();
        play.take_decisions();
        play.bench.assert_empty();
    }
}
