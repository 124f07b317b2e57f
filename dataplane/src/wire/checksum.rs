//! The Internet checksum: in full (RFC 1071) and incrementally (RFC 1624).
//!
//! No input panics. A checksum is the value of the header's 16-bit field, in host order.
//!
//! The appliance never repairs a checksum on the non-participating path: an incremental update moves the field by
//! what the edit changed, so a segment that was corrupt before is as corrupt afterwards.

use std::ops::AddAssign;

use crate::flow::quad::Addresses;

/// A ones-complement sum in the making: carries not yet folded in.
///
/// Summed up in network order, as all of it stands in the frame: the sum is the same with its bytes swapped (RFC 1071 section 2, B),
/// and they are swapped once, at the end. No frame is long enough to fill 64 bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing summed yet.
    pub const ZERO: Sum = Sum(0);

    /// The sum of `bytes`; an odd last byte is padded with zero (RFC 1071 section 1).
    #[inline]
    pub fn of(bytes: &[u8]) -> Sum {
        Sum(native_sum(bytes))
    }

    /// The same of words that are put together in registers, where they are added up as they are.
    #[inline(always)]
    pub fn of_words(words: &[[u8; 4]]) -> Sum {
        // A word of 32 bits is congruent to its halves.
        Sum(words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum())
    }

    /// The pseudo-header of a transport segment of `len` bytes (RFC 9293 section 3.1, RFC 8200 section 8.1).
    #[inline(always)]
    pub fn pseudo_header(addresses: &Addresses, protocol: u8, len: u32) -> Sum {
        let hosts = match addresses {
            // A word of 32 bits is congruent to its halves.
            Addresses::V4(source, destination) => {
                Sum(u64::from(u32::from_ne_bytes(*source)) + u64::from(u32::from_ne_bytes(*destination)))
            }
            Addresses::V6(source, destination) => Sum::of(source) + Sum::of(destination),
        };
        hosts + Sum(u64::from(u32::from(protocol).to_be()) + u64::from(len.to_be()))
    }

    /// The sum folded to 16 bits, not complemented. 0xffff when everything summed up is a valid checksummed unit.
    pub const fn folded(self) -> u16 {
        u16::from_be(fold(self.0))
    }

    /// The checksum field's value for what has been summed with that field as zero.
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether what has been summed contains its own checksum, and that is right. Nothing but zeros is not: no unit is.
    #[inline]
    pub const fn is_valid(self) -> bool {
        // A sum that folds to 0xffff is a multiple of it, in either byte order: asked by one multiplication instead of two folds.
        self.0.is_multiple_of(0xffff) && self.0 != 0
    }
}

/// TCP headers with nothing behind them have one of three lengths, nearly all: code without a loop.
#[inline(always)]
fn native_sum(bytes: &[u8]) -> u64 {
    match bytes.len() {
        20 => native_sum_of(&bytes[..20]),
        32 => native_sum_of(&bytes[..32]),
        40 => native_sum_of(&bytes[..40]),
        _ => native_sum_of(bytes),
    }
}

/// Eight bytes at a time, an addition and one of its carry each: lanes of four bytes take more, however long it is.
#[inline(always)]
fn native_sum_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let native = words.iter().fold(0u128, |sum, word| sum + u128::from(u64::from_ne_bytes(*word)));
    let (word, rest) =
        rest.split_first_chunk::<4>().map_or((0, rest), |(word, rest)| (u32::from_ne_bytes(*word), rest));
    // Halves, and carries: room for what is added to them.
    let (carries, native) = ((native >> 64) as u64, native as u64);
    (native >> 32) + (native & 0xffff_ffff) + carries + u64::from(word) + sum_of_rest(rest)
}

/// Up to three bytes.
#[inline]
fn sum_of_rest(bytes: &[u8]) -> u64 {
    match *bytes {
        [a] => u64::from(u16::from_ne_bytes([a, 0])),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c] => u64::from(u16::from_ne_bytes([a, b])) + u64::from(u16::from_ne_bytes([c, 0])),
        _ => 0,
    }
}

impl std::ops::Add for Sum {
    type Output = Sum;

    /// The sum of both; the bytes behind `rhs` must begin at an even offset.
    #[inline]
    fn add(self, rhs: Sum) -> Sum {
        Sum(self.0 + rhs.0)
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, rhs: Sum) {
        *self = *self + rhs;
    }
}

/// End-around carries until 16 bits are left. Zero only for zero: other multiples of 0xffff give 0xffff.
pub(super) const fn fold(sum: u64) -> u16 {
    // Added to itself with its halves exchanged, a number has in its upper half the sum of both, carry included.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// Whether a header that contains its own checksum sums up right.
pub fn is_valid(header: &[u8]) -> bool {
    Sum::of(header).is_valid()
}

/// What a series of edits does to a checksum: the sum of `~m + m'` (RFC 1624 section 3, equation 3).
///
/// Collect all edits of a segment, then apply once. Equation 3 has no trouble with 0x0000 and 0xffff (section 5): the
/// field of a valid, not all-zero unit becomes what a full computation would have written.
///
/// Summed up in network order, as all of it stands in the segment: the sum is the same with its bytes swapped (RFC 1071 section 2, B).
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "the checksum field stays wrong until `apply`"]
pub struct Update(u64);

impl Update {
    /// No edit.
    pub const NONE: Update = Update(0);

    /// A 16-bit word at an even offset changed.
    pub const fn word16(&mut self, old: u16, new: u16) {
        self.0 += (!old).to_be() as u64 + new.to_be() as u64;
    }

    /// A 32-bit word at an even offset changed.
    pub const fn word32(&mut self, old: u32, new: u32) {
        // Congruent modulo 0xffff to adding both halves, 2^16 being 1 there.
        self.0 += (!old).to_be() as u64 + new.to_be() as u64;
    }

    /// A 32-bit word at `offset` changed, counted from where the sum begins (the TCP header); it may be odd, as SACK
    /// edges and timestamps behind an odd number of NOPs are.
    pub const fn word32_at(&mut self, offset: usize, old: u32, new: u32) {
        if offset.is_multiple_of(2) {
            self.word32(old, new);
        } else {
            // Each byte counts in the other half of its word (RFC 1071 section 2, B).
            self.word32(swap_halves(old), swap_halves(new));
        }
    }

    /// The byte at `offset` changed, counted from where the sum begins.
    pub const fn byte_at(&mut self, offset: usize, old: u8, new: u8) {
        // Network order: the first byte of a word is its upper half.
        let shift = if offset.is_multiple_of(2) { 8 } else { 0 };
        self.word16((old as u16) << shift, (new as u16) << shift);
    }

    /// The edits of `other` too.
    pub const fn merge(&mut self, other: Update) {
        self.0 += other.0;
    }

    /// Whether no edit was recorded.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The checksum field after the edits: `~(~HC + ~m + m')`.
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        if self.is_none() { checksum } else { u16::from_be(!fold((!checksum).to_be() as u64 + self.0)) }
    }
}

/// The bytes of both 16-bit halves swapped.
const fn swap_halves(word: u32) -> u32 {
    (word & 0x00ff_00ff) << 8 | (word >> 8) & 0x00ff_00ff
}

/// The checksum field after one 16-bit word at an even offset changed.
#[must_use]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    let mut update = Update::NONE;
    update.word16(old, new);
    update.apply(checksum)
}

/// The checksum field after one 32-bit word at an even offset changed.
#[must_use]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    let mut update = Update::NONE;
    update.word32(old, new);
    update.apply(checksum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 section 4.1, word by word.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum: u64 = 0;
        for pair in bytes.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    #[test]
    fn examples_of_the_rfcs() {
        // RFC 1071 section 3.
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).folded(), 0xddf2);
        // RFC 1624 section 4: equation 2 of RFC 1141 would give 0xffff here.
        assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn folding_keeps_the_two_zeros_apart() {
        assert_eq!(fold(0), 0);
        for multiple in [1, 2, 0x1_0001, u64::MAX / 0xffff] {
            assert_eq!(fold(multiple * 0xffff), 0xffff);
        }
        assert_eq!(fold(u64::MAX), 0xffff);
    }

    #[test]
    fn no_edit_leaves_either_zero_alone() {
        assert_eq!(Update::NONE.apply(0xffff), 0xffff);
        assert_eq!(Update::NONE.apply(0x0000), 0x0000);
    }

    /// Words at and around the two representations of zero, where RFC 1141 went wrong.
    fn edgy() -> impl Strategy<Value = u32> {
        let edges = vec![0, 1, 0xffff, 0x1_0000, 0xffff_0000, u32::MAX, 0x8000_0000];
        prop_oneof![any::<u32>(), proptest::sample::select(edges)]
    }

    proptest! {
        #[test]
        fn full_sum_matches_the_reference(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Sum::of(&bytes).checksum(), reference(&bytes));
            prop_assert_eq!(Sum::of(&bytes).is_valid(), reference(&bytes) == 0);
        }

        #[test]
        fn what_carries_its_own_sum_is_valid(mut bytes in proptest::collection::vec(any::<u8>(), 2..100)) {
            bytes[..2].fill(0);
            let checksum = reference(&bytes);
            bytes[..2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(is_valid(&bytes));
            bytes[1] ^= 1;
            prop_assert!(!is_valid(&bytes));
        }

        #[test]
        fn sums_add_up_at_even_offsets(bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in 0usize..50) {
            let (head, tail) = bytes.split_at((cut * 2).min(bytes.len() & !1));
            prop_assert_eq!((Sum::of(head) + Sum::of(tail)).checksum(), reference(&bytes));
        }

        #[test]
        fn incremental_matches_full(
            mut bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0u8), Just(0xff)], 8..64),
            offset in 0usize..60,
            new in edgy(),
        ) {
            let offset = offset % (bytes.len() - 3);
            bytes.push(1); // Never all zero: only then is 0xffff a checksum.
            let before = Sum::of(&bytes).checksum();
            let old = u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
            bytes[offset..offset + 4].copy_from_slice(&new.to_be_bytes());
            let mut update = Update::NONE;
            update.word32_at(offset, old, new);
            prop_assert_eq!(update.apply(before), reference(&bytes));
            let bytes_of = |word: u32| word.to_be_bytes().into_iter().enumerate();
            let mut by_bytes = Update::NONE;
            bytes_of(old).zip(bytes_of(new)).for_each(|((at, old), (_, new))| by_bytes.byte_at(offset + at, old, new));
            prop_assert_eq!(by_bytes.apply(before), reference(&bytes));
        }

        #[test]
        fn incremental_words(old in edgy(), new in edgy(), rest in 1u16..) {
            let full = |word: u32| Sum::of(&[&word.to_be_bytes()[..], &rest.to_be_bytes()].concat()).checksum();
            prop_assert_eq!(update_u32(full(old), old, new), full(new));
            let full = |word: u16| Sum::of(&[word.to_be_bytes(), rest.to_be_bytes()].concat()).checksum();
            prop_assert_eq!(update_u16(full(old as u16), old as u16, new as u16), full(new as u16));
        }

        #[test]
        fn corruption_survives(word in any::<[u8; 4]>(), new in any::<[u8; 4]>(), field in any::<u16>()) {
            let error = |bytes: &[u8], field: u16| {
                u32::from(Sum::of(bytes).folded()).wrapping_add(u32::from(field)) % 0xffff
            };
            let after = update_u32(field, u32::from_be_bytes(word), u32::from_be_bytes(new));
            prop_assert_eq!(error(&word, field), error(&new, after));
        }
    }
}
