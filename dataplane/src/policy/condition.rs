//! What rules ask besides where a SYN comes from and goes to, compiled: sixteen bytes a rule, by which most SYNs are told.

use std::ops::RangeInclusive;

use super::fingerprint::{Syn, SynMatch};
use super::rate::RateSpec;
use super::region::Range;
use super::spec::RuleSpec;
use super::table::NONE;
use super::tree::Verdict;

/// Of one rule. Which of many rules is asked cannot be foreseen: it is one cache line, and the lists, which are more, are
/// read only where these numbers do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    /// From the first to the last number of each list.
    windows: Range<u16>,
    ttls: Range<u8>,
    /// In [`Conditions::syns`], or [`NONE`] when the above is all that is asked of the SYN.
    syn: u32,
    /// In [`Conditions::rates`], or [`NONE`].
    rate: u32,
}

/// Of all rules that have one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conditions {
    conditions: Vec<Condition>,
    syns: Vec<SynMatch>,
    rates: Vec<RateSpec>,
}

fn hull<T: Copy + Ord>(list: &[RangeInclusive<T>], all: Range<T>) -> Range<T> {
    let first = list.iter().map(|range| *range.start()).min();
    let last = list.iter().map(|range| *range.end()).max();
    Range { first: first.unwrap_or(all.first), last: last.unwrap_or(all.last) }
}

/// Puts `value` behind the others and returns its place; [`NONE`] without one.
fn append<T>(list: &mut Vec<T>, value: Option<T>) -> u32 {
    let Some(value) = value else { return NONE };
    list.push(value);
    list.len() as u32 - 1
}

impl Conditions {
    /// Of all rules, and each one's place in them.
    pub(super) fn of(rules: &[RuleSpec]) -> (Conditions, Vec<u32>) {
        let mut all = Conditions::default();
        let places = rules.iter().map(|rule| all.add(rule)).collect();
        all.conditions.shrink_to_fit();
        all.syns.shrink_to_fit();
        all.rates.shrink_to_fit();
        (all, places)
    }

    /// The place of the rule's condition; [`NONE`] when it has none.
    fn add(&mut self, rule: &RuleSpec) -> u32 {
        if rule.syn.is_none() && rule.rate.is_none() {
            return NONE;
        }
        let syn = rule.syn.clone().unwrap_or_default();
        let condition = Condition {
            windows: hull(&syn.windows, Range { first: 0, last: u16::MAX }),
            ttls: hull(&syn.ttls, Range { first: 0, last: u8::MAX }),
            syn: append(&mut self.syns, (!syn.is_one_window_and_ttl()).then_some(syn)),
            rate: append(&mut self.rates, rule.rate),
        };
        append(&mut self.conditions, Some(condition))
    }

    /// No rule asks more than quad and segment.
    pub(super) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Of each rate that a rule asks about, by its place.
    pub(super) fn rates(&self) -> &[RateSpec] {
        &self.rates
    }

    /// The place of the rate that a condition asks about, or [`NONE`].
    pub(super) fn rate_of(&self, condition: u32) -> u32 {
        self.conditions[condition as usize].rate
    }

    /// What a rule with this condition is to a SYN that it is about otherwise. Takes no token.
    #[inline]
    pub(super) fn judge(&self, condition: u32, syn: &Syn<'_>) -> Verdict {
        if condition == NONE {
            return Verdict::Decides;
        }
        let condition = &self.conditions[condition as usize];
        let is_near = condition.windows.contains(syn.window()) & condition.ttls.contains(syn.ttl());
        if !is_near || condition.syn != NONE && !self.syns[condition.syn as usize].matches(syn) {
            return Verdict::No;
        }
        if condition.rate == NONE { Verdict::Decides } else { Verdict::Ask }
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.conditions)
            + size_of_val(&*self.syns)
            + size_of_val(&*self.rates)
            + self.syns.iter().map(SynMatch::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Action;

    #[test]
    fn four_fit_one_cache_line() {
        assert_eq!(size_of::<Condition>(), 16);
    }

    /// Whatever is asked, in lists of none, one and two ranges, the verdict is that of the lists.
    #[test]
    fn the_first_glance_says_no_only_where_the_lists_do() {
        let lists = |a: [u8; 2], b: [u8; 2]| {
            let range = |[first, last]: [u8; 2]| first..=last;
            [vec![], vec![range(a)], vec![range(a), range(b)], vec![range(b), range(a)]]
        };
        let wide = |list: &[RangeInclusive<u8>]| {
            list.iter().map(|range| u16::from(*range.start())..=u16::from(*range.end())).collect()
        };
        for windows in lists([3, 5], [8, 9]) {
            for ttls in lists([4, 4], [0, 2]) {
                for window_scales in [vec![], vec![7..=7]] {
                    let (windows, ttls) = (wide(&windows), ttls.clone());
                    let wanted = SynMatch { windows, ttls, window_scales, ..SynMatch::default() };
                    let mut conditions = Conditions::default();
                    let rule = RuleSpec { syn: Some(wanted.clone()), ..RuleSpec::everything(Action::Drop) };
                    let place = conditions.add(&rule);
                    for (window, ttl) in (0..12).flat_map(|window| (0..7).map(move |ttl| (window, ttl))) {
                        for options in [&[][..], &[3, 3, 7, 0]] {
                            let syn = Syn::with(options, window, ttl);
                            let expected = if wanted.matches(&syn) { Verdict::Decides } else { Verdict::No };
                            assert_eq!(conditions.judge(place, &syn), expected, "{wanted:?} {syn:?}");
                        }
                    }
                }
            }
        }
    }
}
