//! Pools of packet buffers.
//!
//! A pool's memory is taken when it is made and belongs to the EAL: dropping the last handle does not free it, for
//! frames point to their pool and count no references. [`crate::Eal::shutdown`] frees all pools, and only when every
//! buffer is back. Make pools at the start, as many as the appliance needs, and keep them.

use std::ffi::CString;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::eal::{EalHandle, PoolPtr};
use crate::error::{Errno, Error};
use crate::ffi;
use crate::mbuf::{Mbuf, append_with};

/// Bytes that DPDK reserves in front of every frame; part of a pool's `data_room`.
pub const HEADROOM: u16 = ffi::RTE_PKTMBUF_HEADROOM as u16;

/// A handle of a pool; clones are handles of the same pool. Any thread may take from and free to it.
#[derive(Clone)]
pub struct Mempool {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PoolPtr,
    name: String,
    buffers: u32,
    data_room: u16,
    _eal: EalHandle,
}

impl Mempool {
    /// Makes a pool of `buffers` buffers of `data_room` bytes each, [`HEADROOM`] included, on memory node `socket`
    /// (`None`: any). Each lcore keeps up to about 1.5 × `cache` buffers to itself (at most 512; 0: no caches), which
    /// other lcores cannot take: have that many more. 2^n − 1 buffers use memory best.
    ///
    /// # Errors
    /// [`Error::Pool`] when the name is taken or the memory is not there.
    pub fn new(
        eal: &EalHandle,
        name: &str,
        buffers: u32,
        cache: u32,
        data_room: u16,
        socket: Option<i32>,
    ) -> Result<Self, Error> {
        let c_name =
            CString::new(name).map_err(|_| Error::EalConfig(format!("pool {name:?}: a NUL byte")))?;
        if data_room <= HEADROOM {
            return Err(Error::EalConfig(format!(
                "pool {name}: a data room of {data_room} bytes leaves nothing beside the headroom of {HEADROOM}"
            )));
        }
        let socket = socket.unwrap_or(ffi::QDR_SOCKET_ANY);
        // SAFETY: the EAL runs; the name is a terminated string that DPDK copies; bad numbers are refused by DPDK.
        let pool =
            unsafe { ffi::rte_pktmbuf_pool_create(c_name.as_ptr(), buffers, cache, 0, data_room, socket) };
        let Some(pool) = NonNull::new(pool) else {
            return Err(Error::Pool { name: name.into(), buffers, data_room, errno: Errno::last() });
        };
        let pool = PoolPtr(pool);
        eal.core().add_pool(pool);
        let inner = Inner { pool, name: name.into(), buffers, data_room, _eal: eal.clone() };
        Ok(Mempool { inner: Arc::new(inner) })
    }

    /// The name that the pool was made with.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// How many buffers there are, wherever they are.
    pub fn buffers(&self) -> u32 {
        self.inner.buffers
    }

    /// Bytes that a frame in one buffer can have.
    pub fn frame_room(&self) -> u16 {
        self.inner.data_room - HEADROOM
    }

    /// Buffers in the pool, the lcores' caches included. A snapshot, and not a cheap one.
    pub fn available(&self) -> usize {
        // SAFETY: the pool is valid as long as this handle keeps the EAL.
        unsafe { ffi::rte_mempool_avail_count(self.as_ptr()) as usize }
    }

    /// Buffers that are out: held as [`Mbuf`], or given to a device.
    pub fn in_use(&self) -> usize {
        // SAFETY: as above.
        unsafe { ffi::rte_mempool_in_use_count(self.as_ptr()) as usize }
    }

    /// An empty buffer, or `None` when the pool is exhausted.
    pub fn take(&self) -> Option<Mbuf> {
        // SAFETY: the pool is valid; DPDK returns null or a fresh single-segment mbuf that is nobody else's.
        unsafe { NonNull::new(ffi::qdr_mbuf_alloc(self.as_ptr())).map(|raw| Mbuf::from_raw(raw)) }
    }

    /// Appends `n` empty buffers, or as many as `list` has room for, and returns how many: all of them or none.
    pub fn take_bulk<const N: usize>(&self, list: &mut ArrayVec<Mbuf, N>, n: usize) -> usize {
        let pool = self.as_ptr();
        let room = u16::try_from(n).unwrap_or(u16::MAX);
        // SAFETY: DPDK fills all `room` slots with fresh single-segment mbufs that are nobody else's, or none.
        unsafe {
            append_with(list, room, |slots, room| {
                if ffi::qdr_mbuf_alloc_bulk(pool, slots, u32::from(room)) == 0 { room } else { 0 }
            })
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::rte_mempool {
        self.inner.pool.0.as_ptr()
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool")
            .field("name", &self.inner.name)
            .field("buffers", &self.inner.buffers)
            .finish()
    }
}
