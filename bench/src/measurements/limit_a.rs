//! Limit A of DESIGN section 10: `dpdk-testpmd` swaps MAC addresses between two virtual devices.
//!
//! `net_null` gives frames of zeros, of which no worker makes anything, so the figure is put together from two differences of one
//! sample: what our port layer costs, by our own MAC swap over the same devices beside testpmd's, and what the worker costs, by the
//! worker beside our MAC swap over ports in memory.

mod testpmd;

use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, ensure};
use dataplane::port::dpdk::DpdkPort;
use dpdk_bindings::{Eal, EalConfig, Memory, Mempool, Port, PortConfig, StartedPort};
use serde::{Deserialize, Serialize};

use crate::carried::cut_through;
use crate::forwarder::{Forwarder, MacSwap};
use crate::generator::Generator;
use crate::machine;
use crate::race::{Contender, Length, Samples, race};
use crate::suite::{Demand, Finding, Gate, Measurement, Row, Run};
use crate::traffic::{Family, Traffic};
use testpmd::Testpmd;

pub const MEASUREMENT: Measurement = Measurement {
    name: "limit-a",
    about: "Cut-through of 1000 flows against dpdk-testpmd's MAC swap",
    budget: "at least 0.60 of limit A with 64-byte frames and 1 k flows",
    only_full: false,
    most_samples: usize::MAX,
    run,
};

const HOW: &str = "*testpmd* and *ours* swap MAC addresses over two `net_null` devices, 64-byte frames, bursts of 32, one core, in \
    turn on the same one, both in the same kind of pages. `net_null` gives frames of zeros, which no worker can be \
    fed with; so *worker over the devices* is *ours*, and what the worker takes longer than the same MAC swap over ports in memory. \
    All are of one sample. Nanoseconds a frame of processor time; *of limit A* is testpmd's by that. In huge pages, which is how DPDK is \
    used, `net_null` and testpmd take half as long, and what the worker does in addition is the same.";

/// What a page and whoever measures are told.
const WITHOUT_HUGE: &str = "not measured, for 256 MB of them are not set aside (as root: sysctl vm.nr_hugepages=256; \
    mount -t hugetlbfs hugetlbfs /dev/hugepages)";

/// Frames of each contender and sample.
const FRAMES: usize = 400_000;
const FLOWS: u32 = 1000;
/// Enough for either program's pool.
const MEGABYTES: u32 = 128;
/// The same as testpmd is given: they stay in the pool's cache anyway.
const BUFFERS: u32 = 8191;

const TESTPMD: usize = 0;
const OURS: usize = 1;
const SWAP: usize = 2;
/// And those that follow.
const WORKERS: usize = 3;

/// Our two devices; what falls out of scope first must come first.
struct Devices {
    forwarder: Forwarder<DpdkPort, MacSwap>,
    _ports: [Port; 2],
    _pool: Mempool,
    _eal: Eal,
}

fn devices(memory: Memory) -> anyhow::Result<Devices> {
    let mut config = EalConfig::new("bench", memory);
    config.main_core = machine::core_numbers().last().copied().unwrap_or(0) as u16;
    config.vdevs = vec!["net_null0".into(), "net_null1".into()];
    config.file_prefix = Some(format!("quadrille-bench-{}", std::process::id()));
    let eal = Eal::start(&config)?;
    let pool = Mempool::new(&eal.handle(), "frames", BUFFERS, 256, 2176, None)?;
    let open = |device: &str| -> anyhow::Result<(Port, DpdkPort)> {
        let StartedPort { port, mut rx, mut tx } =
            Port::open(&eal.handle(), device, &PortConfig::for_workers(1), &pool)?;
        let (rx, tx) = (rx.pop().context("no RX queue")?, tx.pop().context("no TX queue")?);
        Ok((port, DpdkPort::new(rx, tx)))
    };
    let ((port, queues), (other, other_queues)) = (open(&config.vdevs[0])?, open(&config.vdevs[1])?);
    let forwarder = Forwarder::new([queues, other_queues], MacSwap);
    Ok(Devices { forwarder, _ports: [port, other], _pool: pool, _eal: eal })
}

/// What a process of its own does, for the EAL starts once in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pages: Pages,
    samples: usize,
    units: usize,
}

/// What both programs' packet memory is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Pages {
    Huge,
    Ordinary,
}

impl Pages {
    const fn name(self) -> &'static str {
        match self {
            Pages::Huge => "huge pages",
            Pages::Ordinary => "ordinary pages",
        }
    }

    const fn memory(self) -> Memory {
        match self {
            Pages::Huge => Memory::Huge { megabytes: MEGABYTES },
            Pages::Ordinary => Memory::NoHuge { megabytes: MEGABYTES },
        }
    }
}

impl FromStr for Part {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Part, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl Part {
    /// Prints rows and gates.
    pub fn carry_out(self) -> anyhow::Result<()> {
        machine::pin();
        println!("{}", serde_json::to_string(&self.take()?)?);
        Ok(())
    }

    fn take(self) -> anyhow::Result<(Vec<Row>, Vec<Gate>)> {
        let mut devices = devices(self.pages.memory())?;
        let mut testpmd = Testpmd::start(self.pages.memory(), BUFFERS)?;
        let traffic = Traffic::shortest(FLOWS);
        let mut swap = Forwarder::start(Generator::pair(&traffic), MacSwap);
        let mut workers = Vec::new();
        for family in [Family::V4, Family::V6] {
            for delta in [0, 1_000_003] {
                let name = format!("{family}, deltas {}", if delta == 0 { "0" } else { "not 0" });
                workers.push((name, cut_through(&Traffic { family, ..traffic }, delta)));
            }
        }
        let names: Vec<String> = workers.iter().map(|(name, _)| name.clone()).collect();
        let mut contenders: Vec<&mut dyn Contender> = vec![&mut testpmd, &mut devices.forwarder, &mut swap];
        contenders.extend(workers.iter_mut().map(|(_, worker)| worker as &mut dyn Contender));
        let samples = race(Length { samples: self.samples, units: self.units }, &mut contenders);
        workers.iter().for_each(|(_, worker)| worker.assert_nothing_was_lost());
        testpmd.quit()?;
        Ok(self.findings(&samples, names))
    }

    /// Of testpmd, our MAC swap over the same devices, the one in memory, and workers of these names.
    fn findings(self, samples: &Samples, workers: Vec<String>) -> (Vec<Row>, Vec<Gate>) {
        let pages = self.pages.name();
        let limit = samples.spread(|times| times[TESTPMD]);
        let ours = samples.spread(|times| times[OURS]);
        let of_ours = samples.spread(|times| times[TESTPMD] / times[OURS]);
        let values = vec![Some(limit), Some(ours), None, None, Some(of_ours)];
        let mut rows = vec![Row { case: format!("{pages}, MAC swap"), values }];
        let mut gates = Vec::new();
        for (at, name) in workers.into_iter().enumerate() {
            let more = |times: &[f64]| times[WORKERS + at] - times[SWAP];
            let whole = |times: &[f64]| times[OURS] + more(times);
            let ratio = samples.spread(|times| times[TESTPMD] / whole(times));
            let values = [limit, ours, samples.spread(more), samples.spread(whole), ratio];
            let case = format!("{pages}, {name}");
            let demand = Demand::AtLeast(0.6);
            gates.push(Gate { what: format!("of limit A, {case}"), value: ratio, demand });
            rows.push(Row { case, values: values.map(Some).into() });
        }
        (rows, gates)
    }
}

/// In a process of its own, which has all cores to choose from.
fn apart(part: Part) -> anyhow::Result<(Vec<Row>, Vec<Gate>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--limit-a").arg(serde_json::to_string(&part)?).stderr(Stdio::inherit());
    machine::unpin()?;
    let output = command.output();
    machine::pin();
    let output = output?;
    ensure!(output.status.success(), "{}: {}", part.pages.name(), output.status);
    serde_json::from_slice(&output.stdout).context("no findings")
}

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    let columns = ["testpmd", "ours", "worker less MAC swap", "worker over the devices", "of limit A"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let Length { samples, units } = run.length(FRAMES);
    // For both programs.
    let has_huge = machine::huge_pages() >= 2 * u64::from(MEGABYTES);
    for pages in [Pages::Huge, Pages::Ordinary] {
        if pages == Pages::Huge && !has_huge {
            run.say(WITHOUT_HUGE);
            finding.rows.push(Row { case: format!("huge pages: {WITHOUT_HUGE}"), values: vec![None; 5] });
            continue;
        }
        run.say(pages.name());
        let (rows, gates) = run.wait_for(|| apart(Part { pages, samples, units }))?;
        finding.rows.extend(rows);
        finding.gates.extend(gates);
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_it_is_written() {
        let part = Part { pages: Pages::Huge, samples: 7, units: 8 };
        let text = serde_json::to_string(&part).expect("it can be told");
        assert_eq!(text.parse::<Part>().expect("its own words"), part);
    }
}
