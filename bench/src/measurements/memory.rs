//! What a flow takes of memory, seen from outside: by how much the process grows when flows are installed.

use std::fmt;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, ensure};
use dataplane::flow::table::FlowTable;

use crate::carried::cut_through;
use crate::race::Spread;
use crate::suite::{Demand, Finding, Gate, Measurement, Row, Run};
use crate::traffic::{Family, Traffic};

pub const MEASUREMENT: Measurement = Measurement {
    name: "memory",
    about: "Bytes of memory that a cut-through flow takes, table and timers included",
    budget: "at most 128 bytes a flow; 10 M flows at most 1.2 GiB",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "Resident memory of the process (`VmRSS`) with a worker and so many flows that are cut through, less that before, by \
    flows; each in a process of its own, where nothing is left to be used again. A worker's other memory and the generator (8 bytes a flow, subtracted) are in it. *Computed* is what the start-up check \
    reckons with: the most that a flow can take.";

/// Of a generator's list of turns, which both ports share.
const TURN: u64 = size_of::<u32>() as u64;

/// A table of flows, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Install {
    family: Family,
    flows: u32,
}

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family, self.flows)
    }
}

impl FromStr for Install {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Install> {
        let (family, flows) = text.split_once(':').context("not FAMILY:FLOWS")?;
        let families = [Family::V4, Family::V6];
        let family = families.into_iter().find(|known| known.to_string() == family);
        Ok(Install { family: family.context("no family is called so")?, flows: flows.parse()? })
    }
}

impl Install {
    /// What the process of its own does: prints by how many bytes it grows.
    pub fn carry_out(self) -> anyhow::Result<()> {
        let Install { family, flows } = self;
        let before = resident("self")?;
        let carrier = cut_through(&Traffic { family, ..Traffic::shortest(flows) }, 1);
        let grown = resident("self")?.saturating_sub(before).saturating_sub(u64::from(flows) * TURN);
        drop(carrier);
        println!("{grown}");
        Ok(())
    }

    fn grown(self) -> anyhow::Result<f64> {
        let name = self.to_string();
        let output = Command::new(std::env::current_exe()?).args(["--install", &name]).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        // Who was killed for its memory says nothing.
        let why = || format!("{name}: {}; {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        ensure!(output.status.success(), why());
        said.trim().parse().with_context(why)
    }
}

/// Bytes of a process, by its number or as "self".
pub fn resident(process: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path}: cannot be read"))?;
    parse(&status).with_context(|| format!("{path} has no VmRSS"))
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

fn gate(what: String, value: f64, most: f64) -> Gate {
    Gate { what, value: Spread::of([value]), demand: Demand::AtMost(most) }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["bytes a flow", "MiB", "computed bytes a flow"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let flows: &[u32] = if run.is_full { &[100_000, 1_000_000, 10_000_000] } else { &[100_000, 1_000_000] };
    for flows in flows {
        for family in [Family::V4, Family::V6] {
            run.say(format!("{flows} flows, {family}"));
            // What a worker is besides its flows is in both.
            let grown = run.wait_for(|| {
                let all = Install { family, flows: *flows }.grown()?;
                anyhow::Ok(all - Install { family, flows: 1 }.grown()?)
            })?;
            let each = grown / f64::from(*flows);
            let computed = FlowTable::bytes_for(*flows as usize, 0) as f64 / f64::from(*flows);
            let values = [each, grown / f64::from(1 << 20), computed];
            let once = |value| Some(Spread::of([value]));
            finding
                .rows
                .push(Row { case: format!("{flows} flows, {family}"), values: values.map(once).into() });
            if *flows >= 1_000_000 {
                finding.gates.push(gate(format!("bytes a flow, {flows} {family} flows"), each, 128.0));
            }
            if *flows == 10_000_000 {
                let gibibytes = grown / f64::from(1 << 30);
                finding.gates.push(gate(format!("GiB, {flows} {family} flows"), gibibytes, 1.2));
            }
        }
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_is_written() {
        let install = Install { family: Family::V6, flows: 12 };
        assert_eq!(install.to_string().parse::<Install>().expect("its own name"), install);
        assert!("IPv5:12".parse::<Install>().is_err());
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(super::parse("VmPeak:\t  9 kB\nVmRSS:\t  12 kB\n"), Some(12 << 10));
    }
}
