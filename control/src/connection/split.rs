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
use dataplane::flow::quad::Direction;
use dataplane::packet::TcpHeaders;
use dataplane::rewrite::delta::{self, Deltas};
use dataplane::rewrite::reconcile;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::SackBlock;
use dataplane::worker::message::{Order, Split};

use super::allowance::Allowance;
use super::hold::Hold;
use super::leg::Leg;
use super::path::{family, mss_within};
use super::promises::in_force;
use super::{BlockOf, Connection, Phase};
use crate::core::context::{Context, Way};
use crate::module::{Proxying, Session};
use crate::tcp::{Block, Boundary, Segment};

/// Control bits that belong to the last number of a segment.
const AT_THE_END: TcpFlags = TcpFlags(TcpFlags::PSH.0 | TcpFlags::FIN.0);
/// Control bits that mean nothing without bytes.
const OF_BYTES: TcpFlags = TcpFlags(AT_THE_END.0 | TcpFlags::URG.0);

/// A direction, from the split until its receiver has acknowledged all that passed before.
#[derive(Debug, Clone, Copy)]
struct Below {
    /// The boundary, in the sender's space.
    at: Seq,
    /// What the receiver has acknowledged, in the sender's space.
    acked: Seq,
    /// All before the boundary is acknowledged: what follows is between the TCBs alone.
    is_over: bool,
    /// The sender has been heard since the split.
    is_heard: bool,
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

    /// The sender of `direction` has been heard, so that there is a way to speak for it.
    pub(super) fn has_heard(&self, direction: Direction) -> bool {
        self.below(direction).is_heard
    }

    /// All that passed in `direction` before the split has arrived, whoever has said so.
    pub(super) fn has_delivered(&self, direction: Direction) -> bool {
        let below = self.below(direction);
        below.is_over || below.acked == below.at
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
        };
        let below = |direction: Direction| Below {
            at: split.view.track[direction.index()].end,
            acked: split.view.track[direction.reverse().index()].ack,
            is_over: false,
            is_heard: false,
        };
        Connection {
            key,
            flow,
            worker,
            client_side,
            phase: Phase::Relaying,
            proxying: Some(proxying),
            session: Some(session),
            client: leg(client, client_side.into(), key.quad.reversed()),
            server: Some(leg(server, way, key.quad)),
            local: None,
            greeted: None,
            closed: [false; 2],
            edited: [0; 2],
            clock: split.view.clock,
            allowances: [Allowance::new(cx.now, cx.settings.leg.send_buffer); 2],
            through: None,
            splitting: Some(Box::new(Splitting { below: [below(client), below(server)] })),
            leaving: None,
            hold: Hold::of_split(split.view.edges),
            merge_began: cx.now,
            merge_wanted: false,
            merge_retry: None,
            merge_attempts: 0,
            ending: None,
            heard: cx.now,
            expires: cx.now + cx.settings.idle_established,
            blocked: None,
            held: Default::default(),
            next_syn: None,
        }
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
            // Between the ends, as on cut-through: who gets it says what it expects (RFC 5961 section 4.2).
            return self.pass_verbatim(cx, direction, headers, frame);
        }
        let Some(below) = self.below(direction) else { return };
        if !self.is_plausible(&below, direction, segment) {
            // Whoever gets it knows better; nothing is concluded from it here.
            return self.pass_verbatim(cx, direction, headers, frame);
        }
        self.hear(cx.now, direction, segment);
        let starts_below = !below.is_over && segment.seq.lt(below.at);
        if segment.flags.rst() {
            return match starts_below {
                true => self.pass_reset(cx, direction, &below, headers, frame),
                false => self.on_relayed(cx, direction, segment, headers, frame),
            };
        }
        let is_news = self.note_passing_ack(cx.now, direction, segment);
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
                false => self.on_relayed(cx, direction, segment, headers, frame),
            }
        } else if front >= segment.sequence_len() {
            self.pass_whole(cx, direction, segment, headers, frame);
        } else {
            if front > 0 || (passes_ack && is_news) {
                self.pass_front(cx, direction, segment, front, headers, &frame);
            }
            let (rest, headers) = behind(segment, headers, front);
            self.on_relayed(cx, direction, &rest, &headers, frame);
        }
    }

    /// Learns of its sender what is needed to speak for it, and of its receiver what the sender knows of its clock.
    fn hear(&mut self, now: Instant, direction: Direction, segment: &Segment) {
        if let Some(splitting) = &mut self.splitting {
            splitting.below[direction.index()].is_heard = true;
        }
        let clocks = self.clocks(direction);
        if let Some([from, to]) = self.legs(direction)
            && let Some(ts) = segment.options.timestamps
        {
            let echo = clocks.moved(ts, true).echo;
            from.block.learn_clock(now, ts.value);
            to.block.learn_clock(now, echo);
        }
    }

    fn below(&self, direction: Direction) -> Option<Below> {
        self.splitting.as_ref().map(|splitting| splitting.below(direction))
    }

    /// Its numbers are such as its sender could have sent: who guesses must not end a boundary.
    fn is_plausible(&mut self, below: &Below, direction: Direction, segment: &Segment) -> bool {
        let Some([from, to]) = self.legs(direction) else { return false };
        let reserve = from.block.receive_buffer().max(to.block.receive_buffer());
        let oldest = below.acked.retreat(reserve);
        let fits = segment.seq.le(from.block.offered_right_edge()) && segment.end().ge(oldest);
        fits && (!segment.flags.ack() || segment.ack.le(from.block.snd_nxt()))
    }

    /// Whether the byte `seq`, in the numbers of the receiver of `direction`, is between the ends: while a flow splits, what
    /// lies below the boundary and is not acknowledged; while it leaves, what lies above.
    pub(super) fn is_end_to_end(&mut self, direction: Direction, seq: Seq) -> bool {
        let own = self.numbers_of(direction).own;
        let sent = seq.minus(own);
        match (self.below(direction), &self.leaving) {
            (Some(below), _) => !below.is_over && sent.ge(below.acked) && sent.le(below.at),
            (None, Some(leaving)) => leaving.has_passed(direction, seq),
            (None, None) => false,
        }
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
        let acked = below.acked.max(ack.min(below.at));
        if let Some([receiver, sender]) = self.legs(direction) {
            sender.block.let_acknowledge(acked);
            if is_over {
                receiver.block.catch_up(now);
                sender.block.stop_withholding();
            }
        }
        let Some(splitting) = &mut self.splitting else { return false };
        splitting.below[reverse.index()] = Below { acked, is_over, ..below };
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
        let now = cx.now;
        let events = self.sender(direction).map(|leg| leg.block.on_passing(now, segment));
        if self.speaks_of_below_only(direction, segment) {
            self.pass_verbatim(cx, direction, headers, frame);
        } else {
            self.pass_front(cx, direction, segment, segment.sequence_len(), headers, &frame);
        }
        if let Some(events) = events {
            self.on_leg_events(cx, direction, events);
        }
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

    fn pass_verbatim(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: L::Buffer,
    ) {
        let deltas = self.numbers_of(direction);
        if !deltas.are_zero() {
            delta::apply(frame.bytes_mut(), headers, deltas);
        }
        if self.is_reconciled() {
            reconcile::apply(frame.bytes_mut(), headers, self.reconciliation(direction));
        }
        let way = self.way_to(direction);
        cx.forward(way, frame);
    }

    /// The first `len` numbers of a segment, none for its acknowledgment alone; the rest of it says what the receiver's leg
    /// would say.
    fn pass_front(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        segment: &Segment,
        len: u32,
        headers: &TcpHeaders,
        frame: &L::Buffer,
    ) {
        if !cx.can_transmit() {
            return cx.counters.count(Counter::DropOrdersFull);
        }
        let deltas = self.numbers_of(direction);
        let opposite = self.below(direction.reverse()).filter(|below| !below.is_over);
        let clocks = self.clocks(direction);
        let is_above = self.below(direction).is_none_or(|below| below.is_over || segment.seq.gt(below.at));
        let Some([_, to]) = self.legs(direction) else { return };
        let own = segment.seq.plus(deltas.own);
        let (seq, flags) = match len {
            // A session may have made more or fewer bytes of those in between.
            0 if is_above => (to.block.snd_nxt(), TcpFlags(segment.flags.0 & !OF_BYTES.0)),
            // Beyond what its receiver has room for it would not be looked at.
            0 => (own.min(to.block.snd_nxt()), TcpFlags(segment.flags.0 & !OF_BYTES.0)),
            len if len < segment.sequence_len() => (own, TcpFlags(segment.flags.0 & !AT_THE_END.0)),
            _ => (own, segment.flags),
        };
        let ts_value = segment.options.timestamps.map_or(0, |ts| clocks.moved(ts, true).value);
        let mut out = to.block.passing(seq, flags, ts_value);
        if let Some(below) = opposite.filter(|_| to.block.has_sack()) {
            let room = out.options.sack.remaining_capacity();
            out.options.sack.extend(sacked_below(segment, deltas, below.at).take(room));
        }
        let tcp = TcpRepr {
            seq,
            ack: out.ack,
            flags: out.flags,
            window: out.window,
            urgent: if len > 0 { segment.urgent } else { out.urgent },
            options: out.options,
        };
        let start = usize::from(headers.payload);
        let len = len.min(headers.payload_len()) as usize;
        cx.transmit(to.way, &to.template, &tcp, len, |bytes| {
            bytes.copy_from_slice(&frame.bytes()[start..start + len]);
        });
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
        self.pass_verbatim(cx, direction, headers, frame);
        if headers.seq == below.acked {
            self.phase = Phase::Done;
            cx.outbox.order(Order::Remove { flow: self.flow });
        }
    }
}

/// What lies behind the first `front` bytes of a segment.
pub(super) fn behind(segment: &Segment, headers: &TcpHeaders, front: u32) -> (Segment, TcpHeaders) {
    let seq = segment.seq.advance(front);
    let rest = Segment { seq, len: segment.len.saturating_sub(front), ..segment.clone() };
    let payload = headers.payload + front.min(headers.payload_len()) as u16;
    (rest, TcpHeaders { seq, payload, ..*headers })
}

/// The SACK blocks of a segment, as far as they are about what lies below `at`, in the other end's numbers.
fn sacked_below(segment: &Segment, deltas: Deltas, at: Seq) -> impl Iterator<Item = SackBlock> {
    segment.options.sack.iter().filter_map(move |block| {
        let (left, right) = (block.left.minus(deltas.other), block.right.minus(deltas.other).min(at));
        left.lt(right).then_some(SackBlock { left, right })
    })
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
    let mtu = cx.settings.mtu[usize::from(split.client_side.0)];
    block.set_link_mss(mss_within(mtu, &split.key.quad));
    block
}
