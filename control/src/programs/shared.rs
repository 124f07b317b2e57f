//! What the two halves share: mailboxes, bells, and the way to wake the thread.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crossbeam::queue::SegQueue;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use quadrille_listener::wire;
use rustix::net::{SendFlags, send};

use super::Settings;
use super::pipe::{Bell, Pipe, Side};
use crate::module::{Gone, Ticket};

/// From the control core to the thread.
#[derive(Debug)]
pub(super) enum Up {
    /// A partial connection that is held since then, or the server's answer to one.
    Offer(Box<wire::Offer>, Instant),
    /// Nothing more is expected.
    Gone(Ticket, Away),
    /// The client of a flow that a program has accepted has completed its handshake.
    Accepted(Arc<Pipe>),
}

/// Why nothing more is expected of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// As the control core says.
    Gone(Gone),
    /// It cannot be accepted.
    Refused,
}

/// From the thread to the control core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Down {
    pub(super) ticket: Ticket,
    pub(super) order: Order,
}

/// What a program, or the lack of one, has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// A program has spoken.
    Action(wire::Action),
    /// The program is gone.
    Abandoned,
}

/// Seen by both halves.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) thread_bell: Bell,
    pub(super) core_bell: Bell,
    /// Programs that would take an offer now.
    pub(super) ready: AtomicUsize,
    /// Accepted connections whose pipe somebody has.
    pub(super) alive: Arc<AtomicUsize>,
    /// What endpoints have to say to the thread: the control core's own, which sends it on in every round. One message for
    /// each accepted flow, at most.
    pub(super) from_endpoints: SegQueue<Up>,
    /// Flows that were established when there were as many streams as there may be.
    streams_full: AtomicU64,
    /// Programs whose connection was ended for what they sent.
    expelled: AtomicU64,
    /// The thread is about to sleep, or sleeps.
    is_asleep: AtomicBool,
    /// The thread is to end.
    pub(super) is_over: AtomicBool,
    /// The thread is to let go of its socket and of programs.
    pub(super) is_retired: AtomicBool,
    /// A byte in here wakes the thread. Neither end blocks.
    waker: UnixStream,
}

impl Shared {
    /// After something was pushed: wakes the thread if it sleeps. A system call then, and only then.
    pub(super) fn wake(&self) {
        // What was pushed is seen before the flag is, or the thread has seen it (the other half is in `falls_asleep`).
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::SeqCst) {
            self.knock();
        }
    }

    /// The thread is to end, as soon as may be.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.knock();
    }

    /// Programs are wanted no longer.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
        self.knock();
    }

    fn knock(&self) {
        // It fails when the thread is gone, or has not heard so many knocks yet that one more makes no difference.
        let _ = send(&self.waker, &[1], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// The thread says that it is going to sleep; it has to look again before it does.
    pub(super) fn falls_asleep(&self) {
        self.is_asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The thread has found something to do after all.
    pub(super) fn is_awake(&self) {
        self.is_asleep.store(false, Ordering::SeqCst);
    }

    /// A program was sent away.
    pub(super) fn note_expelled(&self) {
        self.expelled.fetch_add(1, Ordering::Relaxed);
    }

    /// There was no room for another stream.
    pub(super) fn note_streams_full(&self) {
        self.streams_full.fetch_add(1, Ordering::Relaxed);
    }

    /// What the thread, and endpoints, have counted since this was asked last.
    pub(super) fn counted(&self, count: &mut dyn FnMut(Counter, u64)) {
        count(Counter::ProgramsExpelled, self.expelled.swap(0, Ordering::Relaxed));
        count(Counter::ProgramsStreamsFull, self.streams_full.swap(0, Ordering::Relaxed));
    }
}

/// The control core's half.
pub(super) struct CoreHalf {
    pub(super) shared: Arc<Shared>,
    pub(super) up: Sender<Up>,
    pub(super) down: Receiver<Down>,
}

/// The thread's half.
pub(super) struct ThreadHalf {
    pub(super) shared: Arc<Shared>,
    pub(super) up: Receiver<Up>,
    pub(super) down: Sender<Down>,
    /// Readable when the thread is to wake up.
    pub(super) wakes: UnixStream,
}

/// Both, with room for what `settings` allow.
pub(super) fn halves(settings: &Settings) -> io::Result<(CoreHalf, ThreadHalf)> {
    let (up, up_receiver) = mailbox(2 * settings.outstanding + settings.streams);
    let (down_sender, down) = mailbox(settings.outstanding);
    let (waker, wakes) = UnixStream::pair()?;
    wakes.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        thread_bell: Bell::new(Side::Thread, settings.streams),
        core_bell: Bell::new(Side::Core, settings.streams),
        ready: AtomicUsize::new(0),
        alive: Arc::default(),
        from_endpoints: SegQueue::new(),
        streams_full: AtomicU64::new(0),
        expelled: AtomicU64::new(0),
        is_asleep: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        is_retired: AtomicBool::new(false),
        waker,
    });
    let core = CoreHalf { shared: Arc::clone(&shared), up, down };
    Ok((core, ThreadHalf { shared, up: up_receiver, down: down_sender, wakes }))
}
