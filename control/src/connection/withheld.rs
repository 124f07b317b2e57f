//! What an inspection's session (`module/edit.rs`) has to do with its flow beside the word of every session: bytes that it has
//! taken and keeps for a moment, which go on when it says so, when their sender has closed, or when their time is up; and
//! what it has found.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;

use super::Connection;
use super::leg::Leg;
use crate::core::context::Context;
use crate::core::journal::Happening;
use crate::module::Found;
use crate::tcp::{Chunk, State};

impl<L: Pool> Connection<L> {
    /// The session hears what time it is.
    pub(super) fn tick_session(&mut self, now: Instant) {
        if let Some(session) = &mut self.session {
            session.tick(now);
        }
    }

    /// What the session has found is told, as far as somebody could read it.
    pub(super) fn tell_hits(&mut self, cx: &mut Context<'_, L>) {
        let Some(session) = &mut self.session else { return };
        let Some(Found { hits, more, .. }) = session.found() else { return };
        cx.counters.add(Counter::EventsUntold, more);
        for hit in hits {
            match cx.telling.take(cx.now, hit.verdict) {
                true => cx.journal.note(cx.now, cx.now, self.key, Happening::Hit(hit)),
                false => cx.counters.count(Counter::EventsUntold),
            }
        }
    }

    /// Bytes of a direction that the session keeps.
    pub(super) fn withheld(&self, direction: Direction) -> u64 {
        self.session
            .as_ref()
            .and_then(|session| session.keeps(direction))
            .map_or(0, |(bytes, _)| bytes as u64)
    }

    /// When the first of what it keeps has to go on.
    #[inline(always)]
    pub(super) fn withheld_until(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        let until = |of: Direction, receiver: Option<&Leg<_>>| {
            receiver.filter(|leg| leg.block.state() != State::Closed)?;
            session.keeps(of).map(|(_, until)| until)
        };
        let client_to_server = until(Direction::ClientToServer, self.server.as_ref());
        Instant::earlier(client_to_server, until(Direction::ServerToClient, Some(&self.client)))
    }

    /// What the session keeps of a direction goes on as it is, when nothing more will come, or nothing has for so long.
    pub(super) fn let_withheld_go(&mut self, cx: &mut Context<'_, L>, direction: Direction) {
        let Some((_, until)) = self.session.as_ref().and_then(|session| session.keeps(direction)) else {
            return;
        };
        let Some([from, to]) = self.legs(direction) else { return };
        let is_all = from.block.fin_received() && from.block.readable() == 0;
        if (cx.now < until && !is_all) || to.block.state() == State::Closed {
            return;
        }
        let Some(session) = &mut self.session else { return };
        let (bytes, step) = session.let_go(direction);
        let edited = &mut self.edited[direction.index()];
        *edited = edited.wrapping_add(bytes.len() as i32);
        self.note_edit(direction, 0, bytes.len() as u32);
        if let Some([_, to]) = self.legs(direction) {
            to.block.write(Chunk::owned(bytes));
        }
        self.take_step(step);
    }
}
