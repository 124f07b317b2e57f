//! One end: a TCP that goes back to the first byte missing, takes nothing out of order, and writes down what it has read.

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
    /// Bytes read from the peer, its FIN among them.
    pub got: u64,
    pub peer_closed: bool,
    owes: bool,
}

impl End {
    pub fn new(quad: Quad, isn: Seq) -> End {
        End {
            quad,
            isn,
            peer_isn: None,
            written: 0,
            closed: false,
            sent: 0,
            acked: 0,
            got: 0,
            peer_closed: false,
            owes: false,
        }
    }

    /// All that it will have sent when it has sent all.
    pub fn total(&self) -> u64 {
        self.written + u64::from(self.closed)
    }

    pub fn knows_peer(&self) -> bool {
        self.peer_isn.is_some()
    }

    fn build(&self, flags: TcpFlags, at: u64, payload: &[u8]) -> Vec<u8> {
        let options = match flags.syn() {
            true => TcpOptions { mss: Some(1460), window_scale: Some(2), ..TcpOptions::default() },
            false => TcpOptions::default(),
        };
        let seq = if flags.syn() { self.isn } else { self.isn.advance(1 + at as u32) };
        let ack = self.peer_isn.map_or(Seq(0), |isn| isn.advance(1 + self.got as u32));
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
        (at.wrapping_mul(31) ^ (at >> 5) ^ u64::from(self.quad.client_port)) as u8
    }

    /// All that it may say now.
    pub fn speak(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
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
        frames
    }

    /// The timer has expired: all that is not acknowledged goes again.
    pub fn time_out(&mut self) {
        self.sent = self.acked;
    }

    pub fn hear(&mut self, frame: &[u8], other: &End) {
        let Ok(Packet::Tcp(headers)) = parse(frame) else { panic!("no segment: {frame:x?}") };
        assert!(is_tcp_checksum_valid(frame, &headers), "{headers:?}");
        assert!(!headers.flags.rst(), "nobody has reset it: {headers:?}");
        if headers.flags.syn() {
            self.owes = headers.flags.ack();
            assert!(self.peer_isn.is_none_or(|known| known == headers.seq), "another SYN: {headers:?}");
            self.peer_isn = Some(headers.seq);
            return;
        }
        let peer = self.peer_isn.expect("its SYN was first");
        let payload = &frame[usize::from(headers.payload)..usize::from(headers.end)];
        let ahead = headers.seq.0.wrapping_sub(peer.advance(1 + self.got as u32).0) as i32;
        let Some(start) = self.got.checked_add_signed(ahead.into()) else {
            // Without bytes, and with the number of the SYN: it asks for an acknowledgment (RFC 9293 section 3.8.4).
            assert!(payload.is_empty() && self.got + 1 == u64::from(ahead.unsigned_abs()), "{headers:?}");
            self.owes = true;
            return;
        };
        let end = start + payload.len() as u64;
        if !payload.is_empty() || headers.flags.fin() {
            let expected = (start..end).map(|at| other.byte(at));
            assert!(end <= other.written && payload.iter().copied().eq(expected), "other bytes: {headers:?}");
            assert!(
                !headers.flags.fin() || other.closed && end == other.written,
                "no FIN there: {headers:?}"
            );
            let end = end + u64::from(headers.flags.fin());
            if start <= self.got && end > self.got {
                self.got = end;
                self.peer_closed |= headers.flags.fin();
            }
            self.owes = true;
        }
        let ahead = headers.ack.0.wrapping_sub(self.isn.advance(1 + self.acked as u32).0) as i32;
        let acked = self.acked.saturating_add_signed(ahead.into());
        if acked > self.acked {
            assert!(acked <= self.total(), "{acked} acknowledged of {}: {headers:?}", self.total());
            self.acked = acked;
            self.sent = self.sent.max(acked);
        }
    }
}
