//! The environment abstraction layer: DPDK's process-wide state, started once and guarded.
//!
//! The thread that starts it becomes lcore 0, on the memory node of `main_core`. `rte_eal_init` also pins that thread, and every thread that it
//! spawns later would inherit the pinning; [`Eal::start`] therefore restores the affinity that it found. Who wants a
//! thread on a core pins it.

use std::collections::HashSet;
use std::ffi::CString;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use config::{EalConfig, LogLevel, Memory, device_name};

use crate::error::{Errno, Error};
use crate::ffi;

mod config;

/// Set by the first start of this process, successful or not: `rte_eal_init` cannot be repeated.
static STARTED: AtomicBool = AtomicBool::new(false);

/// What the ports and pools of a running EAL share.
#[derive(Default)]
pub(crate) struct Core {
    /// Every pool ever made; freed by nothing but the EAL's cleanup.
    pools: Mutex<Vec<PoolPtr>>,
    /// Ports that have, or had, an owner.
    opened: Mutex<HashSet<u16>>,
}

/// A pool that lives until the EAL is cleaned up.
#[derive(Clone, Copy)]
pub(crate) struct PoolPtr(pub(crate) NonNull<ffi::rte_mempool>);

// SAFETY: the pool is in the EAL's memory and stays there until cleanup; DPDK's pools made by rte_pktmbuf_pool_create
// are multi-producer and multi-consumer, their caches are per lcore, and no two threads share an lcore id.
unsafe impl Send for PoolPtr {}
// SAFETY: as above; nothing that takes the pool by shared reference is bound to one thread.
unsafe impl Sync for PoolPtr {}

impl Core {
    pub(crate) fn add_pool(&self, pool: PoolPtr) {
        lock(&self.pools).push(pool);
    }

    /// Claims a port for one owner; `false` when somebody was quicker.
    pub(crate) fn claim_port(&self, port: u16) -> bool {
        lock(&self.opened).insert(port)
    }

    /// Gives a port back that was claimed and could not be started.
    pub(crate) fn release_port(&self, port: u16) {
        lock(&self.opened).remove(&port);
    }

    fn buffers_out(&self) -> usize {
        let pools = lock(&self.pools);
        // SAFETY: pools are valid until rte_eal_cleanup, which runs only after this core has lost all other owners.
        pools.iter().map(|pool| unsafe { ffi::rte_mempool_in_use_count(pool.0.as_ptr()) } as usize).sum()
    }
}

/// None of the sections under these locks leaves anything half done, so a poisoned lock is as good as another.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Access to the running EAL for any thread. As long as one lives the EAL is not cleaned up.
#[derive(Clone)]
pub struct EalHandle {
    core: Arc<Core>,
}

impl EalHandle {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

/// The guard of the EAL; stays with the thread that started it. Dropping it is [`Eal::shutdown`] with the error logged.
pub struct Eal {
    handle: EalHandle,
    down: bool,
    /// Not `Send`: the thread is the main lcore, and cleaning up elsewhere would race with this thread's own use of
    /// the pools' caches.
    _thread: PhantomData<*const ()>,
}

impl Eal {
    /// Starts the EAL, then creates the virtual devices one by one.
    ///
    /// # Errors
    /// [`Error::EalConfig`] leaves everything untouched. After any other error this process cannot start the EAL again.
    pub fn start(config: &EalConfig) -> Result<Eal, Error> {
        let arguments = config.arguments()?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(Error::EalStartedBefore);
        }
        init(&arguments)?;
        let eal =
            Eal { handle: EalHandle { core: Arc::new(Core::default()) }, down: false, _thread: PhantomData };
        for vdev in &config.vdevs {
            probe(vdev)?;
        }
        Ok(eal)
    }

    /// A handle that other threads can have.
    pub fn handle(&self) -> EalHandle {
        self.handle.clone()
    }

    /// Cleans up: closes devices and gives the memory back to the system.
    ///
    /// # Errors
    /// [`Error::EalInUse`] when handles or frames are still out; then nothing is touched and the EAL runs (and what is
    /// out stays valid) until the process ends. So drop frames, queues, ports, pools and lcores first, in any order.
    ///
    /// `net_af_xdp` never gives back what is in its fill rings (2048 buffers a queue); with it this error, with a
    /// multiple of that, is the ordinary end.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.clean_up()
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        self.down = true;
        let handles = Arc::strong_count(&self.handle.core) - 1;
        // get_mut also synchronizes with the drops of the other handles.
        let alone = Arc::get_mut(&mut self.handle.core).is_some();
        let buffers = self.handle.core.buffers_out();
        if !alone || buffers > 0 {
            return Err(Error::EalInUse { handles, buffers });
        }
        // SAFETY: this is the only handle, and no weak ones exist: no port, queue, pool or registered lcore is left
        // and none can be made. No buffer is out, so no Mbuf exists that could touch a pool later; one that has just
        // been dropped by an unregistered thread went back through the pool's ring, whose count is moved last. This
        // is the main lcore's thread, so no put through the main lcore's cache is under way either.
        match unsafe { ffi::rte_eal_cleanup() } {
            0 => Ok(()),
            ret => Err(Error::EalCleanup(Errno::from_return(ret))),
        }
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        if self.down {
            return;
        }
        if let Err(error) = self.clean_up() {
            tracing::warn!("{error}");
        }
    }
}

impl Deref for Eal {
    type Target = EalHandle;

    fn deref(&self) -> &EalHandle {
        &self.handle
    }
}

fn init(arguments: &[CString]) -> Result<(), Error> {
    // The EAL keeps pointers into its arguments (and permutes the array), so they are given to it for good.
    let mut argv: Vec<*mut std::ffi::c_char> = arguments.iter().map(|a| a.clone().into_raw()).collect();
    let argc = i32::try_from(argv.len()).expect("a handful of arguments");
    argv.push(std::ptr::null_mut());
    // SAFETY: argv has argc terminated strings and a null after them, all leaked; STARTED makes this the only call.
    let ret = unsafe { ffi::qdr_eal_init(argc, argv.leak().as_mut_ptr()) };
    if ret >= 0 {
        return Ok(());
    }
    let text: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
    Err(Error::EalStart { arguments: text.join(" "), errno: Errno::last() })
}

/// Creates one virtual device. (Given to rte_eal_init as `--vdev`, a bad one would fail the start without a name.)
fn probe(vdev: &str) -> Result<(), Error> {
    let name = device_name(vdev);
    let arguments = vdev[name.len()..].trim_start_matches(',');
    let text = |s: &str| CString::new(s).map_err(|_| Error::EalConfig(format!("vdev {vdev:?}: a NUL byte")));
    let (name, arguments) = (text(name)?, text(arguments)?);
    // SAFETY: the EAL runs; all three are terminated strings that DPDK copies.
    let ret = unsafe { ffi::rte_eal_hotplug_add(c"vdev".as_ptr(), name.as_ptr(), arguments.as_ptr()) };
    match Errno::from_return(ret) {
        _ if ret == 0 => Ok(()),
        // What parsing the name ends with when no driver wants it.
        errno if errno.code() == ffi::QDR_EFAULT => Err(Error::NoDriver { device: vdev.into() }),
        errno => Err(Error::DeviceProbe { device: vdev.into(), errno }),
    }
}
