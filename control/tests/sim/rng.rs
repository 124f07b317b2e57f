//! Randomness of our own (xoshiro256++ seeded by splitmix64), so that a seed means the same in every build to come.

/// One step of splitmix64; also the mixer behind the content of the streams.
pub fn splitmix64(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seeded generator.
#[derive(Debug, Clone)]
pub struct Rng([u64; 4]);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        let word = |n: u64| splitmix64(seed ^ splitmix64(n));
        Rng([word(1), word(2), word(3), word(4)])
    }

    /// An independent generator for one part of the world: what that part draws moves no other part.
    pub fn fork(&mut self, label: u64) -> Rng {
        Rng::new(self.next() ^ splitmix64(label))
    }

    pub fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias of the multiplication is below 2^-32 for the `n` used here.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `1_000_000 / ppm` times.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Between 1 and `high`, small numbers as likely as large ones: uniform in the number of bits.
    pub fn magnitude(&mut self, high: u64) -> u64 {
        let bits = self.below(u64::from(high.max(1).ilog2()) + 1);
        self.between(1 << bits, (2 << bits) - 1).min(high.max(1))
    }
}

#[test]
fn a_seed_means_the_same_for_ever() {
    let mut rng = Rng::new(42);
    let first = [rng.next(), rng.next()];
    assert_eq!(first, [13_156_638_897_786_417_239, 6_783_065_561_931_764_930]);
}
