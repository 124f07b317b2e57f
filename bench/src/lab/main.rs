//! Applications over paths that lose and delay: through the participating path, and through the same ports and cables
//! with plain forwarding, by turns.
//!
//! Two namespaces with Linux's TCP, the appliance between them with impaired cables (`dataplane::port::impaired`), and one
//! server address for each of the two ways through it: connections to the first are relayed and never merged, those to the
//! second are bypassed. Everything happens in namespaces that end with the process.
//!
//! `--hand-overs` runs the same applications while their flows change hands at random, beside the same left alone;
//! `--moments` watches one connection closely while it does.

mod cell;
mod document;
mod hand_overs;
mod machine;
mod measure;
mod moments;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use control::lab::{Entered, Isolated, Lab, LabError, Output, Reexec, Result};

use cell::{Cell, Sample};
use measure::{App, Hosts};

/// What a matrix may take; a subset takes a part of it.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// Where the table belongs.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/participating.md");

#[derive(Parser, Debug)]
#[command(
    name = "./dev lab",
    about = "Applications over lossy and long paths, relayed (never merged) beside plain forwarding",
    after_help = "\
  --hand-overs and --moments take the same options. Examples:
    ./dev lab --apps curl,ssh --loss 1 --delay 10,100
    ./dev lab --hand-overs --loss 0,1 --delay 0,10 --write
    ./dev lab --moments --loss 0 --delay 0,10,50 --seconds 15 --rounds 3 --write"
)]
struct Arguments {
    /// What to run
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = App::ALL)]
    apps: Vec<App>,
    /// Frames lost from host to host, each way, percent
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.1, 1.0, 5.0], value_parser = percent)]
    loss: Vec<f64>,
    /// Delay there and back, milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [0, 10, 100], value_parser = clap::value_parser!(u64).range(0..=4000))]
    delay: Vec<u64>,
    /// What each application gets to work, both ways through the appliance each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often each is repeated; the mean counts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Over IPv6
    #[arg(long)]
    ipv6: bool,
    /// Where the cables' random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Flows that are split and merged at random, beside the same left alone, on IPv4 and IPv6
    #[arg(long, conflicts_with = "moments")]
    hand_overs: bool,
    /// One bulk connection, as its ends see it while it is handed over: in motion, drained, and left alone
    #[arg(long)]
    moments: bool,
    /// Write docs/participating.md; with --hand-overs and --moments, their part of docs/hand-overs.md
    #[arg(long)]
    write: bool,
    /// The appliance; the `quadrille` beside this program unless said
    #[arg(long, value_name = "PROGRAM")]
    quadrille: Option<PathBuf>,
}

fn percent(text: &str) -> std::result::Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=50.0).contains(&percent) { Ok(percent) } else { Err("possible: 0 to 50".into()) }
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("./dev lab: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Whether every measurement succeeded.
fn run(arguments: &Arguments) -> Result<bool> {
    let again = std::env::args_os().skip(1).collect();
    match Isolated::enter_or_reexec(&Reexec { arguments: again, timeout: DEADLINE, output: Output::Shown })? {
        Entered::Inside(isolated) => inside(arguments, isolated),
        Entered::Finished(finished) => Ok(finished.success()),
    }
}

fn inside(arguments: &Arguments, isolated: Isolated) -> Result<bool> {
    let quadrille = match &arguments.quadrille {
        Some(given) => given.clone(),
        None => std::env::current_exe()
            .map_err(LabError::io("finding the own program"))?
            .with_file_name("quadrille"),
    };
    let load = machine::load();
    let lab = Lab::builder(isolated, quadrille).build()?;
    if arguments.hand_overs || arguments.moments {
        return of_hand_overs(arguments, &lab, &load);
    }
    let hosts = Hosts::start(&lab, &arguments.apps, arguments.ipv6)?;
    let started = Instant::now();
    let cells: Vec<Cell> = arguments
        .loss
        .iter()
        .flat_map(|loss| arguments.delay.iter().map(|delay| Cell { loss: *loss, delay: *delay }))
        .collect();
    let mut samples: Vec<Sample> = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let so_far = started.elapsed().as_secs();
        say(&format!("── {cell}, {} of {}, {so_far} s so far", index + 1, cells.len()));
        cell.run(&lab, &hosts, arguments, &mut samples)?;
    }
    let machine = machine::describe(&load);
    println!("{}", table::text(&samples));
    println!("{machine}took {} s", started.elapsed().as_secs());
    if arguments.write {
        let text = document::markdown(arguments, &samples, &machine);
        std::fs::write(DOCUMENT, text).map_err(LabError::io(format!("writing {DOCUMENT}")))?;
        println!("docs/participating.md is written");
    }
    let failed: Vec<&Sample> = samples.iter().filter(|sample| sample.failure().is_some()).collect();
    for sample in &failed {
        println!(
            "failed: {}, {}: {}",
            sample.cell,
            sample.measure.name(),
            sample.failure().unwrap_or_default()
        );
    }
    Ok(failed.is_empty())
}

/// The two kinds of measurement of which `docs/hand-overs.md` tells.
fn of_hand_overs(arguments: &Arguments, lab: &Lab, load: &str) -> Result<bool> {
    let started = Instant::now();
    let hosts = |apps: &[App]| Hosts::start(lab, apps, arguments.ipv6);
    let (part, (table, all_well)) = if arguments.moments {
        // Prepares both hosts like any measurement, and starts nothing.
        hosts(&[])?;
        ("moments", (moments::run(lab, arguments)?, true))
    } else {
        ("applications", hand_overs::run(lab, &hosts(&arguments.apps)?, arguments)?)
    };
    let machine = machine::describe(load);
    println!("{table}\n{machine}took {} s", started.elapsed().as_secs());
    if arguments.write {
        document::replace_hand_overs(part, arguments, &table, &machine)?;
        println!("docs/hand-overs.md has them now");
    }
    Ok(all_well)
}

/// Progress, on standard error.
fn say(line: &str) {
    // Nobody reads it when it cannot be written.
    let _ = writeln!(std::io::stderr(), "{line}");
}
