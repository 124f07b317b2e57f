//! The merge of a flow that never rests (DESIGN section 5, "stall-free"): nothing is drained.
//!
//! For each direction the boundary is the end of what we have taken. Below it the bytes are ours, until the receiver has
//! acknowledged them: sent, repeated, acknowledged as before. What lies above goes end to end from now on, past the TCBs, by
//! the object that the worker will get. When nothing is left below in either direction, the worker gets it.
//!
//! An acknowledgment from below the boundary ends at the TCB. In a segment with data it is raised to the boundary, which the
//! sender has been told already, and the window is that of the leg, which is no larger than its receiver's. What it says of
//! bytes above by SACK is the sender's to know: nobody else could repeat them.
//!
//! There is no deadline and no undo. Nobody waits for this merge: a receiver that takes long keeps from its sender what it would
//! keep without us, and only the sender's own window bounds what lies between. Nor could it be undone: what has
//! passed above is not here, so a leg that took the direction back would have a hole for which only the endpoints have the bytes,
//! and its boundary would lie at the end of what has passed, which is a split. So it ends as a relayed flow does: the
//! leg's repetitions have their limit (R2, RFC 9293 section 3.8.3), an idle flow its time, and a RST that waits behind data its
//! linger time. Meanwhile the other direction may carry any number of bytes: its boundary follows.

use arrayvec::ArrayVec;
use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::object::{Object, Path, View};
use dataplane::flow::quad::Direction;
use dataplane::packet::TcpHeaders;
use dataplane::wire::seq::{Delta, MAX_WINDOW, Seq};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::SackBlock;
use dataplane::worker::message::Order;

use super::believable::Believable;
use super::passing::Part;
use super::{Connection, Phase};
use crate::core::context::Context;
use crate::tcp::Segment;

/// A flow on its way to the worker.
pub(super) struct Leaving<B> {
    /// The boundary in each direction: in its sender's space.
    at: [Seq; 2],
    /// The same in the numbers of the leg towards the receiver.
    given: [Seq; 2],
    /// What the worker will get, kept as the worker would.
    object: Object,
    /// What it was at first.
    view: View,
    /// Up to where nothing of a direction is missing that has come this way, or its receiver has it.
    in_order: [Seq; 2],
    /// An end has reset the flow: its RST, until what it said before has arrived.
    reset: Option<Reset<B>>,
}

/// A RST that waits.
struct Reset<B> {
    direction: Direction,
    headers: TcpHeaders,
    frame: B,
    /// So long: a reader that has stopped would never hear of it.
    until: Instant,
}

impl<B> Leaving<B> {
    /// What begins there, or before, comes with nothing missing before it.
    fn in_order(&self, direction: Direction) -> Seq {
        let acknowledged = self.object.track[direction.reverse().index()].ack;
        self.in_order[direction.index()].max(acknowledged)
    }

    /// A segment of `direction` that can be believed.
    fn note_order(&mut self, direction: Direction, segment: &Segment) {
        let in_order = self.in_order(direction);
        let end = segment.seq.advance(segment.sequence_len());
        let reached = if segment.seq.le(in_order) { in_order.max(end) } else { in_order };
        self.in_order[direction.index()] = reached;
    }

    /// A segment that can be believed, all of it from below the boundary: what it says of the other direction counts for what passes
    /// there. Says whether it was news.
    fn observe_below(&mut self, direction: Direction, headers: &TcpHeaders) -> bool {
        let (own, reverse) = (direction.index(), direction.reverse().index());
        let known = |object: &Object| (object.track[own].ack, object.edges[reverse]);
        let before = known(&self.object);
        let flags = TcpFlags(headers.flags.0 & TcpFlags::ACK.0);
        let (seq, payload) = (self.at(direction), headers.end);
        self.object.observe(direction, &TcpHeaders { seq, payload, flags, ..*headers });
        known(&self.object) != before
    }

    fn at(&self, direction: Direction) -> Seq {
        self.at[direction.index()]
    }

    fn given(&self, direction: Direction) -> Seq {
        self.given[direction.index()]
    }

    /// When a RST waits no longer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reset.as_ref().map(|reset| reset.until)
    }

    /// The sender of `direction` has closed.
    pub(super) fn has_closed(&self, direction: Direction) -> bool {
        self.object.tcp.fin_seen(direction)
    }

    /// Whether the byte `seq`, in the numbers of the receiver of `direction`, has gone past us.
    pub(super) fn has_passed(&self, direction: Direction, seq: Seq) -> bool {
        let end = self.object.track[direction.index()].end.plus(self.object.own_delta(direction));
        seq.ge(self.given(direction)) && seq.le(end)
    }

    /// What the sender of `direction` may say, whose leg keeps so many bytes at most. It repeats what it has not heard of, and that
    /// is never more than a window.
    fn believable(&self, direction: Direction, receive_buffer: u32) -> Believable {
        let (own, reverse) = (direction.index(), direction.reverse());
        let Object { track, edges, .. } = &self.object;
        let oldest = self.at(direction).retreat(receive_buffer).max(track[own].end.retreat(MAX_WINDOW));
        let sent = track[reverse.index()].end.max(edges[reverse.index()]);
        let delta = self.object.other_delta(direction);
        let acks = [self.at(reverse).retreat(MAX_WINDOW), sent].map(|ack| ack.plus(delta));
        Believable { numbers: [oldest, edges[own]], acks }
    }

    /// By how much the boundary of a direction may follow what has passed. No further than a window behind it, which is what its
    /// sender may repeat, nor beyond what its receiver has: all that is still said lies less than half a sequence space from there.
    fn lags_by(&self, direction: Direction) -> u32 {
        let (sent, received) = (direction.index(), direction.reverse().index());
        let track = &self.object.track;
        self.at(direction).distance_to(track[sent].end.retreat(MAX_WINDOW).min(track[received].ack))
    }
}

impl<L: Pool> Connection<L> {
    /// More waits for its receiver than is worth draining, and all of it is ours to acknowledge.
    pub(super) fn is_bulk(&self, cx: &Context<'_, L>) -> bool {
        let queued = |leg: &super::Leg<L::Buffer>| leg.block.queued();
        let most = queued(&self.client).max(self.server.as_ref().map_or(0, queued));
        most > cx.settings.drain_up_to && self.through.is_none()
    }

    /// From now on what comes is end to end.
    pub(super) fn begin_leaving(&mut self) {
        // What is searched leaves by draining alone.
        let Some((deltas, view)) = self.replaced() else { return };
        let view = View { searched: None, ..view };
        let [delta_c2s, delta_s2c] = deltas;
        let View { track, edges, tcp, .. } = view;
        let terms = view.promises.meant();
        let path = Path::CutThrough;
        let object = Object { delta_c2s, delta_s2c, path, tcp, track, edges, terms, ..Object::FREE };
        let at = track.map(|track| track.end);
        let given = [at[0].plus(delta_c2s), at[1].plus(delta_s2c)];
        self.leaving = Some(Box::new(Leaving { at, given, object, view, in_order: at, reset: None }));
        self.phase = Phase::Leaving;
    }

    /// Nothing is left below the boundary in either direction: the worker is told to park.
    pub(super) fn park_if_left(&mut self, cx: &mut Context<'_, L>) {
        let (Phase::Leaving, Some(leaving), Some(server)) = (self.phase, &self.leaving, &self.server) else {
            return;
        };
        let [to_server, to_client] = leaving.given;
        let is_over = leaving.reset.is_some();
        if !is_over && server.block.snd_una() == to_server && self.client.block.snd_una() == to_client {
            self.phase = Phase::Parking;
            cx.outbox.order(Order::Park { flow: self.flow, searched: false });
        }
    }

    /// What the worker gets of a flow that has left.
    pub(super) fn left(&mut self) -> Option<([Delta; 2], View)> {
        let Leaving { object, view, .. } = *self.leaving.take()?;
        let Object { delta_c2s, delta_s2c, track, edges, tcp, .. } = object;
        Some(([delta_c2s, delta_s2c], View { track, edges, tcp, ..view }))
    }

    /// A segment of a flow on its way to the worker.
    pub(super) fn on_leaving(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let receive_buffer = self.sender(direction).map_or(0, |leg| leg.block.receive_buffer());
        let Some(leaving) = &mut self.leaving else { return };
        let (at, given) = (leaving.at(direction), leaving.given(direction.reverse()));
        let front = segment.seq.distance_to(at).min(segment.sequence_len());
        let is_above = segment.seq.ge(at) || front < segment.sequence_len();
        let to_given = leaving.given(direction);
        if segment.flags.syn() {
            return self.pass_syn(cx, direction, to_given, headers, frame);
        }
        if !leaving.believable(direction, receive_buffer).has(segment) {
            // Between the ends, and nothing is concluded from it here. What is ours does not pass twice.
            match is_above {
                true => self.pass_end_to_end(cx, direction, headers, frame),
                false => cx.counters.count(Counter::DropBeyondBoundary),
            }
            return;
        }
        let in_order = leaving.in_order(direction);
        let mut is_news = false;
        if is_above {
            let (_, above) = Part::whole(segment, headers, frame.bytes()).behind(front).alone();
            leaving.object.observe(direction, &above);
        } else if !segment.flags.rst() {
            is_news = leaving.observe_below(direction, headers);
        }
        leaving.note_order(direction, segment);
        let end = leaving.object.track[direction.index()].end;
        let passed = end.plus(leaving.object.own_delta(direction));
        if segment.flags.rst() {
            return self.keep_reset(cx, direction, is_above, headers, frame);
        }
        let acknowledges = segment.flags.ack() && segment.ack.ge(given);
        if let Some([from, to]) = self.legs(direction).filter(|_| is_above) {
            from.block.hear_clock(cx.now, segment, in_order);
            to.block.note_overtaken(passed);
        }
        self.take_of_ours(cx, direction, segment, given, is_above);
        self.answer_question(cx, direction, segment);
        match segment.sequence_len() - front {
            // Its bytes end here, and what it acknowledges is for whoever has sent that, unless it has passed before: it would look
            // like a duplicate then.
            0 if segment.sequence_len() > 0 && !(acknowledges && is_news) => {}
            0 if segment.sequence_len() > 0 => {
                self.pass_part(cx, direction, &Part::whole(segment, headers, frame.bytes()).up_to(0));
            }
            0 if acknowledges => self.pass_end_to_end(cx, direction, headers, frame),
            0 if self.sacked_above(direction, segment).is_empty() => {}
            0 => self.pass_part(cx, direction, &Part::whole(segment, headers, frame.bytes())),
            _ if acknowledges && front == 0 => self.pass_end_to_end(cx, direction, headers, frame),
            _ => {
                let above = Part::whole(segment, headers, frame.bytes()).behind(front);
                self.pass_part(cx, direction, &above);
            }
        }
        self.follow_up(direction);
    }

    /// A RST that can be believed.
    fn keep_reset(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        is_above: bool,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let Some(leaving) = self.leaving.as_mut().filter(|_| is_above) else {
            return cx.counters.count(Counter::DropBeyondBoundary);
        };
        // With nothing left below it is the object's, which knows of it, and its worker's who is asked about it.
        if leaving.object.tcp.is_over() && self.phase == Phase::Leaving {
            let until = cx.now + cx.settings.leg.linger;
            leaving.reset = Some(Reset { direction, headers: *headers, frame, until });
        } else {
            self.pass_end_to_end(cx, direction, headers, frame);
        }
    }

    /// A direction in which nothing of ours is left may go on for ever while the other one waits for its receiver.
    fn follow_up(&mut self, direction: Direction) {
        let Some(leaving) = &self.leaving else { return };
        let (at, given) = (leaving.at(direction), leaving.given(direction));
        let by = leaving.lags_by(direction);
        let Some([from, to]) = self.legs(direction).filter(|[_, to]| to.block.snd_una() == given) else {
            return;
        };
        if by == 0 {
            return;
        }
        from.block.follow_taken(at.advance(by));
        to.block.follow_sent(given.advance(by));
        if let Some(leaving) = &mut self.leaving {
            leaving.at[direction.index()] = at.advance(by);
            leaving.given[direction.index()] = given.advance(by);
        }
    }

    /// What a segment says by SACK of what lies above the boundary of the opposite direction, in its sender's numbers.
    ///
    /// Nothing while the receiver has what follows the boundary itself: a block that begins at the ack is what a receiver sends
    /// that has reneged (RFC 2018 section 8, as in `tcp/through.rs`), and without it those behind it would make the sender
    /// repeat what has arrived. It learns of its losses when the acknowledgment comes that far, as it would without us.
    pub(super) fn sacked_above(&mut self, direction: Direction, segment: &Segment) -> ArrayVec<SackBlock, 4> {
        let Some(leaving) = &self.leaving else { return ArrayVec::new() };
        let reverse = direction.reverse();
        let given = leaving.given(reverse);
        let end = leaving.object.track[reverse.index()].end.plus(leaving.object.own_delta(reverse));
        let other = self.numbers_of(direction).other;
        let blocks = &segment.options.sack;
        let ack = segment.ack.max(given);
        if blocks.iter().any(|block| block.left.le(ack) && block.right.gt(ack)) {
            return ArrayVec::new();
        }
        let above = blocks.iter().filter(|block| block.left.gt(ack) && block.right.le(end));
        above
            .map(|block| SackBlock { left: block.left.minus(other), right: block.right.minus(other) })
            .collect()
    }

    /// What a segment says of what lies below the boundary of the opposite direction, which ends at `given`, and of what lies
    /// above.
    fn take_of_ours(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        given: Seq,
        is_above: bool,
    ) {
        let now = cx.now;
        let window = self.promises().shown_window(direction, segment.window);
        let deltas = self.numbers_of(direction);
        let Some([from, to]) = self.legs(direction) else { return };
        // All that the leg has sent lies below the boundary.
        let mut ours = Segment { ack: segment.ack.min(given), ..segment.clone() };
        ours.options.sack.iter_mut().for_each(|block| block.right = block.right.min(given));
        ours.options.sack.retain(|block| block.left.lt(block.right));
        let events = from.block.on_passing(now, &ours);
        if !is_above && segment.sequence_len() > 0 {
            // It has not heard that we have that.
            from.block.acknowledge_now();
        }
        if segment.flags.ack() && segment.ack.ge(given) {
            from.block.note_overtaken_ack(segment);
            let ack = segment.ack.minus(deltas.other);
            to.block.note_passed(ack, ack.advance(window));
        }
        self.on_leg_events(cx, direction, events);
    }

    /// A keepalive or a window probe without data, in the number before the boundary. Its receiver answers when it hears of it, and has
    /// all that lies below; or else the leg does, which has said how far we are, and it may have been lost.
    fn answer_question(&mut self, cx: &Context<'_, L>, direction: Direction, segment: &Segment) {
        let Some(leaving) = &self.leaving else { return };
        if segment.sequence_len() > 0 || segment.seq.advance(1) != leaving.at(direction) {
            return;
        }
        let (given, reverse_given) = (leaving.given(direction), leaving.given(direction.reverse()));
        let passes = segment.flags.ack() && segment.ack.ge(reverse_given);
        let Some([from, to]) = self.legs(direction) else { return };
        if !passes || to.block.snd_una() != given {
            from.block.answer_question(cx.now);
        }
    }

    /// Between the ends, as on cut-through: who gets it says what it expects (RFC 5961 section 4.2). While it has still to
    /// acknowledge something of ours its answer would end here, so the sender's leg answers. Behind the end of the flow it begins
    /// another one, as on cut-through; then a RST waits no longer.
    fn pass_syn(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        given: Seq,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let now = cx.now;
        let begins = direction == Direction::ClientToServer && !headers.flags.ack();
        if let Some(leaving) = self.leaving.as_ref().filter(|of| begins && of.object.tcp.is_over()) {
            let is_told = leaving.reset.is_none();
            self.next_syn = Some(frame);
            if is_told {
                self.finish(cx);
            }
            return;
        }
        match self.legs(direction) {
            Some([from, to]) if to.block.snd_una() != given => from.block.challenge(now),
            _ => self.pass_end_to_end(cx, direction, headers, frame),
        }
    }

    /// Each sender may send as far as the opposite receiver allows: what comes is not kept here. Its receiver says so itself
    /// only when nothing is left below.
    pub(super) fn mirror_windows(&mut self) {
        for direction in Direction::BOTH {
            if let Some([from, to]) = self.legs(direction) {
                let room = to.block.closed_at().distance_to(to.block.peer_right_edge());
                from.block.set_offer(room, true);
            }
        }
    }

    /// A RST goes on behind what was said before it, as on a relayed flow: its receiver would not obey it earlier.
    pub(super) fn pass_reset_behind_data(&mut self, cx: &mut Context<'_, L>) {
        let Some(leaving) = &self.leaving else { return };
        let Some(&Reset { direction, until, .. }) = leaving.reset.as_ref() else { return };
        let given = leaving.given(direction);
        let own = self.numbers_of(direction).own;
        let Some([_, to]) = self.legs(direction) else { return };
        let is_delivered = to.block.snd_una() == given;
        let expected = to.block.acknowledged_number();
        if !is_delivered && cx.now < until && self.next_syn.is_none() {
            return;
        }
        let Some(Reset { headers, frame, .. }) =
            self.leaving.as_mut().and_then(|leaving| leaving.reset.take())
        else {
            return;
        };
        // Its end answered what we had acknowledged, while more of its bytes were past us already.
        let is_overtaken = headers.seq.plus(own).lt(expected);
        if is_delivered && !is_overtaken {
            self.pass_end_to_end(cx, direction, &headers, frame);
            return self.end_behind_reset(cx);
        }
        // It would not be obeyed, behind what is missing or before what has come; the leg knows the number that is.
        if let Some([from, to]) = self.legs(direction) {
            from.block.end_silently();
            to.block.abort();
        }
    }
}
