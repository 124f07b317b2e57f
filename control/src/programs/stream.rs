//! One accepted connection: bytes between its pipe and a pair of stream sockets, of which the program has one.
//!
//! What the program does to its socket is what a server does to TCP's: `shutdown` for writing is a FIN; closed with
//! unread input, or sent more afterwards, it is a RST. The client's FIN is the end of its input; a client's RST closes both
//! directions once what came before has been written.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::pipe::{End, Pipe};
use super::shared::Shared;
use super::state::Shares;

/// Bytes read from a program at once, at most.
const READ: usize = 64 * 1024;
/// Chunks written to a program at once, at most.
const CHUNKS: usize = 64;

/// What the tasks of one stream share.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: Arc<Pipe>,
    shared: Arc<Shared>,
    /// Something has happened in the pipe, for each direction's task.
    inward: Notify,
    outward: Notify,
    /// The program writes no more.
    is_closed: Cell<bool>,
    /// What is read from a program passes through here; one for all streams.
    buffer: Buffer,
}

/// Room for [`READ`] bytes. Nobody has it across a wait.
pub(super) type Buffer = Rc<RefCell<Box<[u8]>>>;

/// A new one.
pub(super) fn buffer() -> Buffer {
    Rc::new(RefCell::new(vec![0; READ].into_boxed_slice()))
}

impl Stream {
    /// Makes the sockets and starts the tasks; the program's socket comes back.
    pub(super) fn begin(
        shares: &Shares,
        shared: &Arc<Shared>,
        pipe: &Arc<Pipe>,
        buffer: &Buffer,
    ) -> io::Result<(Rc<Stream>, OwnedFd)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = UnixStream::from_std(ours)?;
        let stream = Rc::new(Stream {
            pipe: Arc::clone(pipe),
            shared: Arc::clone(shared),
            inward: Notify::new(),
            outward: Notify::new(),
            is_closed: Cell::new(false),
            buffer: Rc::clone(buffer),
        });
        let socket = Rc::new(socket);
        let outward = tokio::task::spawn_local({
            let (stream, socket) = (Rc::clone(&stream), Rc::clone(&socket));
            async move { stream.carry_outward(&socket).await }
        });
        let (running, shares) = (Rc::clone(&stream), Rc::clone(shares));
        tokio::task::spawn_local(async move {
            running.carry_inward(&socket).await;
            // Fails when that task has panicked, which has been printed.
            let _ = outward.await;
            shares.borrow_mut().stream_over(running.pipe.ticket);
        });
        Ok((stream, theirs.into()))
    }

    /// Something has happened in the pipe.
    pub(super) fn wake(&self) {
        self.inward.notify_one();
        self.outward.notify_one();
    }

    fn ring(&self) {
        self.shared.core_bell.ring(&self.pipe);
    }

    fn reset(&self) {
        self.pipe.to_client.set_end(End::Reset);
        self.ring();
    }

    /// The client's bytes to the program.
    async fn carry_inward(&self, socket: &UnixStream) {
        let mut discards = false;
        loop {
            // Before its chunks: what is popped now lies before this end.
            let end = self.pipe.to_program.end();
            let chunks = self.take_chunks();
            if !chunks.is_empty() {
                if discards && self.is_closed.get() {
                    // As a kernel does for a socket that nobody reads any more.
                    return self.reset();
                }
                if !discards && let Err(error) = write_all(socket, &chunks).await {
                    if error.kind() == ErrorKind::ConnectionReset || self.has_closed(socket) {
                        return self.reset();
                    }
                    // It has shut down reading, and may still write.
                    discards = true;
                }
                continue;
            }
            match end {
                End::Open => self.inward.notified().await,
                End::Closed => {
                    // Fails when the program has gone: nothing is owed to it.
                    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
                    return;
                }
                // The task of the other direction ends too, and with it goes our socket.
                End::Reset => return self.outward.notify_one(),
            }
        }
    }

    fn take_chunks(&self) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        let mut was_starved = false;
        while chunks.len() < CHUNKS
            && let Some((chunk, starved)) = self.pipe.to_program.pop()
        {
            was_starved |= starved;
            chunks.push(chunk);
        }
        if was_starved {
            self.ring();
        }
        chunks
    }

    /// Nothing can be written: whether nothing will be read any more, either.
    fn has_closed(&self, socket: &UnixStream) -> bool {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut descriptors = [PollFd::new(socket, PollFlags::empty())];
        let now = rustix::event::Timespec::default();
        poll(&mut descriptors, Some(&now)).is_ok() && descriptors[0].revents().contains(PollFlags::HUP)
    }

    /// The program's bytes to the client.
    async fn carry_outward(&self, socket: &UnixStream) {
        while self.pipe.to_program.end() != End::Reset && self.pipe.to_client.end() == End::Open {
            let room = self.pipe.to_client.room().min(READ);
            if room == 0 {
                self.outward.notified().await;
                continue;
            }
            if !self.is_readable(socket).await {
                continue;
            }
            let mut buffer = self.buffer.borrow_mut();
            match socket.try_read(&mut buffer[..room]) {
                Ok(0) => {
                    self.is_closed.set(true);
                    self.pipe.to_client.set_end(End::Closed);
                    self.ring();
                    self.inward.notify_one();
                }
                Ok(len) => match self.pipe.to_client.push(buffer[..len].to_vec()) {
                    Ok(()) => self.ring(),
                    Err(_) => self.reset(),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.reset(),
            }
        }
    }

    /// Waits until the program has written something, or something has happened in the pipe: then it is false.
    async fn is_readable(&self, socket: &UnixStream) -> bool {
        let readable = std::pin::pin!(socket.readable());
        let stirred = std::pin::pin!(self.outward.notified());
        // That waiting fails is what reading finds out, too.
        matches!(first(readable, stirred).await, First::One(_))
    }
}

/// Which of two futures was ready first.
enum First<T> {
    One(T),
    Other,
}

/// Waits for either of two futures.
async fn first<T>(
    mut one: std::pin::Pin<&mut impl Future<Output = T>>,
    mut other: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> First<T> {
    std::future::poll_fn(|context| {
        use std::task::Poll;
        if let Poll::Ready(output) = one.as_mut().poll(context) {
            return Poll::Ready(First::One(output));
        }
        other.as_mut().poll(context).map(|()| First::Other)
    })
    .await
}

async fn write_all(socket: &UnixStream, chunks: &[Vec<u8>]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        socket.writable().await?;
        match socket.try_write_vectored(rest) {
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
