//! Frames in memory, and where they come from: as cheap as a port of one thread can have them.

use std::cell::RefCell;
use std::rc::Rc;

use dataplane::buffer::{Buffer, Pool};

/// Bytes that a frame has room for: 25 cache lines, an odd number, so that frames beside each other do not compete for a set.
pub const CAPACITY: usize = 1600;

#[repr(align(64))]
struct Bytes([u8; CAPACITY]);

/// A frame that goes back to its list by transmission; dropped, it is gone.
pub struct Frame {
    bytes: Box<Bytes>,
    len: usize,
}

impl Frame {
    /// `template`, of a whole number of lines, at the start of a frame of `len` bytes; what lies behind it stays.
    #[inline]
    pub fn begin<const N: usize>(&mut self, template: &[u8; N], len: usize) {
        self.len = len.min(CAPACITY);
        self.bytes.0[..N].copy_from_slice(template);
    }

    /// A copy of `bytes`, at most [`CAPACITY`] of them.
    #[inline]
    pub fn fill(&mut self, bytes: &[u8]) {
        self.len = bytes.len();
        self.bytes.0[..bytes.len()].copy_from_slice(bytes);
    }

    /// At most [`CAPACITY`] bytes; what is new has any content.
    #[inline]
    pub fn resize(&mut self, len: usize) {
        self.len = len;
    }
}

impl Buffer for Frame {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes.0[..self.len]
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes.0[..self.len]
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.len;
        let grown = self.bytes.0.get_mut(start..start + n)?;
        self.len += n;
        Some(grown)
    }
}

/// Empty frames, the last one given back first: it is still in the cache, as in a mempool's.
#[derive(Clone, Default)]
pub struct Frames(Rc<RefCell<Vec<Frame>>>);

impl Frames {
    /// A frame with a copy of `bytes`, at most [`CAPACITY`] of them.
    pub fn copy_of(&self, bytes: &[u8]) -> Frame {
        let mut frame = self.take_one();
        frame.fill(bytes);
        frame
    }

    /// What is given out again.
    pub fn give_back(&self, frames: impl IntoIterator<Item = Frame>) {
        self.0.borrow_mut().extend(frames);
    }

    /// `n` frames with what they had in them, each handed to `use_it`.
    #[inline]
    pub fn take_each(&self, n: usize, mut use_it: impl FnMut(Frame)) {
        let mut list = self.0.borrow_mut();
        (0..n).for_each(|_| use_it(list.pop().unwrap_or_else(fresh)));
    }

    fn take_one(&self) -> Frame {
        self.0.borrow_mut().pop().unwrap_or_else(fresh)
    }
}

#[cold]
fn fresh() -> Frame {
    Frame { bytes: Box::new(Bytes([0; CAPACITY])), len: 0 }
}

impl Pool for Frames {
    type Buffer = Frame;

    fn take(&mut self) -> Option<Frame> {
        let mut frame = self.take_one();
        frame.len = 0;
        Some(frame)
    }

    fn is_low(&self) -> bool {
        false
    }
}
