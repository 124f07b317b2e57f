//! The `quadrille` binary.

use std::process::ExitCode;

use control::cli::{Appliance, execute};

fn main() -> ExitCode {
    execute(std::env::args_os(), Appliance { run: RUN, demo: Some(control::demo::run) })
}

#[cfg(feature = "dpdk")]
const RUN: Option<fn(control::config::Config) -> anyhow::Result<()>> = Some(run);
#[cfg(not(feature = "dpdk"))]
const RUN: Option<fn(control::config::Config) -> anyhow::Result<()>> = None;

/// Carries packets and answers questions about it until it is told to stop.
#[cfg(feature = "dpdk")]
fn run(config: control::config::Config) -> anyhow::Result<()> {
    use std::sync::Arc;

    use control::api::Server;

    // First of all: a second appliance must not touch the first one's devices.
    let socket = config.socket.clone();
    let server = Server::bind(&socket)?;
    control::appliance::run(config, |view| {
        let serving = server.spawn(Arc::new(view))?;
        // Nobody listens unless systemd has started us.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tracing::info!(socket = %socket.display(), "ready");
        Ok(serving)
    })
}
