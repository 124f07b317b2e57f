//! From what serde read to what is proven: one file for each concept, all problems collected.

use std::path::PathBuf;

use dataplane::policy::{Fallback, Strays};
use toml::Spanned;

use super::error::{Problem, Problems};
use super::external::{self, PassOrDrop};
use super::validated::{Config, Policy};
use super::{DEFAULT_SOCKET, Machine};
use crate::suspended::WhenFull;
use hops::Hops;

mod conditions;
mod cores;
mod device;
mod hops;
mod impair;
mod inspect;
mod limits;
mod matches;
mod ports;
mod programs;
mod rejection;
mod rules;
mod standing;
mod together;
mod tunnel;

/// Longest path that a Unix socket address takes, less the suffix that binding adds for a moment.
const SOCKET_PATH: usize = 100;

/// The proven configuration and its warnings. Whether it may be used is for `problems` to say: values at fault have
/// been replaced by defaults so that the rest could be judged too.
pub(super) fn validate(
    raw: &external::Config,
    machine: &Machine,
    problems: &mut Problems,
) -> Option<(Config, Vec<Problem>)> {
    let mut warnings = Problems::default();
    let socket = socket(&raw.socket, problems);
    let cores = cores::validate(&raw.cores, machine, problems);
    let (limits, timeouts) =
        (limits::limits(&raw.limits, problems), limits::timeouts(&raw.timeouts, problems));
    let (ports, pairs) = ports::validate(&raw.port, cores.workers.len(), machine.devices, problems);
    let memory = limits::memory(&raw.memory, &ports, cores.workers.len(), &limits, problems);
    let mut modules = rules::modules(&raw.module, &ports, problems);
    hops::check_lent(&raw.module, &modules, problems);
    programs::distinct(raw, &socket, problems);
    programs::in_time(raw, &modules, timeouts.syn, problems);
    together::in_time(raw, &modules, timeouts.syn, problems);
    let mut hops = Hops::new(&ports);
    let inspections = inspect::validate(&raw.inspect, problems);
    let rules = rules::rules(&raw.rule, &mut modules, &mut hops, &inspections, problems)?;
    let hops = hops.into_list();
    rules::warn(raw, &rules, &mut warnings);
    hops::warn_lent(raw, &rules, &mut warnings);
    hops::warn_mtu(raw, &ports, &mut warnings);
    ports::warn(&raw.port, &mut warnings);
    let policy = policy(&raw.policy);
    let config = Config {
        source: String::new(),
        socket,
        memory,
        cores,
        ports,
        pairs,
        limits,
        timeouts,
        policy,
        rules,
        modules,
        inspections,
        hops,
        warnings: Vec::new(),
    };
    Some((config, warnings.into_errors()))
}

fn socket(raw: &Option<Spanned<String>>, problems: &mut Problems) -> PathBuf {
    raw.as_ref().map_or_else(|| DEFAULT_SOCKET.into(), |path| socket_path(path, DEFAULT_SOCKET, problems))
}

/// The absolute path of a Unix socket, such as `example`.
fn socket_path(path: &Spanned<String>, example: &str, problems: &mut Problems) -> PathBuf {
    let text = path.get_ref();
    if !text.starts_with('/') || text.ends_with('/') {
        problems.at(
            path.span(),
            format!("{text:?} is not the absolute path of a file; write for example {example:?}"),
        );
    } else if text.len() > SOCKET_PATH {
        problems
            .at(path.span(), format!("{} bytes is too long for a socket; at most {SOCKET_PATH}", text.len()));
    }
    text.into()
}

fn policy(raw: &external::Policy) -> Policy {
    Policy {
        default: fallback(raw.default),
        strays: match raw.strays {
            external::Strays::Drop => Strays::Drop,
            external::Strays::Reset => Strays::Reset,
            external::Strays::Pass => Strays::Pass,
        },
        flows_full: fallback(raw.flows_full),
        suspended_full: match raw.suspended_full {
            external::SuspendedFull::Oldest => WhenFull::Oldest,
            external::SuspendedFull::Drop => WhenFull::Drop,
            external::SuspendedFull::Pass => WhenFull::Pass,
        },
        on_control_stall: fallback(raw.on_control_stall),
    }
}

fn fallback<const PASS: bool>(raw: PassOrDrop<PASS>) -> Fallback {
    match raw {
        PassOrDrop::Pass => Fallback::Pass,
        PassOrDrop::Drop => Fallback::Drop,
    }
}
