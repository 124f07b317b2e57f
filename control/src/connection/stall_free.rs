//! The merge of a flow that never rests (DESIGN section 5, "stall-free"): nothing is drained.
//!
//! For each direction the boundary is the end of what we have taken. Below it the bytes are ours, until the receiver has
//! acknowledged them: sent, repeated, acknowledged as before. What lies above goes end to end from now on, past the TCBs, by
//! the object that the worker will get. When nothing is left below in either direction, the worker gets it.
//!
//! An acknowledgment from below the boundary ends at the TCB. In a segment with data it is raised to the boundary, which the
//! sender has been told already, and the window is that of the leg, which is no larger than its receiver's.

use dataplane::buffer::{Buffer, Pool};
use dataplane::counters::Counter;
use dataplane::flow::object::{Object, Path, Track, View};
use dataplane::flow::quad::Direction;
use dataplane::packet::TcpHeaders;
use dataplane::rewrite::delta::{self, Deltas};
use dataplane::rewrite::reconcile;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp::TcpRepr;
use dataplane::worker::message::Order;

use super::split::behind;
use super::{Connection, Phase};
use crate::core::context::Context;
use crate::tcp::Segment;

/// Repetitions from further below the boundary than any window reaches are not looked at.
const OLDEST: u32 = 1 << 26;

/// A flow on its way to the worker.
pub(super) struct Leaving<B> {
    /// The boundary in each direction: in its sender's space.
    at: [Seq; 2],
    /// The same in the numbers of the leg towards the receiver.
    given: [Seq; 2],
    /// What the worker will get, kept as the worker would.
    object: Object,
    mss: [u16; 2],
    /// An end has reset the flow: its RST, until what it said before has arrived.
    reset: Option<(Direction, TcpHeaders, B)>,
}

impl<B> Leaving<B> {
    fn deltas(&self, direction: Direction) -> Deltas {
        Deltas { own: self.object.own_delta(direction), other: self.object.other_delta(direction) }
    }

    fn at(&self, direction: Direction) -> Seq {
        self.at[direction.index()]
    }

    fn given(&self, direction: Direction) -> Seq {
        self.given[direction.index()]
    }

    /// Whether the byte `seq`, in the numbers of the receiver of `direction`, has gone past us.
    pub(super) fn has_passed(&self, direction: Direction, seq: Seq) -> bool {
        let end = self.object.track[direction.index()].end.plus(self.object.own_delta(direction));
        seq.ge(self.given(direction)) && seq.le(end)
    }

    /// Its numbers are such as its sender could have sent: who guesses must not end a boundary.
    fn is_plausible(&self, direction: Direction, segment: &Segment) -> bool {
        let (own, opposite) = (direction.index(), direction.reverse().index());
        let object = &self.object;
        let ack = segment.ack.minus(object.other_delta(direction));
        let sent = object.track[opposite].end;
        let oldest = self.at[own].retreat(OLDEST);
        let in_window = segment.seq.le(object.edges[own]) && segment.end().ge(oldest);
        in_window && (!segment.flags.ack() || ack.le(sent.max(object.edges[opposite])))
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
        let Some(server) = &self.server else { return };
        let (client, server) = (&self.client.block, &server.block);
        let at = [client.rcv_nxt(), server.rcv_nxt()];
        let given = [server.written_to(), client.written_to()];
        let [delta_c2s, delta_s2c] = [0, 1].map(|of| Delta::between(given[of], at[of]));
        let edges = [
            client.offered_right_edge().max(server.peer_right_edge().minus(delta_c2s)),
            server.offered_right_edge().max(client.peer_right_edge().minus(delta_s2c)),
        ];
        let object = Object {
            delta_c2s,
            delta_s2c,
            path: Path::CutThrough,
            tcp: View::default().tcp,
            track: [Track { end: at[0], ack: at[1] }, Track { end: at[1], ack: at[0] }],
            edges,
            terms: self.promises().meant(),
            ..Object::FREE
        };
        let mss = [client, server].map(|block| block.peer_offer().mss.unwrap_or(0));
        self.leaving = Some(Box::new(Leaving { at, given, object, mss, reset: None }));
        self.phase = Phase::Leaving;
    }

    /// Nothing is left below the boundary in either direction: the worker is told to park.
    pub(super) fn park_if_left(&mut self, cx: &mut Context<'_, L>) {
        let (Phase::Leaving, Some(leaving), Some(server)) = (self.phase, &self.leaving, &self.server) else {
            return;
        };
        let [to_server, to_client] = leaving.given;
        if leaving.reset.is_some() {
            return self.pass_reset_behind_data(cx);
        }
        if server.block.snd_una() == to_server && self.client.block.snd_una() == to_client {
            self.phase = Phase::Parking;
            cx.outbox.order(Order::Park { flow: self.flow });
        }
    }

    /// What the worker gets of a flow that has left.
    pub(super) fn left(&mut self) -> Option<(Delta, Delta, View)> {
        let leaving = self.leaving.take()?;
        let Object { delta_c2s, delta_s2c, track, edges, tcp, .. } = leaving.object;
        let (promises, clock, mss) = (self.promises(), self.clock, leaving.mss);
        Some((delta_c2s, delta_s2c, View { track, edges, promises, clock, mss, tcp }))
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
        let Some(leaving) = &mut self.leaving else { return };
        let (at, given) = (leaving.at(direction), leaving.given(direction.reverse()));
        let deltas = leaving.deltas(direction);
        let front = segment.seq.distance_to(at).min(segment.sequence_len());
        let is_above = segment.seq.ge(at) || front < segment.sequence_len();
        if segment.flags.syn() || !leaving.is_plausible(direction, segment) {
            // Between the ends, and nothing is concluded from it here. What is ours does not pass twice.
            if is_above || segment.flags.syn() {
                self.pass_by(cx, direction, deltas, headers, frame);
            }
            return;
        }
        if is_above {
            let (_, above) = behind(segment, headers, front);
            leaving.object.observe(direction, &above);
        }
        if segment.flags.rst() {
            if is_above && leaving.object.tcp.is_over() {
                leaving.reset = Some((direction, *headers, frame));
                self.pass_reset_behind_data(cx);
            } else if is_above {
                self.pass_by(cx, direction, deltas, headers, frame);
            }
            return;
        }
        let now = cx.now;
        let acknowledges = segment.flags.ack() && segment.ack.ge(given);
        if let Some(leg) = self.sender(direction) {
            // All that the leg has sent lies below the boundary.
            let mut ours = Segment { ack: segment.ack.min(given), ..segment.clone() };
            ours.options.sack.iter_mut().for_each(|block| block.right = block.right.min(given));
            ours.options.sack.retain(|block| block.left.lt(block.right));
            let events = leg.block.on_passing(now, &ours);
            if !is_above && segment.sequence_len() > 0 {
                // It has not heard that we have that.
                leg.block.acknowledge_now();
            }
            self.on_leg_events(cx, direction, events);
        }
        let window = self.promises().shown_window(direction, segment.window);
        if acknowledges && let Some([_, to]) = self.legs(direction) {
            let ack = segment.ack.minus(deltas.other);
            to.block.note_passed(ack, ack.advance(window));
        }
        match segment.sequence_len() - front {
            0 if segment.sequence_len() > 0 => {}
            0 if acknowledges => self.pass_by(cx, direction, deltas, headers, frame),
            0 => {}
            _ if acknowledges && front == 0 => self.pass_by(cx, direction, deltas, headers, frame),
            _ => self.pass_above(cx, direction, deltas, segment, front, headers, &frame),
        }
    }

    /// A RST goes on behind what was said before it, as on a relayed flow: its receiver would not obey it earlier.
    pub(super) fn pass_reset_behind_data(&mut self, cx: &mut Context<'_, L>) {
        let Some(leaving) = &self.leaving else { return };
        let Some(direction) = leaving.reset.as_ref().map(|(direction, ..)| *direction) else { return };
        let (given, deltas) = (leaving.given(direction), leaving.deltas(direction));
        let is_delivered = self.legs(direction).is_some_and(|[_, to]| to.block.snd_una() == given);
        if !is_delivered {
            return;
        }
        if let Some((_, headers, frame)) = self.leaving.as_mut().and_then(|leaving| leaving.reset.take()) {
            self.pass_by(cx, direction, deltas, &headers, frame);
            self.leave_for_good(cx);
        }
    }

    /// As the worker will do it.
    fn pass_by(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        deltas: Deltas,
        headers: &TcpHeaders,
        mut frame: L::Buffer,
    ) {
        if !deltas.are_zero() {
            delta::apply(frame.bytes_mut(), headers, deltas);
        }
        if self.is_reconciled() {
            reconcile::apply(frame.bytes_mut(), headers, self.reconciliation(direction));
        }
        let way = self.way_to(direction);
        cx.forward(way, frame);
    }

    /// What follows the first `front` bytes of a segment, with the acknowledgment and the window of the receiver's leg.
    #[expect(clippy::too_many_arguments, reason = "a segment in its parts")]
    fn pass_above(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        deltas: Deltas,
        segment: &Segment,
        front: u32,
        headers: &TcpHeaders,
        frame: &L::Buffer,
    ) {
        if !cx.can_transmit() {
            return cx.counters.count(Counter::DropOrdersFull);
        }
        let clocks = self.clocks(direction);
        let Some([_, to]) = self.legs(direction) else { return };
        let seq = segment.seq.advance(front).plus(deltas.own);
        let ts_value = segment.options.timestamps.map_or(0, |ts| clocks.moved(ts, true).value);
        let out = to.block.passing(seq, segment.flags, ts_value);
        let tcp = TcpRepr {
            seq,
            ack: out.ack,
            flags: out.flags,
            window: out.window,
            urgent: segment.urgent,
            options: out.options,
        };
        let bytes = usize::from(headers.payload) + front as usize..usize::from(headers.end);
        cx.transmit(to.way, &to.template, &tcp, bytes.len(), |payload| {
            payload.copy_from_slice(&frame.bytes()[bytes]);
        });
    }

    /// A RST has passed that its receiver obeys.
    fn leave_for_good(&mut self, cx: &mut Context<'_, L>) {
        self.phase = Phase::Done;
        cx.outbox.order(Order::Remove { flow: self.flow });
    }
}
