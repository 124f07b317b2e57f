//! The connection to the appliance, and what comes through it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recvmsg, send, socket_with,
};
use zerocopy::IntoBytes;

use crate::partial::{Answered, Partial};
use crate::stream::Stream;
use crate::wire::{FromAppliance, Hello, Invalid, MAGIC, MAX_MESSAGE, VERSION, gone};

/// Why a partial connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The client has given up, or has never completed the handshake of an accepted connection.
    Client,
    /// The client has begun another connection on the same quad.
    Renewed,
    /// The time was up: the appliance's configured default has been applied.
    Overdue,
    /// It had to make room for others.
    Displaced,
    /// It is settled.
    Settled,
    /// It cannot be accepted: too many streams are open.
    Refused,
    /// A reason that this version does not know.
    Other(u8),
}

impl Why {
    fn read(why: u8) -> Why {
        match why {
            gone::CLIENT => Why::Client,
            gone::RENEWED => Why::Renewed,
            gone::OVERDUE => Why::Overdue,
            gone::DISPLACED => Why::Displaced,
            gone::SETTLED => Why::Settled,
            gone::REFUSED => Why::Refused,
            other => Why::Other(other),
        }
    }
}

/// A partial connection needs no order any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLonger {
    /// Which one.
    pub id: u64,
    /// Why.
    pub why: Why,
}

/// What a listener is told.
#[derive(Debug)]
pub enum Event {
    /// A connection waits for an order.
    Partial(Partial),
    /// The server of a consulted one has answered; an order is awaited again.
    Answered(Answered),
    /// An accepted connection is complete.
    Stream(Stream),
    /// One that was offered needs no order any more.
    Gone(NoLonger),
}

/// A delayed listener. Several, in one program or more, may be open at one socket: each offer goes to one of them.
///
/// When it is dropped (or its process dies), the appliance applies its default to what was not ordered; streams go on.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<OwnedFd>,
    hello: Hello,
    waiting: VecDeque<Event>,
}

impl Listener {
    /// Connects to the socket of a module of kind "program".
    ///
    /// # Errors
    /// Those of `connect(2)`, first of all `NotFound`, `ConnectionRefused` (no appliance) and `PermissionDenied`;
    /// `InvalidData` when the other side speaks another version; `UnexpectedEof` when it turns the program away, and its
    /// log says why.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Listener> {
        let address = SocketAddrUnix::new(path.as_ref())?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &address)?;
        Self::greet(socket)
    }

    /// The same over a socket that is connected already.
    pub(crate) fn greet(socket: OwnedFd) -> io::Result<Listener> {
        let hello = Hello { magic: MAGIC, version: VERSION, ..Hello::new() };
        send(&socket, hello.as_bytes(), SendFlags::NOSIGNAL)?;
        match receive(socket.as_fd())? {
            (FromAppliance::Hello(hello), None) => {
                Ok(Listener { socket: Arc::new(socket), hello, waiting: VecDeque::new() })
            }
            _ => Err(invalid("the appliance does not begin with a hello")),
        }
    }

    /// How long the appliance waits for an order before it applies its default.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.hello.deadline_ms.into())
    }

    /// Offers that may be unanswered at once; those beyond get the default.
    pub fn outstanding(&self) -> u32 {
        self.hello.outstanding
    }

    /// Waits for the next partial connection. What else comes meanwhile is kept for [`Listener::next`]; who accepts or
    /// consults has to call that.
    ///
    /// # Errors
    /// As [`Listener::next`].
    pub fn accept(&mut self) -> io::Result<Partial> {
        if let Some(place) = self.waiting.iter().position(|event| matches!(event, Event::Partial(_)))
            && let Some(Event::Partial(partial)) = self.waiting.remove(place)
        {
            return Ok(partial);
        }
        loop {
            match self.receive()? {
                Event::Partial(partial) => return Ok(partial),
                Event::Gone(_) => {}
                other => self.waiting.push_back(other),
            }
        }
    }

    /// Waits for the next event, or fails with `WouldBlock` when the descriptor does not block.
    ///
    /// # Errors
    /// `UnexpectedEof` when the appliance has gone or has closed the connection (its log says why); `InvalidData` when it
    /// sends what this version does not understand.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide the errors that end it")]
    pub fn next(&mut self) -> io::Result<Event> {
        match self.waiting.pop_front() {
            Some(event) => Ok(event),
            None => self.receive(),
        }
    }

    /// Whether [`Listener::next`] would return at once although nothing can be read from the descriptor.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether [`Listener::next`] waits, and orders wait for an appliance that has much to do ([`crate::Unsent`]).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&*self.socket, nonblocking)?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<Event> {
        let partial = |offer| Partial::new(Arc::clone(&self.socket), offer);
        Ok(match receive(self.socket.as_fd())? {
            (FromAppliance::Offer(offer), None) => Event::Partial(partial(offer)),
            (FromAppliance::Answer(offer), None) => {
                let answered = Answered::new(partial(offer));
                Event::Answered(answered.ok_or_else(|| invalid("an answer without outcome"))?)
            }
            (FromAppliance::Accepted(accepted), Some(stream)) => {
                Event::Stream(Stream::new(accepted.id, stream))
            }
            (FromAppliance::Gone(gone), None) => {
                Event::Gone(NoLonger { id: gone.id, why: Why::read(gone.why) })
            }
            _ => return Err(invalid("a message out of place")),
        })
    }
}

impl AsFd for Listener {
    /// To be polled for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// One datagram, and the descriptor that came with it.
fn receive(socket: BorrowedFd<'_>) -> io::Result<(FromAppliance, Option<OwnedFd>)> {
    let mut bytes = [0; MAX_MESSAGE + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut stream = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            stream = stream.or(descriptors.last());
        }
    }
    if received.bytes == 0 {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the appliance has closed the connection"));
    }
    let message = FromAppliance::read(&bytes[..received.bytes]).map_err(|error: Invalid| invalid(error))?;
    Ok((message, stream))
}
