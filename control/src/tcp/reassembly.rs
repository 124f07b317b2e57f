//! Out-of-order data, and the receiver's half of selective acknowledgment (RFC 2018 section 4).
//!
//! Segments that contradict each other are resolved as a Linux receiver resolves them (`tcp_data_queue_ofo`), because
//! what a module is shown has to be what the endpoint behind us would have read: who can make the two differ walks past
//! every inspection. In the kernel's order:
//!
//! 1. Bytes that were delivered in order stand; a segment that reaches back before RCV.NXT is cut there.
//! 2. A segment in order is taken whole, whatever is held of it already.
//! 3. A segment that begins exactly where a run ends joins that run (`tcp_ooo_try_coalesce`).
//! 4. One that lies within the run that begins last before it (or with it) is dropped.
//! 5. Any other becomes a run of its own, and the runs that lie wholly within it are dropped.
//! 6. Where two runs overlap, the one that begins first gives the bytes, whichever came first.

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use dataplane::buffer::Buffer;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;

use super::chunk::Chunk;
use super::few::PLACES;
use super::queue::SMALL;

/// Runs that touch are told apart because of who may replace whom. Only a sender that contradicts itself makes many; one
/// SACK block then covers no more of them than this to each side, which is true all the same (CVE-2018-5390).
const MAX_WALK: usize = 16;

/// RFC 2018 section 3: no more blocks fit into the option space.
const MAX_BLOCKS: usize = 4;

/// What may be kept, of one leg. Beyond it, what comes is dropped and not reported: the peer sends it again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Segments, each of which may pin a packet buffer.
    pub(super) segments: usize,
    /// Bytes, those that overlap counted as often as they are kept.
    pub(super) bytes: u32,
}

/// Consecutive bytes that came in order of their numbers: what coalescing makes one `sk_buff` of in the kernel.
#[derive(Debug)]
struct Run<B: Buffer> {
    start: Seq,
    end: Seq,
    chunks: VecDeque<Chunk<B>>,
}

/// What lies beyond a gap: runs in order of their starts, all after RCV.NXT. None lies within another, so their ends are
/// in order too.
#[derive(Debug)]
pub(super) struct Reassembly<B: Buffer> {
    runs: VecDeque<Run<B>>,
    /// Chunks in all runs.
    chunks: usize,
    /// Bytes in all runs.
    bytes: u32,
    /// A byte of each range that was reported lately, the latest first.
    recent: ArrayVec<Seq, MAX_BLOCKS>,
    /// From so many chunks on, small ones pin no packet buffers.
    max_chunks: usize,
    /// Bytes that were copied since this was asked last.
    copied: usize,
}

impl<B: Buffer> Reassembly<B> {
    pub(super) fn new(max_chunks: usize) -> Self {
        Reassembly {
            runs: VecDeque::new(),
            chunks: 0,
            bytes: 0,
            recent: ArrayVec::new(),
            max_chunks,
            copied: 0,
        }
    }

    /// How many bytes were copied since this was asked last.
    pub(super) fn take_copied(&mut self) -> usize {
        std::mem::take(&mut self.copied)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Chunks, for limits and tests.
    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// Bytes kept.
    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The number after the last byte held.
    pub(super) fn end(&self) -> Option<Seq> {
        self.runs.back().map(|run| run.end)
    }

    pub(super) fn clear(&mut self) {
        self.runs = VecDeque::new();
        self.recent.clear();
        (self.chunks, self.bytes) = (0, 0);
    }

    /// Keeps `chunk`, whose first byte is `seq`, by the rules above. Returns what of it had been received before, for
    /// the D-SACK block (RFC 2883).
    pub(super) fn insert(&mut self, seq: Seq, chunk: Chunk<B>, bounds: Bounds) -> Option<SackBlock> {
        let end = seq.advance(chunk.len() as u32);
        let at = self.runs.partition_point(|run| run.start.le(seq));
        let before = at.checked_sub(1).map(|i| (self.runs[i].start, self.runs[i].end));
        if let Some((_, held)) = before
            && end.le(held)
        {
            self.report(seq);
            return Some(SackBlock { left: seq, right: end });
        }
        let mut duplicate = None;
        let joins = before.is_some_and(|(_, held)| held == seq);
        // The run that begins with it lies within it.
        let first_covered = if before.is_some_and(|(start, _)| start == seq) { at - 1 } else { at };
        if let Some((_, held)) = before
            && seq.lt(held)
        {
            extend(&mut duplicate, seq, held);
        }
        let covered = self.runs.range(at..).take_while(|run| run.end.le(end)).count();
        let freed = self.runs.range(first_covered..at + covered).fold((0, 0), |(chunks, bytes), run| {
            (chunks + run.chunks.len(), bytes + run.start.distance_to(run.end))
        });
        let bytes = self.bytes - freed.1 + chunk.len() as u32;
        if self.chunks - freed.0 >= bounds.segments || bytes > bounds.bytes {
            return duplicate;
        }
        for run in self.runs.drain(first_covered..at + covered) {
            extend(&mut duplicate, run.start, run.end);
        }
        self.chunks -= freed.0;
        self.bytes = bytes;
        if let Some(next) = self.runs.get(first_covered)
            && next.start.lt(end)
        {
            extend(&mut duplicate, next.start, end);
        }
        match joins {
            true => self.join(at - 1, chunk),
            false => self.place(first_covered, seq, chunk),
        }
        self.report(seq);
        duplicate
    }

    /// A run of its own; once there are many chunks, a small one pins no packet buffer.
    fn place(&mut self, at: usize, start: Seq, mut chunk: Chunk<B>) {
        let end = start.advance(chunk.len() as u32);
        if self.chunks >= self.max_chunks && chunk.len() < SMALL {
            self.copied += chunk.unpin();
        }
        self.chunks += 1;
        self.runs.insert(at, Run { start, end, chunks: VecDeque::from([chunk]) });
    }

    /// At the end of a run; once there are many chunks, small ones are copied together.
    fn join(&mut self, at: usize, mut chunk: Chunk<B>) {
        let Some(run) = self.runs.get_mut(at) else { return };
        run.end = run.end.advance(chunk.len() as u32);
        if self.chunks >= self.max_chunks && chunk.len() < SMALL {
            if let Some(last) = run.chunks.back_mut()
                && last.len() < SMALL
            {
                self.copied += last.append(&chunk);
                return;
            }
            self.copied += chunk.unpin();
        }
        self.chunks += 1;
        run.chunks.push_back(chunk);
    }

    /// Takes the chunk that continues the stream at `next`, if it is there. To be repeated until it is not.
    pub(super) fn take(&mut self, next: Seq) -> Option<Chunk<B>> {
        while let Some(run) = self.runs.front_mut()
            && run.start.le(next)
        {
            let Some(mut chunk) = run.chunks.pop_front() else {
                self.runs.pop_front();
                continue;
            };
            let start = run.start;
            run.start = start.advance(chunk.len() as u32);
            self.chunks -= 1;
            self.bytes -= chunk.len() as u32;
            if run.chunks.is_empty() {
                self.runs.pop_front();
                if self.runs.is_empty() && self.runs.capacity() > PLACES {
                    self.runs = VecDeque::new();
                }
            }
            chunk.trim_front(start.distance_to(next) as usize);
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
        None
    }

    /// What of the numbers before `next`, the new RCV.NXT, lies in runs, as far as they begin before it: received twice.
    pub(super) fn overlap_before(&self, next: Seq) -> Option<SackBlock> {
        let mut duplicate = None;
        for run in self.runs.iter().take_while(|run| run.start.lt(next)) {
            extend(&mut duplicate, run.start, run.end.min(next));
        }
        duplicate
    }

    fn report(&mut self, seq: Seq) {
        let Some(range) = self.range_of(seq) else { return };
        let Some(first) = self.runs.front().map(|run| run.start) else { return };
        self.recent.retain(|r| r.ge(first) && !(range.left.le(*r) && r.lt(range.right)));
        self.recent.truncate(MAX_BLOCKS - 1);
        self.recent.insert(0, seq);
    }

    /// The contiguous range around `seq`, or as much of it as is worth a walk.
    fn range_of(&self, seq: Seq) -> Option<SackBlock> {
        let after = self.runs.partition_point(|run| run.start.le(seq));
        let held = self.runs.get(after.checked_sub(1)?)?;
        if seq.ge(held.end) {
            return None;
        }
        let mut range = SackBlock { left: held.start, right: held.end };
        for earlier in self.runs.range(..after - 1).rev().take(MAX_WALK) {
            if earlier.end.lt(range.left) {
                break;
            }
            range.left = earlier.start;
        }
        for later in self.runs.range(after..).take(MAX_WALK) {
            if later.start.gt(range.right) {
                break;
            }
            range.right = later.end;
        }
        Some(range)
    }

    /// The ranges to be reported: that of the latest segment first, then those reported before it.
    pub(super) fn sack_blocks(&self) -> ArrayVec<SackBlock, MAX_BLOCKS> {
        self.recent.iter().filter_map(|seq| self.range_of(*seq)).collect()
    }
}

/// Adds `[left, right)` to a duplicate range, as far as they touch: a D-SACK block is one range, and the first counts.
pub(super) fn extend(duplicate: &mut Option<SackBlock>, left: Seq, right: Seq) {
    match duplicate {
        None => *duplicate = Some(SackBlock { left, right }),
        Some(known) if left.le(known.right) && right.ge(known.left) => {
            known.left = known.left.min(left);
            known.right = known.right.max(right);
        }
        Some(_) => {}
    }
}
