//! Dialogues and properties of the stack.

mod closing;
mod data;
mod dialogue;
mod ecn;
mod goodput;
mod handshake;
mod keepalive;
mod loss;
mod must_data;
mod must_states;
mod must_window;
mod overlap;
mod pacing;
mod path;
mod property;
mod receiving;
mod recovery;
mod recovery_corners;
mod resets;
pub(super) mod short_way;
mod through;
mod windows;

use dataplane::buffer::Buffer;

/// A frame on the heap.
#[derive(Debug)]
pub(super) struct VecBuffer(pub(super) Vec<u8>);

impl Buffer for VecBuffer {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.0.len();
        self.0.resize(start + n, 0);
        Some(&mut self.0[start..])
    }
}
