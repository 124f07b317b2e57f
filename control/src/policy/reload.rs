//! The configuration in force, and how another one takes its place while flows go on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};
use parking_lot::Mutex;

use dataplane::clock::SystemClock;
use dataplane::inspect::patterns::Pattern;
use dataplane::policy::services::Services;
use dataplane::policy::{Hits, Installed, Snapshot, TooLarge};

use super::compile::{compile, compile_with, keep_known};
use super::differences::{are_ports_numbered_alike, needing_restart};
use super::modules::{MOST, Modules, Placed};
use crate::config::validated;
use crate::config::{self, Config, ConfigError, Machine};
use crate::core::change::{Change, Replaced};
use crate::core::query::Query;
use crate::module::{Custom, Module, from_config};
use crate::programs;

/// How long the control core and the workers may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a reload has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Rules in force.
    pub rules: usize,
    /// Modules that they may offer flows to.
    pub modules: usize,
    /// Keys that say something else than at start and are left alone.
    pub needs_restart: Vec<&'static str>,
    /// What is possible but hardly meant.
    pub warnings: Vec<String>,
}

/// Why a reload has changed nothing, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// What `check` would say.
    #[error("{0}")]
    Invalid(#[from] ConfigError),
    /// More than a snapshot takes.
    #[error("the rules do not fit their tables: {0}")]
    TooLarge(#[from] TooLarge),
    /// Flows refer to too many modules of former configurations.
    #[error(
        "flows refer to modules of former configurations, which leaves no place for new ones (there are {MOST}); try again \
         when some of them have ended, or restart"
    )]
    ModulesFull,
    /// Ports are known by their numbers, which are those of the start.
    #[error(
        "the ports are others than at start, and a `next_hop` names one of them; leave it out, or restart"
    )]
    OtherPorts,
    /// Programs are connected to this socket, under the settings of a former configuration.
    #[error(
        "module {module:?}: its settings have changed, but programs are connected to `socket` {socket} under the former ones; \
         give it another `socket`, or reload once without the module, or restart"
    )]
    SocketInUse {
        /// Its name.
        module: String,
        /// Where.
        socket: String,
    },
    /// A module of kind "program" cannot be there for programs.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The control core takes no question.
    #[error("the control core does not answer; nothing has been changed")]
    Silent,
    /// It has taken the rules, and not every worker has said that it has them.
    #[error(
        "the new rules have been handed to the control core, but not every worker has confirmed them within {} s; \
         `quadrille status` tells whether it is stalled",
        PATIENCE.as_secs()
    )]
    Unconfirmed,
}

/// A module that does not start.
#[derive(Debug, thiserror::Error)]
#[error("module {name:?}: {reason}")]
pub struct ModuleError {
    name: String,
    reason: programs::StartError,
}

/// Why the first configuration cannot be put into force.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// More than a snapshot takes.
    #[error("the rules do not fit their tables: {0}")]
    TooLarge(#[from] TooLarge),
    /// A module does not start.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

/// What the first configuration comes to.
pub struct Start {
    /// Rules, by worker.
    pub policies: Vec<Installed>,
    /// Modules, by index.
    pub modules: Vec<Box<dyn Module>>,
}

/// What is in force.
#[derive(Clone)]
pub struct InForce {
    /// Rules, modules and policy as last read; all else as at start.
    pub config: Arc<Config>,
    /// As compiled.
    snapshot: Arc<Snapshot>,
    /// Counts of each rule, by worker.
    hits: Vec<Arc<Hits>>,
    modules: Arc<Modules>,
    /// The appliance's own addresses, of this and of all former configurations: flows may still go by them.
    services: Arc<BTreeSet<IpAddr>>,
}

impl InForce {
    /// SYNs that the rule has decided; `rules.len()` is the default.
    pub fn hits(&self, rule: usize) -> u64 {
        self.hits.iter().map(|hits| hits.of(rule)).sum()
    }

    /// A pattern that flows are searched for, of whatever configuration, and the name of its inspection if that is configured still.
    pub fn pattern(&self, inspection: u16, pattern: u16) -> Option<(Option<&str>, &Pattern)> {
        let compiled = self.snapshot.inspections().get(usize::from(inspection))?;
        let is_it = |given: &&validated::Inspection| Arc::ptr_eq(&given.compiled, compiled);
        let name = self.config.inspections.iter().find(is_it).map(|given| given.name.as_str());
        Some((name, compiled.given().get(usize::from(pattern))?))
    }

    /// Index of the configured module of this name; the first, where rules want variants of it.
    pub fn module_index(&self, name: &str) -> Option<u16> {
        self.modules.index(name)
    }

    /// Name of the module that a flow was offered to, of whatever configuration.
    pub fn module_name(&self, index: u16) -> Option<&str> {
        self.modules.get(index).map(|module| module.name.as_str())
    }
}

/// Keeps what is in force and replaces it.
pub struct Reloader {
    machine: Machine,
    clock: SystemClock,
    /// Of the tables of source prefixes, and of the addresses that take the place of clients'.
    key: [u64; 4],
    custom: Custom,
    /// Held for a whole reload: one after the other.
    turn: Mutex<()>,
    in_force: Mutex<InForce>,
    queries: Sender<Query>,
}

impl Reloader {
    /// With the first configuration and the modules and rules that it comes to. Configurations to come are judged by
    /// `machine`; `queries` leads to the control core; `key` comes from the system's generator; `custom` makes
    /// of each module what the embedding program wants.
    pub fn new(
        config: &Config,
        machine: Machine,
        clock: SystemClock,
        queries: Sender<Query>,
        key: [u64; 4],
        custom: Custom,
    ) -> Result<(Reloader, Start), StartError> {
        let snapshot = Arc::new(compile(config)?);
        let policies = installed(&snapshot, config.cores.workers.len(), key);
        let in_force = InForce {
            snapshot,
            config: Arc::new(config.clone()),
            hits: hits(&policies),
            modules: Arc::new(Modules::new(&config.modules)),
            services: Arc::new(config.services().into_iter().collect()),
        };
        let modules = config
            .modules
            .iter()
            .map(|module| start(module, clock, key, &custom))
            .collect::<Result<_, _>>()?;
        let reloader = Reloader {
            machine,
            clock,
            key,
            custom,
            turn: Mutex::new(()),
            in_force: Mutex::new(in_force),
            queries,
        };
        Ok((reloader, Start { policies, modules }))
    }

    /// What is in force now.
    pub fn in_force(&self) -> InForce {
        self.in_force.lock().clone()
    }

    /// Reads the file again and puts its rules, modules and policy into force. Blocks until every worker has them.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _turn = self.turn.lock();
        let before = self.in_force();
        let file = config::load(Path::new(&before.config.source), &self.machine)?;
        let needs_restart = needing_restart(&before.config, &file);
        let modules_hops = file.modules.iter().map(|module| &module.hop);
        if !are_ports_numbered_alike(&before.config.ports, &file.ports)
            && file.hops.iter().chain(modules_hops).any(|hop| hop.port.is_some())
        {
            return Err(ReloadError::OtherPorts);
        }
        let mut inspections = file.inspections;
        keep_known(&mut inspections, before.snapshot.inspections());
        let config = Config {
            rules: file.rules,
            modules: file.modules,
            inspections,
            hops: file.hops,
            policy: file.policy,
            warnings: file.warnings,
            ..(*before.config).clone()
        };
        let Placed { modules, indices, new, retired } = self.place(&before.modules, &config)?;
        let mut services = before.services.as_ref().clone();
        services.extend(config.services());
        let (known, standings) = (before.snapshot.inspections(), before.snapshot.standings());
        let snapshot = compile_with(&config, |module| indices[usize::from(module)], known, standings)?
            .with_services(Services::new(services.iter().copied().collect()));
        let snapshot = Arc::new(snapshot);
        let policies = installed(&snapshot, config.cores.workers.len(), self.key);
        let new_modules = new
            .iter()
            .filter_map(|index| modules.get(*index).map(|module| (*index, module)))
            .map(|(index, module)| {
                if let Some(socket) = before.modules.has_socket_of(module) {
                    let (module, socket) = (module.name.clone(), socket.display().to_string());
                    return Err(ReloadError::SocketInUse { module, socket });
                }
                Ok((index, start(module, self.clock, self.key, &self.custom)?))
            })
            .collect::<Result<_, ReloadError>>()?;
        let (answer, answered) = bounded(1);
        let in_force = InForce {
            snapshot,
            hits: hits(&policies),
            modules: Arc::new(modules),
            config: Arc::new(config),
            services: Arc::new(services),
        };
        let change = Change {
            modules: new_modules,
            retired,
            policies,
            when_full: in_force.config.policy.flows_full,
            when_suspended_full: in_force.config.policy.suspended_full,
            answer,
        };
        self.queries.send_timeout(Query::Change(change), PATIENCE).map_err(|_| ReloadError::Silent)?;
        let reloaded = Reloaded {
            rules: in_force.config.rules.len(),
            modules: in_force.config.modules.len(),
            needs_restart,
            warnings: in_force.config.warnings.iter().map(ToString::to_string).collect(),
        };
        // From here on it happens, whoever waits for it.
        *self.in_force.lock() = in_force;
        let replaced: Replaced = answered.recv_timeout(PATIENCE).map_err(|_| ReloadError::Unconfirmed)?;
        drop(replaced);
        Ok(reloaded)
    }

    /// Asks what flows refer to only when indices become scarce: it takes a look at all of them.
    fn place(&self, modules: &Modules, config: &Config) -> Result<Placed, ReloadError> {
        let in_use = match modules.is_crowded(config.modules.len()) {
            true => Some(self.modules_in_use()?),
            false => None,
        };
        modules.place(&config.modules, in_use.as_ref()).map_err(|_| ReloadError::ModulesFull)
    }

    fn modules_in_use(&self) -> Result<BTreeSet<u16>, ReloadError> {
        let (answer, answered) = bounded(1);
        self.queries.send_timeout(Query::Modules { answer }, PATIENCE).map_err(|_| ReloadError::Silent)?;
        answered.recv_timeout(PATIENCE).map_err(|_| ReloadError::Silent)
    }
}

fn start(
    module: &validated::Module,
    clock: SystemClock,
    key: [u64; 4],
    custom: &Custom,
) -> Result<Box<dyn Module>, ModuleError> {
    let started = from_config(module, clock, key)
        .map_err(|reason| ModuleError { name: module.name.clone(), reason })?;
    Ok(custom(module, started))
}

fn installed(snapshot: &Arc<Snapshot>, workers: usize, key: [u64; 4]) -> Vec<Installed> {
    let one = |_| Installed::for_one_of(workers, Arc::clone(snapshot), key);
    (0..workers).map(one).collect()
}

fn hits(policies: &[Installed]) -> Vec<Arc<Hits>> {
    policies.iter().map(|policy| Arc::clone(&policy.hits)).collect()
}
