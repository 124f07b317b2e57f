//! Ports that are held together.

use std::time::Duration;

use dataplane::refusal::Rejection;

use super::rejected::check;
use super::{BASE, accept};
use crate::config::Config;
use crate::module::several::{Complete, Together};

fn module(lines: &str) -> Config {
    accept(&format!("{BASE}[module.m]\nkind = \"relay\"\n{lines}"))
}

#[test]
fn what_is_not_said_has_a_default() {
    assert_eq!(module("").modules[0].together, None);
    let each = module("together = { ports = [445, \"137-139\"] }");
    let together = Together {
        ports: vec![445..=445, 137..=139],
        complete: Complete::Each,
        wait: Duration::from_millis(500),
        afterwards: Duration::from_secs(2),
        others: Rejection::Reset,
        outstanding: 4096.try_into().unwrap(),
    };
    assert_eq!(each.modules[0].together, Some(together.clone()));
    let first = module(
        "[module.m.together]\nports = \"1-65535\"\ncomplete = \"first\"\nwait = \"1s\"\nafterwards = \"0s\"\n\
         others = \"port-unreachable\"\noutstanding = 9",
    );
    let wanted = Together {
        ports: vec![1..=65535],
        complete: Complete::First,
        wait: Duration::from_secs(1),
        afterwards: Duration::ZERO,
        others: Rejection::named("port-unreachable").unwrap(),
        outstanding: 9.try_into().unwrap(),
    };
    assert_eq!(first.modules[0].together, Some(wanted));
}

#[test]
fn what_cannot_be_held_together() {
    let cases = [
        (
            "together = { complete = \"first\" }",
            "14:12: module.m.together.ports: is missing; write for example [445, 139]",
        ),
        (
            "together = { ports = 445 }",
            "14:22: module.m.together.ports: is held together with no other port; write for example [445, 139]",
        ),
        (
            "together = { ports = [445, 0] }",
            "14:28: module.m.together.ports[1]: 0 is not a port; write for example 443 or \"8000-8080\" (1 to 65535)",
        ),
        (
            "order = \"client-first\"\ntogether = { ports = [445, 139] }",
            "15:12: module.m.together: with order = \"client-first\" clients are answered before their servers are \
             asked; leave together out, or the order",
        ),
        (
            "together = { ports = [445, 139], afterwards = \"1s\" }",
            "14:47: module.m.together.afterwards: counts only with complete = \"first\"; add that or leave it out",
        ),
        (
            "together = { ports = [445, 139], others = \"reset\" }",
            "14:43: module.m.together.others: counts only with complete = \"first\"; add that or leave it out",
        ),
        (
            "together = { ports = [445, 139], complete = \"first\", others = \"rest\" }",
            "14:63: module.m.together.others: nothing is rejected with \"rest\"; did you mean \"reset\"?",
        ),
        (
            "together = { ports = [445, 139], wait = \"0ms\" }",
            "14:41: module.m.together.wait: \"0ms\" is out of range; possible: 1ms to 1m",
        ),
        (
            "together = { ports = [445, 139], outstanding = 0 }",
            "14:48: module.m.together.outstanding: 0 is out of range; possible: 1 to 65536",
        ),
        (
            "together = { ports = [445, 139], first = true }",
            "14:34: module.m.together.first: no such key; known here: ports, complete, wait, afterwards, others, outstanding",
        ),
    ];
    let cases = cases.map(|(lines, said)| (format!("[module.m]\nkind = \"relay\"\n{lines}"), said));
    check(&cases.each_ref().map(|(text, said)| (text.as_str(), *said)));
    check(&[(
        "[module.m]\nkind = \"relay\"\ntogether = { ports = [445, 139], wait = \"5s\" }\n[timeouts]\nsyn = \"5s\"",
        "14:41: module.m.together.wait: a SYN is held for 5s (timeouts.syn); write less, or more there",
    )]);
    check(&[(
        "[module.m]\nkind = \"program\"\nsocket = \"/run/f.sock\"\ntogether = { ports = [445, 139] }",
        "15:12: module.m.together: counts only with kind = \"relay\"; change the kind or leave it out",
    )]);
}
