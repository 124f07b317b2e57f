//! Conditions of rules and modules of kind "program": every way to get them wrong.

use super::rejected::{check, reject};
use super::{BASE, machine};
use crate::config::parse;

#[test]
fn ten_thousand_rules_are_read_and_a_name_given_twice_is_found_among_them() {
    let rule = |n: u32| {
        let (a, b) = (n >> 8, n & 0xff);
        format!(
            "[[rule]]\nname = \"r{n}\"\nmatch = {{ destination = \"10.0.{a}.{b}\" }}\naction = \"drop\"\n"
        )
    };
    let text: String = (0..10_000).chain([77, 77]).map(rule).collect();
    let error = parse("q.toml", &format!("{BASE}{text}"), &machine()).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    for (line, number) in lines.into_iter().zip([10_000, 10_001]) {
        let key = format!(": rule[{number}].name: rule[77] has this name already; names are unique");
        assert!(line.ends_with(&key), "{line}");
    }
}

#[test]
fn conditions() {
    let one = |matches: &str, expected: &str| {
        let said = reject(&format!("{BASE}[[rule]]\naction = \"drop\"\n[rule.match]\n{matches}\n"));
        assert_eq!(said, format!("q.toml:15:{expected}"));
    };
    one(
        "syn = { options = \"mss,wscale\" }",
        "19: rule[0].match.syn.options: \"mss,wscale\": \"wscale\" is no option; write eol, nop, mss, ws, sok, sack, ts, \
         or ?N for kind N (0 to 255), separated by commas, or an empty text for none",
    );
    one(
        "syn = { mss = [1460, \"a\"] }",
        "22: rule[0].match.syn.mss[1]: \"a\" is not an MSS; write a number or a range such as \"1-65535\" (1 to 65535)",
    );
    one("syn = { ttl = \"64-33\" }", "15: rule[0].match.syn.ttl: \"64-33\" runs backwards; write \"33-64\"");
    one(
        "syn = { scale = 7 }",
        "9: rule[0].match.syn.scale: no such key; known here: options, mss, window, window_scale, ttl",
    );
    one(
        "rate = { burst = 9 }",
        "8: rule[0].match.rate.above: is missing; write how many SYNs a second, with `above` or with `within`",
    );
    one(
        "rate = { above = 1, within = 2 }",
        "30: rule[0].match.rate.within: stands beside `above`; a rule matches either, so leave one of them out",
    );
    one("rate = { above = 0 }", "18: rule[0].match.rate.above: 0 is out of range; possible: 1 to 100000000");
    one(
        "rate = { above = 1, sources = 99 }",
        "31: rule[0].match.rate.sources: counts only with per = \"source\"; add that or leave it out",
    );
}

#[test]
fn the_buckets_of_all_rates_are_bounded() {
    let rule =
        "[[rule]]\naction = \"drop\"\nmatch.rate = { above = 1, per = \"source\", sources = 1048576 }\n";
    assert_eq!(
        reject(&format!("{BASE}{}", rule.repeat(4))),
        "q.toml:21:1: rule[3]: the rates of all rules together take more than 64.0 MiB for each worker; lower some \
         match.rate.sources"
    );
}

#[test]
fn programs() {
    check(&[
        (
            "[module.f]\nkind = \"program\"",
            "12:9: module.f.socket: is missing; write where programs connect to, for example \
             \"/run/quadrille-filter.sock\"",
        ),
        (
            "[module.f]\nkind = \"relay\"\noutstanding = 5",
            "14:15: module.f.outstanding: counts only with kind = \"program\"; change the kind or leave it out",
        ),
        (
            "[module.f]\nkind = \"program\"\nsocket = \"/run/quadrille.sock\"",
            "14:10: module.f.socket: the management interface has this socket already; write another path",
        ),
        (
            "[module.f]\nkind = \"program\"\nsocket = \"f\"",
            "14:10: module.f.socket: \"f\" is not the absolute path of a file; write for example \
             \"/run/quadrille-filter.sock\"",
        ),
        (
            "[timeouts]\nsyn = \"1s\"\n[module.f]\nkind = \"program\"\nsocket = \"/f\"\ndeadline = \"1000ms\"",
            "17:12: module.f.deadline: a SYN is held for 1s (timeouts.syn); write less, or more there",
        ),
        (
            "[[rule]]\naction = \"offer\"\nmodule = \"f\"\nacknowledge = \"through\"\n[module.f]\n\
             kind = \"program\"\nsocket = \"/f\"",
            "15:15: rule[0].acknowledge: a module of kind \"program\" has one for all rules; set it in the module",
        ),
    ]);
}
