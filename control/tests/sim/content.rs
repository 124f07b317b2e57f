//! What the connections carry: a keyed pseudo-random function of (connection, direction, offset), so that a receiver
//! judges every byte by itself: a gap, a duplicate, a byte of another connection are all just wrong bytes.

use std::rc::Rc;

use dataplane::inspect::patterns::{Pattern, Verdict};

use crate::profile::Edits;
use crate::rng::splitmix64;

/// What is replaced, and by what. Together they change no length, so that all who count bytes agree at the end of each block;
/// in between, what is longer comes first.
const RESIZED: [(&[u8], &[u8]); 2] = [(b"{{grow}}", b"[[longer]][[]]"), (b"{{shrink}}", b"<>()")];
const REPLACED: [(&[u8], &[u8]); 2] = [(b"{{same}}", b"[[EQUAL]"), (b"{{{{", b"[[[[")];
/// Each of so many bytes has at most one of each.
const BLOCK: u64 = 200;

/// What the box in the middle replaces.
pub fn patterns(edits: Edits) -> Vec<Pattern> {
    let edit = |(bytes, with): &(&[u8], &[u8])| Pattern {
        name: String::from_utf8_lossy(bytes).into_owned(),
        bytes: bytes.to_vec(),
        direction: None,
        verdict: Verdict::Edit,
        replacement: with.to_vec(),
    };
    planted(edits).iter().map(edit).collect()
}

fn planted(edits: Edits) -> &'static [(&'static [u8], &'static [u8])] {
    match edits {
        Edits::None => &[],
        Edits::InPlace => &REPLACED,
        Edits::AnyLength => &RESIZED,
    }
}

/// The content of one direction of one connection.
#[derive(Debug, Clone)]
pub struct Content {
    key: u64,
    /// As it is sent, and as it arrives, where something is replaced.
    edited: Option<Rc<[Vec<u8>; 2]>>,
}

impl Content {
    pub fn new(seed: u64, connection: usize, direction: usize) -> Content {
        let key = splitmix64(seed ^ splitmix64((connection as u64) << 1 | direction as u64));
        Content { key, edited: None }
    }

    /// With something to be replaced, never across the end of a piece: who waits for an answer to half a pattern waits long.
    pub fn with(self, edits: Edits, pieces: impl Iterator<Item = u64>) -> Content {
        if edits == Edits::None {
            return self;
        }
        let [mut sent, mut arrives] = [Vec::new(), Vec::new()];
        for piece in pieces {
            let mut left = piece;
            while left > 0 {
                let block = left.min(BLOCK);
                let mut bytes = vec![0; block as usize];
                self.fill(sent.len() as u64, &mut bytes);
                // No byte of a pattern.
                bytes.iter_mut().for_each(|byte| *byte |= 0x80);
                let dice = splitmix64(self.key ^ sent.len() as u64 ^ piece);
                let mut copied = 0;
                for (index, (pattern, with)) in planted(edits).iter().enumerate() {
                    let at = 100 * index + (dice >> (8 * index)) as usize % 80;
                    if block == BLOCK && dice >> 60 != 0 {
                        bytes[at..at + pattern.len()].copy_from_slice(pattern);
                        arrives.extend(&bytes[copied..at]);
                        arrives.extend(*with);
                        copied = at + pattern.len();
                    }
                }
                arrives.extend(&bytes[copied..]);
                sent.extend(bytes);
                left -= block;
            }
        }
        Content { edited: Some(Rc::new([sent, arrives])), ..self }
    }

    /// Fills `out` with the stream from `offset` on, as it is sent.
    pub fn fill(&self, offset: u64, out: &mut [u8]) {
        if let Some(edited) = &self.edited {
            let from = &edited[0][offset as usize..];
            return out.copy_from_slice(&from[..out.len()]);
        }
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let block = splitmix64(self.key ^ (at / 8)).to_le_bytes();
            let skip = (at % 8) as usize;
            let n = rest.len().min(8 - skip);
            let (head, tail) = rest.split_at_mut(n);
            head.copy_from_slice(&block[skip..skip + n]);
            at += n as u64;
            rest = tail;
        }
    }

    /// The first offset at which `data`, received at `offset`, is not what arrives of the stream.
    pub fn first_difference(&self, offset: u64, data: &[u8]) -> Option<u64> {
        let mut expected = vec![0; data.len()];
        match &self.edited {
            Some(edited) => {
                let rest = edited[1].get(offset as usize..).unwrap_or_default();
                expected.truncate(rest.len());
                let n = expected.len().min(data.len());
                expected.copy_from_slice(&rest[..n]);
            }
            None => self.fill(offset, &mut expected),
        }
        let at = data.iter().zip(&expected).position(|(a, b)| a != b);
        at.or((expected.len() < data.len()).then_some(expected.len())).map(|at| offset + at as u64)
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

#[test]
fn what_arrives_is_what_was_sent_edited() {
    for edits in [Edits::InPlace, Edits::AnyLength] {
        let content = Content::new(7, 3, 1).with(edits, [1000, 150, 4000].into_iter());
        let Some(both) = &content.edited else { panic!("nothing is edited") };
        let [sent, arrives] = &**both;
        assert_eq!((sent.len(), arrives.len()), (5150, 5150));
        let mut text: Vec<u8> = sent.clone();
        for (pattern, with) in planted(edits) {
            let mut from = 0;
            let mut found = 0;
            while let Some(at) = text[from..].windows(pattern.len()).position(|window| window == *pattern) {
                text.splice(from + at..from + at + pattern.len(), with.iter().copied());
                from += at + with.len();
                found += 1;
            }
            assert!(found > 15, "{found} of {pattern:?}");
        }
        assert_eq!(&text, arrives);
        assert_eq!(content.first_difference(0, arrives), None);
        assert_eq!(content.first_difference(5149, &[arrives[5149], 0]), Some(5150));
    }
}
