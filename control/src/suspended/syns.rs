//! The SYNs of partial connections, verbatim, in memory taken at start (seed 000: "the original packet from the initiator
//! is also saved verbatim").
//!
//! 115 bytes hold what a common stack sends, Ethernet with two tags, an IPv6 header and 52 bytes of TCP. Longer
//! ones, with data or extension headers, share a few places of their own.

use std::num::NonZeroU32;

/// The longest SYN of a short place, bytes from the destination MAC on.
const SHORT: usize = 115;
/// The longest SYN that is kept at all: a whole frame of an Ethernet, two tags included.
const LONG: usize = 1522;
/// There is one long place for so many short ones, and a few in any case.
const SHORT_FOR_A_LONG: usize = 512;
const LEAST_LONG: usize = 4;

/// End of the list of short places that were given back.
const NONE: u32 = u32::MAX;

/// Set in the ids of long places; the rest is the index, from 1.
const IS_LONG: u32 = 1 << 31;

/// The place of a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SynId(NonZeroU32);

impl SynId {
    fn new(index: u32, long: u32) -> SynId {
        SynId(NonZeroU32::MIN.saturating_add(index) | long)
    }

    fn index(self) -> usize {
        ((self.0.get() & !IS_LONG) - 1) as usize
    }

    /// It is one of the few for long SYNs.
    pub(crate) fn is_long(self) -> bool {
        self.0.get() & IS_LONG != 0
    }
}

#[derive(Clone)]
struct Short {
    len: u8,
    bytes: [u8; SHORT],
}

#[derive(Clone)]
struct Long {
    len: u16,
    bytes: [u8; LONG],
}

/// Why a SYN is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// All places that it fits are taken.
    Full,
    /// It fits none.
    TooLong,
}

/// All places.
pub(crate) struct Syns {
    short: Box<[Short]>,
    /// The first of those given back; each holds the index of the next.
    free_short: u32,
    /// Short places from here on have never been used: their memory is not even touched.
    unused_short: u32,
    long: Box<[Long]>,
    free_long: Vec<u32>,
}

fn longs(capacity: usize) -> usize {
    (capacity / SHORT_FOR_A_LONG).max(LEAST_LONG)
}

impl Syns {
    /// Bytes that room for `capacity` SYNs takes.
    pub(crate) fn bytes(capacity: usize) -> usize {
        capacity * size_of::<Short>() + longs(capacity) * (size_of::<Long>() + size_of::<u32>())
    }

    /// Room for `capacity` SYNs.
    pub(crate) fn new(capacity: usize) -> Syns {
        let longs = longs(capacity);
        Syns {
            short: vec![Short { len: 0, bytes: [0; SHORT] }; capacity].into_boxed_slice(),
            free_short: NONE,
            unused_short: 0,
            long: vec![Long { len: 0, bytes: [0; LONG] }; longs].into_boxed_slice(),
            free_long: (0..longs as u32).rev().collect(),
        }
    }

    /// Keeps a copy of `frame`.
    pub(crate) fn keep(&mut self, frame: &[u8]) -> Result<SynId, NotKept> {
        let id = match frame.len() {
            len if len <= SHORT => SynId::new(self.take_short().ok_or(NotKept::Full)?, 0),
            len if len <= LONG => SynId::new(self.free_long.pop().ok_or(NotKept::Full)?, IS_LONG),
            _ => return Err(NotKept::TooLong),
        };
        self.write(id, frame);
        Ok(id)
    }

    fn take_short(&mut self) -> Option<u32> {
        if let Some(place) = self.short.get(self.free_short as usize) {
            let [a, b, c, d, ..] = place.bytes;
            return Some(std::mem::replace(&mut self.free_short, u32::from_ne_bytes([a, b, c, d])));
        }
        let index = self.unused_short;
        self.unused_short += u32::from((index as usize) < self.short.len());
        (self.unused_short > index).then_some(index)
    }

    /// Puts another SYN of the same length into the place of one; no effect when the lengths differ.
    pub(crate) fn replace(&mut self, id: SynId, frame: &[u8]) {
        if self.get(id).len() == frame.len() {
            self.write(id, frame);
        }
    }

    fn write(&mut self, id: SynId, frame: &[u8]) {
        if !id.is_long() {
            let place = &mut self.short[id.index()];
            place.bytes[..frame.len()].copy_from_slice(frame);
            place.len = frame.len() as u8;
        } else {
            let place = &mut self.long[id.index()];
            place.bytes[..frame.len()].copy_from_slice(frame);
            place.len = frame.len() as u16;
        }
    }

    /// The SYN in a place.
    pub(crate) fn get(&self, id: SynId) -> &[u8] {
        if !id.is_long() {
            let place = &self.short[id.index()];
            &place.bytes[..usize::from(place.len)]
        } else {
            let place = &self.long[id.index()];
            &place.bytes[..usize::from(place.len)]
        }
    }

    /// Gives a place back.
    pub(crate) fn release(&mut self, id: SynId) {
        if !id.is_long() {
            let next = std::mem::replace(&mut self.free_short, id.index() as u32);
            self.short[id.index()].bytes[..size_of::<u32>()].copy_from_slice(&next.to_ne_bytes());
        } else {
            self.free_long.push(id.index() as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_verbatim_and_refuses_by_name() {
        let mut syns = Syns::new(1);
        let short = syns.keep(&[7; 74]).unwrap();
        assert_eq!(syns.get(short), [7; 74]);
        assert_eq!(syns.keep(&[8; 74]), Err(NotKept::Full));
        let long = syns.keep(&[8; LONG]).unwrap();
        assert_eq!(syns.get(long), [8; LONG]);
        assert_eq!(syns.keep(&[8; LONG + 1]), Err(NotKept::TooLong));
        syns.replace(short, &[9; 74]);
        syns.replace(short, &[1; 75]);
        assert_eq!(syns.get(short), [9; 74]);
        syns.release(short);
        assert_eq!(syns.keep(&[5; 60]).map(|id| syns.get(id)[0]), Ok(5));
        for _ in 1..LEAST_LONG {
            syns.keep(&[0; 300]).unwrap();
        }
        assert_eq!(syns.keep(&[0; 300]), Err(NotKept::Full));
        syns.release(long);
        assert!(syns.keep(&[0; 300]).is_ok());
    }

    #[test]
    fn every_place_is_given_out_once() {
        let mut syns = Syns::new(8);
        let mut ids: Vec<SynId> = (0..5).map(|n| syns.keep(&[n; 60]).unwrap()).collect();
        for n in [3, 1] {
            syns.release(ids.remove(n));
        }
        ids.extend((5..10).map(|n| syns.keep(&[n; 60]).unwrap()));
        assert_eq!(ids.iter().map(|id| syns.get(*id)[59]).collect::<Vec<_>>(), [0, 2, 4, 5, 6, 7, 8, 9]);
        assert_eq!(syns.keep(&[0; 60]), Err(NotKept::Full));
    }
}
