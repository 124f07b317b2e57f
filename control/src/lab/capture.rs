//! What really was on one of the wires: tcpdump at a host's interface.

use std::fs;
use std::path::PathBuf;

use super::command::Command;
use super::endpoint::{Endpoint, INTERFACE};
use super::error::{LabError, Result};
use super::process::Process;
use super::wait::LATE;

/// A capture in progress.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Endpoint {
    /// Starts to capture the frames that match a tcpdump filter, both ways, tagged ones included when it says so.
    ///
    /// # Errors
    /// [`LabError::MissingTool`], [`LabError::NoGroups`], or tcpdump's own words.
    pub fn capture(&self, filter: &str) -> Result<Capture> {
        if fs::read_to_string("/proc/self/setgroups").is_ok_and(|setgroups| setgroups.trim() == "deny") {
            return Err(LabError::NoGroups);
        }
        let file = self.directory().join(format!("capture-{}.pcap", self.name()));
        let mut process = self
            .command("tcpdump")
            // Root stays root (-Z), who may write there. -U: a packet is in the file at once.
            .words(&format!("-Z root -U -n --immediate-mode -i {INTERFACE} -w"))
            .arg(&file)
            .args(filter.split_whitespace())
            .spawn()?;
        process.wait_for_text("listening on", LATE)?;
        Ok(Capture { process, file })
    }
}

impl Capture {
    /// One line a frame, with link-level headers and absolute sequence numbers, as far as captured.
    ///
    /// # Errors
    /// As [`Command::ok`].
    pub fn text(&self) -> Result<String> {
        self.matching("")
    }

    /// The same for those frames that match a further filter.
    ///
    /// # Errors
    /// As [`Command::ok`].
    pub fn matching(&self, filter: &str) -> Result<String> {
        let file = Command::new("tcpdump").words("-n -e -S -v -r").arg(&self.file);
        file.args(filter.split_whitespace()).ok()
    }

    /// Ends the capture; the file stays until the lab ends.
    ///
    /// # Errors
    /// [`super::LabError::Timeout`].
    pub fn stop(self) -> Result<PathBuf> {
        self.process.terminate(LATE)?;
        Ok(self.file)
    }
}
