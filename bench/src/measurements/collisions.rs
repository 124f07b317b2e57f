//! What it helps a peer to choose its quads: nothing, as the table's hash has a key.

use crate::carried::cut_through;
use crate::forwarder::{Forwarder, Nothing};
use crate::generator::Generator;
use crate::race::{Contender, Length, Samples, race};
use crate::suite::{Demand, Finding, Gate, Measurement, Row, Run};
use crate::traffic::{COLLIDING, Family, Quads, Traffic};

pub const MEASUREMENT: Measurement = Measurement {
    name: "collisions",
    about: "Frames of flows whose quads would collide under a hash without a key, against those of any flows",
    budget: "at least 0.95 of the throughput of benign ones",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "32,768 flows that are cut through, 64-byte frames (IPv6: 78), deltas not 0. *Colliding*: every flow's client address and \
    port have the same sum, so that a table whose hash adds up words has all of them in one bucket, and sequential addresses besides. The \
    port's own cost, measured alone in each sample, is subtracted. A table of this size is as quick as the memory that it happens to get, by \
    some hundredths, for as long as it has it; so samples are of five tables of either kind, one after the other. Nanoseconds a frame; the \
    ratio is benign by colliding.";

/// Frames of each contender and sample.
const FRAMES: usize = 400_000;
const DELTA: i32 = 1_000_003;
/// Tables of either kind.
const TABLES: usize = 5;

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["benign", "colliding", "ratio"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    for family in [Family::V4, Family::V6] {
        run.say(family.to_string());
        let benign = Traffic { family, ..Traffic::shortest(COLLIDING) };
        let colliding = Traffic { quads: Quads::Colliding, ..benign };
        let mut port = Forwarder::start(Generator::pair(&benign), Nothing);
        let length = run.length(FRAMES);
        let length = Length { samples: length.samples.div_ceil(TABLES), ..length };
        let mut samples = Samples::default();
        // All stay, so that none gets the memory of one before.
        let mut all = Vec::new();
        for _ in 0..TABLES {
            let mut workers = [benign, colliding].map(|traffic| cut_through(&traffic, DELTA));
            let [first, second] = &mut workers;
            let contenders: &mut [&mut dyn Contender] = &mut [&mut port, first, second];
            samples.append(race(length, contenders));
            workers.iter().for_each(|worker| worker.assert_nothing_was_lost());
            all.push(workers);
        }
        let alone = |contender: usize| samples.spread(|times| times[contender] - times[0]);
        let ratio = samples.spread(|times| (times[1] - times[0]) / (times[2] - times[0]));
        let values = [alone(1), alone(2), ratio].map(Some).into();
        finding.rows.push(Row { case: family.to_string(), values });
        let what = format!("of benign quads, {family}");
        finding.gates.push(Gate { what, value: ratio, demand: Demand::AtLeast(0.95) });
    }
    Ok(finding)
}
