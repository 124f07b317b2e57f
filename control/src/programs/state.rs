//! What the thread knows: programs, the partial connections that they were offered, accepted connections.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dataplane::clock::{Clock, Instant, SystemClock};
use dataplane::worker::mailbox::Sender;
use quadrille_listener::wire::{Accepted, Action, Gone, Hello, Offer, action, kind};
use tokio::sync::Notify;
use zerocopy::IntoBytes;

use super::Settings;
use super::pipe::{End, Pipe};
use super::seqpacket::Outgoing;
use super::shared::{Away, Down, Order, Shared};
use super::stream::{self, Stream};
use super::words;
use crate::module::Ticket;

/// Programs connected at once.
pub(super) const MOST_PROGRAMS: usize = 16;

/// A program, as the rest of the thread sees it.
#[derive(Debug)]
pub(super) struct Program {
    /// Counted up: a name that is not used again.
    pub(super) serial: u64,
    /// Has said its hello.
    pub(super) is_greeted: bool,
    /// What it has not been sent yet. Bounded: it is offered nothing while as many wait as may be undecided, and each
    /// partial connection has an answer and an end at most.
    pub(super) backlog: VecDeque<Outgoing>,
    /// Something was put there.
    pub(super) has_backlog: Rc<Notify>,
    /// What it may speak about.
    pub(super) tickets: HashSet<Ticket>,
}

/// All of it. One thread has it, in turns: nobody holds it while waiting.
pub(super) struct State {
    pub(super) programs: Vec<Program>,
    pub(super) shared: Arc<Shared>,
    pub(super) hello: Hello,
    pub(super) is_retired: bool,
    pub(super) outstanding: usize,
    owners: HashMap<Ticket, u64>,
    /// Flows that programs have accepted, by the program's serial; their clients' handshakes are under way.
    accepting: HashMap<Ticket, u64>,
    streams: HashMap<Ticket, Rc<Stream>>,
    down: Sender<Down>,
    /// What did not fit into the mailbox. Bounded by what programs have been offered.
    waiting: VecDeque<Down>,
    serials: u64,
    buffer: stream::Buffer,
    /// Whose turn it is.
    turn: usize,
    clock: SystemClock,
}

/// As the tasks share it.
pub(super) type Shares = Rc<RefCell<State>>;

impl State {
    pub(super) fn new(
        settings: &Settings,
        shared: Arc<Shared>,
        down: Sender<Down>,
        clock: SystemClock,
    ) -> State {
        State {
            programs: Vec::new(),
            shared,
            is_retired: false,
            hello: words::hello(settings.outstanding, settings.deadline),
            outstanding: settings.outstanding,
            owners: HashMap::new(),
            accepting: HashMap::new(),
            streams: HashMap::new(),
            down,
            waiting: VecDeque::new(),
            serials: 0,
            buffer: stream::buffer(),
            turn: 0,
            clock,
        }
    }

    /// A program has connected; `None` when there are too many.
    pub(super) fn admit(&mut self) -> Option<(u64, Rc<Notify>)> {
        if self.programs.len() >= MOST_PROGRAMS {
            return None;
        }
        self.serials += 1;
        let has_backlog = Rc::new(Notify::new());
        self.programs.push(Program {
            serial: self.serials,
            is_greeted: false,
            backlog: VecDeque::new(),
            has_backlog: Rc::clone(&has_backlog),
            tickets: HashSet::new(),
        });
        Some((self.serials, has_backlog))
    }

    /// Programs are wanted no longer: nothing more is offered, and each is let go when it has been sent what waits for it.
    pub(super) fn retire(&mut self) {
        self.is_retired = true;
        self.programs.iter().for_each(|program| program.has_backlog.notify_one());
        self.publish();
    }

    /// Programs are wanted no longer, none is left, and neither is anything that one of them has begun.
    pub(super) fn is_done(&self) -> bool {
        self.is_retired
            && self.programs.is_empty()
            && self.accepting.is_empty()
            // Also no pipe that the control core still rings about, here or there.
            && self.shared.alive.load(Ordering::Relaxed) == 0
            && self.waiting.is_empty()
    }

    /// A program is gone: nobody will decide about what it was offered. Its streams go on.
    pub(super) fn dismiss(&mut self, serial: u64) {
        let Some(place) = self.programs.iter().position(|program| program.serial == serial) else { return };
        let program = self.programs.swap_remove(place);
        for ticket in program.tickets {
            self.owners.remove(&ticket);
            self.tell_core(Down { ticket, order: Order::Abandoned });
        }
        self.publish();
    }

    pub(super) fn program(&mut self, serial: u64) -> Option<&mut Program> {
        self.programs.iter_mut().find(|program| program.serial == serial)
    }

    /// How many programs would take an offer.
    pub(super) fn publish(&mut self) {
        let ready = match self.is_retired {
            true => 0,
            false => self.programs.iter().filter(|program| program.is_ready(self.outstanding)).count(),
        };
        self.shared.ready.store(ready, Ordering::Relaxed);
    }

    fn tell_core(&mut self, down: Down) {
        self.waiting.push_back(down);
        self.flush();
    }

    /// Moves what waits for the control core. True when nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(down) = self.waiting.pop_front() {
            if let Err(down) = self.down.try_send(down) {
                self.waiting.push_front(down);
                return false;
            }
        }
        true
    }

    fn say(&mut self, serial: u64, message: &(impl IntoBytes + zerocopy::Immutable)) {
        if let Some(program) = self.program(serial) {
            program.say(Outgoing { bytes: message.as_bytes().into(), descriptor: None });
        }
        self.publish();
    }

    /// A partial connection, or the answer to one, goes to a program.
    pub(super) fn offer(&mut self, mut offer: Box<Offer>, held_since: Instant) {
        let age = self.clock.now().since(held_since).as_micros();
        offer.age_us = u32::try_from(age).unwrap_or(u32::MAX);
        let ticket = Ticket(offer.id);
        let serial = match offer.kind {
            kind::ANSWER => self.owners.get(&ticket).copied(),
            _ => self.next_program(),
        };
        let Some(serial) = serial else {
            return self.tell_core(Down { ticket, order: Order::Abandoned });
        };
        self.owners.insert(ticket, serial);
        if let Some(program) = self.program(serial) {
            program.tickets.insert(ticket);
        }
        self.say(serial, &*offer);
    }

    /// In turns, among those that keep up.
    fn next_program(&mut self) -> Option<u64> {
        let count = if self.is_retired { 0 } else { self.programs.len() };
        let place = (1..=count)
            .map(|step| (self.turn + step) % count)
            .find(|place| self.programs[*place].is_ready(self.outstanding))?;
        self.turn = place;
        Some(self.programs[place].serial)
    }

    fn disown(&mut self, ticket: Ticket) -> Option<u64> {
        let serial = self.owners.remove(&ticket)?;
        if let Some(program) = self.program(serial) {
            program.tickets.remove(&ticket);
        }
        Some(serial)
    }

    /// A partial connection needs no decision any more.
    pub(super) fn gone(&mut self, ticket: Ticket, away: Away) {
        if let Some(serial) = self.disown(ticket).or_else(|| self.accepting.remove(&ticket)) {
            self.say(serial, &Gone { id: ticket.0, why: words::why(away), ..Gone::new() });
        }
    }

    /// An order of a program, about something that it was offered; others have gone meanwhile.
    pub(super) fn ordered(&mut self, serial: u64, order: Action) {
        let ticket = Ticket(order.id);
        if self.owners.get(&ticket) != Some(&serial) {
            return;
        }
        if order.action == action::ACCEPT {
            self.disown(ticket);
            self.accepting.insert(ticket, serial);
        } else if order.consult_ms == 0 {
            self.disown(ticket);
        }
        self.tell_core(Down { ticket, order: Order::Action(order) });
    }

    /// Something has happened in a pipe. One whose stream has still to begin is looked at then.
    pub(super) fn stirred(&mut self, pipe: &Arc<Pipe>) {
        if let Some(stream) = self.streams.get(&pipe.ticket) {
            stream.wake();
        }
    }

    /// The client of an accepted flow has completed its handshake.
    pub(super) fn begin_stream(&mut self, shares: &Shares, pipe: &Arc<Pipe>) {
        let id = pipe.ticket.0;
        let serial = self.accepting.remove(&pipe.ticket).unwrap_or_default();
        if self.program(serial).is_none() {
            return self.refuse_stream(pipe);
        }
        match Stream::begin(shares, &self.shared, pipe, &self.buffer) {
            Ok((stream, descriptor)) => {
                let bytes = Accepted { id, ..Accepted::new() }.as_bytes().into();
                if let Some(program) = self.program(serial) {
                    program.say(Outgoing { bytes, descriptor: Some(descriptor) });
                }
                self.streams.insert(pipe.ticket, stream);
            }
            Err(error) => {
                tracing::warn!(%error, "an accepted connection is reset: it gets no socket");
                self.say(serial, &Gone { id, why: words::why(Away::Refused), ..Gone::new() });
                self.refuse_stream(pipe);
            }
        }
    }

    /// Nobody reads or writes it.
    fn refuse_stream(&mut self, pipe: &Arc<Pipe>) {
        pipe.to_client.set_end(End::Reset);
        self.shared.core_bell.ring(pipe);
    }

    /// A stream's tasks have ended.
    pub(super) fn stream_over(&mut self, ticket: Ticket) {
        self.streams.remove(&ticket);
    }
}

impl Program {
    fn is_ready(&self, outstanding: usize) -> bool {
        self.is_greeted && self.backlog.len() <= outstanding
    }

    pub(super) fn say(&mut self, message: Outgoing) {
        self.backlog.push_back(message);
        self.has_backlog.notify_one();
    }
}
