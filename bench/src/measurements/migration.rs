//! What a split and a merge take: the worker's part alone, through worker and control core in turns, and between two cores.

pub mod alone;
mod appliance;
mod ends;

use std::time::Duration;

use control::core::handover::HandOver;
use dataplane::flow::object::{Track, View};
use dataplane::flow::terms::{Promises, Terms};
use dataplane::wire::seq::Seq;

use crate::machine;
use crate::race::{Spread, percentile};
use crate::suite::{Chart, Finding, Measurement, Row, Run, Series};
use alone::Idle;
use appliance::Appliance;
use ends::Say;

pub const MEASUREMENT: Measurement = Measurement {
    name: "migration",
    about: "Splits and merges, from the order to when they are in force",
    budget: "in a lab p50 at most 1 µs, p99 at most 4 µs for idle flows; here reported. No segment lost or overtaken",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "*Worker alone*: one thread puts an order into the mailbox, has the worker do a round, and takes the answer, flow after \
    flow in random order; nobody decides anything. A split is the order to the object's arrival; a merge is the order to park, its answer, \
    the object installed and the flow resumed. *In turns*: worker and control core take turns on one thread. *Two cores*: a thread each, \
    pinned, with their rings between them. A split is from the control core's order to the end of its round that makes both TCBs, and relays what came meanwhile; a merge is from when it \
    takes nothing new any more until the worker carries the flow; the search for the flow by its name, a walk through the table, comes before. *Idle*: both ends say \
    a segment after each hand-over, and the next one is ordered when all is acknowledged. *Busy*: both ends go on saying segments, at \
    most four ahead of their acknowledgments, which a merge has to wait for. Every byte has to come to the other end, in order, and \
    nothing may be dropped, or there is no figure. *Repeated* are segments, of a million, that came twice: no end repeats any, but a leg \
    does when the other thread does not run for longer than an acknowledgment may take. Nanoseconds of wall time; percentiles of each sample, and their median, lowest \
    and highest. The chart has all samples.";

/// Of the worker alone: hand-overs of both kinds in each sample.
const CYCLES: usize = 20_000;
/// With a control core.
const WHOLE_CYCLES: usize = 2000;
/// Of which so many flows have their turn.
const FLOWS: u32 = 1000;
/// Of a busy flow, from each end for each hand-over.
const SEGMENTS: u32 = 32;

/// All of a flow that a merge installs.
fn view() -> View {
    let promises = Promises::mirrored(Terms::new(Some([7, 7]), true, false));
    View {
        track: [Track { end: Seq(1), ack: Seq(1) }; 2],
        edges: [Seq(1000); 2],
        promises,
        ..View::default()
    }
}

/// Splits and merges.
type Took = [Vec<Duration>; 2];

/// Hand-overs of one flow after the other, with segments meanwhile or after each.
struct Whole {
    appliance: Appliance,
    is_busy: bool,
    next: u32,
    /// Segments of both ends.
    said: u64,
}

impl Whole {
    fn new(flows: u32, is_busy: bool, has_threads: bool) -> anyhow::Result<Whole> {
        let appliance = Appliance::new(flows)?;
        let appliance = if has_threads { appliance.with_threads() } else { appliance };
        Ok(Whole { appliance, is_busy, next: 0, said: 0 })
    }

    fn hand_over(&mut self, what: HandOver, flow: u32) -> Duration {
        let segments = if self.is_busy { SEGMENTS } else { 1 };
        self.said += 2 * u64::from(segments);
        let say = Say { flow, segments };
        if self.is_busy {
            self.appliance.tell(say);
        }
        let took = self.appliance.hand_over(what, flow);
        if !self.is_busy {
            self.appliance.tell(say);
        }
        self.appliance.wait_until_heard(self.said);
        took
    }

    fn sample(&mut self, cycles: usize, flows: u32) -> Took {
        let mut took = Took::default();
        for _ in 0..cycles {
            let flow = self.next % flows;
            self.next += 1;
            took[0].push(self.hand_over(HandOver::Split, flow));
            took[1].push(self.hand_over(HandOver::Merge, flow));
        }
        took
    }
}

/// Two rows, and their lines in the chart.
fn add(finding: &mut Finding, case: &str, samples: Vec<Took>, repeated: Option<f64>) {
    let mut all = Took::default();
    let mut values = [const { [const { Vec::new() }; 3] }; 2];
    for took in samples {
        for ((mut took, values), all) in took.into_iter().zip(&mut values).zip(&mut all) {
            let sum: Duration = took.iter().sum();
            let rate = took.len() as f64 / sum.as_secs_f64() / 1e3;
            let percentiles = [percentile(&mut took, 50), percentile(&mut took, 99), rate];
            values.iter_mut().zip(percentiles).for_each(|(values, value)| values.push(value));
            all.append(&mut took);
        }
    }
    for ((what, values), mut all) in ["split", "merge"].into_iter().zip(values).zip(all) {
        let case = format!("{what}, {case}");
        let repeated = repeated.map(|repeated| Spread::of([repeated]));
        let values = values.map(|values| Some(Spread::of(values))).into_iter().chain([repeated]).collect();
        all.sort_unstable();
        let points = distribution(&all);
        if let Some(chart) = &mut finding.chart {
            chart.series.push(Series { name: case.clone(), points });
        }
        finding.rows.push(Row { case, values });
    }
}

/// How many hundredths of them took at most how long.
fn distribution(sorted: &[Duration]) -> Vec<(f64, Spread)> {
    let point = |tenths: usize| {
        let at = (sorted.len() - 1) * tenths / 1000;
        let nanoseconds = (sorted[at].as_nanos() as f64).max(1.0);
        (nanoseconds, Spread::of([tenths as f64 / 10.0]))
    };
    [0, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990, 999].map(point).into()
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["p50", "p99", "thousand a second", "repeated"];
    let chart = Chart {
        title: "Hand-overs that took at most so long".into(),
        x: "ns".into(),
        y: "of all, %".into(),
        series: Vec::new(),
    };
    let mut finding = Finding {
        how: HOW.into(),
        columns: columns.map(Into::into).into(),
        chart: Some(chart),
        ..Finding::default()
    };
    let flows: &[u32] = if run.is_full { &[1000, 1_000_000, 10_000_000] } else { &[1000, 1_000_000] };
    for count in flows {
        run.say(format!("the worker alone, {count} flows"));
        let mut idle = Idle::new(*count)?;
        idle.sample(0, CYCLES);
        let samples = (0..run.samples).map(|sample| idle.sample((1 + sample) * CYCLES, CYCLES)).collect();
        add(&mut finding, &format!("worker alone, {count} flows"), samples, None);
    }
    let places: &[(&str, bool)] = match machine::cores() {
        2.. => &[("in turns", false), ("two cores", true)],
        _ => &[("in turns", false)],
    };
    for (place, has_threads) in places {
        for (state, is_busy) in [("idle", false), ("busy", true)] {
            let case = format!("{place}, {state}");
            run.say(&case);
            let mut whole = Whole::new(FLOWS, is_busy, *has_threads)?;
            whole.sample(WHOLE_CYCLES, FLOWS);
            let samples = (0..run.samples).map(|_| whole.sample(WHOLE_CYCLES, FLOWS)).collect();
            let said = whole.said;
            let repeated = whole.appliance.finish(said)?;
            add(&mut finding, &case, samples, Some(1e6 * repeated as f64 / said as f64));
        }
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_handed_over_and_back_without_loss() {
        for has_threads in [false, true] {
            for is_busy in [false, true] {
                let mut whole = Whole::new(3, is_busy, has_threads).expect("rules compile");
                let took = whole.sample(20, 3);
                assert!(took.iter().flatten().all(|took| *took > Duration::ZERO));
                let said = whole.said;
                whole.appliance.finish(said).expect("nothing is lost");
            }
        }
    }
}
