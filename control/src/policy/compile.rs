//! Compiles the validated rules into the dataplane's own words: no address crate crosses this line.

use std::sync::Arc;

use dataplane::flow::object::Record;
use dataplane::inspect::Inspection;
use dataplane::policy::services::Services;
use dataplane::policy::{
    Action, CookieUse, Defaults, Fallback, Prefix, RuleSpec, Snapshot, Standing, TooLarge,
};
use dataplane::refusal::Rejection;
use ipnet::IpNet;

use crate::config::validated::{self, Config};

/// Inspections that have ever been configured: flows may refer to each of them until the appliance ends.
const MOST_INSPECTIONS: usize = 1024;
/// The same of what rules go on asking.
const MOST_STANDINGS: usize = 4096;

/// The snapshot of a configuration. Rule and module indices are those of `config.rules` and `config.modules`.
pub fn compile(config: &Config) -> Result<Snapshot, TooLarge> {
    compile_with(config, |module| module, &[], &[])
}

/// The same where module number `n` of the configuration has the index `module_index(n)`.
///
/// Inspections keep the index that they have in `known`, those that flows may still refer to ([`keep_known`]); new ones follow.
/// What rules go on asking of their flows likewise, in `standings`.
pub fn compile_with(
    config: &Config,
    module_index: impl Fn(u16) -> u16,
    known: &[Arc<Inspection>],
    standings: &[Standing],
) -> Result<Snapshot, TooLarge> {
    let mut rejections = Vec::new();
    let rules: Vec<RuleSpec> =
        config.rules.iter().map(|given| rule(given, &mut rejections, &module_index)).collect();
    let defaults = Defaults {
        action: match config.policy.default {
            Fallback::Pass => Action::Pass,
            Fallback::Drop => Action::Drop,
        },
        strays: config.policy.strays,
        flows_full: config.policy.flows_full,
        on_control_stall: config.policy.on_control_stall,
    };
    let snapshot = Snapshot::compile(&rules, defaults)?;
    let services = Services::new(config.services());
    let (inspections, indices) = place(config, known)?;
    let of_rule = |rule: &validated::Rule| match rule.inspection {
        Some(index) => indices[usize::from(index)],
        None => Record::NO_INSPECTION,
    };
    let by_rule = match inspections.is_empty() {
        true => Vec::new(),
        false => config.rules.iter().map(of_rule).collect(),
    };
    let snapshot = snapshot.with_inspections(inspections, by_rule);
    let (standings, by_rule) = stand(config, &module_index, standings)?;
    let snapshot = snapshot.with_standings(standings, by_rule);
    let snapshot = snapshot.with_cookies(cookies(config, module_index));
    Ok(snapshot.with_hops(config.hops.clone()).with_services(services).with_rejections(rejections))
}

/// By index of the module: when its clients are answered with cookies.
fn cookies(config: &Config, module_index: impl Fn(u16) -> u16) -> Vec<CookieUse> {
    let mut by_module = Vec::new();
    for (number, module) in (0..).zip(&config.modules) {
        let index = usize::from(module_index(number));
        by_module.resize(by_module.len().max(index + 1), CookieUse::Never);
        by_module[index] = module.cookies;
    }
    by_module
}

/// What says the same as one of `known` is that one, which has its index and its counts; two that are configured never are one.
pub fn keep_known(configured: &mut [validated::Inspection], known: &[Arc<Inspection>]) {
    let mut is_free = vec![true; known.len()];
    for given in configured {
        let same =
            known.iter().zip(&mut is_free).find(|(known, is_free)| **is_free && **known == given.compiled);
        if let Some((known, is_free)) = same {
            given.compiled = Arc::clone(known);
            *is_free = false;
        }
    }
}

/// All inspections by index, and the index of each that is configured.
fn place(config: &Config, known: &[Arc<Inspection>]) -> Result<(Vec<Arc<Inspection>>, Vec<u16>), TooLarge> {
    let mut inspections = known.to_vec();
    let mut indices = Vec::with_capacity(config.inspections.len());
    for given in &config.inspections {
        let index =
            inspections.iter().position(|known| Arc::ptr_eq(known, &given.compiled)).unwrap_or_else(|| {
                inspections.push(Arc::clone(&given.compiled));
                inspections.len() - 1
            });
        indices.push(index as u16);
    }
    match inspections.len() {
        0..=MOST_INSPECTIONS => Ok((inspections, indices)),
        _ => Err(TooLarge {
            what: "inspections of this and former configurations; restart",
            most: MOST_INSPECTIONS,
        }),
    }
}

/// What rules go on asking of their flows, by index, and the index of each rule.
fn stand(
    config: &Config,
    module_index: impl Fn(u16) -> u16,
    known: &[Standing],
) -> Result<(Vec<Standing>, Vec<u16>), TooLarge> {
    let mut standings = known.to_vec();
    let mut by_rule = Vec::new();
    for (number, rule) in config.rules.iter().enumerate() {
        let standing = Standing { module: rule.standing.module.map(&module_index), ..rule.standing };
        if standing.is_nothing() {
            continue;
        }
        let index = standings.iter().position(|known| *known == standing).unwrap_or_else(|| {
            standings.push(standing);
            standings.len() - 1
        });
        by_rule.resize(number, Record::NO_STANDING);
        by_rule.push(index as u16);
        if standings.len() > MOST_STANDINGS {
            let what = "different `split`, `idle` and modules of monitoring rules, of this and former configurations; restart";
            return Err(TooLarge { what, most: MOST_STANDINGS });
        }
    }
    Ok((standings, by_rule))
}

fn rule(
    rule: &validated::Rule,
    rejections: &mut Vec<Rejection>,
    module_index: impl Fn(u16) -> u16,
) -> RuleSpec {
    let matches = &rule.matches;
    RuleSpec {
        sources: prefixes(&matches.sources),
        destinations: prefixes(&matches.destinations),
        source_ports: matches.source_ports.clone(),
        destination_ports: matches.destination_ports.clone(),
        vlans: matches.vlans.clone(),
        syn: matches.syn.clone(),
        rate: matches.rate,
        action: match rule.action {
            validated::Action::Drop => Action::Drop,
            validated::Action::Reject(rejection) => {
                Action::Reject { rejection: index_of(rejection, rejections) }
            }
            validated::Action::Bypass => Action::Bypass,
            validated::Action::Monitor => Action::Monitor,
            validated::Action::Forward { hop } => Action::Forward { hop },
            validated::Action::Offer { module } => Action::Offer { module: module_index(module) },
        },
    }
}

/// Rules that refuse alike share an entry: there are no more entries than rules, whose number is a `u16`.
fn index_of(rejection: Rejection, rejections: &mut Vec<Rejection>) -> u16 {
    let index = rejections.iter().position(|known| *known == rejection).unwrap_or_else(|| {
        rejections.push(rejection);
        rejections.len() - 1
    });
    index as u16
}

/// A network's length always fits its family, so none is lost.
fn prefixes(networks: &[IpNet]) -> Vec<Prefix> {
    networks.iter().filter_map(|network| Prefix::new(network.addr(), network.prefix_len()).ok()).collect()
}
