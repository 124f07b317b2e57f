//! Other servers, other client addresses, other next hops.

use dataplane::flow::far::NextHop;
use dataplane::port::PortId;

use super::rejected::check;
use super::{BASE, accept};
use crate::config::validated::Action;

#[test]
fn rules_share_equal_hops_and_modules_have_their_own() {
    let config = accept(&format!(
        "{BASE}
        [[rule]]
        match = {{ vlan = 5 }}
        action = \"forward\"
        next_hop = {{ mac = \"02:00:00:00:00:aB\", vlan = \"100.7\", port = \"client\" }}
        [[rule]]
        match = {{ vlan = 6 }}
        action = \"forward\"
        next_hop = {{ vlan = \"none\" }}
        [[rule]]
        match = {{ vlan = 7 }}
        action = \"forward\"
        next_hop = {{ mac = \"02-00-00-00-00-ab\", vlan = \"100.7\", port = \"client\" }}
        [[rule]]
        action = \"offer\"
        module = \"m\"
        [module.m]
        kind = \"relay\"
        server = [\"10.0.0.9:80\", \"[fd00::9]:8080\"]
        client = [\"10.0.0.5\", \"fd00::5\"]
        next_hop = {{ vlan = 20 }}"
    ));
    let mac = Some([2, 0, 0, 0, 0, 0xab]);
    let first = NextHop { mac, vlans: Some((100, 7)), port: Some(PortId(0)) };
    assert_eq!(config.hops, [first, NextHop { vlans: Some((0, 0)), ..NextHop::default() }]);
    let actions: Vec<_> = config.rules.iter().map(|rule| rule.action).collect();
    let forward = |hop| Action::Forward { hop };
    assert_eq!(actions, [forward(0), forward(1), forward(0), Action::Offer { module: 0 }]);
    let module = &config.modules[0];
    assert_eq!(module.servers, ["10.0.0.9:80".parse().unwrap(), "[fd00::9]:8080".parse().unwrap()]);
    assert_eq!(
        config.services(),
        ["10.0.0.5".parse::<std::net::IpAddr>().unwrap(), "fd00::5".parse().unwrap()]
    );
    assert_eq!(module.hop.vlans, Some((0, 20)));
    let snapshot = crate::policy::compile::compile(&config).unwrap();
    assert_eq!((snapshot.hop(0), snapshot.hop(2)), (Some(first), None));
    let kept = accept(&format!("{BASE}[module.m]\nkind = \"relay\"\nclient = \"keep\""));
    assert!(kept.services().is_empty());
}

#[test]
fn what_is_no_hop_no_server_and_no_client() {
    let forward = "[[rule]]\naction = \"forward\"\n";
    let hop = |text: &str| format!("{forward}next_hop = {text}");
    let module = |text: &str| format!("[module.m]\nkind = \"relay\"\n{text}");
    let cases = [
        (
            forward.to_owned(),
            "12:1: rule[0].next_hop: is missing; say where the flow goes: { mac = \"…\", vlan = …, port = \"…\" }, or \
             let action = \"bypass\" have it go its own way",
        ),
        (hop("{}"), "14:12: rule[0].next_hop: says nothing; give mac, vlan or port, or leave it out"),
        (
            hop("{ mac = \"2:0:0:0:0:1\" }"),
            "14:20: rule[0].next_hop.mac: \"2:0:0:0:0:1\" is not a MAC address; write for example \
             \"02:00:00:00:00:01\"",
        ),
        (
            hop("{ mac = \"ff:ff:ff:ff:ff:ff\" }"),
            "14:20: rule[0].next_hop.mac: is no single station's; give the next hop's own MAC address",
        ),
        (
            hop("{ vlan = 4095 }"),
            "14:21: rule[0].next_hop.vlan: 4095 is not a VLAN; write an id (1 to 4094), \"OUTER.INNER\" for two \
             tags, or \"none\"",
        ),
        (
            hop("{ port = \"sever\" }"),
            "14:21: rule[0].next_hop.port: no port is named \"sever\"; did you mean \"server\"?",
        ),
        (
            "[[rule]]\naction = \"bypass\"\nnext_hop = { vlan = 5 }".to_owned(),
            "14:12: rule[0].next_hop: counts only with action = \"forward\"; change the action or leave it out (a \
             module has its own next_hop)",
        ),
        (
            module("server = \"10.0.0.9\""),
            "14:10: module.m.server: \"10.0.0.9\" is not a server; write for example \"10.0.0.9:80\" or \
             \"[2001:db8::9]:80\"",
        ),
        (
            module("server = \"224.0.0.1:80\""),
            "14:10: module.m.server: 224.0.0.1:80 is no single server; give its own address and port",
        ),
        (
            module("server = [\"10.0.0.9:80\", \"10.0.0.8:80\"]"),
            "14:26: module.m.server[1]: another server of this family is named already; one of each is possible",
        ),
        (
            module("client = [\"10.0.0.5\", \"10.0.0.5\"]"),
            "14:23: module.m.client[1]: is there already; leave one out",
        ),
        (
            module("client = [\"keep\", \"10.0.0.5\"]"),
            "14:11: module.m.client[0]: \"keep\" is not an address of a host; write addresses that are the \
             appliance's alone, for example [\"10.0.0.5\", \"fd00::5\"], or \"keep\"",
        ),
        (
            module(
                "client = [\"10.0.0.5\", \"10.0.0.9\"]\n[module.n]\nkind = \"relay\"\nserver = \"10.0.0.9:80\"",
            ),
            "14:23: module.m.client[1]: 10.0.0.9 is the server of module \"n\"; write addresses that are the \
             appliance's alone, for what is sent to them ends here",
        ),
    ];
    check(&cases.each_ref().map(|(change, said)| (change.as_str(), *said)));
}

fn warnings(text: &str) -> Vec<String> {
    accept(text).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_rule_about_an_address_of_the_appliances_own_is_warned_of() {
    let text = |destination: &str| {
        format!(
            "{BASE}[[rule]]\nmatch = {{ destination = [\"{destination}\"] }}\naction = \"offer\"\nmodule = \"m\"\n\
             [module.m]\nkind = \"relay\"\nclient = [\"10.0.0.5\", \"fd00::5\"]\n"
        )
    };
    for own in ["10.0.0.5", "fd00::5"] {
        assert_eq!(
            warnings(&text(own)),
            [format!(
                "q.toml:12:1: rule[0]: connections to {own} never come to a rule: module \"m\" has it as client, so it is \
                 the appliance's own; give one of the two another address"
            )]
        );
    }
    assert_eq!(warnings(&text("10.0.0.0/24")), [""; 0], "others are in it");
}

#[test]
fn a_hop_by_a_port_that_takes_less_is_warned_of() {
    let text = |mtu: u16| {
        let port = |name: &str, peer: &str, n: u8| {
            format!("[[port]]\nname = \"{name}\"\ndevice = \"net_null{n}\"\npeer = \"{peer}\"\nmtu = {mtu}\n")
        };
        let (a, b) = (port("a", "b", 1), port("b", "a", 2));
        format!("{BASE}{a}{b}[[rule]]\naction = \"forward\"\nnext_hop = {{ port = \"a\" }}\n")
    };
    assert_eq!(
        warnings(&text(1400)),
        [
            "q.toml:24:21: rule[0].next_hop.port: datagrams of more than 1400 bytes do not leave by this port (drop_mtu), \
             and port \"server\" takes 1500; give both pairs the same mtu"
        ]
    );
    assert_eq!(warnings(&text(1500)), [""; 0]);
}
