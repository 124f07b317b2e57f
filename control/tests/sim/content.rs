//! What the connections carry: a keyed pseudo-random function of (connection, direction, offset), so that a receiver
//! judges every byte by itself: a gap, a duplicate, a byte of another connection are all just wrong bytes.

use crate::rng::splitmix64;

/// The content of one direction of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Content(u64);

impl Content {
    pub fn new(seed: u64, connection: usize, direction: usize) -> Content {
        Content(splitmix64(seed ^ splitmix64((connection as u64) << 1 | direction as u64)))
    }

    /// Fills `out` with the stream from `offset` on.
    pub fn fill(self, offset: u64, out: &mut [u8]) {
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let block = splitmix64(self.0 ^ (at / 8)).to_le_bytes();
            let skip = (at % 8) as usize;
            let n = rest.len().min(8 - skip);
            let (head, tail) = rest.split_at_mut(n);
            head.copy_from_slice(&block[skip..skip + n]);
            at += n as u64;
            rest = tail;
        }
    }

    /// The first offset at which `data`, received at `offset`, is not the stream.
    pub fn first_difference(self, offset: u64, data: &[u8]) -> Option<u64> {
        let mut expected = vec![0; data.len()];
        self.fill(offset, &mut expected);
        data.iter().zip(&expected).position(|(a, b)| a != b).map(|at| offset + at as u64)
    }
}

#[test]
fn any_cut_of_the_stream_is_the_same_stream() {
    let content = Content::new(7, 3, 1);
    let mut whole = [0; 100];
    content.fill(1000, &mut whole);
    for cut in 0..100 {
        assert_eq!(content.first_difference(1000 + cut as u64, &whole[cut..]), None);
    }
    whole[63] ^= 1;
    assert_eq!(content.first_difference(1000, &whole), Some(1063));
    assert!(Content::new(7, 3, 0).first_difference(1000, &whole).is_some());
}
