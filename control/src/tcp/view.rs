//! What a block tells about itself.

use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

use super::block::Block;
use super::input::Stop;
use super::output::Answers;
use super::segment::Handshake;
use super::state::State;

impl<B: Buffer> Block<B> {
    /// Bytes that may be written.
    pub fn send_space(&self) -> u32 {
        self.limits.send_buffer.saturating_sub(self.snd.queue.len())
    }

    /// Bytes in the send queue, sent or not.
    pub fn queued(&self) -> u32 {
        self.snd.queue.len()
    }

    /// Bytes that can be read.
    pub fn readable(&self) -> u32 {
        self.rcv.queue.len()
    }

    /// What can be read behind the first `skip` bytes, as far as it stands together, without reading it.
    pub fn unread(&self, skip: u32) -> Option<&[u8]> {
        self.rcv.queue.after(skip)
    }

    /// Bytes of payload that were copied inside of the block since this was asked last.
    pub fn take_copied(&mut self) -> usize {
        self.rcv.reassembly.take_copied() + self.rcv.queue.take_copied() + self.snd.queue.take_copied()
    }

    /// Bytes that the block keeps: its queues, and what has come out of order.
    pub fn buffered(&self) -> u64 {
        let ahead = self.rcv.reassembly.bytes();
        u64::from(self.snd.queue.len()) + u64::from(self.rcv.queue.len()) + u64::from(ahead)
    }

    /// Number of the first byte that has not been read.
    pub fn read_to(&self) -> Seq {
        self.rcv.queue.start()
    }

    /// Number of the next byte to be written.
    pub fn written_to(&self) -> Seq {
        self.snd.queue.end()
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Our initial sequence number.
    pub fn iss(&self) -> Seq {
        self.iss
    }

    /// The peer's initial sequence number.
    pub fn irs(&self) -> Seq {
        self.irs
    }

    /// SND.UNA.
    pub fn snd_una(&self) -> Seq {
        self.snd.una
    }

    /// SND.NXT: after the highest number ever sent.
    pub fn snd_nxt(&self) -> Seq {
        self.snd.nxt
    }

    /// RCV.NXT.
    pub fn rcv_nxt(&self) -> Seq {
        self.rcv.nxt
    }

    /// Up to where the peer takes data: its last acceptable acknowledgment plus the window that came with it.
    pub fn peer_right_edge(&self) -> Seq {
        self.snd.edge
    }

    /// The highest right edge that the peer has ever offered; who sends up to there is within what it was promised.
    pub fn peer_highest_edge(&self) -> Seq {
        self.snd.max_edge
    }

    /// The peer's last window field, raw.
    pub fn peer_window(&self) -> u16 {
        self.snd.field
    }

    /// What is left of the peer's window behind SND.UNA, bytes.
    pub fn peer_window_left(&self) -> u32 {
        self.snd.una.distance_to(self.snd.edge)
    }

    /// A window of so many bytes as segments say it to the peer, rounded down.
    pub fn field_of(&self, bytes: u32) -> u16 {
        (bytes >> self.rcv.shift).min(u32::from(u16::MAX)) as u16
    }

    /// The user has aborted it, and what still comes is answered with RST: until `linger` from now, or until its TIME-WAIT ends
    /// if it was in that.
    pub fn answers_until(&self, linger: Instant) -> Option<Instant> {
        self.out.answers.map(|answers| match answers {
            Answers::All => linger,
            Answers::Repetitions { until } => until.unwrap_or(linger),
        })
    }

    /// The highest right edge that the peer was ever offered.
    pub fn offered_right_edge(&self) -> Seq {
        self.rcv.edge
    }

    /// TS.Recent.
    pub fn ts_recent(&self) -> Option<u32> {
        self.ts.value()
    }

    /// By how much the peer's window fields are shifted, and ours, when both ends scale.
    pub fn shifts(&self) -> Option<[u8; 2]> {
        self.offer.window_scale.and(self.peer.window_scale).map(|_| [self.snd.shift, self.rcv.shift])
    }

    /// Bytes that the peer may have outstanding or unread, at most.
    pub fn receive_buffer(&self) -> u32 {
        self.limits.receive_buffer
    }

    /// SACK is in force.
    pub fn has_sack(&self) -> bool {
        self.sack
    }

    /// Both ends have agreed to be told of congestion by marks (RFC 3168).
    pub fn has_ecn(&self) -> bool {
        self.ecn.is_agreed()
    }

    /// Timestamps are in force.
    pub fn has_timestamps(&self) -> bool {
        self.timestamps
    }

    /// Smoothed round-trip time, from our own transmit times.
    pub fn srtt(&self) -> Option<Duration> {
        self.rto.srtt()
    }

    /// The retransmission timeout in force, backoff included.
    pub fn rto(&self) -> Duration {
        self.rto.current()
    }

    /// What the peer's SYN or SYN-ACK promised.
    pub fn peer_offer(&self) -> &Handshake {
        &self.peer
    }

    /// Copies what can be read, without reading it, as far as it fits; returns how much.
    pub fn peek(&self, out: &mut [u8]) -> usize {
        self.rcv.queue.copy(self.rcv.queue.start(), out)
    }

    /// What our SYN or SYN-ACK promised.
    pub fn offer(&self) -> &Handshake {
        &self.offer
    }

    /// The peer's FIN has been taken.
    pub fn fin_received(&self) -> bool {
        self.rcv.fin_taken
    }

    /// Open in one direction at least, and no FIN is on its way: where there was one, its receiver has acknowledged it, and
    /// its sender has been told.
    pub fn is_settled(&self) -> bool {
        match self.state {
            State::Established => self.rcv.fin.is_none() && !self.snd.fin_queued,
            State::CloseWait => !self.withholds(),
            State::FinWait2 => self.rcv.fin.is_none(),
            _ => false,
        }
    }

    /// Ready to be merged (DESIGN section 5): open, all sent is acknowledged, no byte is held in any queue, and no FIN is on
    /// its way.
    pub fn is_drained(&self) -> bool {
        self.is_settled()
            && self.snd.una == self.snd.nxt
            && self.snd.queue.len() == 0
            && self.rcv.queue.len() == 0
            && self.rcv.reassembly.is_empty()
    }

    /// Nothing is here that its sender would not send again, or that has not been sent on: open, all that was written has
    /// been sent, no byte waits to be read or behind a hole, and no FIN is on its way.
    pub fn is_handed_over(&self) -> bool {
        self.is_settled()
            && self.snd.nxt == self.closed_at()
            && self.rcv.queue.len() == 0
            && self.rcv.reassembly.is_empty()
    }

    /// The number after all that was written, and after the FIN behind it if that has been sent.
    pub fn closed_at(&self) -> Seq {
        self.snd.queue.end().advance(u32::from(self.snd.fin_sent))
    }

    /// Bytes have come that lie behind a hole, or a FIN before its data.
    pub fn has_gap(&self) -> bool {
        !self.rcv.reassembly.is_empty() || self.rcv.fin.is_some() && !self.rcv.fin_taken
    }

    /// Why the last segment was not taken to its end, if it was not; for counters and tests.
    pub fn last_stop(&self) -> Option<Stop> {
        self.last_stop
    }
}
