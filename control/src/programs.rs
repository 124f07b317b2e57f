//! The socket API extension of seed 000: programs outside decide about partial connections, and are the server of those
//! that they accept. `listener/PROTOCOL.md` describes what is said, the crate `quadrille-listener` says it.
//!
//! Two halves. `module` runs on the control core: it makes no system call but one to wake the other half when that sleeps,
//! and waits for nothing. `thread` is a tokio runtime on a thread of its own that speaks to programs: `accept` lets them in,
//! `program` is one of them, `stream` one accepted connection. Between the halves are two mailboxes for decisions and a
//! `pipe` for each accepted connection's bytes, all lock-free and bounded. What a program sends wrongly ends its own
//! connection, with a reason in the log.

mod accept;
mod module;
mod pipe;
mod program;
mod seqpacket;
mod shared;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod thread;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use dataplane::clock::SystemClock;
use dataplane::refusal::Rejection;

use crate::api::BindError;
use crate::config::validated::{self, WithoutDecision};
use crate::module::Decision;
use crate::module::relay::Relay;

pub use module::Programs;
pub(crate) use pipe::BYTES_PER_STREAM;

/// What the configuration says about one socket.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where programs connect to.
    pub socket: PathBuf,
    /// How long a program may think.
    pub deadline: Duration,
    /// What happens without a decision: no program, none with room, too late, or dead.
    pub default: Decision,
    /// Offers that may be unanswered, all programs together.
    pub outstanding: usize,
    /// Accepted connections at once.
    pub streams: usize,
    /// How flows are proxied that a program wants to be.
    pub relay: Relay,
}

impl Settings {
    /// As configured; `relay` says how to proxy.
    pub fn from_config(program: &validated::Program, relay: Relay) -> Settings {
        Settings {
            socket: program.socket.clone(),
            deadline: program.deadline,
            default: match program.default {
                WithoutDecision::Drop => Decision::Drop,
                WithoutDecision::Reject => Decision::Reject(Rejection::Reset),
                WithoutDecision::Bypass => Decision::Bypass,
                WithoutDecision::Monitor => Decision::Monitor,
                WithoutDecision::Proxy => Decision::Proxy(relay.proxying()),
            },
            outstanding: program.outstanding as usize,
            streams: program.streams as usize,
            relay,
        }
    }
}

/// Why programs cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket is not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The thread, or what it needs, cannot be had.
    #[error("the thread that speaks to programs does not start: {0}")]
    System(#[from] std::io::Error),
}

impl Programs {
    /// Listens, and starts the thread. Dropping the module ends it and removes the socket.
    ///
    /// The thread inherits the caller's affinity: call this before the caller is pinned.
    pub fn start(settings: Settings, clock: SystemClock) -> Result<Programs, StartError> {
        let (core, thread) = shared::halves(&settings)?;
        let thread = thread::start(&settings, thread, clock)?;
        Ok(Programs::new(settings, core, Some(thread)))
    }
}
