//! What is accepted and what it becomes. What is rejected, and in which words, is in [`rejected`].

use std::path::Path;
use std::time::Duration;

use dataplane::flow::quad::{Quad, Segment};
use dataplane::policy::{Action, Fallback, Per, RateSpec, Side, Strays};
use dataplane::port::impaired::Share;
use dataplane::worker::parked::Parked;

use super::validated::{
    self, Acknowledge, Device, Idle, Isn, Merge, ModuleKind, Pair, Program, ServerAck, WithoutDecision,
};
use super::{Config, Devices, Diagnostic, Machine, parse};
use crate::tcp::Algorithm;

mod cookies;
mod far;
mod inspect;
mod rejected;
mod rejected_rules;
mod standing;
mod together;
mod tunnel;

/// Line 1 to 11 of every text in these tests.
const BASE: &str = "\
[cores]
control = 0
workers = [1]
[[port]]
name = \"client\"
device = \"net_af_packet0,iface=veth0\"
peer = \"server\"
[[port]]
name = \"server\"
device = \"0000:01:00.0\"
peer = \"client\"
";

fn machine() -> Machine {
    Machine { cores: vec![0, 1, 2, 3, 8], devices: Devices::Unknown }
}

fn accept(text: &str) -> Config {
    parse("q.toml", text, &machine()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn defaults_are_those_of_the_reference() {
    let config = accept(BASE);
    assert_eq!(config.source, "q.toml");
    assert_eq!(config.socket, Path::new("/run/quadrille.sock"));
    assert_eq!(config.cores.idle, Idle::Spin);
    assert_eq!(config.ports[1].device, Device::Pci("0000:01:00.0".into()));
    assert_eq!((config.ports[0].peer, config.ports[1].peer), (1, 0));
    assert_eq!(config.pairs, [Pair { ports: [0, 1], mtu: None }]);
    assert_eq!(
        (config.memory.buffers, config.memory.data_room, config.memory.megabytes),
        (32_767, 2176, 256)
    );
    assert_eq!(config.timeouts.syn, Duration::from_secs(75));
    assert_eq!(config.timeouts.idle_established, Duration::from_secs(7440));
    assert_eq!((config.timeouts.user, config.timeouts.keepalive), (Duration::from_secs(300), None));
    assert_eq!((config.policy.default, config.policy.flows_full), (Fallback::Pass, Fallback::Drop));
    assert_eq!(config.policy.strays, Strays::Drop);
    assert_eq!(config.limits.congestion, Algorithm::Cubic);
    assert!(config.rules.is_empty() && config.modules.is_empty() && config.warnings.is_empty());
}

#[test]
fn values_take_units_and_lists_take_single_values() {
    let config = accept(&format!(
        "{BASE}mtu = 9000
        [limits]
        send_buffer = \"1MiB\"
        receive_buffer = 65536
        drain_up_to = \"64KiB\"
        congestion = \"newreno\"
        [timeouts]
        syn = \"1m 15s\"
        drain = \"80ms\"
        user = \"1h\"
        keepalive = \"2h\"
        [[rule]]
        name = \"web\"
        match = {{ source = [\"10.0.0.0/8\", \"fd00::1\"], destination_ports = [80, \"8000-8080\"], vlan = \"none\" }}
        action = \"offer\"
        module = \"relay\"
        [module.relay]
        kind = \"relay\"
        merge = {{ after_bytes = 4096 }}
        server_ack = \"at-once\"
        isn = \"keyed\"
        acknowledge = \"through\""
    ));
    assert_eq!((config.limits.send_buffer, config.limits.receive_buffer), (1 << 20, 1 << 16));
    assert_eq!(config.limits.drain_up_to, 64 << 10);
    assert_eq!(config.limits.congestion, Algorithm::NewReno);
    assert_eq!(config.timeouts.syn, Duration::from_secs(75));
    assert_eq!(config.timeouts.drain, Duration::from_millis(80));
    assert_eq!(config.timeouts.user, Duration::from_secs(3600));
    assert_eq!(config.timeouts.keepalive, Some(Duration::from_secs(7200)));
    assert_eq!(config.pairs[0].mtu, Some(9000));
    assert_eq!(config.memory.data_room, 128 + 9216);
    assert_eq!(config.rules[0].matches.destination_ports, [80..=80, 8000..=8080]);
    let module = &config.modules[0];
    assert_eq!(
        (module.merge, module.server_ack, module.isn, module.acknowledge),
        (Merge::AfterBytes(4096), ServerAck::AtOnce, Isn::Keyed, Acknowledge::Through)
    );
}

#[test]
fn an_impaired_port_says_what_its_cable_does_and_needs_buffers_for_it() {
    let config = accept(&format!(
        "{BASE}impair = {{ loss = \"0.1%\", delay = \"25ms\", reorder = \"2 %\", rate = \"1.5Gbit\", queue = 10000 }}"
    ));
    let cable = config.ports[1].impairment.unwrap();
    assert_eq!((cable.loss, cable.reorder), (Share::per_million(1000), Share::per_million(20_000)));
    assert_eq!(
        (cable.delay, cable.rate, cable.queue),
        (Duration::from_millis(25), Some(1_500_000_000), 10_000)
    );
    assert_eq!((cable.jitter, cable.duplicate, cable.seed), (Duration::ZERO, Share::default(), 1));
    assert_eq!(config.ports[0].impairment, None);
    // 16 896 without the cable's two directions.
    assert_eq!(config.memory.buffers, 65_535);
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["q.toml:12:10: port[1].impair: port \"server\" impairs its frames on purpose: for a lab only"]
    );
}

#[test]
fn several_wires_are_numbered_in_order() {
    let port = |name: &str, peer: &str, rest: &str| {
        format!("[[port]]\nname = {name:?}\npeer = {peer:?}\ndevice = \"net_null{rest}\n")
    };
    let text = [
        "[cores]\ncontrol = 8\nworkers = [3, 8]\nidle = \"sleep\"\nidle_ceiling_us = 50\n".to_owned(),
        port("a", "d", "0\"\nmtu = 1400"),
        port("b", "c", "1\""),
        port("c", "b", "2\"\nmtu = 2000"),
        port("d", "a", "3\"\nmtu = 1300"),
    ]
    .concat();
    let config = accept(&text);
    let pairs = [Pair { ports: [0, 3], mtu: Some(1300) }, Pair { ports: [1, 2], mtu: Some(2000) }];
    assert_eq!(config.pairs, pairs);
    assert_eq!(config.ports.iter().map(|port| port.pair).collect::<Vec<_>>(), [0, 1, 1, 0]);
    assert_eq!(config.cores.idle, Idle::Sleep { ceiling: Duration::from_micros(50) });
}

#[test]
fn rules_compile_in_order() {
    let config = accept(&format!(
        "{BASE}
        [policy]
        default = \"drop\"
        [[rule]]
        match = {{ source = \"192.0.2.0/24\" }}
        action = \"bypass\"
        [[rule]]
        match = {{ destination = \"198.51.100.7\", destination_ports = 443, vlan = [\"100.7\", 9] }}
        action = \"offer\"
        module = \"b\"
        [module.b]
        kind = \"relay\"
        [module.a]
        kind = \"relay\""
    ));
    let snapshot = crate::policy::compile::compile(&config).unwrap();
    let decide = |client: &str, server: &str, segment| {
        let quad = Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap();
        snapshot.decide(&quad, segment).action
    };
    let tagged = Segment::new(0, 100, 7);
    assert_eq!(decide("192.0.2.1:9", "198.51.100.7:443", tagged), Action::Bypass);
    assert_eq!(decide("203.0.113.1:9", "198.51.100.7:443", tagged), Action::Offer { module: 1 });
    assert_eq!(
        decide("203.0.113.1:9", "198.51.100.7:443", Segment::new(0, 0, 9)),
        Action::Offer { module: 1 }
    );
    assert_eq!(decide("203.0.113.1:9", "198.51.100.7:443", Segment::new(0, 0, 7)), Action::Drop);
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["q.toml:24:17: module.a: no rule offers flows to this module"]);
}

#[test]
fn a_rule_says_what_it_rejects_with() {
    let rule = |with: &str| format!("[[rule]]\nmatch = {{ vlan = 9 }}\naction = \"reject\"\n{with}\n");
    let config = accept(
        &[
            BASE.to_owned(),
            rule(""),
            rule("with = \"host-unreachable\""),
            rule("with = { icmp = [3, 2], icmpv6 = [1, 6] }\nfrom = [\"2001:db8::1\", \"192.0.2.1\"]"),
            rule("with = \"host-unreachable\""),
        ]
        .concat(),
    );
    let rejections = config.rules.iter().map(|rule| match rule.action {
        validated::Action::Reject(rejection) => rejection.to_string(),
        other => panic!("{other:?}"),
    });
    let codes = "ICMP 3/2 and ICMPv6 1/6 from 192.0.2.1, 2001:db8::1";
    assert_eq!(rejections.collect::<Vec<_>>(), ["reset", "host-unreachable", codes, "host-unreachable"]);
    let snapshot = crate::policy::compile::compile(&config).unwrap();
    let compiled = [0, 1, 2, 3].map(|index| snapshot.rejection(index).to_string());
    assert_eq!(compiled, ["reset", "host-unreachable", codes, "reset"], "each once");
}

#[test]
fn a_rule_overrides_when_its_module_acknowledges() {
    let rule = |rest: &str| format!("[[rule]]\nmatch = {{ vlan = \"none\" }}\naction = \"offer\"\n{rest}\n");
    let config = accept(
        &[
            BASE.to_owned(),
            rule("module = \"b\""),
            rule("module = \"b\"\nacknowledge = \"through\""),
            rule("module = \"b\"\nacknowledge = \"receipt\""),
            rule("module = \"a\"\nacknowledge = \"receipt\""),
            rule("module = \"b\"\nacknowledge = \"through\""),
            "[module.b]\nkind = \"relay\"\nmerge = \"never\"\n".to_owned(),
            "[module.a]\nkind = \"relay\"\nacknowledge = \"through\"\n".to_owned(),
        ]
        .concat(),
    );
    let modules: Vec<_> = config.modules.iter().map(|m| (m.name.as_str(), m.acknowledge)).collect();
    use Acknowledge::{Receipt, Through};
    assert_eq!(modules, [("a", Through), ("b", Receipt), ("b", Through), ("a", Receipt)]);
    assert_eq!(config.modules[2].merge, Merge::Never, "all else is the module's");
    let offered: Vec<_> = config.rules.iter().map(|rule| rule.action).collect();
    assert_eq!(offered, [1, 2, 1, 3, 2].map(|module| validated::Action::Offer { module }));
}

#[test]
fn a_rule_behind_one_that_matches_everything_is_warned_about() {
    let rule = "[[rule]]\naction = \"monitor\"\n";
    let config = accept(&format!("{BASE}{rule}{rule}"));
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["q.toml:14:1: rule[1]: never reached: rule[0] matches everything"]);
}

#[test]
fn every_example_is_valid_on_a_machine_that_has_its_cores() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let machine = Machine { cores: (0..8).collect(), devices: Devices::Unknown };
    let keys = tempfile::TempDir::new().unwrap();
    let key = tunnel::file(&keys, "tunnel.key", &[7; 32], 0o600);
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            // Whoever follows an example makes the key that it names.
            let text = std::fs::read_to_string(&path).unwrap().replace("/etc/quadrille/tunnel.key", &key);
            let config = parse(&path.display().to_string(), &text, &machine);
            let config = config.unwrap_or_else(|error| panic!("{error}"));
            let meant = |text: &str| text.contains("lab.toml") && text.contains("on purpose");
            let warnings = config.warnings.iter().filter(|warning| !meant(&warning.to_string()));
            assert_eq!(warnings.collect::<Vec<_>>(), Vec::<&Diagnostic>::new());
            crate::policy::compile::compile(&config).unwrap();
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn core_lists_are_short() {
    assert_eq!(machine().core_list(), "0-3, 8");
    assert!(!Machine::this().cores.is_empty());
}

#[test]
fn rules_ask_what_a_syn_is_like_and_how_many_come() {
    let config = accept(&format!(
        "{BASE}
        [[rule]]
        match = {{ syn = {{ options = [\"mss,sok,ts,nop,ws\", \"\"], mss = [\"1360-1460\", 536], ttl = \"33-64\" }} }}
        action = \"drop\"
        [[rule]]
        match = {{ rate = {{ above = 1000 }} }}
        action = \"drop\"
        [[rule]]
        match.rate = {{ within = 5, burst = 9, per = \"source\", source_prefix_v4 = 32, sources_full = \"above\" }}
        action = \"bypass\"
        "
    ));
    let shown: Vec<_> = config.rules.iter().map(|rule| rule.matches.to_string()).collect();
    assert_eq!(
        shown,
        [
            "syn options \"mss,sok,ts,nop,ws\" or \"\", mss 1360-1460, 536, ttl 33-64",
            "rate above 1000/s, burst 1000",
            "rate within 5/s, burst 9, each source /32 or /56",
        ]
    );
    let per = Per::Source { prefix_v4: 32, prefix_v6: 56, sources: 16_384, when_full: Side::Above };
    assert_eq!(
        config.rules[2].matches.rate,
        Some(RateSpec { per_second: 5, burst: 9, side: Side::Within, per })
    );
    assert!(config.warnings.is_empty(), "a condition matches less than everything");
}

#[test]
fn a_program_has_its_socket_and_its_default() {
    let text = format!("{BASE}[module.filter]\nkind = \"program\"\nsocket = \"/run/f.sock\"\n");
    let module = accept(&text).modules.remove(0);
    let ModuleKind::Program(program) = module.kind else { panic!("{module:?}") };
    let expected = Program {
        socket: "/run/f.sock".into(),
        deadline: Duration::from_millis(500),
        default: WithoutDecision::Drop,
        outstanding: 4096,
        streams: 1024,
    };
    assert_eq!(program, expected);
    let keys = "deadline = \"2s\"\ndefault = \"bypass\"\noutstanding = 7\nstreams = 9\n";
    let module = accept(&format!("{text}{keys}")).modules.remove(0);
    let ModuleKind::Program(program) = module.kind else { panic!("{module:?}") };
    assert_eq!((program.deadline, program.default), (Duration::from_secs(2), WithoutDecision::Bypass));
    assert_eq!((program.outstanding, program.streams), (7, 9));
}

#[test]
fn what_rules_histories_and_programs_take_is_part_of_the_memory() {
    let bare = accept(BASE).memory_need();
    let text = format!(
        "{BASE}[limits]\nhistory = 8192\n[[rule]]\naction = \"offer\"\nmodule = \"m\"\n\
         match = {{ rate = {{ above = 5, per = \"source\", sources = 65536 }} }}\n\
         [module.m]\nkind = \"program\"\nsocket = \"/run/m.sock\"\nstreams = 100\n"
    );
    let config = accept(&text);
    let need = config.memory_need();
    // 16 bytes for each source, before and after a reload.
    assert!((2 << 20..3 << 20).contains(&need.rates), "{}", need.rates);
    assert_eq!((need.history, bare.rates, bare.streams), (2 * bare.history, 0, 0));
    assert!(need.rules > bare.rules && need.streams > 100 * 3 * 128 * 1024, "{need:?}");
    let parts =
        need.flows + need.far_sides + need.suspended + need.participating + need.mailboxes + need.dpdk;
    let parts = parts + need.inspection + need.held + need.rules;
    assert_eq!(need.total(), parts + need.rates + need.history + need.streams);
}

#[test]
fn packets_that_wait_have_places_on_every_worker_twice_and_in_the_control_core() {
    let need = |held: u32| {
        let config = accept(&format!("{BASE}[limits]\nheld_packets = {held}\n"));
        (config.memory_need(), u64::from(config.memory.buffers))
    };
    let ((few, _), (many, buffers)) = (need(64), need(65_536));
    let a_place = Parked::<usize>::bytes_for(65_536) as u64 - Parked::<usize>::bytes_for(64) as u64;
    assert_eq!(many.inspection - few.inspection, a_place, "of those that inspections let wait");
    assert!(many.held - few.held > a_place, "of those that merges park, and answers of servers");
    assert!(buffers >= 3 * 65_536, "they wait in their buffers: {buffers}");
}
