//! What can go wrong, by operation. Each message names the device or the pool and says what to do about it.

use std::ffi::{CStr, c_int};
use std::fmt;

use crate::ffi;

/// An error number of the system or of DPDK, shown as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// From what a DPDK function returned: a negative error number.
    pub(crate) fn from_return(ret: c_int) -> Self {
        Errno(ret.saturating_abs())
    }

    /// From `rte_errno` of this thread, for the functions that return -1 or null.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer; needs nothing from the EAL.
        Errno(unsafe { ffi::qdr_errno() }.saturating_abs())
    }

    /// The positive error number: `ENODEV` is 19.
    pub fn code(self) -> i32 {
        self.0
    }

    /// Whether the device or its driver has no such operation (ENOTSUP, which Linux also calls EOPNOTSUPP).
    pub fn is_unsupported(self) -> bool {
        self.0 == ffi::QDR_ENOTSUP
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: rte_strerror takes any number and returns a terminated string in a buffer of this thread (null only
        // when it cannot have one), which is not touched again before the copy below is made.
        let text = unsafe {
            let text = ffi::rte_strerror(self.0);
            if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
        };
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self})", self.0)
    }
}

/// Many drivers say -1 for whatever went wrong, which would read "Operation not permitted".
fn reason(errno: Errno) -> String {
    if errno.code() == 1 { String::new() } else { format!(" ({errno})") }
}

/// Why an operation of this crate failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The EAL has been started before in this process, or its start has failed before.
    #[error("the EAL can be started once per process, and has been; start a new process")]
    EalStartedBefore,

    /// The configuration is impossible; the EAL has not been touched.
    #[error("EAL configuration: {0}")]
    EalConfig(String),

    /// `rte_eal_init` refused.
    #[error(
        "EAL did not start with `{arguments}`: {errno}; the lines that DPDK printed above say which step failed \
         (with huge pages: are there enough, `sysctl vm.nr_hugepages`? without: is the memory enough?)"
    )]
    EalStart {
        /// The arguments as they were given.
        arguments: String,
        /// Why.
        errno: Errno,
    },

    /// No driver makes a virtual device of this name.
    #[error(
        "device {device}: DPDK has no driver of this name; a virtual device is named as its driver with a number, \
         as net_af_packet0, and drivers are plugins in the folder `dpdk/pmds-*` beside DPDK's libraries"
    )]
    NoDriver {
        /// The vdev string.
        device: String,
    },

    /// A virtual device could not be made.
    #[error(
        "device {device}: DPDK cannot create it{}; the line that it printed above is more exact; check the arguments, \
         that what they name exists, and that this process may open it (af_packet: CAP_NET_RAW; af_xdp: root)",
        reason(*errno)
    )]
    DeviceProbe {
        /// The vdev string.
        device: String,
        /// Why.
        errno: Errno,
    },

    /// The EAL cannot be shut down yet.
    #[error(
        "the EAL keeps running: {handles} handles (ports, queues, pools, lcores) and {buffers} buffers are out"
    )]
    EalInUse {
        /// Live handles other than the guard itself.
        handles: usize,
        /// Buffers that have not come back to their pool.
        buffers: usize,
    },

    /// `rte_eal_cleanup` failed.
    #[error("the EAL could not be cleaned up: {0}")]
    EalCleanup(Errno),

    /// A pool could not be made.
    #[error(
        "pool {name}: {buffers} buffers of {data_room} bytes cannot be allocated: {errno}; give the EAL more memory \
         or the pool fewer buffers, or another name"
    )]
    Pool {
        /// The pool.
        name: String,
        /// How many buffers.
        buffers: u32,
        /// Bytes of each buffer, headroom included.
        data_room: u16,
        /// Why.
        errno: Errno,
    },

    /// No port has this device name.
    #[error("device {device}: DPDK has no port for it{}", remedy(device))]
    NoSuchDevice {
        /// The device's name.
        device: String,
    },

    /// A port has one owner.
    #[error("device {device}: already opened; a port has one owner, and stays closed once it was closed")]
    AlreadyOpen {
        /// The device's name.
        device: String,
    },

    /// The configuration cannot be had on this device.
    #[error("device {device}: {reason}")]
    PortConfig {
        /// The device's name.
        device: String,
        /// What is impossible, and what is possible.
        reason: String,
    },

    /// An operation on a port failed.
    #[error("device {device}: cannot {operation}: {errno}")]
    Port {
        /// The device's name.
        device: String,
        /// What was tried.
        operation: &'static str,
        /// Why.
        errno: Errno,
    },

    /// Queues of the port are still owned by somebody.
    #[error("device {device}: {queues} of its queues are still owned; drop them (stop the workers) first")]
    QueuesInUse {
        /// The device's name.
        device: String,
        /// How many.
        queues: usize,
    },

    /// The calling thread could not become an lcore.
    #[error(
        "this thread cannot be registered as an lcore: {0}; DPDK has room for RTE_MAX_LCORE (128) of them"
    )]
    Lcore(Errno),

    /// The calling thread is an lcore already.
    #[error("this thread is already lcore {0}")]
    LcoreRegistered(u32),
}

/// What may be done about a device without a port: a NIC has an address, a virtual device a name.
fn remedy(device: &str) -> String {
    if device.contains(':') {
        format!(
            "; is it a NIC that DPDK has a driver for, and bound to vfio-pci (`dpdk-devbind.py --status-dev net` shows, \
             `dpdk-devbind.py --bind=vfio-pci {device}` binds)?"
        )
    } else {
        "; is it among the vdevs that the EAL was started with?".into()
    }
}
