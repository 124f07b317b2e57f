//! A running program: its output is collected while it runs, and it does not outlive its value.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::error::{LabError, Result};
use super::wait::{wait_for, wait_until};

/// More output than this is read but not kept.
const KEPT_BYTES: usize = 16 << 20;

/// After a program has ended, a grandchild may still hold its output open; so long is waited for the rest.
const GRACE: Duration = Duration::from_secs(1);

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The command line.
    pub command: String,
    /// Exit code, or `None` when a signal ended it.
    pub code: Option<i32>,
    /// Exit code or signal as text.
    pub status: String,
    /// What it wrote to standard output, at most 16 MiB.
    pub stdout: String,
    /// What it wrote to standard error, at most 16 MiB.
    pub stderr: String,
    /// Start to end.
    pub elapsed: Duration,
}

impl Finished {
    /// Whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output of a program that succeeded.
    ///
    /// # Errors
    /// [`LabError::Failed`] with both streams.
    pub fn ok(self) -> Result<String> {
        if self.success() {
            return Ok(self.stdout);
        }
        let output = format!("{}{}", self.stdout, self.stderr);
        Err(LabError::Failed { command: self.command, status: self.status, output })
    }
}

/// A running program. Dropping it kills it by its own process id and waits for it.
#[derive(Debug)]
pub struct Process {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Collected,
    stderr: Collected,
    started: Instant,
}

impl Process {
    /// Takes over a child whose standard streams may be pipes.
    pub(super) fn adopt(command: String, mut child: Child) -> Self {
        let stdin = child.stdin.take();
        let stdout = Collected::from(child.stdout.take());
        let stderr = Collected::from(child.stderr.take());
        Self { command, child, stdin, stdout, stderr, started: Instant::now() }
    }

    /// The process id as this process' namespace sees it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Writes to standard input.
    ///
    /// # Errors
    /// [`LabError::Io`] when the program does not read, or the input was closed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self.stdin.as_mut().ok_or_else(|| LabError::Unexpected {
            expected: format!("an open standard input of `{}`", self.command),
            got: "a closed one".into(),
        })?;
        let written = stdin.write_all(bytes).and_then(|()| stdin.flush());
        written.map_err(LabError::io(format!("writing to `{}`", self.command)))
    }

    /// Closes standard input: the program reads end of file.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Whether the program has not ended yet.
    ///
    /// # Errors
    /// [`LabError::Io`] from waitpid.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.poll()?.is_none())
    }

    /// Waits until one of the output streams contains `text`.
    ///
    /// # Errors
    /// [`LabError::Failed`] when the program ends first, [`LabError::Timeout`] with its output otherwise.
    pub fn wait_for_text(&mut self, text: &str, within: Duration) -> Result<()> {
        let what = format!("`{}` saying {text:?}", self.command);
        let seen = wait_until(&what, within, || {
            // Looked at in this order, so that the last words of a program that has just ended are not missed.
            let ended = self.poll()?;
            if self.stdout().contains(text) || self.stderr().contains(text) {
                return Ok(true);
            }
            match ended {
                Some(status) => Err(self.finished(status).ok().err().unwrap_or_else(|| self.ended_early())),
                None => Ok(false),
            }
        });
        seen.map_err(|error| self.with_output(error))
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`LabError::Timeout`] with the output so far; the program then still runs.
    pub fn wait(&mut self, within: Duration) -> Result<Finished> {
        let what = format!("the end of `{}`", self.command);
        let status = wait_for(&what, within, || self.poll()).map_err(|error| self.with_output(error))?;
        Ok(self.finished(status))
    }

    /// Sends a signal to this program alone.
    ///
    /// # Errors
    /// [`LabError::Io`] when the program is gone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), true) = (pid, self.is_running()?) {
            let sent = kill_process(pid, signal).map_err(std::io::Error::from);
            return sent.map_err(LabError::io(format!("signalling `{}`", self.command)));
        }
        Ok(())
    }

    /// SIGTERM, then the end.
    ///
    /// # Errors
    /// [`LabError::Timeout`] when it goes on in spite of the signal; it is killed then.
    pub fn terminate(mut self, within: Duration) -> Result<Finished> {
        self.signal(Signal::TERM)?;
        self.wait(within)
    }

    fn poll(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(LabError::io(format!("waiting for `{}`", self.command)))
    }

    fn finished(&mut self, status: ExitStatus) -> Finished {
        let elapsed = self.started.elapsed();
        self.stdout.settle();
        self.stderr.settle();
        Finished {
            command: self.command.clone(),
            code: status.code(),
            status: status.to_string(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            elapsed,
        }
    }

    fn ended_early(&self) -> LabError {
        LabError::Failed {
            command: self.command.clone(),
            status: "success, but too early".into(),
            output: format!("{}{}", self.stdout(), self.stderr()),
        }
    }

    fn with_output(&self, error: LabError) -> LabError {
        match error {
            LabError::Timeout { what, within, .. } => {
                let detail = format!("{}{}", self.stdout(), self.stderr());
                LabError::Timeout { what, within, detail }
            }
            other => other,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a program that has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An output stream, drained by a thread of its own so that no program ever blocks on a full pipe.
#[derive(Debug, Default)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn from(stream: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = stream.map(|mut stream| {
            let bytes = Arc::clone(&bytes);
            thread::spawn(move || {
                let mut chunk = [0; 8192];
                while let Ok(count @ 1..) = stream.read(&mut chunk) {
                    let mut kept = bytes.lock();
                    let room = KEPT_BYTES.saturating_sub(kept.len());
                    kept.extend_from_slice(&chunk[..count.min(room)]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock()).into_owned()
    }

    fn settle(&mut self) {
        if let Some(reader) = &self.reader {
            // A grandchild that keeps the stream open is no reason to fail.
            let _ = wait_until("end of output", GRACE, || Ok(reader.is_finished()));
        }
    }
}
