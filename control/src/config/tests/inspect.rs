//! What flows are searched for: read, and every way to get it wrong.

use std::sync::Arc;

use dataplane::flow::object::Record;
use dataplane::flow::quad::Direction;
use dataplane::inspect::Inspection;
use dataplane::inspect::patterns::Verdict;
use dataplane::policy::Fallback;

use super::rejected::reject;
use super::{BASE, accept};
use crate::policy::compile::{compile_with, keep_known};

const RULE: &str = "[[rule]]\naction = \"monitor\"\ninspect = \"web\"\n";

#[test]
fn rules_name_what_their_flows_are_searched_for() {
    let config = accept(&format!(
        "{BASE}[[rule]]\naction = \"bypass\"\nmatch = {{ vlan = 5 }}\n{RULE}
        [inspect.other]
        patterns = [{{ text = \"x\", verdict = \"event\" }}]
        [inspect.web]
        ignore_case = true
        when_full = \"pass\"
        window = true
        patterns = [
            {{ name = \"passwd\", text = \"/etc/passwd\", verdict = \"reset\", from = \"client\" }},
            {{ hex = \"90 9090cc\", verdict = \"drop\" }},
        ]"
    ));
    assert_eq!(config.rules.iter().map(|rule| rule.inspection).collect::<Vec<_>>(), [None, Some(1)]);
    let web = &config.inspections[1].compiled;
    assert_eq!((web.when_full, web.window), (Fallback::Pass, true));
    let [passwd, sled] = web.given() else { panic!("two patterns") };
    assert_eq!((passwd.name.as_str(), passwd.direction), ("passwd", Some(Direction::ClientToServer)));
    assert_eq!(
        (sled.name.as_str(), &sled.bytes[..], sled.verdict),
        ("pattern[1]", &[0x90, 0x90, 0x90, 0xcc][..], Verdict::Drop)
    );
    let upper = web.patterns(Direction::ClientToServer).unwrap();
    assert_eq!(upper.search(upper.start(), b"GET /ETC/PASSWD", &mut |_, _| {}).verdict, Some(Verdict::Reset));
    let snapshot = crate::policy::compile::compile(&config).unwrap();
    assert_eq!((snapshot.inspection_of(0), snapshot.inspection_of(1)), (Record::NO_INSPECTION, 1));
    assert!(snapshot.inspection(1).is_some());
}

#[test]
fn what_cannot_be_searched_for() {
    let one = |pattern: &str| format!("{BASE}{RULE}[inspect.web]\npatterns = [{pattern}]\n");
    let cases = [
        (one(""), "q.toml:15:10: inspect.web.patterns: is missing"),
        (
            one("{ verdict = \"drop\" }"),
            "inspect.web.patterns[0].text: is missing; write the bytes to search for, with `text` or with `hex`",
        ),
        (
            one("{ text = \"\", verdict = \"drop\" }"),
            "inspect.web.patterns[0].text: is empty, and would be found everywhere",
        ),
        (
            one("{ hex = \"9\", verdict = \"drop\" }"),
            "inspect.web.patterns[0].hex: \"9\" is not hexadecimal; write two digits a byte",
        ),
        (
            one("{ text = \"a\", hex = \"90\", verdict = \"drop\" }"),
            "inspect.web.patterns[0].hex: stands beside `text`",
        ),
        (
            one(
                "{ name = \"a\", text = \"a\", verdict = \"drop\" }, { name = \"a\", text = \"b\", verdict = \"drop\" }",
            ),
            "inspect.web.patterns[1].name: another pattern has this name already",
        ),
        (
            one("{ text = \"a\", verdict = \"split\" }"),
            "q.toml:14:11: rule[0].inspect: a pattern of it has the verdict \"split\"",
        ),
        (
            one(&format!("{{ text = \"{}\", verdict = \"drop\" }}", "a".repeat(65_537))),
            "inspect.web.patterns[0]: all patterns together have more than 64.0 KiB",
        ),
        (
            one("{ text = \"a\", verdict = \"drop\" }").replace("\"monitor\"", "\"drop\""),
            "rule[0].inspect: counts only with action = \"monitor\" or \"offer\"",
        ),
        (
            one("{ text = \"a\", verdict = \"drop\" }").replace("inspect.web", "inspect.wep"),
            "rule[0].inspect: no inspection is named \"web\"; did you mean",
        ),
    ];
    for (text, expected) in cases {
        let said = reject(&text);
        assert!(said.contains(expected), "{said}\n  expected {expected}");
    }
    let said = reject(&format!("{BASE}{RULE}"));
    assert!(
        said.ends_with("rule[0].inspect: no inspection is named \"web\"; add a table [inspect.web]"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_replaced() {
    let one = |pattern: &str| format!("{BASE}{RULE}[inspect.web]\npatterns = [{pattern}]\n");
    let cases = [
        (
            one("{ text = \"a\", verdict = \"edit\" }"),
            "inspect.web.patterns[0].replace: is missing; write what takes its place, with `replace` or with `replace_hex`",
        ),
        (
            one("{ text = \"a\", replace = \"b\", verdict = \"drop\" }"),
            "inspect.web.patterns[0].replace: counts only with verdict = \"edit\"",
        ),
        (
            one("{ text = \"a\", replace = \"b\", replace_hex = \"00\", verdict = \"edit\" }"),
            "inspect.web.patterns[0].replace_hex: stands beside `replace`",
        ),
        (
            one("{ text = \"a\", replace_hex = \"0\", verdict = \"edit\" }"),
            "inspect.web.patterns[0].replace_hex: \"0\" is not hexadecimal",
        ),
        (
            one(&format!("{{ text = \"{}\", replace = \"\", verdict = \"edit\" }}", "a".repeat(1025))),
            "inspect.web.patterns[0]: has 1025 bytes; at most 1024 can be replaced",
        ),
        (
            one(
                "{ text = \"xaby\", replace = \"1234\", verdict = \"edit\" }, { name = \"ab\", text = \"ab\", replace = \"12\", verdict = \"edit\" }",
            ),
            "inspect.web.patterns[0]: \"ab\" is part of it and ends before, so this one would never be found",
        ),
        (
            one("{ text = \"a\", replace = \"\", verdict = \"edit\" }"),
            "q.toml:14:11: rule[0].inspect: a pattern of it is replaced by something of another length",
        ),
        (
            one(&format!("{{ text = \"ab\", replace = \"{}\", verdict = \"edit\" }}", "x".repeat(129))),
            "inspect.web.patterns[0]: 129 bytes take the place of 2; at most 64 times as many can",
        ),
        (
            one("{ text = \"a\", verdict = \"count\" }").replace("patterns =", "hold = \"2m\"\npatterns ="),
            "inspect.web.hold: \"2m\" is out of range",
        ),
    ];
    for (text, expected) in cases {
        let said = reject(&text);
        assert!(said.contains(expected), "{said}\n  expected {expected}");
    }
}

#[test]
fn what_is_replaced_and_how_long_it_is_waited_for() {
    let config = accept(&format!(
        "{BASE}{RULE}[inspect.web]\nhold = \"1s\"\npatterns = [
            {{ text = \"nginx\", replace = \"iis/7\", verdict = \"edit\", from = \"server\" }},
            {{ hex = \"00ff\", replace_hex = \"ff 00\", verdict = \"edit\" }},
            {{ text = \"xnginx\", replace = \"123456\", verdict = \"edit\", from = \"server\" }},
            {{ text = \"nginx/\", replace = \"123456\", verdict = \"edit\", from = \"client\" }},
        ]"
    ));
    let web = &config.inspections[0].compiled;
    assert_eq!(web.hold, std::time::Duration::from_secs(1));
    assert_eq!(
        web.given().iter().map(|pattern| &pattern.replacement[..]).collect::<Vec<_>>(),
        [&b"iis/7"[..], &[0xff, 0], b"123456", b"123456"]
    );
    assert!(web.edits(Direction::ServerToClient).is_some_and(|edits| !edits.resizes()));
    assert!(web.patterns(Direction::ServerToClient).is_none());
}

#[test]
fn an_index_keeps_its_meaning_over_reloads() {
    let config = |text: &str| {
        accept(&format!(
            "{BASE}{RULE}[inspect.web]\npatterns = [{{ text = \"{text}\", verdict = \"drop\" }}]\n"
        ))
    };
    let compile = |text: &str, known: &[Arc<Inspection>]| {
        let mut config = config(text);
        keep_known(&mut config.inspections, known);
        compile_with(&config, |module| module, known, &[]).unwrap()
    };
    let first = compile("a", &[]);
    let second = compile("b", first.inspections());
    assert_eq!((first.inspection_of(0), second.inspection_of(0)), (0, 1));
    assert_eq!(second.inspection(0), first.inspection(0), "flows of before still have what they had");
    let third = compile("a", second.inspections());
    assert_eq!((third.inspection_of(0), third.inspections().len()), (0, 2));
}

#[test]
fn what_stays_goes_on_counting_and_what_changes_begins_anew() {
    let config = |texts: [&str; 2]| {
        let table = |name: &str, text: &str| {
            format!("[inspect.{name}]\npatterns = [{{ text = \"{text}\", verdict = \"drop\" }}]\n")
        };
        accept(&format!("{BASE}{RULE}{}{}", table("alike", texts[0]), table("web", texts[1])))
    };
    let counts =
        |config: &crate::config::Config| [0, 1].map(|index| config.inspections[index].compiled.hits.of(0));
    let before = config(["a", "a"]);
    let known = compile_with(&before, |module| module, &[], &[]).unwrap();
    assert_eq!(known.inspections().len(), 2, "what says the same under two names is counted under each");
    before.inspections[0].compiled.hits.count(0, 0);
    before.inspections[1].compiled.hits.count(1, 0);
    before.inspections[1].compiled.hits.count(2, 0);
    for (texts, expected) in [(["a", "a"], [1, 2]), (["b", "b"], [0, 0])] {
        let mut after = config(texts);
        keep_known(&mut after.inspections, known.inspections());
        assert_eq!(counts(&after), expected);
    }
}
