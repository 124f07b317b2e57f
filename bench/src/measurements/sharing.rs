//! Whether workers share a cache line that anybody writes: every load and store of two workers and a control core, traced by
//! valgrind's lackey while flows that are cut through are carried.

mod parties;
mod trace;

use std::io::{BufReader, Seek};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::race::Spread;
use crate::suite::{Finding, Measurement, Row, Run};
use crate::tallies::Tallies;
use trace::Lines;

pub use parties::carry_out;

pub const MEASUREMENT: Measurement = Measurement {
    name: "sharing",
    about: "Cache lines that a worker writes on the packet path and somebody else touches",
    budget: "none",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "Two workers and a control core, a thread each, made as the appliance makes them: lines, rings, reports and heartbeat by \
    one thread, tables by each worker's own. Their ports are in memory: what a device's queue or DPDK's pool shares is not in it, nor are \
    orders and events, which are meant to be shared, nor whoever reads the published counters. Each has its rounds while the others sleep, and valgrind's lackey tells of every load and \
    store: 16 flows a worker, cut through, eight frames of each port a round, housekeeping and the publishing of counters among them. A line of 64 \
    bytes is shared when one of them writes it and another one reads or writes it. *Together* is the same with a mistake: both workers' \
    ports count their bursts on one line, which has to be found.";

/// Of two workers and a control core.
fn trace(tallies: Tallies) -> anyhow::Result<Lines> {
    let name = match tallies {
        Tallies::Apart => "apart",
        Tallies::Together => "together",
    };
    // A pipe wakes its reader, on this very core, at each of seven million lines: in an emulated machine that was more than half an
    // hour.
    let mut output = tempfile::tempfile().context("no temporary file can be made")?;
    let status = Command::new("valgrind")
        .args(["--tool=lackey", "--trace-mem=yes", "--fair-sched=yes"])
        .arg(std::env::current_exe()?)
        .args(["--trace", name])
        .stderr(output.try_clone()?)
        .status()
        .context("valgrind cannot be run (Debian: apt install valgrind)")?;
    output.rewind()?;
    let lines = Lines::read(BufReader::with_capacity(1 << 20, output))?;
    ensure!(status.success(), "valgrind, or what it runs, has failed");
    let (seen, all) = (lines.turns(), parties::ALL_TURNS);
    ensure!(
        seen == all,
        "{seen} of {all} turns were traced: is there room in {}?",
        std::env::temp_dir().display()
    );
    Ok(lines)
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns =
        ["lines written by a worker", "of these, shared", "written by the control core, read by workers"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let mut found = |case: &str, tallies| -> anyhow::Result<Lines> {
        run.say(case);
        let lines = run.wait_for(|| trace(tallies))?;
        ensure!(lines.written_by_workers() > 0, "nothing was traced");
        let counts = [lines.written_by_workers(), lines.shared().len(), lines.told_by_core()];
        let values = counts.map(|n| Some(Spread::of([n as f64]))).into();
        finding.rows.push(Row { case: case.into(), values });
        Ok(lines)
    };
    let shared = found("as it is", Tallies::Apart)?.shared();
    let mistaken = found("counters of both together", Tallies::Together)?.shared();
    ensure!(shared.is_empty(), "lines that a worker writes and somebody else touches: {}", shared.join(", "));
    ensure!(mistaken.len() == 1, "one line that both write was put there, found: {}", mistaken.join(", "));
    Ok(finding)
}
