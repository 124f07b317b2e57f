//! The compiled snapshot against an oracle that reads the specification literally.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;

use super::*;

const DEFAULTS: Defaults = Defaults {
    action: Action::Pass,
    strays: Strays::Drop,
    flows_full: Fallback::Drop,
    on_control_stall: Fallback::Pass,
};

const OFFER: Action = Action::Offer { module: 3 };

fn rule(action: Action) -> RuleSpec {
    RuleSpec {
        sources: vec![],
        destinations: vec![],
        source_ports: vec![],
        destination_ports: vec![],
        vlans: vec![],
        action,
    }
}

fn quad(client: &str, server: &str) -> Quad {
    let address = |s: &str| s.parse::<SocketAddr>().unwrap();
    Quad::between(address(client), address(server)).unwrap()
}

fn prefix(address: &str, length: u8) -> Prefix {
    Prefix::new(address.parse().unwrap(), length).unwrap()
}

#[test]
fn no_rule_gives_the_default() {
    let snapshot = Snapshot::compile(&[], Defaults { action: Action::Drop, ..DEFAULTS }).unwrap();
    let decision = snapshot.decide(&quad("[::1]:1", "[::2]:2"), Segment(0));
    assert_eq!(decision, Decision { rule: Decision::NO_RULE, action: Action::Drop });
    assert_eq!(snapshot.strays(), Strays::Drop);
    assert_eq!((snapshot.flows_full(), snapshot.on_control_stall()), (Fallback::Drop, Fallback::Pass));
}

#[test]
fn a_rule_with_addresses_of_one_family_never_matches_the_other() {
    let only_v4 = RuleSpec { sources: vec![prefix("0.0.0.0", 0)], ..rule(Action::Drop) };
    let snapshot = Snapshot::compile(&[only_v4], DEFAULTS).unwrap();
    assert_eq!(snapshot.decide(&quad("[::1]:1", "[::2]:2"), Segment(0)).action, Action::Pass);
    assert_eq!(snapshot.decide(&quad("1.2.3.4:1", "5.6.7.8:2"), Segment(0)).rule, 0);
}

#[test]
fn clients_that_an_earlier_rule_bypasses_are_no_strays() {
    let trusted = RuleSpec { sources: vec![prefix("10.9.0.0", 16)], ..rule(Action::Bypass) };
    let web = RuleSpec { destination_ports: vec![80..=80], ..rule(OFFER) };
    let snapshot = Snapshot::compile(&[trusted, web], DEFAULTS).unwrap();
    assert!(snapshot.protects(&quad("10.8.0.1:4000", "10.0.0.2:80"), Segment(0)));
    assert!(!snapshot.protects(&quad("10.9.0.1:4000", "10.0.0.2:80"), Segment(0)));
    assert!(!snapshot.protects(&quad("10.8.0.1:4000", "10.0.0.2:81"), Segment(0)));
    assert!(!snapshot.protects(&quad("10.0.0.2:80", "10.8.0.1:4000"), Segment(0)));
}

#[test]
fn vlans_match_on_any_port_pair() {
    let vlans = [VlanMatch::inner(7), VlanMatch::stack(100, 9), VlanMatch::UNTAGGED];
    assert_eq!(vlans.map(|vlan| vlan.to_string()), ["7", "100.9", "none"]);
    let rules: Vec<_> = vlans.map(|v| RuleSpec { vlans: vec![v], ..rule(Action::Drop) }).into();
    let snapshot = Snapshot::compile(&rules, DEFAULTS).unwrap();
    let cases =
        [((0, 7), 0), ((55, 7), 0), ((100, 9), 1), ((0, 0), 2), ((0, 9), u16::MAX), ((101, 9), u16::MAX)];
    for ((outer, inner), expected) in cases {
        for pair in [0, 5] {
            let segment = Segment::new(pair, outer, inner);
            let decision = snapshot.decide(&quad("1.1.1.1:1", "2.2.2.2:2"), segment);
            assert_eq!(decision.rule, expected, "{segment:?}");
        }
    }
}

#[test]
fn too_many_entries_are_refused_by_name() {
    let wide = RuleSpec { destination_ports: vec![1..=1; 40_000], ..rule(Action::Drop) };
    let error = Snapshot::compile(&[wide.clone(), wide], DEFAULTS).unwrap_err();
    assert_eq!(error.to_string(), "too many ports in all rules together; at most 65535 fit");
    assert_eq!(Prefix::new("1.2.3.4".parse().unwrap(), 33), Err(PrefixError));
}

#[test]
fn two_rules_share_a_cache_line() {
    assert!(size_of::<spec::CompiledRule>() <= 28);
}

/// A rule as the oracle remembers it: the specification next to raw prefixes, which it compares bit by bit.
#[derive(Debug, Clone)]
struct Stated {
    sources: Vec<(IpAddr, u8)>,
    destinations: Vec<(IpAddr, u8)>,
    source_ports: Vec<(u16, u16)>,
    destination_ports: Vec<(u16, u16)>,
    /// Outer (`None`: whatever) and inner id.
    vlans: Vec<(Option<u16>, u16)>,
    action: Action,
}

impl Stated {
    fn spec(&self) -> RuleSpec {
        let prefixes =
            |list: &[(IpAddr, u8)]| list.iter().map(|(a, l)| Prefix::new(*a, *l).unwrap()).collect();
        let ports = |list: &[(u16, u16)]| list.iter().map(|(a, b)| *a..=*b).collect();
        let vlan = |(outer, inner): &(Option<u16>, u16)| match outer {
            Some(outer) => VlanMatch::stack(*outer, *inner),
            None => VlanMatch::inner(*inner),
        };
        RuleSpec {
            sources: prefixes(&self.sources),
            destinations: prefixes(&self.destinations),
            source_ports: ports(&self.source_ports),
            destination_ports: ports(&self.destination_ports),
            vlans: self.vlans.iter().map(vlan).collect(),
            action: self.action,
        }
    }

    fn matches(&self, quad: &Quad, segment: Segment) -> bool {
        let address = |list: &[(IpAddr, u8)], address| {
            list.is_empty() || list.iter().any(|(network, length)| same_bits(*network, address, *length))
        };
        let port = |list: &[(u16, u16)], port| {
            list.is_empty() || list.iter().any(|(a, b)| (*a..=*b).contains(&port))
        };
        let vlan = |(outer, inner): &(Option<u16>, u16)| {
            *inner == segment.inner_vlan() && outer.is_none_or(|outer| outer == segment.outer_vlan())
        };
        address(&self.sources, quad.addresses.source())
            && address(&self.destinations, quad.addresses.destination())
            && port(&self.source_ports, quad.client_port)
            && port(&self.destination_ports, quad.server_port)
            && (self.vlans.is_empty() || self.vlans.iter().any(vlan))
    }
}

fn same_bits(a: IpAddr, b: IpAddr, length: u8) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        octets.iter().flat_map(|octet| (0..8).rev().map(move |i| octet >> i & 1 == 1)).collect()
    };
    a.is_ipv4() == b.is_ipv4() && bits(a)[..length as usize] == bits(b)[..length as usize]
}

/// Addresses from a small world, so that prefixes of every length hit often.
fn address(v4: bool) -> BoxedStrategy<IpAddr> {
    let bits = prop::sample::select(vec![0u8, 1, 2, 3, 0x80, 0xff]);
    if v4 {
        (bits.clone(), bits).prop_map(|(a, b)| Ipv4Addr::new(10, a, 0, b).into()).boxed()
    } else {
        let word = |b: u8| u16::from(b) << 8 | u16::from(b);
        (bits.clone(), bits)
            .prop_map(move |(a, b)| Ipv6Addr::new(0xfd00, 0, word(a), 0, 0, 0, 0, word(b)).into())
            .boxed()
    }
}

fn network() -> impl Strategy<Value = (IpAddr, u8)> {
    any::<bool>().prop_flat_map(|v4| (address(v4), 0..=if v4 { 32u8 } else { 128 }))
}

fn stated() -> impl Strategy<Value = Stated> {
    let list = || prop::collection::vec(network(), 0..3);
    let ports = || prop::collection::vec((0u16..6, 0u16..6).prop_map(|(a, b)| (a.min(b), a.max(b))), 0..3);
    let vlans = prop::collection::vec((prop::option::of(0u16..3), 0u16..3), 0..3);
    let action = prop::sample::select(vec![
        Action::Drop,
        Action::Reject { rejection: 0 },
        Action::Bypass,
        Action::Monitor,
        OFFER,
    ]);
    (list(), list(), ports(), ports(), vlans, action).prop_map(
        |(sources, destinations, source_ports, destination_ports, vlans, action)| Stated {
            sources,
            destinations,
            source_ports,
            destination_ports,
            vlans,
            action,
        },
    )
}

fn syn() -> impl Strategy<Value = (Quad, Segment)> {
    let quad = any::<bool>().prop_flat_map(|v4| (address(v4), 0u16..6, address(v4), 0u16..6)).prop_map(
        |(client, client_port, server, server_port)| {
            Quad::between(SocketAddr::new(client, client_port), SocketAddr::new(server, server_port)).unwrap()
        },
    );
    (quad, (0u8..2, 0u16..3, 0u16..3).prop_map(|(pair, outer, inner)| Segment::new(pair, outer, inner)))
}

proptest! {
    #[test]
    fn decides_as_the_oracle(
        rules in prop::collection::vec(stated(), 0..8),
        syns in prop::collection::vec(syn(), 1..16),
    ) {
        let specs: Vec<_> = rules.iter().map(Stated::spec).collect();
        let snapshot = Snapshot::compile(&specs, DEFAULTS).unwrap();
        for (quad, segment) in syns {
            let expected = rules.iter().position(|rule| rule.matches(&quad, segment));
            let decision = snapshot.decide(&quad, segment);
            prop_assert_eq!(decision.rule, expected.map_or(Decision::NO_RULE, |index| index as u16));
            prop_assert_eq!(decision.action, expected.map_or(Action::Pass, |index| rules[index].action));
            prop_assert_eq!(snapshot.protects(&quad, segment), matches!(decision.action, Action::Offer { .. }));
        }
    }
}
