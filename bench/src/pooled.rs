//! Frames that find their way back when they are dropped, as a device's do: for whoever keeps and frees them, the control core
//! above all.
//!
//! What is free is a list of the thread's own, last in, first out, which costs about what a mempool's cache does. As there, a
//! list that grows gives to those of other threads: who makes frames is not always who is done with them.

use std::cell::RefCell;
use std::sync::Mutex;

use dataplane::buffer::{Buffer, Pool};

use crate::frame::{CAPACITY, Frame, Frames};

/// The most frames of a thread's own list, and how many are given or taken at once.
const CACHE: usize = 4096;
const BULK: usize = 256;

thread_local! {
    static FREE: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// What any thread may take.
static SPARE: Mutex<Vec<Frame>> = Mutex::new(Vec::new());

/// More than a thread keeps.
#[cold]
fn spare(free: &mut Vec<Frame>) {
    if let Ok(mut spare) = SPARE.lock() {
        spare.extend(free.drain(CACHE - BULK..));
    }
}

/// Some of those, or a new one.
#[cold]
fn refill(free: &mut Vec<Frame>) -> Frame {
    if let Ok(mut spare) = SPARE.lock() {
        let rest = spare.len().saturating_sub(BULK);
        free.extend(spare.drain(rest..));
    }
    free.pop().unwrap_or_else(|| Frames::default().copy_of(&[]))
}

/// A frame that is free again once dropped.
pub struct Pooled(Option<Frame>);

impl Pooled {
    /// A frame with a copy of `bytes`, at most [`CAPACITY`] of them.
    pub fn copy_of(bytes: &[u8]) -> Pooled {
        let mut pooled = Pooled::empty();
        pooled.frame().fill(bytes);
        pooled
    }

    /// Longer or shorter; what is new has any content.
    pub fn resize(&mut self, len: usize) {
        self.frame().resize(len.min(CAPACITY));
    }

    fn empty() -> Pooled {
        let mut frame = FREE.with_borrow_mut(|free| free.pop().unwrap_or_else(|| refill(free)));
        frame.resize(0);
        Pooled(Some(frame))
    }

    #[inline]
    fn frame(&mut self) -> &mut Frame {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // A thread that ends has no list any more.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            free.extend(self.0.take());
            if free.len() > CACHE {
                spare(&mut free);
            }
        });
    }
}

impl Buffer for Pooled {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], Buffer::bytes)
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.frame().bytes_mut()
    }

    fn truncate(&mut self, len: usize) {
        self.frame().truncate(len);
    }

    fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.frame().extend(n)
    }
}

/// Of this thread.
#[derive(Clone, Copy, Default)]
pub struct Home;

impl Pool for Home {
    type Buffer = Pooled;

    fn take(&mut self) -> Option<Pooled> {
        Some(Pooled::empty())
    }

    fn is_low(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_used_again() {
        let first = Pooled::copy_of(b"first");
        let place = first.bytes().as_ptr();
        drop(first);
        let second = Pooled::copy_of(b"no");
        assert_eq!((second.bytes(), second.bytes().as_ptr()), (&b"no"[..], place));
    }

    /// One makes them, another is done with them.
    #[test]
    fn what_one_thread_drops_another_one_uses() {
        let frames: Vec<Pooled> = (0..2 * CACHE).map(|_| Pooled::copy_of(b"mine")).collect();
        let places: Vec<usize> = frames.iter().map(|frame| frame.bytes().as_ptr().addr()).collect();
        std::thread::spawn(move || drop(frames)).join().expect("nothing is wrong with it");
        let again = Pooled::copy_of(b"mine");
        assert!(places.contains(&again.bytes().as_ptr().addr()));
    }
}
