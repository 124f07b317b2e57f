//! A configuration that has been proven possible on this machine: the only shape that goes inside.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use dataplane::budget::Rate;
use dataplane::flow::far::NextHop;
use dataplane::inspect::places;
use dataplane::policy::{Fallback, Strays};
use dataplane::port::PortId;
use dataplane::port::impaired::Impairment;

use super::{ConfigError, Diagnostic, MemoryNeed};
use crate::suspended::{self, WhenFull};
use crate::tcp::Algorithm;

mod rules;
mod tunnel;

pub use rules::{
    Acknowledge, Action, Inspection, Isn, Match, Merge, Module, ModuleKind, Program, Rule, ServerAck,
    WithoutDecision,
};
pub use tunnel::{Role, Tunnel, TunnelKey};

/// Everything that is configured. Built by [`super::parse`] and [`super::load`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The file that it was read from, as the user named it.
    pub source: String,
    /// Unix socket of the management interface.
    pub socket: PathBuf,
    /// What DPDK takes at start.
    pub memory: Memory,
    /// Who runs where.
    pub cores: Cores,
    /// In configuration order; the index is the `PortId`.
    pub ports: Vec<Port>,
    /// Every port is in exactly one; the index is the pair of a `Segment`.
    pub pairs: Vec<Pair>,
    /// Bounds of every table, queue and buffer.
    pub limits: Limits,
    /// How long things wait.
    pub timeouts: Timeouts,
    /// What holds where no rule speaks.
    pub policy: Policy,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// The index is the module of `Action::Offer`. Ordered by name, then those that a rule has given another
    /// `acknowledge`, under the same name.
    pub modules: Vec<Module>,
    /// The index is the inspection of a [`Rule`].
    pub inspections: Vec<Inspection>,
    /// The index is the next hop of `Action::Forward`.
    pub hops: Vec<NextHop>,
    /// What is possible but hardly meant.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Addresses that are the appliance's own: those that take the place of clients'.
    pub fn services(&self) -> Vec<IpAddr> {
        self.modules.iter().flat_map(|module| &module.clients).copied().collect()
    }

    /// What each worker keeps of the flows that it searches: of none yet, perhaps, but a reload may bring some.
    pub fn inspection_limits(&self) -> places::Limits {
        places::Limits {
            flows: self.limits.inspected as usize,
            bytes: self.limits.inspected_bytes as usize,
            waiting: self.limits.held_packets as usize,
        }
    }

    /// What this configuration takes at start.
    pub fn memory_need(&self) -> MemoryNeed {
        MemoryNeed::of(self)
    }

    /// Bounds of the partial connections of all workers together.
    pub fn suspended_limits(&self) -> suspended::Limits {
        let per_worker = self.limits.suspended as usize;
        suspended::Limits {
            capacity: per_worker * self.cores.workers.len(),
            per_worker,
            per_source: self.limits.suspended_per_source,
            source_prefix: self.limits.source_prefix,
            per_destination: self.limits.suspended_per_destination,
        }
    }

    /// A next hop in words: MAC, VLAN and port, as far as they are given.
    pub fn next_hop(&self, hop: NextHop) -> String {
        let vlans = |vlans| match vlans {
            (0, 0) => "untagged".to_owned(),
            (0, id) => format!("vlan {id}"),
            (outer, inner) => format!("vlan {outer}.{inner}"),
        };
        let port =
            |port: PortId| self.ports.get(usize::from(port.0)).map(|port| format!("port {}", port.name));
        let parts = [
            hop.mac.map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":")),
            hop.vlans.map(vlans),
            hop.port.and_then(port),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The device of a port turned out to be impossible.
    pub fn device_error(&self, port: usize, why: impl std::fmt::Display) -> ConfigError {
        let Port { name, device, place: (line, column), .. } = &self.ports[port];
        ConfigError::Invalid(vec![Diagnostic {
            file: self.source.clone(),
            line: *line,
            column: *column,
            key: format!("port[{port}].device"),
            message: format!("port {name:?}, device {}: {why}", device.as_str()),
        }])
    }
}

/// What DPDK takes at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Huge pages, or ordinary memory (`--no-huge`).
    pub hugepages: bool,
    /// For EAL's `-m`.
    pub megabytes: u32,
    /// Packet buffers (mbufs) in the pool.
    pub buffers: u32,
    /// Bytes of each buffer, headroom included.
    pub data_room: u16,
}

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    /// Core of the control core's thread.
    pub control: usize,
    /// Core of each worker; the index is the worker, and its queue on every port.
    pub workers: Vec<usize>,
    /// What threads do when a round found nothing.
    pub idle: Idle,
}

/// What a thread does when a round found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Polls again: lowest latency, the core is fully taken.
    Spin,
    /// Offers the core to others, then polls again.
    Yield,
    /// Sleeps, longer every time, up to the ceiling.
    Sleep {
        /// Longest sleep.
        ceiling: Duration,
    },
}

/// One of two ends of a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Unique.
    pub name: String,
    /// What DPDK probes.
    pub device: Device,
    /// Index of the opposite port.
    pub peer: usize,
    /// Index of its pair.
    pub pair: u8,
    /// To set on the device, bytes of IP datagram; `None` leaves the device's own.
    pub mtu: Option<u16>,
    /// What its cable does to frames, in a lab.
    pub impairment: Option<Impairment>,
    /// Line and column of `device`, for what only turns out when it is opened.
    pub place: (usize, usize),
}

/// A device in DPDK's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Device {
    /// Full PCI address, for EAL's `-a`.
    Pci(String),
    /// Name and arguments, for EAL's `--vdev`.
    Vdev(String),
}

impl Device {
    /// The address or the device string.
    pub fn as_str(&self) -> &str {
        match self {
            Device::Pci(text) | Device::Vdev(text) => text,
        }
    }

    /// The name that DPDK gives the device: the PCI address, or the vdev string up to its first comma.
    pub fn name(&self) -> &str {
        self.as_str().split(',').next().unwrap_or_default()
    }
}

/// A transparent segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Indices of its two ports, in configuration order.
    pub ports: [usize; 2],
    /// The smaller of the configured MTUs; `None` when neither port sets one.
    pub mtu: Option<u16>,
}

/// Bounds of every table, queue and buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connection objects, per worker.
    pub flows: u32,
    /// Partial connections: SYNs that nobody has answered yet and answers that are remembered, per worker.
    pub suspended: u32,
    /// Of these, of one source prefix, all workers together; `None` counts none.
    pub suspended_per_source: Option<u32>,
    /// Bits of an IPv4 source that make a prefix, and of an IPv6 source.
    pub source_prefix: (u8, u8),
    /// Of one destination (address and port); `None` counts none.
    pub suspended_per_destination: Option<u32>,
    /// Servers, and clients, whose last outcome is remembered.
    pub history: u32,
    /// Flows with TCBs, in all.
    pub participating: u32,
    /// Flows to another server, client address or next hop, per worker.
    pub far_sides: u32,
    /// Flows that are searched, per worker.
    pub inspected: u32,
    /// Bytes of theirs that are kept until they are acknowledged, per worker.
    pub inspected_bytes: u64,
    /// Packets held back by merges and verdicts, in all.
    pub held_packets: u32,
    /// Unacknowledged bytes that one leg may come to keep.
    pub send_buffer: u64,
    /// Unread bytes that one leg may come to keep: its largest window.
    pub receive_buffer: u64,
    /// Bytes in all send and receive buffers together.
    pub participating_bytes: u64,
    /// Bytes that may wait for a receiver when a merge drains; with more of them it is made in motion.
    pub drain_up_to: u64,
    /// Descriptors of each receive queue.
    pub receive_ring: u16,
    /// Descriptors of each transmit queue.
    pub transmit_ring: u16,
    /// Messages in each ring between a worker and the control core, per direction.
    pub mailbox: u32,
    /// ICMP errors that refuse SYNs, for each worker, and as many by the control core on its flows.
    pub icmp_errors: Rate,
    /// Which controller says how much a leg may have in flight.
    pub congestion: Algorithm,
}

/// How long things wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// A suspended SYN, and a handshake that goes no further.
    pub syn: Duration,
    /// An established flow without a packet.
    pub idle_established: Duration,
    /// A flow of which one side has sent its FIN, without a packet.
    pub half_closed: Duration,
    /// Data of ours that nobody acknowledges, before the connection is given up (RFC 9293 section 3.8.3, R2).
    pub user: Duration,
    /// A participating peer without a segment, before it is asked whether it is there; `None` asks nobody.
    pub keepalive: Option<Duration>,
    /// A flow that is over, until its entry goes.
    pub linger: Duration,
    /// A merge's drain, before the merge is undone; below any sender's RTO.
    pub drain: Duration,
    /// The control core without a sign of life, before it counts as stalled.
    pub control_stall: Duration,
    /// Time that participating flows get to finish when the appliance stops.
    pub shutdown: Duration,
}

/// What holds where no rule speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// SYNs that no rule matches.
    pub default: Fallback,
    /// Segments without a flow, to a protected destination.
    pub strays: Strays,
    /// SYNs while a table is full.
    pub flows_full: Fallback,
    /// SYNs to be held while there is no place for them.
    pub suspended_full: WhenFull,
    /// SYNs to be offered while the control core is stalled.
    pub on_control_stall: Fallback,
}
