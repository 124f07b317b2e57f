//! The figures, as docs/participating.md, and as a part of docs/hand-overs.md.

use control::lab::{LabError, Result};

use crate::cell::Sample;
use crate::measure::Measure;
use crate::{Arguments, table};

const INTRODUCTION: &str = "\
# The participating path, measured

Real applications between two hosts with Linux's TCP, relayed by the appliance for their whole life (module `relay`,
`merge = \"never\"`), beside the same ports with plain forwarding (rule action `bypass`). Both go through the same worker
and the same cables in one run, by turns. `./dev lab --write` measures and writes this page; `./dev lab --help` says how to
run a part of it.

**The path.** `[[port]] impair` ([configs/README.md](../configs/README.md)) puts half of the path on each side of the
appliance: of a round trip of 100 ms between the hosts, each port's cable takes 25 ms each way, and of a loss of 1 % each
port's cable loses 0.5 % each way. Plain, an application has the whole path in one control loop. Relayed, each leg has a
loop of half the round trip and half the loss, so that loss-based congestion control has less to lose: a ratio above 1 is
what splitting the loop is worth, one below 1 is what terminating TCP costs. Without loss and delay nothing but the
appliance's own work and a machine without a core to spare for it is measured.

**CUBIC everywhere.** The kernel's default on the machine at hand is BBR, which pays losses no heed: beside it, the ratio
would compare two algorithms instead of two paths. The appliance's own sender is CUBIC as well. Neither host keeps metrics of
a path from one connection to the next (`tcp_no_metrics_save`).

**Cores.** Hosts and appliance share the machine's cores. Plain, one thread of the appliance has to run for a segment to go on;
relayed, two have to by turns. Where cores are few and the path takes no time, they wait for a busy iperf3 for milliseconds,
and with a window kept small by losses that wait is what is measured: the column of 0 ms says more about the scheduler than
about TCP. On a path of 10 ms and more the wait disappears in the round trip.

A cell is *relayed / plain (**ratio**)*. Cells are short and random losses fall differently on each run: ratios between 0.8
and 1.25 say little by themselves.
";

/// Written by hand, for a matrix does not repeat it: one cell, measured often enough to compare small differences.
const REPEATED: &str = include_str!("repeated.md");

/// The whole page.
pub fn markdown(asked: &Arguments, samples: &[Sample], machine: &str) -> String {
    let rounds = if asked.rounds == 1 { "once".to_owned() } else { format!("{} times", asked.rounds) };
    let mut out = format!(
        "{INTRODUCTION}\n{machine}{} s for each figure, {rounds}, for iperf3 a hundred round trips at least; IPv{}; seed {}.\n",
        asked.seconds,
        if asked.ipv6 { 6 } else { 4 },
        asked.seed
    );
    for measure in Measure::ALL {
        let of_it: Vec<&Sample> = samples.iter().filter(|sample| sample.measure == measure).collect();
        if !of_it.is_empty() {
            out += &section(measure, asked, &of_it);
        }
    }
    out + REPEATED
}

/// Where the figures of hand-overs belong.
const HAND_OVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hand-overs.md");

/// Writes new figures between the marks of a part; what stands around them is written by hand.
pub fn replace_hand_overs(part: &str, asked: &Arguments, table: &str, machine: &str) -> Result<()> {
    let page = std::fs::read_to_string(HAND_OVERS).map_err(LabError::io(format!("reading {HAND_OVERS}")))?;
    let rounds = if asked.rounds == 1 { "once".to_owned() } else { format!("{} times", asked.rounds) };
    let machine = machine.trim_end();
    let figures = format!("{machine}\n{} s for each figure, {rounds}; seed {}.\n", asked.seconds, asked.seed);
    let missing = || LabError::Unexpected {
        expected: format!("the marks of {part} in {HAND_OVERS}"),
        got: "none".into(),
    };
    let text = replace_part(&page, part, &format!("{figures}\n{}\n", table.trim())).ok_or_else(missing)?;
    std::fs::write(HAND_OVERS, text).map_err(LabError::io(format!("writing {HAND_OVERS}")))
}

fn replace_part(page: &str, part: &str, text: &str) -> Option<String> {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {part}: {edge} -->\n"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

fn section(measure: Measure, asked: &Arguments, samples: &[&Sample]) -> String {
    let mut out = format!(
        "\n## {}\n\n{}; down: loss each way, across: round trip\n\n|",
        measure.name(),
        measure.unit()
    );
    for delay in &asked.delay {
        out += &format!(" | {delay} ms");
    }
    out += &format!(" |\n|---|{}\n", "---|".repeat(asked.delay.len()));
    for loss in &asked.loss {
        out += &format!("| {loss} %");
        for delay in &asked.delay {
            let here = samples.iter().find(|sample| sample.cell.loss == *loss && sample.cell.delay == *delay);
            out += &format!(" | {}", here.map_or(String::new(), |sample| cell(sample)));
        }
        out += " |\n";
    }
    out
}

fn cell(sample: &Sample) -> String {
    let [relayed, plain, ratio] = table::figures(sample);
    let notes = match table::notes(sample) {
        notes if notes.is_empty() => notes,
        notes => format!("; {notes}"),
    };
    format!("{relayed} / {plain} (**{ratio}**){notes}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const PAGE: &str = include_str!("../../../docs/participating.md");

    #[test]
    fn a_part_is_replaced_and_nothing_else() {
        let page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let new = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n";
        assert_eq!(replace_part(page, "x", "new\n").as_deref(), Some(new));
        assert_eq!(replace_part(page, "y", "new\n"), None);
    }

    #[test]
    fn the_page_of_hand_overs_has_both_parts() {
        let page = include_str!("../../../docs/hand-overs.md");
        for part in ["applications", "moments"] {
            assert!(replace_part(page, part, "").is_some(), "{part}");
        }
    }

    #[test]
    fn what_is_written_by_hand_is_on_the_page_and_stays_there() {
        let written = markdown(&Arguments::parse_from(["lab"]), &[], "a machine\n");
        for page in [PAGE, &written] {
            assert!(page.starts_with(INTRODUCTION) && page.ends_with(REPEATED), "{page}");
        }
    }
}
