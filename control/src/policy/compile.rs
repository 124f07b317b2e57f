//! Compiles the validated rules into the dataplane's own words: no address crate crosses this line.

use dataplane::policy::{Action, Defaults, Fallback, Prefix, RuleSpec, Snapshot, TooLarge};
use dataplane::refusal::Rejection;
use ipnet::IpNet;

use crate::config::validated::{self, Config};

/// The snapshot of a configuration. Rule and module indices are those of `config.rules` and `config.modules`.
pub fn compile(config: &Config) -> Result<Snapshot, TooLarge> {
    let mut rejections = Vec::new();
    let rules: Vec<RuleSpec> = config.rules.iter().map(|it| rule(it, &mut rejections)).collect();
    let defaults = Defaults {
        action: match config.policy.default {
            Fallback::Pass => Action::Pass,
            Fallback::Drop => Action::Drop,
        },
        strays: config.policy.strays,
        flows_full: config.policy.flows_full,
        on_control_stall: config.policy.on_control_stall,
    };
    Ok(Snapshot::compile(&rules, defaults)?.with_rejections(rejections))
}

fn rule(rule: &validated::Rule, rejections: &mut Vec<Rejection>) -> RuleSpec {
    let matches = &rule.matches;
    RuleSpec {
        sources: prefixes(&matches.sources),
        destinations: prefixes(&matches.destinations),
        source_ports: matches.source_ports.clone(),
        destination_ports: matches.destination_ports.clone(),
        vlans: matches.vlans.clone(),
        action: match rule.action {
            validated::Action::Drop => Action::Drop,
            validated::Action::Reject(rejection) => {
                Action::Reject { rejection: index_of(rejection, rejections) }
            }
            validated::Action::Bypass => Action::Bypass,
            validated::Action::Monitor => Action::Monitor,
            validated::Action::Offer { module } => Action::Offer { module },
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
