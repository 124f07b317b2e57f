//! What a rule asks besides addresses, ports and VLANs: what the SYN is like, and how many of them come.

use std::ops::RangeInclusive;

use dataplane::policy::{Layout, Per, RateSpec, Side, SynMatch};
use toml::Spanned;

use super::matches::each;
use crate::config::error::Problems;
use crate::config::external;
use crate::config::scalar::{Scalar, number};

/// SYNs a second, and at once.
const SYNS: RangeInclusive<u32> = 1..=100_000_000;
/// Prefixes of one rule whose bucket is not full: 16 MiB for each worker.
const SOURCES: RangeInclusive<u32> = 16..=1 << 20;

pub(super) fn syn(raw: &external::Syn, problems: &mut Problems) -> SynMatch {
    SynMatch {
        layouts: each(&raw.options, layout, problems),
        mss: each(&raw.mss, |value| range(value, 1..=u16::MAX, "an MSS"), problems),
        windows: each(&raw.window, |value| range(value, 0..=u16::MAX, "a window"), problems),
        window_scales: each(&raw.window_scale, |value| range(value, 0..=u8::MAX, "a window scale"), problems),
        ttls: each(&raw.ttl, |value| range(value, 0..=u8::MAX, "a TTL"), problems),
    }
}

fn layout(value: &Scalar) -> Result<Layout, String> {
    match value {
        Scalar::Text(text) => text.parse().map_err(|error| format!("{value}: {error}")),
        Scalar::Number(_) => {
            Err(format!("{value} is no list of options; write for example \"mss,sok,ts,nop,ws\""))
        }
    }
}

/// A number, or two and a dash between them.
fn range<T>(value: &Scalar, possible: RangeInclusive<T>, what: &str) -> Result<RangeInclusive<T>, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    let (low, high) = (*possible.start(), *possible.end());
    let wrong = || {
        format!("{value} is not {what}; write a number or a range such as \"{low}-{high}\" ({low} to {high})")
    };
    let read =
        |text: &str| text.trim().parse().ok().filter(|number| possible.contains(number)).ok_or_else(wrong);
    let (first, last) = match value {
        Scalar::Number(number) => {
            let number = read(&number.to_string())?;
            (number, number)
        }
        Scalar::Text(text) => match text.split_once('-') {
            Some((first, last)) => (read(first)?, read(last)?),
            None => (read(text)?, read(text)?),
        },
    };
    if first > last {
        return Err(format!("{value} runs backwards; write \"{last}-{first}\""));
    }
    Ok(first..=last)
}

pub(super) fn rate(raw: &Spanned<external::Rate>, problems: &mut Problems) -> RateSpec {
    let (span, raw) = (raw.span(), raw.get_ref());
    let side = match (&raw.above, &raw.within) {
        (None, Some(_)) => Side::Within,
        (Some(_), None) => Side::Above,
        (Some(_), Some(within)) => {
            problems
                .at(within.span(), "stands beside `above`; a rule matches either, so leave one of them out");
            Side::Above
        }
        (None, None) => {
            problems.missing(
                span,
                "above",
                "is missing; write how many SYNs a second, with `above` or with `within`",
            );
            Side::Above
        }
    };
    let per_second = number(if side == Side::Above { &raw.above } else { &raw.within }, 1, SYNS, problems);
    RateSpec {
        per_second,
        burst: number(&raw.burst, per_second, SYNS, problems),
        side,
        per: per(raw, problems),
    }
}

fn per(raw: &external::Rate, problems: &mut Problems) -> Per {
    if raw.per == external::Per::Rule {
        let numbers = [&raw.source_prefix_v4, &raw.source_prefix_v6, &raw.sources];
        let spans = numbers.into_iter().flatten().map(Spanned::span);
        for span in spans.chain(raw.sources_full.as_ref().map(Spanned::span)) {
            problems.at(span, "counts only with per = \"source\"; add that or leave it out");
        }
        return Per::Rule;
    }
    Per::Source {
        prefix_v4: number(&raw.source_prefix_v4, 24, 1..=32, problems),
        prefix_v6: number(&raw.source_prefix_v6, 56, 1..=128, problems),
        sources: number(&raw.sources, 16_384, SOURCES, problems),
        when_full: match raw.sources_full.as_ref().map(|full| *full.get_ref()) {
            None | Some(external::Side::Within) => Side::Within,
            Some(external::Side::Above) => Side::Above,
        },
    }
}
