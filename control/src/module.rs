//! L7 modules: who decides about a partial connection, and who looks at the bytes of a participating one.
//!
//! A module is asked on the control core's thread and must answer at once; it is never asked about a single packet.

pub mod relay;

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::wire::tcp_options::TcpOptions;

use crate::config::validated;

/// A held SYN, as a module sees it (seed 000: "connection request details along with the notification").
pub struct PartialConnection<'a> {
    /// Quad (client → server) and segment.
    pub key: FlowKey,
    /// The SYN's options.
    pub options: &'a TcpOptions,
    /// The SYN verbatim, from the destination MAC on.
    pub syn: &'a [u8],
    /// When it came.
    pub at: Instant,
}

/// When the server's SYN-ACK is acknowledged (DESIGN section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerAck {
    /// When the client has acknowledged its own SYN-ACK: a spoofed SYN leaves nothing in the server's accept queue.
    #[default]
    AfterClient,
    /// At once, as in the seed: for modules that have to speak to the server early.
    AtOnce,
}

/// Which initial sequence numbers each end sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isn {
    /// The opposite end's own: both deltas stay 0 until a module edits.
    #[default]
    Mirror,
    /// Keyed ones of ours (RFC 6528), as a PIX gives to ends whose own cannot be trusted.
    Keyed,
}

/// When the bytes of a direction are acknowledged to their sender (seed 002, claim 20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// When they have come: they are ours to deliver.
    #[default]
    Receipt,
    /// When the receiver has acknowledged them. A merge then has nothing to drain.
    Through,
}

/// How to proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proxying {
    /// When the server's SYN-ACK is acknowledged.
    pub server_ack: ServerAck,
    /// Initial sequence numbers.
    pub isn: Isn,
    /// When each sender is acknowledged.
    pub acknowledge: Acknowledge,
    /// The flow will never be merged: windows need not respect the opposite end's right edge.
    pub never_merges: bool,
}

/// What a module wants done with a partial connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Connect to the server, then answer the client.
    Proxy(Proxying),
    /// Silence; nothing is remembered.
    Drop,
    /// RST; repeated SYNs get the same answer for a while.
    Reject,
    /// The SYN leaves verbatim and the flow is never intercepted.
    Bypass,
    /// The SYN leaves verbatim and the flow is observed.
    Monitor,
}

/// What happens to the bytes that a session was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// They go on as they are.
    Pass,
    /// These go on instead of them.
    Replace(Vec<u8>),
}

/// What a session wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Go on relaying.
    Relay,
    /// What has been shown is all it needs: the flow may be merged.
    Merge,
    /// End both legs with RST.
    Reset,
}

/// A module.
pub trait Module: Send {
    /// A SYN is held: what now?
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision;

    /// It has decided to proxy a flow: who will look at the bytes? The handshakes are still to come, and may fail.
    fn session(&mut self, key: &FlowKey) -> Box<dyn Session>;
}

/// A module's part in one flow.
pub trait Session: Send {
    /// Called once, before any byte.
    fn established(&mut self) -> Step {
        Step::Relay
    }

    /// In-order bytes from the sender of `direction`, about to be relayed.
    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step);
}

/// The module that the config describes.
pub fn from_config(module: &validated::Module) -> Box<dyn Module> {
    let server_ack = match module.server_ack {
        validated::ServerAck::AtOnce => ServerAck::AtOnce,
        validated::ServerAck::AfterClient => ServerAck::AfterClient,
    };
    let isn = match module.isn {
        validated::Isn::Mirror => Isn::Mirror,
        validated::Isn::Keyed => Isn::Keyed,
    };
    let acknowledge = match module.acknowledge {
        validated::Acknowledge::Receipt => Acknowledge::Receipt,
        validated::Acknowledge::Through => Acknowledge::Through,
    };
    let merge = match module.merge {
        validated::Merge::Established => relay::MergeWhen::Established,
        validated::Merge::FirstResponse => relay::MergeWhen::FirstResponse,
        validated::Merge::AfterBytes(n) => relay::MergeWhen::AfterBytes(n),
        validated::Merge::Never => relay::MergeWhen::Never,
    };
    match module.kind {
        validated::ModuleKind::Relay => Box::new(relay::Relay { merge, server_ack, isn, acknowledge }),
    }
}

/// A merge that had to be undone is tried again after this long, doubled each time.
pub const MERGE_RETRY: Duration = Duration::from_millis(250);
