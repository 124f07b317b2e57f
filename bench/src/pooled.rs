//! Frames that find their way back when they are dropped, as a device's do: for whoever keeps and frees them, the control core
//! above all.
//!
//! What is free is a list of the thread's own, last in, first out, which costs about what a mempool's cache does.

use std::cell::RefCell;

use dataplane::buffer::{Buffer, Pool};

use crate::frame::{CAPACITY, Frame, Frames};

thread_local! {
    static FREE: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
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
        let mut frame = FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Frames::default().copy_of(&[]));
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
        let _ = FREE.try_with(|free| free.borrow_mut().extend(self.0.take()));
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
}
