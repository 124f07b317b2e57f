//! The threads that carry packets: workers and control core, pinned, each with its own share of everything.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use core_affinity::CoreId;
use crossbeam::utils::CachePadded;
use tracing::warn;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::hash::KeyedHash;
use dataplane::policy::Snapshot;
use dataplane::port::dpdk::DpdkPool;
use dataplane::port::{Port, PortId};
use dataplane::worker::idle::{Idle, Idler};
use dataplane::worker::mailbox::mailbox;
use dataplane::worker::report::Report;
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{self, Worker};
use dpdk_bindings::{EalHandle, Mbuf, Mempool, lcore};

use crate::config::Machine;
use crate::config::validated::{self, Config};
use crate::core::context::Settings;
use crate::core::query::Query;
use crate::core::secret::IsnKey;
use crate::core::{self, Core, WorkerLink};
use crate::module::Custom;
use crate::policy::reload::Reloader;

/// Frames in a ring between two workers.
const NEIGHBOUR_RING: usize = 1024;
/// Questions that may wait for the control core.
const QUERIES: usize = 16;
/// Share of the largest parking place that one flow may fill.
const HELD_PER_FLOW: usize = 1024;

/// The running threads, and what they publish.
pub(super) struct Threads {
    /// Read in every round of every thread: nothing that anybody writes is on its line.
    stop: Arc<CachePadded<AtomicBool>>,
    handles: Vec<JoinHandle<anyhow::Result<()>>>,
    pub(super) worker_reports: Vec<Arc<Report>>,
    pub(super) control_report: Arc<Report>,
    pub(super) buffered: Arc<AtomicU64>,
    pub(super) queries: crossbeam::channel::Sender<Query>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) clock: SystemClock,
}

/// 256 bits of the system's generator.
pub(super) fn random_key<const WORDS: usize>() -> [u64; WORDS] {
    std::array::from_fn(|_| getrandom::u64().expect("the system's random generator does not answer"))
}

impl Threads {
    #[expect(clippy::too_many_arguments, reason = "all that there is before there are threads")]
    pub(super) fn start<P: Port<Buffer = Mbuf> + Send + 'static>(
        config: &Config,
        machine: Machine,
        eal: &EalHandle,
        pool: &Mempool,
        lines: Vec<Vec<Line<P>>>,
        steering: Steering,
        mtu: &[u16],
        custom: Custom,
    ) -> anyhow::Result<Threads> {
        let clock = SystemClock::start();
        let heartbeat = Arc::default();
        let (queries, asked) = crossbeam::channel::bounded(QUERIES);
        let (reloader, start) = Reloader::new(config, machine, clock, queries.clone(), random_key(), custom)?;
        let rules = start.policies.first().map(|policy| Arc::clone(&policy.snapshot));
        let rules = rules.context("at least one worker")?;
        let mut policies = start.policies.into_iter();
        let mut threads = Threads {
            stop: Arc::default(),
            handles: Vec::new(),
            worker_reports: lines.iter().map(|_| Arc::default()).collect(),
            control_report: Arc::default(),
            buffered: Arc::default(),
            queries,
            reloader: Arc::new(reloader),
            clock,
        };
        let mut links = Vec::new();
        let meshes = Neighbours::mesh(lines.len(), NEIGHBOUR_RING);
        let mailbox_size = config.limits.mailbox as usize;
        for (id, (lines, neighbours)) in lines.into_iter().zip(meshes).enumerate() {
            let (events, event_receiver) = mailbox(mailbox_size);
            let (order_sender, orders) = mailbox(mailbox_size);
            links.push(WorkerLink { events: event_receiver, orders: order_sender });
            threads.spawn_worker(
                config,
                eal,
                worker::Parts {
                    id,
                    lines,
                    limits: worker_limits(config),
                    timeouts: worker_timeouts(config),
                    hash: KeyedHash::new(random_key()),
                    cookie_key: random_key(),
                    steering: steering.clone(),
                    neighbours,
                    events,
                    orders,
                    icmp_errors: config.limits.icmp_errors,
                    policy: Box::new(policies.next().context("as many rule tables as workers")?),
                    heartbeat: Arc::clone(&heartbeat),
                    report: Arc::clone(&threads.worker_reports[id]),
                },
            )?;
        }
        let parts = core::Parts {
            links,
            pool: DpdkPool::new(pool.clone()),
            modules: start.modules,
            settings: settings(config, mtu),
            heartbeat,
            report: Arc::clone(&threads.control_report),
            buffered: Arc::clone(&threads.buffered),
        };
        threads.spawn_control(config, eal, parts, rules, asked)?;
        Ok(threads)
    }

    fn spawn_worker<P: Port<Buffer = Mbuf> + Send + 'static>(
        &mut self,
        config: &Config,
        eal: &EalHandle,
        parts: worker::Parts<P>,
    ) -> anyhow::Result<()> {
        let (id, clock, inspection) = (parts.id, self.clock, config.inspection_limits());
        self.spawn(format!("worker-{id}"), config.cores.workers[id], config, eal, move |idler, stop| {
            let mut worker = Worker::new(parts).with_inspection(inspection, random_key());
            while !stop.load(Ordering::Relaxed) {
                idler.after_round(worker.poll(clock.now()));
            }
            worker.report();
        })
    }

    fn spawn_control(
        &mut self,
        config: &Config,
        eal: &EalHandle,
        parts: core::Parts<DpdkPool>,
        rules: Arc<Snapshot>,
        asked: crossbeam::channel::Receiver<Query>,
    ) -> anyhow::Result<()> {
        let clock = self.clock;
        self.spawn("control".into(), config.cores.control, config, eal, move |idler, stop| {
            let mut core = Core::new(parts).with_rules(rules);
            while !stop.load(Ordering::Relaxed) {
                let asked = asked.try_recv().map(|query| core.ask(query)).is_ok();
                idler.after_round(core.poll(clock.now()) + usize::from(asked));
            }
            core.report();
        })
    }

    /// Starts a thread that pins itself, becomes an lcore, and runs `body` with its idle policy and the stop flag.
    fn spawn(
        &mut self,
        name: String,
        core: usize,
        config: &Config,
        eal: &EalHandle,
        body: impl FnOnce(&mut Idler, &AtomicBool) + Send + 'static,
    ) -> anyhow::Result<()> {
        let mut idler = Idler::new(match config.cores.idle {
            validated::Idle::Spin => Idle::Spin,
            validated::Idle::Yield => Idle::Yield,
            validated::Idle::Sleep { ceiling } => Idle::Sleep(ceiling),
        });
        let (eal, stop) = (eal.clone(), Arc::clone(&self.stop));
        let run = move || -> anyhow::Result<()> {
            if !core_affinity::set_for_current(CoreId { id: core }) {
                warn!(core, "the thread cannot be pinned to its core; it runs wherever the system puts it");
            }
            let _lcore = lcore::register(&eal)?;
            body(&mut idler, &stop);
            Ok(())
        };
        let handle = std::thread::Builder::new().name(name.clone()).spawn(run);
        self.handles.push(handle.with_context(|| format!("thread {name} does not start"))?);
        Ok(())
    }

    /// A thread has ended by itself: a fault.
    pub(super) fn any_ended(&self) -> bool {
        self.handles.iter().any(JoinHandle::is_finished)
    }

    /// Flows on the participating path whose client has been answered, as last published.
    pub(super) fn participating(&self) -> u64 {
        self.control_report.gauges().flows
    }

    /// What all threads publish.
    pub(super) fn reports(&self) -> Vec<Arc<Report>> {
        self.worker_reports.iter().chain([&self.control_report]).cloned().collect()
    }

    /// Ends all threads and reports the first fault.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let mut outcome = Ok(());
        for handle in self.handles {
            let name = handle.thread().name().unwrap_or("?").to_owned();
            let ended = match handle.join() {
                Ok(ended) => ended.with_context(|| format!("thread {name}")),
                Err(_) => bail!("thread {name} panicked"),
            };
            outcome = outcome.and(ended);
        }
        outcome
    }
}

fn worker_limits(config: &Config) -> worker::Limits {
    worker::Limits {
        flows: config.limits.flows as usize,
        parked: config.limits.held_packets as usize,
        far_sides: config.limits.far_sides as usize,
    }
}

fn worker_timeouts(config: &Config) -> worker::Timeouts {
    let timeouts = &config.timeouts;
    worker::Timeouts {
        opening: timeouts.syn,
        established: timeouts.idle_established,
        half_closed: timeouts.half_closed,
        linger: timeouts.linger,
        control_stall: timeouts.control_stall,
    }
}

fn settings(config: &Config, mtu: &[u16]) -> Settings {
    Settings {
        leg: crate::tcp::Limits {
            send_buffer: config.limits.send_buffer as u32,
            receive_buffer: config.limits.receive_buffer as u32,
            congestion: config.limits.congestion,
            syn_timeout: config.timeouts.syn,
            linger: config.timeouts.linger,
            user_timeout: config.timeouts.user,
            keepalive: config.timeouts.keepalive.map(|idle| crate::tcp::Keepalive { idle }),
            ..Default::default()
        },
        connections: config.limits.participating as usize,
        when_full: config.policy.flows_full,
        suspended: config.suspended_limits(),
        when_suspended_full: config.policy.suspended_full,
        history: NonZeroUsize::new(config.limits.history as usize).unwrap_or(NonZeroUsize::MIN),
        buffered: config.limits.participating_bytes,
        held_per_flow: HELD_PER_FLOW.min(config.limits.held_packets as usize),
        held: config.limits.held_packets as usize,
        drain: config.timeouts.drain,
        drain_up_to: config.limits.drain_up_to as u32,
        refused: config.timeouts.linger,
        icmp_errors: config.limits.icmp_errors,
        idle_established: config.timeouts.idle_established,
        half_closed: config.timeouts.half_closed,
        isn_key: IsnKey::new(random_key()),
        peers: config.ports.iter().map(|port| PortId(port.peer as u8)).collect(),
        mtu: mtu.to_vec(),
    }
}
