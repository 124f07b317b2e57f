//! Several measurements, one after the other, each in a process of its own: one that panics, or is killed for its memory, takes
//! no other with it, and none finds what another has left in memory. What each has found is written when it ends.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::machine::Facts;
use crate::suite::{FULL, Measurement, Record};

/// What is to be taken, and how.
pub struct Series<'a> {
    pub chosen: &'a [&'static Measurement],
    pub is_full: bool,
    pub samples: Option<usize>,
    /// How long they took when they were last taken, by which is told how long they will.
    pub past: &'a [Record],
    pub machine: &'a Facts,
}

impl Series<'_> {
    /// Takes all of them; `arguments` are those of a process that takes one, but for its name.
    pub fn take(&self, arguments: &[String]) -> anyhow::Result<()> {
        let facts = serde_json::to_string(self.machine)?;
        let program = std::env::current_exe().context("this program's own path")?;
        let (mut failed, mut pace) = (Vec::new(), Pace::default());
        for (at, measurement) in self.chosen.iter().enumerate() {
            self.announce(at, &pace);
            let start = Instant::now();
            let mut one = Command::new(&program);
            one.args(arguments).args(["--only", measurement.name, "--machine", &facts]);
            let status = one.status().with_context(|| format!("{}: cannot be started", program.display()))?;
            if !status.success() {
                eprintln!("{}: {status}", measurement.name);
                failed.push(measurement.name);
            } else if let Some(expected) = self.expected(measurement) {
                pace.note(expected, start.elapsed());
            }
        }
        if !failed.is_empty() {
            bail!("not measured, see above: {}", failed.join(", "));
        }
        Ok(())
    }

    /// What comes next, and how long that and all behind it may take.
    fn announce(&self, at: usize, pace: &Pace) {
        let expected = |measurement: &&'static Measurement| self.expected(measurement);
        let left: Vec<Option<f64>> = self.chosen[at..].iter().map(expected).collect();
        let (name, count) = (self.chosen[at].name, self.chosen.len());
        let time = self::left(&left, pace.factor());
        eprintln!("── {} of {count}: {name}; {time}", at + 1);
    }

    /// Seconds, by how long it took last time.
    fn expected(&self, measurement: &Measurement) -> Option<f64> {
        let record = self.past.iter().find(|record| record.name == measurement.name)?;
        let samples = measurement.samples(self.is_full, self.samples) as f64 / record.samples as f64;
        let units = match (record.is_full, self.is_full) {
            (false, true) => FULL as f64,
            (true, false) => 1.0 / FULL as f64,
            _ => 1.0,
        };
        Some(record.seconds * samples * units)
    }
}

/// How much slower than last time.
#[derive(Default)]
struct Pace {
    expected: f64,
    took: f64,
}

impl Pace {
    fn note(&mut self, expected: f64, took: Duration) {
        self.expected += expected;
        self.took += took.as_secs_f64();
    }

    fn factor(&self) -> f64 {
        if self.expected > 0.0 { self.took / self.expected } else { 1.0 }
    }
}

/// How long the first may take, and all of them; seconds.
fn left(all: &[Option<f64>], factor: f64) -> String {
    let known: Vec<f64> = all.iter().flatten().map(|seconds| seconds * factor).collect();
    let unknown = match all.len() - known.len() {
        0 => String::new(),
        unknown => format!(" and {unknown} of which nobody knows"),
    };
    let first =
        all[0].map_or_else(|| "nobody knows for how long".to_owned(), |first| minutes(first * factor));
    match known.is_empty() {
        true => first,
        false => format!("{first}; left in all: {}{unknown}", minutes(known.iter().sum())),
    }
}

fn minutes(seconds: f64) -> String {
    match seconds {
        90.0.. => format!("about {:.0} min", seconds / 60.0),
        _ => format!("about {seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_what_it_took_by_what_was_expected() {
        let mut pace = Pace::default();
        assert_eq!(pace.factor(), 1.0);
        pace.note(10.0, Duration::from_secs(30));
        assert_eq!(pace.factor(), 3.0);
    }

    #[test]
    fn what_is_left_is_what_is_known_of_it() {
        assert_eq!(left(&[Some(10.0), Some(20.0)], 2.0), "about 20 s; left in all: about 60 s");
        let partly = "nobody knows for how long; left in all: about 20 s and 1 of which nobody knows";
        assert_eq!(left(&[None, Some(20.0)], 1.0), partly);
        assert_eq!(left(&[None], 1.0), "nobody knows for how long");
    }

    #[test]
    fn a_time_is_told_as_people_tell_it() {
        assert_eq!((minutes(42.4), minutes(150.0)), ("about 42 s".to_owned(), "about 2 min".to_owned()));
    }
}
