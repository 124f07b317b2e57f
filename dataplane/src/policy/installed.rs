//! A snapshot in force on one worker: what all workers share, and what is this one's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fingerprint::Syn;
use super::rate::Rate;
use super::table::{Candidates, Then};
use super::{Decision, Found, Snapshot};
use crate::clock::Instant;
use crate::packet::TcpHeaders;

/// How often each rule has decided, on one worker. The worker alone writes; anybody reads.
///
/// A plain addition on the packet path: no other thread writes, so none is waited for, and the line is only ever shared
/// while somebody asks.
pub struct Hits(Box<[AtomicU64]>);

impl Hits {
    /// For `rules` rules; the default has the last place.
    fn new(rules: usize) -> Hits {
        Hits((0..=rules).map(|_| AtomicU64::new(0)).collect())
    }

    /// Bytes that the counts of so many rules take.
    pub const fn bytes(rules: usize) -> usize {
        (rules + 1) * size_of::<AtomicU64>()
    }

    fn count(&self, rule: u32) {
        let place = (rule as usize).min(self.0.len() - 1);
        let hits = &self.0[place];
        hits.store(hits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// SYNs that the rule with this index in configuration order has decided; the index behind the last rule, and any
    /// beyond, is the default.
    pub fn of(&self, rule: usize) -> u64 {
        self.0[rule.min(self.0.len() - 1)].load(Ordering::Relaxed)
    }
}

/// A snapshot on one worker. Made, and taken down, by whoever orders it: the worker neither takes nor gives back memory.
pub struct Installed {
    /// What all workers share.
    pub snapshot: Arc<Snapshot>,
    /// Kept by whoever wants to read them, too.
    pub hits: Arc<Hits>,
    /// This worker's share of each rate.
    rates: Box<[Rate]>,
}

impl Installed {
    /// For the only worker, with all counts at 0 and all buckets full.
    pub fn new(snapshot: Arc<Snapshot>) -> Installed {
        Installed::for_one_of(1, snapshot, [0; 4])
    }

    /// For one of `workers` workers. `key` places sources in tables; it comes from the system's generator.
    pub fn for_one_of(workers: usize, snapshot: Arc<Snapshot>, key: [u64; 4]) -> Installed {
        let rates = snapshot.conditions.rates().iter().map(|rate| Rate::new(*rate, workers, key));
        Installed { hits: Arc::new(Hits::new(snapshot.rules())), rates: rates.collect(), snapshot }
    }

    /// What the first matching rule says of a SYN; counted.
    #[inline]
    pub(crate) fn decide(&mut self, now: Instant, headers: &TcpHeaders, frame: &[u8]) -> Decision {
        let decision = match self.snapshot.conditions.is_empty() {
            true => self.snapshot.decide(&headers.quad, headers.segment),
            false => self.decide_by_more(now, headers, frame),
        };
        self.hits.count(decision.rule);
        decision
    }

    /// By rules of which some ask more than quad and segment.
    #[inline(never)]
    fn decide_by_more(&mut self, now: Instant, headers: &TcpHeaders, frame: &[u8]) -> Decision {
        let found = self.find(now, headers, &Syn::of(frame, headers));
        self.snapshot.decision(found)
    }

    /// A rate is asked only when its rule's turn has come, for asking takes a token. So one search names those whose turn may
    /// come, in order; should all say no, the next goes on behind them.
    fn find(&mut self, now: Instant, headers: &TcpHeaders, syn: &Syn<'_>) -> Option<Found> {
        let mut from = 0;
        loop {
            let conditions = &self.snapshot.conditions;
            let judge = |rule: Found| conditions.judge(rule.condition, syn);
            let Candidates { asked, then } =
                self.snapshot.candidates(&headers.quad, headers.segment, from, judge);
            for rule in asked {
                let rate = &mut self.rates[conditions.rate_of(rule.condition) as usize];
                if rate.matches(now, &headers.quad.addresses) {
                    return Some(rule);
                }
            }
            match then {
                Then::Nothing => return None,
                Then::Decides(rule) => return Some(rule),
                Then::More(place) => from = place,
            }
        }
    }
}

#[cfg(test)]
mod tests;
