//! SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) of what a worker hashes: a few whole words and
//! seven bytes. Their number is known when this is compiled, so that nothing is left but the rounds.

/// The state that a key begins with.
#[derive(Clone)]
pub struct SipHash([u64; 4]);

impl SipHash {
    /// From the key's 16 bytes, as two words in little-endian order.
    pub const fn new([a, b]: [u64; 2]) -> SipHash {
        SipHash([
            a ^ 0x736f_6d65_7073_6575,
            b ^ 0x646f_7261_6e64_6f6d,
            a ^ 0x6c79_6765_6e65_7261,
            b ^ 0x7465_6462_7974_6573,
        ])
    }

    /// Of the bytes of all words, in little-endian order, and the lower seven of `rest` behind them.
    #[inline]
    pub fn of<const WORDS: usize>(&self, words: [u64; WORDS], rest: u64) -> u64 {
        let len = (WORDS * 8 + 7) as u64;
        let last = (rest & !(0xff << 56)) | len << 56;
        let mut state = words.into_iter().fold(self.0, absorb);
        state = absorb(state, last);
        state[2] ^= 0xff;
        let [a, b, c, d] = round(round(round(round(state))));
        a ^ b ^ c ^ d
    }
}

#[inline(always)]
fn absorb([a, b, c, d]: [u64; 4], word: u64) -> [u64; 4] {
    let [a, b, c, d] = round(round([a, b, c, d ^ word]));
    [a ^ word, b, c, d]
}

#[inline(always)]
fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32).wrapping_add(d);
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    d = d.rotate_left(21) ^ a;
    [a, b, c.rotate_left(32), d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siphasher::sip::SipHasher24;

    use super::*;

    #[test]
    fn the_vector_of_the_paper() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let hash = SipHash::new(key).of([0x0706_0504_0302_0100], 0x0e_0d0c_0b0a_0908);
        assert_eq!(hash, 0xa129_ca61_49be_45e5, "appendix A");
    }

    proptest! {
        #[test]
        fn as_by_the_library(key in any::<[u64; 2]>(), words in any::<[u64; 5]>(), rest: u64) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let bytes = [&bytes[..], &rest.to_le_bytes()[..7]].concat();
            let library = SipHasher24::new_with_keys(key[0], key[1]);
            let ours = SipHash::new(key);
            prop_assert_eq!(ours.of(words, rest), library.hash(&bytes));
            let [.., a, b] = words;
            prop_assert_eq!(ours.of([a, b], rest), library.hash(&bytes[24..]));
        }
    }
}
