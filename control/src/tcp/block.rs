//! The transmission control block of one leg, how it begins, and what its user may call.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;

use super::boundary::Overtaken;
use super::chunk::Chunk;
use super::congestion::{Congestion, Controller};
use super::ecn::Ecn;
use super::input::{Challenges, Stop};
use super::keepalive::Life;
use super::limits::Limits;
use super::output::Outbox;
use super::pacing::Pacer;
use super::path::{Family, Path};
use super::queue::Queue;
use super::reassembly::Reassembly;
use super::recovery::{Flight, Recovery};
use super::rto::Rto;
use super::segment::{Handshake, Segment};
use super::state::{State, Step};
use super::through::Through;
use super::timer::Timers;
use super::timestamps::RecentTimestamp;

/// RFC 7323 section 2.3.
pub(super) const MAX_SHIFT: u8 = 14;

/// The sending half.
#[derive(Debug)]
pub(super) struct Sender<B: Buffer> {
    /// SND.UNA.
    pub(super) una: Seq,
    /// SND.NXT: the number after the highest sent; it never goes back.
    pub(super) nxt: Seq,
    /// The peer's right edge, SND.WL2 + SND.WND.
    pub(super) edge: Seq,
    /// The highest that edge has been: what was sent before it, the peer may have taken.
    pub(super) max_edge: Seq,
    /// SND.WL1.
    pub(super) wl1: Seq,
    /// MAX.SND.WND (RFC 5961 section 5.2).
    pub(super) max_window: u32,
    /// The peer's last window field, raw.
    pub(super) field: u16,
    /// Snd.Wind.Shift.
    pub(super) shift: u8,
    /// From SND.UNA on (but for SYN and FIN): sent and not acknowledged, then not sent.
    pub(super) queue: Queue<B>,
    /// The user has closed.
    pub(super) fin_queued: bool,
    /// The FIN is out; its number is the end of the queue.
    pub(super) fin_sent: bool,
    /// It has gone out while something that was taken was not acknowledged. When that was the peer's FIN, whoever acknowledges
    /// ours may never have heard of it.
    pub(super) fin_withheld: bool,
    /// SND.UP.
    pub(super) urgent: Option<Seq>,
    /// What the peer has acknowledged, as long as that is not about what we have sent (`boundary.rs`).
    pub(super) followed: Option<Seq>,
    /// What has gone past us to the peer, behind all that is ours.
    pub(super) overtaken: Option<Overtaken>,
    pub(super) flight: Flight,
    pub(super) recovery: Recovery,
    /// When the SYN or SYN-ACK was sent, unless it was sent more than once.
    pub(super) syn_at: Option<Instant>,
    pub(super) pacer: Pacer,
    /// When anything with sequence space was sent last.
    pub(super) last_sent: Instant,
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct Receiver<B: Buffer> {
    /// RCV.NXT.
    pub(super) nxt: Seq,
    /// The highest right edge ever offered; what lies before it is accepted.
    pub(super) edge: Seq,
    /// The highest right edge that the caller allows; without one, the receive buffer decides.
    pub(super) allowed: Option<Seq>,
    /// That it is another receiver's right edge.
    pub(super) mirrored: bool,
    /// The window field last sent.
    pub(super) field: u16,
    /// Rcv.Wind.Shift.
    pub(super) shift: u8,
    /// In order, not yet read.
    pub(super) queue: Queue<B>,
    pub(super) reassembly: Reassembly<B>,
    /// What came twice since the last segment that we sent (RFC 2883).
    pub(super) duplicate: Option<SackBlock>,
    /// Number of the peer's FIN, once seen.
    pub(super) fin: Option<Seq>,
    /// The FIN counts: RCV.NXT is beyond it.
    pub(super) fin_taken: bool,
    /// RCV.UP.
    pub(super) urgent: Option<Seq>,
    /// Last.ACK.sent (RFC 7323 section 4.3).
    pub(super) last_ack_sent: Seq,
    /// What the receiver has acknowledged to the peer itself, past us (`boundary.rs`).
    pub(super) passed: Option<Seq>,
    /// The peer has heard of the last ack and window when it has acknowledged what lies before this: data that they went along
    /// with. None when nothing but a bare acknowledgment has said them.
    pub(super) told: Option<Seq>,
    /// What is taken is passed on at once (`receive.rs`).
    pub(super) relayed: bool,
    /// Acknowledgments wait for those of the receiver behind us.
    pub(super) through: Option<Box<Through>>,
}

/// One TCP connection between the appliance and one endpoint.
#[derive(Debug)]
pub struct Block<B: Buffer> {
    pub(super) state: State,
    pub(super) limits: Limits,
    pub(super) iss: Seq,
    pub(super) irs: Seq,
    /// What our SYN or SYN-ACK promises.
    pub(super) offer: Handshake,
    /// What the peer's promises.
    pub(super) peer: Handshake,
    pub(super) timestamps: bool,
    pub(super) sack: bool,
    pub(super) ecn: Ecn,
    /// Client leg: the peer has answered a SYN of the server's that met its own (RFC 9293 section 3.5, figure 7).
    pub(super) crossed: bool,
    pub(super) snd: Sender<B>,
    pub(super) rcv: Receiver<B>,
    pub(super) ts: RecentTimestamp,
    pub(super) rto: Rto,
    pub(super) congestion: Controller,
    pub(super) path: Path,
    pub(super) timers: Timers,
    pub(super) out: Outbox,
    pub(super) challenges: Challenges,
    /// The same for answers to keep-alives: who only guesses must not use them up.
    pub(super) answers: Challenges,
    pub(super) life: Life,
    pub(super) last_stop: Option<Stop>,
}

impl<B: Buffer> Block<B> {
    /// Server leg: sends a SYN with the sequence number and options of `offer` (the client's own, mirrored).
    ///
    /// The SYN is retransmitted by RFC 6298 (1, 2, 4 … s) until `syn_timeout`, then `GAVE_UP`, in silence.
    pub fn connect(now: Instant, iss: Seq, offer: &Handshake, limits: Limits) -> Self {
        let mut block = Block::new(now, State::SynSent, limits);
        block.set_iss(iss);
        block.offer = offer.clone();
        block.out.syn = true;
        block
    }

    /// Server leg, new: its SYN, number `iss` with the options of `offer`, has been sent so many times, for the last time when
    /// the block was made.
    pub(crate) fn note_asked(&mut self, times: u32, iss: Seq, offer: Handshake) {
        self.set_iss(iss);
        self.offer = offer;
        self.out.syn_sent = true;
        // Karn: nobody knows which of several an answer is for.
        self.snd.syn_at = (times == 1).then_some(self.timers.started);
        for _ in 1..times {
            self.rto.back_off();
        }
    }

    /// Client leg: the client has answered a SYN of the server's that met its own, while it was held.
    pub fn note_crossed(&mut self) {
        self.crossed = true;
    }

    /// Client leg: the template TCB of a SYN that nobody has answered.
    pub fn suspended(now: Instant, syn: &Segment, limits: Limits) -> Self {
        let mut block = Block::new(now, State::Suspended, limits);
        block.note_syn(syn);
        block
    }

    /// Client leg, new: this SYN came when the block was made.
    pub(crate) fn note_syn(&mut self, syn: &Segment) {
        self.set_irs(syn.seq);
        self.peer = Handshake::of(syn);
        self.ts.start(self.timers.started, syn.options.timestamps);
        self.snd.field = syn.window;
    }

    /// One of which nothing is known. It is too large to be carried about: what it needs to know it is told in its place.
    #[inline(always)]
    pub(crate) fn new(now: Instant, state: State, limits: Limits) -> Self {
        let zero = Seq(0);
        Block {
            state,
            limits,
            iss: zero,
            irs: zero,
            offer: Handshake::default(),
            peer: Handshake::default(),
            timestamps: false,
            sack: false,
            ecn: Ecn::default(),
            crossed: false,
            snd: Sender {
                una: zero,
                nxt: zero,
                edge: zero,
                max_edge: zero,
                wl1: zero,
                max_window: 0,
                field: 0,
                shift: 0,
                queue: Queue::new(zero, limits.max_chunks),
                fin_queued: false,
                fin_sent: false,
                fin_withheld: false,
                urgent: None,
                followed: None,
                overtaken: None,
                flight: Flight::default(),
                recovery: Recovery::new(zero),
                syn_at: None,
                pacer: Pacer::default(),
                last_sent: now,
            },
            rcv: Receiver {
                nxt: zero,
                edge: zero,
                allowed: None,
                mirrored: false,
                field: 0,
                shift: 0,
                queue: Queue::new(zero, limits.max_chunks),
                reassembly: Reassembly::new(limits.max_chunks),
                duplicate: None,
                fin: None,
                fin_taken: false,
                urgent: None,
                last_ack_sent: zero,
                passed: None,
                told: None,
                relayed: false,
                through: None,
            },
            ts: RecentTimestamp::default(),
            rto: Rto::new(&limits),
            congestion: Controller::new(limits.congestion, u32::from(Family::V4.default_mss())),
            path: Path::default(),
            timers: Timers::new(now),
            out: Outbox::default(),
            challenges: Challenges::default(),
            answers: Challenges::default(),
            life: Life::new(now),
            last_stop: None,
        }
    }

    /// Client leg: queues the SYN-ACK. Of `offer`, only what the client's SYN offered too is sent.
    ///
    /// It is never repeated by a timer, only by `repeat_syn_ack` or the client's own SYN. No effect unless suspended.
    #[inline(always)]
    pub fn answer(&mut self, now: Instant, iss: Seq, offer: &Handshake) {
        if self.state != State::Suspended {
            return;
        }
        self.offer = offer.limited_to(&self.peer);
        self.set_iss(iss);
        self.negotiate();
        self.promise_window();
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        self.take_window(self.irs, self.snd.una, self.peer.window, u32::from(self.peer.window));
        self.state = State::SynReceived;
        self.out.syn = true;
        self.timers.started = now;
    }

    /// Client leg: queues the SYN-ACK once more (the server has repeated its own).
    pub fn repeat_syn_ack(&mut self) {
        if self.state == State::SynReceived {
            self.out.syn = true;
        }
    }

    /// Server leg: acknowledges the SYN-ACK that is kept.
    pub fn confirm(&mut self, now: Instant) {
        if self.state == State::Answered {
            self.state = State::Established;
            self.timers.progress = now;
            self.note_life(now);
            self.out.ack_now = true;
        }
    }

    /// Takes the next bytes that the peer has sent.
    #[inline(always)]
    pub fn read(&mut self) -> Option<Chunk<B>> {
        let chunk = self.rcv.queue.pop();
        self.out.more_room |= chunk.is_some();
        self.rcv.urgent = self.rcv.urgent.filter(|point| point.gt(self.rcv.queue.start()));
        chunk
    }

    /// The same, of the next `most` bytes at the most.
    #[inline(always)]
    pub fn read_at_most(&mut self, most: u32) -> Option<Chunk<B>> {
        if most >= self.rcv.queue.len() {
            return self.read();
        }
        let chunk = self.rcv.queue.pop_at_most(most);
        self.out.more_room |= chunk.is_some();
        self.rcv.urgent = self.rcv.urgent.filter(|point| point.gt(self.rcv.queue.start()));
        chunk
    }

    /// Appends to what is to be sent. May be called before the handshake is complete; nothing goes out earlier.
    ///
    /// The caller keeps to `send_space`. The chunk is dropped when this direction is closed.
    #[inline(always)]
    pub fn write(&mut self, chunk: Chunk<B>) {
        if !self.snd.fin_queued && self.state != State::Closed {
            self.snd.queue.push(chunk);
        }
    }

    /// The send queue ends here: a FIN follows its last byte. Before the handshake, it forgets the connection (but for
    /// `SynReceived`, where the FIN waits for the client's ACK).
    pub fn close(&mut self) {
        if self.snd.fin_queued || self.state == State::Closed {
            return;
        }
        self.snd.fin_queued = true;
        self.state = self.state.next(Step::Close);
        if self.state == State::Closed {
            self.release();
        }
    }

    /// Drops everything and sends RST, if there is a peer that would otherwise believe in the connection.
    pub fn abort(&mut self) {
        if self.state == State::Closed {
            return;
        }
        self.out = self.reset_on_abort();
        self.state = State::Closed;
        self.release();
    }

    /// The peer has heard of the end from somebody else: nothing more is said, but to what it still says.
    pub fn end_silently(&mut self) {
        self.out = Outbox { answers: self.answers_on_abort(), ..Outbox::default() };
        self.state = State::Closed;
        self.release();
    }

    /// Frees what a closed block has no use for.
    pub(super) fn release(&mut self) {
        self.snd.queue.clear();
        self.rcv.reassembly.clear();
        self.snd.flight.clear();
        self.timers.stop();
    }

    /// RFC 6093: up to where the peer's bytes are urgent, in the peer's sequence space, as the peer has put it.
    pub fn urgent(&self) -> Option<Seq> {
        self.rcv.urgent
    }

    /// Our bytes before `point` are urgent: the peer is told at once, with data or without, and with every segment until
    /// it has acknowledged them (RFC 9293 section 3.8.5).
    pub fn set_urgent(&mut self, point: Seq) {
        if point.gt(self.snd.una) && self.snd.urgent != Some(point) {
            self.snd.urgent = Some(point);
            self.out.ack_now = true;
        }
    }

    /// Copies payload of the send queue, from number `start` on, into `out`.
    pub fn copy_payload(&self, start: Seq, out: &mut [u8]) {
        let done = self.snd.queue.copy(start, out);
        debug_assert_eq!(done, out.len(), "payload that is not queued");
    }

    pub(super) fn set_iss(&mut self, iss: Seq) {
        self.iss = iss;
        self.snd.una = iss;
        self.snd.nxt = iss.advance(1);
        self.snd.edge = self.snd.nxt;
        self.snd.max_edge = self.snd.nxt;
        self.snd.queue.renumber(self.snd.nxt);
        self.snd.recovery.renumber(self.snd.nxt);
    }

    pub(super) fn set_irs(&mut self, irs: Seq) {
        self.irs = irs;
        self.rcv.nxt = irs.advance(1);
        self.rcv.edge = self.rcv.nxt;
        self.rcv.last_ack_sent = self.rcv.nxt;
        self.rcv.allowed = None;
        self.snd.wl1 = irs;
        self.rcv.queue.clear();
        self.rcv.queue.renumber(self.rcv.nxt);
    }

    /// Both SYNs are known: an option is in force when both carry it.
    pub(super) fn negotiate(&mut self) {
        if let (Some(ours), Some(theirs)) = (self.offer.window_scale, self.peer.window_scale) {
            self.rcv.shift = ours.min(MAX_SHIFT);
            self.snd.shift = theirs.min(MAX_SHIFT);
        }
        self.sack = self.offer.sack_permitted && self.peer.sack_permitted;
        match self.state {
            State::Suspended => self.ecn.negotiate(self.peer.ecn, self.offer.ecn),
            _ => self.ecn.negotiate(self.offer.ecn, self.peer.ecn),
        }
        self.timestamps = self.offer.timestamps && self.peer.timestamps;
        if !self.timestamps {
            // What only one SYN has offered is never sent (RFC 7323 section 3.2).
            self.ts = RecentTimestamp::default();
        }
        self.congestion.set_segment_size(self.segment_size());
        self.snd.pacer.restart(self.congestion.window());
    }

    /// Our SYN's window is a promise.
    pub(super) fn promise_window(&mut self) {
        self.rcv.field = self.offer.window;
        self.rcv.edge = self.rcv.nxt.advance(u32::from(self.offer.window));
    }
}
