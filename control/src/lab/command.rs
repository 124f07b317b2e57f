//! A program to be run in one of the lab's namespaces, always with a deadline.

use std::ffi::{OsStr, OsString};
use std::process::{Command as StdCommand, Stdio};
use std::time::Duration;

use super::error::{LabError, Result};
use super::process::{Finished, Process};
use super::tools;
use super::wait::LATE;

/// Where a program's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// Both streams are kept for the caller.
    #[default]
    Collected,
    /// Standard output is kept, standard error is the caller's own.
    ErrorsShown,
    /// Both are the caller's own.
    Shown,
}

/// A command line under construction.
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until it is run"]
pub struct Command {
    namespace: Option<&'static str>,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    timeout: Duration,
    output: Output,
}

impl Command {
    /// A program in the namespace that the caller is in.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            namespace: None,
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            stdin: None,
            timeout: LATE,
            output: Output::Collected,
        }
    }

    /// A program in a namespace made by `ip netns add`.
    pub fn in_namespace(namespace: &'static str, program: impl Into<OsString>) -> Self {
        Self { namespace: Some(namespace), ..Self::new(program) }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Adds arguments that contain no spaces, written as one line.
    pub fn words(self, line: &str) -> Self {
        self.args(line.split_whitespace())
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// What [`Self::run`] writes to standard input, followed by end of file.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// How long [`Self::run`] waits; 20 s unless said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where its output goes; collected unless said.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Starts the program; its standard input stays open until [`Process::close_stdin`].
    ///
    /// # Errors
    /// [`LabError::MissingTool`] or [`LabError::Io`].
    pub fn spawn(&self) -> Result<Process> {
        let line = self.to_string();
        let mut command = self.prepare()?;
        let child = command.spawn().map_err(LabError::io(format!("starting `{line}`")))?;
        Ok(Process::adopt(line, child))
    }

    /// Runs the program to its end, whatever its exit code.
    ///
    /// # Errors
    /// As [`Self::spawn`]; [`LabError::Timeout`] when it does not end (it is killed then).
    pub fn run(&self) -> Result<Finished> {
        let mut process = self.spawn()?;
        if let Some(bytes) = &self.stdin {
            process.write(bytes)?;
        }
        process.close_stdin();
        process.wait(self.timeout)
    }

    /// Runs the program and gives its standard output.
    ///
    /// # Errors
    /// As [`Self::run`]; [`LabError::Failed`] when the exit code is not 0.
    pub fn ok(&self) -> Result<String> {
        self.run()?.ok()
    }

    fn prepare(&self) -> Result<StdCommand> {
        let program = match self.program.to_str() {
            Some(name) => tools::find(name)?.into_os_string(),
            None => self.program.clone(),
        };
        let mut command = match self.namespace {
            Some(namespace) => {
                // Replaces itself by the program: the process id is the program's own.
                let mut ip = StdCommand::new(tools::find("ip")?);
                ip.args(["netns", "exec", namespace]).arg(program);
                ip
            }
            None => StdCommand::new(program),
        };
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped());
        if self.output != Output::Shown {
            command.stdout(Stdio::piped());
        }
        if self.output == Output::Collected {
            command.stderr(Stdio::piped());
        }
        Ok(command)
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(namespace) = self.namespace {
            write!(f, "[{namespace}] ")?;
        }
        write!(f, "{}", self.program.to_string_lossy())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_input_and_exit_code_come_back() {
        let echoed = Command::new("cat").stdin("over and back").ok().unwrap();
        assert_eq!(echoed, "over and back");
        let failed = Command::new("sh").args(["-c", "echo why >&2; exit 3"]).run().unwrap();
        assert_eq!((failed.code, failed.stderr.as_str()), (Some(3), "why\n"));
        assert!(failed.ok().unwrap_err().to_string().contains("why"));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_at_its_deadline() {
        let error = Command::new("sleep").arg("600").timeout(Duration::from_millis(20)).run().unwrap_err();
        assert!(matches!(error, LabError::Timeout { .. }), "{error}");
    }

    #[test]
    fn text_is_waited_for_and_an_early_end_is_reported() {
        let mut talking = Command::new("sh").args(["-c", "echo ready; cat"]).spawn().unwrap();
        talking.wait_for_text("ready", Duration::from_secs(5)).unwrap();
        assert!(talking.is_running().unwrap());
        let mut mute = Command::new("sh").args(["-c", "echo other; exit 4"]).spawn().unwrap();
        let error = mute.wait_for_text("ready", Duration::from_secs(5)).unwrap_err().to_string();
        assert!(error.contains("other"), "{error}");
    }

    #[test]
    fn termination_is_seen_as_a_signal() {
        let sleeping = Command::new("sleep").arg("600").spawn().unwrap();
        let finished = sleeping.terminate(Duration::from_secs(5)).unwrap();
        assert_eq!(finished.code, None);
        assert!(finished.status.contains("signal: 15"), "{}", finished.status);
    }
}
