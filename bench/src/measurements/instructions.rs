//! How many instructions a frame takes, counted by callgrind: the one figure that is the same on a busy machine.
//!
//! The program runs itself under valgrind with two numbers of frames; the difference is frames and nothing else.

use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, bail};

use super::connections::apart::Apart;
use super::connections::cycle::Cycle;
use super::flood;
use crate::carried::cut_through;
use crate::forwarder::{Forwarder, MacSwap, MacSwapAndLines, Nothing};
use crate::generator::Generator;
use crate::race::{self, Contender, Spread};
use crate::suite::{Finding, Measurement, Row, Run};
use crate::traffic::{Family, Options, Traffic};

pub const MEASUREMENT: Measurement = Measurement {
    name: "instructions",
    about: "Instructions a frame, counted by callgrind",
    budget: "reported",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "callgrind's count of a run of some frames, less that of a run of fewer, by the difference; 1024 flows. What the port \
    takes is subtracted. valgrind has no AVX-512 and no idea of caches that matter here: these are instructions, no more.";

/// Frames of the two runs.
const FRAMES: [usize; 2] = [16_384, 65_536];
const FLOWS: u32 = 1024;

/// What can be counted, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Port,
    MacSwap,
    LimitB,
    CutThrough {
        delta: i32,
    },
    /// Whole ones, both ends and the control core included; no row, but what to ask callgrind for a profile of.
    Connections,
    /// The same on a core each, for `perf record`: what crosses between cores is no instruction.
    Apart,
    /// The port of those below.
    Syns,
    /// SYNs that a rule refuses, and nothing else; no row, likewise.
    Refused,
    /// SYNs that are answered with cookies, by the worker alone.
    Cookies,
    /// SYNs that are offered, by the worker and whoever forgets them at once.
    Offered,
    /// SYNs that worker and control core hold until room is needed.
    Held,
}

/// Whom to count, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    subject: Subject,
    family: Family,
    options: Options,
    frames: usize,
}

const SUBJECTS: [(&str, Subject); 12] = [
    ("port", Subject::Port),
    ("mac-swap", Subject::MacSwap),
    ("limit-b", Subject::LimitB),
    ("delta-0", Subject::CutThrough { delta: 0 }),
    ("delta", Subject::CutThrough { delta: 1_000_003 }),
    ("connections", Subject::Connections),
    ("apart", Subject::Apart),
    ("syns", Subject::Syns),
    ("refused", Subject::Refused),
    ("cookies", Subject::Cookies),
    ("offered", Subject::Offered),
    ("held", Subject::Held),
];
const FAMILIES: [(&str, Family); 2] = [("v4", Family::V4), ("v6", Family::V6)];
const OPTIONS: [(&str, Options); 3] =
    [("plain", Options::None), ("timestamps", Options::Timestamps), ("sack", Options::Sack)];

fn by_name<T: Copy>(list: &[(&str, T)], name: &str) -> anyhow::Result<T> {
    let found = list.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| *value).with_context(|| format!("{name}: nothing is called so"))
}

fn name_of<T: PartialEq>(list: &[(&'static str, T)], value: &T) -> &'static str {
    list.iter().find(|(_, other)| other == value).map_or("unknown", |(name, _)| name)
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            name_of(&SUBJECTS, &self.subject),
            name_of(&FAMILIES, &self.family),
            name_of(&OPTIONS, &self.options),
        ];
        write!(f, "{}:{}", names.join(":"), self.frames)
    }
}

impl FromStr for Count {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Count> {
        let [subject, family, options, frames] = text.split(':').collect::<Vec<_>>()[..] else {
            bail!("{text}: not SUBJECT:FAMILY:OPTIONS:FRAMES")
        };
        Ok(Count {
            subject: by_name(&SUBJECTS, subject)?,
            family: by_name(&FAMILIES, family)?,
            options: by_name(&OPTIONS, options)?,
            frames: frames.parse()?,
        })
    }
}

impl Count {
    /// What valgrind runs.
    pub fn carry_out(&self) {
        let traffic = Traffic { family: self.family, options: self.options, ..Traffic::shortest(FLOWS) };
        let ports = || Generator::pair(&traffic);
        let mut contender: Box<dyn Contender> = match self.subject {
            Subject::Port => Box::new(Forwarder::start(ports(), Nothing)),
            Subject::MacSwap => Box::new(Forwarder::start(ports(), MacSwap)),
            Subject::LimitB => {
                let lines = MacSwapAndLines::<1>::new(FLOWS, self.family);
                Box::new(Forwarder::start(ports(), lines))
            }
            Subject::CutThrough { delta } => Box::new(cut_through(&traffic, delta)),
            // So few that nobody repeats anything though valgrind is slow.
            Subject::Connections => Box::new(Cycle::at_once(self.family, 32)),
            Subject::Apart => Box::new(Apart::new(Cycle::for_threads(self.family, FLOWS as usize))),
            Subject::Syns => flood::syns(self.family),
            Subject::Refused => flood::refused(self.family),
            Subject::Cookies => flood::by_cookies(self.family),
            Subject::Offered => flood::offered(self.family),
            Subject::Held => flood::held(self.family),
        };
        race::run(self.frames, &mut *contender);
    }

    /// Of a whole run.
    fn instructions(&self) -> anyhow::Result<u64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["--count", &self.to_string()])
            .output()
            .context("valgrind cannot be run (Debian: apt install valgrind)")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("valgrind has failed with {self}: {said}");
        }
        collected(&said).with_context(|| format!("valgrind does not say what it has collected: {said}"))
    }

    fn a_frame(self) -> anyhow::Result<f64> {
        let [few, many] = FRAMES.map(|frames| Count { frames, ..self }.instructions());
        Ok((many? as f64 - few? as f64) / (FRAMES[1] - FRAMES[0]) as f64)
    }
}

/// From `==1== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["instructions a frame", "with the port"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    for (family_name, family) in FAMILIES {
        for (options_name, options) in OPTIONS {
            let count = |subject| Count { subject, family, options, frames: 0 };
            let port = run.wait_for(|| count(Subject::Port).a_frame())?;
            let is_plain = options == Options::None;
            // What does not look at options takes as long with them as without.
            let looks = |subject: &Subject| match subject {
                Subject::CutThrough { .. } => true,
                Subject::Connections
                | Subject::Apart
                | Subject::Syns
                | Subject::Refused
                | Subject::Cookies
                | Subject::Offered
                | Subject::Held => false,
                _ => is_plain,
            };
            for (name, subject) in SUBJECTS.iter().filter(|(_, subject)| looks(subject)) {
                let case = format!("{name}, IP{family_name}, {options_name}");
                run.say(&case);
                let with_port = run.wait_for(|| count(*subject).a_frame())?;
                let once = |value| Some(Spread::of([value]));
                finding.rows.push(Row { case, values: vec![once(with_port - port), once(with_port)] });
            }
        }
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_as_it_is_written() {
        let count = Count {
            subject: Subject::CutThrough { delta: 0 },
            family: Family::V6,
            options: Options::Sack,
            frames: 17,
        };
        assert_eq!(count.to_string(), "delta-0:v6:sack:17");
        assert_eq!(count.to_string().parse::<Count>().expect("its own name"), count);
        assert!("delta-0:v6:17".parse::<Count>().is_err());
    }

    #[test]
    fn callgrind_says_how_many() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 1234\n"), Some(1234));
    }
}
