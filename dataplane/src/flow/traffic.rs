//! What a flow has carried: bytes (IP header included, as conntrack counts) and frames of each direction, 56 and 40 bits wide. At ten
//! million frames a second the shorter one lasts for thirty hours, and stands still then.
//!
//! The lower bits stand in the object, the others in the record. So a frame leaves the record's line alone unless its count overflows:
//! one frame of 256, or of 43 when they are full.

use super::quad::Direction;

/// The lower bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Tally {
    /// By [`Direction::index`].
    bytes: [u16; 2],
    frames: [u8; 2],
}

impl Tally {
    /// Nothing yet.
    pub const NONE: Tally = Tally { bytes: [0; 2], frames: [0; 2] };

    /// So many bytes more. Whether that is to be entered into the ledger.
    #[inline(always)]
    #[must_use]
    pub const fn add_bytes(&mut self, direction: Direction, bytes: u16) -> bool {
        let (sum, is_over) = self.bytes[direction.index()].overflowing_add(bytes);
        self.bytes[direction.index()] = sum;
        is_over
    }

    /// A frame more. Whether that is to be entered into the ledger.
    #[inline(always)]
    #[must_use]
    pub const fn add_frame(&mut self, direction: Direction) -> bool {
        let (sum, is_over) = self.frames[direction.index()].overflowing_add(1);
        self.frames[direction.index()] = sum;
        is_over
    }
}

/// The upper bits: as bytes, lowest first, for they have to be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Ledger {
    bytes: [[u8; 5]; 2],
    frames: [[u8; 4]; 2],
}

impl Ledger {
    /// Takes the bytes of which the lower bits have begun anew.
    pub fn enter_bytes(&mut self, tally: &mut Tally, direction: Direction) {
        if !increment(&mut self.bytes[direction.index()]) {
            tally.bytes[direction.index()] = u16::MAX;
        }
    }

    /// The same of frames.
    pub fn enter_frames(&mut self, tally: &mut Tally, direction: Direction) {
        if !increment(&mut self.frames[direction.index()]) {
            tally.frames[direction.index()] = u8::MAX;
        }
    }
}

/// False, and nothing done, when there is no larger number.
fn increment<const N: usize>(number: &mut [u8; N]) -> bool {
    let next = (value(number) + 1).to_le_bytes();
    let fits = next[N] == 0;
    if fits {
        number.copy_from_slice(&next[..N]);
    }
    fits
}

fn value(number: &[u8]) -> u64 {
    number.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    bytes: [u64; 2],
    frames: [u64; 2],
}

impl Traffic {
    /// Of its two parts.
    pub fn new(tally: Tally, ledger: Ledger) -> Traffic {
        Traffic {
            bytes: [0, 1].map(|i| value(&ledger.bytes[i]) << u16::BITS | u64::from(tally.bytes[i])),
            frames: [0, 1].map(|i| value(&ledger.frames[i]) << u8::BITS | u64::from(tally.frames[i])),
        }
    }

    /// Bytes of `direction`.
    pub const fn bytes(&self, direction: Direction) -> u64 {
        self.bytes[direction.index()]
    }

    /// Frames of `direction`.
    pub const fn frames(&self, direction: Direction) -> u64 {
        self.frames[direction.index()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UP: Direction = Direction::ClientToServer;

    fn count(parts: &mut (Tally, Ledger), direction: Direction, bytes: u16) -> Traffic {
        let (tally, ledger) = parts;
        if tally.add_bytes(direction, bytes) {
            ledger.enter_bytes(tally, direction);
        }
        if tally.add_frame(direction) {
            ledger.enter_frames(tally, direction);
        }
        Traffic::new(*tally, *ledger)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_the_parts(frames in prop::collection::vec((any::<bool>(), any::<u16>()), 0..2000)) {
            let mut parts = Default::default();
            let mut expected = Traffic::default();
            for (is_up, bytes) in frames {
                let direction = if is_up { UP } else { UP.reverse() };
                expected.bytes[direction.index()] += u64::from(bytes);
                expected.frames[direction.index()] += 1;
                prop_assert_eq!(count(&mut parts, direction, bytes), expected);
            }
        }
    }

    #[test]
    fn what_is_full_stands_still() {
        let mut parts = (Tally::NONE, Ledger::default());
        parts.0.bytes[0] = u16::MAX - 100;
        parts.0.frames[0] = u8::MAX - 1;
        parts.1.bytes[0] = [u8::MAX; 5];
        parts.1.frames[0] = [u8::MAX; 4];
        for _ in 0..3 {
            let traffic = count(&mut parts, UP, 60);
            assert_eq!((traffic.frames(UP), traffic.bytes(UP) >> 16), ((1 << 40) - 1, (1 << 40) - 1));
        }
        assert_eq!(count(&mut parts, UP, 0).bytes(UP), (1 << 56) - 1);
        let other = count(&mut parts, UP.reverse(), 9);
        assert_eq!((other.bytes(UP.reverse()), other.frames(UP.reverse())), (9, 1));
    }
}
