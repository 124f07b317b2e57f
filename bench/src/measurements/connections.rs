//! Whole connections: a SYN that is offered to a module, decided, its handshake, a request and a response relayed, the merge, and both
//! ends' FINs on cut-through.

pub mod apart;
pub mod cycle;
pub mod ends;
pub mod segment;

use anyhow::Context;

use crate::machine;
use crate::race::Spread;
use crate::suite::{Demand, Finding, Gate, Measurement, Row, Run};
use crate::traffic::Family;
use crate::turns::Spent;

use apart::Apart;
use cycle::Cycle;

pub const MEASUREMENT: Measurement = Measurement {
    name: "connections",
    about: "Connections set up, offered, relayed once, merged and closed, a second, by one worker and one control core",
    budget: "at least 500,000 a second in memory",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "*Two cores*: worker and control core on a core each, their rings between them, with room for all that is under way, and no more than 16,384 at once, or segments are sent again and answered twice; the ends of all connections are in \
    the worker's ports (`connections/ends.rs`), and nothing is subtracted, for the control core is the slower one anyway. By wall time, from the \
    first SYN until all are over. *In turns*: both on one thread, each with a clock around its turn, the ends with one of their own; *a core \
    each* is what the slower of the two would yield if it had a core to itself and rings cost nothing, and what remains where there is one core. A connection is \
    nine segments of its ends: SYN, SYN-ACK, ACK, request, response \
    (128 bytes each), ACK, FIN, FIN, ACK, without timestamps. The module relays, server-first, and merges after the response; FINs are cut through. Quads are \
    used again after four million others, and what is over stays for a second in the worker's table. Every connection must have been \
    merged, and nothing dropped, or there is no figure.";

/// Of each contender and sample, in the short run.
const CONNECTIONS: usize = 50_000;

fn contenders(is_full: bool) -> Vec<(Family, usize)> {
    let at_once: &[usize] = if is_full { &[64, 1024, 16_384, 65_536] } else { &[1024, 16_384] };
    [Family::V4, Family::V6]
        .into_iter()
        .flat_map(|family| at_once.iter().map(move |at_once| (family, *at_once)))
        .collect()
}

/// With more at once on two cores an answer takes so long that segments are sent again, and the ends, which keep nothing of a connection,
/// answer each.
const MOST_APART: usize = 16_384;
/// What it is asked of.
const ASKED: (Family, usize) = (Family::V4, 1024);
const THOUSANDS: f64 = 500.0;

/// Connections of one kind, in turns and on two cores.
fn samples(run: &Run, family: Family, at_once: usize) -> anyhow::Result<(Vec<f64>, Vec<Spent>)> {
    let length = run.length(CONNECTIONS);
    let connections = length.units as u64;
    // The table gets as full as it will be.
    let first = connections.max(4 * at_once as u64);
    let mut cycle = Cycle::at_once(family, at_once);
    cycle.sample(first);
    let has_two = machine::cores() > 1 && at_once <= MOST_APART;
    let mut apart = has_two.then(|| Apart::new(Cycle::for_threads(family, at_once)));
    if let Some(apart) = &mut apart {
        apart.sample(first)?;
    }
    let (mut rates, mut spent) = (Vec::new(), Vec::new());
    for _ in 0..length.samples {
        spent.push(cycle.sample(connections));
        if let Some(apart) = &mut apart {
            rates.push(connections as f64 / 1e3 / apart.sample(connections)?.as_secs_f64());
        }
    }
    cycle.assert_all_is_well()?;
    if let Some(apart) = apart {
        apart.finish()?.assert_all_is_well().context("on two cores")?;
    }
    Ok((rates, spent))
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = [
        "thousand a second, two cores",
        "in turns: thousand a second, a core each",
        "worker, ns",
        "control core, ns",
        "ends, ns",
    ];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    for (family, at_once) in contenders(run.is_full) {
        let case = format!("{family}, {at_once} at once");
        run.say(&case);
        let (rates, spent) = samples(run, family, at_once).with_context(|| case.clone())?;
        let two = (!rates.is_empty()).then(|| Spread::of(rates));
        let spread = |value: fn(&Spent) -> f64| Spread::of(spent.iter().map(value));
        let computed = spread(|spent| 1e6 / spent.slower());
        if (family, at_once) == ASKED {
            let gate = |how: &str, value| {
                let what = format!("thousand connections a second, {case}, {how}");
                Gate { what, value, demand: Demand::AtLeast(THOUSANDS) }
            };
            finding.gates.extend(two.map(|two| gate("two cores", two)));
            finding.gates.push(gate("in turns", computed));
        }
        let parts = [spread(|spent| spent.worker), spread(|spent| spent.core), spread(|spent| spent.ends)];
        let values = [two, Some(computed)].into_iter().chain(parts.map(Some)).collect();
        finding.rows.push(Row { case, values });
    }
    Ok(finding)
}
