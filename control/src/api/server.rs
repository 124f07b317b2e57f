//! The management thread: accepts, reads one line, asks the backend, writes one line.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::core::handover::HandOver;

use super::bind::{Claim, Server};
use super::{Backend, BackendError, FlowName, MAX_CONNECTIONS, MAX_FLOWS, MAX_REQUEST, Request, Response};

/// A client that says nothing, or does not read its answer, for so long is left.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between attempts while the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Questions under way at once; the others wait.
const BACKEND_THREADS: usize = 2;

/// A server that answers. Dropping it stops the thread and removes the socket.
#[derive(Debug)]
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _claim: Claim,
}

impl Server {
    /// Answers from `backend` on a new thread named `management`.
    ///
    /// The thread and its helpers inherit the caller's affinity: call this before the caller is pinned.
    pub fn spawn<B: Backend>(self, backend: Arc<B>) -> io::Result<Running> {
        let Server { listener, claim } = self;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BACKEND_THREADS)
            .thread_name("management-ask")
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("management".into()).spawn(move || {
            if let Err(error) = serve(&runtime, listener, backend, stopped) {
                tracing::error!(%error, "the management interface has stopped");
            }
            // A question that hangs must not keep the process from ending.
            runtime.shutdown_background();
        })?;
        Ok(Running { stop: Some(stop), thread: Some(thread), _claim: claim })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed there.
            let _ = thread.join();
        }
    }
}

fn serve<B: Backend>(
    runtime: &Runtime,
    listener: std::os::unix::net::UnixListener,
    backend: Arc<B>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener)?;
        tokio::spawn(accept(listener, backend));
        // Ends when the sender is dropped; tasks end with the runtime.
        let _ = stopped.await;
        Ok(())
    })
}

async fn accept<B: Backend>(listener: UnixListener, backend: Arc<B>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a management connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            refuse(stream);
            continue;
        };
        let backend = backend.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, backend).await {
                tracing::debug!(%error, "a management connection has ended");
            }
            drop(slot);
        });
    }
}

/// Tried once, without waiting: who floods the socket is not owed more.
fn refuse(stream: UnixStream) {
    let line =
        error_line(format!("{MAX_CONNECTIONS} management connections are open already; try again later"));
    // Through the plain, non-blocking socket: tokio knows nothing of a new socket's readiness before its next poll.
    let _ = stream.into_std().and_then(|mut stream| stream.write(&line));
}

async fn converse<B: Backend>(stream: UnixStream, backend: Arc<B>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut read).take(MAX_REQUEST as u64);
        timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        let oversized = line.len() == MAX_REQUEST && line.last() != Some(&b'\n');
        let response = if oversized {
            error_line(format!("a request has at most {MAX_REQUEST} bytes, newline included"))
        } else {
            answer(&line, backend.clone()).await
        };
        timeout(PATIENCE, write.write_all(&response)).await??;
        if oversized {
            // Where the next request begins is unknown.
            return Ok(());
        }
    }
}

async fn answer<B: Backend>(line: &[u8], backend: Arc<B>) -> Vec<u8> {
    let request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => return error_line(format!("not a request: {error}")),
    };
    let asked = tokio::task::spawn_blocking(move || match request {
        Request::Status {} => to_line(backend.status()),
        Request::Flows { limit } => to_line(backend.flows(limit.unwrap_or(MAX_FLOWS).min(MAX_FLOWS))),
        Request::Stats {} => to_line(backend.stats()),
        Request::Rules {} => to_line(backend.rules()),
        Request::Reload {} => to_line(backend.reload()),
        Request::Events { limit } => to_line(backend.events(limit.unwrap_or(usize::MAX))),
        Request::Merging { on } => to_line(backend.set_merging(on)),
        Request::Split { client, server, vlans, pair, module } => {
            let flow = FlowName { client, server, vlans, pair };
            to_line(backend.hand_over(HandOver::Split, module.as_deref(), &flow))
        }
        Request::Merge { client, server, vlans, pair } => {
            let flow = FlowName { client, server, vlans, pair };
            to_line(backend.hand_over(HandOver::Merge, None, &flow))
        }
    });
    asked.await.unwrap_or_else(|error| error_line(format!("the question was not answered: {error}")))
}

fn to_line<T: Serialize>(result: Result<T, BackendError>) -> Vec<u8> {
    let response = match result {
        Ok(value) => Response::Ok(value),
        Err(BackendError(error)) => return error_line(error),
    };
    let mut line = match serde_json::to_vec(&response) {
        Ok(line) => line,
        Err(error) => return error_line(format!("the answer cannot be written as JSON: {error}")),
    };
    line.push(b'\n');
    line
}

fn error_line(error: String) -> Vec<u8> {
    let mut line = serde_json::json!({ "error": error }).to_string().into_bytes();
    line.push(b'\n');
    line
}
