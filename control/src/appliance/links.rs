//! A pair behaves like a cable: when the link of one port goes down, so does its peer's.

use std::sync::Arc;

use tracing::{info, warn};

use dpdk_bindings::Port;

use crate::config::validated::Config;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    up: bool,
    /// We have taken this link down because its peer's is; what it shows is our own doing.
    held_down: bool,
}

/// Watches all ports.
pub(super) struct LinkWatch {
    names: Vec<String>,
    peers: Vec<usize>,
    ports: Arc<[Port]>,
    seen: Vec<Seen>,
}

impl LinkWatch {
    pub(super) fn new(config: &Config, ports: Arc<[Port]>) -> Self {
        LinkWatch {
            names: config.ports.iter().map(|port| port.name.clone()).collect(),
            peers: config.ports.iter().map(|port| port.peer).collect(),
            seen: vec![Seen { up: true, held_down: false }; ports.len()],
            ports,
        }
    }

    /// Looks once and shows every change on the peer.
    pub(super) fn look(&mut self) {
        for index in 0..self.ports.len() {
            if self.seen[index].held_down {
                continue;
            }
            let Ok(link) = self.ports[index].link() else { continue };
            if link.up != self.seen[index].up {
                self.seen[index].up = link.up;
                self.show_on_peer(index, link.up);
            }
        }
    }

    fn show_on_peer(&mut self, index: usize, up: bool) {
        let peer = self.peers[index];
        let (port, peer_name) = (&self.names[index], &self.names[peer]);
        info!(port, peer = peer_name, up, "link changed");
        match self.ports[peer].set_link(up) {
            Ok(()) => self.seen[peer] = Seen { up, held_down: !up },
            // Virtual devices have no link to take down.
            Err(error) => warn!(port = peer_name, "the link state of {port} cannot be shown: {error}"),
        }
    }
}
