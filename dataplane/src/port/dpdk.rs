//! The seams on DPDK: mbufs as buffers, a pool of them, one RX and one TX queue as a worker's port.

use dpdk_bindings::{Mbuf, Mempool, RxChecksum, RxQueue, TxQueue};

use super::{Burst, Port};
use crate::buffer::{Buffer, ChecksumHint, Pool};

impl Buffer for Mbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        Mbuf::bytes(self)
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        Mbuf::bytes_mut(self)
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        Mbuf::truncate(self, len);
    }

    #[inline]
    fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        Mbuf::extend(self, n)
    }

    #[inline]
    fn grow_front(&mut self, n: usize) -> bool {
        self.move_start(-(n as isize))
    }

    #[inline]
    fn shrink_front(&mut self, n: usize) {
        self.move_start(n as isize);
    }

    #[inline]
    fn checksum_hint(&self) -> ChecksumHint {
        match self.rx_checksum() {
            RxChecksum::Unknown => ChecksumHint::Unknown,
            RxChecksum::Good => ChecksumHint::Good,
            RxChecksum::Bad => ChecksumHint::Bad,
        }
    }
}

/// One thread's handle of a pool that all threads share.
///
/// A thread that is registered as an lcore (`dpdk_bindings::lcore::register`) takes from its own cache.
#[derive(Debug, Clone)]
pub struct DpdkPool {
    pool: Mempool,
}

impl DpdkPool {
    /// A handle of `pool`.
    pub fn new(pool: Mempool) -> Self {
        DpdkPool { pool }
    }
}

impl Pool for DpdkPool {
    type Buffer = Mbuf;

    fn take(&mut self) -> Option<Mbuf> {
        self.pool.take()
    }

    fn is_low(&self) -> bool {
        self.pool.available() < self.pool.buffers() as usize / 4
    }
}

/// One RX and one TX queue, customarily of the same index, of one device.
#[derive(Debug)]
pub struct DpdkPort {
    rx: RxQueue,
    tx: TxQueue,
}

impl DpdkPort {
    /// Takes the queues; the device stays open at least as long.
    pub fn new(rx: RxQueue, tx: TxQueue) -> Self {
        DpdkPort { rx, tx }
    }

    /// Frames that RX had to copy into one buffer.
    pub fn rx_linearized(&self) -> u64 {
        self.rx.linearized()
    }
}

impl Port for DpdkPort {
    type Buffer = Mbuf;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        self.rx.receive(burst)
    }

    #[inline]
    fn unfit(&self) -> u64 {
        self.rx.dropped()
    }

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        self.tx.transmit(burst)
    }
}
