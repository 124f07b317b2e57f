//! What smoltcp 0.14 cannot cope with, kept from it: ways to lose its only timer, and one to lose bytes.

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use smoltcp::socket::tcp::{Socket, State};

use crate::frame::{self, Segment};

/// How long smoltcp may leave what it has sent alone. Its own longest timeout is a minute.
pub const FORGOTTEN: Duration = Duration::from_secs(90);

/// One acknowledgment that may bring a window, and three duplicates of it.
const JOGS: usize = 4;

/// What one end of one connection has been told by its peer.
#[derive(Debug, Default)]
pub struct Crutch {
    /// The newest acknowledgment, and the largest window that came with it, unscaled.
    newest: Option<(Seq, u16)>,
    last_pure: Option<u32>,
    /// The right edge that this end has offered last.
    offered: Option<Seq>,
    /// The acknowledgment that this end has sent last.
    expects: Option<Seq>,
    /// The window that it was given last is closed.
    shut: bool,
    /// The highest that its peer has sent.
    acked: Option<Seq>,
    /// Sequence space that this end has sent and that is not acknowledged, and when it has sent the first of it, or got
    /// an acknowledgment of all before.
    outstanding: Option<(Seq, Seq)>,
    head_sent: Instant,
    /// The number behind the FIN that this end has sent.
    closed_at: Option<Seq>,
    /// The last acknowledgment without payload that this end has got.
    pure: Option<(Vec<u8>, Segment)>,
}

impl Crutch {
    /// Whether `socket` may see this segment, which may be changed on the way.
    ///
    /// `reorders`: the cable does. Where it does not, windows are left alone, and one taken back shows.
    pub fn admit(
        &mut self,
        now: Instant,
        socket: &Socket,
        segment: &Segment,
        frame: &mut [u8],
        reorders: bool,
    ) -> bool {
        let settled = segment.flags.ack() && !segment.flags.syn() && !segment.flags.rst();
        if !segment.checksum_ok || !settled {
            return true;
        }
        if let Some((first, end)) = &mut self.outstanding
            && Seq(segment.ack).gt(*first)
            && Seq(segment.ack).le(*end)
        {
            (*first, self.head_sent) = (Seq(segment.ack), now);
            self.acked = Some(Seq(segment.ack));
        }
        self.hold_back_fin(segment, frame);
        self.let_probes_end(segment, frame);
        let stale = reorders && self.keep_window_open(segment, frame);
        self.shut = segment.window == 0 && !stale;
        let pure = segment.flags == TcpFlags::ACK && segment.payload.is_empty();
        if pure && self.newest.is_none_or(|(newest, _)| newest.le(Seq(segment.ack))) {
            self.pure = Some((frame.to_vec(), segment.clone()));
        }
        !(pure && (stale || self.would_strand_a_fin(socket, segment)))
    }

    /// Takes down what this end says; its windows are scaled by `shift`.
    pub fn said(&mut self, now: Instant, segment: &Segment, shift: u32) {
        let shift = if segment.flags.syn() { 0 } else { shift };
        // Of what it offers with a window probe or a keep-alive smoltcp takes no note: its own edge stays where it was.
        let behind = self.outstanding.is_some_and(|(_, end)| Seq(segment.seq).lt(end));
        if segment.payload.len() != 1 || !self.shut && !behind {
            self.offered = Some(Seq(segment.ack).advance(u32::from(segment.window) << shift));
        }
        self.expects = Some(Seq(segment.ack));
        self.note_sent(now, segment);
    }

    /// After a timeout smoltcp's acknowledgments, too, carry the number of what it sends again, not SND.NXT (RFC 9293 section
    /// 3.10.7.4). They are beneath the window of a peer that has got all that, and smoltcp takes nothing from those: two
    /// ends whose timers have expired for what the other has got repeat it for ever. As other TCPs would, this end
    /// acknowledges with a number that its peer waits for.
    pub fn raise_number(&self, segment: &Segment, frame: &mut [u8]) {
        let pure = segment.flags == TcpFlags::ACK && segment.payload.is_empty();
        if let Some(acked) = self.acked.filter(|acked| pure && Seq(segment.seq).lt(*acked)) {
            let at = segment.header.start + 4;
            frame[at..at + 4].copy_from_slice(&acked.0.to_be_bytes());
            frame::fill_checksum(frame, segment);
        }
    }

    fn note_sent(&mut self, now: Instant, segment: &Segment) {
        let (start, len) = (Seq(segment.seq), segment.sequence_len());
        if segment.flags.fin() {
            self.closed_at = Some(start.advance(len));
        }
        let (first, end) = *self.outstanding.get_or_insert((start, start));
        if first == end || first.in_window(start, len) {
            self.head_sent = now;
        }
        self.outstanding = Some((first, end.max(start.advance(len))));
    }

    /// What was sent first and is not acknowledged has not been sent again for so long. No TCP may do that (RFC 9293
    /// section 3.8.1), whatever its peer does: smoltcp can lose its only timer, or have it probe a window that is open.
    pub fn has_forgotten(&self, now: Instant) -> bool {
        self.outstanding.is_some_and(|(first, end)| first != end) && now - self.head_sent > FORGOTTEN
    }

    /// The network has duplicated the last acknowledgment so often that even a TCP without a timer sends again.
    pub fn jog(&self) -> Vec<Vec<u8>> {
        let (Some((frame, segment)), Some(expects)) = (&self.pure, self.expects) else { return Vec::new() };
        let mut frame = frame.clone();
        let at = segment.header.start + 4;
        frame[at..at + 4].copy_from_slice(&expects.0.to_be_bytes());
        frame::fill_checksum(&mut frame, segment);
        vec![frame; JOGS]
    }

    /// smoltcp cuts a segment at the edge of its window, and takes the FIN beyond it nevertheless (its own fast
    /// retransmissions do not respect the peer's window). The FIN will come again when there is room for it.
    fn hold_back_fin(&self, segment: &Segment, frame: &mut [u8]) {
        let end = Seq(segment.seq).advance(segment.payload.len() as u32);
        if segment.flags.fin() && self.offered.is_some_and(|edge| end.gt(edge)) {
            frame[segment.header.start + 13] &= !(TcpFlags::FIN.0 as u8);
            frame::fill_checksum(frame, segment);
        }
    }

    /// smoltcp ends its zero-window probes when the window opens, and not when there is nothing left to ask for: all that it has
    /// sent, its FIN too, is acknowledged with a window that is still closed, and when the timer expires it sends for ever.
    fn let_probes_end(&self, segment: &Segment, frame: &mut [u8]) {
        if segment.window == 0 && self.closed_at == Some(Seq(segment.ack)) {
            let at = segment.header.start + 14;
            frame[at..at + 2].copy_from_slice(&1u16.to_be_bytes());
            frame::fill_checksum(frame, segment);
        }
    }

    /// smoltcp takes the window of an older ACK that comes late (no SND.WL1, RFC 9293 section 3.10.7.4). When that one
    /// is closed, a retransmission timeout finds nothing that it may send and leaves no timer behind. A receiver's window only grows while its acknowledgment stays the same.
    /// Returns whether the window was an old one.
    fn keep_window_open(&mut self, segment: &Segment, frame: &mut [u8]) -> bool {
        let ack = Seq(segment.ack);
        match self.newest {
            Some((newest, window)) if newest == ack && segment.window < window => {
                let at = segment.header.start + 14;
                frame[at..at + 2].copy_from_slice(&window.to_be_bytes());
                frame::fill_checksum(frame, segment);
                return true;
            }
            Some((newest, _)) if ack.lt(newest) => {}
            _ => self.newest = Some((ack, segment.window)),
        }
        false
    }

    /// smoltcp stops its retransmission timer at the third duplicate ACK; when nothing but a FIN is outstanding it has
    /// nothing to retransmit fast either, and the FIN is never sent again. Such duplicates say nothing new: there is
    /// no data left that a window could let out.
    fn would_strand_a_fin(&mut self, socket: &Socket, segment: &Segment) -> bool {
        let only_fin = matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck);
        // One at the edge of its window smoltcp has not taken: that it said nothing new, it does not know.
        let seq = Seq(segment.seq);
        let taken = self.offered.is_none_or(|edge| seq.lt(edge)) || self.expects == Some(seq);
        let repeated = taken && self.last_pure.replace(segment.ack) == Some(segment.ack);
        only_fin && socket.send_queue() == 0 && repeated
    }
}
