//! How far the worker's cut-through path is from what its port allows, and what rules cost a SYN, and an inspection a
//! segment.
//!
//! One thread, generator ports, no DPDK. Each sample runs all contenders one after the other, and
//! only ratios within a sample count: this is as good as figures get on a machine that is shared.

mod cut_through;
mod generator;
mod inspect;
mod mac_swap;
mod rules;
mod worker;

use std::time::Instant;

use clap::Parser;

/// Frames per contender and sample.
const FRAMES: u64 = 400_000;

#[derive(Parser)]
#[command(
    about = "Cut-through against mac-swap, and SYNs under many rules against few, and inspection against none, as ratios in one interleaved run"
)]
struct Arguments {
    /// Flows to spread the frames over.
    #[arg(long, default_values_t = [1_000, 100_000, 1_000_000])]
    flows: Vec<u32>,
    /// Samples; the median counts.
    #[arg(long, default_value_t = 9)]
    samples: usize,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Frames of flows that are cut through, against mac-swap.
    CutThrough,
    /// SYNs under many rules, against few.
    Rules,
    /// Segments with an inspection, against none.
    Inspect,
}

/// Something that takes bursts from one port and gives them to the other.
trait Contender {
    /// One burst in each direction. Returns the frames moved.
    fn round(&mut self) -> usize;
}

/// Nanoseconds a frame.
fn measure(contender: &mut dyn Contender) -> f64 {
    let start = Instant::now();
    let mut frames = 0;
    while frames < FRAMES {
        frames += contender.round() as u64;
    }
    start.elapsed().as_nanos() as f64 / frames as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments = Arguments::parse();
    let samples = arguments.samples.max(1);
    let is_asked = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    if is_asked(Part::CutThrough) {
        cut_through(&arguments);
        println!();
    }
    if is_asked(Part::Rules) {
        rules::report(samples);
    }
    if is_asked(Part::Inspect) {
        inspect::report(samples);
    }
}

fn cut_through(arguments: &Arguments) {
    println!("64-byte IPv4 frames, one thread, in-memory ports; ns a frame, the port's own work included");
    println!(
        "{:>10} {:>10} {:>10} {:>12} {:>14}  of mac-swap's rate, median (lowest to highest)",
        "flows", "mac-swap", "delta 0", "delta not 0", ""
    );
    for &flows in &arguments.flows {
        let mut swap = mac_swap::MacSwap::new(flows);
        let mut zero = cut_through::cut_through(flows, 0);
        let mut rewriting = cut_through::cut_through(flows, 1_000_003);
        let mut samples: [Vec<f64>; 3] = Default::default();
        let mut ratios = Vec::new();
        for _ in 0..arguments.samples.max(1) {
            let now = [&mut swap as &mut dyn Contender, &mut zero, &mut rewriting].map(measure);
            ratios.push(now[0] / now[2]);
            samples.iter_mut().zip(now).for_each(|(all, one)| all.push(one));
        }
        let [swap, zero, rewriting] = samples.map(median);
        let (low, high) = ratios.iter().fold((f64::MAX, 0f64), |(l, h), r| (l.min(*r), h.max(*r)));
        let middle = median(ratios);
        println!(
            "{flows:>10} {swap:>10.1} {zero:>10.1} {rewriting:>12.1} {middle:>14.2}  ({low:.2} to {high:.2})"
        );
    }
}
