//! One end of the flow: an honest TCP on a cable that loses nothing and keeps order, so that it may ask for both.

use dataplane::flow::quad::Quad;
use dataplane::packet::{Packet, is_tcp_checksum_valid, parse};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::TcpOptions;

/// Bytes of a segment with data.
const LEN: u32 = 100;

pub struct End {
    /// From this end to the other.
    quad: Quad,
    pub isn: Seq,
    /// Bytes sent, of them acknowledged, and bytes got.
    pub sent: u32,
    pub acked: u32,
    pub got: u32,
    pub peer_isn: Option<Seq>,
    pub unsent: u32,
    owes: bool,
}

impl End {
    pub fn new(quad: Quad, isn: Seq, segments: u32) -> End {
        End { quad, isn, sent: 0, acked: 0, got: 0, peer_isn: None, unsent: segments, owes: false }
    }

    fn build(&self, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
        let syn = flags.syn();
        let options = match syn {
            true => TcpOptions { mss: Some(1460), window_scale: Some(2), ..TcpOptions::default() },
            false => TcpOptions::default(),
        };
        let seq = if syn { self.isn } else { self.isn.advance(1 + self.sent) };
        let ack = self.peer_isn.map_or(Seq(0), |isn| isn.advance(1 + self.got));
        let tcp = TcpRepr { seq, ack, flags, window: 10_000, options, ..TcpRepr::default() };
        let mut frame = vec![0; 300];
        let template = FrameTemplate::new([2; 6], [1; 6], &[], 60, self.quad);
        let len = template.build(&tcp, payload, &mut frame).expect("it fits");
        frame.truncate(len);
        frame
    }

    pub fn syn(&self) -> Vec<u8> {
        self.build(if self.peer_isn.is_some() { TcpFlags::SYN | TcpFlags::ACK } else { TcpFlags::SYN }, &[])
    }

    /// Whether it has something to say.
    pub fn can_speak(&self) -> bool {
        self.peer_isn.is_some() && (self.unsent > 0 || self.owes)
    }

    /// Its next segment.
    pub fn speak(&mut self) -> Vec<u8> {
        self.owes = false;
        if self.unsent == 0 {
            return self.build(TcpFlags::ACK, &[]);
        }
        self.unsent -= 1;
        let payload: Vec<u8> = (self.sent..self.sent + LEN).map(|at| self.byte(at)).collect();
        let frame = self.build(TcpFlags::ACK | TcpFlags::PSH, &payload);
        self.sent += LEN;
        frame
    }

    fn byte(&self, at: u32) -> u8 {
        (at.wrapping_mul(31) ^ (at >> 5) ^ u32::from(self.quad.client_port)) as u8
    }

    /// Takes a frame that the other end should have sent.
    pub fn hear(&mut self, frame: &[u8], other: &End) {
        let Ok(Packet::Tcp(headers)) = parse(frame) else { panic!("no segment: {frame:x?}") };
        assert!(is_tcp_checksum_valid(frame, &headers), "{headers:?}");
        assert!(!headers.flags.rst() && !headers.flags.fin(), "nobody ends it: {headers:?}");
        if headers.flags.syn() {
            self.owes = self.peer_isn.is_none() && headers.flags.ack();
            self.peer_isn = Some(headers.seq);
            return;
        }
        let peer = self.peer_isn.expect("its SYN was first");
        let payload = &frame[usize::from(headers.payload)..usize::from(headers.end)];
        let at = headers.seq.0.wrapping_sub(peer.advance(1).0);
        if !payload.is_empty() {
            assert_eq!(at, self.got, "not in order, or twice: {headers:?}");
            let expected = (at..).map(|at| other.byte(at)).take(payload.len());
            assert!(payload.iter().copied().eq(expected), "other bytes: {headers:?}");
            self.got += payload.len() as u32;
            self.owes = true;
        }
        let acked = headers.ack.0.wrapping_sub(self.isn.advance(1).0);
        assert!(acked <= self.sent, "{acked} acknowledged, {} sent: {headers:?}", self.sent);
        self.acked = self.acked.max(acked);
    }
}
