//! What a rule that rejects answers with, and from whom.

use std::net::IpAddr;

use dataplane::refusal::{IcmpRejection, Rejection, is_answer_v4, is_answer_v6};
use dataplane::wire::ip::is_host;
use toml::Spanned;

use crate::config::error::{Problems, did_you_mean};
use crate::config::external::{self, With};
use crate::config::scalar::{List, Scalar};

/// The types and codes that can answer a SYN, as [`is_answer_v4`] and [`is_answer_v6`] have them.
const POSSIBLE_V4: &str = "[3, 0] to [3, 15] except [3, 4], and [11, 0]";
const POSSIBLE_V6: &str = "[1, 0] to [1, 6], and [3, 0]";

/// What a rule says.
pub(super) fn rejection(rule: &external::Rule, problems: &mut Problems) -> Rejection {
    let answer = rule.with.as_ref().map_or(Rejection::Reset, |with| answer(with, problems));
    match (answer, &rule.from) {
        (Rejection::Icmp(icmp), Some(from)) => Rejection::Icmp(said_by(icmp, from, problems)),
        (Rejection::Reset, Some(from)) => {
            let first = from.0.first().map_or(0..0, Spanned::span);
            problems
                .at(first, "a reset is the server's own; leave it out, or add with = \"admin-prohibited\"");
            answer
        }
        _ => answer,
    }
}

/// What is answered, by the server itself.
pub(super) fn answer(with: &Spanned<With>, problems: &mut Problems) -> Rejection {
    let span = with.span();
    match with.get_ref() {
        With::Name(name) => Rejection::named(name).unwrap_or_else(|| {
            let names = || Rejection::NAMED.iter().map(|(name, _)| *name);
            let possible = || format!("; possible: {}", names().collect::<Vec<_>>().join(", "));
            let hint = did_you_mean(name, names(), possible);
            problems.at(span, format!("nothing is rejected with \"{name}\"{hint}"));
            Rejection::Reset
        }),
        With::Codes(codes) => {
            let mut code = |key, given: &Option<Spanned<Vec<i64>>>, fits, possible| match given {
                Some(given) => type_and_code(given, fits, possible, problems),
                None => {
                    let message = format!("is missing; write type and code: {possible}");
                    problems.missing(span.clone(), key, message);
                    None
                }
            };
            let v4 = code("icmp", &codes.icmp, is_answer_v4, POSSIBLE_V4);
            let v6 = code("icmpv6", &codes.icmpv6, is_answer_v6, POSSIBLE_V6);
            match (v4, v6) {
                (Some(v4), Some(v6)) => {
                    Rejection::Icmp(IcmpRejection { v4, v6, from_v4: None, from_v6: None })
                }
                // Whoever reads this configuration will not get it: there is a problem.
                _ => Rejection::Reset,
            }
        }
    }
}

fn type_and_code(
    given: &Spanned<Vec<i64>>,
    fits: fn(u8, u8) -> bool,
    possible: &str,
    problems: &mut Problems,
) -> Option<(u8, u8)> {
    let bytes: Vec<u8> = given.get_ref().iter().filter_map(|number| u8::try_from(*number).ok()).collect();
    match *bytes {
        [kind, code] if given.get_ref().len() == 2 && fits(kind, code) => Some((kind, code)),
        _ => {
            let message = format!("{:?} cannot answer a SYN; possible: {possible}", given.get_ref());
            problems.at(given.span(), message);
            None
        }
    }
}

/// At most one address of each family.
fn said_by(mut icmp: IcmpRejection, from: &List, problems: &mut Problems) -> IcmpRejection {
    for value in &from.0 {
        let address = match value.get_ref() {
            Scalar::Text(text) => text.parse::<IpAddr>().ok(),
            Scalar::Number(_) => None,
        };
        let is_second = match address.filter(|ip| is_host(*ip)) {
            Some(IpAddr::V4(v4)) => icmp.from_v4.replace(v4).is_some(),
            Some(IpAddr::V6(v6)) => icmp.from_v6.replace(v6).is_some(),
            None => {
                let message =
                    "is not the address of a host; write for example \"192.0.2.1\" or \"2001:db8::1\"";
                problems.at(value.span(), format!("{} {message}", value.get_ref()));
                continue;
            }
        };
        if is_second {
            problems.at(value.span(), "is the second address of its family; an error has one sender");
        }
    }
    icmp
}
