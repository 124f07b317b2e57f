//! What a device is and can do.

use std::ffi::{CStr, CString};

use super::check;
use crate::eal::EalHandle;
use crate::error::Error;
use crate::ffi;

/// The state of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub up: bool,
    /// Megabits per second; `None` when unknown.
    pub mbps: Option<u32>,
    /// Full duplex.
    pub full_duplex: bool,
}

/// What a device is and can do, with its present MTU and link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The driver: `net_af_packet`, `net_ixgbe`.
    pub driver: String,
    /// The hardware address.
    pub mac: [u8; 6],
    /// The memory node that the device is next to, where known.
    pub socket: Option<i32>,
    /// RX queues that it can have.
    pub max_rx_queues: u16,
    /// TX queues that it can have.
    pub max_tx_queues: u16,
    /// Bytes of RSS key; 0 when the driver does not say.
    pub rss_key_size: u8,
    /// Entries of the RSS table; 0 without one.
    pub rss_table_size: u16,
    /// Whether TCP over IPv4 can be spread by addresses and ports.
    pub rss_ipv4_tcp: bool,
    /// Whether TCP over IPv6 can be spread by addresses and ports.
    pub rss_ipv6_tcp: bool,
    /// Whether TCP checksums can be verified on reception.
    pub rx_checksum: bool,
    /// All RX offloads, `RTE_ETH_RX_OFFLOAD_*`.
    pub rx_offloads: u64,
    /// All TX offloads, `RTE_ETH_TX_OFFLOAD_*`.
    pub tx_offloads: u64,
    /// The smallest MTU that it accepts, in bytes.
    pub min_mtu: u16,
    /// The largest MTU that it accepts, in bytes; 65535 is often said by drivers that do not care.
    pub max_mtu: u16,
    /// The MTU, in bytes.
    pub mtu: u16,
    /// The link.
    pub link: Link,
}

/// The port number of a device.
pub(super) fn find(_eal: &EalHandle, device: &str) -> Result<u16, Error> {
    let missing = || Error::NoSuchDevice { device: device.into() };
    let name = CString::new(device).map_err(|_| missing())?;
    let mut port = 0;
    // SAFETY: the EAL runs; the name is a terminated string, and `port` is written when it is found.
    match unsafe { ffi::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut port) } {
        0 => Ok(port),
        _ => Err(missing()),
    }
}

pub(super) fn raw(port: u16, device: &str) -> Result<ffi::rte_eth_dev_info, Error> {
    // SAFETY: all-zero is a value of this struct of integers and nullable pointers.
    let mut info: ffi::rte_eth_dev_info = unsafe { std::mem::zeroed() };
    // SAFETY: an invalid port is refused; `info` is written within its bounds.
    check(device, "ask what it can do", unsafe { ffi::rte_eth_dev_info_get(port, &mut info) })?;
    Ok(info)
}

pub(super) fn read(port: u16, device: &str) -> Result<DeviceInfo, Error> {
    let info = raw(port, device)?;
    let driver = match info.driver_name.is_null() {
        true => String::new(),
        // SAFETY: a driver's name is a terminated string in the driver's static memory.
        false => unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned(),
    };
    // SAFETY: all-zero is a value of six bytes.
    let mut mac: ffi::rte_ether_addr = unsafe { std::mem::zeroed() };
    // SAFETY: an invalid port is refused; `mac` is written within its bounds.
    check(device, "read the MAC address", unsafe { ffi::rte_eth_macaddr_get(port, &mut mac) })?;
    // SAFETY: an invalid port is answered with -1.
    let socket = unsafe { ffi::rte_eth_dev_socket_id(port) };
    Ok(DeviceInfo {
        driver,
        mac: mac.addr_bytes,
        socket: (socket >= 0).then_some(socket),
        max_rx_queues: info.max_rx_queues,
        max_tx_queues: info.max_tx_queues,
        rss_key_size: info.hash_key_size,
        rss_table_size: info.reta_size,
        rss_ipv4_tcp: info.flow_type_rss_offloads & ffi::QDR_RSS_IPV4_TCP != 0,
        rss_ipv6_tcp: info.flow_type_rss_offloads & ffi::QDR_RSS_IPV6_TCP != 0,
        rx_checksum: info.rx_offload_capa & ffi::QDR_RX_OFFLOAD_TCP_CKSUM != 0,
        rx_offloads: info.rx_offload_capa,
        tx_offloads: info.tx_offload_capa,
        min_mtu: info.min_mtu,
        max_mtu: info.max_mtu,
        mtu: mtu(port, device)?,
        link: link(port, device)?,
    })
}

pub(super) fn mtu(port: u16, device: &str) -> Result<u16, Error> {
    let mut mtu = 0;
    // SAFETY: an invalid port is refused; `mtu` is written.
    check(device, "read the MTU", unsafe { ffi::rte_eth_dev_get_mtu(port, &mut mtu) })?;
    Ok(mtu)
}

pub(super) fn link(port: u16, device: &str) -> Result<Link, Error> {
    let mut link = ffi::qdr_link { mbps: 0, up: 0, full_duplex: 0 };
    // SAFETY: an invalid port is refused; `link` is written within its bounds.
    check(device, "read the link", unsafe { ffi::qdr_link_get_nowait(port, &mut link) })?;
    Ok(Link {
        up: link.up != 0,
        mbps: (link.mbps != 0 && link.mbps != u32::MAX).then_some(link.mbps),
        full_duplex: link.full_duplex != 0,
    })
}
