//! A module's part in one flow: it sees the bytes, and says what becomes of them and of the flow.

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::Direction;
use dataplane::inspect::Searched;
use dataplane::inspect::hits::Hit;
use dataplane::inspect::patterns::Gravity;

use super::{Target, Ticket};

/// What a session has found in its flow's bytes.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of its finding.
    pub hits: Vec<Hit>,
    /// So many more than anybody is told of at once.
    pub more: u64,
    /// How many of each gravity.
    kinds: [usize; Gravity::COUNT],
}

impl Found {
    /// One more. Of more of a gravity than that nobody is told in a second.
    pub(super) fn note(&mut self, hit: Hit) {
        let kind = &mut self.kinds[hit.verdict.gravity() as usize];
        if *kind == Hit::MOST {
            self.more += 1;
            return;
        }
        *kind += 1;
        self.hits.push(hit);
    }
}

/// What happens to the bytes that a session was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// They go on as they are, behind all that it has kept back.
    Pass,
    /// These go on instead of them and of all that it has kept back.
    Replace(Vec<u8>),
    /// They are kept back, with all that it keeps back already, until it says otherwise, or for so long at the most
    /// ([`Session::overdue`]). The time is that since the first of them was kept back; of several the shortest counts.
    Hold(Duration),
}

/// What a session wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Go on relaying.
    Relay,
    /// What has been shown is all it needs: the flow may be merged, once nothing is kept back any more.
    Merge,
    /// End both legs with RST.
    Reset,
    /// RST to the end that sends in this direction, whose bytes that are kept back go nowhere. The other end gets a FIN behind
    /// what it has been sent; what it still says is nobody's, and if it does not close in its turn it gets a RST.
    Cut(Direction),
}

/// Who the server of a client-first flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one that the client's SYN names.
    Original,
    /// Another one, or this one in another way.
    To(Target),
    /// It takes more words to know; after so long the session has to know.
    Wait(Duration),
    /// Nobody: RST.
    Reset,
}

/// A module's part in one flow.
pub trait Session: Send {
    /// Client-first: what the client has said so far, none of it relayed yet. `is_all`: it will say no more, or has not
    /// within the time that the session wanted to wait; who still waits then gets the flow reset.
    fn choose(&mut self, _said: &[u8], _is_all: bool) -> Choice {
        Choice::Original
    }

    /// Called once, when both legs are up, before any byte is relayed.
    fn established(&mut self) -> Step {
        Step::Relay
    }

    /// In-order bytes from the sender of `direction`, about to be relayed. Bytes that are kept back are not shown again; those
    /// that follow them are.
    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step);

    /// Somebody else wants the flow merged: whether the next message of either end would make sense to the other without this
    /// session (DESIGN section 5). Not while it has answered an end in the other's name.
    fn may_leave(&self) -> bool {
        true
    }

    /// Called once, before the flow is established or when it has been split: the ticket by which its module may say that it
    /// has something to say though nothing has come ([`Module::stirred`]). Whether it ever will.
    fn named(&mut self, _ticket: Ticket) -> bool {
        false
    }

    /// It has been stirred: what becomes of the bytes of `direction` that it keeps back? [`Edit::Hold`] leaves them there.
    fn decide(&mut self, _direction: Direction) -> (Edit, Step) {
        (Edit::Hold(Duration::MAX), Step::Relay)
    }

    /// The sender of `direction` has closed, and what is kept back is the last that it has said. Called once.
    fn finished(&mut self, _direction: Direction) -> (Edit, Step) {
        (Edit::Hold(Duration::MAX), Step::Relay)
    }

    /// It has kept bytes of `direction` back for as long as it wanted to: what now? To hold them again is to end the flow.
    fn overdue(&mut self, _direction: Direction) -> (Edit, Step) {
        (Edit::Hold(Duration::MAX), Step::Reset)
    }

    /// What passes without having been shown to it, or to a worker, would be missed.
    fn sees_all(&self) -> bool {
        false
    }

    /// Bytes that it keeps for its flow, in all.
    fn memory(&self) -> u64 {
        0
    }

    /// How far it has searched all that it was shown.
    fn searched(&self) -> Option<Searched> {
        None
    }

    /// What it has found since it was asked last; `None` from one that never searches.
    fn found(&mut self) -> Option<Found> {
        None
    }

    /// What time it is; told before anything that comes then.
    fn tick(&mut self, _now: Instant) {}

    /// It has taken so many bytes of `direction` that have still to go on, and keeps them until then at most. Nothing is merged
    /// before.
    fn keeps(&self, _direction: Direction) -> Option<(usize, Instant)> {
        None
    }

    /// Nothing follows what it keeps of `direction`, or nothing has in time: these bytes go on.
    fn let_go(&mut self, _direction: Direction) -> (Vec<u8>, Step) {
        (Vec::new(), Step::Relay)
    }
}
