//! What a rule matches: networks, port ranges, VLAN stacks.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use dataplane::policy::VlanMatch;
use ipnet::IpNet;

use super::conditions;
use crate::config::error::Problems;
use crate::config::external;
use crate::config::scalar::{List, Scalar};
use crate::config::validated::Match;

pub(super) fn validate(raw: &external::Match, problems: &mut Problems) -> Match {
    Match {
        sources: each(&raw.source, network, problems),
        destinations: each(&raw.destination, network, problems),
        source_ports: each(&raw.source_ports, ports, problems),
        destination_ports: each(&raw.destination_ports, ports, problems),
        vlans: each(&raw.vlan, vlan, problems),
        syn: raw.syn.as_ref().map(|syn| conditions::syn(syn, problems)),
        rate: raw.rate.as_ref().map(|rate| conditions::rate(rate, problems)),
    }
}

pub(super) fn each<T>(
    list: &Option<List>,
    read: fn(&Scalar) -> Result<T, String>,
    problems: &mut Problems,
) -> Vec<T> {
    let mut values = Vec::new();
    for value in list.iter().flat_map(|list| &list.0) {
        match read(value.get_ref()) {
            Ok(read) => values.push(read),
            Err(message) => problems.at(value.span(), message),
        }
    }
    values
}

fn network(value: &Scalar) -> Result<IpNet, String> {
    let text = match value {
        Scalar::Text(text) => text.as_str(),
        Scalar::Number(_) => "",
    };
    let network =
        text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
            format!(
                "{value} is not an address or a network; write for example \"10.0.0.0/8\" or \"2001:db8::1\""
            )
        })?;
    if network.addr() != network.network() {
        return Err(format!(
            "{value} has bits set beyond its prefix; write \"{}\" for the network or \"{}\" for the host",
            network.trunc(),
            network.addr()
        ));
    }
    Ok(network)
}

pub(super) fn ports(value: &Scalar) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{value} is not a port; write for example 443 or \"8000-8080\" (1 to 65535)");
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
    let (first, last) = match value {
        Scalar::Number(number) => {
            let port = port(&number.to_string())?;
            (port, port)
        }
        Scalar::Text(text) => match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        },
    };
    if first > last {
        return Err(format!("{value} runs backwards; write \"{last}-{first}\""));
    }
    Ok(first..=last)
}

fn vlan(value: &Scalar) -> Result<VlanMatch, String> {
    Ok(match vlan_ids(value)? {
        (0, 0) => VlanMatch::UNTAGGED,
        (0, id) => VlanMatch::inner(id),
        (outer, inner) => VlanMatch::stack(outer, inner),
    })
}

/// Outer and inner id, 0 for none.
pub(super) fn vlan_ids(value: &Scalar) -> Result<(u16, u16), String> {
    let wrong = || {
        format!("{value} is not a VLAN; write an id (1 to 4094), \"OUTER.INNER\" for two tags, or \"none\"")
    };
    let id = |text: &str| text.parse::<u16>().ok().filter(|id| (1..=4094).contains(id)).ok_or_else(wrong);
    match value {
        Scalar::Number(number) => Ok((0, id(&number.to_string())?)),
        Scalar::Text(text) if text == "none" => Ok((0, 0)),
        Scalar::Text(text) => match text.split_once('.') {
            Some((outer, inner)) => Ok((id(outer)?, id(inner)?)),
            None => Ok((0, id(text)?)),
        },
    }
}
