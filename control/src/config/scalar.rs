//! Values that users write as a number or as a string with a unit, and lists that may be a single value. They are
//! read as they stand and judged in validation, so that one run reports all of them.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use bytesize::ByteSize;
use dataplane::port::impaired::Share;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use super::error::Problems;

/// A number or a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Number(i64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Number(number) => write!(f, "{number}"),
            Scalar::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

enum OneOrMany {
    One(Scalar),
    Many(Vec<Spanned<Scalar>>),
}

/// One value, or an array of them.
#[derive(Debug, Clone, Default)]
pub(super) struct List(pub(super) Vec<Spanned<Scalar>>);

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a string")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a string or an array of these")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(Scalar::Number(number)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(Scalar::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<OneOrMany, A::Error> {
        let mut many = Vec::new();
        while let Some(element) = elements.next_element()? {
            many.push(element);
        }
        Ok(OneOrMany::Many(many))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Spanned::<OneOrMany>::deserialize(deserializer)?;
        let span = value.span();
        Ok(List(match value.into_inner() {
            OneOrMany::One(scalar) => vec![Spanned::new(span, scalar)],
            OneOrMany::Many(many) if many.is_empty() => {
                return Err(de::Error::custom(
                    "an empty array matches nothing; leave the key out to match all",
                ));
            }
            OneOrMany::Many(many) => many,
        }))
    }
}

/// A number in `range`, or `default` when the key is absent.
pub(super) fn number<T>(
    value: &Option<Spanned<i64>>,
    default: T,
    range: RangeInclusive<T>,
    problems: &mut Problems,
) -> T
where
    T: TryFrom<i64> + PartialOrd + fmt::Display + Copy,
{
    let Some(value) = value else { return default };
    match T::try_from(*value.get_ref()) {
        Ok(number) if range.contains(&number) => number,
        _ => {
            let (low, high) = (range.start(), range.end());
            problems
                .at(value.span(), format!("{} is out of range; possible: {low} to {high}", value.get_ref()));
            default
        }
    }
}

/// A number of bytes in `range`: a number, or a string such as `256KiB`.
pub(super) fn bytes(
    value: &Option<Spanned<Scalar>>,
    default: u64,
    range: RangeInclusive<u64>,
    problems: &mut Problems,
) -> u64 {
    let Some(value) = value else { return default };
    let parsed = match value.get_ref() {
        Scalar::Number(number) => u64::try_from(*number).ok(),
        Scalar::Text(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
    };
    match parsed {
        Some(bytes) if range.contains(&bytes) => bytes,
        Some(_) => {
            let (low, high) = (show_bytes(*range.start()), show_bytes(*range.end()));
            problems
                .at(value.span(), format!("{} is out of range; possible: {low} to {high}", value.get_ref()));
            default
        }
        None => {
            problems.at(
                value.span(),
                format!("{} is not a size; write for example \"256KiB\" or \"64MiB\"", value.get_ref()),
            );
            default
        }
    }
}

/// A duration in `range`: a string such as `75s` or `2h 4m`.
pub(super) fn duration(
    value: &Option<Spanned<Scalar>>,
    default: Duration,
    range: RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Duration {
    let Some(value) = value else { return default };
    let parsed = match value.get_ref() {
        Scalar::Text(text) => humantime::parse_duration(text).ok(),
        Scalar::Number(_) => None,
    };
    match parsed {
        Some(duration) if range.contains(&duration) => duration,
        Some(_) => {
            let show = humantime::format_duration;
            let (low, high) = (show(*range.start()), show(*range.end()));
            problems
                .at(value.span(), format!("{} is out of range; possible: {low} to {high}", value.get_ref()));
            default
        }
        None => {
            problems.at(
                value.span(),
                format!(
                    "{} is not a duration; write a number with a unit, for example \"75s\" or \"10m\"",
                    value.get_ref()
                ),
            );
            default
        }
    }
}

/// A share such as `1%` or `0.05%`; none when the key is absent.
pub(super) fn share(value: &Option<Spanned<Scalar>>, problems: &mut Problems) -> Share {
    let Some(value) = value else { return Share::default() };
    let percent = match value.get_ref() {
        Scalar::Text(text) => text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok()),
        Scalar::Number(_) => None,
    };
    let Some(percent) = percent else {
        problems.at(
            value.span(),
            format!("{} is not a share; write for example \"1%\" or \"0.1%\"", value.get_ref()),
        );
        return Share::default();
    };
    let parts = percent * 10_000.0;
    if percent == 0.0 || (1.0..=1_000_000.0).contains(&parts) {
        return Share::per_million(parts.round() as u32);
    }
    problems.at(value.span(), format!("{} is out of range; possible: 0%, 0.0001% to 100%", value.get_ref()));
    Share::default()
}

/// Bits a second, such as `100Mbit`.
pub(super) fn bit_rate(value: &Spanned<Scalar>, problems: &mut Problems) -> u64 {
    const UNITS: [(&str, f64); 3] = [("kbit", 1e3), ("Mbit", 1e6), ("Gbit", 1e9)];
    let parse = |text: &str| {
        let (number, unit) =
            UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
        Some(number.trim().parse::<f64>().ok()? * unit)
    };
    let bits = match value.get_ref() {
        Scalar::Text(text) => parse(text),
        Scalar::Number(_) => None,
    };
    match bits {
        Some(bits) if (1e3..=1e12).contains(&bits) => return bits as u64,
        Some(_) => problems
            .at(value.span(), format!("{} is out of range; possible: 1kbit to 1000Gbit", value.get_ref())),
        None => problems.at(
            value.span(),
            format!("{} is not a rate; write for example \"100Mbit\" or \"1.5Gbit\"", value.get_ref()),
        ),
    }
    1_000_000_000
}

/// `64.0 MiB`.
pub fn show_bytes(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// A name for ports, modules and rules: what fits into metrics labels and log fields unquoted.
pub(super) fn name(text: &str, span: Range<usize>, problems: &mut Problems) {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 32 || !text.chars().all(good) {
        problems.at(
            span,
            format!("{text:?} is not a name; use 1 to 32 letters, digits, dots, dashes and underscores"),
        );
    }
}
