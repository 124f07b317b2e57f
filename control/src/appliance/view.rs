//! What the management interface sees of a running appliance. Never touches packets: reports are read, flows asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::Sender;
use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::object::Path as FlowPath;
use dataplane::flow::quad::{Direction, Quad};
use dataplane::inspect::Inspection;
use dataplane::inspect::hits::Hit;
use dataplane::policy::Fallback;
use dataplane::worker::message::ListedFlow;
use dataplane::worker::report::{Gauges, Report};
use dpdk_bindings::{Mempool, Port};

use crate::api::types::{
    CoreStatus, Counters, EventInfo, FlowInfo, HandedOver, HitInfo, Link, Mbufs, Path as PathName,
    PatternStats, PortStats, PortStatus, ReloadInfo, RuleInfo, RuleSplit, Stats, Status, Usage, WorkerStats,
    millis, vlans,
};
use crate::api::{Backend, BackendError, FlowName};
use crate::config::validated::{Action, Config};
use crate::core::handover::{HandOver, Named};
use crate::core::journal::{Entry, Happening};
use crate::core::query::Query;
use crate::policy::reload::{InForce, ReloadError, Reloader};

use super::threads::Threads;

/// How long an answer of the control core and the workers may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The view of one appliance.
pub struct View {
    config: Config,
    clock: SystemClock,
    worker_reports: Vec<Arc<Report>>,
    control_report: Arc<Report>,
    buffered: Arc<AtomicU64>,
    queries: Sender<Query>,
    reloader: Arc<Reloader>,
    /// What the operator has said last.
    merging: AtomicBool,
    pool: Mempool,
    ports: Arc<[Port]>,
}

impl View {
    pub(super) fn new(config: &Config, threads: &Threads, pool: Mempool, ports: Arc<[Port]>) -> View {
        View {
            config: config.clone(),
            clock: threads.clock,
            worker_reports: threads.worker_reports.clone(),
            control_report: Arc::clone(&threads.control_report),
            buffered: Arc::clone(&threads.buffered),
            queries: threads.queries.clone(),
            reloader: Arc::clone(&threads.reloader),
            merging: AtomicBool::new(true),
            pool,
            ports,
        }
    }

    fn flow(in_force: &InForce, now_ms: u32, flow: &ListedFlow) -> FlowInfo {
        let (record, far) = (&flow.record, flow.far);
        FlowInfo {
            client: flow.key.quad.client(),
            server: flow.key.quad.server(),
            far_client: far.map(|far| far.client()).filter(|client| *client != flow.key.quad.client()),
            far_server: far.map(|far| far.server()).filter(|server| *server != flow.key.quad.server()),
            pair: flow.key.segment.pair(),
            vlans: vlans(flow.key.segment),
            path: path_name(flow.path),
            module: in_force.module_name(record.module).map(str::to_owned),
            delta_c2s: flow.delta_c2s.0,
            delta_s2c: flow.delta_s2c.0,
            bytes_c2s: flow.traffic.bytes(Direction::ClientToServer),
            bytes_s2c: flow.traffic.bytes(Direction::ServerToClient),
            packets_c2s: flow.traffic.frames(Direction::ClientToServer),
            packets_s2c: flow.traffic.frames(Direction::ServerToClient),
            age_ms: now_ms.wrapping_sub(record.born).into(),
            splits: record.splits.into(),
            merges: record.merges.into(),
        }
    }

    /// Puts a question to the control core.
    fn ask<T>(&self, question: impl FnOnce(Sender<T>) -> Query) -> Result<T, BackendError> {
        let (answer, answered) = crossbeam::channel::bounded(1);
        let silent = || BackendError("the control core does not answer".into());
        self.queries.send_timeout(question(answer), PATIENCE).map_err(|_| silent())?;
        answered.recv_timeout(PATIENCE).map_err(|_| silent())
    }

    /// By core.
    fn flooded(&self) -> Vec<usize> {
        let is_flooded = |worker: &usize| self.worker_reports[*worker].gauges().flooded != 0;
        let workers = (0..self.worker_reports.len()).filter(is_flooded);
        workers.map(|worker| self.config.cores.workers[worker]).collect()
    }

    fn gauges(&self) -> Gauges {
        Gauges::sum(self.worker_reports.iter().map(|report| report.gauges()))
    }
}

impl Backend for View {
    fn status(&self) -> Result<Status, BackendError> {
        let ports = self.config.ports.iter().zip(self.ports.iter()).map(|(settings, port)| {
            let info = port.info().map_err(|error| BackendError(error.to_string()))?;
            Ok(PortStatus {
                name: settings.name.clone(),
                peer: self.config.ports[settings.peer].name.clone(),
                device: settings.device.as_str().to_owned(),
                driver: info.driver,
                link: Link { up: info.link.up, speed_mbps: info.link.mbps },
                mac: info.mac.map(|byte| format!("{byte:02x}")).join(":"),
            })
        });
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_ms: self.clock.now().as_millis(),
            config: self.config.source.clone(),
            ports: ports.collect::<Result<_, _>>()?,
            cores: CoreStatus {
                control: self.config.cores.control,
                workers: self.config.cores.workers.clone(),
                control_alive: self.gauges().control_stalled == 0,
                flooded: self.flooded(),
            },
            flows: self.gauges().flows,
            merging: self.merging.load(Ordering::Relaxed),
        })
    }

    fn flows(&self, limit: usize) -> Result<Vec<FlowInfo>, BackendError> {
        let flows = self.ask(|answer| Query::Flows { limit, answer })?;
        let now_ms = self.clock.now().as_millis() as u32;
        let in_force = self.reloader.in_force();
        Ok(flows.iter().map(|flow| View::flow(&in_force, now_ms, flow)).collect())
    }

    fn stats(&self) -> Result<Stats, BackendError> {
        let workers: Vec<WorkerStats> = self
            .worker_reports
            .iter()
            .enumerate()
            .map(|(worker, report)| WorkerStats {
                worker,
                core: self.config.cores.workers[worker],
                counters: counters(&[report]),
                tables: tables(&report.gauges()),
            })
            .collect();
        let ports = self.config.ports.iter().zip(self.ports.iter()).map(|(settings, port)| {
            let counters = port.extended_stats().map_err(|error| BackendError(error.to_string()))?;
            Ok(PortStats { name: settings.name.clone(), counters: counters.into_iter().collect() })
        });
        let (sum, control) = (self.gauges(), self.control_report.gauges());
        let buffered = self.buffered.load(Ordering::Relaxed);
        let everybody: Vec<&Arc<Report>> =
            self.worker_reports.iter().chain(std::iter::once(&self.control_report)).collect();
        Ok(Stats {
            counters: counters(&everybody),
            workers,
            control: counters(&[&self.control_report]),
            ports: ports.collect::<Result<_, _>>()?,
            mbufs: Mbufs { total: self.pool.buffers().into(), in_use: self.pool.in_use() as u64 },
            tables: [
                ("suspended", usage(control.suspended, control.suspended_capacity)),
                ("participating", usage(control.flows, control.flows_capacity)),
                ("held", usage(control.parked, control.parked_capacity)),
                ("participating_bytes", usage(buffered, self.config.limits.participating_bytes)),
            ]
            .into_iter()
            .map(|(name, usage)| (name.to_owned(), usage))
            .chain(tables(&sum))
            .collect(),
            inspections: inspections(&self.reloader.in_force().config),
        })
    }

    fn rules(&self) -> Result<Vec<RuleInfo>, BackendError> {
        let in_force = self.reloader.in_force();
        let config = &in_force.config;
        let rules = config.rules.iter().enumerate().map(|(index, rule)| RuleInfo {
            name: rule.name.clone(),
            action: rule.action.name().into(),
            module: match rule.action {
                Action::Offer { module } => Some(module),
                _ => rule.standing.module,
            }
            .map(|module| config.modules[usize::from(module)].name.clone()),
            by: match rule.action {
                Action::Forward { hop } => config.hops.get(usize::from(hop)).map(|hop| config.next_hop(*hop)),
                Action::Reject(rejection) => Some(rejection.to_string()),
                _ => None,
            },
            inspect: rule.inspection.map(|index| config.inspections[usize::from(index)].name.clone()),
            split: RuleSplit::of(&rule.standing),
            idle_ms: rule.standing.idle.map(millis),
            matches: rule.matches.to_string(),
            hits: in_force.hits(index),
        });
        let default = RuleInfo {
            name: "(default)".into(),
            action: match config.policy.default {
                Fallback::Pass => "pass".into(),
                Fallback::Drop => "drop".into(),
            },
            matches: "everything else".into(),
            hits: in_force.hits(config.rules.len()),
            ..RuleInfo::default()
        };
        Ok(rules.chain([default]).collect())
    }

    fn hand_over(
        &self,
        what: HandOver,
        module: Option<&str>,
        flow: &FlowName,
    ) -> Result<HandedOver, BackendError> {
        let FlowName { client, server, .. } = *flow;
        let quad = Quad::between(client, server)
            .ok_or_else(|| BackendError("client and server are of different address families".into()))?;
        let what = match module {
            None => what,
            Some(name) => {
                HandOver::SplitFor(self.reloader.in_force().module_index(name).ok_or_else(|| {
                    BackendError(format!("no module is named \"{name}\" in the configuration in force"))
                })?)
            }
        };
        let vlans = flow.vlans.as_deref().map(|ids| match ids {
            [] => Ok((0, 0)),
            [id] => Ok((0, *id)),
            [outer, inner] => Ok((*outer, *inner)),
            _ => Err(BackendError("a flow has at most two VLAN ids".into())),
        });
        let flow = Named { quad, pair: flow.pair, vlans: vlans.transpose()? };
        let done = self.ask(|answer| Query::HandOver { what, flow, answer })?;
        done.map_err(|refused| BackendError(format!("{client} -> {server}: {refused}")))?;
        let path = match what {
            HandOver::Split | HandOver::SplitFor(_) => PathName::Participating,
            HandOver::Merge => PathName::CutThrough,
        };
        Ok(HandedOver { client, server, path })
    }

    fn events(&self, limit: usize) -> Result<Vec<EventInfo>, BackendError> {
        let entries = self.ask(|answer| Query::Events { limit, answer })?;
        let in_force = self.reloader.in_force();
        let info = |entry: &Entry| EventInfo {
            at_ms: entry.at.as_millis(),
            client: entry.key.quad.client(),
            server: entry.key.quad.server(),
            event: entry.what.name().into(),
            duration_us: entry.took.as_micros() as u64,
            reason: match entry.what {
                Happening::SplitRefused(why) => Some(why.to_string()),
                _ => None,
            },
            hit: match entry.what {
                Happening::Hit(hit) => hit_info(&in_force, &hit),
                _ => None,
            },
        };
        Ok(entries.iter().map(info).collect())
    }

    fn set_merging(&self, on: bool) -> Result<bool, BackendError> {
        self.ask(|answer| Query::Merging { on, answer })?;
        self.merging.store(on, Ordering::Relaxed);
        Ok(on)
    }

    fn reload(&self) -> Result<ReloadInfo, BackendError> {
        match self.reloader.reload() {
            Ok(reloaded) => Ok(ReloadInfo::Reloaded {
                rules: reloaded.rules,
                modules: reloaded.modules,
                needs_restart: reloaded.needs_restart.into_iter().map(str::to_owned).collect(),
                warnings: reloaded.warnings,
            }),
            Err(ReloadError::Invalid(problems)) => Ok(ReloadInfo::Invalid { problems: problems.to_string() }),
            Err(error) => Err(BackendError(error.to_string())),
        }
    }
}

/// A hit by the names that it has in the configuration.
fn hit_info(in_force: &InForce, hit: &Hit) -> Option<HitInfo> {
    let (inspection, pattern) = in_force.pattern(hit.inspection, hit.pattern)?;
    Some(HitInfo {
        inspection: inspection.map(str::to_owned),
        pattern: hit.pattern,
        name: pattern.name.clone(),
        from: match hit.direction {
            Direction::ClientToServer => "client".to_owned(),
            Direction::ServerToClient => "server".to_owned(),
        },
        place: hit.place,
        verdict: pattern.verdict.name().to_owned(),
    })
}

fn counters(reports: &[&Arc<Report>]) -> Counters {
    let sum = |counter| reports.iter().map(|report| report.get(counter)).sum();
    Counter::ALL.iter().map(|counter| (counter.name().to_owned(), sum(*counter))).collect()
}

fn usage(used: u64, capacity: u64) -> Usage {
    Usage { used, capacity }
}

/// The tables of one worker, or of all together.
fn tables(gauges: &Gauges) -> BTreeMap<String, Usage> {
    let tables = [
        ("flows", usage(gauges.flows, gauges.flows_capacity)),
        ("parked", usage(gauges.parked, gauges.parked_capacity)),
        ("far_sides", usage(gauges.far_sides, gauges.far_sides_capacity)),
        ("inspected", usage(gauges.inspected, gauges.inspected_capacity)),
        ("inspected_bytes", usage(gauges.inspected_bytes, gauges.inspected_bytes_capacity)),
        ("impaired", usage(gauges.impaired, gauges.impaired_capacity)),
    ];
    // Hardly anybody has impaired cables.
    let are_there = tables.into_iter().filter(|(name, usage)| *name != "impaired" || usage.capacity > 0);
    are_there.map(|(name, usage)| (name.to_owned(), usage)).collect()
}

fn inspections(config: &Config) -> BTreeMap<String, Vec<PatternStats>> {
    let patterns = |inspection: &Inspection| {
        let given = inspection.given().iter().enumerate();
        given
            .map(|(number, pattern)| PatternStats {
                pattern: pattern.name.clone(),
                verdict: pattern.verdict.name().to_owned(),
                matches: inspection.hits.of(number),
            })
            .collect()
    };
    config.inspections.iter().map(|given| (given.name.clone(), patterns(&given.compiled))).collect()
}

fn path_name(path: FlowPath) -> PathName {
    match path {
        FlowPath::Suspended => PathName::Suspended,
        FlowPath::Free | FlowPath::Participating | FlowPath::Parked => PathName::Participating,
        FlowPath::CutThrough => PathName::CutThrough,
        FlowPath::Monitored => PathName::Monitored,
        FlowPath::Bypassed => PathName::Bypassed,
    }
}
