//! Cores: they exist, nobody shares one that spins.

use std::time::Duration;

use toml::Spanned;

use crate::config::Machine;
use crate::config::error::Problems;
use crate::config::external;
use crate::config::scalar::number;
use crate::config::validated::{Cores, Idle};

/// One queue of every port for each worker; no device that we know offers more.
const MAX_WORKERS: usize = 64;
const DEFAULT_CEILING_US: u32 = 100;

pub(super) fn validate(raw: &Spanned<external::Cores>, machine: &Machine, problems: &mut Problems) -> Cores {
    let raw = raw.get_ref();
    let control = core(&raw.control, machine, problems);
    let list = raw.workers.get_ref();
    let workers: Vec<usize> = list.iter().map(|worker| core(worker, machine, problems)).collect();
    if list.is_empty() {
        problems.at(raw.workers.span(), "no worker; name at least one core");
    } else if list.len() > MAX_WORKERS {
        problems.at(raw.workers.span(), format!("{} workers; at most {MAX_WORKERS}", list.len()));
    }
    for (index, worker) in list.iter().enumerate() {
        let id = worker.get_ref();
        if list[..index].iter().any(|earlier| earlier.get_ref() == id) {
            problems.at(worker.span(), format!("core {id} is a worker already; one worker for each core"));
        }
        if id == raw.control.get_ref() && raw.idle == external::Idle::Spin {
            problems.at(
                worker.span(),
                format!(
                    "core {id} is the control core too; two spinning threads starve each other: give the worker \
                     a core of its own, or set cores.idle to \"yield\" or \"sleep\""
                ),
            );
        }
    }
    Cores { control, workers, idle: idle(raw, problems) }
}

fn core(raw: &Spanned<i64>, machine: &Machine, problems: &mut Problems) -> usize {
    let found = usize::try_from(*raw.get_ref()).ok().filter(|id| machine.cores.contains(id));
    found.unwrap_or_else(|| {
        problems.at(
            raw.span(),
            format!("this process has no core {}; it may run on {}", raw.get_ref(), machine.core_list()),
        );
        0
    })
}

fn idle(raw: &external::Cores, problems: &mut Problems) -> Idle {
    if let (Some(ceiling), false) = (&raw.idle_ceiling_us, raw.idle == external::Idle::Sleep) {
        problems.at(
            ceiling.span(),
            "counts only when threads sleep; set cores.idle to \"sleep\" or leave it out",
        );
    }
    match raw.idle {
        external::Idle::Spin => Idle::Spin,
        external::Idle::Yield => Idle::Yield,
        external::Idle::Sleep => {
            let micros = number(&raw.idle_ceiling_us, DEFAULT_CEILING_US, 1..=10_000, problems);
            Idle::Sleep { ceiling: Duration::from_micros(u64::from(micros)) }
        }
    }
}
