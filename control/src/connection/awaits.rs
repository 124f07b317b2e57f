//! What a merge that is wanted waits for. One list of obstacles decides both when it begins and what is told to who has ordered it.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::state::TcpState;

use super::leg::Leg;
use super::{Connection, Phase};
use crate::core::context::Context;
use crate::core::handover::Refused;

/// A merge goes on by itself when this is over; in words for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Awaits {
    /// An end has said nothing since the split, so nobody knows how to speak for it.
    #[error(
        "an end has not been heard since the split; it merges when that end sends anything, a keepalive will do"
    )]
    Heard,
    /// Something is under way to a receiver, or waits for room there.
    #[error(
        "an end has not acknowledged all that was sent to it; it merges when that has arrived, and `quadrille kill` ends it if \
         that end reads no more"
    )]
    Acknowledgment,
    /// Something is under way from a sender.
    #[error(
        "something that an end has sent was lost before it came here; it merges when that end has sent it again"
    )]
    Missing,
    /// A promise is never taken back.
    #[error(
        "an end may still send what the other one has no room for; it merges when that promise is used up or the receiver's \
         window has grown: let the receiver have a larger buffer, or greet clients with a smaller window"
    )]
    Room,
    /// Its session keeps bytes back, or is not at a point where the ends understand each other.
    #[error(
        "its module is in the midst of something; it merges when the module has passed on what it keeps back"
    )]
    Module,
    /// It has not been passed on, acknowledged, and its sender told.
    #[error(
        "an end has closed, and the other one has not acknowledged that; it merges when that has arrived"
    )]
    Fin,
    /// It could not be split again, should what still comes have to be edited.
    #[error(
        "one end has closed and an inspection may edit what the other one sends; it participates until it ends"
    )]
    Searched,
    /// The last attempt was undone.
    #[error(
        "a merge was undone, as an end did not acknowledge in time (`limits.drain_up_to`), or its worker had no place to search the \
         flow (`limits.inspected`); it is tried again in a moment"
    )]
    Retry,
}

impl<L: Pool> Connection<L> {
    /// What an order to merge that has not been carried out yet is answered with.
    pub(crate) fn why_not_merged(&self, now: Instant, merging: bool) -> Refused {
        let awaits = match self.phase {
            Phase::Draining { .. } | Phase::Leaving | Phase::Parking => Some(Awaits::Acknowledgment),
            Phase::Relaying if !merging => return Refused::Off,
            // It has turned out that it never can be.
            Phase::Relaying if !self.merge_wanted => return Refused::Options,
            Phase::Relaying if self.merge_retry.is_some_and(|at| now < at) => Some(Awaits::Retry),
            Phase::Relaying => self.obstacle(),
            _ => return Refused::Gone,
        };
        Refused::Waiting(awaits.unwrap_or(Awaits::Acknowledgment))
    }

    /// The first thing that a merge has to wait for; none when it may begin.
    pub(super) fn obstacle(&self) -> Option<Awaits> {
        let server = self.server.as_ref()?;
        let legs = [&self.client, server];
        let any = |is: fn(&Leg<L::Buffer>) -> bool| legs.into_iter().any(is);
        if let Some(splitting) = &self.splitting {
            return Some(if splitting.has_heard_both() { Awaits::Acknowledgment } else { Awaits::Heard });
        }
        match self.open_state() {
            None => return Some(Awaits::Fin),
            Some(TcpState::Established) => {}
            Some(_) if self.is_searched() => return Some(Awaits::Searched),
            Some(_) => {}
        }
        if any(|leg| !leg.block.is_settled()) {
            Some(Awaits::Fin)
        } else if self.withheld_until().is_some() || self.hold.keeps_back() || !self.module_lets_go() {
            Some(Awaits::Module)
        } else if any(|leg| leg.block.has_gap()) {
            Some(Awaits::Missing)
        } else if any(|leg| leg.block.readable() > 0) {
            // Its receiver has no room for that.
            Some(Awaits::Acknowledgment)
        } else {
            (!self.has_room_for_promises()).then_some(Awaits::Room)
        }
    }

    /// Nobody may still send what its receiver has no room for. A client that was greeted before its server was known, or
    /// whose bytes a module has made longer, has been promised more: what it sends in this promise waits here for the
    /// receiver. End to end it would be lost, and a RST behind it not obeyed (RFC 5961 section 3.2).
    fn has_room_for_promises(&self) -> bool {
        let Some(server) = &self.server else { return false };
        let (client, server) = (&self.client.block, &server.block);
        [(client, server), (server, client)].into_iter().all(|(from, to)| {
            let promised = from.rcv_nxt().distance_to(from.offered_right_edge());
            let fits = to.closed_at().advance(promised).le(to.peer_highest_edge());
            fits || promised == 0 || from.fin_received()
        })
    }

    /// Once for each stay on the control core: a window that breathes would be counted as often as it does.
    pub(super) fn count_if_for_room(&mut self, cx: &mut Context<'_, L>, obstacle: Awaits) {
        if obstacle == Awaits::Room && !std::mem::replace(&mut self.has_awaited_room, true) {
            cx.counters.count(Counter::MergesAwaitedRoom);
        }
    }
}
