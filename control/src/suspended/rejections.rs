//! The answers that refused SYNs are remembered by: few different ones, each kept once, and only as long as somebody is
//! refused by it.

use dataplane::memory::lasting;
use dataplane::refusal::Rejection;
use hashbrown::HashMap;

/// Different rejections that are remembered at once; what comes beyond is answered with RST when its SYN is repeated.
const MOST: u16 = 1024;

/// RST is always among them, whoever uses it: what there is no room for is remembered as that.
const RESET: u16 = 0;

struct Entry {
    rejection: Rejection,
    /// Refused SYNs that are remembered by it.
    uses: u32,
}

/// All that are remembered.
pub(crate) struct Rejections {
    entries: Vec<Entry>,
    /// Entries that nobody uses.
    free: Vec<u16>,
    by_rejection: HashMap<Rejection, u16, ahash::RandomState>,
}

impl Default for Rejections {
    /// Takes all memory that they will ever use.
    fn default() -> Self {
        let most = usize::from(MOST);
        let mut rejections = Rejections {
            entries: Vec::with_capacity(most),
            free: Vec::with_capacity(most),
            by_rejection: HashMap::with_capacity_and_hasher(lasting(most), ahash::RandomState::new()),
        };
        rejections.intern(Rejection::Reset);
        rejections
    }
}

impl Rejections {
    /// Its index, for one refused SYN that is remembered by it until [`Rejections::release`].
    pub(crate) fn intern(&mut self, rejection: Rejection) -> u16 {
        let known = self.by_rejection.get(&rejection).copied();
        let index = known.or_else(|| self.place(rejection)).unwrap_or(RESET);
        self.entries[usize::from(index)].uses += 1;
        index
    }

    fn place(&mut self, rejection: Rejection) -> Option<u16> {
        let entry = Entry { rejection, uses: 0 };
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[usize::from(index)] = entry;
                index
            }
            None => {
                let next = u16::try_from(self.entries.len()).ok().filter(|next| *next < MOST)?;
                self.entries.push(entry);
                next
            }
        };
        self.by_rejection.insert(rejection, index);
        Some(index)
    }

    /// A SYN that was refused by the rejection of this index is remembered no more.
    pub(crate) fn release(&mut self, index: u16) {
        let entry = &mut self.entries[usize::from(index)];
        entry.uses -= 1;
        if entry.uses == 0 {
            self.by_rejection.remove(&entry.rejection);
            self.free.push(index);
        }
    }

    /// The one with an index that was given and has not been released.
    pub(crate) fn get(&self, index: u16) -> Rejection {
        self.entries[usize::from(index)].rejection
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use dataplane::refusal::IcmpRejection;

    use super::*;

    fn from(n: u32) -> Rejection {
        let Some(Rejection::Icmp(error)) = Rejection::named("host-unreachable") else { unreachable!() };
        Rejection::Icmp(IcmpRejection { from_v4: Some(Ipv4Addr::from(n)), ..error })
    }

    #[test]
    fn only_what_is_remembered_at_once_is_limited() {
        let mut rejections = Rejections::default();
        let indices: Vec<u16> = (1..u32::from(MOST)).map(|n| rejections.intern(from(n))).collect();
        assert_eq!(rejections.intern(from(7)), indices[6], "each is kept once");
        assert_eq!(rejections.intern(from(5000)), RESET, "no room");
        rejections.release(RESET);
        rejections.release(indices[6]);
        assert_eq!(rejections.intern(from(5000)), RESET, "another SYN is still remembered by it");
        rejections.release(RESET);
        rejections.release(indices[6]);
        let index = rejections.intern(from(5000));
        assert_eq!((index, rejections.get(index)), (indices[6], from(5000)));
        assert_eq!(rejections.intern(from(7)), RESET, "its place is taken");
        for n in 0..10_000 {
            let index = rejections.intern(Rejection::Reset);
            assert_eq!(rejections.get(index), Rejection::Reset, "{n}");
            rejections.release(index);
        }
    }
}
