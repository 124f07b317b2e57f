//! Ports of a module that are held together.

use std::num::NonZeroUsize;
use std::time::Duration;

use dataplane::refusal::Rejection;
use toml::Spanned;

use super::{matches, rejection};
use crate::config::error::Problems;
use crate::config::external;
use crate::config::scalar::{duration, number};
use crate::config::validated::Module;
use crate::module::several::{Complete, Together};

/// What a module says of them.
pub(super) fn together(raw: &external::Module, problems: &mut Problems) -> Option<Together> {
    let spanned = raw.together.as_ref()?;
    if raw.kind == external::ModuleKind::Program {
        problems.at(spanned.span(), "counts only with kind = \"relay\"; change the kind or leave it out");
    }
    if raw.order == external::Order::ClientFirst {
        let message = "with order = \"client-first\" clients are answered before their servers are asked; leave together \
                       out, or the order";
        problems.at(spanned.span(), message);
    }
    let raw = spanned.get_ref();
    let ports = matches::each(&raw.ports, matches::ports, problems);
    let all: &[_] = raw.ports.as_ref().map_or(&[], |list| &list.0);
    match (all, &ports[..]) {
        ([], _) => problems.missing(spanned.span(), "ports", "is missing; write for example [445, 139]"),
        ([given], [only]) if only.len() == 1 => {
            problems.at(given.span(), "is held together with no other port; write for example [445, 139]");
        }
        _ => {}
    }
    let complete = match raw.complete {
        external::Complete::Each => Complete::Each,
        external::Complete::First => Complete::First,
    };
    if complete == Complete::Each {
        let spans = [raw.afterwards.as_ref().map(Spanned::span), raw.others.as_ref().map(Spanned::span)];
        for span in spans.into_iter().flatten() {
            problems.at(span, "counts only with complete = \"first\"; add that or leave it out");
        }
    }
    let (ms, minute) = (Duration::from_millis, Duration::from_secs(60));
    Some(Together {
        ports,
        complete,
        // A client repeats its SYN after a second: what is told by then comes in time.
        wait: duration(&raw.wait, ms(500), ms(1)..=minute, problems),
        afterwards: duration(&raw.afterwards, ms(2000), ms(0)..=minute, problems),
        others: raw.others.as_ref().map_or(Rejection::Reset, |with| rejection::answer(with, problems)),
        outstanding: NonZeroUsize::new(number(&raw.outstanding, 4096, 1..=65_536, problems))?,
    })
}

/// A port that is silent for longer than a SYN is held would hold up the others for ever: they would be forgotten first.
pub(super) fn in_time(raw: &external::Config, modules: &[Module], held: Duration, problems: &mut Problems) {
    for (name, module) in &raw.module {
        let Some(wait) = module.get_ref().together.as_ref().and_then(|raw| raw.get_ref().wait.as_ref())
        else {
            continue;
        };
        let is_late = |module: &Module| {
            module.together.as_ref().is_some_and(|together| together.wait >= held)
                && module.name == *name.get_ref()
        };
        if modules.iter().any(is_late) {
            let message = format!("a SYN is held for {held:?} (timeouts.syn); write less, or more there");
            problems.at(wait.span(), message);
        }
    }
}
