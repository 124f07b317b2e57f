//! testpmd, told to forward for a moment and asked how much it was.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use dpdk_bindings::Memory;

use crate::machine;
use crate::race::Contender;

/// Of forwarding, in each sample: a million frames and more.
const MOMENT: Duration = Duration::from_millis(100);

/// It forwards on the last core, where we are when it does not.
pub struct Testpmd {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The kernel's account of the thread that forwards.
    schedstat: String,
}

impl Testpmd {
    /// Two net_null devices, MAC swap, stopped.
    pub fn start(memory: Memory, buffers: u32) -> anyhow::Result<Testpmd> {
        let lcores = lcores()?;
        // Its output would stay in its buffer otherwise.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "dpdk-testpmd", "--lcores", &lcores, "--log-level=error"]);
        command.args(["--no-pci", "--no-telemetry"]);
        match memory {
            Memory::Huge { megabytes } => command.args(["--in-memory", "-m", &megabytes.to_string()]),
            Memory::NoHuge { megabytes } => {
                command.args(["--no-huge", "--no-shconf", "-m", &megabytes.to_string()])
            }
        };
        command.args(["--vdev=net_null0", "--vdev=net_null1", "--", "-i", "--forward-mode=macswap"]);
        command.args([&format!("--total-num-mbufs={buffers}"), "--burst=32"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child =
            command.spawn().context("dpdk-testpmd cannot be run (Debian: apt install dpdk-dev)")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdin = stdin.context("testpmd's input")?;
        let stdout = BufReader::new(stdout.context("testpmd's output")?);
        let mut testpmd = Testpmd { child, stdin, stdout, schedstat: String::new() };
        // It listens once it has begun and ended.
        testpmd.forward(Duration::from_millis(10))?;
        testpmd.schedstat = testpmd.thread()?;
        Ok(testpmd)
    }

    /// Of the thread that forwards.
    fn thread(&self) -> anyhow::Result<String> {
        // `rte-worker-1`, or `lcore-worker-1` or `dpdk-worker1` of other versions.
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let path = task?.path();
            if fs::read_to_string(path.join("comm"))?.contains("-worker") {
                return Ok(path.join("schedstat").to_string_lossy().into_owned());
            }
        }
        bail!("testpmd has no thread that forwards")
    }

    /// Frames that went through meanwhile.
    fn forward(&mut self, moment: Duration) -> anyhow::Result<u64> {
        writeln!(self.stdin, "start")?;
        sleep(moment);
        writeln!(self.stdin, "stop")?;
        let mut is_sum = false;
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line)? == 0 {
                bail!("testpmd has ended: {}", self.child.wait()?);
            }
            is_sum |= line.contains("Accumulated forward statistics");
            if let Some(frames) = transmitted(&line).filter(|_| is_sum) {
                return Ok(frames);
            }
        }
    }

    fn processor_time(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(&self.schedstat)?;
        let first = text.split(' ').next().and_then(|word| word.parse().ok());
        first.with_context(|| format!("{}: no processor time", self.schedstat))
    }

    fn sample(&mut self) -> anyhow::Result<f64> {
        let before = self.processor_time()?;
        let frames = self.forward(MOMENT)?;
        // The sum is printed when the thread has stopped.
        Ok((self.processor_time()? - before) as f64 / frames as f64)
    }

    pub fn quit(mut self) -> anyhow::Result<()> {
        writeln!(self.stdin, "quit")?;
        // What it says last must go somewhere, or it waits for ever.
        std::io::copy(&mut self.stdout, &mut std::io::sink())?;
        self.child.wait()?;
        Ok(())
    }
}

impl Contender for Testpmd {
    fn round(&mut self) -> usize {
        unreachable!("it counts for itself")
    }

    fn nanoseconds(&mut self, _: usize) -> f64 {
        self.sample().expect("testpmd forwards as long as nobody ends it")
    }
}

impl Drop for Testpmd {
    /// After an error; an orderly end has waited for it, and then these do nothing.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Threads of DPDK by core: the one that listens on any that we are not on, the one that forwards on ours. Their numbers are the first ones, for
/// DPDK knows no more than it was built for.
fn lcores() -> anyhow::Result<String> {
    let [.., other, ours] = machine::core_numbers()[..] else {
        bail!(
            "testpmd wants a core to listen on and one to forward on, and this process may run on one only (`nproc`, `taskset -p $$`)"
        )
    };
    Ok(format!("0@{other},1@{ours}"))
}

/// From `TX-packets: 123 TX-dropped: 0 …`.
fn transmitted(line: &str) -> Option<u64> {
    line.split_once("TX-packets:")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn transmitted_frames_are_read() {
        let line = "  TX-packets: 27470208       TX-dropped: 0             TX-total: 27470208";
        assert_eq!(super::transmitted(line), Some(27_470_208));
    }
}
