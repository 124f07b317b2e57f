//! Lets programs in.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::program;
use super::seqpacket::Socket;
use super::state::{MOST_PROGRAMS, Shares};

/// Between attempts while the process is out of file descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts programs for ever.
pub(super) async fn accept(listener: UnixListener, shares: Shares) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => admit(&shares, socket),
            Err(error) => {
                tracing::warn!(%error, "cannot let a program in");
                sleep(RETRY).await;
            }
        }
    }
}

fn admit(shares: &Shares, socket: UnixStream) {
    let pid = socket.peer_cred().ok().and_then(|peer| peer.pid()).unwrap_or_default();
    let socket = Socket::new(socket);
    let Some((serial, has_backlog)) = shares.borrow_mut().admit() else {
        return tracing::warn!(pid, "a program is turned away: {MOST_PROGRAMS} are connected already");
    };
    tracing::info!(pid, "a program listens");
    let shares = Rc::clone(shares);
    tokio::task::spawn_local(async move {
        let leaves = tokio::select! {
            leaves = program::listen(&shares, serial, &socket) => leaves,
            leaves = program::tell(&shares, serial, &socket, has_backlog) => leaves,
        };
        let mut state = shares.borrow_mut();
        if leaves.is_orderly() {
            tracing::info!(pid, "a program has gone");
        } else {
            state.shared.note_expelled();
            tracing::warn!(pid, "a program's connection is ended: {leaves}");
        }
        state.dismiss(serial);
    });
}
