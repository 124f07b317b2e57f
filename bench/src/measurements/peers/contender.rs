//! Who is measured: what is between the client and the server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use control::lab::{Appliance, Isn, Lab, Merge, Net, Process, Setup, Ways};

use super::proxies::Proxy;

/// The hosts, and how many connections may be idle.
pub struct Place {
    pub lab: Lab,
    pub ways: Ways,
    pub idle: usize,
}

/// Between the client and the server, and the port that both mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// A wire.
    Direct,
    /// The router's kernel.
    Forwarding,
    Proxy(Proxy),
    /// Ours: relayed for ever.
    Participating,
    /// Ours: merged when the server has answered.
    CutThrough,
}

impl Contender {
    /// In the order in which they take turns, those of the appliance last.
    pub const ALL: [Contender; 8] = [
        Contender::Direct,
        Contender::Forwarding,
        Contender::Proxy(Proxy::Haproxy { splice: false }),
        Contender::Proxy(Proxy::Haproxy { splice: true }),
        Contender::Proxy(Proxy::Nginx),
        Contender::Proxy(Proxy::Sockmap),
        Contender::Participating,
        Contender::CutThrough,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Contender::Direct => "a veth, nothing between",
            Contender::Forwarding => "the kernel's forwarding",
            Contender::Proxy(Proxy::Haproxy { splice: false }) => "HAProxy, TCP mode",
            Contender::Proxy(Proxy::Haproxy { splice: true }) => "HAProxy, TCP mode, splice",
            Contender::Proxy(Proxy::Nginx) => "nginx, stream",
            Contender::Proxy(Proxy::Sockmap) => "a sockmap",
            Contender::Participating => "Quadrille, participating",
            Contender::CutThrough => "Quadrille, cut through",
        }
    }

    /// Of the server and of a proxy: each has its own, so that nobody waits for another's connections to be forgotten.
    pub fn port(self) -> u16 {
        match self {
            Contender::Direct => 7000,
            Contender::Forwarding => 7001,
            Contender::Proxy(Proxy::Haproxy { splice: false }) => 7002,
            Contender::Proxy(Proxy::Haproxy { splice: true }) => 7003,
            Contender::Proxy(Proxy::Nginx) => 7004,
            Contender::Proxy(Proxy::Sockmap) => 7007,
            Contender::Participating => 7005,
            Contender::CutThrough => 7006,
        }
    }

    /// Whether it is measured with IPv6, too.
    pub fn has_ipv6(self) -> bool {
        !matches!(self, Contender::Proxy(Proxy::Haproxy { splice: true } | Proxy::Nginx | Proxy::Sockmap))
    }

    /// Whether threads of the kernel's own do a part of its work.
    pub fn has_kernel_threads(self) -> bool {
        self == Contender::Proxy(Proxy::Sockmap)
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Contender::Participating | Contender::CutThrough)
    }

    /// Whether it is what it is called, if so many of its connections were merged.
    pub fn has_merged(self, share: f64) -> bool {
        match self {
            // One that ends before it is drained need not be.
            Contender::CutThrough => share >= 0.99,
            _ => share == 0.0,
        }
    }

    /// Where the client connects to.
    pub fn target(self, place: &Place, net: Net) -> SocketAddr {
        let Place { lab, ways, .. } = place;
        let address: IpAddr = match self {
            Contender::Direct => ways.direct(net),
            Contender::Forwarding => ways.behind(net),
            Contender::Proxy(_) => ways.near(net),
            Contender::Participating | Contender::CutThrough => lab.server().address(net),
        };
        SocketAddr::from((address, self.port()))
    }

    /// Starts what it needs; one of ours is as good as the other.
    pub fn start(self, place: &Place) -> anyhow::Result<Running> {
        match self {
            Contender::Direct | Contender::Forwarding => Ok(Running::Nothing),
            Contender::Proxy(proxy) => Ok(Running::Proxy(proxy.start(place, self.port())?)),
            Contender::Participating | Contender::CutThrough => Ok(Running::Appliance(appliance(place)?)),
        }
    }
}

/// What has been started for a contender.
pub enum Running {
    /// The kernel does it.
    Nothing,
    Proxy(Process),
    Appliance(Appliance),
}

impl Running {
    /// The process that it is.
    pub fn process(&mut self) -> Option<u32> {
        match self {
            Running::Nothing => None,
            Running::Proxy(process) => Some(process.id()),
            Running::Appliance(appliance) => Some(appliance.process().id()),
        }
    }

    /// Flows merged so far; none for others than ours.
    pub fn merges(&self) -> anyhow::Result<u64> {
        match self {
            Running::Appliance(appliance) => Ok(appliance.counter("merges")?),
            Running::Nothing | Running::Proxy(_) => Ok(0),
        }
    }

    /// Ends it.
    pub fn stop(self) -> anyhow::Result<()> {
        match self {
            Running::Appliance(appliance) => {
                appliance.stop()?.ok().context("the appliance did not end well")?;
            }
            // Its process ends with its value.
            Running::Nothing | Running::Proxy(_) => {}
        }
        Ok(())
    }
}

/// Relays what it is offered, and merges what goes to one of the ports.
fn appliance(place: &Place) -> anyhow::Result<Appliance> {
    let program = quadrille()?;
    ensure!(program.exists(), "{} is not there: `./dev bench` builds it", program.display());
    let limits = format!("flows = {FLOWS}\nparticipating = {}\n", 2 * place.idle);
    let setup = Setup::relay(Merge::FirstResponse, Isn::Mirror).without_offer().limits(&limits);
    let socket = place.lab.client().directory().join("quadrille.sock");
    let config = setup.toml(&socket, QUEUES) + &rules();
    Ok(place.lab.appliance_from(&config, socket)?)
}

/// The program that is measured, built beside this one.
pub fn quadrille() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("quadrille"))
}

/// One worker.
const QUEUES: u16 = 1;
/// Of the worker's table: what is over stays for some seconds.
const FLOWS: usize = 1 << 17;

fn rules() -> String {
    let rule = |contender: Contender, module: &str| {
        format!(
            "[[rule]]\nname = \"{module}\"\nmatch = {{ destination_ports = {} }}\naction = \"offer\"\nmodule = \"{module}\"\n\n",
            contender.port()
        )
    };
    rule(Contender::CutThrough, "lab")
        + &rule(Contender::Participating, "never")
        + "[module.never]\nkind = \"relay\"\nmerge = \"never\"\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_shares_a_name_or_a_port() {
        let names: std::collections::HashSet<_> = Contender::ALL.map(Contender::name).into();
        let ports: std::collections::HashSet<_> = Contender::ALL.map(Contender::port).into();
        assert_eq!((names.len(), ports.len()), (Contender::ALL.len(), Contender::ALL.len()));
    }
}
