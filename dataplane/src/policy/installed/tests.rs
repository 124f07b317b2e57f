//! Rules that ask more than where a SYN comes from and goes to: in order with all others, and counted.

use super::*;
use crate::flow::quad::{Quad, Segment};
use crate::packet::{self, Packet};
use crate::policy::table::NONE;
use crate::policy::tree::Verdict;
use crate::policy::{Action, Defaults, Fallback, Per, Prefix, RateSpec, RuleSpec, Side, Strays, SynMatch};
use crate::wire::build::FrameTemplate;
use crate::wire::tcp::TcpRepr;
use crate::wire::tcp_flags::TcpFlags;
use crate::wire::tcp_options::TcpOptions;

const OFFER: Action = Action::Offer { module: 0 };

fn installed(rules: &[RuleSpec]) -> Installed {
    let defaults = Defaults {
        action: Action::Pass,
        strays: Strays::Drop,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    Installed::new(Arc::new(Snapshot::compile(rules, defaults).unwrap()))
}

fn rule(action: Action) -> RuleSpec {
    RuleSpec::everything(action)
}

/// At most one a second, from each address.
fn rate(side: Side) -> Option<RateSpec> {
    let per = Per::Source { prefix_v4: 32, prefix_v6: 128, sources: 64, when_full: Side::Within };
    Some(RateSpec { per_second: 1, burst: 1, side, per })
}

fn layout(text: &str) -> Option<SynMatch> {
    Some(SynMatch { layouts: vec![text.parse().unwrap()], ..SynMatch::default() })
}

/// A SYN from there, with an MSS of 1460 and nothing else, TTL 64.
fn decide(installed: &mut Installed, seconds: u64, client: &str) -> Decision {
    let client: std::net::SocketAddr = client.parse().unwrap();
    let server = if client.is_ipv4() { "10.9.0.1:80" } else { "[fd00:9::1]:80" };
    let quad = Quad::between(client, server.parse().unwrap()).unwrap();
    let options = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
    let syn = TcpRepr { flags: TcpFlags::SYN, window: 1000, options, ..TcpRepr::default() };
    let mut frame = [0; 128];
    let len = FrameTemplate::new([2; 6], [4; 6], &[], 64, quad).build(&syn, &[], &mut frame).unwrap();
    let Ok(Packet::Tcp(headers)) = packet::parse(&frame[..len]) else { panic!("not a segment") };
    installed.decide(Instant::from_millis(1000 * seconds), &headers, &frame[..len])
}

#[test]
fn a_rule_whose_condition_does_not_hold_leaves_the_syn_to_the_next() {
    let mut installed = installed(&[
        RuleSpec { syn: layout("mss,sok,ts,nop,ws"), ..rule(Action::Monitor) },
        RuleSpec { rate: rate(Side::Above), ..rule(Action::Drop) },
        RuleSpec { syn: layout("mss"), rate: rate(Side::Within), ..rule(Action::Bypass) },
        rule(OFFER),
    ]);
    for client in ["10.0.0.1:5", "[fd00::1]:5"] {
        assert_eq!(decide(&mut installed, 1, client).action, Action::Bypass, "the first, within both rates");
        assert_eq!(decide(&mut installed, 1, client).action, Action::Drop, "the second one is above");
        assert_eq!(decide(&mut installed, 2, client).action, Action::Bypass);
    }
    assert_eq!([0, 1, 2, 3, 4].map(|rule| installed.hits.of(rule)), [0, 2, 4, 0, 0]);
}

#[test]
fn a_token_is_taken_only_by_syns_that_the_rule_is_about() {
    let narrow = Prefix::new("10.0.0.1".parse().unwrap(), 32).unwrap();
    let mut installed = installed(&[
        RuleSpec { sources: vec![narrow], ..rule(Action::Monitor) },
        RuleSpec {
            rate: rate(Side::Within).map(|rate| RateSpec { per: Per::Rule, ..rate }),
            ..rule(Action::Bypass)
        },
    ]);
    assert_eq!(decide(&mut installed, 1, "10.0.0.1:5").action, Action::Monitor);
    assert_eq!(decide(&mut installed, 1, "10.0.0.2:5").action, Action::Bypass, "its token is still there");
    assert_eq!(decide(&mut installed, 1, "10.0.0.2:6").action, Action::Pass);
    assert_eq!(installed.hits.of(2), 1, "the default counts too");
}

#[test]
fn conditions_hide_no_rule_in_the_tree() {
    // Enough rules for a tree, each behind one with a condition that has all of its space.
    let network = |n: u32| vec![Prefix::new(std::net::Ipv4Addr::from(10 << 24 | n << 8).into(), 24).unwrap()];
    let rules: Vec<RuleSpec> = (0..500)
        .flat_map(|n| {
            let conditional = RuleSpec { syn: layout("mss,ws"), ..rule(Action::Drop) };
            [conditional, rule(OFFER)].map(|rule| RuleSpec { sources: network(n), ..rule })
        })
        .collect();
    let mut installed = installed(&rules);
    for n in [0, 7, 499] {
        let decision = decide(&mut installed, 1, &format!("10.{}.{}.9:5", n >> 8, n & 0xff));
        assert_eq!((decision.rule, decision.action), (2 * n + 1, OFFER));
    }
}

#[test]
fn rates_that_all_say_no_are_asked_in_order_and_judged_once() {
    // All about the same SYNs, so no cut separates them. Every other one is only for other SYNs.
    let rules: Vec<RuleSpec> = (0..1000)
        .map(|n| {
            let syn = (n % 2 == 1).then(|| layout("mss,ws")).flatten();
            RuleSpec { syn, rate: rate(Side::Above), ..rule(Action::Drop) }
        })
        .chain([rule(OFFER)])
        .collect();
    let mut installed = installed(&rules);
    assert_eq!(decide(&mut installed, 1, "10.0.0.1:5").rule, 1000, "the first, within all rates");
    assert_eq!(decide(&mut installed, 1, "10.0.0.1:5").rule, 0);
    let quad = Quad::between("10.0.0.1:5".parse().unwrap(), "10.9.0.1:80".parse().unwrap()).unwrap();
    let (mut from, mut judged, mut asked) = (0, 0, Vec::new());
    loop {
        let found = installed.snapshot.candidates(&quad, Segment(0), from, |rule| {
            judged += 1;
            match (rule.condition, rule.index % 2) {
                (NONE, _) => Verdict::Decides,
                (_, 0) => Verdict::Ask,
                _ => Verdict::No,
            }
        });
        asked.extend(found.asked.iter().map(|rule| rule.index));
        match found.then {
            Then::More(place) => from = place,
            Then::Decides(rule) => break assert_eq!(rule.index, 1000),
            Then::Nothing => panic!("the last one matches"),
        }
    }
    assert_eq!(asked, (0..1000).step_by(2).collect::<Vec<_>>());
    assert!(judged <= 1001 + 500 / 8, "{judged}");
}

#[test]
fn a_stray_is_compared_with_none_of_the_rules_that_cannot_have_let_it_pass() {
    let quad = Quad::between("10.0.0.1:5".parse().unwrap(), "10.9.0.1:80".parse().unwrap()).unwrap();
    let asking = (0..1000).map(|_| RuleSpec { rate: rate(Side::Above), ..rule(Action::Drop) });
    let installed = installed(&asking.chain([rule(OFFER)]).collect::<Vec<_>>());
    assert!(installed.snapshot.protects(&quad, Segment(0)));
    assert_eq!(installed.snapshot.v4.rules_for_strays(), 1);
}

#[test]
fn lists_of_what_a_syn_is_like_count_as_lists() {
    let syn = SynMatch { mss: vec![1460..=1460; RuleSpec::MOST_ENTRIES + 1], ..SynMatch::default() };
    let rules = [RuleSpec { syn: Some(syn), ..rule(OFFER) }];
    assert!(RuleSpec::check(&rules).is_err());
}

#[test]
fn strays_are_spared_where_a_condition_may_have_let_their_flow_pass() {
    let quad = Quad::between("10.0.0.1:5".parse().unwrap(), "10.9.0.1:80".parse().unwrap()).unwrap();
    let protects = |first: Action, then: Action| {
        let first = RuleSpec { rate: rate(Side::Above), ..rule(first) };
        installed(&[first, rule(then)]).snapshot.protects(&quad, Segment(0))
    };
    assert!(protects(Action::Drop, OFFER) && protects(OFFER, OFFER));
    assert!(!protects(Action::Bypass, OFFER) && !protects(Action::Monitor, OFFER));
    assert!(!protects(OFFER, Action::Bypass), "it need not have been offered");
}
