//! The kernel's SYNPROXY, in namespaces that end with its process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::race::Contender;

const SCRIPT: &str = include_str!("synproxy.py");
/// Of each sample, dropped and answered.
const SYNS: &str = "50000";

/// A script that sends SYNs through a veth, on the core where we are while it does not.
pub struct Synproxy {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    waited: Duration,
}

impl Synproxy {
    /// Needs root, for network devices and nftables.
    pub fn start() -> anyhow::Result<Synproxy> {
        let mut child = Command::new("unshare")
            .args(["--net", "--mount", "python3", "-c", SCRIPT, SYNS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("unshare cannot be run")?;
        let stdin = child.stdin.take().context("its input")?;
        let stdout = BufReader::new(child.stdout.take().context("its output")?);
        let mut synproxy = Synproxy { child, stdin, stdout, waited: Duration::ZERO };
        synproxy.sample()?;
        Ok(synproxy)
    }

    /// Nanoseconds by which a SYN that it answers takes longer than one that is dropped.
    fn sample(&mut self) -> anyhow::Result<f64> {
        writeln!(self.stdin)?;
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("the script has ended: {}", self.child.wait()?);
        }
        difference(&line).with_context(|| format!("not two figures: {line}"))
    }

    /// Wall time in which it had the core.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

fn difference(line: &str) -> Option<f64> {
    let (dropped, answered) = line.trim().split_once(' ')?;
    Some(answered.parse::<f64>().ok()? - dropped.parse::<f64>().ok()?)
}

impl Contender for Synproxy {
    fn round(&mut self) -> usize {
        unreachable!("it counts for itself")
    }

    fn nanoseconds(&mut self, _: usize) -> f64 {
        let start = Instant::now();
        let sample = self.sample().expect("the script goes on as long as nobody ends it");
        self.waited += start.elapsed();
        sample
    }
}

impl Drop for Synproxy {
    fn drop(&mut self) {
        // Its namespaces go with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_sample_is_what_answering_adds() {
        assert_eq!(super::difference("2000.5 3500.5\n"), Some(1500.0));
        assert_eq!(super::difference("2000.5\n"), None);
    }
}
