//! A pair behaves like a cable: when the link of one port goes down, so does its peer's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use dpdk_bindings::Port;

use crate::config::validated::Config;

/// How long a link that we have just started or taken up may need to come up: negotiations take some seconds. Were it
/// shown as down meanwhile, the two ports of a pair would take each other down for ever.
const NEGOTIATION: Duration = Duration::from_secs(10);

/// What is known of one port's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Coming up, since then.
    Starting(Instant),
    Up,
    Down,
    /// We have taken this link down because its peer's is; what it shows is our own doing.
    HeldDown,
}

impl Seen {
    /// After a look that found the link `up` or not: what is known now, and what the peer has to show, if that changes.
    fn after(self, up: bool, now: Instant) -> (Seen, Option<bool>) {
        match (self, up) {
            (Seen::Starting(_), true) => (Seen::Up, None),
            (Seen::Starting(since), false) if now.duration_since(since) < NEGOTIATION => (self, None),
            (Seen::Starting(_) | Seen::Up, false) => (Seen::Down, Some(false)),
            (Seen::Down, true) => (Seen::Up, Some(true)),
            (Seen::Up, true) | (Seen::Down, false) | (Seen::HeldDown, _) => (self, None),
        }
    }
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
            seen: vec![Seen::Starting(Instant::now()); ports.len()],
            ports,
        }
    }

    /// Looks once and shows every change on the peer.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        for index in 0..self.ports.len() {
            if self.seen[index] == Seen::HeldDown {
                continue;
            }
            let Ok(link) = self.ports[index].link() else { continue };
            let (seen, show) = self.seen[index].after(link.up, now);
            self.seen[index] = seen;
            if let Some(up) = show {
                self.show_on_peer(index, up, now);
            }
        }
    }

    fn show_on_peer(&mut self, index: usize, up: bool, now: Instant) {
        let peer = self.peers[index];
        let (port, peer_name) = (&self.names[index], &self.names[peer]);
        info!(port, peer = peer_name, up, "link changed");
        match self.ports[peer].set_link(up) {
            Ok(()) => self.seen[peer] = if up { Seen::Starting(now) } else { Seen::HeldDown },
            // Virtual devices have no link to take down.
            Err(error) => warn!(port = peer_name, "the link state of {port} cannot be shown: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_time_to_come_up_and_then_every_change_is_shown() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let starting = Seen::Starting(start);
        assert_eq!(starting.after(false, at(9)), (starting, None));
        assert_eq!(starting.after(true, at(9)), (Seen::Up, None));
        assert_eq!(starting.after(false, at(10)), (Seen::Down, Some(false)), "there is no cable");
        assert_eq!(Seen::Up.after(false, at(1)), (Seen::Down, Some(false)));
        assert_eq!(Seen::Down.after(true, at(1)), (Seen::Up, Some(true)));
        assert_eq!(Seen::HeldDown.after(true, at(1)), (Seen::HeldDown, None));
    }
}
