//! The immutable rule snapshot that a worker consults on a SYN without a flow (DESIGN section 3, step 5), and the
//! appliance-wide answers to what no rule speaks about: strays, full tables, a stalled control core.
//!
//! The control side compiles a [`Snapshot`] from [`RuleSpec`]s and publishes it whole; workers only read. The first match
//! in configuration order wins. It is found by a decision tree (`tree.rs`); every family has its own, so that an
//! IPv4 SYN never touches a 128-bit compare.

use std::sync::Arc;

use self::services::Services;
use crate::flow::far::NextHop;
use crate::flow::object::Record;
use crate::flow::quad::{Addresses, Quad, Segment};
use crate::inspect::Inspection;
use crate::refusal::Rejection;

mod condition;
mod fingerprint;
mod installed;
mod rate;
mod region;
pub mod services;
mod spec;
mod standing;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use condition::Conditions;
pub use fingerprint::{Layout, LayoutError, SynMatch};
pub use installed::{Hits, Installed};
pub use rate::{Per, RateSpec, Side};
use region::{Family, vlan_order};
pub use spec::{Defaults, Prefix, PrefixError, RuleSpec, TooLarge, VlanMatch};
pub use standing::Standing;
use table::{Candidates, NONE, Table};
use tree::Verdict;

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
    /// Forwarded by another next hop, and the flow is never intercepted.
    Forward {
        /// Index into the snapshot's next hops.
        hop: u16,
    },
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
    pub rule: u32,
    /// What to do.
    pub action: Action,
}

impl Decision {
    /// No rule matched; the action is the default.
    pub const NO_RULE: u32 = u32::MAX;
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

/// When the client of a SYN that would be offered to a module is answered first, with a SYN cookie, and the module asked about
/// the connection that it then has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CookieUse {
    /// Its SYN is held until the module has decided and the server has answered.
    #[default]
    Never,
    /// When SYNs come faster than they can be held.
    UnderFlood,
    /// Every time.
    Always,
}

/// The rule that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    /// In configuration order.
    index: u32,
    /// Among the snapshot's conditions, or [`NONE`].
    condition: u32,
    action: Action,
}

/// Whether a flow may have passed by such a rule.
fn lets_pass(action: Action) -> bool {
    matches!(action, Action::Pass | Action::Bypass | Action::Monitor)
}

/// What a quad on a segment is to the rules of its family.
enum Points {
    V4(table::Point<u32>),
    V6(table::Point<u128>),
}

impl Points {
    fn of(quad: &Quad, segment: Segment) -> Points {
        let (client_port, server_port, vlans) = (quad.client_port, quad.server_port, vlan_order(segment));
        match quad.addresses {
            Addresses::V4(source, destination) => {
                let (source, destination) = (u32::from_be_bytes(source), u32::from_be_bytes(destination));
                Points::V4([destination, source, server_port.into(), client_port.into(), vlans])
            }
            Addresses::V6(source, destination) => {
                let (source, destination) = (u128::from_be_bytes(source), u128::from_be_bytes(destination));
                Points::V6([destination, source, server_port.into(), client_port.into(), vlans.into()])
            }
        }
    }
}

/// All rules and defaults, compiled. Shared behind an `Arc`, replaced whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    v4: Table<u32>,
    v6: Table<u128>,
    rules: usize,
    conditions: Conditions,
    hops: Box<[NextHop]>,
    services: Services,
    default: Action,
    strays: Strays,
    flows_full: Fallback,
    on_control_stall: Fallback,
    rejections: Box<[Rejection]>,
    inspections: Box<[Arc<Inspection>]>,
    /// By rule: its inspection. Shorter than the rules, or empty, where the rest has none.
    inspected_by: Box<[u16]>,
    standings: Box<[Standing]>,
    /// By rule, likewise.
    standing_by: Box<[u16]>,
    /// By module, likewise.
    cookies_by: Box<[CookieUse]>,
}

impl Snapshot {
    /// Compiles rules in order; `Err` when there are more than [`RuleSpec::MOST`] or
    /// [`RuleSpec::MOST_ENTRIES`]. Takes time and memory in proportion to both, whatever they are like.
    pub fn compile(rules: &[RuleSpec], defaults: Defaults) -> Result<Snapshot, TooLarge> {
        RuleSpec::check(rules)?;
        let (conditions, places) = Conditions::of(rules);
        // Whether a rule that asks more has matched the SYN cannot be known any more.
        let for_strays = |index: usize| places[index] == NONE || lets_pass(rules[index].action);
        Ok(Snapshot {
            v4: Table::build(rules, &places, for_strays, Family::V4),
            v6: Table::build(rules, &places, for_strays, Family::V6),
            rules: rules.len(),
            conditions,
            hops: Box::default(),
            services: Services::default(),
            default: defaults.action,
            strays: defaults.strays,
            flows_full: defaults.flows_full,
            on_control_stall: defaults.on_control_stall,
            rejections: Box::default(),
            inspections: Box::default(),
            inspected_by: Box::default(),
            standings: Box::default(),
            standing_by: Box::default(),
            cookies_by: Box::default(),
        })
    }

    /// The same with the next hops that its rules name by index.
    pub fn with_hops(self, hops: Vec<NextHop>) -> Snapshot {
        Snapshot { hops: hops.into(), ..self }
    }

    /// The same with the addresses that are the appliance's own.
    pub fn with_services(self, services: Services) -> Snapshot {
        Snapshot { services, ..self }
    }

    /// The addresses that are the appliance's own.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The next hop that an action names.
    pub fn hop(&self, index: u16) -> Option<NextHop> {
        self.hops.get(usize::from(index)).copied()
    }

    /// With what [`Action::Reject`] refers to: beside the rules, of which most need no room for it.
    pub fn with_rejections(mut self, rejections: Vec<Rejection>) -> Snapshot {
        self.rejections = rejections.into();
        self
    }

    /// With inspections, and which of them each rule asks for, [`Record::NO_INSPECTION`] for none.
    pub fn with_inspections(self, inspections: Vec<Arc<Inspection>>, by_rule: Vec<u16>) -> Snapshot {
        Snapshot { inspections: inspections.into(), inspected_by: by_rule.into(), ..self }
    }

    /// All inspections, by index.
    pub fn inspections(&self) -> &[Arc<Inspection>] {
        &self.inspections
    }

    /// The inspection of that index.
    pub fn inspection(&self, index: u16) -> Option<&Inspection> {
        self.inspections.get(usize::from(index)).map(|inspection| &**inspection)
    }

    /// The inspection that the flows of a rule get.
    pub fn inspection_of(&self, rule: u32) -> u16 {
        self.inspected_by.get(rule as usize).copied().unwrap_or(Record::NO_INSPECTION)
    }

    /// With what rules go on asking of their flows, and which of it each rule asks, [`Record::NO_STANDING`] for nothing.
    pub fn with_standings(self, standings: Vec<Standing>, by_rule: Vec<u16>) -> Snapshot {
        Snapshot { standings: standings.into(), standing_by: by_rule.into(), ..self }
    }

    /// All that rules go on asking, by index.
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// What has this index.
    pub fn standing(&self, index: u16) -> Option<&Standing> {
        self.standings.get(usize::from(index))
    }

    /// What a rule goes on asking of its flows.
    pub fn standing_of(&self, rule: u32) -> u16 {
        self.standing_by.get(rule as usize).copied().unwrap_or(Record::NO_STANDING)
    }

    /// With when the SYNs for each module are answered with cookies.
    pub fn with_cookies(self, by_module: Vec<CookieUse>) -> Snapshot {
        Snapshot { cookies_by: by_module.into(), ..self }
    }

    /// When those for a module are.
    pub fn cookies_of(&self, module: u16) -> CookieUse {
        self.cookies_by.get(usize::from(module)).copied().unwrap_or_default()
    }

    /// Whether what a rule says follows from a SYN's quad and segment alone, so that it is found again by what answers it.
    #[inline(always)]
    pub fn is_found_by_quad(&self, decision: Decision, quad: &Quad, segment: Segment) -> bool {
        self.conditions.is_empty() || self.decide(quad, segment) == decision
    }

    /// What the client of a rejected SYN gets; RST for an index that nothing belongs to.
    pub fn rejection(&self, index: u16) -> Rejection {
        self.rejections.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// What the first matching rule says of a SYN with this quad (client → server) on this segment, leaving out rules that
    /// ask more than that; the default when none matches. Does not allocate.
    // Both searches are in it, 2 KiB: nothing to copy to each of those who ask.
    #[inline(never)]
    pub fn decide(&self, quad: &Quad, segment: Segment) -> Decision {
        let plain = |rule: Found| rule.condition == NONE;
        self.decision(match Points::of(quad, segment) {
            Points::V4(point) => self.v4.first(&point, plain),
            Points::V6(point) => self.v6.first(&point, plain),
        })
    }

    /// The first rules, from place `from` on, that are about this quad and segment, as far as `judge` does not say no.
    #[inline]
    fn candidates(
        &self,
        quad: &Quad,
        segment: Segment,
        from: u32,
        judge: impl FnMut(Found) -> Verdict,
    ) -> Candidates {
        match Points::of(quad, segment) {
            Points::V4(point) => self.v4.candidates(&point, from, judge),
            Points::V6(point) => self.v6.candidates(&point, from, judge),
        }
    }

    /// Bytes that the rules take, without what each worker has of its own.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.conditions.bytes()
    }

    fn decision(&self, found: Option<Found>) -> Decision {
        match found {
            Some(Found { index, action, .. }) => Decision { rule: index, action },
            None => Decision { rule: Decision::NO_RULE, action: self.default },
        }
    }

    /// Whether a segment with this quad (source → destination) would, as a SYN, have been offered to a module: only
    /// then can a missing flow be missing, and the policy for strays applies.
    ///
    /// The whole rule list is asked, not the destination alone: clients that an earlier rule lets pass to the same
    /// destination have no flow either, and must not be cut off as strays.
    ///
    /// Whether a rule that asks more than quad and segment matched the SYN cannot be known any more. One that lets pass
    /// may have, so nothing is missing for certain; any other is left out. The rest have a tree of their own, or every stray
    /// would be compared with all that are left out.
    pub fn protects(&self, quad: &Quad, segment: Segment) -> bool {
        let found = match Points::of(quad, segment) {
            Points::V4(point) => self.v4.first_for_strays(&point),
            Points::V6(point) => self.v6.first_for_strays(&point),
        };
        let Decision { rule, action } = self.decision(found);
        // What is inspected has a flow, too: without one it would pass uninspected.
        matches!(action, Action::Offer { .. }) || self.inspection_of(rule) != Record::NO_INSPECTION
    }

    /// Rules in it.
    pub const fn rules(&self) -> usize {
        self.rules
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
