//! What smoltcp 0.14 cannot cope with, kept from it: two ways in which it loses its only timer, and hangs.

use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use smoltcp::socket::tcp::{Socket, State};

use crate::frame::{self, Segment};

/// What one end of one connection has been told by its peer.
#[derive(Debug, Default)]
pub struct Crutch {
    /// The newest acknowledgment, and the largest window that came with it, unscaled.
    newest: Option<(Seq, u16)>,
    last_pure: Option<u32>,
}

impl Crutch {
    /// Whether `socket` may see this segment, which may be changed on the way.
    ///
    /// `reorders`: the cable does. Where it does not, windows are left alone, and one taken back shows.
    pub fn admit(&mut self, socket: &Socket, segment: &Segment, frame: &mut [u8], reorders: bool) -> bool {
        let settled = segment.flags.ack() && !segment.flags.syn() && !segment.flags.rst();
        if !segment.checksum_ok || !settled {
            return true;
        }
        if reorders {
            self.keep_window_open(segment, frame);
        }
        !self.would_strand_a_fin(socket, segment)
    }

    /// smoltcp takes the window of an older ACK that comes late (no SND.WL1, RFC 9293 section 3.10.7.4). When that one
    /// is closed, a retransmission timeout finds nothing that it may send and leaves no timer behind. A receiver's window only grows while its acknowledgment stays the same.
    fn keep_window_open(&mut self, segment: &Segment, frame: &mut [u8]) {
        let ack = Seq(segment.ack);
        match self.newest {
            Some((newest, window)) if newest == ack && segment.window < window => {
                let at = segment.header.start + 14;
                frame[at..at + 2].copy_from_slice(&window.to_be_bytes());
                frame::fill_checksum(frame, segment);
            }
            Some((newest, _)) if ack.lt(newest) => {}
            _ => self.newest = Some((ack, segment.window)),
        }
    }

    /// smoltcp stops its retransmission timer at the third duplicate ACK; when nothing but a FIN is outstanding it has
    /// nothing to retransmit fast either, and the FIN is never sent again. Such duplicates say nothing new: there is
    /// no data left that a window could let out.
    fn would_strand_a_fin(&mut self, socket: &Socket, segment: &Segment) -> bool {
        if segment.flags != TcpFlags::ACK || !segment.payload.is_empty() {
            return false;
        }
        let only_fin = matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck);
        let repeated = self.last_pure.replace(segment.ack) == Some(segment.ack);
        only_fin && socket.send_queue() == 0 && repeated
    }
}
