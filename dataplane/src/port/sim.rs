//! Ports, buffers and a pool made of memory: for the simulated world, for benches and for fuzzers.
//!
//! Deterministic, without a clock and without threads of its own. A [`SimPort`] is what a worker holds; the
//! [`SimPeer`] that comes with it is the cable: what is delivered there is received by the worker, what the worker
//! transmits is collected there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buffer::{Buffer, ChecksumHint, Pool};

use super::{BURST, Burst, Port};

/// Bytes that a [`SimBuffer`] holds unless told otherwise: DPDK's customary data room without headroom.
pub const SIM_BUFFER_CAPACITY: usize = 2048;

/// One frame in memory of its own. Dropping it gives its place back to the pool.
#[derive(Debug)]
pub struct SimBuffer {
    bytes: Vec<u8>,
    capacity: usize,
    hint: ChecksumHint,
    in_use: Arc<AtomicUsize>,
}

impl SimBuffer {
    /// Sets what a device would say about the transport checksum.
    pub fn set_checksum_hint(&mut self, hint: ChecksumHint) {
        self.hint = hint;
    }
}

impl Buffer for SimBuffer {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.bytes.len();
        if n > self.capacity - start {
            return None;
        }
        // Not zero: whoever relies on the content of fresh memory should be found out here.
        self.bytes.resize(start + n, 0xa5);
        Some(&mut self.bytes[start..])
    }

    fn checksum_hint(&self) -> ChecksumHint {
        self.hint
    }
}

impl Drop for SimBuffer {
    fn drop(&mut self) {
        self.in_use.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A bounded source of [`SimBuffer`]s. Clones share one bound and one count.
#[derive(Debug, Clone)]
pub struct SimPool {
    in_use: Arc<AtomicUsize>,
    limit: usize,
    capacity: usize,
}

impl SimPool {
    /// A pool of `limit` buffers of [`SIM_BUFFER_CAPACITY`] bytes.
    pub fn new(limit: usize) -> SimPool {
        SimPool::with_capacity(limit, SIM_BUFFER_CAPACITY)
    }

    /// A pool of `limit` buffers of `capacity` bytes each.
    pub fn with_capacity(limit: usize, capacity: usize) -> SimPool {
        SimPool { in_use: Arc::default(), limit, capacity }
    }

    /// Buffers that somebody owns now.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Acquire)
    }

    /// A buffer with a copy of `frame`; `None` when the pool is exhausted or the frame does not fit.
    pub fn copy_of(&mut self, frame: &[u8]) -> Option<SimBuffer> {
        let mut buffer = self.take()?;
        buffer.extend(frame.len())?.copy_from_slice(frame);
        Some(buffer)
    }
}

impl Pool for SimPool {
    type Buffer = SimBuffer;

    fn take(&mut self) -> Option<SimBuffer> {
        let room = |n: usize| (n < self.limit).then_some(n + 1);
        self.in_use.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(SimBuffer {
            bytes: Vec::with_capacity(self.capacity),
            capacity: self.capacity,
            hint: ChecksumHint::Unknown,
            in_use: Arc::clone(&self.in_use),
        })
    }

    fn is_low(&self) -> bool {
        self.limit.saturating_sub(self.in_use()) < self.limit / 4
    }
}

/// A FIFO that port and peer share.
#[derive(Debug, Clone, Default)]
struct Queue(Arc<Mutex<VecDeque<SimBuffer>>>);

impl Queue {
    /// A poisoned queue is still a queue of whole frames.
    fn lock(&self) -> MutexGuard<'_, VecDeque<SimBuffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's end of a port in memory.
#[derive(Debug)]
pub struct SimPort {
    rx: Queue,
    tx: Queue,
    tx_capacity: usize,
}

/// The cable's end of a [`SimPort`].
#[derive(Debug)]
pub struct SimPeer {
    to_port: Queue,
    from_port: Queue,
}

impl SimPort {
    /// A port and its peer. The port refuses to transmit while `tx_capacity` frames wait to be collected
    /// (`usize::MAX`: never).
    pub fn new(tx_capacity: usize) -> (SimPort, SimPeer) {
        let (rx, tx) = (Queue::default(), Queue::default());
        let peer = SimPeer { to_port: rx.clone(), from_port: tx.clone() };
        (SimPort { rx, tx, tx_capacity }, peer)
    }
}

impl Port for SimPort {
    type Buffer = SimBuffer;

    fn receive(&mut self, burst: &mut Burst<SimBuffer>) -> usize {
        let mut rx = self.rx.lock();
        let count = rx.len().min(BURST - burst.len());
        burst.extend(rx.drain(..count));
        count
    }

    fn transmit(&mut self, burst: &mut Burst<SimBuffer>) -> usize {
        let mut tx = self.tx.lock();
        let count = burst.len().min(self.tx_capacity.saturating_sub(tx.len()));
        tx.extend(burst.drain(..count));
        count
    }
}

impl SimPeer {
    /// Puts a frame where the port will receive it.
    pub fn deliver(&self, frame: SimBuffer) {
        self.to_port.lock().push_back(frame);
    }

    /// Takes the oldest frame that the port has transmitted.
    pub fn collect(&self) -> Option<SimBuffer> {
        self.from_port.lock().pop_front()
    }

    /// Frames delivered and not yet received.
    pub fn undelivered(&self) -> usize {
        self.to_port.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pool: &mut SimPool, first: u8) -> SimBuffer {
        pool.copy_of(&[first; 60]).expect("pool has room")
    }

    #[test]
    fn a_pool_is_bounded_and_gets_everything_back() {
        let mut pool = SimPool::with_capacity(2, 100);
        let (a, b) = (pool.take(), pool.take());
        assert!(a.is_some() && b.is_some() && pool.take().is_none());
        drop(a);
        assert_eq!(pool.in_use(), 1);
        assert!(pool.copy_of(&[0; 101]).is_none(), "does not fit");
        assert_eq!(pool.in_use(), 1, "a refused copy leaks nothing");
    }

    #[test]
    fn a_buffer_grows_to_its_capacity_and_no_further() {
        let mut pool = SimPool::with_capacity(1, 4);
        let mut buffer = pool.take().expect("pool has room");
        assert!(buffer.extend(5).is_none() && buffer.bytes().is_empty());
        buffer.extend(4).expect("fits").copy_from_slice(b"abcd");
        assert!(buffer.extend(1).is_none());
        buffer.truncate(2);
        buffer.truncate(3);
        assert_eq!(buffer.bytes(), b"ab");
    }

    #[test]
    fn frames_cross_in_order_in_bursts() {
        let mut pool = SimPool::new(64);
        let (mut port, peer) = SimPort::new(usize::MAX);
        (0..40).for_each(|n| peer.deliver(frame(&mut pool, n)));
        let mut burst = Burst::new();
        assert_eq!((port.receive(&mut burst), peer.undelivered()), (BURST, 40 - BURST));
        assert_eq!(port.receive(&mut burst), 0, "the burst is full");
        assert_eq!(port.transmit(&mut burst), BURST);
        let order: Vec<u8> = std::iter::from_fn(|| peer.collect()).map(|b| b.bytes()[0]).collect();
        assert_eq!(order, (0..BURST as u8).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_port_leaves_the_rest_with_the_caller() {
        let mut pool = SimPool::new(64);
        let (mut port, peer) = SimPort::new(3);
        let mut burst: Burst<SimBuffer> = (0..5).map(|n| frame(&mut pool, n)).collect();
        assert_eq!(port.transmit(&mut burst), 3);
        assert_eq!(burst.iter().map(|b| b.bytes()[0]).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(port.transmit(&mut burst), 0);
        peer.collect();
        assert_eq!((port.transmit(&mut burst), burst.len()), (1, 1));
        drop((burst, port, peer));
        assert_eq!(pool.in_use(), 0);
    }
}
