//! Whole connections: a SYN that is offered to a module, decided, its handshake, a request and a response relayed, the merge, and both
//! ends' FINs on cut-through.

pub mod cycle;
pub mod ends;
pub mod segment;

use crate::race::Spread;
use crate::suite::{Demand, Finding, Gate, Measurement, Row, Run};
use crate::traffic::Family;
use crate::turns::Spent;

use cycle::Cycle;

pub const MEASUREMENT: Measurement = Measurement {
    name: "connections",
    about: "Connections set up, offered, relayed once, merged and closed, a second, by one worker and one control core",
    budget: "at least 500,000 a second in memory",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "Worker and control core take turns on one thread, each with a clock around its turn; the ends of all connections are in \
    the ports' calls (`connections/ends.rs`), have a clock of their own and are subtracted. What a core each would yield is one over the \
    slower of the two: rings between cores are not crossed. A connection is nine segments of its ends: SYN, SYN-ACK, ACK, request, response \
    (128 bytes each), ACK, FIN, FIN, ACK. The module relays, server-first, and merges after the response; FINs are cut through. Quads are \
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

fn row(case: String, samples: &[Spent]) -> Row {
    let spread = |value: fn(&Spent) -> f64| Some(Spread::of(samples.iter().map(value)));
    let thousands = spread(|spent| 1e6 / spent.slower());
    let values =
        [thousands, spread(|spent| spent.worker), spread(|spent| spent.core), spread(|spent| spent.ends)];
    Row { case, values: values.into() }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["thousand a second, a core each", "worker, ns", "control core, ns", "ends, ns"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let length = run.length(CONNECTIONS);
    for (family, at_once) in contenders(run.is_full) {
        let case = format!("{family}, {at_once} at once");
        run.say(&case);
        let mut cycle = Cycle::at_once(family, at_once);
        // The table gets as full as it will be.
        cycle.sample(length.units.max(4 * at_once) as u64);
        let samples: Vec<Spent> = (0..length.samples).map(|_| cycle.sample(length.units as u64)).collect();
        anyhow::ensure!(cycle.complaints().is_empty(), "{case}: {}", cycle.complaints().join(", "));
        anyhow::ensure!(cycle.merged() >= 1.0, "{case}: only {} were merged", cycle.merged());
        let row = row(case, &samples);
        if family == Family::V4 && at_once == 1024 {
            let value = row.values[0].unwrap_or_else(|| unreachable!("every column has a value"));
            let what = format!("thousand connections a second, {}", row.case);
            finding.gates.push(Gate { what, value, demand: Demand::AtLeast(500.0) });
        }
        finding.rows.push(row);
    }
    Ok(finding)
}
