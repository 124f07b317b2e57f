//! The way of an accepted flow's bytes between the control core and the thread that speaks to programs, and the bells by
//! which each side tells the other that there is something to do. Lock-free, bounded, and nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::module::Ticket;

/// Bytes that one direction of a pipe is meant to hold; the last chunk may go beyond.
const PIPE_BYTES: usize = 128 * 1024;
/// Chunks that one direction holds.
const PIPE_CHUNKS: usize = 128;

/// What one direction holds at the most, a segment beyond and its queue included.
const BYTES_PER_HALF: usize =
    PIPE_BYTES + u16::MAX as usize + PIPE_CHUNKS * (size_of::<Vec<u8>>() + size_of::<usize>());

/// What one stream holds at the most: the two directions of its pipe, and what the thread has taken out of one of them for
/// a program that does not read, which is no more than was in it. A socket's own buffers are the kernel's.
pub(crate) const BYTES_PER_STREAM: u64 = 3 * BYTES_PER_HALF as u64;

/// What comes behind the bytes of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum End {
    /// More bytes.
    Open = 0,
    /// Nothing: closed in order.
    Closed = 1,
    /// RST, without waiting for the bytes.
    Reset = 2,
}

/// One direction. One side pushes, the other pops.
#[derive(Debug)]
pub(super) struct Half {
    chunks: ArrayQueue<Vec<u8>>,
    bytes: AtomicUsize,
    end: AtomicU8,
    /// Whoever pushes has found no room and waits to be told.
    starved: AtomicBool,
}

impl Half {
    fn new() -> Self {
        Half {
            chunks: ArrayQueue::new(PIPE_CHUNKS),
            bytes: AtomicUsize::new(0),
            end: AtomicU8::new(End::Open as u8),
            starved: AtomicBool::new(false),
        }
    }

    /// Bytes that there is room for. Without any, whoever pops will ring when there is again.
    pub(super) fn room(&self) -> usize {
        match self.free() {
            0 => {
                self.starved.store(true, Ordering::SeqCst);
                // Taken in between: the bell may have been rung before we were starved.
                self.free()
            }
            free => free,
        }
    }

    fn free(&self) -> usize {
        if self.chunks.is_full() {
            return 0;
        }
        PIPE_BYTES.saturating_sub(self.bytes.load(Ordering::SeqCst))
    }

    /// Appends; the caller has seen room. What does not fit all the same is given back.
    pub(super) fn push(&self, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        let len = bytes.len();
        // Counted before it can be popped.
        self.bytes.fetch_add(len, Ordering::SeqCst);
        self.chunks.push(bytes).inspect_err(|_| {
            self.bytes.fetch_sub(len, Ordering::SeqCst);
        })
    }

    /// Takes the first chunk. True beside it: whoever pushes waits to be told that there is room.
    pub(super) fn pop(&self) -> Option<(Vec<u8>, bool)> {
        let chunk = self.chunks.pop()?;
        self.bytes.fetch_sub(chunk.len(), Ordering::SeqCst);
        Some((chunk, self.starved.swap(false, Ordering::SeqCst)))
    }

    /// Nothing waits to be popped.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Says what comes behind the bytes pushed so far. A reset stays one.
    pub(super) fn set_end(&self, end: End) {
        self.end.fetch_max(end as u8, Ordering::SeqCst);
    }

    /// What comes behind the bytes. Asked before popping: what is popped afterwards lies before it.
    pub(super) fn end(&self) -> End {
        match self.end.load(Ordering::SeqCst) {
            0 => End::Open,
            1 => End::Closed,
            _ => End::Reset,
        }
    }
}

/// The pipe of one accepted flow.
#[derive(Debug)]
pub(super) struct Pipe {
    /// The flow's name.
    pub(super) ticket: Ticket,
    /// The client's bytes, pushed by the control core.
    pub(super) to_program: Half,
    /// The program's bytes, pushed by the thread.
    pub(super) to_client: Half,
    /// It hangs at the bell of the thread, or of the control core, already.
    rung: [AtomicBool; 2],
    alive: Arc<AtomicUsize>,
}

impl Pipe {
    /// One that is counted in `alive` as long as anybody has it.
    pub(super) fn new(ticket: Ticket, alive: &Arc<AtomicUsize>) -> Arc<Pipe> {
        alive.fetch_add(1, Ordering::Relaxed);
        Arc::new(Pipe {
            ticket,
            to_program: Half::new(),
            to_client: Half::new(),
            rung: Default::default(),
            alive: Arc::clone(alive),
        })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whose bell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The thread that speaks to programs.
    Thread = 0,
    /// The control core.
    Core = 1,
}

/// Pipes in which there is something to do for one side.
#[derive(Debug)]
pub(super) struct Bell {
    side: Side,
    pipes: ArrayQueue<Arc<Pipe>>,
}

impl Bell {
    /// For at most `pipes` pipes: each hangs there once, so it never overflows.
    pub(super) fn new(side: Side, pipes: usize) -> Self {
        Bell { side, pipes: ArrayQueue::new(pipes.max(1)) }
    }

    /// There is something to do in `pipe`.
    pub(super) fn ring(&self, pipe: &Arc<Pipe>) {
        if !pipe.rung[self.side as usize].swap(true, Ordering::SeqCst) {
            let pushed = self.pipes.push(Arc::clone(pipe));
            debug_assert!(pushed.is_ok(), "more pipes than there may be");
        }
    }

    /// The next pipe in which there is something to do.
    pub(super) fn answer(&self) -> Option<Arc<Pipe>> {
        let pipe = self.pipes.pop()?;
        // Before its state is looked at: what changes from now on rings again.
        pipe.rung[self.side as usize].store(false, Ordering::SeqCst);
        Some(pipe)
    }

    /// Nothing hangs there.
    pub(super) fn is_silent(&self) -> bool {
        self.pipes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> (Arc<Pipe>, Arc<AtomicUsize>) {
        let alive = Arc::default();
        (Pipe::new(Ticket(7), &alive), alive)
    }

    #[test]
    fn a_half_is_bounded_in_bytes_and_chunks_and_tells_the_starved() {
        let (pipe, alive) = pipe();
        let half = &pipe.to_program;
        assert_eq!(half.room(), PIPE_BYTES);
        half.push(vec![0; PIPE_BYTES - 1]).unwrap();
        assert_eq!(half.room(), 1);
        half.push(vec![0; 1000]).unwrap();
        assert_eq!(half.room(), 0);
        assert!(half.pop().is_some_and(|(chunk, starved)| chunk.len() == PIPE_BYTES - 1 && starved));
        assert!(half.pop().is_some_and(|(_, starved)| !starved), "told once");
        for _ in 0..PIPE_CHUNKS {
            half.push(vec![1]).unwrap();
        }
        assert_eq!(half.room(), 0);
        assert_eq!(half.push(vec![2]), Err(vec![2]));
        drop(pipe);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reset_is_not_taken_back() {
        let (pipe, _) = pipe();
        pipe.to_client.set_end(End::Reset);
        pipe.to_client.set_end(End::Closed);
        assert_eq!(pipe.to_client.end(), End::Reset);
    }

    #[test]
    fn a_bell_is_rung_once_until_it_is_answered() {
        let (pipe, _) = pipe();
        let bell = Bell::new(Side::Core, 1);
        bell.ring(&pipe);
        bell.ring(&pipe);
        assert!(bell.answer().is_some_and(|answered| Arc::ptr_eq(&answered, &pipe)));
        assert!(bell.is_silent());
        bell.ring(&pipe);
        assert!(!bell.is_silent());
    }
}
