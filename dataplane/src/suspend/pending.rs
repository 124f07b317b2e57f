//! The suspension table: each suspended flow's SYN, verbatim, in memory taken at start (seed 000: "the original packet
//! from the initiator is also saved verbatim").
//!
//! A slot holds 256 bytes, enough for any SYN without data: two VLAN tags, IPv4 or IPv6 with options and 60 bytes of
//! TCP header. A longer one is refused by name; who wants its data delivered lets the rule bypass it.

/// The longest SYN that can be kept, bytes from the destination MAC on.
pub const MAX_SYN: usize = 256;

/// Why a SYN is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All slots are taken.
    Full,
    /// The frame does not fit a slot.
    TooLong,
}

#[derive(Clone)]
struct Held {
    frame: [u8; MAX_SYN],
    len: u16,
}

/// Held SYNs of one worker.
pub struct Pending {
    slots: Box<[Held]>,
    free: Vec<u32>,
}

impl Pending {
    /// What one held SYN takes.
    pub const BYTES_PER_SYN: usize = size_of::<Held>() + size_of::<u32>();

    /// Room for `capacity` SYNs.
    pub fn new(capacity: usize) -> Self {
        Pending {
            slots: vec![Held { frame: [0; MAX_SYN], len: 0 }; capacity].into_boxed_slice(),
            free: (0..capacity as u32).rev().collect(),
        }
    }

    /// SYNs held.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most SYNs that can be held.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Keeps a copy of `frame` and returns its slot.
    pub fn hold(&mut self, frame: &[u8]) -> Result<u32, Refused> {
        if frame.len() > MAX_SYN {
            return Err(Refused::TooLong);
        }
        let slot = self.free.pop().ok_or(Refused::Full)?;
        self.replace(slot, frame);
        Ok(slot)
    }

    /// Puts another SYN in the place of a held one; no effect when it does not fit.
    pub fn replace(&mut self, slot: u32, frame: &[u8]) {
        let held = &mut self.slots[slot as usize];
        if let Some(place) = held.frame.get_mut(..frame.len()) {
            place.copy_from_slice(frame);
            held.len = frame.len() as u16;
        }
    }

    /// The SYN in `slot`.
    pub fn get(&self, slot: u32) -> &[u8] {
        let held = &self.slots[slot as usize];
        &held.frame[..usize::from(held.len)]
    }

    /// Gives the slot back.
    pub fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_verbatim_and_refuses_by_name() {
        let mut pending = Pending::new(1);
        let slot = pending.hold(&[7; 74]).unwrap();
        assert_eq!(pending.get(slot), [7; 74]);
        assert_eq!(pending.hold(&[8; 74]), Err(Refused::Full));
        pending.release(slot);
        assert_eq!(pending.hold(&[8; MAX_SYN + 1]), Err(Refused::TooLong));
        assert!(pending.is_empty());
        assert_eq!(pending.hold(&[8; MAX_SYN]).map(|slot| pending.get(slot)[0]), Ok(8));
    }
}
