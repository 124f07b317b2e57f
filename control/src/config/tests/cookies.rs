//! Which modules have their clients answered with SYN cookies, and which cannot.

use dataplane::flow::quad::{Quad, Segment};
use dataplane::policy::{Action, CookieUse};

use super::rejected::reject;
use super::{BASE, accept};
use crate::policy::compile::compile;

fn module(keys: &str) -> String {
    format!("{BASE}[[rule]]\naction = \"offer\"\nmodule = \"m\"\n[module.m]\nkind = \"relay\"\n{keys}\n")
}

#[test]
fn a_module_has_to_ask_for_them_and_its_rules_know() {
    let quad = Quad::between(([10, 0, 0, 1], 4000).into(), ([10, 0, 0, 2], 80).into()).unwrap();
    for (keys, expected) in [
        ("", CookieUse::Never),
        ("order = \"client-first\"", CookieUse::Never),
        ("cookies = \"never\"\nacknowledge = \"through\"", CookieUse::Never),
        ("cookies = \"under-flood\"\nserver = \"10.0.0.9:80\"", CookieUse::UnderFlood),
        ("cookies = \"always\"\norder = \"client-first\"", CookieUse::Always),
    ] {
        let snapshot = compile(&accept(&module(keys))).unwrap();
        let Action::Offer { module } = snapshot.decide(&quad, Segment(0)).action else { panic!("{keys}") };
        assert_eq!(snapshot.cookies_of(module), expected, "{keys}");
    }
}

#[test]
fn who_has_to_know_more_than_a_quad_cannot_have_them() {
    for (keys, why) in [
        ("acknowledge = \"through\"", "there is no server yet"),
        ("together = { ports = [445, 139] }", "not held together"),
        ("tunnel = { role = \"leave\", key_file = \"/nowhere\" }", "would be lost"),
    ] {
        let said = reject(&module(&format!("cookies = \"always\"\n{keys}")));
        assert!(said.contains("module.m.cookies: ") && said.contains(why), "{said}");
    }
    let program =
        module("cookies = \"under-flood\"\nsocket = \"/run/p.sock\"").replace("\"relay\"", "\"program\"");
    let said = reject(&program);
    assert!(said.contains("module.m.cookies: a program decides"), "{said}");
}

/// A rule that wants something else of the module than it can give is told so; nothing is left out in silence.
#[test]
fn a_rule_cannot_have_such_a_module_acknowledge_through() {
    let text = module("cookies = \"under-flood\"")
        .replace("module = \"m\"\n", "module = \"m\"\nacknowledge = \"through\"\n");
    let said = reject(&text);
    assert!(said.contains("rule[0].acknowledge: the module answers with SYN cookies"), "{said}");
}
