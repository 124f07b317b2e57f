//! Rules and the modules that they name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use dataplane::policy::{CookieUse, RuleSpec, SynMatch};
use toml::Spanned;

use super::hops::{self, Hops};
use super::{inspect, matches, programs, rejection, standing, together, tunnel};
use crate::config::error::{Problems, did_you_mean};
use crate::config::external;
use crate::config::scalar::{duration, name, show_bytes};
use crate::config::validated::{
    Acknowledge, Action, Inspection, Isn, Match, Merge, Module, ModuleKind, Port, Rule, ServerAck,
};

/// Of more than these nobody can say any more what they mean. The snapshot takes many more.
const MAX_RULES: usize = 65_536;
/// Entries of one kind in all rules together.
const MAX_ENTRIES: usize = 1 << 20;
const _: () = assert!(MAX_RULES <= RuleSpec::MOST && 4 * MAX_ENTRIES <= RuleSpec::MOST_ENTRIES);
/// Buckets of all rates, for each worker.
const MAX_RATE_BYTES: usize = 64 << 20;
const MAX_MODULES: usize = 256;
const MAX_WAIT: Duration = Duration::from_secs(60);
const MAX_AFTER_BYTES: i64 = 1 << 50;

pub(super) fn modules(
    raw: &BTreeMap<Spanned<String>, Spanned<external::Module>>,
    ports: &[Port],
    problems: &mut Problems,
) -> Vec<Module> {
    if let Some((key, _)) = raw.iter().nth(MAX_MODULES) {
        problems.at(key.span(), format!("{} modules; at most {MAX_MODULES}", raw.len()));
    }
    let module = |(key, raw): (&Spanned<String>, &Spanned<external::Module>)| {
        name(key.get_ref(), key.span(), problems);
        let raw = raw.get_ref();
        Module {
            name: key.get_ref().clone(),
            kind: programs::kind(raw, key, problems),
            merge: merge(&raw.merge, problems),
            server_ack: match raw.server_ack {
                external::ServerAck::AtOnce => ServerAck::AtOnce,
                external::ServerAck::AfterClient => ServerAck::AfterClient,
            },
            isn: match raw.isn {
                external::Isn::Mirror => Isn::Mirror,
                external::Isn::Keyed => Isn::Keyed,
            },
            acknowledge: acknowledge(raw.acknowledge),
            servers: hops::servers(&raw.server, problems),
            clients: hops::clients(&raw.client, problems),
            hop: raw.next_hop.as_ref().map(|hop| hops::next_hop(hop, ports, problems)).unwrap_or_default(),
            client_first: client_first(key.span(), raw, problems),
            cookies: cookies(raw, problems),
            together: together::together(raw, problems),
            tunnel: tunnel::validate(raw, problems),
        }
    };
    raw.iter().map(module).collect()
}

/// Client-first: there is no server yet whose acknowledgment could be awaited, or whose SYN-ACK acknowledged.
fn client_first(
    place: std::ops::Range<usize>,
    raw: &external::Module,
    problems: &mut Problems,
) -> Option<Duration> {
    let wait = duration(&raw.wait, Duration::from_secs(3), Duration::from_millis(1)..=MAX_WAIT, problems);
    if raw.order == external::Order::ServerFirst {
        if let Some(wait) = &raw.wait {
            problems.at(
                wait.span(),
                "counts only with order = \"client-first\"; change the order or leave it out",
            );
        }
        return None;
    }
    if raw.acknowledge == external::Acknowledge::Through {
        let message = "with order = \"client-first\" there is no server whose acknowledgment could be awaited; \
                       leave acknowledge out, or the order";
        problems.at(place, message);
    }
    Some(wait)
}

/// A SYN cookie is an answer before anybody is asked: only of a module that proxies whatever it is offered, and needs nothing of the
/// server for that.
fn cookies(raw: &external::Module, problems: &mut Problems) -> CookieUse {
    let hindrance = match raw {
        external::Module { kind: external::ModuleKind::Program, .. } => {
            Some("a program decides before anybody is answered")
        }
        external::Module { tunnel: Some(_), .. } => Some("what a tunnel says in a SYN would be lost"),
        external::Module { together: Some(_), .. } => {
            Some("who is answered is not held together with others")
        }
        external::Module { acknowledge: external::Acknowledge::Through, .. } => Some(
            "with acknowledge = \"through\" the server's acknowledgment is awaited, and there is no server yet",
        ),
        _ => None,
    };
    match (&raw.cookies, hindrance) {
        (None, _) => CookieUse::Never,
        (Some(wanted), hindrance) => {
            let cookies = match wanted.get_ref() {
                external::Cookies::Never => return CookieUse::Never,
                external::Cookies::UnderFlood => CookieUse::UnderFlood,
                external::Cookies::Always => CookieUse::Always,
            };
            if let Some(why) = hindrance {
                problems.at(wanted.span(), format!("{why}; leave cookies out"));
            }
            cookies
        }
    }
}

fn acknowledge(raw: external::Acknowledge) -> Acknowledge {
    match raw {
        external::Acknowledge::Receipt => Acknowledge::Receipt,
        external::Acknowledge::Through => Acknowledge::Through,
    }
}

fn merge(raw: &Option<external::Merge>, problems: &mut Problems) -> Merge {
    match raw {
        None | Some(external::Merge::Established) => Merge::Established,
        Some(external::Merge::FirstResponse) => Merge::FirstResponse,
        Some(external::Merge::Never) => Merge::Never,
        Some(external::Merge::AfterBytes(bytes)) => {
            let count = *bytes.get_ref();
            if !(1..=MAX_AFTER_BYTES).contains(&count) {
                problems.at(
                    bytes.span(),
                    format!("{count} is out of range; possible: 1 to {MAX_AFTER_BYTES}, or merge = \"established\""),
                );
            }
            Merge::AfterBytes(count.unsigned_abs())
        }
    }
}

/// Adds to the modules what a rule wants different. `None` only when there are more rules than are worth judging.
pub(super) fn rules(
    raw: &[Spanned<external::Rule>],
    modules: &mut Vec<Module>,
    hops: &mut Hops<'_>,
    inspections: &[Inspection],
    problems: &mut Problems,
) -> Option<Vec<Rule>> {
    if let Some(beyond) = raw.get(MAX_RULES) {
        problems.at(
            beyond.span(),
            format!("{} rules; at most {MAX_RULES}, give a rule lists instead", raw.len()),
        );
        return None;
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(raw.len());
    let (mut entries, mut sources, mut names) = ([0; 4], 0, HashMap::new());
    for (index, spanned) in raw.iter().enumerate() {
        let raw = spanned.get_ref();
        if let Some(given) = &raw.name {
            name(given.get_ref(), given.span(), problems);
            let earlier = *names.entry(given.get_ref().as_str()).or_insert(index);
            if earlier != index {
                problems.at(given.span(), format!("rule[{earlier}] has this name already; names are unique"));
            }
        }
        let matches = matches::validate(&raw.matches, problems);
        for (sum, list) in entries.iter_mut().zip(sizes(&matches)) {
            *sum += list;
        }
        if entries.iter().any(|sum| *sum > MAX_ENTRIES) {
            problems.at(
                spanned.span(),
                format!(
                    "the lists of all rules together have more than {MAX_ENTRIES} entries; use wider networks"
                ),
            );
            return None;
        }
        sources += matches.rate.map_or(0, |rate| rate.bytes());
        if sources > MAX_RATE_BYTES {
            problems.at(
                spanned.span(),
                format!(
                    "the rates of all rules together take more than {} for each worker; lower some match.rate.sources",
                    show_bytes(MAX_RATE_BYTES as u64)
                ),
            );
            return None;
        }
        let action = action(spanned, modules, hops, problems);
        rules.push(Rule {
            name: raw.name.as_ref().map_or_else(|| format!("rule[{index}]"), |given| given.get_ref().clone()),
            matches,
            action,
            inspection: inspect::of_rule(raw, action, inspections, problems),
            standing: standing::of_rule(raw, action, modules, problems),
        });
    }
    Some(rules)
}

fn sizes(matches: &Match) -> [usize; 4] {
    let addresses = matches.sources.len() + matches.destinations.len();
    let ports = matches.source_ports.len() + matches.destination_ports.len();
    [addresses, ports, matches.vlans.len(), matches.syn.as_ref().map_or(0, SynMatch::entries)]
}

fn action(
    spanned: &Spanned<external::Rule>,
    modules: &mut Vec<Module>,
    hops: &mut Hops<'_>,
    problems: &mut Problems,
) -> Action {
    let raw = spanned.get_ref();
    if let (Some(hop), false) = (&raw.next_hop, *raw.action.get_ref() == external::Action::Forward) {
        problems.at(
            hop.span(),
            "counts only with action = \"forward\"; change the action or leave it out (a module has its own next_hop)",
        );
    }
    if *raw.action.get_ref() != external::Action::Reject {
        let from = raw.from.iter().flat_map(|from| &from.0).map(Spanned::span).take(1);
        for span in raw.with.iter().map(Spanned::span).chain(from) {
            problems.at(span, "counts only with action = \"reject\"; change the action or leave it out");
        }
    }
    let plain = match raw.action.get_ref() {
        external::Action::Drop => Action::Drop,
        external::Action::Reject => Action::Reject(rejection::rejection(raw, problems)),
        external::Action::Bypass => Action::Bypass,
        external::Action::Monitor => Action::Monitor,
        external::Action::Forward => hops.forward(spanned, problems),
        external::Action::Offer => return offer(spanned, modules, problems),
    };
    if let Some(acknowledge) = &raw.acknowledge {
        problems
            .at(acknowledge.span(), "counts only with action = \"offer\"; change the action or leave it out");
    }
    if let (Some(module), false) = (&raw.module, plain == Action::Monitor) {
        problems.at(
            module.span(),
            "counts only with action = \"offer\" or \"monitor\"; change the action or leave it out",
        );
    }
    plain
}

fn offer(spanned: &Spanned<external::Rule>, modules: &mut Vec<Module>, problems: &mut Problems) -> Action {
    let Some(wanted) = &spanned.get_ref().module else {
        let message = "is missing; name the module that the flow is offered to";
        problems.missing(spanned.span(), "module", message);
        return Action::Drop;
    };
    match find(modules, wanted, problems) {
        Some(index) => {
            if let (Some(_), Some(raw)) = (modules[index].client_first, &spanned.get_ref().acknowledge)
                && *raw.get_ref() == external::Acknowledge::Through
            {
                problems.at(
                    raw.span(),
                    "the module is client-first: there is no server whose acknowledgment could be awaited",
                );
            }
            if let (true, Some(raw)) =
                (modules[index].cookies != CookieUse::Never, &spanned.get_ref().acknowledge)
                && *raw.get_ref() == external::Acknowledge::Through
            {
                problems.at(
                    raw.span(),
                    "the module answers with SYN cookies: there is no server yet whose acknowledgment could be awaited",
                );
            }
            let wanted = spanned.get_ref().acknowledge.as_ref();
            if let (Some(wanted), ModuleKind::Program(_)) = (wanted, &modules[index].kind) {
                // Another variant of it would be another listener at the same socket.
                let message = "a module of kind \"program\" has one for all rules; set it in the module";
                problems.at(wanted.span(), message);
                return Action::Drop;
            }
            Action::Offer { module: variant(modules, index, wanted.map(|wanted| *wanted.get_ref())) as u16 }
        }
        None => Action::Drop,
    }
}

/// The index of the module of this name.
pub(super) fn find(modules: &[Module], wanted: &Spanned<String>, problems: &mut Problems) -> Option<usize> {
    let names = || modules.iter().map(|module| module.name.as_str());
    let found = names().position(|name| name == wanted.get_ref());
    if found.is_none() {
        let distinct = || names().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let list = || match distinct().join(", ") {
            list if list.is_empty() => format!("; add a table [module.{}]", wanted.get_ref()),
            list => format!("; there is {list}"),
        };
        let hint = did_you_mean(wanted.get_ref(), names(), list);
        problems.at(wanted.span(), format!("no module is named \"{}\"{hint}", wanted.get_ref()));
    }
    found
}

/// The index of the module at `index` with what a rule says about acknowledging: itself, or another of its name.
fn variant(modules: &mut Vec<Module>, index: usize, wanted: Option<external::Acknowledge>) -> usize {
    let Some(wanted) = wanted.map(acknowledge) else { return index };
    let module = Module { acknowledge: wanted, ..modules[index].clone() };
    modules.iter().position(|known| *known == module).unwrap_or_else(|| {
        modules.push(module);
        modules.len() - 1
    })
}

/// What is possible but hardly meant: rules behind one that matches everything, modules that nobody names.
pub(super) fn warn(raw: &external::Config, rules: &[Rule], warnings: &mut Problems) {
    let catch_all = rules.iter().position(|rule| rule.matches == Match::default());
    if let Some(behind) = catch_all.and_then(|index| raw.rule.get(index + 1)) {
        let index = catch_all.unwrap_or_default();
        warnings.at(behind.span(), format!("never reached: rule[{index}] matches everything"));
    }
    for module in raw.module.keys() {
        let named = |rule: &Spanned<external::Rule>| {
            rule.get_ref().module.as_ref().is_some_and(|name| name.get_ref() == module.get_ref())
        };
        if !raw.rule.iter().any(named) {
            warnings.at(module.span(), "no rule offers flows to this module");
        }
    }
}
