//! Real packets between real hosts: Linux's TCP, nginx and curl in two network namespaces.
//!
//! Needs root, or unprivileged user namespaces for what af_packet alone can do; see `control::lab`. A scenario's first
//! argument to `isolated` is its own test path: the binary starts itself again for just that test.

mod apps;
mod bulk;
mod cookies;
mod edits;
#[cfg(feature = "dpdk")]
mod embedded;
mod experience;
mod handover;
mod held;
mod inspect;
mod overlap;
mod pair;
mod passing;
mod path_mtu;
mod peers;
mod programs;
mod queries;
mod redirect;
mod refusal;
mod relay;
mod reload;
mod rules;
mod several;
mod shutdown;
mod smuggle;
mod thousand;
mod traffic;
mod verdicts;
mod wire;

/// The appliance under test.
const EXECUTABLE: &str = env!("CARGO_BIN_EXE_quadrille");
