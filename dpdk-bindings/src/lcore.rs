//! Threads as lcores: what gives a thread its own share of every pool's cache.

use std::marker::PhantomData;

use crate::eal::EalHandle;
use crate::error::{Errno, Error};
use crate::ffi;

/// The registration of one thread; ends when dropped, on the same thread.
pub struct Registration {
    id: u32,
    _eal: EalHandle,
    /// Not `Send`: the registration is in this thread's local storage.
    _thread: PhantomData<*const ()>,
}

/// Registers the calling thread, which is not the one that started the EAL, as an lcore.
///
/// Without, a thread may do everything too, but its allocations and frees go to the pool's shared ring. Objects in the
/// thread's cache when it unregisters stay there for the next thread with this id; they count as available.
pub fn register(eal: &EalHandle) -> Result<Registration, Error> {
    if let Some(id) = current() {
        return Err(Error::LcoreRegistered(id));
    }
    // SAFETY: the handle says that the EAL runs, and this thread is not an lcore yet.
    if unsafe { ffi::rte_thread_register() } != 0 {
        return Err(Error::Lcore(Errno::last()));
    }
    let id = current().expect("a registered thread has an lcore id");
    Ok(Registration { id, _eal: eal.clone(), _thread: PhantomData })
}

/// The calling thread's lcore id, if it is an lcore.
pub fn current() -> Option<u32> {
    // SAFETY: reads a thread-local integer; needs nothing from the EAL.
    let id = unsafe { ffi::qdr_lcore_id() };
    (id != ffi::QDR_LCORE_ANY).then_some(id)
}

impl Registration {
    /// The lcore id, below `RTE_MAX_LCORE`; not a CPU number.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: this is the thread that registered (the type is not Send), and the EAL runs as long as the handle.
        unsafe { ffi::rte_thread_unregister() }
    }
}
