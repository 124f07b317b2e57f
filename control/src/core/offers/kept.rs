//! What a server has said while its module thinks about it: kept as it came, so that the client hears that very answer.
//!
//! Asked once more instead, the server would see a SYN that it would not see without us, and the client would wait for
//! another answer: Linux repeats a SYN-ACK twice a second at most, and sends few ICMP errors. Only what there was no room to
//! keep is asked for again. A SYN-ACK may be kept for longer than any module may think: who sends one waits three minutes
//! for the answer (RFC 9293 section 3.8.3, R2 of a SYN).

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::memory::lasting;
use dataplane::packet::{IcmpError, TcpHeaders};
use hashbrown::HashMap;

use crate::connection::read_segment;
use crate::core::Core;
use crate::core::context::Settings;
use crate::suspended::partial::Phase;

/// How the server, or the network, has said it.
pub(in crate::core) enum Heard {
    /// By a SYN-ACK or a RST.
    Segment(TcpHeaders),
    /// By an error about our SYN.
    Error(IcmpError),
}

struct Answer<B> {
    heard: Heard,
    frame: B,
    at: Instant,
}

/// What one takes, for a buffer that is one pointer.
pub(crate) const BYTES_PER_ANSWER: usize = size_of::<(u32, Answer<usize>)>();

/// By slot of the partial connection. Their frames count as held (`limits.held_packets`).
pub(in crate::core) struct Kept<B>(HashMap<u32, Answer<B>, ahash::RandomState>);

impl<B> Kept<B> {
    /// With room for as many as may be held.
    pub(in crate::core) fn new(settings: &Settings) -> Kept<B> {
        let capacity = settings.held.min(settings.suspended.capacity);
        Kept(HashMap::with_capacity_and_hasher(lasting(capacity), ahash::RandomState::new()))
    }
}

impl<L: Pool> Core<L> {
    /// Its module has been shown this answer. If it thinks about it, the answer is kept.
    pub(super) fn keep_answer(&mut self, now: Instant, slot: u32, heard: Heard, frame: L::Buffer) {
        let thinks = self.suspended.get(slot).is_some_and(|partial| partial.phase == Phase::Deciding);
        let has_room = self.means.load.held < self.means.settings.held && !self.means.scarce;
        if thinks && has_room && self.kept.0.insert(slot, Answer { heard, frame, at: now }).is_none() {
            self.means.load.held += 1;
        }
    }

    /// The client could hear the server's answer now.
    pub(super) fn has_answer(&self, slot: u32) -> bool {
        self.kept.0.contains_key(&slot)
    }

    fn take_answer(&mut self, slot: u32) -> Option<Answer<L::Buffer>> {
        let answer = self.kept.0.remove(&slot)?;
        self.means.load.held -= 1;
        Some(answer)
    }

    /// Nobody will hear it.
    pub(super) fn forget_answer(&mut self, slot: u32) {
        self.take_answer(slot);
    }

    /// Its module has decided that the client is to hear what was kept. `false`: nothing was.
    pub(super) fn tell_kept(&mut self, now: Instant, slot: u32) -> bool {
        let Some(Answer { heard, frame, at }) = self.take_answer(slot) else { return false };
        if let Some(partial) = self.suspended.get_mut(slot) {
            partial.phase = Phase::Asking;
            partial.proxying.consult = None;
            // The way to the server and back has not become longer because somebody has thought.
            partial.discount(now.since(at));
        }
        match heard {
            Heard::Error(error) => self.network_refuses(now, slot, &error, frame),
            Heard::Segment(headers) => match read_segment(frame.bytes(), &headers) {
                Some(segment) if segment.flags.rst() => self.server_refuses(now, slot, &headers, frame),
                Some(segment) => self.server_accepts(now, slot, &segment, &headers, frame),
                None => {}
            },
        }
        true
    }
}
