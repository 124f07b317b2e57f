//! What flows are searched for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataplane::flow::quad::Direction;
use dataplane::inspect::edits::MAX_EDITED;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::{self, Ahead, Manner};
use toml::Spanned;

use super::fallback;
use crate::config::error::{Problems, did_you_mean};
use crate::config::external;
use crate::config::scalar::{duration, name, show_bytes};
use crate::config::validated::{Action, Inspection};

/// Bytes of all patterns together. Their automata take up to a KiB a byte, once for each direction.
const MAX_BYTES: usize = 64 << 10;
const MAX_INSPECTIONS: usize = 256;
/// What takes the place of a pattern may be so many times as long. A sender that repeats the pattern in every byte of its window
/// makes the appliance send so much more, and keep it: more than this is hardly meant.
const MOST_GROWTH: usize = 64;

pub(super) fn validate(
    raw: &BTreeMap<Spanned<String>, Spanned<external::Inspect>>,
    problems: &mut Problems,
) -> Vec<Inspection> {
    if let Some((key, _)) = raw.iter().nth(MAX_INSPECTIONS) {
        problems.at(key.span(), format!("{} inspections; at most {MAX_INSPECTIONS}", raw.len()));
        return Vec::new();
    }
    let mut room = MAX_BYTES;
    raw.iter()
        .filter_map(|(key, raw)| {
            name(key.get_ref(), key.span(), problems);
            let compiled = inspection(key, raw.get_ref(), &mut room, problems);
            // At fault, it stands for itself all the same: rules that name it are not.
            let compiled = compiled.or_else(|| {
                inspect::Inspection::new(&[], Manner { window: true, ..Manner::default() }).ok()
            })?;
            Some(Inspection { name: key.get_ref().clone(), compiled: Arc::new(compiled) })
        })
        .collect()
}

fn inspection(
    key: &Spanned<String>,
    raw: &external::Inspect,
    room: &mut usize,
    problems: &mut Problems,
) -> Option<inspect::Inspection> {
    if raw.patterns.is_empty() && !raw.window {
        let message = "is missing; write what is searched for, as [{ text = \"/etc/passwd\", verdict = \"reset\" }], or window = true";
        problems.missing(key.span(), "patterns", message);
        return None;
    }
    let mut patterns: Vec<Pattern> = Vec::with_capacity(raw.patterns.len());
    for (index, spanned) in raw.patterns.iter().enumerate() {
        let raw = spanned.get_ref();
        let bytes = bytes(spanned, problems)?;
        let replacement = replacement(spanned, bytes.len(), problems)?;
        let Some(left) = room.checked_sub(bytes.len() + replacement.len()) else {
            let most = show_bytes(MAX_BYTES as u64);
            let message = format!("all patterns together have more than {most}; make them shorter, or fewer");
            problems.at(spanned.span(), message);
            return None;
        };
        *room = left;
        if let Some(given) = &raw.name {
            name(given.get_ref(), given.span(), problems);
            if patterns.iter().any(|earlier| earlier.name == *given.get_ref()) {
                problems.at(given.span(), "another pattern has this name already; names are unique");
            }
        }
        patterns.push(Pattern {
            name: raw
                .name
                .as_ref()
                .map_or_else(|| format!("pattern[{index}]"), |name| name.get_ref().clone()),
            bytes,
            direction: match raw.from {
                external::From::Both => None,
                external::From::Client => Some(Direction::ClientToServer),
                external::From::Server => Some(Direction::ServerToClient),
            },
            verdict: match raw.verdict.get_ref() {
                external::Verdict::Event => Verdict::Event,
                external::Verdict::Edit => Verdict::Edit,
                external::Verdict::Split => Verdict::Split,
                external::Verdict::Drop => Verdict::Drop,
                external::Verdict::Reset => Verdict::Reset,
            },
            replacement,
        });
    }
    never_found(raw, &patterns, problems);
    let compiled = inspect::Inspection::new(&patterns, manner(raw, problems));
    compiled
        .map_err(|why| problems.at(key.span(), format!("the patterns cannot be compiled: {why}; use fewer")))
        .ok()
}

fn manner(raw: &external::Inspect, problems: &mut Problems) -> Manner {
    Manner {
        ignore_case: raw.ignore_case,
        window: raw.window,
        ahead: match raw.ahead {
            external::Ahead::Drop => Ahead::Drop,
            external::Ahead::Pass => Ahead::Pass,
        },
        when_full: fallback(raw.when_full),
        hold: duration(&raw.hold, Manner::HOLD, Duration::ZERO..=Duration::from_secs(60), problems),
    }
}

/// What is replaced is what ends first: a pattern that has another one before its end is never reached.
fn never_found(raw: &external::Inspect, patterns: &[Pattern], problems: &mut Problems) {
    let is_edit = |pattern: &Pattern| pattern.verdict == Verdict::Edit;
    let meet = |one: &Pattern, other: &Pattern| {
        one.direction.is_none() || other.direction.is_none() || one.direction == other.direction
    };
    for (index, pattern) in patterns.iter().enumerate().filter(|(_, pattern)| is_edit(pattern)) {
        let before_end = &pattern.bytes[..pattern.bytes.len() - 1];
        let is_within = |other: &&Pattern| {
            let mut windows = before_end.windows(other.bytes.len());
            is_edit(other) && meet(other, pattern) && windows.any(|window| window == other.bytes)
        };
        if let Some(other) = patterns.iter().find(is_within) {
            let message = format!(
                "\"{}\" is part of it and ends before, so this one would never be found; leave one of them out",
                other.name
            );
            problems.at(raw.patterns[index].span(), message);
        }
    }
}

/// What takes the place of a pattern of `len` bytes: nothing unless it is to be edited.
fn replacement(pattern: &Spanned<external::Pattern>, len: usize, problems: &mut Problems) -> Option<Vec<u8>> {
    let raw = pattern.get_ref();
    let is_edit = *raw.verdict.get_ref() == external::Verdict::Edit;
    let given = match (&raw.replace, &raw.replace_hex) {
        (None, None) if !is_edit => return Some(Vec::new()),
        (None, None) => {
            let message = "is missing; write what takes its place, with `replace` or with `replace_hex`";
            problems.missing(pattern.span(), "replace", message);
            return None;
        }
        (Some(replace), _) | (None, Some(replace)) if !is_edit => {
            problems.at(
                replace.span(),
                "counts only with verdict = \"edit\"; change the verdict or leave it out",
            );
            return None;
        }
        (Some(_), Some(hex)) => {
            problems.at(hex.span(), "stands beside `replace`; leave one of them out");
            return None;
        }
        (Some(text), None) => text.get_ref().as_bytes().to_vec(),
        (None, Some(hex)) => match from_hex(hex.get_ref()) {
            Some(bytes) => bytes,
            None => {
                problems.at(hex.span(), not_hexadecimal(hex.get_ref()));
                return None;
            }
        },
    };
    if len > MAX_EDITED {
        let message = format!(
            "has {len} bytes; at most {MAX_EDITED} can be replaced, for the first may wait for the last"
        );
        problems.at(pattern.span(), message);
        return None;
    }
    if given.len() > len * MOST_GROWTH {
        let message = format!(
            "{} bytes take the place of {len}; at most {MOST_GROWTH} times as many can: make the replacement shorter, or the \
             pattern longer, with what stands beside it",
            given.len()
        );
        problems.at(pattern.span(), message);
        return None;
    }
    Some(given)
}

fn not_hexadecimal(given: &str) -> String {
    format!("{given:?} is not hexadecimal; write two digits a byte: \"90 90 cc\"")
}

/// Either `text`, byte by byte as it stands in the file, or `hex`.
fn bytes(pattern: &Spanned<external::Pattern>, problems: &mut Problems) -> Option<Vec<u8>> {
    let raw = pattern.get_ref();
    let given = match (&raw.text, &raw.hex) {
        (Some(text), None) => Ok((text.get_ref().as_bytes().to_vec(), text.span())),
        (None, Some(hex)) => from_hex(hex.get_ref())
            .map(|bytes| (bytes, hex.span()))
            .ok_or_else(|| (hex.span(), not_hexadecimal(hex.get_ref()))),
        (Some(_), Some(hex)) => Err((hex.span(), "stands beside `text`; leave one of them out".to_owned())),
        (None, None) => {
            let message = "is missing; write the bytes to search for, with `text` or with `hex`";
            problems.missing(pattern.span(), "text", message);
            return None;
        }
    };
    match given {
        Ok((bytes, span)) if bytes.is_empty() => {
            problems.at(span, "is empty, and would be found everywhere; write at least one byte");
            None
        }
        Ok((bytes, _)) => Some(bytes),
        Err((span, message)) => {
            problems.at(span, message);
            None
        }
    }
}

/// Pairs of digits, with blanks anywhere between pairs.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |character: char| character.to_digit(16).map(|digit| digit as u8);
    let mut bytes = Vec::new();
    for run in text.split_whitespace() {
        let digits: Vec<u8> = run.chars().map(digit).collect::<Option<_>>()?;
        if !digits.len().is_multiple_of(2) {
            return None;
        }
        bytes.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
    }
    Some(bytes)
}

/// The inspection that a rule names.
pub(super) fn of_rule(
    rule: &external::Rule,
    action: Action,
    inspections: &[Inspection],
    problems: &mut Problems,
) -> Option<u16> {
    let wanted = rule.inspect.as_ref()?;
    let names = || inspections.iter().map(|inspection| inspection.name.as_str());
    let Some(index) = names().position(|name| name == wanted.get_ref()) else {
        let list = || match names().collect::<Vec<_>>().join(", ") {
            list if list.is_empty() => format!("; add a table [inspect.{}]", wanted.get_ref()),
            list => format!("; there is {list}"),
        };
        let hint = did_you_mean(wanted.get_ref(), names(), list);
        problems.at(wanted.span(), format!("no inspection is named \"{}\"{hint}", wanted.get_ref()));
        return None;
    };
    let given = || inspections[index].compiled.given().iter();
    let splits = || given().any(|pattern| pattern.verdict == Verdict::Split);
    let resizes = |pattern: &Pattern| pattern.bytes.len() != pattern.replacement.len();
    let resizes = || given().any(|pattern| pattern.verdict == Verdict::Edit && resizes(pattern));
    match action {
        Action::Offer { .. } => {}
        Action::Monitor if splits() && rule.module.is_none() => problems.at(
            wanted.span(),
            "a pattern of it has the verdict \"split\", and nobody would look closer: name a module in the rule, or write action = \"offer\"",
        ),
        Action::Monitor if resizes() => problems.at(
            wanted.span(),
            "a pattern of it is replaced by something of another length, for which its flow must be able to participate: write action = \"offer\"",
        ),
        Action::Monitor => {}
        _ => problems.at(
            wanted.span(),
            "counts only with action = \"monitor\" or \"offer\"; change the action or leave it out",
        ),
    }
    Some(index as u16)
}
