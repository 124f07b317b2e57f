//! Bytes that a session keeps back until it has a verdict, and what becomes of them: they go on, others go on instead, the
//! connection is cut on either side or on both, or the flow is merged (seed 004: "packets can be held on the proxy long
//! enough to be analyzed").
//!
//! What is kept back stays where it is, at the front of its leg's receive queue: nothing is copied, the sender's window closes
//! behind it, a FIN waits behind it, and it counts as kept by the leg in every bound. So no merge begins before the verdict,
//! and when the flow acknowledges through, or is still splitting, nothing of it is acknowledged either.

use std::time::Duration;

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::wire::seq::Seq;

use super::leg::{Leg, Look};
use super::{Connection, Phase};
use crate::core::context::Context;
use crate::module::{Edit, Session, Step, Ticket};
use crate::tcp::{Chunk, State};

/// What sessions have said about bytes that are still here.
#[derive(Debug, Default)]
pub(super) struct Hold {
    kept: [Kept; 2],
    cut: Option<Cut>,
    /// By this the session's module says that the session has something to say.
    pub(super) ticket: Option<Ticket>,
    /// On a flow that was split: the right edge that each sender had been given before, less what every flow is given.
    promised: Option<[Seq; 2]>,
}

/// The front of what a direction's leg has to read.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    /// So many bytes go on as they are, as soon as there is room for them.
    let_go: u32,
    /// So many behind those has the session seen, and keeps them back. Never both.
    back: u32,
    /// When it is asked what becomes of them.
    until: Option<Instant>,
    /// It knows that its sender has closed.
    knows_end: bool,
}

impl Kept {
    const NOTHING: Kept = Kept { let_go: 0, back: 0, until: None, knows_end: false };
}

/// One end gets a RST, the other one a FIN behind what it has been sent.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The end that sends in this direction is cut.
    end: Direction,
    /// When the other end is cut, too, if it has not closed.
    until: Option<Instant>,
    is_made: bool,
}

impl Hold {
    /// Nothing has been said.
    pub(super) const NOTHING: Hold =
        Hold { kept: [Kept::NOTHING; 2], cut: None, ticket: None, promised: None };

    /// Of a flow whose senders have been given more than usual windows up to these right edges before it was split.
    pub(super) fn of_split(edges: [Seq; 2]) -> Hold {
        Hold { promised: Some(edges), ..Hold::default() }
    }

    fn of(&mut self, direction: Direction) -> &mut Kept {
        &mut self.kept[direction.index()]
    }

    /// When somebody has to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let [one, other] = &self.kept;
        let cut = self.cut.and_then(|cut| cut.until);
        Instant::earlier(Instant::earlier(one.until, other.until), cut)
    }

    /// It waits for a verdict, or for room behind one.
    pub(super) fn keeps_back(&self) -> bool {
        self.kept.iter().any(|kept| kept.back > 0)
    }

    /// One end is, or will be, cut off: the other one's window has nobody's to respect any more.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }
}

impl<L: Pool> Connection<L> {
    /// The session learns by which name it may be stirred.
    pub(crate) fn name(&mut self, ticket: Ticket) {
        let stirs = self.session.as_mut().is_some_and(|session| session.named(ticket));
        self.hold.ticket = stirs.then_some(ticket);
    }

    /// What senders had been promised before a split, beyond usual windows, and have not used.
    pub(super) fn promised(&self) -> u64 {
        let (Some(edges), Some(server)) = (self.hold.promised, &self.server) else { return 0 };
        let left = |leg: &Leg<L::Buffer>, edge: Seq| u64::from(leg.block.rcv_nxt().distance_to(edge));
        left(&self.client, edges[0]) + left(server, edges[1])
    }

    /// What has been used up of them follows what comes, or it would seem to lie ahead after 2^31 bytes.
    pub(super) fn use_promises(&mut self) {
        let (Some(edges), Some(server)) = (&mut self.hold.promised, &self.server) else { return };
        let next = [self.client.block.rcv_nxt(), server.block.rcv_nxt()];
        edges.iter_mut().zip(next).for_each(|(edge, next)| *edge = edge.max(next));
    }

    /// The session has something to say though nothing has come.
    pub(crate) fn on_stirred(&mut self, cx: &mut Context<'_, L>) {
        if self.phase == Phase::Relaying {
            for direction in Direction::BOTH {
                self.consult(cx, direction, 0, |session| session.decide(direction));
            }
        }
        self.settle(cx);
    }

    /// Those whose time is up are decided about.
    pub(super) fn judge_overdue(&mut self, cx: &mut Context<'_, L>) {
        for direction in Direction::BOTH {
            if self.hold.of(direction).until.is_some_and(|until| until <= cx.now) {
                cx.counters.count(Counter::VerdictsOverdue);
                self.consult(cx, direction, 0, |session| match session.overdue(direction) {
                    // There is no more time to think.
                    (Edit::Hold(_), Step::Relay | Step::Merge) => (Edit::Hold(Duration::MAX), Step::Reset),
                    verdict => verdict,
                });
                self.hold.of(direction).until = None;
            }
        }
    }

    /// The next bytes of a direction are shown to the session. Says whether there is more to do.
    pub(super) fn show(&mut self, cx: &mut Context<'_, L>, direction: Direction) -> bool {
        if self.hold.is_cut() {
            return false;
        }
        let seen = self.hold.of(direction).back;
        let Some(session) = &mut self.session else { return false };
        let from = match direction {
            Direction::ClientToServer => Some(&self.client),
            Direction::ServerToClient => self.server.as_ref(),
        };
        let Some(bytes) = from.and_then(|from| from.block.unread(seen)) else {
            return self.tell_end(cx, direction);
        };
        let len = bytes.len() as u32;
        let (edit, step) = session.data(direction, bytes);
        self.judge(cx, direction, len, edit, step);
        true
    }

    /// A session that keeps back the last bytes of a sender that has closed waits for no more of them.
    fn tell_end(&mut self, cx: &mut Context<'_, L>, direction: Direction) -> bool {
        let ended = self.sender(direction).is_some_and(|from| from.block.fin_received());
        let kept = self.hold.of(direction);
        if !ended || kept.back == 0 || std::mem::replace(&mut kept.knows_end, true) {
            return false;
        }
        self.consult(cx, direction, 0, |session| session.finished(direction));
        true
    }

    fn consult(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        shown: u32,
        ask: impl FnOnce(&mut dyn Session) -> (Edit, Step),
    ) {
        if self.hold.is_cut() {
            return;
        }
        let Some(session) = &mut self.session else { return };
        let (edit, step) = ask(session.as_mut());
        self.judge(cx, direction, shown, edit, step);
    }

    /// The session's word about `shown` new bytes and all that it keeps back in front of them.
    fn judge(&mut self, cx: &mut Context<'_, L>, direction: Direction, shown: u32, edit: Edit, step: Step) {
        self.tell_hits(cx);
        let kept = self.hold.of(direction);
        let all = kept.back + shown;
        match edit {
            Edit::Hold(_) if all == 0 => {}
            Edit::Hold(most) => {
                let until = cx.now + most;
                // Whoever sends little by little buys no time.
                kept.until = Some(kept.until.map_or(until, |before| before.min(until)));
                if kept.back == 0 {
                    cx.counters.count(Counter::VerdictsAwaited);
                }
                kept.back = all;
            }
            Edit::Pass => *kept = Kept { let_go: kept.let_go + all, ..Kept::default() },
            Edit::Replace(_) if all == 0 => {}
            Edit::Replace(bytes) => {
                *kept = Kept { let_go: kept.let_go, ..Kept::default() };
                self.replace(cx, direction, all, bytes);
            }
        }
        self.take_step(step);
    }

    /// `given` goes on instead of the next `taken` bytes.
    fn replace(&mut self, cx: &mut Context<'_, L>, direction: Direction, taken: u32, given: Vec<u8>) {
        let longer = (given.len() as i32).wrapping_sub(taken as i32);
        if let Some(from) = self.sender(direction) {
            let mut left = taken;
            while let Some(chunk) = from.block.read_at_most(left) {
                left -= chunk.len() as u32;
            }
        }
        let edited = &mut self.edited[direction.index()];
        *edited = edited.wrapping_add(longer);
        cx.counters.add(Counter::RelayedBytes, taken.into());
        self.note_edit(direction, taken, given.len() as u32);
        if let Some([_, to]) = self.legs(direction) {
            to.block.write(Chunk::owned(given));
        }
    }

    /// The next bytes that go on as they are.
    pub(super) fn pass_let_go(&mut self, cx: &mut Context<'_, L>, direction: Direction) -> bool {
        let let_go = self.hold.of(direction).let_go;
        if let_go == 0 {
            return false;
        }
        let Some([from, to]) = self.legs(direction) else { return false };
        let Some(chunk) = from.block.read_at_most(let_go) else { return false };
        let len = chunk.len() as u32;
        to.block.write(chunk);
        cx.counters.add(Counter::RelayedBytes, len.into());
        self.hold.of(direction).let_go -= len;
        true
    }

    /// What the session wants next.
    pub(super) fn take_step(&mut self, step: Step) {
        match step {
            Step::Relay => {}
            Step::Merge => self.merge_wanted = true,
            Step::Reset => {
                self.leave_boundary();
                self.reset_both_legs();
            }
            Step::Cut(end) => {
                self.hold.cut.get_or_insert(Cut { end, until: None, is_made: false });
            }
        }
    }

    /// Cuts one end off when that can be done, and waits for the other one to close. What that still says is nobody's.
    pub(super) fn carry_out_cut(&mut self, cx: &mut Context<'_, L>) {
        let Some(mut cut) = self.hold.cut else { return };
        let until = *cut.until.get_or_insert(cx.now + cx.settings.half_closed);
        if !cut.is_made && self.has_delivered_below(cut.end) && self.hold.of(cut.end).let_go == 0 {
            cx.counters.count(Counter::FlowsCut);
            cut.is_made = true;
            self.make_cut(cx.now, cut.end);
        }
        if until <= cx.now {
            self.leave_boundary();
            self.reset_both_legs();
            cut.until = None;
        }
        self.hold.cut = Some(cut);
        if !cut.is_made {
            return;
        }
        if let Some([rest, _]) = self.legs(cut.end.reverse()) {
            while rest.block.read().is_some() {}
            if rest.block.state() == State::Closed {
                self.hold.cut = Some(Cut { until: None, ..cut });
            }
        }
    }

    fn make_cut(&mut self, now: Instant, end: Direction) {
        self.leave_boundary();
        // Nobody would acknowledge what the other end still says.
        self.through = None;
        self.ending = None;
        self.hold.kept = Default::default();
        self.closed = [true; 2];
        let Some([from, to]) = self.legs(end) else { return };
        while from.block.read().is_some() {}
        from.block.abort();
        to.block.stop_passing(now, false);
        to.block.close();
    }

    /// What the end that sends in `end` had sent before a split has arrived, so that it is not needed to repeat it, and
    /// somebody has been heard, so that there is a way to speak.
    fn has_delivered_below(&self, end: Direction) -> bool {
        let Some(splitting) = &self.splitting else { return true };
        self.can_address() && splitting.has_delivered(end)
    }

    fn can_address(&self) -> bool {
        let knows = |leg: &Leg<L::Buffer>| leg.look != Look::Unknown;
        knows(&self.client) && self.server.as_ref().is_some_and(knows)
    }

    /// The flow ends: who would tell what lies below the boundary of a split? An end that has not been heard since looks like
    /// the one that has, turned round.
    fn leave_boundary(&mut self) {
        if self.splitting.is_none() || !self.can_address() {
            return;
        }
        self.client.look = Look::Known;
        if let Some(server) = &mut self.server {
            server.look = Look::Known;
        }
        self.splitting = None;
    }
}
