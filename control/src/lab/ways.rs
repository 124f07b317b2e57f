//! Two more ways from the client to the server, beside the one through the appliance: a wire, and a router.
//!
//! ```text
//!   client  direct0 10.80.0.1 fd80::1 ───────────────────────────── direct0 10.80.0.2 fd80::2  server
//!   client  near0 10.81.0.1 fd81::1 ─ near0 .2  router  far0 .1 ─ far0 10.82.0.2 fd82::2  server
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cable::Cable;
use super::command::Command;
use super::endpoint::{Endpoint, Net};
use super::error::Result;
use super::topology::Lab;

/// The networks of both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Direct,
    Near,
    Far,
}

impl Link {
    /// Host `host` in the family of `net`.
    fn host(self, net: Net, host: u8) -> IpAddr {
        let (v4, v6) = match self {
            Link::Direct => (80, 0xfd80),
            Link::Near => (81, 0xfd81),
            Link::Far => (82, 0xfd82),
        };
        match net.host(0) {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, v4, 0, host)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(v6, 0, 0, 0, 0, 0, 0, u16::from(host))),
        }
    }

    /// At both ends, from the client's side to the server's.
    fn interface(self) -> &'static str {
        match self {
            Link::Direct => "direct0",
            Link::Near => "near0",
            Link::Far => "far0",
        }
    }
}

/// The host between, which forwards and on which proxies may run.
#[derive(Debug)]
pub struct Ways {
    router: Endpoint,
}

impl Lab {
    /// Adds both ways. All hosts send with this congestion control on them, as [`Endpoint::send_with`] has them do on the
    /// one through the appliance.
    ///
    /// # Errors
    /// Whatever `ip` or `ethtool` refuse, with their words.
    pub fn ways(&self, congestion_control: &str) -> Result<Ways> {
        let router = Endpoint::new("router", 2, self.isolated.directory())?;
        Command::new("ip").words("netns add router").ok()?;
        router.ip("link set lo up")?;
        let (client, server) = (self.client(), self.server());
        let hosts =
            [(Link::Direct, client, server), (Link::Near, client, &router), (Link::Far, &router, server)];
        for (link, near, far) in hosts {
            let cable = Cable::lay([(near, link.interface()), (far, link.interface())])?;
            for net in Net::UNTAGGED {
                cable.address([link.host(net, 1), link.host(net, 2)], net.prefix())?;
                cable.send_with(link.host(net, 0), net.prefix(), congestion_control)?;
            }
        }
        router.forward()?;
        for net in Net::UNTAGGED {
            for (host, beyond, gateway) in
                [(client, Link::Far, Link::Near.host(net, 2)), (server, Link::Near, Link::Far.host(net, 1))]
            {
                let (network, prefix) = (beyond.host(net, 0), net.prefix());
                host.ip(&format!("route add {network}/{prefix} via {gateway} congctl {congestion_control}"))?;
            }
        }
        Ok(Ways { router })
    }
}

impl Ways {
    /// The host between.
    pub fn router(&self) -> &Endpoint {
        &self.router
    }

    /// The server, over the wire.
    pub fn direct(&self, net: Net) -> IpAddr {
        Link::Direct.host(net, 2)
    }

    /// The server, for the client through the router, and for what runs on the router.
    pub fn behind(&self, net: Net) -> IpAddr {
        Link::Far.host(net, 2)
    }

    /// The router, for the client.
    pub fn near(&self, net: Net) -> IpAddr {
        Link::Near.host(net, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_a_family_are_apart() {
        let hosts = [Link::Direct, Link::Near, Link::Far].map(|link| link.host(Net::V6, 2).to_string());
        assert_eq!(hosts, ["fd80::2", "fd81::2", "fd82::2"]);
        assert_eq!(Link::Near.host(Net::V4, 1).to_string(), "10.81.0.1");
    }
}
