//! Which inspection edits a flow that participates from its beginning: that of the rule which has decided about its SYN.

use std::sync::Arc;
use std::time::Duration;

use control::module::relay::{MergeWhen, Relay};
use dataplane::flow::object::Record;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::{Inspection, Manner};
use dataplane::policy::{Action, Defaults, Fallback, RuleSpec, Snapshot, Strays};

use crate::rig::*;

/// Everybody's bytes are edited by the last inspection; who decides without the SYN finds this one. Other rules, or those of
/// former configurations, had others.
fn rules() -> Snapshot {
    let edits = |to: &str| {
        let pattern = Pattern {
            name: to.to_owned(),
            bytes: b"acme".to_vec(),
            direction: None,
            verdict: Verdict::Edit,
            replacement: to.as_bytes().to_vec(),
        };
        Arc::new(Inspection::new(&[pattern], Manner::default()).expect("one pattern"))
    };
    let defaults = Defaults {
        action: Action::Pass,
        strays: Strays::Drop,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    let rule = RuleSpec::everything(Action::Offer { module: 0 });
    let rules = Snapshot::compile(&[rule], defaults).expect("one rule");
    rules.with_inspections(vec![edits("first"), edits("other")], vec![1])
}

/// What the server gets of the client's "acme".
fn edited(module: Relay, inspection: u16) -> String {
    let is_client_first = module.client_first.is_some();
    let mut rig = Rig::new(module);
    rig.core = rig.core.with_rules(Arc::new(rules()));
    rig.inspection = inspection;
    let said = if is_client_first {
        let next_of = |said: &[Said]| {
            let syn = said.iter().find_map(|said| match said {
                Said::Tcp(_, tcp, _) if tcp.flags.syn() => Some(tcp.seq.0.wrapping_add(1)),
                _ => None,
            });
            syn.expect("a SYN of ours")
        };
        let at_client = next_of(&rig.offer(syn(C)));
        let at_server = next_of(&rig.client(ack(C + 1, at_client), b"acme"));
        rig.server(syn_ack(S, at_server), b"")
    } else {
        rig.establish();
        rig.client(ack(C + 1, S + 1), b"acme")
    };
    let bytes = said.iter().find_map(|said| match said {
        Said::Tcp(SERVER, _, payload) if !payload.is_empty() => Some(payload.clone()),
        _ => None,
    });
    String::from_utf8(bytes.expect("the server gets something")).expect("text")
}

#[test]
fn the_rule_that_has_decided_about_the_syn_says_what_is_edited() {
    let server_first = || relay(MergeWhen::Never);
    let client_first = || Relay { client_first: Some(Duration::from_secs(3)), ..relay(MergeWhen::Never) };
    for (inspection, expected) in [(0, "first"), (1, "other"), (Record::NO_INSPECTION, "acme")] {
        assert_eq!(edited(server_first(), inspection), expected);
        assert_eq!(edited(client_first(), inspection), expected, "client-first");
    }
}
