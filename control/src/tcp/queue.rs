//! Consecutive bytes of one direction, in chunks: what waits to be acknowledged, or to be read.

use dataplane::buffer::Buffer;
use dataplane::wire::seq::Seq;

use super::chunk::Chunk;
use super::few::Few;

/// A chunk shorter than this, a quarter of the packet buffer that it pins, is copied into its neighbour once a list
/// holds too many of them. Bulk comes in larger ones, whatever the path's MTU (RFC 9293 section 3.7.1: 536 at least).
pub(super) const SMALL: usize = 512;

/// A chunk that has been copied together does not grow beyond this.
const LARGE: usize = 16 * 1024;

/// A chunk, and the number of its first byte. In this order the chunk is copied in the words that it was written in.
#[derive(Debug)]
#[repr(C)]
struct Piece<B: Buffer> {
    chunk: Chunk<B>,
    at: Seq,
}

/// The bytes `[start, end)` of a sequence space. Every chunk knows its number, so that a retransmission finds its
/// bytes by binary search.
#[derive(Debug)]
pub(super) struct Queue<B: Buffer> {
    chunks: Few<Piece<B>>,
    start: Seq,
    end: Seq,
    max_chunks: usize,
    /// Bytes that were copied together since this was asked last.
    copied: usize,
}

impl<B: Buffer> Queue<B> {
    /// An empty queue whose first byte will be `start`.
    pub(super) fn new(start: Seq, max_chunks: usize) -> Self {
        Queue { chunks: Few::default(), start, end: start, max_chunks, copied: 0 }
    }

    /// The same bytes under other numbers, of which `start` is the first.
    pub(super) fn renumber(&mut self, start: Seq) {
        let before = self.start;
        self.chunks.iter_mut().for_each(|piece| piece.at = start.advance(before.distance_to(piece.at)));
        self.end = start.advance(self.len());
        self.start = start;
    }

    /// Number of the first byte.
    pub(super) fn start(&self) -> Seq {
        self.start
    }

    /// Number after the last byte.
    pub(super) fn end(&self) -> Seq {
        self.end
    }

    /// Bytes.
    pub(super) fn len(&self) -> u32 {
        self.end.0.wrapping_sub(self.start.0)
    }

    /// Chunks, for limits and tests.
    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Appends.
    #[inline(always)]
    pub(super) fn push(&mut self, chunk: Chunk<B>) {
        let at = self.end;
        match &mut self.chunks {
            // Written where it stays: what is put together before it is copied makes the copy wait for it.
            Few::One(one @ None) if !chunk.is_empty() => {
                self.end = at.advance(chunk.len() as u32);
                *one = Some(Piece { chunk, at });
            }
            _ => self.push_behind(chunk),
        }
    }

    #[inline(never)]
    fn push_behind(&mut self, chunk: Chunk<B>) {
        if chunk.is_empty() {
            return;
        }
        let at = self.end;
        self.end = at.advance(chunk.len() as u32);
        if self.chunks.len() >= self.max_chunks
            && let Some(Piece { chunk: last, .. }) = self.chunks.back_mut()
            && chunk.len() < SMALL
            && last.len() < if matches!(last, Chunk::Owned(..)) { LARGE } else { SMALL }
        {
            self.copied += last.append(&chunk);
            return;
        }
        self.chunks.push_back(Piece { chunk, at });
    }

    /// Takes the first chunk.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Chunk<B>> {
        let Piece { chunk, at } = self.chunks.pop_front()?;
        self.start = at.advance(chunk.len() as u32);
        self.chunks.give_back();
        Some(chunk)
    }

    /// Takes the first chunk, or its first `most` bytes.
    pub(super) fn pop_at_most(&mut self, most: u32) -> Option<Chunk<B>> {
        let Piece { chunk, at } = self.chunks.front_mut()?;
        if chunk.len() <= most as usize {
            return self.pop();
        }
        let front = chunk.split_front(most as usize);
        self.copied += front.len();
        self.start = at.advance(most);
        *at = self.start;
        Some(front).filter(|front| !front.is_empty())
    }

    /// The bytes behind the first `skip`, as far as they stand together.
    #[inline(always)]
    pub(super) fn after(&self, skip: u32) -> Option<&[u8]> {
        if skip >= self.len() {
            return None;
        }
        if let Some(first) = self.chunks.front()
            && let Some(bytes) = first.chunk.bytes().get(skip as usize..)
            && !bytes.is_empty()
        {
            return Some(bytes);
        }
        let from = self.start.advance(skip);
        let next = self.chunks.partition_point(|piece| piece.at.0.wrapping_sub(self.start.0) <= skip);
        let Piece { chunk, at } = self.chunks.get(next.checked_sub(1)?)?;
        chunk.bytes().get(at.distance_to(from) as usize..)
    }

    /// Drops everything before `to` (at most everything there is).
    #[inline(always)]
    pub(super) fn drop_before(&mut self, to: Seq) {
        let to = to.min(self.end);
        while self.start.lt(to) {
            let Some(Piece { chunk, at }) = self.chunks.front_mut() else { break };
            let len = chunk.len() as u32;
            let gone = self.start.distance_to(to).min(len);
            self.start = self.start.advance(gone);
            if gone == len {
                self.chunks.pop_front();
            } else {
                chunk.trim_front(gone as usize);
                *at = self.start;
            }
        }
        self.chunks.give_back();
    }

    /// Copies the bytes from number `from` on into `out`, and returns how many there were.
    pub(super) fn copy(&self, from: Seq, out: &mut [u8]) -> usize {
        let skip = from.0.wrapping_sub(self.start.0);
        if skip >= self.len() {
            return 0;
        }
        // Mostly all of it is in the first one.
        if let Some(first) = self.chunks.front()
            && let Some(bytes) = first.chunk.bytes().get(skip as usize..skip as usize + out.len())
        {
            out.copy_from_slice(bytes);
            return out.len();
        }
        let after = self.chunks.partition_point(|piece| piece.at.0.wrapping_sub(self.start.0) <= skip);
        let mut done = 0;
        let mut from = from;
        for Piece { chunk, at } in self.chunks.iter().skip(after.saturating_sub(1)) {
            let bytes = &chunk.bytes()[at.distance_to(from) as usize..];
            let n = bytes.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&bytes[..n]);
            done += n;
            from = from.advance(n as u32);
            if done == out.len() {
                break;
            }
        }
        done
    }

    /// How many bytes were copied together since this was asked last.
    pub(super) fn take_copied(&mut self) -> usize {
        std::mem::take(&mut self.copied)
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.chunks = Few::default();
        self.start = self.end;
    }
}

#[cfg(test)]
mod tests {
    use dataplane::port::sim::SimBuffer;

    use super::*;

    #[test]
    fn other_numbers_mean_the_same_bytes() {
        let mut queue: Queue<SimBuffer> = Queue::new(Seq(0), 8);
        for bytes in ["some", "bytes", "more"] {
            queue.push(Chunk::owned(bytes.into()));
        }
        queue.drop_before(Seq(1));
        let start = Seq(u32::MAX - 5);
        queue.renumber(start);
        let mut out = [0; 12];
        assert_eq!((queue.start(), queue.end(), queue.len()), (start, start.advance(12), 12));
        assert_eq!((queue.copy(start, &mut out), &out), (12, b"omebytesmore"));
        assert_eq!(queue.copy(start.advance(7), &mut out[..5]), 5);
        assert_eq!(&out[..5], b"smore");
        queue.drop_before(start.advance(8));
        queue.renumber(Seq(7));
        queue.push(Chunk::owned("!".into()));
        assert_eq!((queue.copy(Seq(7), &mut out), &out[..5]), (5, &b"more!"[..]));
    }
}
