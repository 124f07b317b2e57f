//! What a worker tells of what it has found: so many a second, whatever its peers say.

use super::mailbox::Sender;
use super::message::Event;
use super::report::Counters;
use super::*;
use crate::flow::quad::FlowKey;
use crate::inspect::hits::{Hit, Telling};

/// Tells of hits.
#[derive(Default)]
pub(super) struct Told {
    telling: Telling,
}

impl Told {
    /// One that is not told has been counted by its pattern all the same, and is counted here, too.
    pub(super) fn tell<B>(
        &mut self,
        now: Instant,
        events: &mut Sender<Event<B>>,
        counters: &mut Counters,
        key: FlowKey,
        hit: Hit,
    ) {
        let is_told = events.has_room_beside(EVENT_RESERVE)
            && self.telling.take(now, hit.verdict)
            && events.try_send(Event::Hit { key, hit }).is_ok();
        if !is_told {
            counters.count(Counter::EventsUntold);
        }
    }
}
