//! From a device to a started port: configuration, queues, symmetric RSS.

use std::sync::{Arc, Mutex};

use super::{FRAME_OVERHEAD, Inner, Port, check, info};
use crate::eal::EalHandle;
use crate::error::Error;
use crate::ffi;
use crate::mempool::Mempool;
use crate::queue::{RxQueue, TxQueue};
use crate::rss::{self, Rss};

/// What is asked of a device. The rest is fixed, as a transparent segment needs it: promiscuous, all multicast, VLAN
/// tags left in the frame, no LRO, no scattering, RX checksums verified by the device where it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfig {
    /// RX queues, one per worker.
    pub rx_queues: u16,
    /// TX queues, one per worker.
    pub tx_queues: u16,
    /// RX descriptors of each queue; adjusted to what the device can have.
    pub rx_descriptors: u16,
    /// TX descriptors of each queue; adjusted to what the device can have.
    pub tx_descriptors: u16,
    /// The MTU to set, in bytes; `None` leaves it.
    pub mtu: Option<u16>,
}

impl PortConfig {
    /// One RX and one TX queue for each of `workers`, 1024 descriptors, the MTU left as it is.
    pub fn for_workers(workers: u16) -> Self {
        PortConfig {
            rx_queues: workers,
            tx_queues: workers,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: None,
        }
    }
}

/// A started port and its queues, by index.
#[derive(Debug)]
pub struct StartedPort {
    /// Control.
    pub port: Port,
    /// RX queues.
    pub rx: Vec<RxQueue>,
    /// TX queues.
    pub tx: Vec<TxQueue>,
}

/// The key given to devices, longer than any: drivers keep the pointer and read it again at every start.
static KEY: [u8; 256] = {
    let mut key = [0x6d; 256];
    let mut i = 1;
    while i < key.len() {
        key[i] = 0x5a;
        i += 2;
    }
    key
};

pub(super) fn open(
    eal: &EalHandle,
    device: &str,
    config: &PortConfig,
    pool: &Mempool,
) -> Result<StartedPort, Error> {
    let id = info::find(eal, device)?;
    if !eal.core().claim_port(id) {
        return Err(Error::AlreadyOpen { device: device.into() });
    }
    let setup = Setup { id, device, config, pool };
    let inner = match setup.run(eal) {
        Ok(inner) => Arc::new(inner),
        Err(error) => {
            // SAFETY: nobody has a queue of this port; a port that is not started is refused or left as it is.
            unsafe { ffi::rte_eth_dev_stop(id) };
            eal.core().release_port(id);
            return Err(error);
        }
    };
    // SAFETY: the port is started with these queues, and claimed, so nobody else makes handles of them.
    let rx = (0..config.rx_queues).map(|queue| unsafe { RxQueue::new(inner.clone(), queue) }).collect();
    // SAFETY: as above.
    let tx = (0..config.tx_queues).map(|queue| unsafe { TxQueue::new(inner.clone(), queue) }).collect();
    Ok(StartedPort { port: Port { inner }, rx, tx })
}

/// The largest frame of an MTU must fit into one buffer, for received frames are never scattered.
pub(super) fn check_mtu(device: &str, mtu: u16, pool: &Mempool) -> Result<(), Error> {
    let frame = u32::from(mtu) + u32::from(FRAME_OVERHEAD);
    if frame <= u32::from(pool.frame_room()) {
        return Ok(());
    }
    let (name, room) = (pool.name(), pool.frame_room());
    let reason = format!("an MTU of {mtu} needs {frame} bytes a buffer, and pool {name} has {room}");
    Err(Error::PortConfig { device: device.into(), reason })
}

struct Setup<'a> {
    id: u16,
    device: &'a str,
    config: &'a PortConfig,
    pool: &'a Mempool,
}

impl Setup<'_> {
    fn run(&self, eal: &EalHandle) -> Result<Inner, Error> {
        let info = info::raw(self.id, self.device)?;
        self.check_queues(&info)?;
        let mtu = match self.config.mtu {
            Some(mtu) => mtu,
            None => info::mtu(self.id, self.device)?.clamp(info.min_mtu, info.max_mtu.max(info.min_mtu)),
        };
        check_mtu(self.device, mtu, self.pool)?;
        let rss = self.plan_rss(&info);
        self.configure(&info, mtu, rss.is_some())?;
        if self.config.mtu.is_some() {
            // SAFETY: a configured port that is not started, and nobody else uses it.
            let ret = unsafe { ffi::rte_eth_dev_set_mtu(self.id, mtu) };
            self.check_optional("set the MTU", ret)?;
        }
        let rx_descriptors = self.set_up_queues(&info)?;
        // SAFETY: a port that is configured with all of its queues.
        self.check("start", unsafe { ffi::rte_eth_dev_start(self.id) })?;
        self.listen_to_everything()?;
        let rss = rss.filter(|rss| self.fill_table(rss));
        Ok(Inner {
            id: self.id,
            device: self.device.into(),
            rx_queues: self.config.rx_queues,
            rx_descriptors,
            rss,
            control: Mutex::new(()),
            pool: self.pool.clone(),
            _eal: eal.clone(),
        })
    }

    fn check_queues(&self, info: &ffi::rte_eth_dev_info) -> Result<(), Error> {
        let rows = [
            ("RX", self.config.rx_queues, info.max_rx_queues),
            ("TX", self.config.tx_queues, info.max_tx_queues),
        ];
        for (direction, asked, max) in rows {
            if asked == 0 || asked > max {
                let reason = format!("{asked} {direction} queues were asked for; it can have 1 to {max}");
                return Err(Error::PortConfig { device: self.device.into(), reason });
            }
        }
        Ok(())
    }

    /// RSS when there is something to spread and the device can hash TCP over IPv4 at least.
    fn plan_rss(&self, info: &ffi::rte_eth_dev_info) -> Option<Rss> {
        let can = |kind: u64| info.flow_type_rss_offloads & kind != 0;
        let key_len = if info.hash_key_size == 0 { rss::KEY_LEN } else { usize::from(info.hash_key_size) };
        (self.config.rx_queues > 1 && can(ffi::QDR_RSS_IPV4_TCP)).then(|| Rss {
            key: rss::symmetric_key(key_len),
            table: info.reta_size,
            queues: self.config.rx_queues,
            ipv4_tcp: true,
            ipv6_tcp: can(ffi::QDR_RSS_IPV6_TCP),
        })
    }

    fn configure(&self, info: &ffi::rte_eth_dev_info, mtu: u16, rss: bool) -> Result<(), Error> {
        // SAFETY: all-zero is DPDK's own default for this struct of integers, nullable pointers and flags.
        let mut conf: ffi::rte_eth_conf = unsafe { std::mem::zeroed() };
        conf.rxmode.mtu = u32::from(mtu);
        conf.rxmode.offloads =
            info.rx_offload_capa & (ffi::QDR_RX_OFFLOAD_IPV4_CKSUM | ffi::QDR_RX_OFFLOAD_TCP_CKSUM);
        conf.rxmode.mq_mode = ffi::RTE_ETH_MQ_RX_NONE;
        if rss {
            let kinds = ffi::QDR_RSS_IPV4 | ffi::QDR_RSS_IPV4_TCP | ffi::QDR_RSS_IPV6 | ffi::QDR_RSS_IPV6_TCP;
            let key_len = if info.hash_key_size == 0 { rss::KEY_LEN as u8 } else { info.hash_key_size };
            conf.rxmode.mq_mode = ffi::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_key = KEY.as_ptr().cast_mut();
            conf.rx_adv_conf.rss_conf.rss_key_len = key_len;
            conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & kinds;
        }
        let (rx, tx) = (self.config.rx_queues, self.config.tx_queues);
        // SAFETY: a port that we have claimed and that is not started; DPDK copies the struct, and the key that it
        // points to is static, as long as any, and only read.
        self.check("configure", unsafe { ffi::rte_eth_dev_configure(self.id, rx, tx, &conf) })
    }

    /// Sets all queues up and returns the RX descriptors that each got.
    fn set_up_queues(&self, info: &ffi::rte_eth_dev_info) -> Result<u16, Error> {
        let (mut rx, mut tx) = (self.config.rx_descriptors, self.config.tx_descriptors);
        // SAFETY: a configured port; both numbers are replaced by possible ones.
        let ret = unsafe { ffi::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &mut rx, &mut tx) };
        self.check("choose descriptors", ret)?;
        // SAFETY: an invalid port is answered with -1, "any node", which queue setup understands.
        let socket = unsafe { ffi::rte_eth_dev_socket_id(self.id) } as u32;
        let (mut rx_conf, mut tx_conf) = (info.default_rxconf, info.default_txconf);
        (rx_conf.offloads, tx_conf.offloads) = (0, 0);
        for queue in 0..self.config.rx_queues {
            // SAFETY: a configured port that is not started, a queue that it has, and a pool that outlives it.
            let ret = unsafe {
                ffi::rte_eth_rx_queue_setup(self.id, queue, rx, socket, &rx_conf, self.pool.as_ptr())
            };
            self.check("set up an RX queue", ret)?;
        }
        for queue in 0..self.config.tx_queues {
            // SAFETY: as above.
            let ret = unsafe { ffi::rte_eth_tx_queue_setup(self.id, queue, tx, socket, &tx_conf) };
            self.check("set up a TX queue", ret)?;
        }
        Ok(rx)
    }

    /// Promiscuous, all multicast. A device that knows no such modes has no address filter either.
    fn listen_to_everything(&self) -> Result<(), Error> {
        // SAFETY: a started port of which nobody else has a handle yet.
        let ret = unsafe { ffi::rte_eth_promiscuous_enable(self.id) };
        self.check_optional("become promiscuous", ret)?;
        // SAFETY: as above.
        let ret = unsafe { ffi::rte_eth_allmulticast_enable(self.id) };
        self.check_optional("listen to all multicast", ret)
    }

    /// Fills the device's table with our queues. A device without one may spread frames all the same, but by rules of
    /// its own, which need not be symmetric (net_tap claims to hash and leaves it to the kernel).
    fn fill_table(&self, rss: &Rss) -> bool {
        if rss.table == 0 {
            return false;
        }
        let (group, size) = (ffi::RTE_ETH_RETA_GROUP_SIZE as usize, usize::from(rss.table));
        let mut table: Vec<ffi::rte_eth_rss_reta_entry64> = Vec::new();
        for first in (0..size).step_by(group) {
            let used = group.min(size - first);
            // SAFETY: all-zero is a value of this struct of integers.
            let mut entry: ffi::rte_eth_rss_reta_entry64 = unsafe { std::mem::zeroed() };
            entry.mask = u64::MAX >> (group - used);
            for (i, queue) in entry.reta[..used].iter_mut().enumerate() {
                *queue = rss.queue_of_entry((first + i) as u32);
            }
            table.push(entry);
        }
        // SAFETY: the table has an entry for each 64 of its size, rounded up.
        let ret = unsafe { ffi::rte_eth_dev_rss_reta_update(self.id, table.as_mut_ptr(), rss.table) };
        match self.check("fill the RSS table", ret) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("{error}; which queue a connection lands on is not known");
                false
            }
        }
    }

    fn check(&self, operation: &'static str, ret: i32) -> Result<(), Error> {
        check(self.device, operation, ret)
    }

    /// As `check`, for what a device may lack.
    fn check_optional(&self, operation: &'static str, ret: i32) -> Result<(), Error> {
        match self.check(operation, ret) {
            Err(Error::Port { errno, .. }) if errno.is_unsupported() => Ok(()),
            other => other,
        }
    }
}
