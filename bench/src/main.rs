//! The budgets of DESIGN section 10, as ratios to limits and peers that are measured in the same run, interleaved.
//!
//! Most is one thread without DPDK: worker, control core and generator would need three cores, so the generator sits inside the
//! port's receive call and its cost, measured alone, is subtracted. `measurements/` has a file for each figure, `suite.rs` is what they
//! share.

mod carried;
mod core;
mod forwarder;
mod frame;
mod generator;
mod hardware;
mod machine;
mod measurements;
mod pooled;
mod race;
mod results;
mod series;
mod suite;
mod tallies;
mod traffic;
mod turns;
mod worker;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;

use series::Series;
use suite::Measurement;

#[derive(Parser)]
#[command(about = "Quadrille's speed, as ratios to limits and peers that are measured in the same run")]
struct Arguments {
    /// How thorough to be.
    #[arg(value_enum, default_value = "short")]
    extent: Extent,
    /// Only these measurements.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// What there is, and what each is about.
    #[arg(long)]
    list: bool,
    /// Samples of each contender; the median counts. 9 in a short run, 25 in a full one, fewer of what takes long.
    #[arg(long)]
    samples: Option<usize>,
    /// Where JSON, charts and the page go.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
    /// Print only.
    #[arg(long)]
    dry: bool,
    /// What the machine is, for one measurement of several: as it was before the first.
    #[arg(long, hide = true, value_parser = machine::read)]
    machine: Option<machine::Facts>,
    /// What valgrind runs.
    #[arg(long, hide = true)]
    count: Option<measurements::instructions::Count>,
    /// What a process of its own does.
    #[arg(long, hide = true)]
    install: Option<measurements::memory::Install>,
    /// What a process in a lab does.
    #[arg(long, hide = true)]
    peers: Option<measurements::peers::Part>,
    /// And another one.
    #[cfg(feature = "dpdk")]
    #[arg(long, hide = true)]
    limit_a: Option<measurements::limit_a::Part>,
    /// What lackey traces.
    #[arg(long, hide = true)]
    trace: Option<tallies::Tallies>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Extent {
    /// Some minutes.
    Short,
    /// Everything, with more samples.
    Full,
    /// Instructions a frame and nothing else: `--only instructions`.
    Instructions,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    if let Some(count) = &arguments.count {
        count.carry_out();
        return Ok(());
    }
    if let Some(install) = arguments.install {
        return install.carry_out();
    }
    #[cfg(feature = "dpdk")]
    if let Some(part) = arguments.limit_a {
        return part.carry_out();
    }
    if let Some(part) = arguments.peers {
        return part.carry_out();
    }
    if let Some(tallies) = arguments.trace {
        measurements::sharing::carry_out(tallies);
        return Ok(());
    }
    if arguments.extent == Extent::Instructions {
        arguments.only.push(measurements::instructions::MEASUREMENT.name.to_owned());
    }
    if arguments.list {
        for measurement in measurements::ALL {
            let only_full = if measurement.only_full { " (full run)" } else { "" };
            println!("{:<14} {}{only_full}", measurement.name, measurement.about);
        }
        return Ok(());
    }
    let chosen = chosen(&arguments)?;
    match chosen[..] {
        [measurement] => take(measurement, &arguments),
        _ => take_all(&chosen, &arguments),
    }
}

/// One, in this process.
fn take(measurement: &Measurement, arguments: &Arguments) -> anyhow::Result<()> {
    let machine = arguments.machine.clone().unwrap_or_else(announced);
    if !machine::pin() {
        eprintln!("this thread could not be pinned to a core");
    }
    let record = measurement
        .take(arguments.extent == Extent::Full, arguments.samples, &machine)
        .with_context(|| format!("{} is not measured", measurement.name))?;
    results::print(&record);
    if !arguments.dry {
        results::write(&arguments.results, &record)?;
    }
    Ok(())
}

/// Several.
fn take_all(chosen: &[&'static Measurement], arguments: &Arguments) -> anyhow::Result<()> {
    let series = Series {
        chosen,
        is_full: arguments.extent == Extent::Full,
        samples: arguments.samples,
        past: &results::past(&arguments.results),
        machine: &announced(),
    };
    let extent = if series.is_full { "full" } else { "short" };
    let results = arguments.results.to_str().context("--results: a path that is no text")?;
    let mut each = vec![extent.to_owned(), "--results".to_owned(), results.to_owned()];
    each.extend(arguments.samples.map(|samples| format!("--samples={samples}")));
    each.extend(arguments.dry.then(|| "--dry".to_owned()));
    series.take(&each)
}

/// What the machine is, which is said before anything is measured.
fn announced() -> machine::Facts {
    let facts = machine::facts();
    let words: Vec<String> = facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
    eprintln!("{}", words.join("; "));
    facts
}

/// Those that are named, or all of the extent.
fn chosen(arguments: &Arguments) -> anyhow::Result<Vec<&'static Measurement>> {
    let all = measurements::ALL;
    let find = |name: &String| all.iter().find(|measurement| measurement.name == name);
    if let Some(unknown) = arguments.only.iter().find(|name| find(name).is_none()) {
        bail!("{unknown}: no such measurement; `./dev bench --list` names them");
    }
    let is_asked = |measurement: &&Measurement| match arguments.only.is_empty() {
        true => arguments.extent == Extent::Full || !measurement.only_full,
        false => arguments.only.iter().any(|name| name == measurement.name),
    };
    Ok(all.iter().filter(is_asked).collect())
}
