//! What more workers add: as many at once as there are cores, beside loops that cannot have anything in common.

mod crew;

use crate::carried;
use crate::forwarder::{Forwarder, MacSwap, MacSwapAndLines, Nothing, Tallied};
use crate::generator::Generator;
use crate::machine;
use crate::race::Spread;
use crate::suite::{Chart, Finding, Measurement, Row, Run, Series};
use crate::tallies::Tallies;
use crate::traffic::{Family, Traffic};
use crate::worker::Beside;

use super::connections::cycle::{Connections, Cycle};
use super::cut_through;
use super::growth::short;
use super::rules::held::Held;
use super::rules::syns::{Syns, Wire};
use crew::{Contenders, Crew, Times};

pub const MEASUREMENT: Measurement = Measurement {
    name: "workers",
    about: "Workers at once, each with its own core, ports and table, beside one",
    budget: "linear in a lab; here what is shared (`sharing`), and the worker beside loops that share nothing, reported",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "A contender runs on one core, then the same on two cores at once (four, eight, sixteen, where there are as many), each \
    with memory of its own; then the next one, sample after sample. No thread is without a core, so two cores end it with two. *Growth* is \
    all rates together by the one, the port's cost, measured in the same way, subtracted from all: 2 is \
    linear. *Limit B* (MAC swap and a line each of as much memory as objects and index take) has nothing in common with its neighbour: what its \
    growth lacks, the machine takes (its memory, its hypervisor, and that two cores of a virtual machine may be threads of one, which it is \
    not told), and nobody who touches as many lines has more. *Counters*: MAC swap and a counter that \
    each thread writes for every frame, on lines of their own, and up to eight threads' on one line, which is what a shared line looks like. \
    64-byte frames, deltas not 0. *New flows*: SYNs as in `flood`, connections as in `connections`, 1024 at once; each thread is a worker and \
    a control core of its own, in turns, which is how control cores are sharded. A worker and one control core on a core each are \
    in `migration`. Nanoseconds of processor time of each thread for a frame, a SYN, a connection.";

/// Of each thread, contender and sample.
const FRAMES: usize = 200_000;
const SYNS: usize = 100_000;
const CONNECTIONS: usize = 10_000;
const DELTA: i32 = 1_000_003;
/// Different SYNs of a thread.
const QUADS: u32 = 1 << 15;
/// Threads at once: the first is what the others are compared with.
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

/// What runs at once.
struct Case {
    name: &'static str,
    /// Whose time is in it and does not count, by its place.
    port: Option<usize>,
    units: usize,
}

const fn case(name: &'static str, port: Option<usize>, units: usize) -> Case {
    Case { name, port, units }
}

/// In the order of [`carrying`].
const CARRYING: [Case; 5] = [
    case("port", None, FRAMES),
    case("limit B", Some(0), FRAMES),
    case("worker", Some(0), FRAMES),
    case("counters apart", Some(0), FRAMES),
    case("counters together", Some(0), FRAMES),
];

/// In the order of [`opening`].
const OPENING: [Case; 4] = [
    case("port of SYNs", None, SYNS),
    case("SYNs offered", Some(0), SYNS),
    case("SYNs held", Some(0), SYNS),
    case("connections", None, CONNECTIONS),
];

/// Of frames that are cut through.
fn carrying(flows: u32, thread: usize) -> Contenders {
    let traffic = Traffic::shortest(flows);
    let ports = || Generator::pair(&traffic);
    let tallied =
        |tallies: Tallies| Box::new(Forwarder::start(ports(), Tallied(MacSwap, tallies.of(thread))));
    let lines = MacSwapAndLines::<{ cut_through::LINES }>::new(flows, Family::V4);
    vec![
        Box::new(Forwarder::start(ports(), Nothing)),
        Box::new(Forwarder::start(ports(), lines)),
        Box::new(carried::cut_through(&traffic, DELTA)),
        tallied(Tallies::Apart),
        tallied(Tallies::Together),
    ]
}

/// Of flows that begin: each thread is a worker with a control core of its own, in turns.
fn opening(thread: usize) -> Contenders {
    let first = QUADS * thread as u32;
    let mut quads: Vec<_> = (first..first + QUADS).map(|n| Family::V4.quad(n)).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut quads);
    let beside = Beside::nothing();
    vec![
        Box::new(Wire::new(&quads)),
        Box::new(Syns::new(&beside, &quads)),
        Box::new(Held::new(&beside, &quads)),
        Box::new(Connections(Cycle::at_once(Family::V4, 1024))),
    ]
}

/// Units a nanosecond of all threads, the port's share of each one's time subtracted.
fn rate(times: &[f64], ports: Option<&Vec<f64>>) -> f64 {
    let port = |thread: usize| ports.map_or(0.0, |ports| ports[thread]);
    times.iter().enumerate().map(|(thread, time)| 1.0 / (time - port(thread))).sum()
}

/// Of one contender in one sample, for a number of threads by its place in [`THREADS`]: what each takes, and how much more all do
/// than one alone.
fn figures(sample: &[Times], port: Option<usize>, case: usize, step: usize) -> [f64; 2] {
    let rate = |step: usize| rate(&sample[case][step], port.map(|port| &sample[port][step]));
    let all = rate(step);
    [THREADS[step] as f64 / all, all / rate(0)]
}

/// The table of some contenders, and the chart's lines.
struct Table {
    finding: Finding,
    threads: Vec<usize>,
    series: Vec<Series>,
    /// The least that threads had of their cores.
    share: f64,
}

impl Table {
    /// As far as this machine's cores go.
    fn new(cores: usize) -> Table {
        let threads: Vec<usize> = THREADS.into_iter().filter(|threads| *threads <= cores).collect();
        let columns =
            threads[1..].iter().flat_map(|threads| [format!("each of {threads}, ns"), "growth".into()]);
        let columns = ["one, ns".to_owned()].into_iter().chain(columns).collect();
        let finding = Finding { how: HOW.into(), columns, ..Finding::default() };
        Table { finding, threads, series: Vec::new(), share: 1.0 }
    }

    fn add(
        &mut self,
        run: &mut Run,
        what: &str,
        cases: &[Case],
        contenders: impl Fn(usize) -> Contenders + Clone + Send + 'static,
    ) {
        run.say(what);
        let threads = self.threads.clone();
        let most = threads.last().copied().unwrap_or(1);
        let units: Vec<usize> = cases.iter().map(|case| run.length(case.units).units).collect();
        let count = run.samples;
        let (samples, share) = run.wait_for(|| {
            let crew = Crew::start(most, contenders);
            crew.sample(&threads, &units);
            let samples: Vec<_> = (0..count).map(|_| crew.sample(&threads, &units)).collect();
            (samples, crew.share())
        });
        self.share = self.share.min(share);
        for (at, Case { name, port, .. }) in cases.iter().enumerate() {
            let spread = |step: usize, column: usize| {
                Spread::of(samples.iter().map(|sample| figures(sample, *port, at, step)[column]))
            };
            let steps = 1..threads.len();
            let more = steps.flat_map(|step| [spread(step, 0), spread(step, 1)]);
            let values = [spread(0, 0)].into_iter().chain(more).map(Some).collect();
            let case = format!("{what}, {name}");
            let points = threads.iter().enumerate().map(|(step, threads)| (*threads as f64, spread(step, 1)));
            self.series.push(Series { name: case.clone(), points: points.collect() });
            self.finding.rows.push(Row { case, values });
        }
    }

    fn finish(mut self) -> Finding {
        let is_ours = |series: &Series| {
            ["limit B", "worker", "SYNs held", "connections"].iter().any(|name| series.name.ends_with(name))
        };
        self.series.retain(is_ours);
        self.finding.chart = Some(Chart {
            title: "Several workers at once, by one".into(),
            x: "workers, a core each".into(),
            y: "all together, by one alone".into(),
            series: self.series,
        });
        if self.share < machine::QUIET_SHARE {
            let share = self.share * 100.0;
            let complaint = format!("a thread had {share:.0} % of its core, and others ran alone meanwhile");
            self.finding.how.push_str(&format!("\n\n**Do not trust these figures: {complaint}.**"));
        }
        self.finding
    }
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let cores = machine::cores();
    let mut table = Table::new(cores);
    if cores < 2 {
        let case =
            "not measured: two workers want two cores; allow this process a second one (`taskset`)".into();
        table.finding.rows.push(Row { case, values: vec![None] });
        return Ok(table.finding);
    }
    for flows in [1000, 1_000_000] {
        let what = format!("{} flows", short(flows));
        table.add(run, &what, &CARRYING, move |thread| carrying(flows, thread));
    }
    table.add(run, "new flows", &OPENING, opening);
    Ok(table.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_do_not_slow_each_other_are_twice_as_fast() {
        let port: Times = vec![vec![5.0], vec![5.0; 2]];
        let sample = [port, vec![vec![15.0], vec![15.0; 2]], vec![vec![15.0], vec![25.0; 2]]];
        assert_eq!(figures(&sample, Some(0), 1, 1), [10.0, 2.0]);
        assert_eq!(figures(&sample, Some(0), 2, 1), [20.0, 1.0]);
        assert_eq!(figures(&sample, None, 2, 1), [25.0, 1.2]);
    }

    #[test]
    fn every_contender_runs_alone_and_beside_itself() {
        let carrying = Crew::start(3, |thread| carrying(10, thread));
        let opening = Crew::start(2, opening);
        let samples = [carrying.sample(&[1, 3], &[1000; 5]), opening.sample(&[1, 2], &[1000; 4])];
        for sample in samples {
            assert!(sample.iter().flatten().flatten().all(|time| *time > 0.0), "{sample:?}");
        }
    }
}
