//! A laboratory of real hosts: two network namespaces with Linux's own TCP, and an appliance between them.
//!
//! `quadrille demo` and the tests with real packets are built on it. Everything happens inside namespaces that end with
//! the process ([`isolate`]); programs run with deadlines ([`command`]) and do not outlive their values ([`process`]).
//!
//! ```text
//!   namespace client                the lab's own namespace               namespace server
//!   eth0 10.77.0.1  fd77::1 ─ veth ─ qc   the appliance   qs ─ veth ─ eth0 10.77.0.2  fd77::2
//!   eth0.77 10.78.0.1 fd78::1        (no addresses, promiscuous)      eth0.77 10.78.0.2 fd78::2
//! ```

pub mod appliance;
pub mod apps;
mod cable;
pub mod capture;
pub mod command;
pub mod endpoint;
pub mod error;
pub mod files;
pub mod firewall;
pub mod hand_overs;
pub mod harness;
pub mod isolate;
pub mod nginx;
pub mod pmd;
pub mod process;
pub mod routed;
pub mod setup;
pub mod sockets;
pub mod tools;
pub mod topology;
mod vlan;
pub mod wait;
pub mod ways;
pub mod wire;

pub use appliance::Appliance;
pub use capture::Capture;
pub use command::{Command, Output};
pub use endpoint::{Connected, Endpoint, Net};
pub use error::{LabError, Result, expect};
pub use files::sha256;
pub use firewall::Hook;
pub use hand_overs::{HandOvers, Ordered};
pub use harness::isolated;
pub use isolate::{Entered, Isolated, Reexec};
pub use nginx::{Nginx, NginxBuilder};
pub use pmd::Pmd;
pub use process::{Finished, Process};
pub use routed::Routed;
pub use setup::{Action, Impair, Isn, Merge, Setup};
pub use sockets::Socket;
pub use topology::{Lab, LabBuilder};
pub use wait::{LATE, wait_for, wait_until};
pub use ways::Ways;
