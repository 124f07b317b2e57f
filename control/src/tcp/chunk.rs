//! Payload without copying: a range of a packet buffer, or bytes of our own.

use std::ops::Range;

use dataplane::buffer::Buffer;

/// Some consecutive bytes of a stream.
///
/// A packet's bytes stay in its buffer from reception until the last of them is acknowledged by the other side; the
/// buffer goes back to its pool when the chunk is dropped.
#[derive(Debug)]
pub enum Chunk<B: Buffer> {
    /// Bytes `range` of a received frame. The range lies within the frame.
    Packet {
        /// The frame.
        buffer: B,
        /// Where the bytes are, from the start of the frame.
        range: Range<usize>,
    },
    /// Bytes `range` of memory of our own. The range lies within it.
    Owned(Vec<u8>, Range<usize>),
}

impl<B: Buffer> Chunk<B> {
    /// A range of a frame, cut where the frame ends.
    pub fn packet(buffer: B, range: Range<usize>) -> Self {
        let end = range.end.min(buffer.bytes().len());
        Chunk::Packet { buffer, range: range.start.min(end)..end }
    }

    /// Bytes of our own, whole.
    pub fn owned(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Chunk::Owned(bytes, 0..end)
    }

    /// The bytes.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Packet { buffer, range } => &buffer.bytes()[range.clone()],
            Chunk::Owned(bytes, range) => &bytes[range.clone()],
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.range().len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the first `n` bytes, or all when there are fewer.
    pub fn trim_front(&mut self, n: usize) {
        if n > 0 {
            let range = self.range_mut();
            range.start = range.start.saturating_add(n).min(range.end);
        }
    }

    /// Drops the last `n` bytes, or all when there are fewer.
    pub fn trim_back(&mut self, n: usize) {
        if n > 0 {
            let range = self.range_mut();
            range.end = range.end.saturating_sub(n).max(range.start);
        }
    }

    /// Takes the first `n` bytes (all when there are fewer) away as a chunk of their own.
    ///
    /// A buffer has one owner, so the part that is taken is copied, unless it is the whole.
    pub fn split_front(&mut self, n: usize) -> Chunk<B> {
        if n >= self.len() {
            return std::mem::replace(self, Chunk::owned(Vec::new()));
        }
        let front = Chunk::owned(self.bytes()[..n].to_vec());
        self.trim_front(n);
        front
    }

    /// Copies the bytes out, if they pin a packet buffer; the buffer goes back to its pool. Returns how many were copied.
    pub(super) fn unpin(&mut self) -> usize {
        match self {
            Chunk::Packet { .. } => {
                *self = Chunk::owned(self.bytes().to_vec());
                self.len()
            }
            Chunk::Owned(..) => 0,
        }
    }

    /// Appends `other`'s bytes, copying both if this is a packet. Returns how many were copied.
    pub(super) fn append(&mut self, other: &Chunk<B>) -> usize {
        let copied = self.unpin();
        if let Chunk::Owned(bytes, range) = self {
            bytes.truncate(range.end);
            bytes.drain(..range.start);
            bytes.extend_from_slice(other.bytes());
            *range = 0..bytes.len();
        }
        copied + other.len()
    }

    fn range(&self) -> &Range<usize> {
        match self {
            Chunk::Packet { range, .. } | Chunk::Owned(_, range) => range,
        }
    }

    fn range_mut(&mut self) -> &mut Range<usize> {
        match self {
            Chunk::Packet { range, .. } | Chunk::Owned(_, range) => range,
        }
    }
}
