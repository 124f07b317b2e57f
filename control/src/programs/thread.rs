//! The thread that speaks to programs: a tokio runtime, and the loop that listens to the control core.

use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use dataplane::clock::SystemClock;
use dataplane::worker::mailbox::Receiver;
use rustix::net::SocketType;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::accept::accept;
use super::shared::{Shared, ThreadHalf, Up};
use super::state::{Shares, State};
use super::{Settings, StartError};
use crate::api::{Claim, bind};

/// Messages of the control core handled before the programs have their turn, or as many as one of them may have waiting
/// for it if that is less: who has had no turn since is not one that does not keep up.
const MESSAGES_IN_A_ROW: usize = 256;
/// How often a thread without a socket looks whether the last of its streams has ended.
const LOOK: Duration = Duration::from_secs(1);
/// How soon orders that the control core had no room for are tried again.
const RETRY: Duration = Duration::from_millis(1);

/// The running thread. Dropping it ends it and removes the socket.
#[derive(Debug)]
pub(super) struct Thread {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// It has ended.
    #[cfg(test)]
    pub(super) fn is_over(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(handle) = self.handle.take() {
            // A panic there has been printed there.
            let _ = handle.join();
        }
    }
}

/// Listens at the configured socket, on a new thread.
pub(super) fn start(settings: &Settings, half: ThreadHalf, clock: SystemClock) -> Result<Thread, StartError> {
    let (listener, claim) = bind(&settings.socket, SocketType::SEQPACKET)?;
    let listener = StdListener::from(listener);
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Arc::clone(&half.shared);
    let settings = settings.clone();
    let serve = move || {
        if let Err(error) =
            runtime.block_on(LocalSet::new().run_until(serve(&settings, half, (listener, claim), clock)))
        {
            tracing::error!(%error, "programs are served no longer; the default action applies");
        }
    };
    let handle = std::thread::Builder::new().name("programs".into()).spawn(serve)?;
    Ok(Thread { shared, handle: Some(handle) })
}

async fn serve(
    settings: &Settings,
    half: ThreadHalf,
    (listener, claim): (StdListener, Claim),
    clock: SystemClock,
) -> io::Result<()> {
    let ThreadHalf { shared, up, down, wakes } = half;
    let state = State::new(settings, Arc::clone(&shared), down, clock);
    let shares: Shares = Rc::new(RefCell::new(state));
    let accepting = tokio::task::spawn_local(accept(UnixListener::from_std(listener)?, Rc::clone(&shares)));
    let wakes = UnixStream::from_std(wakes)?;
    let served = attend(&shared, &shares, up, &wakes, Door { accepting, claim }).await;
    // From now on nobody listens.
    shared.ready.store(0, Ordering::Relaxed);
    served
}

/// By which programs come in. Dropped, the socket goes; what waits in front of it is told by its kernel.
struct Door {
    accepting: tokio::task::JoinHandle<()>,
    claim: Claim,
}

impl Door {
    /// Shut before the socket's name is given back: who finds that name free may take it.
    async fn shut(self) {
        self.accepting.abort();
        // It was aborted.
        let _ = self.accepting.await;
        drop(self.claim);
    }
}

/// Does what the control core says until it is over.
async fn attend(
    shared: &Arc<Shared>,
    shares: &Shares,
    mut up: Receiver<Up>,
    wakes: &UnixStream,
    door: Door,
) -> io::Result<()> {
    let mut door = Some(door);
    let in_a_row = MESSAGES_IN_A_ROW.min(shares.borrow().outstanding);
    while !shared.is_over.load(Ordering::SeqCst) {
        if shared.is_retired.load(Ordering::SeqCst)
            && let Some(door) = door.take()
        {
            door.shut().await;
            shares.borrow_mut().retire();
            tracing::info!("no configuration has this module any more: its programs are let go");
        }
        if door.is_none() && shares.borrow().is_done() {
            break;
        }
        if handle_some(shared, shares, &mut up, in_a_row) > 0 {
            tokio::task::yield_now().await;
            continue;
        }
        shared.falls_asleep();
        if up.is_empty() && shared.thread_bell.is_silent() && !shared.is_over.load(Ordering::SeqCst) {
            let is_flushed = shares.borrow_mut().flush();
            match is_flushed {
                true if door.is_none() => timeout(LOOK, woken(wakes)).await.unwrap_or(Ok(()))?,
                true => woken(wakes).await?,
                // That time is up is as good a reason.
                false => timeout(RETRY, woken(wakes)).await.unwrap_or(Ok(()))?,
            }
        }
        shared.is_awake();
    }
    Ok(())
}

async fn woken(wakes: &UnixStream) -> io::Result<()> {
    wakes.readable().await?;
    match wakes.try_read(&mut [0; 64]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        read => read.map(drop),
    }
}

fn handle_some(shared: &Shared, shares: &Shares, up: &mut Receiver<Up>, in_a_row: usize) -> usize {
    let mut handled = 0;
    while handled < in_a_row
        && let Some(message) = up.try_receive()
    {
        handled += 1;
        let mut state = shares.borrow_mut();
        match message {
            Up::Offer(offer, held_since) => state.offer(offer, held_since),
            Up::Gone(ticket, away) => state.gone(ticket, away),
            Up::Accepted(pipe) => state.begin_stream(shares, &pipe),
        }
    }
    while handled < in_a_row
        && let Some(pipe) = shared.thread_bell.answer()
    {
        handled += 1;
        shares.borrow_mut().stirred(&pipe);
    }
    handled
}
