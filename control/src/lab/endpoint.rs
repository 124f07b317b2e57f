//! One of the two hosts that the appliance stands between: a network namespace with one interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::Command;
use super::error::{LabError, Result};
use super::wait::{LATE, wait_until};

/// The interface's name inside of each endpoint.
pub const INTERFACE: &str = "eth0";

/// The tag of the lab's VLAN.
pub const VLAN_ID: u16 = 77;

/// Which of the lab's networks a conversation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// 10.77.0.0/24, untagged.
    V4,
    /// fd77::/64, untagged.
    V6,
    /// 10.78.0.0/24 in the VLAN.
    Vlan4,
    /// fd78::/64 in the VLAN.
    Vlan6,
}

impl Net {
    /// The networks outside of the VLAN.
    pub const UNTAGGED: [Self; 2] = [Self::V4, Self::V6];
    /// The networks inside of the VLAN.
    pub const TAGGED: [Self; 2] = [Self::Vlan4, Self::Vlan6];

    /// The prefix length of its addresses.
    pub const fn prefix(self) -> u8 {
        match self {
            Self::V4 | Self::Vlan4 => 24,
            Self::V6 | Self::Vlan6 => 64,
        }
    }

    /// Whether it is in the VLAN.
    pub const fn is_tagged(self) -> bool {
        matches!(self, Self::Vlan4 | Self::Vlan6)
    }

    /// The interface that carries it inside of an endpoint.
    pub fn interface(self) -> String {
        if self.is_tagged() { format!("{INTERFACE}.{VLAN_ID}") } else { INTERFACE.into() }
    }

    /// Host `host` of this network.
    pub const fn host(self, host: u8) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(10, 77, 0, host)),
            Self::Vlan4 => IpAddr::V4(Ipv4Addr::new(10, 78, 0, host)),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host as u16)),
            Self::Vlan6 => IpAddr::V6(Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, host as u16)),
        }
    }
}

/// What a client's connect() came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connected {
    /// The handshake completed.
    Yes,
    /// ECONNREFUSED: a reset.
    Refused,
    /// EHOSTUNREACH, ENETUNREACH or EACCES: an ICMP error.
    Unreachable,
    /// Nothing came.
    Silence,
}

impl Connected {
    fn from_netcat(words: &str) -> Result<Self> {
        let known = [
            ("succeeded", Self::Yes),
            ("Connection refused", Self::Refused),
            ("No route to host", Self::Unreachable),
            ("Network is unreachable", Self::Unreachable),
            ("Permission denied", Self::Unreachable),
            ("timed out", Self::Silence),
        ];
        let outcome = known.iter().find(|(word, _)| words.contains(word)).map(|(_, outcome)| *outcome);
        outcome.ok_or_else(|| LabError::Unexpected { expected: "netcat's verdict".into(), got: words.into() })
    }
}

/// A host of the lab.
#[derive(Debug)]
pub struct Endpoint {
    name: &'static str,
    host: u8,
    directory: PathBuf,
}

impl Endpoint {
    pub(super) fn new(name: &'static str, host: u8, lab: &Path) -> Result<Self> {
        let directory = lab.join(name);
        std::fs::create_dir_all(&directory)
            .map_err(LabError::io(format!("creating {}", directory.display())))?;
        Ok(Self { name, host, directory })
    }

    /// Its network namespace.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A folder for its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its address in one of the networks.
    pub fn address(&self, net: Net) -> IpAddr {
        net.host(self.host)
    }

    /// An HTTP address on it.
    pub fn url(&self, net: Net, port: u16, path: &str) -> String {
        match self.address(net) {
            IpAddr::V4(v4) => format!("http://{v4}:{port}/{path}"),
            IpAddr::V6(v6) => format!("http://[{v6}]:{port}/{path}"),
        }
    }

    /// A program on this host.
    pub fn command(&self, program: &str) -> Command {
        Command::in_namespace(self.name, program)
    }

    /// `curl` that fails on an HTTP error and says why it failed.
    pub fn curl(&self, url: &str) -> Command {
        self.command("curl").words("--silent --show-error --fail --noproxy * --max-time 15").arg(url)
    }

    /// A TCP connection to `address` that is closed at once; what became of it, and how long that took, is the result.
    ///
    /// # Errors
    /// As [`Command::run`].
    pub fn connect(&self, address: IpAddr, port: u16, within: Duration) -> Result<(Connected, Duration)> {
        let seconds = within.as_secs().max(1).to_string();
        let nc = self.command("nc").args([
            "-n",
            "-v",
            "-z",
            "-w",
            &seconds,
            &address.to_string(),
            &port.to_string(),
        ]);
        let finished = nc.timeout(within + LATE).run()?;
        Ok((Connected::from_netcat(&finished.stderr)?, finished.elapsed))
    }

    /// Waits until an echo request to `address` is answered.
    ///
    /// # Errors
    /// [`LabError::Timeout`] when none is.
    pub fn wait_for_echo(&self, address: IpAddr, within: Duration) -> Result<()> {
        let ping = self.command("ping").words("-n -c 1 -W 1").arg(address.to_string());
        wait_until(&format!("an echo from {address} to {}", self.name), within, || Ok(ping.run()?.success()))
    }

    /// Waits until something on this host accepts connections on `port`, without making one.
    ///
    /// # Errors
    /// [`LabError::Timeout`] when nothing does.
    pub fn wait_for_listener(&self, port: u16, within: Duration) -> Result<()> {
        let sockets = self.command("ss").words("-Hltn").arg(format!("sport = :{port}"));
        wait_until(&format!("a listener on port {port} of {}", self.name), within, || {
            Ok(!sockets.ok()?.trim().is_empty())
        })
    }

    /// Runs `ip` with a line of arguments on this host.
    ///
    /// # Errors
    /// As [`Command::ok`].
    pub fn ip(&self, line: &str) -> Result<String> {
        self.command("ip").words(line).ok()
    }

    /// The hardware address of the interface that carries one of the networks.
    ///
    /// # Errors
    /// As [`Command::ok`].
    pub fn hardware_address(&self, net: Net) -> Result<String> {
        let device = net.interface();
        let line = self.ip(&format!("-brief link show dev {device}"))?;
        line.split_whitespace().nth(2).map(str::to_owned).ok_or_else(|| LabError::Unexpected {
            expected: format!("a hardware address of {device} at {}", self.name),
            got: line.clone(),
        })
    }

    /// Sends with this congestion control on all connections in the untagged networks.
    ///
    /// By route: only the machine's own namespace may make an algorithm that is not its default one a namespace's default.
    ///
    /// # Errors
    /// As [`Command::ok`].
    pub fn send_with(&self, congestion_control: &str) -> Result<()> {
        let send =
            |net: &Net| self.send_into(net.host(0), net.prefix(), &net.interface(), congestion_control);
        Net::UNTAGGED.iter().try_for_each(send)
    }

    /// The same into one network, which it has an address in.
    pub(super) fn send_into(
        &self,
        network: IpAddr,
        prefix: u8,
        device: &str,
        congestion_control: &str,
    ) -> Result<()> {
        let kind = if network.is_ipv4() { "scope link" } else { "metric 256" };
        self.ip(&format!(
            "route replace {network}/{prefix} dev {device} proto kernel {kind} congctl {congestion_control}"
        ))
        .map(drop)
    }

    /// Becomes a router.
    pub(super) fn forward(&self) -> Result<()> {
        let settings = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
        settings.iter().try_for_each(|setting| self.set(setting, "1"))
    }

    /// Sets a kernel setting of this host, by its path below /proc/sys.
    ///
    /// # Errors
    /// As [`Command::ok`].
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        let script = format!("echo '{value}' > /proc/sys/{setting}");
        self.command("sh").arg("-c").arg(script).ok().map(drop)
    }
}
