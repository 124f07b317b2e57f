//! Counters of a port.

use std::ffi::CStr;

use super::check;
use crate::error::{Errno, Error};
use crate::ffi;

/// Counters that every device has, since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that the device dropped because its RX queues were full.
    pub rx_missed: u64,
    /// Frames received broken.
    pub rx_errors: u64,
    /// Frames that could not be sent. Some software devices count each refused attempt here.
    pub tx_errors: u64,
    /// Failures to get a buffer from the pool.
    pub rx_no_buffer: u64,
}

pub(super) fn read(port: u16, device: &str) -> Result<Stats, Error> {
    // SAFETY: all-zero is a value of this struct of integers.
    let mut raw: ffi::qdr_stats = unsafe { std::mem::zeroed() };
    // SAFETY: an invalid port is refused; `raw` is written within its bounds.
    check(device, "read statistics", unsafe { ffi::qdr_stats_get(port, &mut raw) })?;
    Ok(Stats {
        rx_packets: raw.rx_packets,
        tx_packets: raw.tx_packets,
        rx_bytes: raw.rx_bytes,
        tx_bytes: raw.tx_bytes,
        rx_missed: raw.rx_missed,
        rx_errors: raw.rx_errors,
        tx_errors: raw.tx_errors,
        rx_no_buffer: raw.rx_no_buffer,
    })
}

pub(super) fn read_extended(port: u16, device: &str) -> Result<Vec<(String, u64)>, Error> {
    let failed = |ret| Error::Port {
        device: device.into(),
        operation: "read extended statistics",
        errno: Errno::from_return(ret),
    };
    // SAFETY: without space for names the function only says how many there are.
    let count = unsafe { ffi::rte_eth_xstats_get_names(port, std::ptr::null_mut(), 0) };
    let count = u32::try_from(count).map_err(|_| failed(count))?;
    let mut names = vec![ffi::rte_eth_xstat_name { name: [0; 64] }; count as usize];
    let mut values = vec![ffi::rte_eth_xstat { id: 0, value: 0 }; count as usize];
    // SAFETY: both arrays have `count` elements, and no more are written.
    let (named, valued) = unsafe {
        (
            ffi::rte_eth_xstats_get_names(port, names.as_mut_ptr(), count),
            ffi::rte_eth_xstats_get(port, values.as_mut_ptr(), count),
        )
    };
    for ret in [named, valued] {
        if ret < 0 {
            return Err(failed(ret));
        }
    }
    // More than there is room for means that nothing was written; it would take a device that changes as we look.
    values.truncate(usize::try_from(valued).unwrap_or(0));
    let text = |name: &ffi::rte_eth_xstat_name| {
        // SAFETY: an array of C characters, viewed as bytes of the same number.
        let bytes = unsafe { std::slice::from_raw_parts(name.name.as_ptr().cast::<u8>(), name.name.len()) };
        CStr::from_bytes_until_nul(bytes).map(|c| c.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let pairs = values.iter().filter_map(|x| Some((text(names.get(usize::try_from(x.id).ok()?)?), x.value)));
    Ok(pairs.collect())
}
