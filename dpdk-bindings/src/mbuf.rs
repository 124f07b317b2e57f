//! One packet buffer: contiguous, owned, back to its pool when dropped.

use std::fmt;
use std::ptr::NonNull;

use arrayvec::ArrayVec;

use crate::ffi;

/// What the device says about the transport checksum of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RxChecksum {
    /// The device has not looked.
    Unknown,
    /// Verified, and right.
    Good,
    /// Verified, and wrong.
    Bad,
}

/// One owned frame in one segment.
///
/// Holds no reference to its pool: an `Mbuf` may outlive every handle, and keeps the EAL from being cleaned up as long
/// as it lives (see [`crate::Eal::shutdown`]). A leaked one costs a buffer, and the cleanup.
// Invariant: points to an rte_mbuf of one segment (nb_segs 1, next null) with reference count 1 that nobody else uses;
// buf_addr + data_off .. + data_len lies within the buffer of buf_len bytes; pkt_len equals data_len.
#[repr(transparent)]
pub struct Mbuf(NonNull<ffi::rte_mbuf>);

// SAFETY: an mbuf is plain memory with one owner; allocating, using and freeing it may happen on different threads,
// for its pool is multi-producer and the caches are looked up by the freeing thread's own lcore id.
unsafe impl Send for Mbuf {}
// SAFETY: through a shared reference an Mbuf is only read.
unsafe impl Sync for Mbuf {}

impl Mbuf {
    /// Takes ownership.
    ///
    /// # Safety
    /// `raw` keeps the invariant above.
    pub(crate) unsafe fn from_raw(raw: NonNull<ffi::rte_mbuf>) -> Self {
        Mbuf(raw)
    }

    /// For tests that bend the fields.
    #[cfg(test)]
    pub(crate) fn as_ptr(&self) -> *mut ffi::rte_mbuf {
        self.0.as_ptr()
    }

    #[inline]
    fn read<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: private, and called with the offset and the type of a field only (shim.c asserts the widths); the
        // mbuf is valid and ours.
        unsafe { self.0.as_ptr().byte_add(offset).cast::<T>().read() }
    }

    #[inline]
    fn set_len(&mut self, len: u16) {
        // SAFETY: both fields are within the mbuf, with these widths (shim.c), and the mbuf is ours alone. Callers
        // stay within the buffer.
        unsafe {
            self.0.as_ptr().byte_add(ffi::QDR_MBUF_DATA_LEN).cast::<u16>().write(len);
            self.0.as_ptr().byte_add(ffi::QDR_MBUF_PKT_LEN).cast::<u32>().write(u32::from(len));
        }
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        let start: *mut u8 = self.read(ffi::QDR_MBUF_BUF_ADDR);
        let offset: u16 = self.read(ffi::QDR_MBUF_DATA_OFF);
        // SAFETY: data_off is within the buffer, by the type's invariant.
        unsafe { start.add(usize::from(offset)) }
    }

    /// Bytes of the frame.
    #[expect(clippy::len_without_is_empty, reason = "an empty frame is not a case of its own")]
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.read::<u16>(ffi::QDR_MBUF_DATA_LEN))
    }

    /// The frame.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: data_len bytes from data() are within the buffer, which the kernel gave us zeroed (so they are
        // initialized), and nobody writes them while self is borrowed.
        unsafe { std::slice::from_raw_parts(self.data(), self.len()) }
    }

    /// The frame, mutable.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in bytes(); with a reference count of 1, the exclusive borrow of self is one of the memory.
        unsafe { std::slice::from_raw_parts_mut(self.data(), self.len()) }
    }

    /// Shortens the frame to `len` bytes; no effect when it is not longer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.set_len(len as u16);
        }
    }

    /// Bytes that [`Mbuf::extend`] can still append.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let end = usize::from(self.read::<u16>(ffi::QDR_MBUF_DATA_OFF)) + self.len();
        usize::from(self.read::<u16>(ffi::QDR_MBUF_BUF_LEN)).saturating_sub(end)
    }

    /// Appends `n` bytes of unspecified content and returns them; `None` (and no change) without tailroom.
    #[inline]
    pub fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let old = self.len();
        // No truncation: old + n is within a buffer whose length is 16 bits.
        self.set_len((old + n) as u16);
        Some(&mut self.bytes_mut()[old..])
    }

    /// Moves the start of the frame by `by` bytes, to the front (negative) into the headroom or towards its end; its end
    /// stays. False (and no change) when it would leave the buffer or pass the end. Bytes gained are unspecified.
    #[inline]
    pub fn move_start(&mut self, by: isize) -> bool {
        let offset: u16 = self.read(ffi::QDR_MBUF_DATA_OFF);
        let end = usize::from(offset) + self.len();
        let Some(start) = usize::from(offset).checked_add_signed(by).filter(|start| *start <= end) else {
            return false;
        };
        // SAFETY: the field is within the mbuf, with this width (shim.c), and the mbuf is ours alone; start <= end, which is
        // within the buffer. No truncation: end is at most the buffer's length of 16 bits.
        unsafe { self.0.as_ptr().byte_add(ffi::QDR_MBUF_DATA_OFF).cast::<u16>().write(start as u16) };
        self.set_len((end - start) as u16);
        true
    }

    /// What the device has found about the transport checksum on reception. Later changes do not show here.
    #[inline]
    pub fn rx_checksum(&self) -> RxChecksum {
        match self.read::<u64>(ffi::QDR_MBUF_OL_FLAGS) & ffi::QDR_RX_L4_CKSUM_MASK {
            ffi::QDR_RX_L4_CKSUM_GOOD => RxChecksum::Good,
            ffi::QDR_RX_L4_CKSUM_BAD => RxChecksum::Bad,
            _ => RxChecksum::Unknown,
        }
    }

    /// Whether the frame is one segment with one owner. Always, by construction: reception linearizes or drops others.
    pub fn is_single_segment(&self) -> bool {
        self.read::<u16>(ffi::QDR_MBUF_NB_SEGS) == 1 && self.read::<u16>(ffi::QDR_MBUF_REFCNT) == 1
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: we own it and use it no more. Its pool is alive: the EAL is not cleaned up while a buffer is out.
        unsafe { ffi::qdr_mbuf_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mbuf({} bytes)", self.len())
    }
}

/// Lets DPDK append up to `room` mbufs to `list` through a plain C array, and returns how many there are more.
///
/// # Safety
/// `fill` gets a pointer to space for `room` pointers (at most what `list` has left), initializes the first *k* ≤ `room`
/// of them with mbufs that keep [`Mbuf`]'s invariant and that it gives away, and returns *k*. It does not unwind.
pub(crate) unsafe fn append_with<const N: usize>(
    list: &mut ArrayVec<Mbuf, N>,
    room: u16,
    fill: impl FnOnce(*mut *mut ffi::rte_mbuf, u16) -> u16,
) -> usize {
    let old = list.len();
    let room = room.min(u16::try_from(N - old).unwrap_or(u16::MAX));
    // SAFETY: old <= N, so the pointer is within the array or at its end; Mbuf is a transparent pointer to rte_mbuf.
    let spare = unsafe { list.as_mut_ptr().add(old) }.cast::<*mut ffi::rte_mbuf>();
    let count = usize::from(fill(spare, room));
    // SAFETY: the caller has initialized `count` more elements, not more than there was room for.
    unsafe { list.set_len(old + count) };
    count
}
