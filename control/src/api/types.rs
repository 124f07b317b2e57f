//! What the management interface tells. The names are a contract (DESIGN section 8): fields are added, never renamed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use dataplane::flow::quad::Segment;
use dataplane::policy::Standing;
use serde::{Deserialize, Serialize};

/// Name → count.
pub type Counters = BTreeMap<String, u64>;

/// Where the packets of a flow go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// SYN held, nobody answered yet.
    Suspended,
    /// Up to the control core's TCP stack.
    Participating,
    /// Rewritten on the worker.
    CutThrough,
    /// Passed unmodified, observed.
    Monitored,
    /// Never intercepted.
    Bypassed,
}

impl Path {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Path::Suspended => "suspended",
            Path::Participating => "participating",
            Path::CutThrough => "cut_through",
            Path::Monitored => "monitored",
            Path::Bypassed => "bypassed",
        }
    }
}

/// One flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowInfo {
    /// Client endpoint.
    pub client: SocketAddr,
    /// Server endpoint.
    pub server: SocketAddr,
    /// The client as the server sees it, where that is another endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub far_client: Option<SocketAddr>,
    /// The server that it is connected to, where that is another than the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub far_server: Option<SocketAddr>,
    /// Index of the port pair.
    pub pair: u8,
    /// VLAN ids, outer first; empty without tags.
    pub vlans: Vec<u16>,
    /// Where its packets go.
    pub path: Path,
    /// The module that it was offered to.
    pub module: Option<String>,
    /// Δ1, modulo 2^32 as signed.
    pub delta_c2s: i32,
    /// Δ2, modulo 2^32 as signed.
    pub delta_s2c: i32,
    /// Bytes of its IP packets, headers included, client → server.
    pub bytes_c2s: u64,
    /// Bytes of its IP packets, headers included, server → client.
    pub bytes_s2c: u64,
    /// Packets, client → server.
    pub packets_c2s: u64,
    /// Packets, server → client.
    pub packets_s2c: u64,
    /// Milliseconds since its SYN, or since it was first seen.
    pub age_ms: u64,
    /// Times that it was split.
    pub splits: u32,
    /// Times that it was merged.
    pub merges: u32,
}

/// The VLAN ids of a segment, outer first, for [`FlowInfo::vlans`].
pub fn vlans(segment: Segment) -> Vec<u16> {
    [segment.outer_vlan(), segment.inner_vlan()].into_iter().filter(|id| *id != 0).collect()
}

/// Counters and table sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Summed over workers; every drop reason is one, prefix `drop_`.
    pub counters: Counters,
    /// The same, each.
    pub workers: Vec<WorkerStats>,
    /// Of the control core.
    pub control: Counters,
    /// What the devices count.
    pub ports: Vec<PortStats>,
    /// Packet buffers.
    pub mbufs: Mbufs,
    /// By name: `flows`, `suspended`, `participating`, …
    pub tables: BTreeMap<String, Usage>,
    /// By name of the inspection: its patterns, in the order of the configuration.
    #[serde(default)]
    pub inspections: BTreeMap<String, Vec<PatternStats>>,
}

/// One pattern of an inspection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternStats {
    /// As given, or `pattern[N]`.
    pub pattern: String,
    /// As in the configuration.
    pub verdict: String,
    /// How often it was found, flows that pass and flows that participate together, since the inspection first said what it
    /// says: a reload that changes nothing about it goes on counting.
    pub matches: u64,
}

/// One worker's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Index.
    pub worker: usize,
    /// Core that it runs on.
    pub core: usize,
    /// Its counters.
    pub counters: Counters,
    /// Its own tables, by name.
    #[serde(default)]
    pub tables: BTreeMap<String, Usage>,
}

/// What one device counts, in its driver's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStats {
    /// The port's configured name.
    pub name: String,
    /// As the device names them.
    pub counters: Counters,
}

/// Packet buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mbufs {
    /// In the pool, free or not.
    pub total: u64,
    /// Not free.
    pub in_use: u64,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Entries (or bytes, for buffers).
    pub used: u64,
    /// Most that there can be.
    pub capacity: u64,
}

/// One rule, or at the end of the list what holds where none matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleInfo {
    /// As given, or `rule[N]`; `(default)` for what no rule matches.
    pub name: String,
    /// As in the configuration; of the default `pass` or `drop`.
    pub action: String,
    /// The module that it offers flows to; of `monitor`, the one that looks at them once they are split.
    pub module: Option<String>,
    /// What it rejects with, or the hop that it forwards by, in words.
    #[serde(default)]
    pub by: Option<String>,
    /// The inspection that its flows are searched by where they pass.
    #[serde(default)]
    pub inspect: Option<String>,
    /// When each of its flows is split.
    #[serde(default)]
    pub split: Option<RuleSplit>,
    /// Milliseconds that its flows live without a packet while they are open; `timeouts.idle_established` unless said.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// What it speaks about, in words.
    #[serde(rename = "match")]
    pub matches: String,
    /// SYNs that it has decided since the rules were read last, all workers together.
    pub hits: u64,
}

/// When a rule has each of its flows split: at whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSplit {
    /// When so many bytes have passed, as `flows` counts them, both directions together.
    pub after_bytes: Option<u64>,
    /// When it is so old, milliseconds.
    pub after_ms: Option<u64>,
}

impl RuleSplit {
    /// `None` of a rule that splits nothing.
    pub fn of(standing: &Standing) -> Option<RuleSplit> {
        let after_bytes = standing.split_bytes.map(NonZeroU64::get);
        let after_ms = standing.split_age.map(millis);
        (after_bytes.is_some() || after_ms.is_some()).then_some(RuleSplit { after_bytes, after_ms })
    }
}

/// Whole milliseconds, for the fields that are called so.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReloadInfo {
    /// Rules, modules and policy of the file are in force on every worker.
    Reloaded {
        /// How many rules there are.
        rules: usize,
        /// How many modules there are.
        modules: usize,
        /// Keys that say something else than at start, and count only after a restart.
        needs_restart: Vec<String>,
        /// What is possible but hardly meant.
        warnings: Vec<String>,
    },
    /// The file is not a configuration; nothing has been changed.
    Invalid {
        /// What `quadrille check` says.
        problems: String,
    },
}

/// The appliance as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the running binary.
    pub version: String,
    /// Of the running process.
    pub pid: u32,
    /// Since start.
    pub uptime_ms: u64,
    /// The configuration file in force.
    pub config: String,
    /// In configuration order.
    pub ports: Vec<PortStatus>,
    /// Who runs where.
    pub cores: CoreStatus,
    /// Flows on all paths.
    pub flows: u64,
    /// Flows may be merged (`quadrille merge --off`).
    pub merging: bool,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Configured name.
    pub name: String,
    /// Name of the opposite port.
    pub peer: String,
    /// Configured device.
    pub device: String,
    /// DPDK's driver for it.
    pub driver: String,
    /// Its link.
    pub link: Link,
    /// Its own MAC address, `02:00:00:00:00:01`.
    pub mac: String,
}

/// State of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Carrier.
    pub up: bool,
    /// Mbit/s, when the device knows.
    pub speed_mbps: Option<u32>,
}

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreStatus {
    /// Core of the control core's thread.
    pub control: usize,
    /// Core of each worker.
    pub workers: Vec<usize>,
    /// The control core has given a sign of life within `timeouts.control_stall`.
    pub control_alive: bool,
    /// Cores of the workers to which more SYNs come than can be held.
    #[serde(default)]
    pub flooded: Vec<usize>,
}

/// A flow that changes hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedOver {
    /// Its client.
    pub client: SocketAddr,
    /// Its server.
    pub server: SocketAddr,
    /// Where it is now.
    pub path: Path,
}

/// Something that has happened to a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventInfo {
    /// Milliseconds since start when it was over.
    pub at_ms: u64,
    /// The flow's client.
    pub client: SocketAddr,
    /// The flow's server.
    pub server: SocketAddr,
    /// `split`, `merged`, `merged_in_motion`, `merge_undone`, `split_refused` or `hit`.
    pub event: String,
    /// Microseconds that it took; 0 of a hit.
    pub duration_us: u64,
    /// Why: with `split_refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was found: with `hit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<HitInfo>,
}

/// A pattern that an inspection has found in a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HitInfo {
    /// Name of the inspection; none when the configuration in force has no such inspection any more.
    pub inspection: Option<String>,
    /// Place of the pattern in its list, from 0.
    pub pattern: u16,
    /// Its name, `pattern[N]` when it was given none.
    pub name: String,
    /// Whose bytes: `client` or `server`.
    pub from: String,
    /// Bytes of the stream before its first one, as far as the stream was searched.
    pub place: u64,
    /// What happens where it is found, as in the configuration.
    pub verdict: String,
}
