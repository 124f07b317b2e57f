//! What serde reads: every key that a configuration may have, nothing proven. Spans are kept wherever a value can
//! turn out impossible.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::scalar::{List, Scalar};

mod inspect;
mod rejection;

pub(super) use inspect::{Ahead, From, Inspect, Pattern, Verdict};
pub(super) use rejection::With;

type Number = Option<Spanned<i64>>;
type WithUnit = Option<Spanned<Scalar>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) socket: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) memory: Memory,
    pub(super) cores: Spanned<Cores>,
    #[serde(default)]
    pub(super) port: Vec<Spanned<Port>>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    #[serde(default)]
    pub(super) policy: Policy,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<Rule>>,
    #[serde(default)]
    pub(super) module: BTreeMap<Spanned<String>, Spanned<Module>>,
    #[serde(default)]
    pub(super) inspect: BTreeMap<Spanned<String>, Spanned<Inspect>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    #[serde(default)]
    pub(super) hugepages: bool,
    pub(super) megabytes: Number,
    pub(super) buffers: Number,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cores {
    pub(super) control: Spanned<i64>,
    pub(super) workers: Spanned<Vec<Spanned<i64>>>,
    #[serde(default)]
    pub(super) idle: Idle,
    pub(super) idle_ceiling_us: Number,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Idle {
    #[default]
    Spin,
    Yield,
    Sleep,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    pub(super) name: Spanned<String>,
    pub(super) device: Spanned<String>,
    pub(super) peer: Spanned<String>,
    pub(super) mtu: Number,
    pub(super) impair: Option<Spanned<Impair>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Impair {
    pub(super) loss: WithUnit,
    pub(super) delay: WithUnit,
    pub(super) jitter: WithUnit,
    pub(super) reorder: WithUnit,
    pub(super) reorder_by: WithUnit,
    pub(super) duplicate: WithUnit,
    pub(super) rate: WithUnit,
    pub(super) queue: Number,
    pub(super) seed: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) flows: Number,
    pub(super) suspended: Number,
    pub(super) suspended_per_source: Number,
    pub(super) suspended_per_destination: Number,
    pub(super) source_prefix_v4: Number,
    pub(super) source_prefix_v6: Number,
    pub(super) history: Number,
    pub(super) participating: Number,
    pub(super) held_packets: Number,
    pub(super) far_sides: Number,
    pub(super) inspected: Number,
    pub(super) inspected_bytes: WithUnit,
    pub(super) send_buffer: WithUnit,
    pub(super) receive_buffer: WithUnit,
    pub(super) participating_bytes: WithUnit,
    pub(super) drain_up_to: WithUnit,
    pub(super) receive_ring: Number,
    pub(super) transmit_ring: Number,
    pub(super) mailbox: Number,
    pub(super) icmp_errors: Number,
    #[serde(default)]
    pub(super) congestion: Congestion,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Congestion {
    #[default]
    Cubic,
    NewReno,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) syn: WithUnit,
    pub(super) idle_established: WithUnit,
    pub(super) half_closed: WithUnit,
    pub(super) user: WithUnit,
    pub(super) keepalive: WithUnit,
    pub(super) linger: WithUnit,
    pub(super) drain: WithUnit,
    pub(super) control_stall: WithUnit,
    pub(super) shutdown: WithUnit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) default: PassOrDrop<true>,
    pub(super) strays: Strays,
    pub(super) flows_full: PassOrDrop<false>,
    pub(super) suspended_full: SuspendedFull,
    pub(super) on_control_stall: PassOrDrop<false>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SuspendedFull {
    #[default]
    Oldest,
    Drop,
    Pass,
}

/// `pass` or `drop`; the parameter says which is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PassOrDrop<const PASS: bool> {
    Pass,
    Drop,
}

impl<const PASS: bool> Default for PassOrDrop<PASS> {
    fn default() -> Self {
        if PASS { PassOrDrop::Pass } else { PassOrDrop::Drop }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Strays {
    #[default]
    Drop,
    Reset,
    Pass,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Option<Spanned<String>>,
    #[serde(default, rename = "match")]
    pub(super) matches: Match,
    pub(super) action: Spanned<Action>,
    pub(super) module: Option<Spanned<String>>,
    pub(super) acknowledge: Option<Spanned<Acknowledge>>,
    pub(super) inspect: Option<Spanned<String>>,
    pub(super) split: Option<Spanned<SplitWhen>>,
    pub(super) idle: WithUnit,
    pub(super) with: Option<Spanned<With>>,
    pub(super) from: Option<List>,
    pub(super) next_hop: Option<Spanned<NextHop>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitWhen {
    pub(super) after_bytes: WithUnit,
    pub(super) after: WithUnit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextHop {
    pub(super) mac: Option<Spanned<String>>,
    pub(super) vlan: WithUnit,
    pub(super) port: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    pub(super) source: Option<List>,
    pub(super) destination: Option<List>,
    pub(super) source_ports: Option<List>,
    pub(super) destination_ports: Option<List>,
    pub(super) vlan: Option<List>,
    pub(super) syn: Option<Syn>,
    pub(super) rate: Option<Spanned<Rate>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Syn {
    pub(super) options: Option<List>,
    pub(super) mss: Option<List>,
    pub(super) window: Option<List>,
    pub(super) window_scale: Option<List>,
    pub(super) ttl: Option<List>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rate {
    pub(super) above: Number,
    pub(super) within: Number,
    pub(super) burst: Number,
    pub(super) per: Per,
    pub(super) source_prefix_v4: Number,
    pub(super) source_prefix_v6: Number,
    pub(super) sources: Number,
    pub(super) sources_full: Option<Spanned<Side>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Per {
    #[default]
    Rule,
    Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Side {
    Within,
    Above,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    Drop,
    Reject,
    Bypass,
    Monitor,
    Forward,
    Offer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    pub(super) kind: ModuleKind,
    pub(super) merge: Option<Merge>,
    #[serde(default)]
    pub(super) server_ack: ServerAck,
    #[serde(default)]
    pub(super) order: Order,
    pub(super) wait: WithUnit,
    pub(super) cookies: Option<Spanned<Cookies>>,
    #[serde(default)]
    pub(super) isn: Isn,
    #[serde(default)]
    pub(super) acknowledge: Acknowledge,
    pub(super) server: Option<List>,
    pub(super) client: Option<List>,
    pub(super) next_hop: Option<Spanned<NextHop>>,
    pub(super) tunnel: Option<Spanned<Tunnel>>,
    pub(super) socket: Option<Spanned<String>>,
    pub(super) deadline: WithUnit,
    pub(super) default: Option<Spanned<WithoutDecision>>,
    pub(super) outstanding: Number,
    pub(super) streams: Number,
    pub(super) together: Option<Spanned<Together>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cookies {
    Never,
    UnderFlood,
    Always,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Together {
    pub(super) ports: Option<List>,
    #[serde(default)]
    pub(super) complete: Complete,
    pub(super) wait: WithUnit,
    pub(super) afterwards: WithUnit,
    pub(super) others: Option<Spanned<With>>,
    pub(super) outstanding: Number,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Complete {
    #[default]
    Each,
    First,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tunnel {
    pub(super) role: Role,
    pub(super) key_file: Option<List>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    Enter,
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ModuleKind {
    Relay,
    Program,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WithoutDecision {
    Drop,
    Reject,
    Bypass,
    Monitor,
    Proxy,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Merge {
    Established,
    FirstResponse,
    Never,
    #[serde(rename = "after_bytes")]
    AfterBytes(Spanned<i64>),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    #[default]
    ServerFirst,
    ClientFirst,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ServerAck {
    AtOnce,
    #[default]
    AfterClient,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Isn {
    #[default]
    Mirror,
    Keyed,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Acknowledge {
    #[default]
    Receipt,
    Through,
}
