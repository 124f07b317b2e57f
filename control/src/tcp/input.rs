//! Segment arrival: the named steps of RFC 9293 section 3.10.7.4, in its order, with RFC 5961 and RFC 7323.

use std::ops::ControlFlow;
use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;

use super::block::Block;
use super::chunk::Chunk;
use super::events::Events;
use super::output::{Answers, Reset};
use super::segment::Segment;
use super::state::State;

/// Why a segment was not taken to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The handshake has no use for it.
    NotNow,
    /// A SYN repeats the one that this block is about.
    SynAgain,
    /// A SYN that the caller decides about.
    NewSyn,
    /// PAWS: its timestamp is older than one already taken.
    OldTimestamp,
    /// Nothing of it lies in the window.
    OutsideWindow,
    /// A RST that counts.
    Reset,
    /// A RST that does not count.
    ResetIgnored,
    /// A RST or SYN in the window, answered with a challenge ACK (RFC 5961).
    Challenged,
    /// No ACK bit.
    NoAck,
    /// Its ack is none that we could have got.
    AckInvalid,
    /// The last acknowledgment: the block is closed.
    Finished,
    /// The block is closed.
    Closed,
}

/// `Continue` with the next step, or the name of the reason to stop.
pub(super) type Verdict = ControlFlow<Stop>;

/// A segment on its way through the steps.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) now: Instant,
    pub(super) segment: &'a Segment,
    pub(super) events: Events,
}

/// RFC 5961 section 7: so many challenges … Each connection counts its own: a budget shared by all would tell who guesses
/// about one connection, on another one, whether the guess was right (CVE-2016-5696).
const CHALLENGES: u32 = 10;

/// … in so much time.
const CHALLENGE_PERIOD: Duration = Duration::from_secs(5);

/// The budget of acknowledgments that carry no news.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    since: Option<Instant>,
    sent: u32,
}

impl Challenges {
    /// Takes one, if there is one left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.since(since) >= CHALLENGE_PERIOD) {
            *self = Challenges { since: Some(now), sent: 0 };
        }
        self.sent += 1;
        self.sent <= CHALLENGES
    }
}

impl<B: Buffer> Block<B> {
    /// A segment of the peer's. Call `poll` afterwards.
    ///
    /// `payload` holds the `segment.len` bytes; without it, a segment with payload counts as one whose data was lost.
    pub fn on_segment(&mut self, now: Instant, segment: &Segment, mut payload: Option<Chunk<B>>) -> Events {
        self.take_segment(now, segment, &mut payload)
    }

    /// The same, with a payload that is taken from where it stands, if it is.
    pub(crate) fn take_segment(
        &mut self,
        now: Instant,
        segment: &Segment,
        payload: &mut Option<Chunk<B>>,
    ) -> Events {
        let mut arrival = Arrival { now, segment, events: Events::NONE };
        let verdict = match self.state {
            State::Suspended => self.arrive_suspended(&mut arrival),
            State::SynSent => self.arrive_syn_sent(&mut arrival),
            State::Answered => self.arrive_answered(&mut arrival),
            State::Closed => self.arrive_closed(&mut arrival),
            _ => self.arrive(&mut arrival, payload),
        };
        self.last_stop = verdict.break_value();
        arrival.events
    }

    /// The same for a segment that the caller holds back while a merge drains: its ack, SACK, window and timestamp
    /// count, its sequence space and control bits do not.
    pub fn on_ack_only(&mut self, now: Instant, segment: &Segment) -> Events {
        let mut arrival = Arrival { now, segment, events: Events::NONE };
        let verdict = match self.state.is_synchronized() {
            true => self.arrive_ack_only(&mut arrival),
            false => Verdict::Break(Stop::NotNow),
        };
        self.last_stop = verdict.break_value();
        arrival.events
    }

    fn arrive(&mut self, arrival: &mut Arrival<'_>, payload: &mut Option<Chunk<B>>) -> Verdict {
        self.check_foreign_syn(arrival)?;
        self.check_timestamp(arrival)?;
        self.check_sequence(arrival)?;
        self.check_reset(arrival)?;
        self.check_syn(arrival)?;
        self.ecn.take_mark(arrival.segment);
        self.check_ack(arrival)?;
        self.note_life(arrival.now);
        self.take_urgent(arrival);
        let before = self.before_text();
        self.take_text(arrival, payload);
        let verdict = self.take_fin(arrival);
        self.after_text(arrival, before);
        verdict
    }

    fn arrive_ack_only(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if arrival.segment.flags.rst() {
            return Verdict::Break(Stop::NotNow);
        }
        self.check_foreign_syn(arrival)?;
        self.check_timestamp(arrival)?;
        self.check_sequence(arrival)?;
        self.check_syn(arrival)?;
        // A mark stays with the bytes that are held.
        self.ecn.take_answer(arrival.segment);
        self.check_ack(arrival)?;
        self.note_life(arrival.now);
        Verdict::Continue(())
    }

    /// A SYN in `SynReceived` is the client's again or somebody else's; in TIME-WAIT it is never ours to judge.
    fn check_foreign_syn(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let flags = arrival.segment.flags;
        if !flags.syn() || flags.rst() {
            return Verdict::Continue(());
        }
        match self.state {
            State::SynReceived if flags.ack() => self.take_crossing_answer(arrival),
            State::SynReceived => self.take_repeated_syn(arrival),
            State::TimeWait if !flags.ack() => {
                arrival.events.insert(Events::NEW_SYN);
                Verdict::Break(Stop::NewSyn)
            }
            _ => Verdict::Continue(()),
        }
    }

    /// PAWS, RFC 7323 section 5.3 R1. A RST is exempt; so is a segment without timestamps: some middleboxes strip
    /// them, and the endpoints behind us would tolerate it as Linux does (against the SHOULD of section 3.2).
    fn check_timestamp(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        match arrival.segment.options.timestamps {
            Some(ts)
                if self.timestamps && !arrival.segment.flags.rst() && self.ts.is_old(arrival.now, ts) =>
            {
                self.answer_unacceptable(arrival);
                Verdict::Break(Stop::OldTimestamp)
            }
            _ => Verdict::Continue(()),
        }
    }

    /// First step: the segment reaches into the window; then R3 of RFC 7323 section 5.3.
    #[inline(always)]
    fn check_sequence(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let segment = arrival.segment;
        if !self.is_acceptable(segment) {
            if !segment.flags.rst() {
                self.answer_unacceptable(arrival);
                self.take_ack_of_duplicate(arrival)?;
            }
            return Verdict::Break(Stop::OutsideWindow);
        }
        if let Some(ts) = segment.options.timestamps
            && self.timestamps
            && !segment.flags.rst()
        {
            self.ts.update(arrival.now, ts, segment.seq, self.echoed_up_to());
        }
        Verdict::Continue(())
    }

    /// What was wholly taken before may still bring an ack, as in BSD. When both sides probe a closed window and take each
    /// other's byte, neither has anything else to send, and each would drop what the other waits for.
    fn take_ack_of_duplicate(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let segment = arrival.segment;
        let one_window = u32::from(u16::MAX) << self.rcv.shift;
        let old = segment.end().le(self.rcv.nxt) && segment.seq.distance_to(self.rcv.nxt) <= one_window;
        if old && !segment.flags.syn() && self.state.is_synchronized() {
            self.check_ack(arrival)?;
            self.note_life(arrival.now);
            self.note_question(arrival);
        }
        Verdict::Continue(())
    }

    /// RFC 9293 table 6, with two widenings that every stack needs: a segment without length may stand at the right edge
    /// itself, unless it is a RST (the peer has used up the window, and its data was lost or overtaken); and at a closed window the next
    /// number is acceptable whatever comes with it, so that its ACK or RST counts.
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let window = self.rcv.nxt.distance_to(self.rcv.edge);
        match (segment.sequence_len(), window) {
            (0, _) if segment.flags.rst() && self.is_acknowledged_number(segment.seq) => true,
            (0, window) if !segment.flags.rst() => segment.seq.in_window(self.rcv.nxt, window + 1),
            (0, window) => segment.seq.in_window(self.rcv.nxt, window.max(1)),
            (_, 0) => segment.seq == self.rcv.nxt,
            _ => segment.seq.lt(self.rcv.edge) && segment.end().gt(self.rcv.nxt),
        }
    }

    /// The peer is told where we are. An acknowledgment of sequence space that was repeated is never withheld; one of a
    /// segment without any is, or two confused peers could go on for ever. An unvalidated client gets silence
    /// (DESIGN invariant 5).
    fn answer_unacceptable(&mut self, arrival: &mut Arrival<'_>) {
        let flags = arrival.segment.flags;
        self.note_duplicate(arrival.segment.seq, arrival.segment.end().min(self.rcv.nxt));
        // Nothing that is ours may have gone to the receiver since the boundary, so that it had nothing to acknowledge.
        if self.is_told_by_receiver() && arrival.segment.sequence_len() > 0 {
            arrival.events.insert(Events::ASKED_RECEIVER);
        }
        match self.state {
            State::SynReceived => {}
            _ if self.is_question(arrival.segment) && arrival.segment.len == 0 => {
                self.answer_question(arrival.now)
            }
            _ if flags.syn() || (arrival.segment.len == 0 && !flags.fin()) => self.challenge(arrival.now),
            State::TimeWait => {
                // RFC 9293 section 3.10.7.4, eighth step: the FIN again, so the linger starts again.
                self.out.ack_now = true;
                self.start_linger(arrival.now);
            }
            _ => self.out.ack_now = true,
        }
    }

    /// Second step, RFC 5961 section 3.2: only the exact number resets.
    fn check_reset(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if !arrival.segment.flags.rst() {
            return Verdict::Continue(());
        }
        if arrival.segment.seq == self.rcv.nxt || self.is_acknowledged_number(arrival.segment.seq) {
            let is_over = self.state == State::TimeWait && !self.withholds();
            let reason = if is_over { Events::NONE } else { Events::RESET };
            arrival.events |= self.finish(reason);
            return Verdict::Break(Stop::Reset);
        }
        if self.state == State::SynReceived {
            return Verdict::Break(Stop::ResetIgnored);
        }
        self.challenge(arrival.now);
        Verdict::Break(Stop::Challenged)
    }

    /// Fourth step, RFC 5961 section 4.2. (The third, security, has nothing to check.)
    fn check_syn(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        if !arrival.segment.flags.syn() {
            return Verdict::Continue(());
        }
        self.challenge(arrival.now);
        Verdict::Break(Stop::Challenged)
    }

    /// A challenge ACK, if the budget allows.
    pub fn challenge(&mut self, now: Instant) {
        if self.challenges.take(now) {
            self.out.ack_now = true;
        }
    }

    /// RFC 9293 section 3.10.7.1, for a block that was aborted. A block that was closed in order is silent.
    fn arrive_closed(&mut self, arrival: &mut Arrival<'_>) -> Verdict {
        let flags = arrival.segment.flags;
        if flags.rst() {
            return Verdict::Break(Stop::Closed);
        }
        if flags.syn() && !flags.ack() {
            arrival.events.insert(Events::NEW_SYN);
            return Verdict::Break(Stop::NewSyn);
        }
        let is_answered = match self.out.answers {
            None => false,
            Some(Answers::All) => flags.ack(),
            Some(Answers::Repetitions { .. }) => flags.ack() && arrival.segment.sequence_len() > 0,
        };
        if is_answered && self.challenges.take(arrival.now) {
            self.out.reset = Some(Reset { seq: arrival.segment.ack, ack: None });
        }
        Verdict::Break(Stop::Closed)
    }
}
