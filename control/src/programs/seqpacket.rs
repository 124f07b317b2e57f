//! Datagrams over a connected Unix socket, without blocking the thread. Nothing in tokio speaks `SOCK_SEQPACKET`; but of a
//! stream's descriptor it only wants to know when it is ready, and that it finds out of any socket.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// One message to a program, with the descriptor that goes along.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Box<[u8]>,
    pub(super) descriptor: Option<OwnedFd>,
}

/// A program's end of the conversation.
#[derive(Debug)]
pub(super) struct Socket(UnixStream);

impl Socket {
    /// Over a connected socket that does not block.
    pub(super) fn new(socket: UnixStream) -> Self {
        Socket(socket)
    }

    /// Waits for a datagram; 0 bytes are the end. The length of one that is longer than `bytes` is its own.
    pub(super) async fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let receive = || {
            let (_, whole) = recv(&self.0, &mut *bytes, RecvFlags::TRUNC)?;
            Ok(whole)
        };
        self.0.async_io(Interest::READABLE, receive).await
    }

    /// Waits until a message is in the program's queue.
    pub(super) async fn send(&self, message: &Outgoing) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, || send_one(&self.0, message)).await
    }
}

fn send_one(socket: &UnixStream, message: &Outgoing) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = message.descriptor.as_ref().map(|descriptor| [descriptor.as_fd()]);
    if let Some(descriptors) = &descriptors
        && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
    {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(&message.bytes)], &mut ancillary, flags)?;
    Ok(())
}
