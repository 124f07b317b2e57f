//! Modules of kind "program": where programs connect to, and what happens without them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::socket_path;
use crate::config::error::Problems;
use crate::config::external;
use crate::config::scalar::{List, duration, number};
use crate::config::validated::{Module, ModuleKind, Program, WithoutDecision};

const EXAMPLE: &str = "/run/quadrille-filter.sock";

/// The kind of a module, with the keys that only this kind has.
pub(super) fn kind(raw: &external::Module, key: &Spanned<String>, problems: &mut Problems) -> ModuleKind {
    match raw.kind {
        external::ModuleKind::Relay => {
            misplaced(raw, problems);
            ModuleKind::Relay
        }
        external::ModuleKind::Program => {
            let first = |list: &Option<List>| Some(list.as_ref()?.0.first()?.span());
            let hop = raw.next_hop.as_ref().map(Spanned::span);
            for span in [first(&raw.server), first(&raw.client), hop].into_iter().flatten() {
                problems.at(span, "counts only with kind = \"relay\"; change the kind or leave it out");
            }
            ModuleKind::Program(program(raw, key, problems))
        }
    }
}

fn misplaced(raw: &external::Module, problems: &mut Problems) {
    let spans = [
        raw.socket.as_ref().map(Spanned::span),
        raw.deadline.as_ref().map(Spanned::span),
        raw.default.as_ref().map(Spanned::span),
        raw.outstanding.as_ref().map(Spanned::span),
        raw.streams.as_ref().map(Spanned::span),
    ];
    for span in spans.into_iter().flatten() {
        problems.at(span, "counts only with kind = \"program\"; change the kind or leave it out");
    }
}

fn program(raw: &external::Module, key: &Spanned<String>, problems: &mut Problems) -> Program {
    let ms = Duration::from_millis;
    let socket = match &raw.socket {
        Some(path) => socket_path(path, EXAMPLE, problems),
        None => {
            let message = format!("is missing; write where programs connect to, for example {EXAMPLE:?}");
            problems.missing(key.span(), "socket", message);
            EXAMPLE.into()
        }
    };
    Program {
        socket,
        // A client repeats its SYN after a second: one that is decided by then has noticed nothing.
        deadline: duration(&raw.deadline, ms(500), ms(1)..=ms(60_000), problems),
        default: match raw.default.as_ref().map(|default| *default.get_ref()) {
            None | Some(external::WithoutDecision::Drop) => WithoutDecision::Drop,
            Some(external::WithoutDecision::Reject) => WithoutDecision::Reject,
            Some(external::WithoutDecision::Bypass) => WithoutDecision::Bypass,
            Some(external::WithoutDecision::Monitor) => WithoutDecision::Monitor,
            Some(external::WithoutDecision::Proxy) => WithoutDecision::Proxy,
        },
        outstanding: number(&raw.outstanding, 4096, 1..=65_536, problems),
        streams: number(&raw.streams, 1024, 1..=65_536, problems),
    }
}

/// Who may think for longer than a SYN is held would never be asked for an answer, and nobody would get the default.
pub(super) fn in_time(raw: &external::Config, modules: &[Module], held: Duration, problems: &mut Problems) {
    for (name, module) in &raw.module {
        let Some(deadline) = &module.get_ref().deadline else { continue };
        let is_late = |module: &Module| {
            matches!(&module.kind, ModuleKind::Program(program) if program.deadline >= held)
                && module.name == *name.get_ref()
        };
        if modules.iter().any(is_late) {
            let message = format!("a SYN is held for {held:?} (timeouts.syn); write less, or more there");
            problems.at(deadline.span(), message);
        }
    }
}

/// Every socket has one owner.
pub(super) fn distinct(raw: &external::Config, management: &Path, problems: &mut Problems) {
    let mut owners: BTreeMap<PathBuf, String> = BTreeMap::new();
    owners.insert(management.to_owned(), "the management interface".into());
    for (name, module) in &raw.module {
        let Some(path) = &module.get_ref().socket else { continue };
        let owner = format!("module {:?}", name.get_ref());
        if let Some(other) = owners.insert(path.get_ref().into(), owner) {
            problems.at(path.span(), format!("{other} has this socket already; write another path"));
        }
    }
}
