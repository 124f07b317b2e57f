//! Rules and modules, proven: every module that a rule names is there.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use dataplane::policy::VlanMatch;
use dataplane::refusal::Rejection;
use ipnet::IpNet;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As given, or `rule[N]`.
    pub name: String,
    /// What it speaks about.
    pub matches: Match,
    /// What happens then.
    pub action: Action,
}

/// An empty list admits everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Match {
    /// Client networks.
    pub sources: Vec<IpNet>,
    /// Server networks.
    pub destinations: Vec<IpNet>,
    /// Client ports.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Server ports.
    pub destination_ports: Vec<RangeInclusive<u16>>,
    /// VLAN stacks.
    pub vlans: Vec<VlanMatch>,
}

/// What happens to a SYN that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Silence.
    Drop,
    /// The client hears of it.
    Reject(Rejection),
    /// Forwarded, never intercepted.
    Bypass,
    /// Forwarded and observed.
    Monitor,
    /// Suspended and offered.
    Offer {
        /// Index into [`super::Config::modules`].
        module: u16,
    },
}

/// A module by name, with its own settings, or with what a rule says instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The name that rules use.
    pub name: String,
    /// What it does.
    pub kind: ModuleKind,
    /// When its flows go to cut-through.
    pub merge: Merge,
    /// Client-first, and how long a client may say nothing before its server is asked all the same.
    pub client_first: Option<Duration>,
    /// When the server's SYN-ACK is acknowledged.
    pub server_ack: ServerAck,
    /// Which initial sequence numbers the two legs use.
    pub isn: Isn,
    /// When the bytes of a direction are acknowledged to their sender.
    pub acknowledge: Acknowledge,
}

/// The modules that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleKind {
    /// Copies bytes between the legs.
    Relay,
    /// Asks a program; what that wants proxied is relayed.
    Program(Program),
}

/// Where programs are asked, and what happens without them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Unix socket, absolute.
    pub socket: PathBuf,
    /// How long a program may think.
    pub deadline: Duration,
    /// What happens without a decision.
    pub default: WithoutDecision,
    /// Partial connections that may be undecided, all programs together.
    pub outstanding: u32,
    /// Accepted connections at once.
    pub streams: u32,
}

/// What happens to a partial connection that no program has decided about in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutDecision {
    /// Silence.
    Drop,
    /// RST.
    Reject,
    /// Forwarded, never intercepted.
    Bypass,
    /// Forwarded and observed.
    Monitor,
    /// Proxied as the module is configured.
    Proxy,
}

/// When a relayed flow is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// As soon as both legs are established.
    Established,
    /// After the server's first bytes have been relayed.
    FirstResponse,
    /// After so many bytes have been relayed in each direction.
    AfterBytes(u64),
    /// Not at all.
    Never,
}

/// When the server's SYN-ACK is acknowledged (DESIGN section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAck {
    /// Before the client has answered: a spoofed SYN fills the server's accept queue.
    AtOnce,
    /// When the client's ACK has come.
    AfterClient,
}

/// Which initial sequence numbers the two legs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isn {
    /// Those of the endpoints: both deltas are 0 until bytes are inserted or removed.
    Mirror,
    /// Our own, keyed, towards both sides: for endpoints with predictable ones.
    Keyed,
}

/// When the bytes of a direction are acknowledged to their sender (seed 002, claim 20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// When they have come.
    Receipt,
    /// When the receiver has acknowledged them.
    Through,
}
