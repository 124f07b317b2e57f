//! Ports: 2 to 16 of them, named once, each the end of exactly one wire.

use std::collections::HashMap;

use toml::Spanned;

use super::{device, impair};
use crate::config::Devices;
use crate::config::error::{Problems, did_you_mean};
use crate::config::external;
use crate::config::scalar::{name, number};
use crate::config::validated::{Device, Pair, Port};

const PORTS: std::ops::RangeInclusive<usize> = 2..=16;
/// From what IPv4 requires of every host (RFC 1122 section 3.3.3 asks for 576) to what jumbo NICs take.
const MTU: std::ops::RangeInclusive<u16> = 576..=9600;

pub(super) fn validate(
    raw: &[Spanned<external::Port>],
    workers: usize,
    devices: Devices,
    problems: &mut Problems,
) -> (Vec<Port>, Vec<Pair>) {
    if !PORTS.contains(&raw.len()) {
        let (least, most) = (PORTS.start(), PORTS.end());
        let message = format!("a wire has two ends: {least} to {most} ports, not {}", raw.len());
        match raw.last() {
            Some(last) => problems.at(last.span(), message),
            None => problems.missing(0..0, "port", message),
        }
        return (Vec::new(), Vec::new());
    }
    let raw: Vec<&external::Port> = raw.iter().map(Spanned::get_ref).collect();
    let names = names(&raw, problems);
    let mut ports: Vec<Port> = raw
        .iter()
        .enumerate()
        .map(|(index, port)| Port {
            name: port.name.get_ref().clone(),
            device: device::validate(port, workers, devices, problems).unwrap_or(Device::Vdev(String::new())),
            peer: peer(&raw, &names, index, problems),
            pair: 0,
            mtu: port.mtu.as_ref().map(|_| number(&port.mtu, 1500, MTU, problems)),
            impairment: port.impair.as_ref().map(|impair| impair::validate(impair, problems)),
            place: (0, 0),
        })
        .collect();
    unique_devices(&raw, &ports, problems);
    let pairs = pairs(&mut ports);
    (ports, pairs)
}

/// Impairments are easily left behind.
pub(super) fn warn(raw: &[Spanned<external::Port>], warnings: &mut Problems) {
    for port in raw.iter().map(Spanned::get_ref) {
        if let Some(impair) = &port.impair {
            let name = port.name.get_ref();
            warnings
                .at(impair.span(), format!("port {name:?} impairs its frames on purpose: for a lab only"));
        }
    }
}

fn names<'a>(raw: &[&'a external::Port], problems: &mut Problems) -> HashMap<&'a str, usize> {
    let mut names = HashMap::new();
    for (index, port) in raw.iter().enumerate() {
        name(port.name.get_ref(), port.name.span(), problems);
        if let Some(earlier) = names.insert(port.name.get_ref().as_str(), index) {
            problems.at(
                port.name.span(),
                format!("port[{earlier}] is named {:?} already; names are unique", port.name.get_ref()),
            );
        }
    }
    names
}

/// Index of the peer; the port's own after a problem.
fn peer(
    raw: &[&external::Port],
    names: &HashMap<&str, usize>,
    index: usize,
    problems: &mut Problems,
) -> usize {
    let (own, wanted) = (raw[index].name.get_ref().as_str(), &raw[index].peer);
    let span = wanted.span();
    let wanted = wanted.get_ref().as_str();
    let Some(&peer) = names.get(wanted) else {
        let others = || raw.iter().map(|port| port.name.get_ref().as_str()).filter(|name| *name != own);
        let mut all: Vec<&str> = others().collect();
        all.sort_unstable();
        let hint = did_you_mean(wanted, others(), || format!("; there is {}", all.join(", ")));
        problems.at(span, format!("no port is named \"{wanted}\"{hint}"));
        return index;
    };
    let answer = raw[peer].peer.get_ref();
    if peer == index {
        problems.at(span, "a port is not its own peer; name the opposite port");
    } else if answer != own && names.contains_key(answer.as_str()) {
        problems.at(
            span,
            format!("\"{wanted}\" has \"{answer}\" as its peer, not \"{own}\"; peers name each other"),
        );
    }
    peer
}

fn unique_devices(raw: &[&external::Port], ports: &[Port], problems: &mut Problems) {
    for (index, port) in ports.iter().enumerate() {
        let name = port.device.name();
        let earlier = ports[..index].iter().position(|earlier| earlier.device.name() == name);
        if let Some(earlier) = earlier.filter(|_| !name.is_empty()) {
            problems.at(
                raw[index].device.span(),
                format!("port[{earlier}] has the device \"{name}\" already; one device for each port"),
            );
        }
    }
}

/// Numbers pairs in the order of their first ports.
fn pairs(ports: &mut [Port]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for index in 0..ports.len() {
        let peer = ports[index].peer;
        if index < peer && ports[peer].peer == index {
            let mtu = ports[index].mtu.into_iter().chain(ports[peer].mtu).min();
            (ports[index].pair, ports[peer].pair) = (pairs.len() as u8, pairs.len() as u8);
            pairs.push(Pair { ports: [index, peer], mtu });
        }
    }
    pairs
}
