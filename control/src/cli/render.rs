//! How the appliance's answers look to a person.

use std::collections::BTreeSet;

use super::table::Table;
use super::units::{age, bytes, count, delta, share, speed};
use crate::api::types::{Counters, EventInfo, FlowInfo, HandedOver, HitInfo, Path, Stats, Status};

/// `quadrille status`.
pub(super) fn status(status: &Status) -> String {
    let cores = &status.cores;
    let worker = |core: &usize| {
        let flooded =
            if cores.flooded.contains(core) { " (flooded: more SYNs come than can be held)" } else { "" };
        format!("{core}{flooded}")
    };
    let workers: Vec<_> = cores.workers.iter().map(worker).collect();
    let stalled = if cores.control_alive { "" } else { " (stalled)" };
    let merging = if status.merging { "" } else { ", merging is off" };
    let mut ports = Table::new(["PORT", "PEER", "DEVICE", "DRIVER", "LINK", "MAC"]);
    for port in &status.ports {
        let link = match (port.link.up, port.link.speed_mbps) {
            (false, _) => "down".to_owned(),
            (true, None) => "up".to_owned(),
            (true, Some(mbps)) => format!("up, {}", speed(mbps)),
        };
        let (name, peer) = (port.name.clone(), port.peer.clone());
        ports.row([name, peer, port.device.clone(), port.driver.clone(), link, port.mac.clone()]);
    }
    format!(
        "quadrille {}, process {}, up {}, {} flows{merging}\nconfiguration {}\ncontrol core {}{stalled}, workers on {}\n\n{}",
        status.version,
        status.pid,
        age(status.uptime_ms),
        count(status.flows),
        status.config,
        cores.control,
        workers.join(", "),
        ports.lines(0)
    )
}

/// Whether flows are merged.
pub(super) fn merging(on: bool) -> String {
    let text = if on {
        "flows are merged as their modules say"
    } else {
        "no flow is merged until `quadrille merge --on`; those that are cut through stay so"
    };
    format!("{text}\n")
}

/// `quadrille events`, the newest last.
pub(super) fn events(events: &[EventInfo]) -> String {
    if events.is_empty() {
        return "no flow has changed hands yet, and nothing was found\n".to_owned();
    }
    let mut table = Table::new([">AT", "CLIENT → SERVER", "EVENT", ">TOOK", "WHAT"]);
    for event in events {
        table.row([
            format!("{}.{:03} s", event.at_ms / 1000, event.at_ms % 1000),
            format!("{} → {}", event.client, event.server),
            event.event.clone(),
            match event.hit {
                Some(_) => "-".to_owned(),
                None => format!("{} us", count(event.duration_us)),
            },
            event.hit.as_ref().map(hit).or(event.reason.clone()).unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.lines(0)
}

/// What was found, where, and what came of it: `web passwd, client's byte 1034: reset`. The name `pattern[2]` says which it is
/// by itself.
fn hit(hit: &HitInfo) -> String {
    let HitInfo { inspection, pattern, name, from, place, verdict } = hit;
    let inspection = inspection.as_deref().unwrap_or("(former)");
    let number = match name.starts_with("pattern[") {
        true => String::new(),
        false => format!(" [{pattern}]"),
    };
    format!("{inspection} {name}{number}, {from}'s byte {place}: {verdict}")
}

/// A flow that has changed hands, or will.
pub(super) fn handed_over(flow: &HandedOver) -> String {
    let HandedOver { client, server, path } = flow;
    match path {
        Path::CutThrough => format!("{client} -> {server} is merged\n"),
        _ => format!("{client} -> {server} is split\n"),
    }
}

/// `quadrille flows`: one line each.
pub(super) fn flows(flows: &[FlowInfo], limit: usize) -> String {
    if flows.is_empty() {
        return "no flows\n".to_owned();
    }
    let mut table = Table::new([
        "CLIENT → SERVER",
        "VLAN",
        "PATH",
        "MODULE",
        ">Δ C2S",
        ">Δ S2C",
        ">BYTES C2S",
        ">BYTES S2C",
        ">SPLITS",
        ">MERGES",
        ">AGE",
    ]);
    for flow in flows {
        let vlans: Vec<_> = flow.vlans.iter().map(u16::to_string).collect();
        table.row([
            format!("{} → {}", flow.client, flow.server),
            or_dash(vlans.join(".")),
            flow.path.name().to_owned(),
            or_dash(flow.module.clone().unwrap_or_default()),
            delta(flow.delta_c2s),
            delta(flow.delta_s2c),
            bytes(flow.bytes_c2s),
            bytes(flow.bytes_s2c),
            flow.splits.to_string(),
            flow.merges.to_string(),
            age(flow.age_ms),
        ]);
    }
    let mut out = table.lines(0);
    if flows.len() >= limit {
        out += &format!("(stopped after {} flows)\n", count(limit as u64));
    }
    out
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// `quadrille stats`: what is zero everywhere is left out.
pub(super) fn stats(stats: &Stats) -> String {
    let mut out = workers(stats) + &inspections(stats);
    out += &section("control core", &stats.control);
    for port in &stats.ports {
        out += &section(&format!("port {}", port.name), &port.counters);
    }
    let mut tables = Table::new(["TABLE", ">USED", ">CAPACITY", ">FULL"]);
    let mbufs = &stats.mbufs;
    let usage = stats.tables.iter().map(|(name, usage)| (name.as_str(), usage.used, usage.capacity));
    for (name, used, capacity) in std::iter::once(("mbufs", mbufs.in_use, mbufs.total)).chain(usage) {
        tables.row([name.to_owned(), count(used), count(capacity), share(used, capacity)]);
    }
    out + &tables.lines(0)
}

fn workers(stats: &Stats) -> String {
    let titles: Vec<String> = stats.workers.iter().map(|w| format!(">WORKER {}", w.worker)).collect();
    let mut table = Table::new(["COUNTER", ">TOTAL"].into_iter().chain(titles.iter().map(String::as_str)));
    let names: BTreeSet<&String> =
        stats.workers.iter().flat_map(|w| w.counters.keys()).chain(stats.counters.keys()).collect();
    for name in names {
        let of = |counters: &Counters| counters.get(name).copied().unwrap_or(0);
        let values: Vec<u64> = std::iter::once(of(&stats.counters))
            .chain(stats.workers.iter().map(|w| of(&w.counters)))
            .collect();
        if values.iter().any(|value| *value != 0) {
            table.row(std::iter::once(name.clone()).chain(values.into_iter().map(count)));
        }
    }
    if table.is_empty() { "no packets yet\n\n".to_owned() } else { table.lines(0) + "\n" }
}

/// Patterns that were found, inspection by inspection.
fn inspections(stats: &Stats) -> String {
    let mut table = Table::new(["INSPECTION", "PATTERN", "VERDICT", ">MATCHES"]);
    let patterns = |(name, patterns)| std::iter::repeat::<&String>(name).zip::<&Vec<_>>(patterns);
    for (inspection, found) in
        stats.inspections.iter().flat_map(patterns).filter(|(_, found)| found.matches != 0)
    {
        table.row([inspection.clone(), found.pattern.clone(), found.verdict.clone(), count(found.matches)]);
    }
    if table.is_empty() { String::new() } else { table.lines(0) + "\n" }
}

fn section(title: &str, counters: &Counters) -> String {
    let title = title.to_uppercase();
    let mut table = Table::new([title.as_str(), ">TOTAL"]);
    for (name, value) in counters.iter().filter(|(_, value)| **value != 0) {
        table.row([name.clone(), count(*value)]);
    }
    if table.is_empty() { String::new() } else { table.lines(0) + "\n" }
}
