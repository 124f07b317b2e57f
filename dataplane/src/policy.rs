//! The immutable rule snapshot that a worker consults on a SYN without a flow (DESIGN section 3, step 5), and the
//! appliance-wide answers to what no rule speaks about: strays, full tables, a stalled control core.
//!
//! The control side compiles a [`Snapshot`] from [`RuleSpec`]s and publishes it whole; workers only read. Rules are
//! searched linearly, first match wins: some ten rules are the rule, and one branch-predictable pass over two flat
//! arrays beats a trie until there are hundreds. Every family has its own table, so that an IPv4 SYN never touches
//! a 128-bit compare.

use crate::flow::quad::{Addresses, Quad, Segment};
use crate::refusal::Rejection;

mod spec;
#[cfg(test)]
mod tests;

pub use spec::{Defaults, Prefix, PrefixError, RuleSpec, TooLarge, VlanMatch};
use spec::{RuleTable, Tables};

/// What happens to a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Forwarded, nothing remembered: what no rule speaks about.
    Pass,
    /// Silence.
    Drop,
    /// RST or an ICMP error to the client.
    Reject {
        /// Index into what [`Snapshot::with_rejections`] was given.
        rejection: u16,
    },
    /// Forwarded, and the flow is never intercepted.
    Bypass,
    /// Forwarded, and the flow is observed so that it can be split.
    Monitor,
    /// Suspended and offered to a module.
    Offer {
        /// Index into the configured modules.
        module: u16,
    },
}

/// The outcome for one SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Index of the rule in configuration order, or [`Decision::NO_RULE`].
    pub rule: u16,
    /// What to do.
    pub action: Action,
}

impl Decision {
    /// No rule matched; the action is the default.
    pub const NO_RULE: u16 = u16::MAX;
}

/// What happens to a segment without a flow that is not a SYN and goes to a protected destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strays {
    /// Silence.
    #[default]
    Drop,
    /// A RST to its sender.
    Reset,
    /// Forwarded.
    Pass,
}

/// What new flows get when the appliance cannot take them: room or the control core is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fallback {
    /// Forwarded as if bypassed: fail open.
    Pass,
    /// Silence: fail closed.
    #[default]
    Drop,
}

/// All rules and defaults, compiled. Shared behind an `Arc`, replaced whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    tables: Tables,
    default: Action,
    strays: Strays,
    flows_full: Fallback,
    on_control_stall: Fallback,
    rejections: Box<[Rejection]>,
}

impl Snapshot {
    /// Compiles rules in order; `Err` when there are more rules or list entries than an index can name.
    pub fn compile(rules: &[RuleSpec], defaults: Defaults) -> Result<Snapshot, TooLarge> {
        Ok(Snapshot {
            tables: Tables::build(rules)?,
            default: defaults.action,
            strays: defaults.strays,
            flows_full: defaults.flows_full,
            on_control_stall: defaults.on_control_stall,
            rejections: Box::default(),
        })
    }

    /// With what [`Action::Reject`] refers to: beside the rules, of which most need no room for it.
    pub fn with_rejections(mut self, rejections: Vec<Rejection>) -> Snapshot {
        self.rejections = rejections.into();
        self
    }

    /// What the client of a rejected SYN gets; RST for an index that nothing belongs to.
    pub fn rejection(&self, index: u16) -> Rejection {
        self.rejections.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// What the first matching rule says of a SYN with this quad (client → server) on this segment; the default when
    /// none matches. Does not allocate.
    pub fn decide(&self, quad: &Quad, segment: Segment) -> Decision {
        let hit = match quad.addresses {
            Addresses::V4(source, destination) => {
                let addresses = (u32::from_be_bytes(source), u32::from_be_bytes(destination));
                self.tables.first_match(&self.tables.v4, addresses, quad, segment)
            }
            Addresses::V6(source, destination) => {
                let addresses = (u128::from_be_bytes(source), u128::from_be_bytes(destination));
                self.tables.first_match(&self.tables.v6, addresses, quad, segment)
            }
        };
        hit.unwrap_or(Decision { rule: Decision::NO_RULE, action: self.default })
    }

    /// Whether a segment with this quad (source → destination) would, as a SYN, have been offered to a module: only
    /// then can a missing flow be missing, and the policy for strays applies.
    ///
    /// The whole rule list is asked, not the destination alone: clients that an earlier rule lets pass to the same
    /// destination have no flow either, and must not be cut off as strays.
    pub fn protects(&self, quad: &Quad, segment: Segment) -> bool {
        matches!(self.decide(quad, segment).action, Action::Offer { .. })
    }

    /// What strays to a protected destination get.
    pub const fn strays(&self) -> Strays {
        self.strays
    }

    /// What a SYN gets when the flow table or the suspended table is full.
    pub const fn flows_full(&self) -> Fallback {
        self.flows_full
    }

    /// What a SYN that would be offered gets while the control core does not move.
    pub const fn on_control_stall(&self) -> Fallback {
        self.on_control_stall
    }
}

impl Tables {
    fn first_match<W: spec::Word>(
        &self,
        table: &RuleTable<W>,
        (source, destination): (W, W),
        quad: &Quad,
        segment: Segment,
    ) -> Option<Decision> {
        let vlans = segment.0 & VlanMatch::MASK;
        let hit = table.rules.iter().find(|rule| {
            rule.destination_ports.admits(&self.ports, |range| range.contains(quad.server_port))
                && rule.destinations.admits(&table.prefixes, |prefix| prefix.contains(destination))
                && rule.sources.admits(&table.prefixes, |prefix| prefix.contains(source))
                && rule.source_ports.admits(&self.ports, |range| range.contains(quad.client_port))
                && rule.vlans.admits(&self.vlans, |vlan| vlan.contains(vlans))
        })?;
        Some(Decision { rule: hit.index, action: hit.action })
    }
}
