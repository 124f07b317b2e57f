//! Narrow bindings to libdpdk (22.11 LTS and newer) and a thin safe layer over them.
//!
//! ```text
//! Eal::start ─► Mempool::new ─► Port::open ─► Port::start ─► Port (control: link, MTU, statistics)
//!    guard        buffers         a device                  ├► RxQueue 0..n  one owner each, Send
//!                                                           └► TxQueue 0..n  one owner each, Send
//! ```
//!
//! Who keeps whom alive: a queue keeps its port, a port its pool, everything the EAL. Frames ([`Mbuf`]) keep nothing,
//! for they are too many and too short-lived to count; instead, pools are not freed before the EAL is shut down, and
//! the EAL is not shut down while a frame is out. See [`Eal::shutdown`].
//!
//! Threads: [`Eal::start`] leaves the affinity of its thread as it was. Workers are ordinary threads that pin
//! themselves and call [`lcore::register`], which gives them their own share of every pool's cache.

pub mod eal;
pub mod error;
mod ffi;
pub mod lcore;
pub mod mbuf;
pub mod mempool;
pub mod port;
pub mod queue;
pub mod rss;

pub use eal::{Eal, EalConfig, EalHandle, LogLevel, Memory};
pub use error::{Errno, Error};
pub use mbuf::{Mbuf, RxChecksum};
pub use mempool::Mempool;
pub use port::{DeviceInfo, Link, Port, PortConfig, StartedPort, Stats};
pub use queue::{RxQueue, TxQueue};
pub use rss::{Rss, toeplitz};
