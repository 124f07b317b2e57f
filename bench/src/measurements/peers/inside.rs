//! What goes on in the lab: all contenders, sample by sample.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use control::lab::{Isolated, LATE, Lab, Net, Process};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::contender::{Contender, Place, Running, quadrille};
use super::ends::{Client, Order, Report};
use super::{IDLE, Part, cost, table};
use crate::machine;
use crate::measurements::connections::cycle::Cycle;
use crate::measurements::memory::resident;
use crate::suite::{Finding, one_line};
use crate::traffic::Family;

/// A sender that shares its algorithm with ours; BBR, the kernel's default here, would show another one's.
const CONGESTION_CONTROL: &str = "cubic";

/// Connections of a sample, and so many at once.
pub const CONNECTIONS: usize = 4000;
const AT_ONCE: usize = 64;
/// One after the other: what a connection takes where nobody else has one.
const ALONE: usize = 400;
/// Of one connection.
pub const BULK: u64 = 128 << 20;
/// Connections of the contender in memory.
const IN_MEMORY: u64 = 50_000;
/// How long one that has nothing to do is watched.
const AT_REST: Duration = Duration::from_millis(500);

/// Of a proxy's open files, those that are not idle connections' sockets, at most.
const OTHER_FILES: u64 = 500;
/// What it has open with [`IDLE`] connections.
const FILES: u64 = 2 * IDLE as u64 + OTHER_FILES;

/// Seconds of processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Of the contender's own process.
    pub own: Option<f64>,
    /// Of all processes of the lab, both ends' included.
    pub lab: f64,
    /// Of the whole machine.
    pub machine: f64,
}

/// What one turn of a contender came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    pub alone: Report,
    pub many: Report,
    /// A connection.
    pub many_cost: Cost,
    pub bulk: Report,
    /// A byte.
    pub bulk_cost: Cost,
}

/// What connections that do nothing take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Idle {
    /// Bytes of the process with all of them.
    pub resident: f64,
    /// By which it has grown for each.
    pub each: f64,
    /// Of a core, without any connection.
    pub at_rest: f64,
}

/// A contender and a family, and what is known of both.
pub struct Lane {
    pub contender: Contender,
    pub net: Net,
    pub samples: Vec<Sample>,
    pub idle: Option<Idle>,
    /// It takes no further part.
    pub failure: Option<String>,
}

/// All that has been seen.
pub struct Seen {
    pub lanes: Vec<Lane>,
    /// Nanoseconds of worker and control core for a connection in memory, by sample.
    pub in_memory: Vec<f64>,
    /// Idle connections of each contender.
    pub idle: usize,
    /// Of all processor time while something was measured, what processes outside of the lab took.
    pub others: f64,
}

/// The lab, and what has been counted in it.
struct Bench {
    place: Place,
    client: Client,
    _server: Process,
    /// Processor time: of all cores, and of processes outside.
    whole: f64,
    outside: f64,
}

/// Builds the lab, and takes so many samples.
pub fn run(isolated: Isolated, samples: usize) -> anyhow::Result<Finding> {
    let mut bench = Bench::new(isolated)?;
    let mut lanes = lanes();
    for lane in lanes.iter_mut().filter(|lane| lane.net == Net::V4) {
        say(&format!("{} idle connections, {}", bench.place.idle, lane.contender.name()));
        match bench.rest(lane.contender) {
            Ok(idle) => lane.idle = idle,
            Err(error) => lane.fail(&error),
        }
    }
    let mut others = bench.start_others(&mut lanes);
    let mut in_memory = Vec::new();
    // The first fills caches and does not count.
    for sample in 0..=samples {
        say(&format!("sample {sample} of {samples}"));
        bench.sample(&mut lanes, &mut others);
        in_memory.push(connections_in_memory()?);
        if sample == 0 {
            lanes.iter_mut().for_each(|lane| lane.samples.clear());
            in_memory.clear();
        }
    }
    let others = bench.outside / bench.whole.max(f64::MIN_POSITIVE);
    Ok(table::finding(&Seen { lanes, in_memory, idle: bench.place.idle, others }))
}

/// Nanoseconds of worker and control core for a connection. Each sample has its own: connections that were under way while the others
/// had their turns would have waited for too long.
fn connections_in_memory() -> anyhow::Result<f64> {
    let mut cycle = Cycle::at_once(Family::V4, 1024);
    cycle.sample(IN_MEMORY);
    let spent = cycle.sample(IN_MEMORY);
    cycle.assert_all_is_well().context("connections in memory")?;
    Ok(spent.worker + spent.core)
}

/// Every contender with IPv4, and those that are measured so with IPv6.
fn lanes() -> Vec<Lane> {
    let all = |net| Contender::ALL.map(|contender| (contender, net));
    let measured = |(contender, net): &(Contender, Net)| *net == Net::V4 || contender.has_ipv6();
    let lane = |(contender, net)| Lane { contender, net, samples: Vec::new(), idle: None, failure: None };
    [Net::V4, Net::V6].into_iter().flat_map(all).filter(measured).map(lane).collect()
}

impl Lane {
    fn fail(&mut self, error: &anyhow::Error) {
        say(&format!("{}: {error:#}", self.contender.name()));
        self.failure = Some(one_line(error));
    }
}

impl Bench {
    fn new(isolated: Isolated) -> anyhow::Result<Bench> {
        let idle = allow_files()?;
        let lab = Lab::builder(isolated, quadrille()?).build()?;
        let ways = lab.ways(CONGESTION_CONTROL)?;
        for host in [lab.client(), lab.server()] {
            host.send_with(CONGESTION_CONTROL)?;
        }
        for host in [lab.client(), lab.server(), ways.router()] {
            // Whoever ends a connection first keeps its port for a minute otherwise.
            host.set("net/ipv4/tcp_tw_reuse", "1")?;
            host.set("net/ipv4/ip_local_port_range", "10000 65535")?;
            // What was learned in one turn would be the next one's.
            host.set("net/ipv4/tcp_no_metrics_save", "1")?;
        }
        let server = Part::Server.on(lab.server())?.spawn()?;
        for contender in Contender::ALL {
            lab.server().wait_for_listener(contender.port(), LATE)?;
        }
        let client = Client::start(lab.client())?;
        Ok(Bench { place: Place { lab, ways, idle }, client, _server: server, whole: 0.0, outside: 0.0 })
    }

    /// Memory of a process that does nothing else. None, where there is none.
    fn rest(&mut self, contender: Contender) -> anyhow::Result<Option<Idle>> {
        let mut running = contender.start(&self.place)?;
        let Some(process) = running.process() else { return Ok(None) };
        let target = contender.target(&self.place, Net::V4);
        // What the first connection brings with it is not another one's.
        self.client.carry_out(Order::Connections { target, count: 1, at_once: 1 })?;
        let start = (Instant::now(), cost::processor_time(process)?);
        std::thread::sleep(AT_REST);
        let rested = cost::processor_time(process)?.saturating_sub(start.1);
        let at_rest = rested.as_secs_f64() / start.0.elapsed().as_secs_f64();
        let bytes = || resident(&process.to_string()).map(|bytes| bytes as f64);
        let before = bytes()?;
        self.client.carry_out(Order::Idle { target, count: self.place.idle })?;
        let resident = bytes()?;
        self.client.carry_out(Order::Close)?;
        running.stop()?;
        Ok(Some(Idle { resident, each: (resident - before) / self.place.idle as f64, at_rest }))
    }

    /// What runs all the time and takes nothing while it is not used: all but the appliance.
    fn start_others(&self, lanes: &mut [Lane]) -> Vec<(Contender, Running)> {
        let mut all = Vec::new();
        for contender in Contender::ALL.into_iter().filter(|contender| !contender.is_ours()) {
            let mut lanes: Vec<_> = lanes.iter_mut().filter(|lane| lane.contender == contender).collect();
            if lanes.iter().any(|lane| lane.failure.is_some()) {
                // Of both families: who cannot be started cannot be measured.
                lanes
                    .iter_mut()
                    .for_each(|lane| lane.failure = lane.failure.take().or(Some("see IPv4".into())));
                continue;
            }
            match contender.start(&self.place) {
                Ok(running) => all.push((contender, running)),
                Err(error) => lanes.iter_mut().for_each(|lane| lane.fail(&error)),
            }
        }
        all
    }

    /// A turn of everybody. The appliance, which takes something even when it rests, runs in its own turns only.
    fn sample(&mut self, lanes: &mut [Lane], others: &mut [(Contender, Running)]) {
        for lane in lanes.iter_mut().filter(|lane| !lane.contender.is_ours()) {
            if let Some((_, running)) = others.iter_mut().find(|(contender, _)| *contender == lane.contender)
            {
                self.turn(lane, running);
            }
        }
        let mut ours: Vec<_> =
            lanes.iter_mut().filter(|lane| lane.contender.is_ours() && lane.failure.is_none()).collect();
        if ours.is_empty() {
            return;
        }
        let ended = Contender::CutThrough.start(&self.place).and_then(|mut running| {
            ours.iter_mut().for_each(|lane| self.turn(lane, &mut running));
            running.stop()
        });
        if let Err(error) = ended {
            ours.iter_mut().for_each(|lane| lane.fail(&error));
        }
    }

    fn turn(&mut self, lane: &mut Lane, running: &mut Running) {
        if lane.failure.is_some() {
            return;
        }
        match self.measure(lane, running) {
            Ok(sample) => lane.samples.push(sample),
            Err(error) => lane.fail(&error),
        }
    }

    fn measure(&mut self, lane: &Lane, running: &mut Running) -> anyhow::Result<Sample> {
        let Lane { contender, net, .. } = *lane;
        let target = contender.target(&self.place, net);
        let merged = running.merges()?;
        self.client.carry_out(Order::Connections { target, count: AT_ONCE, at_once: AT_ONCE })?;
        let alone = self.client.carry_out(Order::Connections { target, count: ALONE, at_once: 1 })?;
        let order = Order::Connections { target, count: CONNECTIONS, at_once: AT_ONCE };
        let (many, many_cost) = self.costs(contender, running, order, CONNECTIONS)?;
        let order = Order::Bulk { target, bytes: BULK };
        let (bulk, bulk_cost) = self.costs(contender, running, order, BULK as usize)?;
        let merged = running.merges()? - merged;
        let all = AT_ONCE + ALONE + CONNECTIONS + 1;
        ensure!(
            contender.has_merged(merged as f64 / all as f64),
            "{merged} of {all} connections were merged"
        );
        Ok(Sample { alone, many, many_cost, bulk, bulk_cost })
    }

    /// Has an order carried out, and says what a unit of it takes.
    fn costs(
        &mut self,
        contender: Contender,
        running: &mut Running,
        order: Order,
        units: usize,
    ) -> anyhow::Result<(Report, Cost)> {
        let units = units as f64;
        let process = running.process();
        let own = || process.map(cost::processor_time).transpose();
        let start = Instant::now();
        let before = (own()?, cost::of_the_lab()?, machine::busy());
        let report = self.client.carry_out(order)?;
        let after = (own()?, cost::of_the_lab()?, machine::busy());
        let seconds = |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64();
        let (lab, machine) = (seconds(after.1, before.1), seconds(after.2, before.2));
        // Threads of the kernel are in no lab: of who works by them, nobody can tell who else has run.
        if !contender.has_kernel_threads() {
            let cores = std::thread::available_parallelism()?.get();
            self.whole += start.elapsed().as_secs_f64() * cores as f64;
            self.outside += (machine - lab).max(0.0);
        }
        let own = after.0.zip(before.0).map(|(after, before)| seconds(after, before) / units);
        Ok((report, Cost { own, lab: lab / units, machine: machine / units }))
    }
}

/// Lets this process, and all that it starts, have as many files open as may be; returns how many idle connections a proxy can
/// have with that, [`IDLE`] at most.
fn allow_files() -> anyhow::Result<usize> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let enough = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    if maximum.is_some_and(|maximum| maximum < FILES) && setrlimit(Resource::Nofile, enough).is_err() {
        // Not even root may everywhere.
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    } else {
        setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: maximum.or(Some(FILES)) })?;
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(FILES);
    Ok(IDLE.min((files.saturating_sub(OTHER_FILES) / 2) as usize))
}

/// Progress, for whoever waits.
fn say(what: &str) {
    eprintln!("peers: {what}");
}
