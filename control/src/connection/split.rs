//! The split (DESIGN section 6): a connection object becomes two TCBs, with data in flight both ways.
//!
//! For each direction the boundary is the end of the highest sequence that has passed. What lies below it stays end to end:
//! the sender repeats it, the receiver acknowledges it, and both pass us. What lies above is the TCBs': it is taken from its
//! sender at once and sent on, and acknowledged when the receiver has acknowledged all below. From then on the direction is
//! an ordinary relayed one.
//!
//! Nothing is said to an endpoint before the other one has been heard since the split: we make segments that look like its
//! own, and know its clock, from what it sends.

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::object::View;
use dataplane::flow::quad::Direction;
use dataplane::packet::TcpHeaders;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::{MAX_WINDOW, Seq};
use dataplane::worker::message::Split;

use super::allowance::Allowance;
use super::begun::Origin;
use super::believable::Believable;
use super::hold::Hold;
use super::leg::{Leg, Look};
use super::passing::Part;
use super::path::{family, mss_within};
use super::promises::in_force;
use super::through::Ledger;
use super::{BlockOf, Connection, Phase};
use crate::core::context::{Context, Way};
use crate::module::{Proxying, Session};
use crate::tcp::{Block, Boundary, Segment};

/// A direction, from the split until its receiver has acknowledged all that passed before.
#[derive(Debug, Clone, Copy)]
struct Below {
    /// The boundary, in the sender's space.
    at: Seq,
    /// What the receiver has acknowledged, in the sender's space: as the worker has seen it, whose segments may have been
    /// corrupt, until the receiver is heard.
    acked: Seq,
    /// The receiver has been heard.
    is_acked: bool,
    /// All before the boundary is acknowledged: what follows is between the TCBs alone.
    is_over: bool,
}

/// Both directions, by [`Direction::index`].
#[derive(Debug)]
pub(super) struct Splitting {
    below: [Below; 2],
}

impl Splitting {
    fn below(&self, direction: Direction) -> Below {
        self.below[direction.index()]
    }

    /// All that passed in `direction` before the split has arrived, whoever has said so.
    pub(super) fn has_delivered(&self, direction: Direction) -> bool {
        let below = self.below(direction);
        below.is_over || below.acked == below.at
    }

    /// Both receivers have said something since.
    pub(super) fn has_heard_both(&self) -> bool {
        self.below.iter().all(|below| below.is_acked)
    }

    /// The receiver of `direction` has acknowledged all that passed before the split.
    pub(super) fn is_over(&self, direction: Direction) -> bool {
        self.below(direction).is_over
    }
}

impl<L: Pool> Connection<L> {
    /// A flow that its worker has split.
    pub(crate) fn split(
        cx: &Context<'_, L>,
        worker: usize,
        split: &Split,
        proxying: Proxying,
        session: Box<dyn Session>,
    ) -> Connection<L> {
        let Split { flow, key, client_side, .. } = *split;
        let (client, server) = (Direction::ClientToServer, Direction::ServerToClient);
        let opposite = cx.settings.peers[usize::from(client_side.0)];
        let way = if split.is_far { Way::Far(flow) } else { Way::Port(opposite) };
        let leg = |of, way, quad| Leg {
            block: resumed(cx, split, of),
            // Nothing is sent before it has been learned.
            template: FrameTemplate::new([0; 6], [0; 6], &[], 0, quad),
            way,
            look: Look::Unknown,
        };
        let below = |direction: Direction| Below {
            at: split.view.track[direction.index()].end,
            acked: split.view.track[direction.reverse().index()].ack,
            is_acked: false,
            is_over: false,
        };
        let origin = Origin { key, flow, worker, client_side };
        let connection = Connection {
            phase: Phase::Relaying,
            proxying: Some(proxying),
            session: Some(session),
            server: Some(leg(server, way, key.quad)),
            clock: split.view.clock,
            allowances: [client, server].map(|of| promised(cx, split, of)),
            splitting: Some(Box::new(Splitting { below: [below(client), below(server)] })),
            hold: Hold::of_split(split.view.edges.map(|edge| edge.retreat(cx.settings.leg.receive_buffer))),
            expires: cx.now + cx.settings.idle_established,
            ..Connection::begun(cx, origin, leg(client, client_side.into(), key.quad.reversed()))
        };
        Connection { through: connection.ledgers(), ..connection }
    }

    /// A segment while something from before the split is still on its way.
    pub(super) fn on_splitting(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        if segment.flags.syn() {
            // Between the ends, as on cut-through: who gets it says what it expects (RFC 5961 section 4.2). From a sender
            // that hears of acknowledgments from us alone it is the leg that challenges: the receiver's answer would end here.
            return match self.is_past(direction) {
                true => self.on_relayed(cx, direction, segment, headers, frame),
                false => self.pass_end_to_end(cx, direction, headers, frame),
            };
        }
        let Some(below) = self.below(direction) else { return };
        if !self.believable(&below, direction).is_some_and(|believable| believable.has(segment)) {
            // Whoever gets it knows better; nothing is concluded from it here. But what is ours does not pass us.
            let is_below = !below.is_over && segment.end().le(below.at);
            return match is_below || segment.sequence_len() == 0 {
                true => self.pass_end_to_end(cx, direction, headers, frame),
                false => cx.counters.count(Counter::DropBeyondBoundary),
            };
        }
        self.hear(cx.now, direction, segment);
        let starts_below = !below.is_over && segment.seq.lt(below.at);
        if segment.flags.rst() {
            return match starts_below {
                true => self.pass_reset(cx, direction, &below, headers, frame),
                false if self.is_answered_here(direction, &below, segment.seq) => {
                    self.on_relayed(cx, direction, segment, headers, frame);
                }
                false => self.pass_end_to_end(cx, direction, headers, frame),
            };
        }
        let is_news = self.note_passing_ack(cx.now, direction, segment);
        if segment.flags.fin() {
            self.end_below(direction, segment.end().retreat(1));
        }
        let Some(below) = self.below(direction) else {
            return self.on_relayed(cx, direction, segment, headers, frame);
        };
        let passes_ack = !self.is_past(direction.reverse());
        let ours = if below.is_over { segment.seq } else { segment.seq.max(below.at) };
        let front = segment.seq.distance_to(ours);
        if segment.sequence_len() == 0 {
            // Duplicates are passed, too: they tell the sender of losses below the boundary.
            match passes_ack {
                true => self.pass_whole(cx, direction, segment, headers, frame),
                // Its number is not one that the leg could judge.
                false if starts_below => self.take_from_below(cx, direction, &below, segment, headers, frame),
                false => self.on_relayed(cx, direction, segment, headers, frame),
            }
        } else if front >= segment.sequence_len() {
            self.pass_whole(cx, direction, segment, headers, frame);
        } else {
            let whole = Part::whole(segment, headers, frame.bytes());
            let gives_room = passes_ack && self.take_ack(cx, direction, segment);
            if front > 0 || (passes_ack && is_news) || gives_room {
                self.pass_part(cx, direction, &whole.up_to(front));
            }
            let (rest, headers) = whole.behind(front).alone();
            self.on_relayed(cx, direction, &rest, &headers, frame);
        }
    }

    /// Learns of its sender what is needed to speak for it, and of its receiver what the sender knows of its clock.
    fn hear(&mut self, now: Instant, direction: Direction, segment: &Segment) {
        let clocks = self.clocks(direction);
        let Some([from, to]) = self.legs(direction) else { return };
        to.look = Look::Known;
        if let Some(ts) = segment.options.timestamps {
            let echo = clocks.moved(ts, true).echo;
            from.block.learn_clock(now, ts.value);
            to.block.learn_clock(now, echo);
        }
    }

    fn below(&self, direction: Direction) -> Option<Below> {
        self.splitting.as_ref().map(|splitting| splitting.below(direction))
    }

    /// What the sender of `direction` may say.
    fn believable(&mut self, below: &Below, direction: Direction) -> Option<Believable> {
        let [from, to] = self.legs(direction)?;
        let reserve = from.block.receive_buffer().max(to.block.receive_buffer());
        let oldest = match below.is_over {
            // The boundary stays where it is, and the sender goes on.
            true => from.block.rcv_nxt().retreat(MAX_WINDOW),
            false => below.acked.retreat(reserve),
        };
        let sent = from.block.snd_nxt();
        let numbers = [oldest, from.block.offered_right_edge()];
        Some(Believable { numbers, acks: [sent.retreat(MAX_WINDOW), sent] })
    }

    /// Whether the byte `seq`, in the numbers of the receiver of `direction`, is between the ends: while a flow splits, what
    /// lies below the boundary and is not acknowledged; while it leaves, what lies above.
    pub(super) fn is_end_to_end(&mut self, direction: Direction, seq: Seq) -> bool {
        let own = self.numbers_of(direction).own;
        let sent = seq.minus(own);
        // The boundary itself is what an acknowledgment that passes says, until we have sent something.
        let is_ours = self
            .legs(direction)
            .is_some_and(|[_, to]| seq.ge(to.block.snd_una()) && seq.lt(to.block.snd_nxt()));
        match (self.below(direction), &self.leaving) {
            (Some(below), _) => !below.is_over && !is_ours && sent.ge(below.acked) && sent.le(below.at),
            (None, Some(leaving)) => leaving.has_passed(direction, seq),
            (None, None) => false,
        }
    }

    /// The sender closes at `end`, below the boundary: it has never sent what lies between. The boundary moves there, and the FIN
    /// is ours, unless somebody has sent more; then nobody here knows better than the receiver.
    fn end_below(&mut self, direction: Direction, end: Seq) {
        let own = self.numbers_of(direction).own;
        let Some(below) = self.below(direction).filter(|below| !below.is_over) else { return };
        if end.ge(below.at) || end.lt(below.acked) {
            return;
        }
        let Some([from, to]) = self.legs(direction) else { return };
        if !(from.block.has_taken_nothing() && to.block.has_sent_nothing()) {
            return;
        }
        from.block.take_from(end);
        to.block.send_from(end.plus(own));
        if let Some(splitting) = &mut self.splitting {
            splitting.below[direction.index()].at = end;
        }
        if let Some(ledgers) = &mut self.through {
            ledgers[direction.index()] = Ledger::new(end, end.plus(own));
        }
    }

    /// The boundary of a direction, while what lies below it is on its way.
    pub(super) fn boundary_below(&self, direction: Direction) -> Option<Seq> {
        self.below(direction).filter(|below| !below.is_over).map(|below| below.at)
    }

    fn is_past(&self, direction: Direction) -> bool {
        self.below(direction).is_none_or(|below| below.is_over)
    }

    /// What a segment acknowledges of the opposite direction, which is over when that is all that passed before the split.
    /// Says whether it is more than before.
    fn note_passing_ack(&mut self, now: Instant, direction: Direction, segment: &Segment) -> bool {
        let reverse = direction.reverse();
        let Some(below) = self.below(reverse).filter(|below| !below.is_over && segment.flags.ack()) else {
            return false;
        };
        let ack = segment.ack.minus(self.numbers_of(direction).other);
        let is_over = ack.ge(below.at);
        let known = if below.is_acked { below.acked } else { ack };
        let acked = known.max(ack).min(below.at);
        let acknowledges_through = self.through.is_some();
        if let Some([receiver, sender]) = self.legs(direction) {
            sender.block.let_acknowledge(acked);
            if is_over {
                receiver.block.catch_up(now);
                sender.block.stop_passing(now, acknowledges_through);
            }
        }
        let Some(splitting) = &mut self.splitting else { return false };
        splitting.below[reverse.index()] = Below { acked, is_over, is_acked: true, ..below };
        if splitting.below.iter().all(|below| below.is_over) {
            self.splitting = None;
        }
        acked != below.acked
    }

    /// A segment of which nothing is ours but what it says about our own. As it came, if it says nothing of that.
    fn pass_whole(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        self.take_ack(cx, direction, segment);
        if self.speaks_of_below_only(direction, segment) {
            self.pass_end_to_end(cx, direction, headers, frame);
        } else {
            self.pass_part(cx, direction, &Part::whole(segment, headers, frame.bytes()));
        }
    }

    /// An acknowledgment from below the boundary, all of it about what is ours. In a number that its receiver has acknowledged it
    /// is a question, whether that is there or has room (RFC 9293 section 3.8.4, and what Linux probes a window by), which goes on:
    /// nobody here could answer for who has not been heard.
    fn take_from_below(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        below: &Below,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        self.take_ack(cx, direction, segment);
        let asks = segment.seq.lt(below.acked) || segment.seq.advance(1) == below.at;
        if !asks {
            return;
        }
        // In such a number an acknowledgment does not count: the leg still owes its own.
        let owes = self.legs(direction).is_some_and(|[_, to]| to.block.owes_ack_now());
        self.pass_part(cx, direction, &Part::whole(segment, headers, frame.bytes()));
        if let Some([_, to]) = self.legs(direction).filter(|_| owes) {
            to.block.acknowledge_now();
        }
    }

    /// What a segment says about what is ours, and what may be offered since: what passes says that. Says whether its receiver gives
    /// more room.
    fn take_ack(&mut self, cx: &mut Context<'_, L>, direction: Direction, segment: &Segment) -> bool {
        let now = cx.now;
        let Some(leg) = self.sender(direction) else { return false };
        let before = leg.block.peer_right_edge();
        let events = leg.block.on_passing(now, segment);
        let gives_room = leg.block.peer_right_edge().gt(before);
        self.on_leg_events(cx, direction, events);
        self.offer_windows(cx);
        gives_room
    }

    /// Its acknowledgment and SACK blocks end below the boundary, its own number too, and the window that it gives is one
    /// that we can keep.
    fn speaks_of_below_only(&mut self, direction: Direction, segment: &Segment) -> bool {
        let (Some(own), Some(opposite)) = (self.below(direction), self.below(direction.reverse())) else {
            return false;
        };
        if own.is_over || opposite.is_over || segment.seq.gt(own.at) {
            return false;
        }
        let other = self.numbers_of(direction).other;
        let window = self.promises().shown_window(direction, segment.window);
        let Some([_, to]) = self.legs(direction) else { return false };
        let edge = segment.ack.minus(other).advance(window);
        let kept = opposite.at.distance_to(edge) <= to.block.receive_buffer();
        let below = segment.options.sack.iter().all(|block| block.right.minus(other).le(opposite.at));
        if kept && below {
            to.block.note_given(edge);
        }
        kept && below
    }

    /// A RST of this number is obeyed by its sender's leg, or challenged. Before its receiver is heard the leg cannot say a challenge:
    /// behind something that is missing the receiver is to ask, as it would without us.
    fn is_answered_here(&mut self, direction: Direction, below: &Below, seq: Seq) -> bool {
        below.is_acked
            || self
                .sender(direction)
                .is_some_and(|from| seq == from.block.rcv_nxt() || seq == from.block.ack_number())
    }

    /// A RST from below the boundary. Its receiver obeys the number that it expects, and no other (RFC 5961 section 3.2).
    fn pass_reset(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        below: &Below,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        self.pass_end_to_end(cx, direction, headers, frame);
        if headers.seq == below.acked {
            self.end_behind_reset(cx);
        }
    }
}

/// What a direction may keep: its sender has been given a window, and goes on as fast only if that stays as large.
fn promised<L: Pool>(cx: &Context<'_, L>, split: &Split, of: Direction) -> Allowance {
    let View { track, edges, .. } = &split.view;
    let (acked, edge) = (track[of.reverse().index()].ack, edges[of.index()]);
    let ceiling = cx.settings.leg.send_buffer;
    let promised = track[of.index()].end.distance_to(edge);
    Allowance::promised(cx.now, acked.distance_to(edge).min(ceiling).max(promised), ceiling)
}

/// The TCB that faces the endpoint which sends in direction `of`.
fn resumed<L: Pool>(cx: &Context<'_, L>, split: &Split, of: Direction) -> BlockOf<L> {
    let view = &split.view;
    let reverse = of.reverse();
    let other = match of {
        Direction::ClientToServer => split.delta_s2c,
        Direction::ServerToClient => split.delta_c2s,
    };
    let (mine, theirs) = (view.track[of.index()], view.track[reverse.index()]);
    let boundary = Boundary {
        rcv_nxt: mine.end,
        rcv_edge: view.edges[of.index()],
        acknowledged: theirs.ack.min(mine.end),
        snd_nxt: theirs.end.plus(other),
        snd_una: mine.ack.min(theirs.end).plus(other),
        snd_edge: view.edges[reverse.index()].plus(other),
    };
    let terms = view.promises.of(of);
    let [peer, offer] = [of, reverse].map(|end| in_force(terms, end, view.mss[end.index()]));
    let mut block = Block::resumed(cx.now, &boundary, &peer, &offer, cx.settings.leg);
    block.set_family(family(&split.key.quad));
    if terms.ecn() {
        block.agree_on_marks();
    }
    let mtu = cx.settings.mtu_of(split.client_side, split.is_far);
    block.set_link_mss(mss_within(mtu, &split.key.quad));
    block
}
