//! The appliance under test: `quadrille run` between the lab's two devices, asked through its own command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::command::Command;
use super::error::{LabError, Result};
use super::process::{Finished, Process};
use super::setup::Setup;
use super::topology::Lab;
use super::wait::{LATE, wait_for};

/// Of x86, in which /proc counts.
const PAGE: u64 = 4096;

/// The line that says so contains this word.
const READY: &str = "ready";

/// A running appliance; it ends when this is dropped.
#[derive(Debug)]
pub struct Appliance {
    process: Process,
    executable: PathBuf,
    socket: PathBuf,
    /// Its configuration.
    file: PathBuf,
}

impl Lab {
    /// Starts an appliance and waits for its ready line.
    ///
    /// # Errors
    /// [`LabError::Failed`] with the appliance's output when it ends before it is ready, [`LabError::NeedsRoot`] for
    /// af_xdp in a rootless lab.
    pub fn appliance(&self, setup: &Setup) -> Result<Appliance> {
        self.check_pmd(setup.driver())?;
        self.appliance_from(&self.config(setup), self.socket())
    }

    fn socket(&self) -> PathBuf {
        self.isolated.directory().join("quadrille.sock")
    }

    /// The configuration of an appliance between the lab's devices.
    pub fn config(&self, setup: &Setup) -> String {
        setup.toml(&self.socket(), self.queues)
    }

    /// Starts an appliance with a configuration written by hand, which names `socket`; the file is its neighbour. Several at
    /// once need sockets of their own.
    ///
    /// # Errors
    /// As [`Self::appliance`].
    pub fn appliance_from(&self, config: &str, socket: PathBuf) -> Result<Appliance> {
        let file = socket.with_extension("toml");
        fs::write(&file, config).map_err(LabError::io(format!("writing {}", file.display())))?;
        let executable = self.executable.clone();
        let mut process = Command::new(&executable).args(["run", "--config"]).arg(&file).spawn()?;
        process.wait_for_text(READY, LATE)?;
        Ok(Appliance { process, executable, socket, file })
    }
}

impl Appliance {
    /// The flows, as `quadrille flows --json` lists them.
    ///
    /// # Errors
    /// [`LabError::Failed`] with the command's words, or what is not JSON.
    pub fn flows(&self) -> Result<Vec<Value>> {
        match self.query(&["flows"])? {
            Value::Array(flows) => Ok(flows),
            other => {
                Err(LabError::Unexpected { expected: "an array of flows".into(), got: other.to_string() })
            }
        }
    }

    /// What has happened to flows, as `quadrille events --json` lists it, the oldest first.
    ///
    /// # Errors
    /// As [`Self::flows`].
    pub fn events(&self) -> Result<Vec<Value>> {
        match self.query(&["events"])? {
            Value::Array(events) => Ok(events),
            other => {
                Err(LabError::Unexpected { expected: "an array of events".into(), got: other.to_string() })
            }
        }
    }

    /// `quadrille stats --json`.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn stats(&self) -> Result<Value> {
        self.query(&["stats"])
    }

    /// `quadrille status --json`.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn status(&self) -> Result<Value> {
        self.query(&["status"])
    }

    /// A counter's value, summed over the workers; 0 when it does not exist yet.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn counter(&self, name: &str) -> Result<u64> {
        Ok(self.stats()?["counters"][name].as_u64().unwrap_or(0))
    }

    /// Any query with `--json`.
    ///
    /// # Errors
    /// [`LabError::Failed`] with the command's words, [`LabError::Unexpected`] for what is not JSON.
    pub fn query(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.control(arguments).arg("--json").ok()?;
        serde_json::from_str(&text)
            .map_err(|error| LabError::Unexpected { expected: format!("JSON ({error})"), got: text })
    }

    /// Where its management interface listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A command to this appliance, ready to be run.
    pub fn control(&self, arguments: &[&str]) -> Command {
        Command::new(&self.executable).args(arguments).arg("--socket").arg(&self.socket)
    }

    /// Waits for a flow whose server is `server` ("addr:port") and whose path is `path`, and gives it.
    ///
    /// # Errors
    /// [`LabError::Timeout`] with the flows that there were.
    pub fn wait_for_flow(&self, server: &str, path: &str, within: Duration) -> Result<Value> {
        let mut last = Vec::new();
        let found = wait_for(&format!("a flow to {server} on path {path}"), within, || {
            last = self.flows()?;
            Ok(last.iter().find(|flow| flow["server"] == server && flow["path"] == path).cloned())
        });
        found.map_err(|error| match error {
            LabError::Timeout { what, within, .. } => {
                LabError::Timeout { what, within, detail: format!("the flows: {}", Value::from(last)) }
            }
            other => other,
        })
    }

    /// Writes another configuration, without telling the appliance.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn write_config(&self, config: &str) -> Result<()> {
        fs::write(&self.file, config).map_err(LabError::io(format!("writing {}", self.file.display())))
    }

    /// `quadrille reload` with another configuration; how that ended.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn reload(&self, config: &str) -> Result<Finished> {
        self.write_config(config)?;
        self.control(&["reload"]).run()
    }

    /// Bytes of memory that its process has in use.
    ///
    /// # Errors
    /// [`LabError::Io`], when it is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/statm", self.process.id());
        let pages = fs::read_to_string(&path).map_err(LabError::io(format!("reading {path}")))?;
        let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Ok(resident.unwrap_or_default() * PAGE)
    }

    /// What it has written to both streams so far.
    pub fn log(&self) -> String {
        format!("{}{}", self.process.stdout(), self.process.stderr())
    }

    /// Its process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// SIGTERM, then its last words and exit code.
    ///
    /// # Errors
    /// [`LabError::Timeout`] when it does not end; it is killed then.
    pub fn stop(self) -> Result<Finished> {
        self.process.terminate(LATE)
    }
}
