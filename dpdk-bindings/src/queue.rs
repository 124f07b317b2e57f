//! RX and TX queues: bursts of frames between a device and the one thread that owns the queue.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::ffi;
use crate::mbuf::{Mbuf, append_with};
use crate::port::Inner;

#[cfg(test)]
mod tests;

/// One RX queue of a started port. There is exactly one handle of it, which may move between threads.
pub struct RxQueue {
    port: u16,
    queue: u16,
    linearized: u64,
    dropped: u64,
    inner: Arc<Inner>,
}

impl RxQueue {
    /// # Safety
    /// `inner` is started and has RX queue `queue`; no other handle of it exists or will be made.
    pub(crate) unsafe fn new(inner: Arc<Inner>, queue: u16) -> Self {
        RxQueue { port: inner.id(), queue, linearized: 0, dropped: 0, inner }
    }

    /// Appends what has arrived to `burst`, as far as there is room, and returns how many frames.
    ///
    /// A frame in several segments is copied into one where it fits, and dropped otherwise; both are counted. A VLAN
    /// tag that the device takes out of frames although it was told not to (the kernel does, under some virtual
    /// devices) is put back.
    #[inline]
    pub fn receive<const N: usize>(&mut self, burst: &mut ArrayVec<Mbuf, N>) -> usize {
        let (port, queue) = (self.port, self.queue);
        let (linearized, dropped) = (&mut self.linearized, &mut self.dropped);
        // SAFETY: the port is started as long as `inner` lives, and this is the queue's only handle, borrowed
        // exclusively. The shim fills from the front, up to `room`, with single-segment mbufs that have one owner.
        unsafe {
            append_with(burst, u16::MAX, |slots, room| {
                ffi::qdr_rx_burst(port, queue, slots, room, linearized, dropped)
            })
        }
    }

    /// Frames that came in several segments and were copied into one.
    pub fn linearized(&self) -> u64 {
        self.linearized
    }

    /// Frames dropped because they came in several segments too large for one, or had another owner, or no room for
    /// their VLAN tag.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The queue's index on its port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// The port's device name.
    pub fn device(&self) -> &str {
        self.inner.device()
    }
}

/// One TX queue of a started port. There is exactly one handle of it, which may move between threads.
pub struct TxQueue {
    port: u16,
    queue: u16,
    inner: Arc<Inner>,
}

impl TxQueue {
    /// # Safety
    /// `inner` is started and has TX queue `queue`; no other handle of it exists or will be made.
    pub(crate) unsafe fn new(inner: Arc<Inner>, queue: u16) -> Self {
        TxQueue { port: inner.id(), queue, inner }
    }

    /// Gives the frames at the front of `burst` to the device, in order, and returns how many it took.
    ///
    /// What the device refuses stays in `burst`, in order, and stays the caller's. What it took returns to the pool
    /// when it has been sent, which a device may notice only at a later transmission, or when the port closes.
    #[inline]
    pub fn transmit<const N: usize>(&mut self, burst: &mut ArrayVec<Mbuf, N>) -> usize {
        let len = burst.len();
        let frames = burst.as_mut_ptr();
        let count = u16::try_from(len).unwrap_or(u16::MAX);
        // SAFETY: the port is started as long as `inner` lives, and this is the queue's only handle, borrowed
        // exclusively. The first `count` slots are mbufs of ours (Mbuf is a transparent pointer to one), of which the
        // device takes the first `sent` and leaves the others and their slots alone. Nothing between here and
        // set_len can panic, so no frame is ever owned twice.
        unsafe {
            let sent = usize::from(ffi::qdr_tx_burst(self.port, self.queue, frames.cast(), count));
            std::ptr::copy(frames.add(sent), frames, len - sent);
            burst.set_len(len - sent);
            sent
        }
    }

    /// The queue's index on its port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// The port's device name.
    pub fn device(&self) -> &str {
        self.inner.device()
    }
}

impl fmt::Debug for RxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RxQueue({} {})", self.device(), self.queue)
    }
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxQueue({} {})", self.device(), self.queue)
    }
}
