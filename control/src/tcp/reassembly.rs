//! Out-of-order data, and the receiver's half of selective acknowledgment (RFC 2018 section 4).

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use dataplane::buffer::Buffer;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;

use super::chunk::Chunk;

/// A chunk shorter than this gives its packet buffer back once there are too many chunks.
const SMALL: usize = 1024;

/// What lies beyond a gap: disjoint chunks in order, all after RCV.NXT.
#[derive(Debug)]
pub(super) struct Reassembly<B: Buffer> {
    chunks: VecDeque<(Seq, Chunk<B>)>,
    /// A byte of each range that was reported lately, the latest first.
    recent: ArrayVec<Seq, 4>,
    max_segments: usize,
    max_chunks: usize,
    /// Bytes that were copied since this was asked last.
    copied: usize,
}

impl<B: Buffer> Reassembly<B> {
    pub(super) fn new(max_segments: usize, max_chunks: usize) -> Self {
        Reassembly { chunks: VecDeque::new(), recent: ArrayVec::new(), max_segments, max_chunks, copied: 0 }
    }

    /// How many bytes were copied since this was asked last.
    pub(super) fn take_copied(&mut self) -> usize {
        std::mem::take(&mut self.copied)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Chunks, for limits and tests.
    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The number after the last byte held.
    pub(super) fn end(&self) -> Option<Seq> {
        self.chunks.back().map(|(start, chunk)| start.advance(chunk.len() as u32))
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.recent.clear();
    }

    /// Keeps `chunk`, whose first byte is `first`, as far as its bytes are not held already.
    ///
    /// Refuses when there are too many chunks: the peer is not told of it and will send it again.
    pub(super) fn insert(&mut self, first: Seq, mut chunk: Chunk<B>) {
        let mut seq = first;
        let at = self.chunks.partition_point(|(start, _)| start.le(seq));
        if let Some(before) = at.checked_sub(1) {
            let overlap = seq.distance_to(self.edges(before).right);
            chunk.trim_front(overlap as usize);
            seq = seq.advance(overlap);
        }
        if chunk.is_empty() {
            return self.report(first);
        }
        // Chunks that lie wholly within the new one go: a buffer cannot be in two chunks, and one is better than three.
        let end = seq.advance(chunk.len() as u32);
        let covered = (at..self.chunks.len()).take_while(|i| self.edges(*i).right.le(end)).count();
        if covered == 0 && self.chunks.len() >= self.max_segments {
            return;
        }
        self.chunks.drain(at..at + covered);
        if let Some((next, _)) = self.chunks.get(at) {
            chunk.trim_back(next.distance_to(end) as usize);
        }
        self.place(at, seq, chunk);
        self.report(first);
    }

    /// Stores a chunk at its index; once there are many, small ones are copied together and pin no packet buffer.
    fn place(&mut self, at: usize, seq: Seq, mut chunk: Chunk<B>) {
        if self.chunks.len() >= self.max_chunks && chunk.len() < SMALL {
            if let Some(before) = at.checked_sub(1)
                && self.edges(before).right == seq
                && self.chunks[before].1.len() < SMALL
            {
                self.copied += self.chunks[before].1.append(&chunk);
                return;
            }
            self.copied += chunk.unpin();
        }
        self.chunks.insert(at, (seq, chunk));
    }

    /// Takes the chunk that continues the stream at `next`, if it is there.
    pub(super) fn take(&mut self, next: Seq) -> Option<Chunk<B>> {
        while self.chunks.front().is_some_and(|(start, _)| start.le(next)) {
            let (start, mut chunk) = self.chunks.pop_front()?;
            chunk.trim_front(start.distance_to(next) as usize);
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
        None
    }

    fn report(&mut self, seq: Seq) {
        let Some(range) = self.range_of(seq) else { return };
        let first = self.edges(0).left;
        self.recent.retain(|r| r.ge(first) && !(range.left.le(*r) && r.lt(range.right)));
        self.recent.truncate(3);
        self.recent.insert(0, seq);
    }

    /// The contiguous range around `seq`.
    fn range_of(&self, seq: Seq) -> Option<SackBlock> {
        let after = self.chunks.partition_point(|(start, _)| start.le(seq));
        let held = after.checked_sub(1)?;
        let mut range = self.edges(held);
        if seq.ge(range.right) {
            return None;
        }
        for earlier in (0..held).rev().map(|i| self.edges(i)).take_while(|e| e.right.le(seq)) {
            if earlier.right != range.left {
                break;
            }
            range.left = earlier.left;
        }
        for later in (after..self.chunks.len()).map(|i| self.edges(i)) {
            if later.left != range.right {
                break;
            }
            range.right = later.right;
        }
        Some(range)
    }

    fn edges(&self, index: usize) -> SackBlock {
        let (start, chunk) = &self.chunks[index];
        SackBlock { left: *start, right: start.advance(chunk.len() as u32) }
    }

    /// How many blocks there are to be sent.
    pub(super) fn reported(&self) -> usize {
        self.sack_blocks().len()
    }

    /// The blocks to be sent: the range that the latest segment belongs to first, then those reported before it.
    pub(super) fn sack_blocks(&self) -> ArrayVec<SackBlock, 4> {
        self.recent.iter().filter_map(|seq| self.range_of(*seq)).collect()
    }
}
