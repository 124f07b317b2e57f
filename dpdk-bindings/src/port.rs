//! Ports: an Ethernet device, its queues, and its control operations.
//!
//! A port runs as long as anybody has its [`Port`] or one of its queues; the last one to go stops and closes it. A
//! closed device is gone for this process.

use std::fmt;
use std::sync::{Arc, Mutex};

pub use info::{DeviceInfo, Link};
pub use setup::{PortConfig, StartedPort};
pub use stats::Stats;

use crate::eal::{EalHandle, device_name, lock};
use crate::error::{Errno, Error};
use crate::ffi;
use crate::mempool::Mempool;
use crate::rss::Rss;

mod info;
mod setup;
mod stats;

/// What the MTU leaves out: an Ethernet header and two VLAN tags.
const FRAME_OVERHEAD: u16 = 14 + 2 * 4;

/// A started port. Made with the last queue's setup, and stops and closes the device when dropped.
pub(crate) struct Inner {
    id: u16,
    device: String,
    rx_queues: u16,
    rx_descriptors: u16,
    rss: Option<Rss>,
    /// Control operations of one port must not overlap (the ethdev API's threading rule).
    control: Mutex<()>,
    /// Where the device's RX queues take their buffers from.
    pool: Mempool,
    _eal: EalHandle,
}

impl Inner {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    /// Frees what waits in an RX queue. Software devices (net_ring) would lose those buffers when they close.
    fn drain(&self, queue: u16) {
        let mut left = u32::from(self.rx_descriptors).max(1024) + 32;
        while left > 0 {
            let mut slots = [std::ptr::null_mut(); 32];
            let (mut linearized, mut dropped) = (0, 0);
            // SAFETY: the port is started and no handle of the queue is left; the mbufs that we get are ours to free.
            let count = unsafe {
                let count = ffi::qdr_rx_burst(
                    self.id,
                    queue,
                    slots.as_mut_ptr(),
                    slots.len() as u16,
                    &mut linearized,
                    &mut dropped,
                );
                slots[..usize::from(count)].iter().for_each(|&m| ffi::qdr_mbuf_free(m));
                count
            };
            if count == 0 && dropped == 0 {
                return;
            }
            left = left.saturating_sub(32);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for queue in 0..self.rx_queues {
            self.drain(queue);
        }
        // SAFETY: nobody polls any more (every queue handle has this Inner), and a port is closed once: its claim is
        // never given back after a successful start.
        let (stopped, closed) = unsafe { (ffi::rte_eth_dev_stop(self.id), ffi::rte_eth_dev_close(self.id)) };
        for (operation, ret) in [("stop", stopped), ("close", closed)] {
            if ret != 0 {
                tracing::warn!("device {}: cannot {operation}: {}", self.device, Errno::from_return(ret));
            }
        }
    }
}

/// The control handle of a started port; usable from any thread, the queues meanwhile being polled by theirs.
pub struct Port {
    inner: Arc<Inner>,
}

impl Port {
    /// Configures and starts the device of this name (or vdev string, of which the name counts).
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`], [`Error::AlreadyOpen`], [`Error::PortConfig`] when the device cannot do what is
    /// asked, [`Error::Port`] when it can and does not. Then the device may be opened again.
    pub fn open(
        eal: &EalHandle,
        device: &str,
        config: &PortConfig,
        pool: &Mempool,
    ) -> Result<StartedPort, Error> {
        setup::open(eal, device_name(device), config, pool)
    }

    /// What the device can do; needs no open port.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`], or [`Error::Port`].
    pub fn probe(eal: &EalHandle, device: &str) -> Result<DeviceInfo, Error> {
        let device = device_name(device);
        info::read(info::find(eal, device)?, device)
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.inner.device
    }

    /// How the device spreads frames over its queues by our symmetric hash. `None` with one queue, and with a device
    /// that cannot hash or whose table we could not set: then the directions of a connection may land on any queue.
    pub fn rss(&self) -> Option<&Rss> {
        self.inner.rss.as_ref()
    }

    /// What the device can do, and its present MTU and link.
    pub fn info(&self) -> Result<DeviceInfo, Error> {
        let _control = lock(&self.inner.control);
        info::read(self.inner.id, &self.inner.device)
    }

    /// The link as last seen; does not wait for a negotiation.
    pub fn link(&self) -> Result<Link, Error> {
        let _control = lock(&self.inner.control);
        info::link(self.inner.id, &self.inner.device)
    }

    /// Takes the link up or down, for the peer to see.
    pub fn set_link(&self, up: bool) -> Result<(), Error> {
        let _control = lock(&self.inner.control);
        let id = self.inner.id;
        // SAFETY: the port is started as long as `inner` lives; control operations are serialized.
        let (operation, ret) = unsafe {
            match up {
                true => ("set the link up", ffi::rte_eth_dev_set_link_up(id)),
                false => ("set the link down", ffi::rte_eth_dev_set_link_down(id)),
            }
        };
        self.check(operation, ret)
    }

    /// The MTU in bytes: what follows the Ethernet header, VLAN tags not counted.
    pub fn mtu(&self) -> Result<u16, Error> {
        let _control = lock(&self.inner.control);
        info::mtu(self.inner.id, &self.inner.device)
    }

    /// Sets the MTU. Some devices can do so only before they start ([`PortConfig::mtu`]) and say that they are busy.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), Error> {
        setup::check_mtu(&self.inner.device, mtu, &self.inner.pool)?;
        let _control = lock(&self.inner.control);
        // SAFETY: the port is started as long as `inner` lives; control operations are serialized.
        let ret = unsafe { ffi::rte_eth_dev_set_mtu(self.inner.id, mtu) };
        self.check("set the MTU", ret)
    }

    /// Counters that every device has.
    pub fn stats(&self) -> Result<Stats, Error> {
        let _control = lock(&self.inner.control);
        stats::read(self.inner.id, &self.inner.device)
    }

    /// All counters of the device under the driver's names.
    pub fn extended_stats(&self) -> Result<Vec<(String, u64)>, Error> {
        let _control = lock(&self.inner.control);
        stats::read_extended(self.inner.id, &self.inner.device)
    }

    /// Stops and closes the device now.
    ///
    /// # Errors
    /// [`Error::QueuesInUse`]; then the last queue to be dropped does it.
    pub fn close(self) -> Result<(), Error> {
        let device = self.inner.device.clone();
        let queues = Arc::strong_count(&self.inner) - 1;
        match Arc::into_inner(self.inner) {
            Some(inner) => {
                drop(inner);
                Ok(())
            }
            None => Err(Error::QueuesInUse { device, queues }),
        }
    }

    fn check(&self, operation: &'static str, ret: i32) -> Result<(), Error> {
        check(&self.inner.device, operation, ret)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.inner.device)
    }
}

/// What an ethdev function returned: 0, or a negative error number.
fn check(device: &str, operation: &'static str, ret: i32) -> Result<(), Error> {
    match ret {
        0 => Ok(()),
        _ => Err(Error::Port { device: device.into(), operation, errno: Errno::from_return(ret) }),
    }
}
