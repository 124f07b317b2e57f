//! How nearly every SYN lays out its options: known by two comparisons instead of a walk.
//!
//! No input panics.

use super::syn::SynOptions;

/// Bytes that every SYN with this layout has, the others being 0: the first eight, and the last four. Between them are clocks.
pub(super) struct Usual {
    pub(super) len: usize,
    head: [u8; 8],
    tail: [u8; 4],
    /// Where its options say something of their own.
    pub options: SynOptions,
}

/// Segment size, SACK permitted, timestamps, window scale: Linux.
pub(super) const LINUX: Usual = Usual {
    len: 20,
    head: [2, 4, 0, 0, 4, 2, 8, 10],
    tail: [1, 3, 3, 0],
    options: SynOptions::laid_out(2, 19, 8),
};
/// The same without timestamps.
pub(super) const WITHOUT_CLOCK: Usual = Usual {
    len: 12,
    head: [2, 4, 0, 0, 1, 1, 4, 2],
    tail: [1, 3, 3, 0],
    options: SynOptions::laid_out(2, 11, 0),
};
/// Segment size, window scale, SACK permitted: Windows.
pub(super) const WINDOWS: Usual = Usual {
    len: 12,
    head: [2, 4, 0, 0, 1, 3, 3, 0],
    tail: [1, 1, 4, 2],
    options: SynOptions::laid_out(2, 7, 0),
};

/// Of the first eight bytes, all but the segment size.
const HEAD: u64 = u64::from_ne_bytes([0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff]);
/// The same without a window scale at their end.
const HEAD_WITH_SHIFT: u64 = u64::from_ne_bytes([0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0]);
/// Of the last four, all but a window scale at their end.
const TAIL_WITH_SHIFT: u32 = u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);

/// What they say, if they are laid out as usual. Read where each layout has it: no place has to be asked for.
#[inline(always)]
pub(super) fn of(options: &[u8]) -> Option<SynOptions> {
    let (head, tail) = (options.first_chunk::<8>()?, options.last_chunk::<4>()?);
    let [_, _, a, b, .., before] = *head;
    let [.., behind] = *tail;
    let (head, tail) = (u64::from_ne_bytes(*head), u32::from_ne_bytes(*tail));
    let is = |usual: &Usual, head, tail| {
        head == u64::from_ne_bytes(usual.head) && tail == u32::from_ne_bytes(usual.tail)
    };
    // By length: so only those that it can be are compared.
    if options.len() == LINUX.len {
        return is(&LINUX, head & HEAD, tail & TAIL_WITH_SHIFT).then(|| LINUX.options.say([a, b], behind));
    }
    const { assert!(WITHOUT_CLOCK.len == WINDOWS.len) };
    if options.len() != WINDOWS.len {
        return None;
    }
    if is(&WITHOUT_CLOCK, head & HEAD, tail & TAIL_WITH_SHIFT) {
        return Some(WITHOUT_CLOCK.options.say([a, b], behind));
    }
    is(&WINDOWS, head & HEAD_WITH_SHIFT, tail).then(|| WINDOWS.options.say([a, b], before))
}
