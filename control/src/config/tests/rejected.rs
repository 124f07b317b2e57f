//! Every way to get a configuration wrong, and the words in which it is said.

use std::path::Path;

use super::{BASE, machine};
use crate::config::{load, parse};

pub(super) fn reject(text: &str) -> String {
    match parse("q.toml", text, &machine()) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// What is appended to the base or (with `from => to`) replaced in it, and the message without `q.toml:`.
#[track_caller]
pub(super) fn check(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (change, expected) in cases {
        let text = match change.split_once(" => ") {
            Some((from, to)) => {
                assert!(BASE.contains(from), "{from}");
                BASE.replacen(from, to, 1)
            }
            None => format!("{BASE}{change}"),
        };
        let (said, expected) = (reject(&text), format!("q.toml:{expected}"));
        if said != expected {
            wrong += &format!(
                "{change:?}
 says {said}
  not {expected}
"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn shape() {
    check(&[
        ("[cores] => [cores", "1:7: unclosed table, expected \"]\""),
        ("[memroy]", "12:2: memroy: no such key; did you mean \"memory\"?"),
        ("[cores]", "12:2: cores: duplicate key"),
        (
            "peer = \"server\" => peeer = \"server\"",
            "7:1: port[0].peeer: no such key; did you mean \"peer\"?",
        ),
        ("mut = 1", "12:1: port[1].mut: no such key; did you mean \"mtu\"?"),
        (
            "colour = 1",
            "12:1: port[1].colour: no such key; known here: name, device, peer, mtu, \
            impair",
        ),
        ("peer = \"client\" => mtu = 1500", "8:1: port[1].peer: is missing; there is no default"),
        (
            "name = \"client\" => name = 5",
            "5:8: port[0].name: invalid type: integer \"5\", expected a string",
        ),
        (
            "control = 0 => idle = \"yeild\"",
            "2:8: cores.idle: \"yeild\" is not possible here; did you mean \"yield\"?",
        ),
        (
            "[memory]\nhugepages = 1",
            "13:13: memory.hugepages: invalid type: integer \"1\", expected a boolean",
        ),
        (
            "[policy]\nstrays = \"log\"",
            "13:10: policy.strays: \"log\" is not possible here; possible: drop, reset, pass",
        ),
        (
            "[module.m]\nkind = \"relay\"\nmerge = \"sometimes\"",
            "14:9: module.m.merge: \"sometimes\" is not possible here; possible: established, first-response, never, \
             after_bytes",
        ),
        ("[module.m]\n", "12:1: module.m.kind: is missing; there is no default"),
    ]);
}

#[test]
fn ports() {
    check(&[
        (
            "peer = \"server\" => peer = \"sever\"",
            "7:8: port[0].peer: no port is named \"sever\"; did you mean \"server\"?",
        ),
        (
            "peer = \"server\" => peer = \"lan\"",
            "7:8: port[0].peer: no port is named \"lan\"; there is server",
        ),
        (
            "peer = \"server\" => peer = \"client\"",
            "7:8: port[0].peer: a port is not its own peer; name the opposite port\n\
            q.toml:11:8: port[1].peer: \"client\" has \"client\" as its peer, not \"server\"; peers name each other",
        ),
        (
            "name = \"client\" => name = \"a b\"",
            "5:8: port[0].name: \"a b\" is not a name; use 1 to 32 letters, digits, dots, \
            dashes and underscores\nq.toml:11:8: port[1].peer: no port is named \"client\"; there is a b",
        ),
        ("mtu = 10000", "12:7: port[1].mtu: 10000 is out of range; possible: 576 to 9600"),
        (
            "[[port]]\nname = \"client\"\ndevice = \"net_null0\"\npeer = \"server\"",
            "13:8: port[2].name: port[0] is named \"client\" already; names are unique",
        ),
    ]);
    let cores = "[cores]\ncontrol = 0\nworkers = [1]\n";
    assert_eq!(reject(cores), "q.toml:1:1: port: a wire has two ends: 2 to 16 ports, not 0");
    assert_eq!(reject("[memory]"), "q.toml:1:1: cores: is missing; there is no default");
    assert_eq!(reject(""), "q.toml:1:1: cores: is missing; there is no default");
    let one =
        "[cores]\ncontrol = 0\nworkers = [1]\n[[port]]\nname = \"a\"\ndevice = \"net_null0\"\npeer = \"a\"\n";
    assert_eq!(reject(one), "q.toml:4:1: port[0]: a wire has two ends: 2 to 16 ports, not 1");
}

#[test]
fn impairments() {
    let impair = |text: &str| format!("impair = {{ {text} }}");
    let one = |text: &str, column: usize, message: &str| {
        check(&[(&impair(text), &format!("12:{column}: port[1].impair{message}"))]);
    };
    one("loss = 1", 19, ".loss: 1 is not a share; write for example \"1%\" or \"0.1%\"");
    one("loss = \"101%\"", 19, ".loss: \"101%\" is out of range; possible: 0%, 0.0001% to 100%");
    one("loss = \"-1%\"", 19, ".loss: \"-1%\" is out of range; possible: 0%, 0.0001% to 100%");
    one("duplicate = \"NaN%\"", 24, ".duplicate: \"NaN%\" is out of range; possible: 0%, 0.0001% to 100%");
    one("delay = \"11s\"", 20, ".delay: \"11s\" is out of range; possible: 0s to 10s");
    one("rate = 100", 19, ".rate: 100 is not a rate; write for example \"100Mbit\" or \"1.5Gbit\"");
    one("rate = \"1bit\"", 19, ".rate: \"1bit\" is not a rate; write for example \"100Mbit\" or \"1.5Gbit\"");
    one("rate = \"0Mbit\"", 19, ".rate: \"0Mbit\" is out of range; possible: 1kbit to 1000Gbit");
    one("loss = \"1%\", queue = 0", 33, ".queue: 0 is out of range; possible: 1 to 1048576");
    one("dealy = \"1s\"", 12, ".dealy: no such key; did you mean \"delay\"?");
    one(
        "seed = 5",
        10,
        ": nothing is impaired; write for example loss = \"1%\" or delay = \"25ms\", or leave it out",
    );
}

#[test]
fn devices() {
    let device = |text: &str, message: &str| {
        let change = format!("device = \"0000:01:00.0\" => device = \"{text}\"");
        check(&[(change.as_str(), &format!("10:10: port[1].device: {message}"))]);
    };
    let neither = |text: &str| {
        format!(
            "{text:?} is neither a PCI address such as \"0000:01:00.0\" nor a virtual device such as \
             \"net_af_packet0,iface=eth0\""
        )
    };
    for text in ["eth0", "0000:01:20.0", "0000:01:00.8", "0000:1:00.0", ""] {
        device(text, &neither(text));
    }
    device("net_af_packt0,iface=x", "DPDK has no driver \"net_af_packt\"; did you mean \"net_af_packet\"?");
    device("net_tap", "number the device, so that there can be several: \"net_tap0\"");
    device("net_af_xdp0", "name the kernel interface: \"net_af_xdp0,iface=eth0\"");
    device(
        "net_af_packet0,iface=veth1",
        "port[0] has the device \"net_af_packet0\" already; one device for each port",
    );
    check(&[(
        "workers = [1] => workers = [1, 2]",
        "6:10: port[0].device: 2 workers need as many queues; write qpairs=2 into the device string",
    )]);
}

#[test]
fn cores() {
    check(&[
        (
            "control = 0 => control = 9",
            "2:11: cores.control: this process has no core 9; it may run on 0-3, 8",
        ),
        ("workers = [1] => workers = []", "3:11: cores.workers: no worker; name at least one core"),
        (
            "workers = [1] => workers = [1, -1]",
            "3:15: cores.workers[1]: this process has no core -1; it may run on 0-3, 8\n\
            q.toml:6:10: port[0].device: 2 workers need as many queues; write qpairs=2 into the device string",
        ),
        (
            "workers = [1] => workers = [0]",
            "3:12: cores.workers[0]: core 0 is the control core too; two spinning threads \
            starve each other: give the worker a core of its own, or set cores.idle to \"yield\" or \"sleep\"",
        ),
        (
            "control = 0 => control = 0\nidle_ceiling_us = 9",
            "3:19: cores.idle_ceiling_us: counts only when threads sleep; \
            set cores.idle to \"sleep\" or leave it out",
        ),
    ]);
    let twice = BASE.replace("[1]", "[1, 1]").replace("veth0", "veth0,qpairs=2");
    assert_eq!(
        reject(&twice),
        "q.toml:3:15: cores.workers[1]: core 1 is a worker already; one worker for each core"
    );
}

#[test]
fn limits_timeouts_and_memory() {
    check(&[
        ("[limits]\nflows = 0", "13:9: limits.flows: 0 is out of range; possible: 16 to 67108864"),
        (
            "[limits]\ncongestion = \"bbr\"",
            "13:14: limits.congestion: \"bbr\" is not possible here; possible: cubic, newreno",
        ),
        ("[limits]\nmailbox = 1000", "13:11: limits.mailbox: 1000 is not a power of two; write 512 or 1024"),
        (
            "[limits]\nsend_buffer = \"big\"",
            "13:15: limits.send_buffer: \"big\" is not a size; write for example \"256KiB\" or \
            \"64MiB\"",
        ),
        (
            "[limits]\nsend_buffer = 5",
            "13:15: limits.send_buffer: 5 is out of range; possible: 16.0 KiB to 64.0 MiB",
        ),
        (
            "[limits]\nparticipating_bytes = \"1MiB\"\nsend_buffer = \"512KiB\"",
            "13:23: limits.participating_bytes: the two legs \
            of one flow may keep 1.5 MiB, limits.participating_bytes allows 1.0 MiB for all; raise it or lower \
            limits.send_buffer and limits.receive_buffer",
        ),
        (
            "[timeouts]\nsyn = 75",
            "13:7: timeouts.syn: 75 is not a duration; write a number with a unit, for example \"75s\" \
            or \"10m\"",
        ),
        (
            "[timeouts]\nlinger = \"1m\"",
            "13:10: timeouts.linger: \"1m\" is out of range; possible: 100ms to 10s",
        ),
        (
            "[timeouts]\nuser = \"99s\"",
            "13:8: timeouts.user: \"99s\" is out of range; possible: 1m 40s to 1day",
        ),
        (
            "[timeouts]\nkeepalive = \"1s\"",
            "13:13: timeouts.keepalive: \"1s\" is out of range; possible: 10s to 7days",
        ),
        (
            "[memory]\nbuffers = 1000",
            "13:11: memory.buffers: 1000 buffers starve the rings: 2 ports, 1 workers, mailboxes, \
            held packets and impaired cables can keep 25088; raise it, leave it out, or lower limits.receive_ring, \
            transmit_ring, mailbox or held_packets, or the queue of an impairment",
        ),
        (
            "[memory]\nmegabytes = 64",
            "13:13: memory.megabytes: 64 MB is too little: 32767 buffers take 128.0 MiB, DPDK and its \
            drivers the rest; write at least 208, or leave it out",
        ),
        (
            "[memory]\nhugepages = true\nmegabytes = 64",
            "14:13: memory.megabytes: 64 MB is too little: 32767 buffers take 74.0 MiB, DPDK and its \
            drivers the rest; write at least 148, or leave it out",
        ),
    ]);
    let socket = |path: &str| reject(&format!("socket = \"{path}\"\n{BASE}"));
    assert_eq!(
        socket("quadrille.sock"),
        "q.toml:1:10: socket: \"quadrille.sock\" is not the absolute path of a file; write for example \
         \"/run/quadrille.sock\""
    );
    let long = format!("/{}", "x".repeat(100));
    assert_eq!(socket(&long), "q.toml:1:10: socket: 101 bytes is too long for a socket; at most 100");
}

#[test]
fn rules_and_modules() {
    check(&[
        (
            "[[rule]]\naction = \"redirect\"",
            "13:10: rule[0].action: \"redirect\" is not possible here; possible: drop, reject, \
            bypass, monitor, forward, offer",
        ),
        (
            "[[rule]]\naction = \"offer\"",
            "12:1: rule[0].module: is missing; name the module that the flow is offered to",
        ),
        (
            "[[rule]]\naction = \"offer\"\nmodule = \"relay\"",
            "14:10: rule[0].module: no module is named \"relay\"; add a table \
            [module.relay]",
        ),
        (
            "[[rule]]\naction = \"offer\"\nmodule = \"raley\"\n[module.relay]\nkind = \"relay\"",
            "14:10: rule[0].module: no module \
            is named \"raley\"; did you mean \"relay\"?",
        ),
        (
            "[[rule]]\naction = \"drop\"\nmodule = \"relay\"",
            "14:10: rule[0].module: counts only with action = \"offer\" or \"monitor\"; change \
            the action or leave it out",
        ),
        (
            "[[rule]]\naction = \"monitor\"\nacknowledge = \"through\"",
            "14:15: rule[0].acknowledge: counts only with action = \"offer\"; change \
            the action or leave it out",
        ),
        (
            "[[rule]]\naction = \"drop\"\nwith = \"reset\"\nfrom = \"192.0.2.1\"",
            "14:8: rule[0].with: counts only with action = \"reject\"; change the action or leave it out\n\
            q.toml:15:8: rule[0].from: counts only with action = \"reject\"; change the action or leave it out",
        ),
        (
            "[module.m]\nkind = \"relay\"\nacknowledge = \"later\"",
            "14:15: module.m.acknowledge: \"later\" is not possible here; possible: receipt, through",
        ),
        (
            "[[rule]]\nname = \"a\"\naction = \"drop\"\n[[rule]]\nname = \"a\"\naction = \"drop\"",
            "16:8: rule[1].name: rule[0] has \
            this name already; names are unique",
        ),
        (
            "[module.\"a b\"]\nkind = \"relay\"",
            "12:9: module.a b: \"a b\" is not a name; use 1 to 32 letters, digits, dots, \
            dashes and underscores",
        ),
        (
            "[module.m]\nkind = \"relay\"\nmerge = { after_bytes = 0 }",
            "14:25: module.m.merge.after_bytes: 0 is out of range; \
            possible: 1 to 1125899906842624, or merge = \"established\"",
        ),
    ]);
}

#[test]
fn rejections() {
    let rule = |rest: &str| format!("{BASE}[[rule]]\naction = \"reject\"\n{rest}\n");
    let one = |rest: &str, message: &str| assert_eq!(reject(&rule(rest)), format!("q.toml:{message}"));
    one(
        "with = \"host-unreachble\"",
        "14:8: rule[0].with: nothing is rejected with \"host-unreachble\"; did you mean \"host-unreachable\"?",
    );
    one(
        "with = \"teapot\"",
        "14:8: rule[0].with: nothing is rejected with \"teapot\"; possible: reset, net-unreachable, host-unreachable, \
         port-unreachable, net-prohibited, host-prohibited, admin-prohibited, ttl-exceeded",
    );
    one(
        "with = { icmp = [3, 4], icmpv6 = [1] }",
        "14:17: rule[0].with.icmp: [3, 4] cannot answer a SYN; possible: [3, 0] to [3, 15] except [3, 4], and [11, 0]\n\
         q.toml:14:34: rule[0].with.icmpv6: [1] cannot answer a SYN; possible: [1, 0] to [1, 6], and [3, 0]",
    );
    one(
        "with = { icmp = [3, 300], icmpv6 = [1, 0] }",
        "14:17: rule[0].with.icmp: [3, 300] cannot answer a SYN; possible: [3, 0] to [3, 15] except [3, 4], and [11, 0]",
    );
    one(
        "with = { icmp = [3, 13] }",
        "14:8: rule[0].with.icmpv6: is missing; write type and code: [1, 0] to [1, 6], and [3, 0]",
    );
    one(
        "from = \"192.0.2.1\"",
        "14:8: rule[0].from: a reset is the server's own; leave it out, or add with = \"admin-prohibited\"",
    );
    one(
        "with = \"ttl-exceeded\"\nfrom = [\"192.0.2.1\", \"224.0.0.1\", \"192.0.2.2\"]",
        "15:22: rule[0].from[1]: \"224.0.0.1\" is not the address of a host; write for example \"192.0.2.1\" or \
         \"2001:db8::1\"\n\
         q.toml:15:35: rule[0].from[2]: is the second address of its family; an error has one sender",
    );
}

#[test]
fn matches() {
    let one = |field: &str, value: &str, message: &str| {
        let text = format!("{BASE}[[rule]]\naction = \"drop\"\n[rule.match]\n{field} = {value}\n");
        let column = field.len() + 4;
        assert_eq!(reject(&text), format!("q.toml:15:{column}: rule[0].match.{field}: {message}"));
    };
    one(
        "source",
        "\"web01\"",
        "\"web01\" is not an address or a network; write for example \"10.0.0.0/8\" or \"2001:db8::1\"",
    );
    one(
        "destination",
        "\"10.1.0.0/8\"",
        "\"10.1.0.0/8\" has bits set beyond its prefix; write \"10.0.0.0/8\" for the network or \"10.1.0.0\" for the \
         host",
    );
    one("source_ports", "0", "0 is not a port; write for example 443 or \"8000-8080\" (1 to 65535)");
    one("destination_ports", "\"90-80\"", "\"90-80\" runs backwards; write \"80-90\"");
    one(
        "vlan",
        "4095",
        "4095 is not a VLAN; write an id (1 to 4094), \"OUTER.INNER\" for two tags, or \"none\"",
    );
    one("vlan", "[]", "an empty array matches nothing; leave the key out to match all");
}

#[test]
fn problems_are_reported_together_and_in_order() {
    let text = format!("{BASE}mtu = 1\n[[rule]]\naction = \"drop\"\nmatch = {{ vlan = [1, 0, \"x\"] }}\n")
        .replace("control = 0", "control = 7");
    let lines: Vec<_> =
        reject(&text).lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "q.toml:2:11 cores.control",
        "q.toml:12:7 port[1].mtu",
        "q.toml:15:22 rule[0].match.vlan[1]",
        "q.toml:15:25 rule[0].match.vlan[2]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_unreadable_file_is_named() {
    let error = load(Path::new("/nonexistent/q.toml"), &machine()).unwrap_err().to_string();
    assert_eq!(
        error,
        "/nonexistent/q.toml: No such file or directory (os error 2); name a configuration with --config (configs/ \
         holds examples)"
    );
}
