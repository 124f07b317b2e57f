//! What the figures were taken on, and whether it had time for them.

mod cores;

use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Context;
use core_affinity::CoreId;
use serde::{Deserialize, Serialize};

use crate::race::processor_time;
use cores::{Cores, Place};

/// Less processor time than that of all that has passed means that somebody else had the core.
pub const QUIET_SHARE: f64 = 0.98;
/// More of all processor time than that taken by the hypervisor means that it had the core.
const QUIET_STEAL: f64 = 0.01;
/// More of all processor time than that, on whichever core, means that others used the memory and the caches that cores share.
const QUIET_OTHERS: f64 = 0.05;

/// By name and value, as a page shows it.
pub type Facts = Vec<(String, String)>;

/// Facts as one process tells them another.
pub fn read(json: &str) -> serde_json::Result<Facts> {
    serde_json::from_str(json)
}

/// Processor, memory, kernel, versions, date.
pub fn facts() -> Facts {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str, split: char| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(split)?.1.trim().trim_matches('"').to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = file("/proc/meminfo");
    let facts = [
        ("date", Some(humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string())),
        ("commit", said("git", &["describe", "--always", "--dirty", "--abbrev=12"])),
        ("processor", value(&file("/proc/cpuinfo"), "model name", ':')),
        ("cores", Some(cores.to_string())),
        ("of these alike, with a thread each", Some(self::cores().to_string())),
        ("L3", said("cat", &["/sys/devices/system/cpu/cpu0/cache/index3/size"])),
        ("memory", value(&memory, "MemTotal", ':')),
        ("huge pages", value(&memory, "HugePages_Total", ':')),
        (
            "transparent huge pages",
            Some(file("/sys/kernel/mm/transparent_hugepage/enabled").trim().to_owned()),
        ),
        ("kernel", Some(file("/proc/sys/kernel/osrelease").trim().to_owned())),
        ("system", value(&file("/etc/os-release"), "PRETTY_NAME", '=')),
        ("DPDK", said("pkg-config", &["--modversion", "libdpdk"])),
        ("rustc", said("rustc", &["--version"])),
        ("load average before", file("/proc/loadavg").split(' ').next().map(str::to_owned)),
    ];
    let known = |(name, value): (&str, Option<String>)| {
        (name.to_owned(), value.filter(|value| !value.is_empty()).unwrap_or_else(|| "unknown".to_owned()))
    };
    facts.into_iter().map(known).collect()
}

/// The clock that the processor says it has, if it does.
pub fn megahertz() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

/// Megabytes of huge pages that nobody has.
#[cfg(feature = "dpdk")]
pub fn huge_pages() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let is_mounted = std::fs::read_to_string("/proc/mounts").unwrap_or_default().contains(" hugetlbfs ");
    let kilobytes = value("HugePages_Free:").unwrap_or(0) * value("Hugepagesize:").unwrap_or(0);
    if is_mounted { kilobytes >> 10 } else { 0 }
}

/// The first line of what a program says.
pub fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

/// Those that this process may run on, as they were before any thread was pinned.
static CORES: LazyLock<Cores> = LazyLock::new(|| {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    Cores::of(ids.into_iter().map(|core| core.id), Place::of)
});

/// The core of this thread: interrupts, and whoever does not care, are mostly on the first, so the last. False where that cannot be had.
pub fn pin() -> bool {
    pin_before(0)
}

/// The core so many before that one.
pub fn pin_before(last: usize) -> bool {
    let core = CORES.numbers.iter().rev().nth(last);
    core.is_some_and(|id| core_affinity::set_for_current(CoreId { id: *id }))
}

/// By their numbers, the last one's is that of this thread.
#[cfg(feature = "dpdk")]
pub fn core_numbers() -> &'static [usize] {
    &CORES.numbers
}

/// How many threads can have a core each: one that is no other one's second thread, of one kind and on one memory node.
pub fn cores() -> usize {
    CORES.alike
}

/// Takes the pinning back, which processes inherit.
pub fn unpin() -> anyhow::Result<()> {
    let mut all = rustix::thread::CpuSet::new();
    CORES.numbers.iter().for_each(|core| all.set(*core));
    rustix::thread::sched_setaffinity(None, &all).context("all cores cannot be had")
}

/// Processor time that the whole machine has spent so far, by its ticks.
pub fn busy() -> Duration {
    let second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(Ticks::now().busy as f64 / second as f64)
}

/// How much of the machine a measurement had.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Share {
    /// Processor time of the thread that measures, of the time that has passed.
    pub own: f64,
    /// Processor time of all cores that the hypervisor took.
    pub stolen: f64,
    /// And that processes had which this one has not started.
    #[serde(default)]
    pub others: f64,
}

impl Share {
    /// Why the figures are not to be trusted, if so.
    pub fn complaint(&self) -> Option<String> {
        if self.own >= QUIET_SHARE && self.stolen <= QUIET_STEAL && self.others <= QUIET_OTHERS {
            return None;
        }
        let [own, stolen, others] = [self.own, self.stolen, self.others].map(|share| share * 100.0);
        Some(format!(
            "the machine was busy: this thread had {own:.0} % of its core, the hypervisor took {stolen:.1} % of all, other processes \
             {others:.1} %; what others leave in the caches is in these figures"
        ))
    }
}

/// Begun when a measurement begins.
pub struct Watch {
    wall: Instant,
    own: Duration,
    ticks: Ticks,
}

/// Of all cores, in the kernel's ticks.
#[derive(Clone, Copy, Default)]
struct Ticks {
    all: u64,
    stolen: u64,
    busy: u64,
    /// Of busy ones, this process's and those of the ones that it has waited for.
    own: u64,
}

impl Ticks {
    fn now() -> Ticks {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let own = own_ticks(&file("/proc/self/stat")).unwrap_or_default();
        Ticks { own, ..Ticks::of(&file("/proc/stat")).unwrap_or_default() }
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in user's.
    fn of(stat: &str) -> Option<Ticks> {
        let words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
        let &[user, nice, system, _, _, irq, softirq, stolen] = ticks.as_slice() else { return None };
        Some(Ticks { all: ticks.iter().sum(), stolen, busy: user + nice + system + irq + softirq, own: 0 })
    }
}

/// User and system time of a process and of its children that have ended: four figures, of which the first is the eleventh behind its name.
fn own_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    behind_name.split_whitespace().skip(11).take(4).map(|word| word.parse::<u64>().ok()).sum()
}

impl Watch {
    pub fn start() -> Watch {
        Watch { wall: Instant::now(), own: processor_time(), ticks: Ticks::now() }
    }

    /// Since it was started. `sleeps`: wall time in which this thread waited for others, as it should.
    pub fn share(&self, sleeps: Duration) -> Share {
        let wall = self.wall.elapsed().saturating_sub(sleeps).as_secs_f64();
        let ticks = Ticks::now();
        let all = ticks.all.saturating_sub(self.ticks.all).max(1);
        let of_all = |ticks: u64| ticks as f64 / all as f64;
        let busy = ticks.busy.saturating_sub(self.ticks.busy);
        Share {
            own: ((processor_time() - self.own).as_secs_f64() / wall.max(1e-9)).min(1.0),
            stolen: of_all(ticks.stolen.saturating_sub(self.ticks.stolen)),
            others: of_all(busy.saturating_sub(ticks.own.saturating_sub(self.ticks.own))),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_figure() {
        let ticks = Ticks::of("cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 …").expect("a line as the kernel writes it");
        assert_eq!((ticks.all, ticks.stolen, ticks.busy), (108, 80, 19));
    }

    #[test]
    fn a_busy_machine_is_complained_of() {
        let quiet = Share { own: 0.99, stolen: 0.0, others: 0.01 };
        assert!(quiet.complaint().is_none());
        assert!(Share { own: 0.9, ..quiet }.complaint().is_some());
        assert!(Share { stolen: 0.1, ..quiet }.complaint().is_some());
        assert!(Share { others: 0.3, ..quiet }.complaint().is_some());
    }

    #[test]
    fn a_process_has_its_own_time_and_that_of_its_children() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194304 1 2 3 4 10 20 300 4000 20 0 3 0 99";
        assert_eq!(own_ticks(stat), Some(4330));
        let own = std::fs::read_to_string("/proc/self/stat").expect("a process has its own");
        assert!(own_ticks(&own).is_some(), "{own}");
    }
}
