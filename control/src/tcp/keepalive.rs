//! Keep-alive (RFC 9293 section 3.8.4): asking an idle peer whether it is still there.
//!
//! Our own is off unless configured. A peer's is always answered, because a segment below the window is; and since the
//! peer wants to know of the other end and not of us, the question is passed on (`KEPT_ALIVE`, `ask_if_alive`): an end
//! that dies behind us is noticed as soon as it would be without us, and what keeps state on the way is kept awake.

use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;

use super::block::Block;
use super::events::Events;
use super::input::Arrival;
use super::segment::Segment;
use super::state::State;

/// Our own asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How long a peer may be silent before it is asked. Two hours or more is what RFC 9293 wants as a default
    /// (MUST-28); whoever turns it on says the time.
    pub idle: Duration,
}

/// Between questions, until one is answered: what Linux takes.
const INTERVAL: Duration = Duration::from_secs(75);

/// So many questions have to go unanswered. An acknowledgment without data is sent once and may be lost, so that one
/// proves nothing (MUST-29).
const QUESTIONS: u8 = 9;

/// What is known of the peer's life.
#[derive(Debug)]
pub(super) struct Life {
    /// When an acceptable segment came last.
    heard: Instant,
    /// Questions since, and when the last was asked.
    asked: u8,
    asked_at: Instant,
}

impl Life {
    pub(super) fn new(now: Instant) -> Self {
        Life { heard: now, asked: 0, asked_at: now }
    }
}

impl<B: Buffer> Block<B> {
    /// Somebody further back asks whether the peer is there: it is asked too, each time, and again by our own timer until
    /// it answers. Unless it owes us an acknowledgment: what is outstanding asks by itself.
    pub fn ask_if_alive(&mut self, now: Instant) {
        if !self.may_ask() {
            return;
        }
        if self.life.asked == 0 {
            self.ask(now);
        }
        // Who asks often, as for a window that stays closed, does not make it the more dead.
        self.out.ask_window = true;
    }

    fn ask(&mut self, now: Instant) {
        self.life.asked += 1;
        self.life.asked_at = now;
        // No data (SHLD-12), and a number that the peer has acknowledged: it has to say where it is.
        self.out.ask_window = true;
    }

    /// MUST-26: nothing is outstanding. Nor does anything wait: it would be sent, or probe the window.
    fn may_ask(&self) -> bool {
        let is_open = matches!(self.state, State::Established | State::CloseWait | State::FinWait2);
        is_open && self.snd.una == self.snd.nxt && self.snd.queue.len() == 0
    }

    /// When the next question is due, or the end of patience.
    pub(super) fn keepalive_deadline(&self) -> Option<Instant> {
        let due = match (self.life.asked, self.limits.keepalive) {
            (0, None) => return None,
            (0, Some(keepalive)) => self.life.heard + keepalive.idle,
            _ => self.life.asked_at + INTERVAL,
        };
        self.may_ask().then_some(due)
    }

    pub(super) fn on_keepalive_timer(&mut self, now: Instant) -> Events {
        if self.life.asked >= QUESTIONS {
            return self.finish(Events::GAVE_UP);
        }
        self.ask(now);
        Events::NONE
    }

    /// An acceptable segment, or a duplicate whose acknowledgment is.
    pub(super) fn note_life(&mut self, now: Instant) {
        self.life.heard = now;
        self.life.asked = 0;
    }

    /// The peer's own keep-alive, or its probe of a closed window. One that is answered is passed on.
    pub(super) fn note_question(&self, arrival: &mut Arrival<'_>) {
        if self.out.ack_now && self.is_question(arrival.segment) {
            arrival.events.insert(Events::KEPT_ALIVE);
        }
    }

    /// The peer has asked, without data, whether we are there: it hears so, as often as the budget allows, or two confused peers
    /// could go on for ever.
    pub fn answer_question(&mut self, now: Instant) {
        self.out.ack_now |= self.answers.take(now);
    }

    /// The number before RCV.NXT again, with no data or one byte of garbage.
    pub(super) fn is_question(&self, segment: &Segment) -> bool {
        let is_plain = segment.flags.ack() && segment.sequence_len() == segment.len;
        is_plain && segment.len <= 1 && segment.seq.advance(1) == self.rcv.nxt
    }
}
