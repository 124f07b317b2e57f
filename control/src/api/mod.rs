//! The management interface: one JSON line per request and per response on a Unix socket.
//!
//! `{"verb":"flows"}` is answered by `{"ok":[…]}` or `{"error":"…"}`; a connection may ask any number of times, one
//! question after the other. The server has a thread of its own and never touches packets: it asks a [`Backend`],
//! which gets its answers as messages from those who own the state.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::core::handover::HandOver;

mod bind;
pub mod client;
mod server;
#[cfg(test)]
mod tests;
pub mod types;

pub use bind::{BindError, Server};
pub(crate) use bind::{Claim, bind};
pub use server::Running;
pub use types::{EventInfo, FlowInfo, HandedOver, ReloadInfo, RuleInfo, Stats, Status};

/// Longest request, bytes, newline included.
pub const MAX_REQUEST: usize = 4096;
/// Connections served at once; the next one is told so and closed.
pub const MAX_CONNECTIONS: usize = 32;
/// Most flows in one answer: some 20 MB of JSON.
pub const MAX_FLOWS: usize = 65_536;

/// Who knows the answers. Called on threads where blocking for some milliseconds is fine, from several at once.
pub trait Backend: Send + Sync + 'static {
    /// The appliance as a whole.
    fn status(&self) -> Result<Status, BackendError>;

    /// Up to `limit` flows, whichever come first.
    fn flows(&self, limit: usize) -> Result<Vec<FlowInfo>, BackendError>;

    /// Counters and table sizes.
    fn stats(&self) -> Result<Stats, BackendError>;

    /// The rules in order, and the default.
    fn rules(&self) -> Result<Vec<RuleInfo>, BackendError>;

    /// Has a flow change hands, for this module if one is named. Answered when it has; a merge that has to wait is no answer.
    fn hand_over(
        &self,
        what: HandOver,
        module: Option<&str>,
        flow: &FlowName,
    ) -> Result<HandedOver, BackendError>;

    /// Up to `limit` entries of what has happened to flows lately, the last ones.
    fn events(&self, limit: usize) -> Result<Vec<EventInfo>, BackendError>;

    /// From now on flows are merged, or none is. Says whether they are.
    fn set_merging(&self, on: bool) -> Result<bool, BackendError>;

    /// Reads the configuration again. An error when it is valid and could not be put into force.
    fn reload(&self) -> Result<ReloadInfo, BackendError>;
}

/// Why a question has no answer, in words for the user; for example a worker that did not reply in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

/// A flow as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowName {
    /// Its client.
    pub client: SocketAddr,
    /// Its server, as the client knows it.
    pub server: SocketAddr,
    /// Its VLAN ids, outer first; any without.
    pub vlans: Option<Vec<u16>>,
    /// Index of its port pair; any without.
    pub pair: Option<u8>,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Answered by a [`Status`].
    Status {},
    /// Answered by an array of [`FlowInfo`].
    Flows {
        /// At most so many, and never more than [`MAX_FLOWS`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    /// Answered by [`Stats`].
    Stats {},
    /// Answered by an array of [`RuleInfo`].
    Rules {},
    /// Answered by [`ReloadInfo`].
    Reload {},
    /// Answered by an array of [`EventInfo`], the oldest first.
    Events {
        /// At most so many, the last ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    /// Whether flows may be merged from now on. Answered by a boolean that says the same.
    Merging {
        /// They may.
        on: bool,
    },
    /// From its worker to the control core. Answered by [`HandedOver`].
    Split {
        /// The flow's client.
        client: SocketAddr,
        /// The flow's server, as the client knows it.
        server: SocketAddr,
        /// Where several flows have these endpoints: the VLAN ids of the one that is meant, as [`FlowInfo::vlans`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlans: Option<Vec<u16>>,
        /// The same: index of its port pair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<u8>,
        /// The module that is to look at it; without one, that which it was offered to or its rule names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        module: Option<String>,
    },
    /// From the control core to its worker. Answered by [`HandedOver`].
    Merge {
        /// The flow's client.
        client: SocketAddr,
        /// The flow's server, as the client knows it.
        server: SocketAddr,
        /// Where several flows have these endpoints: the VLAN ids of the one that is meant, as [`FlowInfo::vlans`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlans: Option<Vec<u16>>,
        /// The same: index of its port pair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<u8>,
    },
}

/// One line back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response<T> {
    /// The answer.
    Ok(T),
    /// Why there is none.
    Error(String),
}
