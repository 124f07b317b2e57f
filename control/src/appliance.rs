//! The appliance as a process: EAL, ports, one thread per worker, one for the control core, and their end.
//!
//! The calling thread keeps the EAL and watches links and signals. Shutdown drops what holds frames first, so that
//! every buffer is back in the pool before the pool is asked.

mod faults;
mod links;
mod ports;
mod threads;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant as WallInstant};

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use dataplane::counters::Counter;
use dataplane::worker::report::Report;
use dpdk_bindings::{Eal, EalConfig, LogLevel, Memory, Mempool};

use crate::config::validated::{Config, Device};
use crate::config::{BUFFER_CACHE, Machine};
use crate::module::{Custom, as_configured};
use crate::policy::reload::Reloader;

use links::LinkWatch;
use threads::Threads;
pub use view::View;

/// How often the calling thread looks at links and signals.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// Runs until SIGINT or SIGTERM. A device that DPDK does not find, or that cannot be what its port is configured as, is a
/// [`crate::config::ConfigError`]. `ready` is called once, with the view that the management interface serves; what it
/// returns lives as long as packets are carried.
pub fn run<G>(config: Config, ready: impl FnOnce(View) -> anyhow::Result<G>) -> anyhow::Result<()> {
    run_with(config, as_configured(), ready)
}

/// The same in a program that has modules of its own: `custom` gets each configured module, when it starts and when a reload
/// has changed it, and says what takes its place.
pub fn run_with<G>(
    config: Config,
    custom: Custom,
    ready: impl FnOnce(View) -> anyhow::Result<G>,
) -> anyhow::Result<()> {
    // Before the EAL pins this thread: later it would have one core only.
    let machine = Machine::this();
    faults::check_rights(&config)?;
    faults::check_huge_pages(&config)?;
    let eal_config = eal_config(&config);
    let _leftovers = RuntimeFolder::of(eal_config.file_prefix.as_deref().unwrap_or_default());
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals cannot be watched")?;
    let eal = Eal::start(&eal_config).map_err(|error| faults::at_start(&config, error))?;
    let memory = &config.memory;
    let pool =
        Mempool::new(&eal.handle(), "quadrille", memory.buffers, BUFFER_CACHE, memory.data_room, None)?;
    let outcome = carry(&config, machine, &eal, &pool, signals, custom, ready);
    let (in_use, total) = (pool.in_use(), pool.buffers() as usize);
    drop(pool);
    let shut_down = eal.shutdown();
    let ended = outcome?;
    ended.print_counters();
    // The EAL cannot be cleaned up under what AF_XDP keeps; the system takes that back when the process ends.
    let kept = in_use.min(ended.kept);
    match kept {
        0 => shut_down?,
        _ => info!("{kept} buffers stay with AF_XDP until the process has ended"),
    }
    let (lost, ours) = (in_use - kept, total - kept);
    println!("buffers: {} of {ours} returned", ours - lost);
    if lost > 0 {
        bail!("{lost} packet buffers did not come back to their pool; please report this");
    }
    Ok(())
}

/// What is left when all threads have ended.
struct Ended {
    /// The most buffers that devices keep.
    kept: usize,
    reports: Vec<Arc<Report>>,
}

impl Ended {
    /// Every counter that has counted, all threads together.
    fn print_counters(&self) {
        for counter in Counter::ALL {
            let sum: u64 = self.reports.iter().map(|report| report.get(*counter)).sum();
            if sum > 0 {
                println!("{:<28} {sum:>14}", counter.name());
            }
        }
    }
}

/// Opens the ports, runs the threads, and waits for the end.
fn carry<G>(
    config: &Config,
    machine: Machine,
    eal: &Eal,
    pool: &Mempool,
    mut signals: Signals,
    custom: Custom,
    ready: impl FnOnce(View) -> anyhow::Result<G>,
) -> anyhow::Result<Ended> {
    let opened = ports::open(&eal.handle(), config, pool)?;
    let (eal, lines, steering, mtu) = (eal.handle(), opened.lines, opened.steering, &opened.mtu);
    // Workers without an impaired port are compiled without a trace of it.
    let threads = match config.ports.iter().any(|port| port.impairment.is_some()) {
        true => {
            let lines = ports::impair(config, lines, pool);
            Threads::start(config, machine, &eal, pool, lines, steering, mtu, custom)?
        }
        false => Threads::start(config, machine, &eal, pool, lines, steering, mtu, custom)?,
    };
    let view = View::new(config, &threads, pool.clone(), Arc::clone(&opened.ports));
    let management = ready(view)?;
    let mut links = LinkWatch::new(config, Arc::clone(&opened.ports));
    while !is_told_to_end(&mut signals, Some(&threads.reloader)) && !threads.any_ended() {
        links.look();
        std::thread::sleep(WATCH_INTERVAL);
    }
    info!("stopping");
    let_flows_finish(config, &threads, &mut signals);
    drop(management);
    let reports = threads.reports();
    threads.stop()?;
    Ok(Ended { kept: opened.kept, reports })
}

/// Whether SIGINT or SIGTERM has come. SIGHUP reads the configuration again, as daemons do.
fn is_told_to_end(signals: &mut Signals, reloader: Option<&Reloader>) -> bool {
    let mut ends = false;
    for signal in signals.pending() {
        match (signal, reloader) {
            (SIGHUP, Some(reloader)) => reload(reloader),
            (SIGHUP, None) => {}
            _ => ends = true,
        }
    }
    ends
}

/// Nobody waits for the answer: it goes to the log.
fn reload(reloader: &Reloader) {
    match reloader.reload() {
        Ok(reloaded) => {
            for warning in &reloaded.warnings {
                warn!("{warning}");
            }
            info!(rules = reloaded.rules, modules = reloaded.modules, "reloaded");
            if !reloaded.needs_restart.is_empty() {
                warn!("left as at start, until a restart: {}", reloaded.needs_restart.join(", "));
            }
        }
        Err(error) => error!("not reloaded: {error}"),
    }
}

/// Participating flows end with the process; they get the configured time to end by themselves. A second signal, or a
/// thread that has ended, cuts it short.
fn let_flows_finish(config: &Config, threads: &Threads, signals: &mut Signals) {
    let deadline = WallInstant::now() + config.timeouts.shutdown;
    while WallInstant::now() < deadline
        && threads.participating() > 0
        && !is_told_to_end(signals, None)
        && !threads.any_ended()
    {
        std::thread::sleep(WATCH_INTERVAL);
    }
}

/// DPDK makes a folder for each file prefix and never removes it; ours has the process id in it, so nobody else would.
struct RuntimeFolder(PathBuf);

impl RuntimeFolder {
    /// Where `eal_create_runtime_dir` puts it.
    fn of(prefix: &str) -> RuntimeFolder {
        let root = rustix::process::getuid().is_root();
        let base = match std::env::var_os("XDG_RUNTIME_DIR") {
            _ if root => "/var/run".into(),
            Some(folder) => folder,
            None => "/tmp".into(),
        };
        RuntimeFolder(Path::new(&base).join("dpdk").join(prefix))
    }
}

impl Drop for RuntimeFolder {
    fn drop(&mut self) {
        // It may never have been made, and an empty folder on a tmpfs is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn eal_config(config: &Config) -> EalConfig {
    let megabytes = config.memory.megabytes;
    let memory = match config.memory.hugepages {
        true => Memory::Huge { megabytes },
        false => Memory::NoHuge { megabytes },
    };
    let devices = |wanted: fn(&Device) -> Option<&String>| -> Vec<String> {
        config.ports.iter().filter_map(|port| wanted(&port.device)).cloned().collect()
    };
    EalConfig {
        main_core: config.cores.control as u16,
        vdevs: devices(|device| match device {
            Device::Vdev(text) => Some(text),
            Device::Pci(_) => None,
        }),
        pci: devices(|device| match device {
            Device::Pci(address) => Some(address),
            Device::Vdev(_) => None,
        }),
        file_prefix: Some(format!("quadrille-{}", std::process::id())),
        log_level: LogLevel::Warning,
        ..EalConfig::new("quadrille", memory)
    }
}
