//! The packet buffer seam: one owned frame, and the pool that it comes from and goes back to.
//!
//! A buffer has exactly one owner at any time (DESIGN invariant 3). Dropping it returns it to its pool, whichever
//! thread does so; nothing else frees it.

/// What the device says about the transport checksum of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumHint {
    /// Nobody has looked; verify in software.
    Unknown,
    /// The device has verified the transport checksum.
    Good,
    /// The device has found the transport checksum wrong.
    Bad,
}

/// One owned Ethernet frame (no FCS), contiguous in memory.
pub trait Buffer: Sized + Send + 'static {
    /// The frame, from the destination MAC on.
    fn bytes(&self) -> &[u8];

    /// The frame, mutable.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Shortens the frame to `len` bytes; no effect when it is not longer.
    fn truncate(&mut self, len: usize);

    /// Appends `n` bytes of unspecified content and returns them; `None` (and no change) without tailroom.
    fn extend(&mut self, n: usize) -> Option<&mut [u8]>;

    /// Moves the start of the frame by `n` bytes to the front; their content is unspecified. False (and no change) without
    /// room. Where there is only tailroom, the frame is moved.
    fn grow_front(&mut self, n: usize) -> bool {
        let len = self.bytes().len();
        if self.extend(n).is_none() {
            return false;
        }
        self.bytes_mut().copy_within(..len, n);
        true
    }

    /// Cuts `n` bytes off the front; no effect when there are not so many.
    fn shrink_front(&mut self, n: usize) {
        if let Some(left) = self.bytes().len().checked_sub(n) {
            self.bytes_mut().copy_within(n.., 0);
            self.truncate(left);
        }
    }

    /// What the device knows about the transport checksum.
    fn checksum_hint(&self) -> ChecksumHint {
        ChecksumHint::Unknown
    }
}

/// A source of empty buffers. Buffers find the way back by themselves when dropped.
pub trait Pool {
    /// What the pool hands out.
    type Buffer: Buffer;

    /// An empty buffer (length 0), or `None` when the pool is exhausted.
    fn take(&mut self) -> Option<Self::Buffer>;

    /// Less than a quarter is left: whoever keeps buffers for long had better copy them out, or reception starves. May
    /// cost as much as some cache misses.
    fn is_low(&self) -> bool;
}
