//! One end: a TCP that goes back to the first byte missing, takes nothing out of order, and writes down what it has read.

use super::scribe::{OPTIONAL, is_essential};
use dataplane::flow::quad::Quad;
use dataplane::packet::{Packet, is_tcp_checksum_valid, parse};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::TcpOptions;

/// The most bytes of a segment, and of all that is sent and not acknowledged.
const MSS: u64 = 300;
const FLIGHT: u64 = 3_000;

pub struct End {
    quad: Quad,
    isn: Seq,
    peer_isn: Option<Seq>,
    /// Bytes that the program has written, of them sent, and acknowledged. A FIN counts as one more.
    pub written: u64,
    pub closed: bool,
    sent: u64,
    pub acked: u64,
    /// Bytes read from the peer, and how many of its own that makes.
    read: Vec<u8>,
    understood: u64,
    pub peer_closed: bool,
    owes: bool,
    may_be_edited: bool,
    /// It has reset the connection, or was told that the peer has: it says no more than that.
    pub life: Life,
    /// It wants to know whether the peer is there; and the peer has said something since.
    asks: bool,
    pub is_answered: bool,
    /// What it answers, with these numbers, when it is spoken to after it has reset the connection.
    resets: Vec<Seq>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Open,
    HasReset,
    WasReset,
}

impl End {
    pub fn new(quad: Quad, isn: Seq, may_be_edited: bool) -> End {
        End {
            quad,
            isn,
            peer_isn: None,
            written: 0,
            closed: false,
            sent: 0,
            acked: 0,
            read: Vec::new(),
            understood: 0,
            peer_closed: false,
            owes: false,
            may_be_edited,
            life: Life::Open,
            asks: false,
            is_answered: true,
            resets: Vec::new(),
        }
    }

    /// All that it will have sent when it has sent all.
    pub fn total(&self) -> u64 {
        self.written + u64::from(self.closed)
    }

    /// In the peer's numbers: what has come, its FIN among them.
    fn got(&self) -> u64 {
        self.read.len() as u64 + u64::from(self.peer_closed)
    }

    /// All that the peer has written has been read, and that it has closed, if it has.
    pub fn has_all_of(&self, peer: &End) -> bool {
        let rest_is_optional = (self.understood..peer.written).all(|at| !is_essential(peer.byte(at)));
        rest_is_optional && self.peer_closed == peer.closed
    }

    /// It resets the connection.
    pub fn reset(&mut self) {
        if self.life == Life::Open {
            self.life = Life::HasReset;
            self.resets.push(self.isn.advance(1 + self.sent as u32));
        }
    }

    /// It asks whether the peer is there, or has room, without a byte, as Linux does; unless something is outstanding, which asks by
    /// itself.
    pub fn ask(&mut self) {
        if self.life == Life::Open && self.acked == self.sent {
            (self.asks, self.is_answered) = (true, false);
        }
    }

    pub fn knows_peer(&self) -> bool {
        self.peer_isn.is_some()
    }

    fn build(&self, flags: TcpFlags, at: u64, payload: &[u8]) -> Vec<u8> {
        let options = match flags.syn() {
            true => TcpOptions { mss: Some(1460), window_scale: Some(2), ..TcpOptions::default() },
            false => TcpOptions::default(),
        };
        let seq = if flags.syn() { self.isn } else { self.isn.advance(1).advance(at as u32) };
        let ack = self.peer_isn.map_or(Seq(0), |isn| isn.advance(1 + self.got() as u32));
        let tcp = TcpRepr { seq, ack, flags, window: 10_000, options, ..TcpRepr::default() };
        let mut frame = vec![0; 600];
        let template = FrameTemplate::new([2; 6], [1; 6], &[], 60, self.quad);
        let len = template.build(&tcp, payload, &mut frame).expect("it fits");
        frame.truncate(len);
        frame
    }

    pub fn syn(&self) -> Vec<u8> {
        let answer = if self.knows_peer() { TcpFlags::ACK } else { TcpFlags(0) };
        self.build(TcpFlags::SYN | answer, 0, &[])
    }

    fn byte(&self, at: u64) -> u8 {
        let mixed = at.wrapping_mul(31) ^ (at >> 5) ^ u64::from(self.quad.client_port);
        (mixed % 128) as u8
    }

    /// All that it may say now.
    pub fn speak(&mut self) -> Vec<Vec<u8>> {
        let resets: Vec<_> = self.resets.drain(..).collect();
        let mut frames: Vec<_> = resets.into_iter().map(|seq| self.build_reset(seq)).collect();
        if self.life != Life::Open {
            return frames;
        }
        while self.sent < self.total() && self.sent < self.acked + FLIGHT {
            let end = self.written.min(self.sent + MSS);
            let payload: Vec<u8> = (self.sent..end).map(|at| self.byte(at)).collect();
            let last = self.closed && end == self.written;
            let fin = if last { TcpFlags::FIN } else { TcpFlags(0) };
            frames.push(self.build(TcpFlags::ACK | fin, self.sent, &payload));
            self.sent = end + u64::from(last);
        }
        if std::mem::take(&mut self.owes) && frames.is_empty() {
            frames.push(self.build(TcpFlags::ACK, self.sent, &[]));
        }
        if std::mem::take(&mut self.asks) {
            frames.push(self.build(TcpFlags::ACK, self.acked.wrapping_sub(1), &[]));
        }
        frames
    }

    /// The timer has expired: all that is not acknowledged goes again.
    pub fn time_out(&mut self) {
        self.sent = self.acked;
    }

    pub fn hear(&mut self, frame: &[u8], other: &End) {
        let Ok(Packet::Tcp(headers)) = parse(frame) else { panic!("no segment: {frame:x?}") };
        assert!(is_tcp_checksum_valid(frame, &headers), "{headers:?}");
        if headers.flags.syn() {
            self.owes = headers.flags.ack();
            assert!(self.peer_isn.is_none_or(|known| known == headers.seq), "another SYN: {headers:?}");
            self.peer_isn = Some(headers.seq);
            return;
        }
        let peer = self.peer_isn.expect("its SYN was first");
        if headers.flags.rst() {
            assert!(other.life != Life::Open || self.life != Life::Open, "nobody has reset it: {headers:?}");
            // The number that is expected, and no other (RFC 5961 section 3.2).
            match headers.seq == peer.advance(1 + self.got() as u32) {
                true if self.life == Life::Open => self.life = Life::WasReset,
                true => {}
                false => self.owes = true,
            }
            return;
        }
        if self.life != Life::Open {
            self.resets.push(headers.ack);
            return;
        }
        self.is_answered = true;
        let payload = &frame[usize::from(headers.payload)..usize::from(headers.end)];
        let ahead = headers.seq.0.wrapping_sub(peer.advance(1 + self.got() as u32).0) as i32;
        let Some(start) = self.got().checked_add_signed(ahead.into()) else {
            let back = u64::from(ahead.unsigned_abs());
            // Without bytes, and with the number of the SYN: it asks for an acknowledgment (RFC 9293 section 3.8.4).
            let asks = payload.is_empty() && self.got() + 1 == back;
            // Bytes have become fewer, and what came before the merge is repeated after it, in the numbers of then.
            let is_old = self.may_be_edited && payload.len() as u64 <= back;
            assert!(asks || is_old, "{headers:?}");
            self.owes = true;
            return;
        };
        if !payload.is_empty() || headers.flags.fin() {
            self.take(start as usize, payload, headers.flags.fin(), other);
            self.owes = true;
        }
        // The number before the one that is expected: a question.
        self.owes |= payload.is_empty() && start + 1 == self.got();
        let ahead = headers.ack.0.wrapping_sub(self.isn.advance(1 + self.acked as u32).0) as i32;
        let acked = self.acked.saturating_add_signed(ahead.into());
        if acked > self.acked {
            assert!(acked <= self.total(), "{acked} acknowledged of {}: {headers:?}", self.total());
            self.acked = acked;
            self.sent = self.sent.max(acked);
        }
    }

    /// Bytes of the peer's from `start` of what it has sent, and perhaps its FIN.
    fn take(&mut self, start: usize, payload: &[u8], fin: bool, other: &End) {
        // What came before a merge has other numbers after it, all of them behind what is expected.
        if !self.may_be_edited {
            let known = self.read.iter().skip(start).zip(payload);
            known.for_each(|(was, is)| assert_eq!(was, is, "another byte than before, from {start} on"));
        }
        if start > self.read.len() {
            return;
        }
        for &byte in payload.iter().skip(self.read.len() - start) {
            assert!(!self.peer_closed, "bytes behind the FIN");
            self.read.push(byte);
            if byte <= OPTIONAL {
                self.understand(byte, other);
            }
        }
        let is_complete = start + payload.len() == self.read.len();
        if fin && is_complete && !self.peer_closed {
            self.peer_closed = true;
            assert!(other.closed && self.has_all_of(other), "a FIN before the end");
        }
    }

    /// The next byte of the peer's own: what is between may only be what the module leaves out.
    fn understand(&mut self, byte: u8, other: &End) {
        while byte != OPTIONAL && self.understood < other.written && other.byte(self.understood) == OPTIONAL {
            self.understood += 1;
        }
        assert!(self.understood < other.written, "more than was written");
        assert_eq!(byte, other.byte(self.understood), "at {}", self.understood);
        self.understood += 1;
    }

    fn build_reset(&self, seq: Seq) -> Vec<u8> {
        let tcp = TcpRepr { seq, flags: TcpFlags::RST, ..TcpRepr::default() };
        let mut frame = vec![0; 100];
        let template = FrameTemplate::new([2; 6], [1; 6], &[], 60, self.quad);
        let len = template.build(&tcp, &[], &mut frame).expect("it fits");
        frame.truncate(len);
        frame
    }
}
