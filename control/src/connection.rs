//! One flow on the control core: from its server's SYN-ACK, or its split, to its merge or its end.
//!
//! What comes before is a partial connection (`crate::suspended`, seed 000). `answered` brings both handshakes to their end,
//! `relay` moves bytes between the legs (seed 002), `hold` keeps them back until there is a verdict (seed 004), `merge` replaces
//! both legs by a connection object (seed 001) and `stall_free` does so without draining them, `split` makes two legs of an
//! object, `passing` is what goes past both meanwhile. `leg` frames what a TCB wants sent, `life` ends what nobody else ends.

mod allowance;
mod answered;
mod awaits;
mod begun;
mod believable;
mod check;
mod client_first;
mod hold;
mod leg;
mod life;
mod local;
mod merge;
mod passing;
mod path;
mod promises;
mod relay;
mod split;
mod stall_free;
mod through;
mod urgent;
mod withheld;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::flow::table::FlowRef;
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::port::PortId;

use crate::core::context::{Context, Way};
use crate::core::load::Load;
use crate::module::{Proxying, Session};
use crate::tcp::{Block, Segment, State};

use allowance::Allowance;
pub(crate) use answered::Answered;
pub use awaits::Awaits;
use client_first::Greeted;
pub(crate) use client_first::{Chosen, Greeting};
use hold::Hold;
use leg::Leg;
pub(crate) use leg::{read_segment, read_segment_into};
pub(crate) use local::Accepting;
use local::Local;
pub(crate) use path::is_source_quench;
use split::Splitting;
use stall_free::Leaving;
use through::Ledger;

/// Where a flow is on its way through the participating path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The server has answered and so has the client been; its ACK is awaited.
    Answered,
    /// Client-first: the client is validated, its first words decide about the server.
    Choosing {
        /// When the session has to have decided.
        until: Option<Instant>,
    },
    /// Client-first: the server has our SYN.
    Connecting,
    /// Bytes are relayed.
    Relaying,
    /// Nothing new is taken; both legs wait for their last acknowledgments (seed 001, FIG. 6, steps 602 to 606).
    Draining {
        /// When the merge is undone.
        deadline: Instant,
    },
    /// What comes passes end to end; both legs wait until all that is theirs is acknowledged.
    Leaving,
    /// Drained, or left; the worker has been ordered to park.
    Parking,
    /// Ended by RST, which may have been lost or not believed: what still comes is answered with another.
    Ended {
        /// When the flow is forgotten.
        until: Instant,
    },
    /// Over. The control core forgets the flow.
    Done,
}

/// How long a flow waits when the way to its worker is full.
const BLOCKED: Duration = Duration::from_millis(1);

/// A segment that came while a merge was under way; its acknowledgment has been processed, its bytes have not.
struct Held<B> {
    direction: Direction,
    headers: TcpHeaders,
    frame: B,
}

/// A flow.
pub struct Connection<L: Pool> {
    key: FlowKey,
    flow: FlowRef,
    worker: usize,
    client_side: PortId,
    phase: Phase,
    proxying: Option<Proxying>,
    session: Option<Box<dyn Session>>,
    client: Leg<L::Buffer>,
    /// None on a flow that its module has accepted: there, `local` is the far end.
    server: Option<Leg<L::Buffer>>,
    local: Option<Local>,
    /// On a flow that began client-first.
    greeted: Option<Box<Greeted>>,
    /// FIN of the sender of each direction has been passed on.
    closed: [bool; 2],
    /// By how much a module has lengthened each direction, modulo 2^32.
    edited: [i32; 2],
    /// How far ahead of itself the client knows the server's timestamp clock, modulo 2^32.
    clock: u32,
    /// By direction: what may be kept.
    allowances: [Allowance; 2],
    /// By direction, on a flow that acknowledges through.
    through: Option<Box<[Ledger; 2]>>,
    /// Something from before the last split is still on its way.
    splitting: Option<Box<Splitting>>,
    /// It is being merged without being drained.
    leaving: Option<Box<Leaving<L::Buffer>>>,
    /// What its session keeps back.
    hold: Hold,
    /// When the merge that is under way began.
    merge_began: Instant,
    merge_wanted: bool,
    /// An undone merge is not tried again before.
    merge_retry: Option<Instant>,
    merge_attempts: u32,
    /// A merge has waited for a receiver to have room for what its sender was promised.
    has_awaited_room: bool,
    /// The endpoint that sends in that direction has reset its leg; when the other one is reset at the latest.
    ending: Option<(Direction, Instant)>,
    /// The way to the worker was full: what could not be said is said then.
    blocked: Option<Instant>,
    /// When an endpoint was heard last.
    heard: Instant,
    /// When the flow ends if nothing happens until then.
    expires: Instant,
    /// What its timer is armed for.
    armed: Option<Instant>,
    held: VecDeque<Held<L::Buffer>>,
    /// Of what it keeps, so much is in the sum of all flows.
    counted: Load,
    /// The client's SYN for its next connection on this quad, until the server too has this one behind it.
    next_syn: Option<L::Buffer>,
}

impl<L: Pool> Connection<L> {
    /// The flow's name on its worker.
    pub fn flow(&self) -> FlowRef {
        self.flow
    }

    /// The worker that owns it.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes of `direction` that have been acknowledged to their sender and not yet by their receiver, a FIN counted as
    /// one (invariant 2).
    pub fn held_bytes(&self, direction: Direction) -> u64 {
        let (from, to) = match direction {
            Direction::ClientToServer => (Some(&self.client), self.server.as_ref()),
            Direction::ServerToClient => (self.server.as_ref(), Some(&self.client)),
        };
        let (Some(from), Some(to)) = (from, to) else { return 0 };
        // Before the client is validated nothing is acknowledged to the server but its SYN-ACK (`emit`).
        if self.through.is_some() || self.phase == Phase::Answered {
            return 0;
        }
        // Nor is anything above the boundary of a split before its receiver has reached that.
        if self.splitting.as_ref().is_some_and(|splitting| !splitting.is_over(direction)) {
            return 0;
        }
        let fin_acked = matches!(to.block.state(), State::FinWait2 | State::TimeWait | State::Closed);
        let fin = u64::from(from.block.fin_received() && !fin_acked);
        u64::from(from.block.readable()) + self.withheld(direction) + u64::from(to.block.queued()) + fin
    }

    /// What it keeps.
    pub fn load(&self) -> Load {
        let server = self.server.as_ref().map_or(0, |leg| leg.block.buffered());
        let session = self.session.as_ref().map_or(0, |session| session.memory());
        let bytes = self.client.block.buffered() + server + session;
        Load { bytes, held: self.held.len(), promised: self.promised(), connections: 1 }
    }

    /// The key, client → server.
    pub fn key(&self) -> &FlowKey {
        &self.key
    }

    /// What it keeps that is not counted yet: what was counted before, and what is from now on.
    pub fn recount(&mut self) -> (Load, Load) {
        let now = self.load();
        (std::mem::replace(&mut self.counted, now), now)
    }

    /// What has been counted of it.
    pub fn counted(&self) -> Load {
        self.counted
    }

    /// A segment of the flow that is not parked. [`Connection::settle`] does what becomes ready with it.
    #[inline(always)]
    pub fn on_segment(
        &mut self,
        cx: &mut Context<'_, L>,
        direction: Direction,
        headers: &TcpHeaders,
        frame: L::Buffer,
    ) {
        let mut segment = Segment::default();
        if !read_segment_into(frame.bytes(), headers, &mut segment) {
            return cx.counters.count(Counter::DropTcpOptions);
        }
        cx.counters.count(Counter::Terminated);
        self.heard = cx.now;
        self.learn(direction, headers, &frame);
        match self.phase {
            Phase::Answered => self.on_handshake(cx, direction, &segment, headers, frame),
            Phase::Relaying if self.splitting.is_some() => {
                self.on_splitting(cx, direction, &segment, headers, frame);
            }
            // What it had still to be told it knows, and a RST is never answered.
            Phase::Ended { .. } if segment.flags.rst() => {
                if let Some(leg) = self.sender(direction) {
                    leg.block.end_silently();
                }
            }
            Phase::Relaying | Phase::Choosing { .. } | Phase::Connecting | Phase::Ended { .. } => {
                self.on_relayed(cx, direction, &segment, headers, frame);
            }
            Phase::Leaving | Phase::Parking if self.leaving.is_some() => {
                self.on_leaving(cx, direction, &segment, headers, frame);
            }
            Phase::Leaving => {}
            Phase::Draining { .. } | Phase::Parking => {
                self.on_merging(cx, direction, &segment, headers, frame);
            }
            Phase::Done => {}
        }
    }

    /// A timer of either leg, or of the phase, may be due.
    pub fn on_timer(&mut self, cx: &mut Context<'_, L>) {
        match self.phase {
            _ if self.expires <= cx.now => self.expire(cx),
            Phase::Ended { .. } | Phase::Done => {}
            Phase::Draining { deadline } if deadline <= cx.now => self.undo_merge(cx),
            _ => self.on_leg_timers(cx),
        }
        self.settle(cx);
    }

    /// When [`Connection::on_timer`] has to be called next.
    #[inline(always)]
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Draining { deadline } => Some(deadline),
            Phase::Choosing { until } => until,
            Phase::Relaying => {
                let ending = self.ending.map(|(_, until)| until);
                let kept = Instant::earlier(self.hold.deadline(), self.withheld_until());
                Instant::earlier(Instant::earlier(self.merge_retry, ending), kept)
            }
            Phase::Leaving => self.leaving.as_ref().and_then(|leaving| leaving.deadline()),
            _ => None,
        };
        let client = self.client.block.deadline();
        let server = self.server.as_ref().and_then(|leg| leg.block.deadline());
        [phase, client, server, self.blocked, Some(self.expires)].into_iter().fold(None, Instant::earlier)
    }

    /// Its timer is to be armed for then, if that is earlier than what it is armed for.
    #[inline(always)]
    pub(crate) fn arm(&mut self) -> Option<Instant> {
        let deadline = self.deadline()?;
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return None;
        }
        self.armed = Some(deadline);
        Some(deadline)
    }

    /// What its timer is armed for.
    pub(crate) fn armed(&self) -> Option<Instant> {
        self.armed
    }

    /// Its timer has fired.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    /// An ICMP error about a segment of this flow that travelled in direction `quoted`.
    pub fn on_icmp(
        &mut self,
        cx: &mut Context<'_, L>,
        quoted: Direction,
        error: &IcmpError,
        frame: L::Buffer,
    ) {
        cx.counters.count(Counter::Terminated);
        match self.phase {
            _ if is_source_quench(error) => cx.counters.count(Counter::DropSourceQuench),
            Phase::Ended { .. } | Phase::Done => {}
            Phase::Connecting if quoted == Direction::ClientToServer => {
                self.network_refuses_server(cx, quoted, error);
            }
            _ => self.on_icmp_established(cx, quoted, error, frame),
        }
        self.settle(cx);
    }

    /// Whether another segment may come before what this one, which came in `direction`, has made ready is done: its sender is owed
    /// no answer to it alone, and nothing in it belongs to its own place.
    pub(crate) fn may_wait(&self, direction: Direction) -> bool {
        let leg = match direction {
            Direction::ClientToServer => Some(&self.client),
            Direction::ServerToClient => self.server.as_ref(),
        };
        let is_pressing = |leg: &Leg<_>| leg.block.owes_ack_now() || leg.block.urgent().is_some();
        self.phase != Phase::Done && !leg.is_some_and(is_pressing)
    }

    /// After every event: what became ready is done, and what the legs want to say goes out.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_, L>) {
        match self.phase {
            // What a server acknowledged at once may send is limited like everything it sends later.
            Phase::Answered => self.offer_windows(cx),
            Phase::Leaving => {
                self.mirror_windows();
                self.pass_reset_behind_data(cx);
            }
            Phase::Choosing { until } => self.choose(cx, until),
            Phase::Relaying => {
                self.tick_session(cx.now);
                self.judge_overdue(cx);
                self.pump(cx);
                self.acknowledge_arrived();
                self.carry_out_cut(cx);
                self.end_if_delivered(cx);
                self.begin_merge_if_due(cx);
            }
            _ => {}
        }
        self.acknowledge_through(cx);
        self.count_copies(cx);
        self.use_promises();
        self.emit(cx);
        self.restart_if_over(cx);
        self.end_if_over(cx);
        self.park_if_drained(cx);
        self.park_if_left(cx);
        self.renew_life(cx);
    }

    fn on_leg_timers(&mut self, cx: &mut Context<'_, L>) {
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            let now = cx.now;
            let Some(leg) = self.sender(direction) else { continue };
            if leg.block.deadline().is_some_and(|deadline| deadline <= now) {
                let events = leg.block.on_timer(now);
                self.on_leg_events(cx, direction, events);
            }
        }
    }

    fn count_copies(&mut self, cx: &mut Context<'_, L>) {
        for leg in [Some(&mut self.client), self.server.as_mut()].into_iter().flatten() {
            cx.counters.add(Counter::CopiedBytes, leg.block.take_copied() as u64);
        }
    }

    /// The leg of the endpoint that sends in `direction`.
    fn sender(&mut self, direction: Direction) -> Option<&mut Leg<L::Buffer>> {
        match direction {
            Direction::ClientToServer => Some(&mut self.client),
            Direction::ServerToClient => self.server.as_mut(),
        }
    }

    /// The legs of the endpoints that send and receive in `direction`.
    fn legs(&mut self, direction: Direction) -> Option<[&mut Leg<L::Buffer>; 2]> {
        let server = self.server.as_mut()?;
        Some(match direction {
            Direction::ClientToServer => [&mut self.client, server],
            Direction::ServerToClient => [server, &mut self.client],
        })
    }

    /// Segments that we make look like the last one of the endpoint that they speak for.
    #[inline(always)]
    fn learn(&mut self, direction: Direction, headers: &TcpHeaders, frame: &L::Buffer) {
        if let Some([from, to]) = self.legs(direction) {
            to.learn(frame, headers);
            from.learn_address(frame, headers);
        } else if direction == Direction::ServerToClient {
            self.client.learn(frame, headers);
        } else {
            self.client.template = local::answer_to(frame.bytes(), headers);
            self.learn_look(frame.bytes(), headers);
        }
    }

    #[inline(always)]
    fn emit(&mut self, cx: &mut Context<'_, L>) {
        let (client_ts, server_ts) = (self.clients_clock(), self.servers_clock(cx.now));
        if self.client.can_speak() {
            self.client.emit(cx, server_ts);
        }
        let unvalidated = self.phase == Phase::Answered;
        if let Some(server) = self.server.as_mut().filter(|leg| leg.can_speak()) {
            // What a server says before the client is validated is taken and not acknowledged: should the client's ACK
            // be lost, nothing but the server's repetition would bring the handshake on.
            let has_spoken = server.block.rcv_nxt() != server.block.irs().advance(1);
            if !(unvalidated && has_spoken) || server.block.state() == State::Closed {
                server.emit(cx, client_ts);
            }
        }
        self.blocked = (!cx.can_transmit()).then(|| cx.now + BLOCKED);
    }

    /// Which way a frame leaves that travels `direction`.
    fn way_to(&self, direction: Direction) -> Way {
        match (direction, &self.server) {
            (Direction::ClientToServer, Some(server)) => server.way,
            _ => self.client.way,
        }
    }

    /// See [`Settings::mtu_of`].
    ///
    /// [`Settings::mtu_of`]: crate::core::context::Settings::mtu_of
    fn mtu(&self, cx: &Context<'_, L>) -> u16 {
        let is_far = matches!(self.way_to(Direction::ClientToServer), Way::Far(_));
        cx.settings.mtu_of(self.client_side, is_far)
    }

    fn server_side(&self, cx: &Context<'_, L>) -> PortId {
        cx.settings.peers[usize::from(self.client_side.0)]
    }
}

impl<L: Pool> fmt::Debug for Connection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leg = |leg: &Leg<L::Buffer>| {
            let block = &leg.block;
            format!(
                "{:?} snd {:?}..{:?} of {} queued, edge {:?}; rcv {:?}, {} readable, edge {:?}{}, due at {:?} ms",
                block.state(),
                block.snd_una(),
                block.snd_nxt(),
                block.queued(),
                block.peer_right_edge(),
                block.rcv_nxt(),
                block.readable(),
                block.offered_right_edge(),
                if block.has_gap() { ", gap" } else { "" },
                block.deadline().map(Instant::as_millis),
            )
        };
        let due = self.deadline().map(Instant::as_millis);
        write!(f, "{} {:?}, {} held, due at {due:?} ms", self.key.quad, self.phase, self.held.len())?;
        write!(f, "\n    client leg: {}", leg(&self.client))?;
        match &self.server {
            Some(server) => write!(f, "\n    server leg: {}", leg(server)),
            None => Ok(()),
        }
    }
}

/// A leg's TCB for its peer.
type BlockOf<L> = Block<<L as Pool>::Buffer>;
