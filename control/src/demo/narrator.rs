//! What a person sees: numbered steps with the time since the start, and whether each turned out as told.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Tells the demo.
pub(super) struct Narrator {
    start: Instant,
    scenes: u32,
    good: u32,
    bad: Vec<String>,
}

impl Narrator {
    pub(super) fn start() -> Narrator {
        Narrator { start: Instant::now(), scenes: 0, good: 0, bad: Vec::new() }
    }

    pub(super) fn title(&self, text: &str) {
        println!("\n{text}\n{}", "=".repeat(text.chars().count()));
    }

    pub(super) fn picture(&self, lines: &[&str]) {
        println!("\n{}\n", lines.join("\n"));
    }

    /// A heading.
    pub(super) fn scene(&mut self, text: &str) {
        self.scenes += 1;
        println!("\n{}. {text}", self.scenes);
    }

    /// Something that has happened.
    pub(super) fn note(&self, text: &str) {
        println!("{} {text}", self.time());
    }

    /// Output of a command, indented below what was told.
    pub(super) fn output(&self, text: &str) {
        for line in text.lines() {
            println!("             │ {line}");
        }
    }

    /// Something that has to be so.
    pub(super) fn check(&mut self, told: &str, holds: bool, seen: &str) {
        let mark = if holds { "ok  " } else { "FAIL" };
        let seen = if seen.is_empty() { String::new() } else { format!(" — {seen}") };
        println!("{} {mark} {told}{seen}", self.time());
        match holds {
            true => self.good += 1,
            false => self.bad.push(format!("{told}{seen}")),
        }
    }

    /// The verdict.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        println!();
        if self.bad.is_empty() {
            println!("All {} checks passed in {:.1} s.", self.good, self.start.elapsed().as_secs_f64());
            return Ok(());
        }
        bail!("{} of {} checks failed:\n  {}", self.bad.len(), self.good as usize + self.bad.len(), self.bad.join("\n  "))
    }

    fn time(&self) -> String {
        format!("  [{:6.2} s]", self.start.elapsed().as_secs_f64())
    }
}

/// Seconds with two decimals.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
