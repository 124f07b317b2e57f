//! The wires: client — veth — `qc` … `qs` — veth — server, with one address plan for every lab.

use std::path::PathBuf;

use super::command::Command;
use super::endpoint::{Endpoint, INTERFACE, Net};
use super::error::{LabError, Result};
use super::isolate::{Isolated, write_setting};
use super::vlan;

/// The appliance's end of the client's wire.
pub const CLIENT_SIDE: &str = "qc";

/// The appliance's end of the server's wire.
pub const SERVER_SIDE: &str = "qs";

/// Host numbers in every network.
const CLIENT_HOST: u8 = 1;
const SERVER_HOST: u8 = 2;

/// The first of the client's further host numbers.
const FIRST_FURTHER_HOST: u8 = 100;

/// Two hosts, and between them two devices that nothing joins until an appliance is started.
#[derive(Debug)]
pub struct Lab {
    pub(super) isolated: Isolated,
    pub(super) executable: PathBuf,
    pub(super) queues: u16,
    client: Endpoint,
    server: Endpoint,
    has_vlan: bool,
}

/// Whether a lab is to have VLAN 77.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vlan {
    None,
    WherePossible,
    Required,
}

/// What a lab is to have.
#[derive(Debug)]
#[must_use = "nothing is made before build"]
pub struct LabBuilder {
    isolated: Isolated,
    executable: PathBuf,
    queues: u16,
    vlan: Vlan,
    further_client_hosts: u8,
    mtu: u16,
}

impl LabBuilder {
    /// Receive and transmit queues of each of the appliance's devices; 1 unless said.
    pub fn queues(mut self, queues: u16) -> Self {
        self.queues = queues;
        self
    }

    /// Adds VLAN 77 to both hosts.
    pub fn vlan(mut self) -> Self {
        self.vlan = Vlan::Required;
        self
    }

    /// The same, but without it where only root could have one: see [`Lab::has_vlan`].
    pub fn vlan_where_possible(mut self) -> Self {
        self.vlan = Vlan::WherePossible;
        self
    }

    /// Gives the client so many more IPv4 addresses (10.77.0.100 and up, at most 150): each has 28 k ports.
    pub fn further_client_hosts(mut self, count: u8) -> Self {
        self.further_client_hosts = count.min(150);
        self
    }

    /// The MTU of both wires; 1500 unless said.
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = mtu;
        self
    }

    /// Makes the namespaces, wires and addresses.
    ///
    /// # Errors
    /// Whatever `ip` or `ethtool` refuse, with their words.
    pub fn build(self) -> Result<Lab> {
        let client = Endpoint::new("client", CLIENT_HOST, self.isolated.directory())?;
        let server = Endpoint::new("server", SERVER_HOST, self.isolated.directory())?;
        self.wire(&client, CLIENT_SIDE)?;
        self.wire(&server, SERVER_SIDE)?;
        // Each gets its addresses, whatever the other one has.
        let hosts = [(&client, CLIENT_HOST), (&server, SERVER_HOST)];
        let [there, here] = hosts.map(|(endpoint, host)| self.address(endpoint, host));
        let has_vlan = there? & here?;
        for host in (FIRST_FURTHER_HOST..).take(usize::from(self.further_client_hosts)) {
            client.ip(&format!("address add {}/24 dev {INTERFACE}", Net::V4.host(host)))?;
        }
        let Self { isolated, executable, queues, .. } = self;
        Ok(Lab { isolated, executable, queues, client, server, has_vlan })
    }

    fn wire(&self, endpoint: &Endpoint, device: &str) -> Result<()> {
        let (name, queues) = (endpoint.name(), self.queues);
        let ip = |line: String| Command::new("ip").words(&line).ok();
        ip(format!("netns add {name}"))?;
        ip(format!(
            "link add {device} mtu {mtu} numtxqueues {queues} numrxqueues {queues} type veth \
             peer name {INTERFACE} mtu {mtu} numtxqueues {queues} numrxqueues {queues} netns {name}",
            mtu = self.mtu
        ))?;
        write_setting(&format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "1")?;
        ip(format!("link set {device} promisc on up"))?;
        // Otherwise frames arrive beyond the MTU, with checksums that nobody has filled in, and with a VLAN tag that is
        // not in the frame: an XDP socket would never see it.
        endpoint
            .command("ethtool")
            .words(&format!("-K {INTERFACE} tx off tso off gso off gro off txvlan off"))
            .ok()?;
        Command::new("ethtool").words(&format!("-K {device} gro off")).ok().map(drop)
    }

    /// Whether there is a VLAN, too.
    fn address(&self, endpoint: &Endpoint, host: u8) -> Result<bool> {
        // No duplicate address detection: an address is usable at once, and no stray solicitation crosses.
        for scope in ["all", "default", INTERFACE] {
            endpoint.set(&format!("net/ipv6/conf/{scope}/accept_dad"), "0")?;
            endpoint.set(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "0")?;
        }
        endpoint.ip("link set lo up")?;
        endpoint.ip(&format!("link set {INTERFACE} up"))?;
        let mut nets = Net::UNTAGGED.to_vec();
        let has_vlan = self.add_vlan(endpoint)?;
        if has_vlan {
            nets.extend(Net::TAGGED);
        }
        for net in nets {
            let nodad = if net.prefix() == 64 { "nodad" } else { "" };
            let (address, prefix, device) = (net.host(host), net.prefix(), net.interface());
            endpoint.ip(&format!("address add {address}/{prefix} dev {device} {nodad}"))?;
        }
        Ok(has_vlan)
    }

    fn add_vlan(&self, endpoint: &Endpoint) -> Result<bool> {
        if self.vlan == Vlan::None {
            return Ok(false);
        }
        match vlan::add(endpoint, self.isolated.is_rootless()) {
            Err(LabError::NeedsRoot { .. }) if self.vlan == Vlan::WherePossible => Ok(false),
            other => other.map(|()| true),
        }
    }
}

impl Lab {
    /// Starts describing a lab. `executable` is the `quadrille` that [`Lab::appliance`] runs.
    pub fn builder(isolated: Isolated, executable: impl Into<PathBuf>) -> LabBuilder {
        LabBuilder {
            isolated,
            executable: executable.into(),
            queues: 1,
            vlan: Vlan::None,
            further_client_hosts: 0,
            mtu: 1500,
        }
    }

    /// Whether both hosts are in VLAN 77.
    pub fn has_vlan(&self) -> bool {
        self.has_vlan
    }

    /// The host that opens connections.
    pub fn client(&self) -> &Endpoint {
        &self.client
    }

    /// The host that accepts them.
    pub fn server(&self) -> &Endpoint {
        &self.server
    }

    /// Whether XDP programs cannot be loaded, which leaves af_packet.
    pub fn is_rootless(&self) -> bool {
        self.isolated.is_rootless()
    }
}
