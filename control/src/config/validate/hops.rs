//! Where flows go instead: next hops, servers, and addresses that take the place of clients'.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use dataplane::flow::far::NextHop;
use dataplane::port::PortId;
use dataplane::wire::ip::is_host;
use toml::Spanned;

use super::limits::DEFAULT_MTU;
use super::matches::vlan_ids;
use crate::config::error::{Problems, did_you_mean};
use crate::config::external;
use crate::config::scalar::{List, Scalar};
use crate::config::validated::{Action, Module, Port, Rule};

/// Addresses in one module's `client`: what a worker looks through for every segment without a flow has to be short.
const MAX_CLIENTS: usize = 256;

/// The next hops that rules name, each once.
pub(super) struct Hops<'a> {
    ports: &'a [Port],
    list: Vec<NextHop>,
}

impl<'a> Hops<'a> {
    pub(super) fn new(ports: &'a [Port]) -> Self {
        Hops { ports, list: Vec::new() }
    }

    pub(super) fn into_list(self) -> Vec<NextHop> {
        self.list
    }

    /// The action of a rule that forwards.
    pub(super) fn forward(&mut self, rule: &Spanned<external::Rule>, problems: &mut Problems) -> Action {
        let Some(raw) = &rule.get_ref().next_hop else {
            let message = "is missing; say where the flow goes: { mac = \"…\", vlan = …, port = \"…\" }, or let \
                           action = \"bypass\" have it go its own way";
            problems.missing(rule.span(), "next_hop", message);
            return Action::Drop;
        };
        let hop = next_hop(raw, self.ports, problems);
        let known = self.list.iter().position(|known| *known == hop);
        let index = known.unwrap_or_else(|| {
            self.list.push(hop);
            self.list.len() - 1
        });
        // There are fewer rules than 2^16.
        Action::Forward { hop: index as u16 }
    }
}

pub(super) fn next_hop(raw: &Spanned<external::NextHop>, ports: &[Port], problems: &mut Problems) -> NextHop {
    let external::NextHop { mac: raw_mac, vlan, port: raw_port } = raw.get_ref();
    if raw_mac.is_none() && vlan.is_none() && raw_port.is_none() {
        problems.at(raw.span(), "says nothing; give mac, vlan or port, or leave it out");
    }
    let vlans = vlan.as_ref().and_then(|vlan| match vlan_ids(vlan.get_ref()) {
        Ok(ids) => Some(ids),
        Err(message) => {
            problems.at(vlan.span(), message);
            None
        }
    });
    NextHop {
        mac: raw_mac.as_ref().and_then(|text| mac(text, problems)),
        vlans,
        port: raw_port.as_ref().and_then(|name| port(name, ports, problems)),
    }
}

fn mac(text: &Spanned<String>, problems: &mut Problems) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.get_ref().split([':', '-']);
    let is_mac = mac.iter_mut().all(|byte| {
        let part = parts.next().filter(|part| part.len() == 2);
        part.and_then(|part| u8::from_str_radix(part, 16).ok()).map(|value| *byte = value).is_some()
    }) && parts.next().is_none();
    if !is_mac {
        problems.at(
            text.span(),
            format!("{:?} is not a MAC address; write for example \"02:00:00:00:00:01\"", text.get_ref()),
        );
        return None;
    }
    if mac[0] & 1 != 0 || mac == [0; 6] {
        problems.at(text.span(), "is no single station's; give the next hop's own MAC address");
        return None;
    }
    Some(mac)
}

fn port(name: &Spanned<String>, ports: &[Port], problems: &mut Problems) -> Option<PortId> {
    let names = || ports.iter().map(|port| port.name.as_str());
    let found = names().position(|known| known == name.get_ref());
    if found.is_none() {
        let list = || format!("; there is {}", names().collect::<Vec<_>>().join(", "));
        let hint = did_you_mean(name.get_ref(), names(), list);
        problems.at(name.span(), format!("no port is named \"{}\"{hint}", name.get_ref()));
    }
    // At most 16 ports.
    found.map(|index| PortId(index as u8))
}

/// At most one server of each family.
pub(super) fn servers(list: &Option<List>, problems: &mut Problems) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = Vec::new();
    for value in list.iter().flat_map(|list| &list.0) {
        let text = if let Scalar::Text(text) = value.get_ref() { text.as_str() } else { "" };
        match text.parse::<SocketAddr>() {
            Ok(server) if !is_host(server.ip()) || server.port() == 0 => {
                problems
                    .at(value.span(), format!("{server} is no single server; give its own address and port"));
            }
            Ok(server) if servers.iter().any(|known| known.is_ipv4() == server.is_ipv4()) => problems
                .at(value.span(), "another server of this family is named already; one of each is possible"),
            Ok(server) => servers.push(server),
            Err(_) => problems.at(
                value.span(),
                format!(
                    "{} is not a server; write for example \"10.0.0.9:80\" or \"[2001:db8::9]:80\"",
                    value.get_ref()
                ),
            ),
        }
    }
    servers
}

/// `"keep"`, or addresses of our own.
pub(super) fn clients(list: &Option<List>, problems: &mut Problems) -> Vec<IpAddr> {
    let list = list.as_ref().map(|list| list.0.as_slice()).unwrap_or_default();
    if let [only] = list
        && *only.get_ref() == Scalar::Text("keep".into())
    {
        return Vec::new();
    }
    if let Some(beyond) = list.get(MAX_CLIENTS) {
        problems.at(beyond.span(), format!("{} addresses; at most {MAX_CLIENTS}", list.len()));
        return Vec::new();
    }
    let mut clients: Vec<IpAddr> = Vec::new();
    for value in list {
        let text = if let Scalar::Text(text) = value.get_ref() { text.as_str() } else { "" };
        match text.parse::<IpAddr>() {
            Ok(address) if clients.contains(&address) => {
                problems.at(value.span(), "is there already; leave one out");
            }
            Ok(address) if is_host(address) => clients.push(address),
            _ => problems.at(
                value.span(),
                format!(
                    "{} is not an address of a host; write addresses that are the appliance's alone, for example \
                     [\"10.0.0.5\", \"fd00::5\"], or \"keep\"",
                    value.get_ref()
                ),
            ),
        }
    }
    clients
}

/// Each address that takes the place of clients', with its module's name.
fn lent(
    modules: &BTreeMap<Spanned<String>, Spanned<external::Module>>,
) -> impl Iterator<Item = (IpAddr, &Spanned<Scalar>, &str)> {
    modules.iter().flat_map(|(name, module)| {
        let list = module.get_ref().client.iter().flat_map(|list| &list.0);
        list.filter_map(|value| match value.get_ref() {
            Scalar::Text(text) => Some((text.parse().ok()?, value, name.get_ref().as_str())),
            Scalar::Number(_) => None,
        })
    })
}

/// What is sent to a lent address ends here, as does the search for its MAC: it must not be a server's.
pub(super) fn check_lent(
    raw: &BTreeMap<Spanned<String>, Spanned<external::Module>>,
    modules: &[Module],
    problems: &mut Problems,
) {
    for (address, value, _) in lent(raw) {
        let is_at = |module: &&Module| module.servers.iter().any(|server| server.ip() == address);
        if let Some(module) = modules.iter().find(is_at) {
            problems.at(
                value.span(),
                format!(
                    "{address} is the server of module \"{}\"; write addresses that are the appliance's alone, for what is \
                     sent to them ends here",
                    module.name
                ),
            );
        }
    }
}

/// Rules about connections to a lent address alone: there are none.
pub(super) fn warn_lent(raw: &external::Config, rules: &[Rule], warnings: &mut Problems) {
    let lent: HashMap<IpAddr, &str> = lent(&raw.module).map(|(address, _, name)| (address, name)).collect();
    for (rule, raw) in rules.iter().zip(&raw.rule) {
        let found = rule.matches.destinations.iter().find_map(|net| {
            let is_one = net.prefix_len() == net.max_prefix_len();
            lent.get(&net.addr()).filter(|_| is_one).map(|name| (net.addr(), name))
        });
        if let Some((address, name)) = found {
            warnings.at(
                raw.span(),
                format!(
                    "connections to {address} never come to a rule: module \"{name}\" has it as client, so it is the \
                     appliance's own; give one of the two another address"
                ),
            );
        }
    }
}

/// Hops out of a port whose pair takes shorter frames than another: long segments are dropped there, and nobody is told.
pub(super) fn warn_mtu(raw: &external::Config, ports: &[Port], warnings: &mut Problems) {
    let of_pair = |port: &Port| {
        let both = [Some(port), ports.get(port.peer)].into_iter().flatten();
        both.map(|port| port.mtu.unwrap_or(DEFAULT_MTU)).min().unwrap_or(DEFAULT_MTU)
    };
    let Some(widest) = ports.iter().max_by_key(|port| of_pair(port)) else { return };
    let rules = raw.rule.iter().flat_map(|rule| &rule.get_ref().next_hop);
    let modules = raw.module.values().flat_map(|module| &module.get_ref().next_hop);
    for name in rules.chain(modules).flat_map(|hop| &hop.get_ref().port) {
        let Some(port) = ports.iter().find(|port| port.name == *name.get_ref()) else { continue };
        let (own, most) = (of_pair(port), of_pair(widest));
        if own < most {
            warnings.at(
                name.span(),
                format!(
                    "datagrams of more than {own} bytes do not leave by this port (drop_mtu), and port \"{}\" takes \
                     {most}; give both pairs the same mtu",
                    widest.name
                ),
            );
        }
    }
}
