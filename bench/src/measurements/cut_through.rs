//! Frames of flows that are cut through, against the least that a forwarder can do.

use crate::carried::cut_through;
use crate::forwarder::{Forwarder, MacSwap, MacSwapAndLines, Nothing};
use crate::generator::Generator;
use crate::hardware::{Counted, Counters};
use crate::machine;
use crate::race::{Contender, Samples, Spread, race};
use crate::suite::{Chart, Demand, Finding, Gate, Measurement, Row, Run, Series};
use crate::traffic::{Family, Options, Traffic, Turns};

pub const MEASUREMENT: Measurement = Measurement {
    name: "cut-through",
    about: "Frames of flows that are cut through, against MAC swap, and against MAC swap and lines of memory",
    budget: "at least 0.75 of limit B at 1 M and at 10 M flows",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "One thread, ports in memory whose receive call makes the frames; the port's own cost, measured alone in each \
    sample, is subtracted from everything. *Limit B* swaps MAC addresses and reads and writes one line of as much memory as the \
    flows' objects take, or as many lines as the worker touches for a frame (*all lines*: one more of as much as the index takes, and, of \
    IPv6, one of as much as the addresses), all asked for a burst ahead, in huge pages where the table's are. *Of limit B* is its time by the \
    worker's; *with the port* is the same with the port's cost left in both, which is as cheap as a port can be. Deltas are not 0 \
    but where it says so. Frame lengths include the FCS. Nanoseconds a frame. *Cycles*, \
    *instructions* and *misses* of the last cache are what the processor counts, the port's share subtracted, taken once; where it has no such counters, or this process \
    may not ask them (`kernel.perf_event_paranoid` above 2), cycles are those of the clock that /proc/cpuinfo names, which under a hypervisor is the time stamp \
    counter's, and the others are not known: `instructions` has callgrind's count.";

/// Frames of each contender and sample.
const FRAMES: usize = 200_000;
const DELTA: i32 = 1_000_003;

const GENERATOR: usize = 0;
const SWAP: usize = 1;
const LIMIT_B: usize = 2;
const LIMIT_B_LINES: usize = 3;
const WORKER: usize = 4;
/// Lines that the worker touches for a frame: a bucket of the index, the object.
pub const LINES: usize = 2;
/// The addresses too.
const LINES_V6: usize = 3;

struct Case {
    traffic: Traffic,
    delta: i32,
}

impl Case {
    fn name(&self) -> String {
        let Traffic { flows, turns, family, options, wire, quads: _ } = self.traffic;
        let flows = match flows {
            1_000_000.. => format!("{} M", flows / 1_000_000),
            _ => format!("{} k", flows / 1000),
        };
        let delta = if self.delta == 0 { ", deltas 0" } else { "" };
        let options = match options {
            Options::None => "",
            Options::Timestamps => ", timestamps",
            Options::Sack => ", SACK",
        };
        // What the headers take is more than the shortest frame has.
        let shortest = self.traffic.segment(false).len() + crate::traffic::FCS;
        format!("{flows} flows, {turns}, {family}, {} bytes{options}{delta}", wire.max(shortest))
    }
}

impl Case {
    /// Differs from others in nothing but flows and turns.
    fn is_of_growth(&self) -> bool {
        let Traffic { flows, turns, .. } = self.traffic;
        self.traffic == (Traffic { turns, ..Traffic::shortest(flows) }) && self.delta == DELTA
    }
}

/// Growth with flows; then one thing after the other that differs.
fn cases(is_full: bool) -> Vec<Case> {
    let flows: &[u32] = match is_full {
        true => &[1000, 10_000, 100_000, 1_000_000, 10_000_000],
        false => &[1000, 100_000, 1_000_000],
    };
    let base = Traffic::shortest;
    let both = |traffic: Traffic| [Turns::Uniform, Turns::Zipf].map(|turns| Traffic { turns, ..traffic });
    let mut all: Vec<Case> = flows
        .iter()
        .flat_map(|flows| both(base(*flows)))
        .map(|traffic| Case { traffic, delta: DELTA })
        .collect();
    let few_and_many = [1000, 1_000_000];
    for flows in few_and_many {
        let traffic = base(flows);
        all.push(Case { traffic, delta: 0 });
        let v6 = Traffic { family: Family::V6, ..traffic };
        all.push(Case { traffic: v6, delta: DELTA });
        all.push(Case { traffic: v6, delta: 0 });
        for options in [Options::Timestamps, Options::Sack] {
            all.push(Case { traffic: Traffic { options, ..traffic }, delta: DELTA });
        }
    }
    let sizes: &[usize] = if is_full { &[128, 256, 512, 1024, 1518] } else { &[512, 1518] };
    let sized = |wire: &usize| Case { traffic: Traffic { wire: *wire, ..base(100_000) }, delta: DELTA };
    all.extend(sizes.iter().map(sized));
    if is_full {
        let traffic = Traffic { family: Family::V6, ..base(10_000_000) };
        all.push(Case { traffic, delta: DELTA });
    }
    all
}

fn limit_b_of<const N: usize>(traffic: &Traffic) -> Box<dyn Contender> {
    let lines = MacSwapAndLines::<N>::new(traffic.flows, traffic.family);
    Box::new(Forwarder::start(Generator::pair(traffic), lines))
}

/// And what the processor has counted of a frame, the port's share subtracted.
fn sample(run: &Run, Case { traffic, delta }: &Case) -> (Samples, Counted) {
    let mut generator = Forwarder::start(Generator::pair(traffic), Nothing);
    let mut swap = Forwarder::start(Generator::pair(traffic), MacSwap);
    let mut limit_b = limit_b_of::<1>(traffic);
    let mut limit_b_lines: Box<dyn Contender> = match traffic.family {
        Family::V4 => limit_b_of::<LINES>(traffic),
        Family::V6 => limit_b_of::<LINES_V6>(traffic),
    };
    let mut worker = cut_through(traffic, *delta);
    let contenders: &mut [&mut dyn Contender] =
        &mut [&mut generator, &mut swap, &mut *limit_b, &mut *limit_b_lines, &mut worker];
    let length = run.length(FRAMES);
    let samples = race(length, contenders);
    let counted = Counters::open().difference(length.units, &mut worker, &mut generator);
    worker.assert_nothing_was_lost();
    (samples, counted)
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = [
        "port",
        "MAC swap",
        "B, 1 line",
        "B, all lines",
        "worker",
        "worker, cycles",
        "instructions",
        "cache misses",
        "of B, 1 line",
        "of B, all lines",
        "the same with the port",
    ];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let mut growth = Growth::default();
    let megahertz = machine::megahertz();
    let cases = cases(run.is_full);
    let count = cases.len();
    for (at, case) in cases.into_iter().enumerate() {
        run.say(format!("{} of {count}: {}", at + 1, case.name()));
        let (samples, counted) = sample(run, &case);
        let port = samples.spread(|times| times[GENERATOR]);
        let alone = |contender: usize| samples.spread(|times| times[contender] - times[GENERATOR]);
        let [swap, limit, limit_lines, worker] = [SWAP, LIMIT_B, LIMIT_B_LINES, WORKER].map(alone);
        let of = |contender: usize| {
            samples.spread(|times| (times[contender] - times[GENERATOR]) / (times[WORKER] - times[GENERATOR]))
        };
        let ratios = [LIMIT_B, LIMIT_B_LINES].map(of);
        let with_port = samples.spread(|times| times[LIMIT_B_LINES] / times[WORKER]);
        let once = |value| Spread::of([value]);
        let by_clock = || megahertz.map(|megahertz| worker.times(megahertz / 1000.0));
        let cycles = counted.cycles.map(once).or_else(by_clock);
        let counted = [cycles, counted.instructions.map(once), counted.misses.map(once)];
        let times = [port, swap, limit, limit_lines, worker].map(Some);
        let values = [&times[..], &counted, &[ratios[0], ratios[1], with_port].map(Some)].concat();
        finding.rows.push(Row { case: case.name(), values });
        growth.add(&case, [worker, limit, limit_lines]);
        finding.gates.extend(gates(&case, ratios));
    }
    finding.chart = Some(growth.chart());
    Ok(finding)
}

/// What the budget demands of this case.
fn gates(case: &Case, ratios: [Spread; 2]) -> Vec<Gate> {
    let flows = case.traffic.flows;
    if flows < 1_000_000 || !case.is_of_growth() || case.traffic.turns == Turns::Zipf {
        return Vec::new();
    }
    let gate = |(value, lines)| {
        let what = format!("of limit B with {lines} at {} M flows", flows / 1_000_000);
        Gate { what, value, demand: Demand::AtLeast(0.75) }
    };
    ratios.into_iter().zip(["one line", "all lines"]).map(gate).collect()
}

/// The worker's and the limits' times over flows.
#[derive(Default)]
struct Growth {
    series: [Vec<(f64, Spread)>; 4],
}

impl Growth {
    /// The worker's time and limit B's with one and with all lines.
    fn add(&mut self, case: &Case, [worker, limit, limit_lines]: [Spread; 3]) {
        if !case.is_of_growth() {
            return;
        }
        let flows = f64::from(case.traffic.flows);
        match case.traffic.turns {
            Turns::Zipf => self.series[1].push((flows, worker)),
            Turns::Uniform => {
                for (at, value) in [(0, worker), (2, limit), (3, limit_lines)] {
                    self.series[at].push((flows, value));
                }
            }
        }
    }

    fn chart(self) -> Chart {
        let names = ["worker, uniform", "worker, Zipf", "limit B, 1 line", "limit B, all lines"];
        let series = names.into_iter().zip(self.series);
        Chart {
            title: "Cut-through, 64-byte IPv4 frames".into(),
            x: "flows".into(),
            y: "ns a frame, the port's cost subtracted".into(),
            series: series.map(|(name, points)| Series { name: name.into(), points }).collect(),
        }
    }
}
