//! Rules and modules, proven: every module that a rule names is there.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dataplane::flow::far::NextHop;
use dataplane::policy::{CookieUse, Per, RateSpec, Side, Standing, SynMatch, VlanMatch};
use dataplane::refusal::Rejection;
use ipnet::IpNet;

use super::tunnel::Tunnel;
use crate::module::several::Together;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As given, or `rule[N]`.
    pub name: String,
    /// What it speaks about.
    pub matches: Match,
    /// What happens then.
    pub action: Action,
    /// What its flows are searched for where they pass: index into [`super::Config::inspections`].
    pub inspection: Option<u16>,
    /// What it goes on asking of its flows; the module is an index into [`super::Config::modules`].
    pub standing: Standing,
}

/// What flows are searched for, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The name that rules use.
    pub name: String,
    /// Ready to search.
    pub compiled: Arc<dataplane::inspect::Inspection>,
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
    /// What the SYN is like.
    pub syn: Option<SynMatch>,
    /// How many SYNs come in a second.
    pub rate: Option<RateSpec>,
}

fn join<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// `options mss,nop,ws or mss, ttl 33-64`; of a table without a key `any`.
fn syn(syn: &SynMatch) -> String {
    let options: Vec<_> = syn.layouts.iter().map(|layout| format!("\"{layout}\"")).collect();
    let parts = [
        ("options", options.join(" or ")),
        ("mss", ranges(&syn.mss)),
        ("window", ranges(&syn.windows)),
        ("window scale", ranges(&syn.window_scales)),
        ("ttl", ranges(&syn.ttls)),
    ];
    match join(parts.iter().filter(|(_, list)| !list.is_empty()).map(|(what, list)| format!("{what} {list}")))
    {
        stated if stated.is_empty() => "any".to_owned(),
        stated => stated,
    }
}

/// `above 1000/s, burst 2000, each source /24 or /56`.
fn rate(rate: &RateSpec) -> String {
    let side = if rate.side == Side::Above { "above" } else { "within" };
    let per = match rate.per {
        Per::Rule => String::new(),
        Per::Source { prefix_v4, prefix_v6, .. } => format!(", each source /{prefix_v4} or /{prefix_v6}"),
    };
    format!("{side} {}/s, burst {}{per}", rate.per_second, rate.burst)
}

fn ranges<T: Display + PartialEq>(list: &[RangeInclusive<T>]) -> String {
    join(list.iter().map(|range| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }))
}

impl Display for Match {
    /// `source 10.0.0.0/8; destination port 80-88, 443`, or `everything`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("source", join(&self.sources)),
            ("destination", join(&self.destinations)),
            ("source port", ranges(&self.source_ports)),
            ("destination port", ranges(&self.destination_ports)),
            ("vlan", join(&self.vlans)),
            ("syn", self.syn.as_ref().map(syn).unwrap_or_default()),
            ("rate", self.rate.as_ref().map(rate).unwrap_or_default()),
        ];
        let stated = parts.iter().filter(|(_, list)| !list.is_empty());
        let stated: Vec<_> = stated.map(|(what, list)| format!("{what} {list}")).collect();
        f.write_str(if stated.is_empty() { "everything".to_owned() } else { stated.join("; ") }.as_str())
    }
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
    /// Forwarded by another next hop, never intercepted.
    Forward {
        /// Index into [`super::Config::hops`].
        hop: u16,
    },
    /// Suspended and offered.
    Offer {
        /// Index into [`super::Config::modules`].
        module: u16,
    },
}

impl Action {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Drop => "drop",
            Action::Reject(_) => "reject",
            Action::Bypass => "bypass",
            Action::Monitor => "monitor",
            Action::Forward { .. } => "forward",
            Action::Offer { .. } => "offer",
        }
    }
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
    /// When its clients are answered before it is asked.
    pub cookies: CookieUse,
    /// When the server's SYN-ACK is acknowledged.
    pub server_ack: ServerAck,
    /// Which initial sequence numbers the two legs use.
    pub isn: Isn,
    /// When the bytes of a direction are acknowledged to their sender.
    pub acknowledge: Acknowledge,
    /// Where its flows go instead of their own server, at most one of each family.
    pub servers: Vec<SocketAddr>,
    /// What takes the place of the clients' addresses; those of a family that is not here are kept.
    pub clients: Vec<IpAddr>,
    /// Where their frames go next.
    pub hop: NextHop,
    /// Ports that are held together.
    pub together: Option<Together>,
    /// The end of a tunnel that it is.
    pub tunnel: Option<Tunnel>,
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
