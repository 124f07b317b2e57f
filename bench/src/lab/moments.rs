//! What both ends notice of a hand-over: one bulk connection, watched by its sender's TCP_INFO and by when its bytes come.

use std::fmt::Write as _;
use std::time::Duration;

use control::lab::{Impair, Isn, Lab, LabError, Merge, Net, Result, Setup};
use serde_json::Value;

use crate::table::figure;
use crate::{Arguments, say};

/// See there for what it does.
const SCRIPT: &str = include_str!("moments.py");

const PORT: u16 = 7800;

/// Bytes a second: as much as hosts and appliance manage on two cores with something to spare, so that what is lost of a
/// moment is seen, and not what a core was busy with.
const RATE: u64 = 12_500_000;

/// Between two orders, seconds.
const HALF: f64 = 0.3;

/// Goodput is counted in bins of so many seconds.
const BIN: f64 = 0.02;

/// What was before is judged by so many seconds, what comes after by as many.
const SPAN: f64 = 0.2;

/// How its flow is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Merged when it begins, and left alone.
    Alone,
    /// Split and merged, never drained.
    InMotion,
    /// Split and merged, always drained.
    Drained,
}

impl Way {
    const ALL: [Way; 3] = [Way::Alone, Way::InMotion, Way::Drained];

    fn limits(self) -> &'static str {
        match self {
            Way::Drained => "drain_up_to = \"64MiB\"",
            Way::Alone | Way::InMotion => "drain_up_to = 0",
        }
    }

    /// What happens to its flow, and the events that say so.
    fn kinds(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Way::Alone => &[("never handed over", &[])],
            Way::InMotion => &[
                ("split", &["split"]),
                ("merged in motion", &["merged", "merged_in_motion", "merge_undone"]),
            ],
            Way::Drained => &[("merged by draining", &["merged", "merged_in_motion", "merge_undone"])],
        }
    }
}

/// What was seen of a connection; seconds of the machine's clock.
#[derive(Debug, Default)]
struct Trace {
    /// Congestion window, segments.
    cwnd: Vec<(f64, f64)>,
    /// Bytes that came.
    came: Vec<(f64, f64)>,
    retransmitted: f64,
    /// When each began and ended, and its name.
    events: Vec<(f64, f64, String)>,
}

/// What was noticed of one moment, relative to what was before.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Noticed {
    /// Goodput of the worst bin.
    worst_bin: f64,
    /// Goodput from the moment on.
    goodput: f64,
    /// Longest time without a byte, milliseconds.
    gap: f64,
    /// The smallest congestion window.
    cwnd: f64,
    /// How long it took, milliseconds.
    took: f64,
}

impl Trace {
    fn bytes(&self, from: f64, until: f64) -> f64 {
        // Of none, the sum is -0.
        self.came.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, bytes)| bytes).sum::<f64>()
            + 0.0
    }

    /// None when too little was seen before or after.
    fn notice(&self, began: f64, ended: f64) -> Option<Noticed> {
        let (from, until) = (began - BIN, ended + SPAN);
        let before = self.bytes(from - SPAN, from) / SPAN;
        let covers =
            |list: &[(f64, f64)]| list.first()?.0.le(&(from - SPAN)).then_some(list.last()?.0 >= until);
        if before == 0.0 || covers(&self.came) != Some(true) || covers(&self.cwnd) != Some(true) {
            return None;
        }
        let bins = ((until - from) / BIN) as usize;
        let bin = |n: usize| self.bytes(from + n as f64 * BIN, from + (n + 1) as f64 * BIN) / (before * BIN);
        let mut last = from;
        let mut gap = 0.0_f64;
        for (at, _) in self.came.iter().filter(|(at, _)| (from..until).contains(at)) {
            gap = gap.max(at - last);
            last = *at;
        }
        let held = self.cwnd.iter().rfind(|(at, _)| *at <= from).map(|(_, cwnd)| *cwnd)?;
        let windows = self.cwnd.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, cwnd)| *cwnd);
        Some(Noticed {
            worst_bin: (0..bins).map(bin).fold(f64::INFINITY, f64::min),
            goodput: self.bytes(began, began + SPAN) / (before * SPAN),
            gap: 1000.0 * gap.max(until - last),
            cwnd: windows.fold(held, f64::min) / held,
            took: 1000.0 * (ended - began),
        })
    }
}

/// All of one kind on one path.
struct Row {
    delay: u64,
    kind: &'static str,
    noticed: Vec<Noticed>,
    undone: usize,
    /// Of a thousand segments, on the connection as a whole.
    retransmitted: f64,
}

/// Measures on every path of the command line, and gives the table.
pub fn run(lab: &Lab, asked: &Arguments) -> Result<String> {
    let mut rows = Vec::new();
    for delay in &asked.delay {
        // By turns, so that what else the machine does meets all alike.
        let mut traces = [const { Vec::new() }; 3];
        for round in 0..asked.rounds {
            for (way, traces) in Way::ALL.into_iter().zip(&mut traces) {
                say(&format!("   round trip {delay} ms, {way:?}, round {} of {}", round + 1, asked.rounds));
                traces.push(watch(lab, asked, *delay, way)?);
            }
        }
        for (way, traces) in Way::ALL.into_iter().zip(&traces) {
            rows.extend(way.kinds().iter().map(|kind| row(*delay, *kind, traces)));
        }
    }
    Ok(table(&rows))
}

/// One connection.
fn watch(lab: &Lab, asked: &Arguments, delay: u64, way: Way) -> Result<Trace> {
    let round_trip = Duration::from_millis(delay);
    let path = Impair { loss_percent: asked.loss[0], round_trip, seed: asked.seed };
    let setup = Setup::relay(Merge::Established, Isn::Keyed).impair(path).limits(way.limits());
    let appliance = lab.appliance(&setup)?;
    let net = if asked.ipv6 { Net::V6 } else { Net::V4 };
    let address = lab.server().address(net);
    let (host, port) = (address.to_string(), PORT.to_string());
    lab.client().wait_for_echo(address, Duration::from_secs(20))?;
    let seconds = asked.seconds + 3;
    let send = ["-c", SCRIPT, "send", &host, &port, &seconds.to_string(), &RATE.to_string()];
    let mut sender = lab.server().command("python3").args(send).spawn()?;
    lab.server().wait_for_listener(PORT, Duration::from_secs(20))?;
    let mut receiver = lab.client().command("python3").args(["-c", SCRIPT, "take", &host, &port]).spawn()?;
    let server = std::net::SocketAddr::new(address, PORT).to_string();
    let half = if way == Way::Alone { 0.0 } else { HALF };
    let order = lab.client().command("python3").args(["-c", SCRIPT, "order"]).arg(appliance.socket());
    let order = order.args([&server, &seconds.to_string(), &half.to_string()]);
    let within = Duration::from_secs(seconds + 30);
    let ordered = order.timeout(within).ok()?;
    let (sampled, came) = (sender.wait(within)?.ok()?, receiver.wait(within)?.ok()?);
    read(&sampled, &came, &ordered)
}

/// What the three have printed.
fn read(sampled: &str, came: &str, ordered: &str) -> Result<Trace> {
    let json = |text: &str| {
        let unexpected =
            |error| LabError::Unexpected { expected: format!("JSON ({error})"), got: text.to_owned() };
        serde_json::from_str::<Value>(text).map_err(unexpected)
    };
    let pairs = |list: &Value| -> Vec<(f64, f64)> {
        let pair = |item: &Value| Some((item[0].as_f64()?, item[1].as_f64()?));
        list.as_array().into_iter().flatten().filter_map(pair).collect()
    };
    let (sampled, came, ordered) = (json(sampled)?, json(came)?, json(ordered)?);
    // The appliance's clock is as old as the appliance.
    let uptime = ordered["status"]["uptime_ms"].as_f64().unwrap_or(0.0) / 1000.0;
    let start = ordered["at"].as_f64().unwrap_or(0.0) - uptime;
    let event = |event: &Value| {
        let ended = start + event["at_ms"].as_f64()? / 1000.0;
        let began = ended - event["duration_us"].as_f64()? / 1e6;
        Some((began, ended, event["event"].as_str()?.to_owned()))
    };
    let last = sampled.as_array().and_then(|list| list.last()).and_then(|sample| sample[2].as_f64());
    Ok(Trace {
        cwnd: pairs(&sampled),
        came: pairs(&came),
        retransmitted: last.unwrap_or(0.0),
        events: ordered["events"].as_array().into_iter().flatten().filter_map(event).collect(),
    })
}

fn row(delay: u64, (kind, names): (&'static str, &[&str]), traces: &[Trace]) -> Row {
    let mut noticed = Vec::new();
    let mut undone = 0;
    for trace in traces {
        let moments: Vec<(f64, f64)> = match names {
            // As often as the others are handed over.
            [] => {
                let (first, last) = (trace.came.first(), trace.came.last());
                let span = first.zip(last).map_or(0.0, |(first, last)| last.0 - first.0);
                let start = first.map_or(0.0, |first| first.0);
                (2..(span / HALF) as usize).map(|n| start + n as f64 * HALF).map(|at| (at, at)).collect()
            }
            names => {
                let is_kind = |(_, _, name): &&(f64, f64, String)| names.contains(&name.as_str());
                trace.events.iter().filter(is_kind).map(|(began, ended, _)| (*began, *ended)).collect()
            }
        };
        undone += trace.events.iter().filter(|(_, _, name)| name == "merge_undone").count();
        noticed.extend(moments.into_iter().filter_map(|(began, ended)| trace.notice(began, ended)));
    }
    let bytes: f64 = traces.iter().map(|trace| trace.bytes(0.0, f64::INFINITY)).sum();
    let retransmitted: f64 = traces.iter().map(|trace| trace.retransmitted).sum();
    Row { delay, kind, noticed, undone, retransmitted: 1000.0 * retransmitted / (bytes / 1448.0).max(1.0) }
}

/// The middle one and the worst one, `by` a figure of which more is better when `more` is.
fn middle_and_worst(noticed: &[Noticed], by: fn(&Noticed) -> f64, more: bool) -> String {
    let mut values: Vec<f64> = noticed.iter().map(by).collect();
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "-".into() };
    let worst = if more { least } else { most };
    format!("{} ({})", figure(values[values.len() / 2]), figure(*worst))
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| round trip | the flow is | times | took, ms | goodput of the worst 20 ms | goodput of 200 ms | longest gap, ms \
         | least cwnd | sent again by the sender, ‰ |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for Row { delay, kind, noticed, undone, retransmitted } in rows {
        let show = |by, more| middle_and_worst(noticed, by, more);
        let undone = match undone {
            0 => String::new(),
            undone => format!(", {undone} undone"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {delay} ms | {kind} | {}{undone} | {} | {} | {} | {} | {} | {} |",
            noticed.len(),
            show(|one| one.took, false),
            show(|one| one.worst_bin, true),
            show(|one| one.goodput, true),
            show(|one| one.gap, false),
            show(|one| one.cwnd, true),
            figure(*retransmitted)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 bytes in each of 1000 ms, but for those that `is_missing`; a window of 10, and of 5 from 500 ms on.
    fn trace(is_missing: impl Fn(usize) -> bool) -> Trace {
        let ms = |n: usize| n as f64 / 1000.0 + 0.0005;
        let cwnd = |n: usize| if n < 500 { 10.0 } else { 5.0 };
        Trace {
            came: (0..1000).filter(|n| !is_missing(*n)).map(|n| (ms(n), 1000.0)).collect(),
            cwnd: (0..1000).map(|n| (ms(n), cwnd(n))).collect(),
            ..Trace::default()
        }
    }

    #[test]
    fn an_even_flow_has_no_dent() {
        let noticed = trace(|_| false).notice(0.3, 0.301).unwrap();
        assert!(
            (noticed.worst_bin - 1.0).abs() < 0.06 && (noticed.goodput - 1.0).abs() < 0.02,
            "{noticed:?}"
        );
        assert!(noticed.gap < 1.6 && noticed.cwnd == 0.5 || noticed.cwnd == 1.0, "{noticed:?}");
    }

    #[test]
    fn a_pause_is_noticed_in_every_figure() {
        let noticed = trace(|n| (400..450).contains(&n)).notice(0.4, 0.42).unwrap();
        assert_eq!((noticed.worst_bin, noticed.cwnd), (0.0, 0.5));
        assert!((noticed.goodput - 0.75).abs() < 0.02 && (noticed.gap - 51.0).abs() < 1.1, "{noticed:?}");
    }

    #[test]
    fn a_moment_at_the_edge_is_not_judged() {
        assert_eq!(trace(|_| false).notice(0.1, 0.1), None);
        assert_eq!(trace(|_| false).notice(0.9, 0.9), None);
    }
}
