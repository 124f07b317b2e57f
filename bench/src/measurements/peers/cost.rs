//! What processes have taken, by what the kernel says of them in /proc.

use std::fs;
use std::io;
use std::time::Duration;

/// Processor time of all threads that a process has. The kernel's work for it is in that, and what it did for others in the
/// process's turn: a frame that is sent over a veth is received in the sender's.
pub fn processor_time(process: u32) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = thread?.path().join("schedstat");
        // One that ends meanwhile has no figure any more.
        let Ok(told) = fs::read_to_string(&path) else { continue };
        let missing = || format!("{}: no figure; the kernel wants CONFIG_SCHED_INFO", path.display());
        sum += parse(&told).ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, missing()))?;
    }
    Ok(sum)
}

/// The first figure: nanoseconds on a processor.
fn parse(schedstat: &str) -> Option<Duration> {
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Of all processes that this one sees but itself: in a process namespace of its own, of the whole lab.
pub fn of_the_lab() -> io::Result<Duration> {
    let own = std::process::id();
    let mut sum = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let process = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(process) = process.filter(|process| *process != own) {
            sum += processor_time(process).unwrap_or_default();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_figure_is_time_on_a_processor() {
        assert_eq!(parse("43795745 12 1\n"), Some(Duration::from_nanos(43_795_745)));
        assert_eq!(parse(""), None);
    }

    /// Of another process: threads of this one, tests that end meanwhile, take their time with them.
    #[test]
    fn work_takes_processor_time() {
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let enough = || processor_time(busy.id()).unwrap_or_default() >= Duration::from_millis(30);
        let seen = control::lab::wait_for("a spinning process's time", control::lab::LATE, || {
            Ok(enough().then_some(()))
        });
        busy.kill().and_then(|()| busy.wait()).unwrap();
        assert!(seen.is_ok(), "{seen:?}");
    }
}
