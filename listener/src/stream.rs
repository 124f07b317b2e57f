//! The byte stream of an accepted connection.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A connection to the client, whose handshake is complete.
///
/// It is used like a TCP socket: reading and writing block (or do not, as set), reading too slowly closes the client's
/// window, [`Stream::shutdown`] sends FIN, a read of 0 bytes is the client's. Dropped with unread input, or when the
/// client sends on afterwards, the client gets RST, as from a kernel.
///
/// A client that resets ends both directions: writing fails with `BrokenPipe`; reading gives what had come before, then
/// `ConnectionReset` if bytes that were written had not gone out yet, else the end of the stream. It outlives its
/// [`crate::Listener`].
#[derive(Debug)]
pub struct Stream {
    id: u64,
    socket: UnixStream,
}

impl Stream {
    pub(crate) fn new(id: u64, socket: OwnedFd) -> Self {
        Stream { id, socket: socket.into() }
    }

    /// Name of the partial connection that it was.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Ends one or both directions.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The socket, for a library that wants one.
    pub fn into_socket(self) -> UnixStream {
        self.socket
    }
}

impl Deref for Stream {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        &self.socket
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
