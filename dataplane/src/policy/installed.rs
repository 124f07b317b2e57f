//! A snapshot in force on one worker: what all workers share, and what is this one's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Decision, Snapshot};
use crate::flow::quad::FlowKey;

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
}

impl Installed {
    /// With all counts at 0.
    pub fn new(snapshot: Arc<Snapshot>) -> Installed {
        Installed { hits: Arc::new(Hits::new(snapshot.rules())), snapshot }
    }

    /// What the first matching rule says of a SYN; counted.
    pub(crate) fn decide(&mut self, key: &FlowKey) -> Decision {
        let decision = self.snapshot.decide(&key.quad, key.segment);
        self.hits.count(decision.rule);
        decision
    }
}
