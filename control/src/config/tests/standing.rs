//! What rules go on asking of their flows: read, compiled, and every way to get it wrong.

use std::time::Duration;

use dataplane::flow::object::Record;
use dataplane::policy::Standing;

use super::rejected::reject;
use super::{BASE, accept};
use crate::policy::compile::compile_with;

const MODULE: &str = "[module.m]\nkind = \"relay\"\n";

#[test]
fn rules_say_when_their_flows_are_split_and_how_long_they_live() {
    let config = accept(&format!(
        "{BASE}[[rule]]\nmatch = {{ vlan = 5 }}\naction = \"bypass\"\n
        [[rule]]\nmatch = {{ vlan = 6 }}\naction = \"monitor\"\nmodule = \"m\"\nsplit = {{ after_bytes = \"1 MiB\" }}\n
        [[rule]]\nmatch = {{ vlan = 7 }}\naction = \"offer\"\nmodule = \"m\"\nidle = \"10m\"\nsplit = {{ after = \"10s\", after_bytes = 5 }}\n
        [[rule]]\naction = \"bypass\"\nidle = \"10m\"\n{MODULE}"
    ));
    let minutes = Some(Duration::from_secs(600));
    let expected = [
        Standing::default(),
        Standing { module: Some(0), split_bytes: std::num::NonZeroU64::new(1 << 20), ..Standing::default() },
        Standing {
            split_bytes: std::num::NonZeroU64::new(5),
            split_age: Some(Duration::from_secs(10)),
            idle: minutes,
            ..Standing::default()
        },
        Standing { idle: minutes, ..Standing::default() },
    ];
    assert_eq!(config.rules.iter().map(|rule| rule.standing).collect::<Vec<_>>(), expected);
    // A module that has another index now, and one that a former configuration has asked for.
    let former = Standing { idle: Some(Duration::from_secs(9)), ..Standing::default() };
    let snapshot = compile_with(&config, |module| module + 40, &[], &[expected[3], former]).unwrap();
    let of_rules: Vec<u16> = (0..5).map(|rule| snapshot.standing_of(rule)).collect();
    assert_eq!(of_rules, [Record::NO_STANDING, 2, 3, 0, Record::NO_STANDING]);
    assert_eq!(snapshot.standing(2).and_then(|standing| standing.module), Some(40));
    assert_eq!(snapshot.standing(Record::NO_STANDING), None);
}

#[test]
fn what_rules_cannot_go_on_asking() {
    let rule = |text: &str| format!("{BASE}[[rule]]\n{text}\n{MODULE}");
    let cases = [
        (
            rule("action = \"monitor\"\nsplit = { after_bytes = 5 }"),
            "rule[0].split: nobody would look at the flow: name a module in the rule",
        ),
        (
            rule("action = \"bypass\"\nsplit = { after_bytes = 5 }"),
            "rule[0].split: counts only with action = \"monitor\" or \"offer\"",
        ),
        (rule("action = \"offer\"\nmodule = \"m\"\nsplit = {}"), "rule[0].split: says nothing"),
        (
            rule("action = \"offer\"\nmodule = \"m\"\nsplit = { after_bytes = 0 }"),
            "rule[0].split.after_bytes: 0",
        ),
        (
            rule("action = \"offer\"\nmodule = \"m\"\nsplit = { after = 5 }"),
            "rule[0].split.after: 5 is not a duration",
        ),
        (rule("action = \"drop\"\nidle = \"10m\""), "rule[0].idle: counts only with action = \"offer\""),
        (rule("action = \"monitor\"\nidle = \"10ms\""), "rule[0].idle: "),
        (rule("action = \"monitor\"\nmodule = \"n\""), "rule[0].module: no module is named \"n\""),
        (rule("action = \"drop\"\nmodule = \"m\""), "rule[0].module: counts only with action = \"offer\" or"),
    ];
    for (text, expected) in cases {
        let said = reject(&text);
        assert!(said.contains(expected), "{said}\n  expected {expected}");
    }
}
