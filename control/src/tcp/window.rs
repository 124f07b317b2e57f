//! The window that we offer (RFC 9293 section 3.8.6.2.2, RFC 7323 section 2).

use dataplane::buffer::Buffer;
use dataplane::wire::seq::{MAX_WINDOW, Seq};
use dataplane::wire::tcp_flags::TcpFlags;

use super::block::Block;

impl<B: Buffer> Block<B> {
    /// Lets the peer have `bytes_beyond_rcv_nxt` outstanding, counted from the present RCV.NXT until the next call.
    ///
    /// A right edge that was given stays accepted; less than that only means that it does not move. The receive buffer
    /// limits it too. It counts from the moment on that the peer's SYN is known. Without any call, the receive buffer alone decides.
    ///
    /// `mirrored`: it is another receiver's window. That is shown out of a shut one however little it is, as that receiver
    /// showed it; room of our own waits until it is worth a segment.
    pub fn set_offer(&mut self, bytes_beyond_rcv_nxt: u32, mirrored: bool) {
        let allowed = Some(self.rcv.nxt.advance(bytes_beyond_rcv_nxt.min(MAX_WINDOW)));
        self.out.more_room |= (self.rcv.allowed, self.rcv.mirrored) != (allowed, mirrored);
        self.rcv.allowed = allowed;
        self.rcv.mirrored = mirrored;
    }

    /// The peer has heard of all that was taken and of the window `field`, and needs no more than that: there is no mark
    /// to be echoed. It is certain when it has acknowledged data that they went along with.
    pub fn has_heard(&self, field: u16) -> bool {
        let is_said = (field, self.ack_number()) == (self.rcv.field, self.rcv.last_ack_sent);
        let is_known = self.rcv.told.is_some_and(|end| end.le(self.snd.una));
        is_said && is_known && !self.out.ack_now && self.echo_flags() == TcpFlags(0)
    }

    /// The window field to be sent now, and the right edge that it gives.
    ///
    /// It is rounded down: rounding up would give the peer bytes that nobody has room for, again with every segment.
    /// What rounding seems to take back is still accepted (RFC 7323 section 2.4).
    #[inline(always)]
    pub(super) fn window_to_offer(&self) -> (u16, Seq) {
        let edge =
            if self.is_worthwhile(self.reachable_edge()) { self.reachable_edge() } else { self.rcv.edge };
        let ack = self.ack_number();
        let field = (ack.distance_to(edge) >> self.rcv.shift).min(u32::from(u16::MAX)) as u16;
        (field, ack.advance(u32::from(field) << self.rcv.shift))
    }

    /// The right edge that a window field could give if every byte of room were offered.
    fn reachable_edge(&self) -> Seq {
        let room = self.limits.receive_buffer.saturating_sub(self.rcv.queue.len());
        let room = match self.rcv.allowed {
            Some(allowed) => room.min(self.rcv.nxt.distance_to(allowed)),
            None => room,
        };
        // What is taken and not acknowledged lies within the window that the peer counts from the acknowledgment.
        let ack = self.ack_number();
        let window = ack.distance_to(self.rcv.nxt.advance(room));
        let field = (window >> self.rcv.shift).min(u32::from(u16::MAX));
        ack.advance(field << self.rcv.shift)
    }

    /// Silly windows are avoided by moving the right edge only by a useful amount, or when it gave nothing at all.
    fn is_worthwhile(&self, edge: Seq) -> bool {
        let gain = self.rcv.edge.distance_to(edge);
        // A receiver whose whole window is smaller than a segment is shown as it is.
        let room = self.limits.receive_buffer.saturating_sub(self.rcv.queue.len());
        let limits = |allowed| self.rcv.nxt.distance_to(allowed) <= room;
        let mirrored = self.rcv.mirrored && self.rcv.allowed.is_some_and(limits);
        gain >= self.useful_gain() || (gain > 0 && mirrored && self.is_window_shut())
    }

    /// RFC 9293 section 3.8.6.2.2: min(RCV.BUFF / 2, Eff.snd.MSS).
    fn useful_gain(&self) -> u32 {
        self.peer_segment_size().min(self.limits.receive_buffer / 2).max(1)
    }

    /// The peer can send nothing: by the last field, or because it has used it up.
    fn is_window_shut(&self) -> bool {
        self.rcv.field == 0 || self.rcv.nxt.distance_to(self.rcv.edge) >> self.rcv.shift == 0
    }

    /// Whether room made since the last segment is worth one of its own: a reopening always; otherwise two segments' worth or half of the
    /// buffer, or one segment's worth when the peer could not send a full one.
    #[inline(always)]
    pub(super) fn window_update_due(&self) -> bool {
        if !self.out.more_room || !self.state.takes_data() || self.is_told_by_receiver() {
            return false;
        }
        let is_due = || self.is_update_worthwhile();
        if self.is_room_too_little() {
            debug_assert!(!is_due(), "it is worth a segment");
            return false;
        }
        is_due()
    }

    /// What may be offered beyond the present edge is worth no segment of its own, whatever becomes of it: found without a closer
    /// look, as after most events.
    fn is_room_too_little(&self) -> bool {
        let most = self.rcv.allowed.map_or(u32::MAX, |allowed| self.rcv.edge.distance_to(allowed));
        let is_open =
            self.rcv.field > 0 && self.rcv.nxt.distance_to(self.rcv.edge) >= self.peer_segment_size();
        is_open && most < self.ample_gain()
    }

    /// Two segments' worth, or half of the buffer.
    fn ample_gain(&self) -> u32 {
        (2 * self.peer_segment_size()).min((self.limits.receive_buffer / 2).max(1))
    }

    #[inline(never)]
    fn is_update_worthwhile(&self) -> bool {
        let (field, edge) = self.window_to_offer();
        let gain = self.rcv.edge.distance_to(edge);
        let open = self.rcv.nxt.distance_to(self.rcv.edge);
        (self.rcv.field == 0 && field > 0)
            || gain >= self.ample_gain()
            || (open < self.peer_segment_size() && gain >= self.useful_gain())
    }
}
