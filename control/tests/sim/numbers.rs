//! Initial sequence numbers near the edges. smoltcp draws its own by itself: an end's numbers are moved on their way to the
//! cable, and what acknowledges them on its way back, so that they pass 2^32 or 2^31 within its transfer.

use crate::frame::{self, Segment};
use crate::rng::Rng;

/// Where numbers begin anew, and where the sign of one turns that is compared as if it were a plain number.
const EDGES: [u32; 2] = [0, 1 << 31];

/// Kind of the option that holds acknowledged blocks (RFC 2018 section 3).
const SACK: u8 = 5;

/// One end's own numbers.
#[derive(Debug)]
pub struct Numbers {
    edge: u32,
    /// Bytes before it, those after the SYN.
    before: u32,
    /// On the cable minus at the end, from the first SYN on.
    shift: Option<u32>,
}

impl Numbers {
    /// Numbers of an end that sends `total` bytes.
    pub fn draw(total: u64, rng: &mut Rng) -> Numbers {
        Numbers { edge: rng.pick(&EDGES), before: rng.magnitude(total + 2) as u32 - 1, shift: None }
    }

    /// A segment of this end's goes out.
    pub fn go_out(&mut self, segment: &Segment, frame: &mut [u8]) {
        let at = segment.header.start + 4;
        if segment.flags.syn() && self.shift.is_none() {
            let isn = self.edge.wrapping_sub(1).wrapping_sub(self.before);
            self.shift = Some(isn.wrapping_sub(segment.seq));
        }
        if let Some(shift) = self.shift {
            add(frame, at, shift);
            frame::fill_checksum(frame, segment);
        }
    }

    /// A segment of the peer's comes in. One that is damaged stays as it is.
    pub fn come_in(&self, segment: &Segment, frame: &mut [u8]) {
        let Some(shift) = self.shift.filter(|_| segment.checksum_ok && segment.flags.ack()) else { return };
        let back = shift.wrapping_neg();
        add(frame, segment.header.start + 8, back);
        let mut at = segment.header.start + 20;
        while at + 1 < segment.header.end {
            let len = usize::from(frame[at + 1]);
            match frame[at] {
                0 => break,
                1 => at += 1,
                SACK => {
                    (at + 2..at + len).step_by(4).for_each(|edge| add(frame, edge, back));
                    at += len;
                }
                _ => at += len.max(2),
            }
        }
        frame::fill_checksum(frame, segment);
    }
}

fn add(frame: &mut [u8], at: usize, n: u32) {
    let field = frame[at..].first_chunk_mut().expect("a whole TCP header");
    *field = u32::from_be_bytes(*field).wrapping_add(n).to_be_bytes();
}

#[test]
fn numbers_pass_an_edge_and_come_back_as_they_were() {
    use dataplane::wire::build::FrameTemplate;
    use dataplane::wire::seq::Seq;
    use dataplane::wire::tcp::TcpRepr;
    use dataplane::wire::tcp_flags::TcpFlags;
    use dataplane::wire::tcp_options::{SackBlock, TcpOptions};

    let end = |text: &str| text.parse().expect("an address");
    let quad =
        dataplane::flow::quad::Quad::between(end("10.0.0.1:1"), end("10.0.0.2:2")).expect("one family");
    let frame = |flags, seq, ack, sack: &[(u32, u32)]| {
        let sack =
            sack.iter().map(|(left, right)| SackBlock { left: Seq(*left), right: Seq(*right) }).collect();
        let options = TcpOptions { sack, ..TcpOptions::default() };
        let tcp = TcpRepr { seq: Seq(seq), ack: Seq(ack), flags, options, ..TcpRepr::default() };
        let mut bytes = vec![0; 200];
        let len =
            FrameTemplate::new([2; 6], [1; 6], &[], 60, quad).build(&tcp, &[], &mut bytes).expect("it fits");
        bytes.truncate(len);
        bytes
    };
    let seen =
        |frame: &[u8]| frame::parse(frame).filter(|segment| segment.checksum_ok).expect("a sound segment");
    for edge in EDGES {
        let mut numbers = Numbers { edge, before: 9, shift: None };
        let mut syn = frame(TcpFlags::SYN, 7_000, 0, &[]);
        numbers.go_out(&seen(&syn), &mut syn);
        assert_eq!(seen(&syn).seq, edge.wrapping_sub(10));
        let mut data = frame(TcpFlags::ACK, 7_011, 55, &[]);
        numbers.go_out(&seen(&data), &mut data);
        assert_eq!((seen(&data).seq, seen(&data).ack), (edge.wrapping_add(1), 55));
        let edges = (edge.wrapping_sub(1), edge.wrapping_add(5));
        let mut answer = frame(TcpFlags::ACK, 55, edge.wrapping_sub(4), &[edges]);
        numbers.come_in(&seen(&answer), &mut answer);
        assert_eq!(answer, frame(TcpFlags::ACK, 55, 7_006, &[(7_009, 7_015)]));
    }
}
