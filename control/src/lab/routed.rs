//! Hosts further away: the lab's two hosts become routers, and behind each there is one more.
//!
//! ```text
//!   near 10.79.1.2  fd79:1::2 ─ client ─ qc   the appliance   qs ─ server ─ far 10.79.2.2  fd79:2::2
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cable::Cable;
use super::endpoint::{Endpoint, INTERFACE, Net};
use super::error::Result;
use super::topology::Lab;

/// A router's interface towards the host behind it.
const LAN: &str = "lan0";

/// The two hosts behind the lab's.
#[derive(Debug)]
pub struct Routed {
    near: Endpoint,
    far: Endpoint,
}

/// Who stands behind which router, and in which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Near = 1,
    Far = 2,
}

/// Host `host` of the network behind a router, of the family of `net`.
fn address(net: Net, side: Side, host: u8) -> IpAddr {
    if net.host(0).is_ipv4() {
        IpAddr::V4(Ipv4Addr::new(10, 79, side as u8, host))
    } else {
        IpAddr::V6(Ipv6Addr::new(0xfd79, side as u16, 0, 0, 0, 0, 0, u16::from(host)))
    }
}

impl Lab {
    /// Adds a host behind each of the two, and routes between them.
    ///
    /// # Errors
    /// Whatever `ip` or `ethtool` refuse, with their words.
    pub fn routed(&self) -> Result<Routed> {
        let near = behind(self, "near", self.client(), Side::Near)?;
        let far = behind(self, "far", self.server(), Side::Far)?;
        for net in Net::UNTAGGED {
            for (router, beyond, gateway) in
                [(self.client(), Side::Far, self.server()), (self.server(), Side::Near, self.client())]
            {
                let (network, gateway) = (address(net, beyond, 0), gateway.address(net));
                router.ip(&format!("route add {network}/{} via {gateway}", net.prefix()))?;
            }
        }
        Ok(Routed { near, far })
    }
}

fn behind(lab: &Lab, name: &'static str, router: &Endpoint, side: Side) -> Result<Endpoint> {
    let host = Endpoint::new(name, 2, lab.isolated.directory())?;
    super::Command::new("ip").words(&format!("netns add {name}")).ok()?;
    let cable = Cable::lay([(router, LAN), (&host, INTERFACE)])?;
    router.forward()?;
    host.ip("link set lo up")?;
    for net in Net::UNTAGGED {
        let [gateway, own] = [1, 2].map(|number| address(net, side, number));
        cable.address([gateway, own], net.prefix())?;
        host.ip(&format!("{} route add default via {gateway}", family(net)))?;
    }
    Ok(host)
}

fn family(net: Net) -> &'static str {
    if net.host(0).is_ipv4() { "-4" } else { "-6" }
}

impl Routed {
    /// The host behind the client.
    pub fn near(&self) -> &Endpoint {
        &self.near
    }

    /// The host behind the server.
    pub fn far(&self) -> &Endpoint {
        &self.far
    }

    /// The address of the host behind the server.
    pub fn far_address(&self, net: Net) -> IpAddr {
        address(net, Side::Far, 2)
    }

    /// From now on nothing longer than `mtu` bytes goes from a router to the host behind it. What the hosts themselves send
    /// stays as long as it was, so that either has to be told by the router beyond the appliance.
    ///
    /// # Errors
    /// As [`Endpoint::ip`].
    pub fn narrow_the_ends(&self, lab: &Lab, mtu: u16) -> Result<()> {
        for net in Net::UNTAGGED {
            for (router, side) in [(lab.client(), Side::Near), (lab.server(), Side::Far)] {
                let host = address(net, side, 2);
                router.ip(&format!("{} route add {host} dev {LAN} mtu lock {mtu}", family(net)))?;
            }
        }
        Ok(())
    }

    /// From now on the client's router sends nothing longer than `mtu` bytes through the appliance: datagrams that may be cut
    /// arrive there in fragments. IPv4: nobody but a sender cuts in IPv6.
    ///
    /// # Errors
    /// As [`Endpoint::ip`].
    pub fn narrow_the_middle(&self, lab: &Lab, mtu: u16) -> Result<()> {
        let (far, gateway) = (address(Net::V4, Side::Far, 2), lab.server().address(Net::V4));
        lab.client().ip(&format!("route add {far} via {gateway} mtu lock {mtu}")).map(drop)
    }
}
