//! Partial connections by age: of each worker those that somebody waits for, and apart from them answers that are only
//! remembered. An answer counts from when it was given.

use super::partial::Phase;
use super::{NONE, Suspended};

/// One list, from its oldest to its youngest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ages {
    pub(super) oldest: u32,
    pub(super) youngest: u32,
    pub(super) len: usize,
}

impl Ages {
    /// Nobody.
    pub(super) const NOBODY: Ages = Ages { oldest: NONE, youngest: NONE, len: 0 };
}

impl Suspended {
    fn list_of(&mut self, slot: u32) -> &mut Ages {
        let partial = self.at_mut(slot);
        let worker = usize::from(partial.worker);
        match partial.phase {
            Phase::Refused => &mut self.remembered[worker],
            Phase::Deciding | Phase::Asking => &mut self.waiting[worker],
        }
    }

    /// It is the youngest of its list.
    pub(super) fn link(&mut self, slot: u32) {
        let list = self.list_of(slot);
        list.len += 1;
        let older = std::mem::replace(&mut list.youngest, slot);
        let partial = self.at_mut(slot);
        (partial.older, partial.younger) = (older, NONE);
        match older {
            NONE => self.list_of(slot).oldest = slot,
            older => self.at_mut(older).younger = slot,
        }
    }

    /// It is in no list.
    pub(super) fn unlink(&mut self, slot: u32) {
        self.list_of(slot).len -= 1;
        let partial = self.at_mut(slot);
        let (older, younger) = (partial.older, partial.younger);
        match older {
            NONE => self.list_of(slot).oldest = younger,
            older => self.at_mut(older).younger = younger,
        }
        match younger {
            NONE => self.list_of(slot).youngest = older,
            younger => self.at_mut(younger).older = older,
        }
    }

    /// The members of a list, the oldest first.
    pub(super) fn by_age(&self, list: Ages) -> impl Iterator<Item = u32> {
        let next = |slot: &u32| self.get(*slot).map(|partial| partial.younger).filter(|slot| *slot != NONE);
        std::iter::successors(Some(list.oldest).filter(|slot| *slot != NONE), next)
    }
}
