//! One loss and one delay: an appliance, and every measure over it, relayed and plain by turns.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use control::lab::apps::{Direction, iperf};
use control::lab::{Action, Appliance, Impair, Isn, Lab, LabError, Merge, Result, Setup, expect};

use crate::measure::{Hosts, Measure, Plan};
use crate::{Arguments, say, table};

/// Behind the end of a connection, and nothing else.
pub const EXPECTED_DROPS: [&str; 2] = ["drop_flow_gone", "drop_stray"];

/// A kind of path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Percent, each way.
    pub loss: f64,
    /// There and back, milliseconds.
    pub delay: u64,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {} %, round trip {} ms", self.loss, self.delay)
    }
}

/// What one measure came to in one cell.
#[derive(Debug, Clone)]
pub struct Sample {
    pub cell: Cell,
    pub measure: Measure,
    /// In the measure's unit; an error in one line.
    pub relayed: std::result::Result<f64, String>,
    pub plain: std::result::Result<f64, String>,
    /// Of the relayed run and the plain one.
    pub notes: [String; 2],
}

impl Sample {
    /// Relayed through plain; above 1, the relay is faster.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.relayed.as_ref().ok()? / self.plain.as_ref().ok()?)
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<&str> {
        self.relayed.as_ref().err().or(self.plain.as_ref().err()).map(String::as_str)
    }
}

impl Cell {
    /// Runs all measures and appends what they came to. A measure that fails is a result; a broken lab or an appliance
    /// that breaks its promises is an error.
    pub fn run(&self, lab: &Lab, hosts: &Hosts, asked: &Arguments, samples: &mut Vec<Sample>) -> Result<()> {
        let round_trip = Duration::from_millis(self.delay);
        let path = Impair { loss_percent: self.loss, round_trip, seed: asked.seed };
        let plain = format!("{{ destination = \"{}\" }}", hosts.plain);
        let setup = Setup::relay(Merge::Never, Isn::Mirror).rule(&plain, Action::Bypass).impair(path);
        let appliance = lab.appliance(&setup)?;
        for address in [hosts.relayed, hosts.plain] {
            lab.client().wait_for_echo(address, Duration::from_secs(20))?;
        }
        let (time, loss) = (Duration::from_secs(asked.seconds), self.loss / 100.0);
        let mut plan = Plan { time, round_trip, loss, rate: 0.0 };
        let measures = Measure::ALL.into_iter();
        let wanted = |measure: &Measure| asked.apps.iter().any(|app| app.measures().contains(measure));
        for (turn, measure) in measures.filter(wanted).enumerate() {
            if matches!(measure, Measure::File | Measure::Copy) && plan.rate == 0.0 {
                plan.rate = probe(lab, hosts)?;
            }
            let sample = self.measure(lab, hosts, measure, &plan, (turn, asked.rounds));
            if let (Measure::BulkDown, Ok(relayed), Ok(plain)) = (measure, &sample.relayed, &sample.plain) {
                plan.rate = relayed.min(*plain) * 1e6;
            }
            say(&table::progress(&sample));
            samples.push(sample);
        }
        finish(appliance)
    }

    fn measure(
        &self,
        lab: &Lab,
        hosts: &Hosts,
        measure: Measure,
        plan: &Plan,
        (turn, rounds): (usize, u32),
    ) -> Sample {
        let mut sums = [Ok(0.0), Ok(0.0)];
        let mut notes = [String::new(), String::new()];
        let ways: [IpAddr; 2] = [hosts.relayed, hosts.plain];
        for round in 0..rounds as usize {
            // Whoever is second may find warmer caches, or a machine that something else has begun to use.
            let order = if (turn + round).is_multiple_of(2) { [0, 1] } else { [1, 0] };
            for way in order {
                let outcome = hosts.measure(lab, measure, ways[way], plan);
                let sum = std::mem::replace(&mut sums[way], Ok(0.0));
                sums[way] = match (sum, outcome) {
                    (Ok(sum), Ok((figure, note))) => {
                        notes[way] = note;
                        Ok(sum + figure)
                    }
                    (Err(first), _) => Err(first),
                    (_, Err(error)) => Err(one_line(&error)),
                };
            }
        }
        let [relayed, plain] = sums.map(|sum| sum.map(|sum| sum / f64::from(rounds)));
        Sample { cell: *self, measure, relayed, plain, notes }
    }
}

/// Bits a second of the slower way, for measures that send a given size.
fn probe(lab: &Lab, hosts: &Hosts) -> Result<f64> {
    let rate = |address| iperf::run(lab, address, Direction::Down, Duration::from_secs(2));
    Ok(rate(hosts.relayed)?.min(rate(hosts.plain)?))
}

/// An error, for a cell of a table.
pub fn one_line(error: &LabError) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}

/// Ends the appliance: every drop has to be one that is expected, and every buffer has to come back.
pub fn finish(appliance: Appliance) -> Result<()> {
    let stats = appliance.stats()?;
    let counters = stats["counters"].as_object().into_iter().flatten();
    let count = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
    for (name, value) in counters.filter(|(_, value)| count(value) > 0) {
        let unexpected = name.starts_with("drop_") && !EXPECTED_DROPS.contains(&name.as_str());
        if unexpected || name == "impaired_overflow" || name == "buffers_exhausted" {
            say(&format!("   {name} {}", count(value)));
        }
    }
    let stopped = appliance.stop()?;
    let last = stopped.stdout.lines().last().unwrap_or_default().to_owned();
    let words: Vec<&str> = last.split_whitespace().collect();
    let all_back = matches!(words[..], ["buffers:", back, "of", all, "returned"] if back == all);
    expect(
        all_back && stopped.success(),
        "exit code 0 and every buffer back",
        format!("{last} ({})", stopped.status),
    )
}
