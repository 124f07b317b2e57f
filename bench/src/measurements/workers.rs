//! What a second worker adds: two of them at once, on a core each, beside loops that cannot have anything in common.

mod crew;

use crate::carried::cut_through;
use crate::forwarder::{Forwarder, MacSwap, MacSwapAndLines, Nothing, Tallied};
use crate::generator::Generator;
use crate::machine;
use crate::race::Spread;
use crate::suite::{Finding, Measurement, Row, Run};
use crate::tallies::Tallies;
use crate::traffic::{Family, Traffic};
use crew::{Contenders, Crew, Times};

pub const MEASUREMENT: Measurement = Measurement {
    name: "workers",
    about: "Two workers at once, each with its own core, ports and table, beside one",
    budget: "linear in a lab; here what is shared (`sharing`), and the worker beside loops that share nothing, reported",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "A contender runs on one core, then the same on two cores at once, each with memory of its own; then the next one, sample \
    after sample. *Growth* is the two rates together by the one, the port's cost, measured in the same way, subtracted from all: 2 is \
    linear. *Limit B* (MAC swap and four lines of as much memory as the table takes) has nothing in common with its neighbour: what its \
    growth lacks, the machine takes (its memory, its hypervisor, and that two cores of a virtual machine may be threads of one, which it is \
    not told), and nobody who touches as many lines has more. *Counters*: MAC swap and a counter that \
    each thread writes for every frame, on lines of their own, and both on one line, which is what a shared line looks like. Nanoseconds a \
    frame of processor time of each thread; 64-byte frames, deltas not 0.";

/// Frames of each thread, contender and sample.
const FRAMES: usize = 200_000;
const DELTA: i32 = 1_000_003;
const LINES: usize = 4;

const CASES: [&str; 5] = ["port", "limit B", "worker", "counters apart", "counters together"];
const PORT: usize = 0;

/// By [`CASES`].
fn contenders(flows: u32, thread: usize) -> Contenders {
    let traffic = Traffic::shortest(flows);
    let ports = || Generator::pair(&traffic);
    let tallied =
        |tallies: Tallies| Box::new(Forwarder::start(ports(), Tallied(MacSwap, tallies.of(thread))));
    let lines = MacSwapAndLines::<LINES>::new(flows, Family::V4);
    vec![
        Box::new(Forwarder::start(ports(), Nothing)),
        Box::new(Forwarder::start(ports(), lines)),
        Box::new(cut_through(&traffic, DELTA)),
        tallied(Tallies::Apart),
        tallied(Tallies::Together),
    ]
}

/// Frames a nanosecond of all threads, the port's share of each one's time subtracted.
fn rate(times: &[f64], ports: &[f64]) -> f64 {
    times.iter().zip(ports).map(|(time, port)| 1.0 / (time - port)).sum()
}

/// Of one contender in one sample: alone, each of both, growth.
fn figures(sample: &[Times], case: usize) -> [f64; 3] {
    let (Times { alone, both }, port) = (&sample[case], &sample[PORT]);
    if case == PORT {
        let mean = both.iter().sum::<f64>() / both.len() as f64;
        return [*alone, mean, rate(both, &[0.0; 2]) * alone];
    }
    let together = rate(both, &port.both);
    let alone = alone - port.alone;
    [alone, both.len() as f64 / together, together * alone]
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["one, ns", "each of two, ns", "growth"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    if machine::cores() < 2 {
        let case =
            "not measured: two workers want two cores; allow this process a second one (`taskset`)".into();
        finding.rows.push(Row { case, values: vec![None; 3] });
        return Ok(finding);
    }
    let mut least = 1.0_f64;
    for flows in [1000, 1_000_000] {
        run.say(format!("{flows} flows"));
        let length = run.length(FRAMES);
        let (samples, share) = run.wait_for(|| {
            let crew = Crew::start(move |thread| contenders(flows, thread));
            crew.sample(CASES.len(), length.units);
            let samples: Vec<_> =
                (0..length.samples).map(|_| crew.sample(CASES.len(), length.units)).collect();
            (samples, crew.share())
        });
        least = least.min(share);
        for (case, name) in CASES.into_iter().enumerate() {
            let figures = samples.iter().map(|sample| figures(sample, case));
            let spread = |column: usize| Some(Spread::of(figures.clone().map(|figures| figures[column])));
            let values = (0..3).map(spread).collect();
            finding.rows.push(Row { case: format!("{flows} flows, {name}"), values });
        }
    }
    if least < machine::QUIET_SHARE {
        let share = least * 100.0;
        let complaint =
            format!("a thread had {share:.0} % of its core, and the other one ran alone meanwhile");
        finding.how.push_str(&format!("\n\n**Do not trust these figures: {complaint}.**"));
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_do_not_slow_each_other_are_twice_as_fast() {
        let port = Times { alone: 5.0, both: [5.0; 2] };
        let sample = [port, Times { alone: 15.0, both: [15.0; 2] }, Times { alone: 15.0, both: [25.0; 2] }];
        assert_eq!(figures(&sample, 1), [10.0, 10.0, 2.0]);
        assert_eq!(figures(&sample, 2), [10.0, 20.0, 1.0]);
    }

    #[test]
    fn every_contender_runs_alone_and_beside_itself() {
        let crew = Crew::start(|thread| contenders(10, thread));
        let sample = crew.sample(CASES.len(), 1000);
        assert!(sample.iter().all(|times| times.alone > 0.0 && times.both.iter().all(|time| *time > 0.0)));
    }
}
