//! What a rule goes on asking of its flows: `split`, `idle`, and the module of a monitoring rule.

use std::num::NonZeroU64;
use std::time::Duration;

use dataplane::policy::Standing;

use super::rules::find;
use crate::config::error::Problems;
use crate::config::external;
use crate::config::scalar::{bytes, duration};
use crate::config::validated::{Action, Module};

const MAX_BYTES: u64 = 1 << 50;
const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);
const MIN_IDLE: Duration = Duration::from_secs(1);

pub(super) fn of_rule(
    rule: &external::Rule,
    action: Action,
    modules: &[Module],
    problems: &mut Problems,
) -> Standing {
    let mut standing = Standing::default();
    if let (Action::Monitor, Some(wanted)) = (action, &rule.module) {
        standing.module = find(modules, wanted, problems).map(|index| index as u16);
    }
    if let Some(split) = &rule.split {
        match action {
            Action::Offer { .. } => {}
            Action::Monitor if rule.module.is_some() => {}
            Action::Monitor => problems.at(
                split.span(),
                "nobody would look at the flow: name a module in the rule (`module = NAME`), or write action = \"offer\"",
            ),
            _ => problems.at(
                split.span(),
                "counts only with action = \"monitor\" or \"offer\"; change the action or leave it out",
            ),
        }
        let when = split.get_ref();
        if when.after_bytes.is_none() && when.after.is_none() {
            problems.at(
                split.span(),
                "says nothing; write split = { after_bytes = \"1 MiB\" } or { after = \"10s\" }",
            );
        }
        if when.after_bytes.is_some() {
            standing.split_bytes = NonZeroU64::new(bytes(&when.after_bytes, 1, 1..=MAX_BYTES, problems));
        }
        if when.after.is_some() {
            let range = Duration::from_millis(1)..=MAX_AGE;
            standing.split_age = Some(duration(&when.after, Duration::from_secs(1), range, problems));
        }
    }
    if let Some(idle) = &rule.idle {
        match action {
            Action::Offer { .. } | Action::Monitor | Action::Bypass => {}
            _ => problems.at(
                idle.span(),
                "counts only with action = \"offer\", \"monitor\" or \"bypass\"; change the action or leave it out",
            ),
        }
        standing.idle = Some(duration(&rule.idle, Duration::from_secs(1), MIN_IDLE..=MAX_AGE, problems));
    }
    standing
}
