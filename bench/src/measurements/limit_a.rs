//! Limit A of DESIGN section 10: `dpdk-testpmd` swaps MAC addresses between two virtual devices.
//!
//! `net_null` gives frames of zeros, of which no worker makes anything, so the figure is put together from two differences of one
//! sample: what our port layer costs, by our own MAC swap over the same devices beside testpmd's, and what the worker costs, by the
//! worker beside our MAC swap over ports in memory.

mod testpmd;

use anyhow::Context;
use dataplane::port::dpdk::DpdkPort;
use dpdk_bindings::{Eal, EalConfig, Memory, Mempool, Port, PortConfig, StartedPort};

use crate::carried::cut_through;
use crate::forwarder::{Forwarder, MacSwap};
use crate::generator::Generator;
use crate::machine;
use crate::race::{Contender, race};
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
    turn on the same one; where huge pages are set aside, both use them. `net_null` gives frames of zeros, which no worker can be \
    fed with; so *worker over the devices* is *ours*, and what the worker takes longer than the same MAC swap over ports in memory. \
    All are of one sample. Nanoseconds a frame of processor time; *of limit A* is testpmd's by that.";

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

fn run(run: &mut Run) -> anyhow::Result<Finding> {
    // For both programs.
    let has_huge = machine::huge_pages() >= 2 * u64::from(MEGABYTES);
    let memory = match has_huge {
        true => Memory::Huge { megabytes: MEGABYTES },
        false => Memory::NoHuge { megabytes: MEGABYTES },
    };
    run.say(format!(
        "{MEGABYTES} MB of {} pages for either program",
        if has_huge { "huge" } else { "ordinary" }
    ));
    let mut devices = run.wait_for(|| devices(memory))?;
    let mut testpmd = run.wait_for(|| Testpmd::start(memory, BUFFERS))?;
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
    let samples = race(run.length(FRAMES), &mut contenders);
    run.waited += testpmd.waited();
    workers.iter().for_each(|(_, worker)| worker.assert_nothing_was_lost());
    run.wait_for(|| testpmd.quit())?;

    let columns = ["testpmd", "ours", "worker less MAC swap", "worker over the devices", "of limit A"];
    let mut finding =
        Finding { how: HOW.into(), columns: columns.map(Into::into).into(), ..Finding::default() };
    let limit = samples.spread(|times| times[TESTPMD]);
    let ours = samples.spread(|times| times[OURS]);
    let of_ours = samples.spread(|times| times[TESTPMD] / times[OURS]);
    finding.rows.push(Row {
        case: "MAC swap".into(),
        values: vec![Some(limit), Some(ours), None, None, Some(of_ours)],
    });
    for (at, name) in names.into_iter().enumerate() {
        let more = |times: &[f64]| times[WORKERS + at] - times[SWAP];
        let whole = |times: &[f64]| times[OURS] + more(times);
        let ratio = samples.spread(|times| times[TESTPMD] / whole(times));
        let values = [limit, ours, samples.spread(more), samples.spread(whole), ratio];
        let demand = Demand::AtLeast(0.6);
        finding.gates.push(Gate { what: format!("of limit A, {name}"), value: ratio, demand });
        finding.rows.push(Row { case: name, values: values.map(Some).into() });
    }
    Ok(finding)
}
