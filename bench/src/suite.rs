//! The frame of all measurements: each is one small file that says what it answers and yields a [`Finding`]; how samples are
//! taken, what a machine is, and what becomes of the figures is here and beside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::{Facts, Share, Watch};
use crate::race::{Length, Spread};

/// One measurement.
pub struct Measurement {
    /// For `--only`, and the names of its files.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// What DESIGN section 10 demands of it, or that it is reported only.
    pub budget: &'static str,
    /// Not in the short run.
    pub only_full: bool,
    /// No more than that, where nobody asks for more: for what takes long and has settled by then.
    pub most_samples: usize,
    pub run: fn(&mut Run) -> anyhow::Result<Finding>,
}

/// How thorough to be, and where progress goes.
pub struct Run {
    pub is_full: bool,
    pub samples: usize,
    /// Time in which this thread waited for other processes.
    pub waited: Duration,
    name: &'static str,
}

/// Of a full run's samples: so many times the units of a short run's.
pub const FULL: usize = 4;

impl Run {
    pub fn new(measurement: &Measurement, is_full: bool, samples: Option<usize>) -> Run {
        let samples = measurement.samples(is_full, samples);
        Run { is_full, samples, waited: Duration::ZERO, name: measurement.name }
    }

    /// Of races over so many units in the short run, [`FULL`] times as many in the full one.
    pub fn length(&self, units: usize) -> Length {
        Length { samples: self.samples, units: if self.is_full { FULL * units } else { units } }
    }

    /// What is going on, for whoever waits.
    pub fn say(&self, what: impl AsRef<str>) {
        eprintln!("{}: {}", self.name, what.as_ref());
    }

    /// What is done by another process, while this thread sleeps.
    pub fn wait_for<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let own = crate::race::processor_time();
        let result = work();
        self.waited += start.elapsed().saturating_sub(crate::race::processor_time() - own);
        result
    }
}

/// What a measurement has found: a table, and what follows from it for the budget.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Finding {
    /// How it was measured, for a reader who wants to doubt it; Markdown.
    pub how: String,
    /// Headings of the values.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    pub gates: Vec<Gate>,
    pub chart: Option<Chart>,
}

/// Of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub case: String,
    /// One for each column; none where there is nothing to compare with.
    pub values: Vec<Option<Spread>>,
}

/// An error, for a cell of a table.
pub fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}").replace('|', "/");
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(200).collect()
}

/// A demand of the budget. It fails nothing: a figure is looked at, not asserted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Gate {
    pub what: String,
    pub value: Spread,
    pub demand: Demand,
}

/// Of a value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    AtLeast(f64),
    AtMost(f64),
}

impl Gate {
    /// By the median.
    pub fn is_met(&self) -> bool {
        match self.demand {
            Demand::AtLeast(bound) => self.value.median >= bound,
            Demand::AtMost(bound) => self.value.median <= bound,
        }
    }
}

/// Of what grows with something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Chart {
    pub title: String,
    pub x: String,
    pub y: String,
    pub series: Vec<Series>,
}

/// Points from left to right.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, Spread)>,
}

/// A finding, and all that has to be known about it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub name: String,
    pub about: String,
    pub budget: String,
    pub is_full: bool,
    pub samples: usize,
    pub seconds: f64,
    pub share: Share,
    /// Why not to trust it.
    pub complaint: Option<String>,
    pub machine: Facts,
    pub finding: Finding,
}

impl Measurement {
    /// How many, if so many are asked for.
    pub fn samples(&self, is_full: bool, asked: Option<usize>) -> usize {
        asked.unwrap_or(if is_full { 25 } else { 9 }.min(self.most_samples)).max(1)
    }

    /// Takes it.
    pub fn take(&self, is_full: bool, samples: Option<usize>, machine: &Facts) -> anyhow::Result<Record> {
        let mut run = Run::new(self, is_full, samples);
        let watch = Watch::start();
        let finding = (self.run)(&mut run)?;
        let share = watch.share(run.waited);
        Ok(Record {
            name: self.name.to_owned(),
            about: self.about.to_owned(),
            budget: self.budget.to_owned(),
            is_full,
            samples: run.samples,
            seconds: watch.seconds(),
            share,
            complaint: share.complaint(),
            machine: machine.clone(),
            finding,
        })
    }
}
