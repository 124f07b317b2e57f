//! Compiles the validated rules into the dataplane's own words: no address crate crosses this line.

use dataplane::policy::services::Services;
use dataplane::policy::{Action, Defaults, Fallback, Prefix, RuleSpec, Snapshot, TooLarge};
use dataplane::refusal::Rejection;
use ipnet::IpNet;

use crate::config::validated::{self, Config};

/// The snapshot of a configuration. Rule and module indices are those of `config.rules` and `config.modules`.
pub fn compile(config: &Config) -> Result<Snapshot, TooLarge> {
    compile_with(config, |module| module)
}

/// The same where module number `n` of the configuration has the index `module_index(n)`.
pub fn compile_with(config: &Config, module_index: impl Fn(u16) -> u16) -> Result<Snapshot, TooLarge> {
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
    Ok(snapshot.with_hops(config.hops.clone()).with_services(services).with_rejections(rejections))
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
