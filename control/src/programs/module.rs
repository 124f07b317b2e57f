//! The control core's half: offers go up, decisions come down, and bytes of accepted flows go both ways.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::FlowKey;
use dataplane::memory::lasting;
use hashbrown::HashMap;

use super::Settings;
use super::pipe::{End, Pipe};
use super::shared::{Away, CoreHalf, Down, Order, Shared, Up};
use super::thread::Thread;
use super::words;
use crate::module::{
    self, Answer, Decision, Endpoint, Gone, Module, PartialConnection, Proxying, Sending, Session, Ticket,
};

/// A module whose decisions are those of programs.
pub struct Programs {
    settings: Settings,
    core: CoreHalf,
    /// What has not fitted into the mailbox: no more than what programs have been told and not been told the end of, for
    /// while anything waits here nothing new is offered.
    waiting: VecDeque<Up>,
    /// Partial connections that a program has been offered and has still to speak about; and whether their server has been
    /// asked for its sake.
    open: HashMap<Ticket, bool, ahash::RandomState>,
    counts: Vec<(Counter, u64)>,
    /// Something was said to the thread since it was woken last.
    has_spoken: bool,
    _thread: Option<Thread>,
}

impl Programs {
    pub(super) fn new(settings: Settings, core: CoreHalf, thread: Option<Thread>) -> Programs {
        let open =
            HashMap::with_capacity_and_hasher(lasting(settings.outstanding), ahash::RandomState::new());
        Programs {
            settings,
            core,
            waiting: VecDeque::new(),
            open,
            counts: Vec::new(),
            has_spoken: false,
            _thread: thread,
        }
    }

    /// Programs that would take an offer now.
    pub fn ready(&self) -> usize {
        self.core.shared.ready.load(Ordering::Relaxed)
    }

    /// Accepted connections, those that their program has still to finish with among them.
    pub fn streams(&self) -> usize {
        self.core.shared.alive.load(Ordering::Relaxed)
    }

    /// Nobody speaks to programs any more.
    #[cfg(test)]
    pub(super) fn is_over(&self) -> bool {
        self._thread.as_ref().is_none_or(Thread::is_over)
    }

    /// How it is configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn count(&mut self, counter: Counter) {
        match self.counts.iter_mut().find(|(known, _)| *known == counter) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((counter, 1)),
        }
    }

    /// Nobody decides: what the configuration says, under a name.
    fn default_for(&mut self, why: Counter) -> Decision {
        self.count(why);
        self.settings.default
    }

    fn say(&mut self, message: Up) {
        self.has_spoken = true;
        if !self.waiting.is_empty() {
            return self.waiting.push_back(message);
        }
        if let Err(message) = self.core.up.try_send(message) {
            self.waiting.push_back(message);
        }
    }

    fn flush(&mut self) {
        while let Some(message) = self.core.shared.from_endpoints.pop() {
            self.say(message);
        }
        while let Some(message) = self.waiting.pop_front() {
            if let Err(message) = self.core.up.try_send(message) {
                self.waiting.push_front(message);
                break;
            }
        }
        if std::mem::take(&mut self.has_spoken) || !self.core.shared.thread_bell.is_silent() {
            self.core.shared.wake();
        }
    }

    /// What has come down about one of the open ones.
    fn take(&mut self, Down { ticket, order }: Down) -> Option<Decision> {
        // What is not there has gone, and the program has been told so.
        let was_asked = *self.open.get(&ticket)?;
        let Order::Action(action) = order else {
            self.open.remove(&ticket);
            return Some(self.default_for(Counter::ProgramsGone));
        };
        self.count(Counter::ProgramsDecided);
        let mut proxying = self.settings.relay.proxying();
        if was_asked || action.consult_ms > 0 {
            // It is too late for the client's words to choose, or the program does.
            proxying.order = module::Order::ServerFirst;
        }
        let decision = words::decision(&action, proxying);
        match decision {
            Decision::Accept if self.streams() >= self.settings.streams => {
                self.open.remove(&ticket);
                self.say(Up::Gone(ticket, Away::Refused));
                return Some(self.default_for(Counter::ProgramsStreamsFull));
            }
            // More will be said about these.
            Decision::Accept => {}
            Decision::Proxy(proxying) | Decision::ProxyTo(proxying, _) if proxying.consult.is_some() => {
                self.open.insert(ticket, true);
            }
            _ => {
                self.open.remove(&ticket);
            }
        }
        Some(decision)
    }
}

impl Module for Programs {
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision {
        if self.ready() == 0 {
            return self.default_for(Counter::ProgramsAbsent);
        }
        if self.open.len() >= self.settings.outstanding || !self.waiting.is_empty() {
            return self.default_for(Counter::ProgramsBusy);
        }
        let offer = Up::Offer(Box::new(words::offer(partial, None)), partial.at);
        if self.core.up.try_send(offer).is_err() {
            return self.default_for(Counter::ProgramsBusy);
        }
        self.has_spoken = true;
        self.open.insert(partial.ticket, false);
        Decision::Later(self.settings.deadline)
    }

    fn overdue(&mut self, partial: &PartialConnection<'_>) -> Decision {
        if self.open.remove(&partial.ticket).is_some() {
            self.say(Up::Gone(partial.ticket, Away::Gone(Gone::Overdue)));
        }
        self.default_for(Counter::ProgramsLate)
    }

    fn answered(&mut self, partial: &PartialConnection<'_>, answer: &Answer<'_>) -> Decision {
        if !self.open.contains_key(&partial.ticket) {
            return Decision::Proxy(self.settings.relay.proxying());
        }
        let offer = words::offer(partial, Some(answer));
        self.say(Up::Offer(Box::new(offer), partial.at));
        Decision::Later(self.settings.deadline)
    }

    fn decided(&mut self, _now: Instant) -> Option<(Ticket, Decision)> {
        self.flush();
        while let Some(down) = self.core.down.try_receive() {
            if let Some(decision) = self.take(down) {
                return Some((down.ticket, decision));
            }
        }
        None
    }

    fn gone(&mut self, ticket: Ticket, why: Gone) {
        if self.open.remove(&ticket).is_some() {
            self.say(Up::Gone(ticket, Away::Gone(why)));
        }
    }

    fn endpoint(&mut self, ticket: Ticket, _key: &FlowKey) -> Option<Box<dyn Endpoint>> {
        self.open.remove(&ticket);
        let shared = Arc::clone(&self.core.shared);
        let streams = self.settings.streams;
        Some(Box::new(FarEnd {
            ticket,
            streams,
            shared,
            stage: Stage::Handshake,
            rest: Vec::new(),
            is_finished: false,
        }))
    }

    fn stirred(&mut self) -> Option<Ticket> {
        Some(self.core.shared.core_bell.answer()?.ticket)
    }

    fn retire(&mut self) {
        self.core.shared.retire();
    }

    fn counted(&mut self, count: &mut dyn FnMut(Counter, u64)) {
        self.counts.drain(..).for_each(|(counter, n)| count(counter, n));
        self.core.shared.counted(count);
    }

    fn proxying(&self) -> Proxying {
        self.settings.relay.proxying()
    }

    fn session(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.settings.relay.session(key)
    }

    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.settings.relay.session_of_split(key)
    }
}

/// How far an accepted flow has come.
enum Stage {
    /// Anybody could have sent its SYN: it takes no pipe, and counts for no stream.
    Handshake,
    /// Its client is validated.
    Flowing(Arc<Pipe>),
    /// Nothing more will be said: its client never completed the handshake, or when it did there were too many streams.
    Over,
}

/// A program as the far end of an accepted flow: the control core's end of its pipe.
struct FarEnd {
    ticket: Ticket,
    /// The most that there may be.
    streams: usize,
    shared: Arc<Shared>,
    stage: Stage,
    /// What was popped and did not fit.
    rest: Vec<u8>,
    is_finished: bool,
}

impl FarEnd {
    /// The thread is woken at the end of the round ([`Programs::flush`]), once for all pipes.
    fn ring(&self) {
        if let Stage::Flowing(pipe) = &self.stage {
            self.shared.thread_bell.ring(pipe);
        }
    }

    /// Its client is gone, whether it was ever there or not.
    fn end(&mut self) {
        match &self.stage {
            Stage::Handshake => {
                self.shared.from_endpoints.push(Up::Gone(self.ticket, Away::Gone(Gone::Client)));
                self.stage = Stage::Over;
            }
            Stage::Flowing(pipe) => {
                pipe.to_program.set_end(End::Reset);
                self.ring();
            }
            Stage::Over => {}
        }
    }
}

impl Endpoint for FarEnd {
    fn established(&mut self) {
        if self.shared.alive.load(Ordering::Relaxed) >= self.streams {
            self.shared.note_streams_full();
            self.shared.from_endpoints.push(Up::Gone(self.ticket, Away::Refused));
            self.stage = Stage::Over;
            return;
        }
        let pipe = Pipe::new(self.ticket, &self.shared.alive);
        self.shared.from_endpoints.push(Up::Accepted(Arc::clone(&pipe)));
        self.stage = Stage::Flowing(pipe);
    }

    fn room(&mut self) -> usize {
        let Stage::Flowing(pipe) = &self.stage else { return 0 };
        pipe.to_program.room()
    }

    fn receive(&mut self, bytes: &[u8]) {
        let Stage::Flowing(pipe) = &self.stage else { return };
        if pipe.to_program.push(bytes.to_vec()).is_err() {
            // Only without room, which the caller has asked for: bytes are not lost in silence.
            pipe.to_program.set_end(End::Reset);
            pipe.to_client.set_end(End::Reset);
        }
        self.ring();
    }

    fn finished(&mut self) {
        let Stage::Flowing(pipe) = &self.stage else { return };
        self.is_finished = true;
        pipe.to_program.set_end(End::Closed);
        self.ring();
    }

    fn send(&mut self, room: usize) -> Sending {
        let pipe = match &self.stage {
            Stage::Handshake => return Sending::Nothing,
            Stage::Flowing(pipe) => pipe,
            Stage::Over => return Sending::Reset,
        };
        let end = pipe.to_client.end();
        if end == End::Reset {
            return Sending::Reset;
        }
        if self.rest.is_empty()
            && room > 0
            && let Some((chunk, starved)) = pipe.to_client.pop()
        {
            self.rest = chunk;
            if starved {
                self.shared.thread_bell.ring(pipe);
            }
        }
        match (self.rest.len(), end) {
            (0, End::Closed) if room > 0 || pipe.to_client.is_empty() => Sending::Closed,
            (0, _) => Sending::Nothing,
            _ if room == 0 => Sending::Nothing,
            (len, _) if len <= room => Sending::Bytes(std::mem::take(&mut self.rest)),
            _ => {
                let rest = self.rest.split_off(room);
                Sending::Bytes(std::mem::replace(&mut self.rest, rest))
            }
        }
    }

    fn reset(&mut self) {
        self.end();
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        if !self.is_finished {
            self.end();
        }
    }
}
