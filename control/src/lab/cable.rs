//! A veth between two of the lab's hosts, with addresses at both ends.

use std::net::IpAddr;

use super::endpoint::Endpoint;
use super::error::Result;

/// Two hosts and their interfaces, up, and without offloads: real frames with real checksums, as on the lab's own wires.
pub(super) struct Cable<'a> {
    ends: [(&'a Endpoint, &'static str); 2],
}

impl<'a> Cable<'a> {
    /// Makes it.
    pub(super) fn lay(ends: [(&'a Endpoint, &'static str); 2]) -> Result<Self> {
        let [(near, device), (far, peer)] = ends;
        near.ip(&format!("link add {device} type veth peer name {peer} netns {}", far.name()))?;
        for (end, device) in ends {
            // No duplicate address detection: an address is usable at once.
            for scope in ["all", "default", device] {
                end.set(&format!("net/ipv6/conf/{scope}/accept_dad"), "0")?;
                end.set(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "0")?;
            }
            end.command("ethtool").words(&format!("-K {device} tx off tso off gso off gro off")).ok()?;
            end.ip(&format!("link set {device} up"))?;
        }
        Ok(Self { ends })
    }

    /// Gives each end its address.
    pub(super) fn address(&self, addresses: [IpAddr; 2], prefix: u8) -> Result<()> {
        for ((end, device), address) in self.ends.iter().zip(addresses) {
            let nodad = if address.is_ipv6() { "nodad" } else { "" };
            end.ip(&format!("address add {address}/{prefix} dev {device} {nodad}"))?;
        }
        Ok(())
    }

    /// Sends with this congestion control into the network of these addresses, at both ends.
    pub(super) fn send_with(&self, network: IpAddr, prefix: u8, congestion_control: &str) -> Result<()> {
        let send =
            |(end, device): &(&Endpoint, &str)| end.send_into(network, prefix, device, congestion_control);
        self.ends.iter().try_for_each(send)
    }
}
