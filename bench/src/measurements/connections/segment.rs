//! Segments read and turned into their answers in place, by two ends that keep nothing of a connection: all is in what they
//! are sent, and in numbers that are the same for all.

use dataplane::buffer::Buffer;
use dataplane::wire::checksum::Sum;

use crate::pooled::Pooled;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

const L3: usize = 14;
/// Without options.
const HEADER: usize = 20;
/// As both scale by 7: 64 KiB.
const WINDOW: u16 = 512;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where its TCP header begins.
    l4: usize,
    header: usize,
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    /// As it is in the header.
    pub window: u16,
    pub payload: usize,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub payload: usize,
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

impl Segment {
    /// Of a frame without VLAN tags and IP options, as the ends' own are.
    pub fn read(bytes: &[u8]) -> Segment {
        let is_v4 = bytes[L3] >> 4 == 4;
        let (l4, end) = if is_v4 { (34, L3 + word(bytes, 16)) } else { (54, 54 + word(bytes, 18)) };
        let header = usize::from(bytes[l4 + 12] >> 4) * 4;
        let number = |at| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Segment {
            l4,
            header,
            flags: bytes[l4 + 13],
            seq: number(l4 + 4),
            ack: number(l4 + 8),
            window: word(bytes, l4 + 14) as u16,
            payload: end - l4 - header,
        }
    }

    /// The port that a frame is from.
    pub fn source(bytes: &[u8]) -> u16 {
        word(bytes, Segment::read(bytes).l4) as u16
    }

    /// The number behind its last byte.
    pub fn end(&self) -> u32 {
        let flags = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.seq.wrapping_add(self.payload as u32).wrapping_add(flags)
    }

    /// The frame from its addressee: a SYN keeps its options, everything else has none.
    pub fn answer(&self, frame: &mut Pooled, answer: Answer) {
        let bytes = frame.bytes_mut();
        let (address, len) = if self.l4 == 34 { (26, 4) } else { (22, 16) };
        swap(bytes, 0, 6);
        swap(bytes, address, len);
        swap(bytes, self.l4, 2);
        self.say(frame, answer);
    }

    /// The frame from the same end.
    pub fn say(&self, frame: &mut Pooled, answer: Answer) {
        let l4 = self.l4;
        let header = if answer.flags & SYN != 0 { self.header } else { HEADER };
        let end = l4 + header + answer.payload;
        frame.resize(end.max(60));
        let bytes = frame.bytes_mut();
        bytes[l4 + 4..l4 + 8].copy_from_slice(&answer.seq.to_be_bytes());
        bytes[l4 + 8..l4 + 12].copy_from_slice(&answer.ack.to_be_bytes());
        bytes[l4 + 12] = (header as u8 / 4) << 4;
        bytes[l4 + 13] = answer.flags;
        bytes[l4 + 14..l4 + 16].copy_from_slice(&WINDOW.to_be_bytes());
        bytes[l4 + header..end].fill(b'a');
        // Padding.
        bytes[end..].fill(0);
        let len = if l4 == 34 { end - L3 } else { end - l4 } as u16;
        let at = if l4 == 34 { 16 } else { 18 };
        bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
        seal(bytes, l4, end);
    }
}

fn swap(bytes: &mut [u8], at: usize, len: usize) {
    let (first, second) = bytes[at..].split_at_mut(len);
    first.swap_with_slice(&mut second[..len]);
}

/// Checksums.
pub fn seal(bytes: &mut [u8], l4: usize, end: usize) {
    let addresses = if l4 == 34 { 26 } else { 22 };
    if l4 == 34 {
        bytes[24..26].fill(0);
        let sum = Sum::of(&bytes[L3..l4]).checksum();
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    bytes[l4 + 16..l4 + 20].fill(0);
    let [high, low] = ((end - l4) as u16).to_be_bytes();
    let sum = Sum::of(&bytes[addresses..l4]) + Sum::of(&[0, 6, high, low]) + Sum::of(&bytes[l4..end]);
    bytes[l4 + 16..l4 + 18].copy_from_slice(&sum.checksum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use dataplane::packet::{self, Packet};

    use super::*;
    use crate::traffic::{Family, bare_syn};

    #[test]
    fn an_answer_is_a_valid_segment_of_the_other_end() {
        for family in [Family::V4, Family::V6] {
            let mut frame = Pooled::copy_of(&bare_syn(family.quad(7)));
            let syn = Segment::read(frame.bytes());
            assert_eq!((syn.flags, syn.payload, syn.end()), (SYN, 0, 1));
            let answer = Answer { flags: PSH | ACK, seq: 9, ack: 1, payload: 77 };
            syn.answer(&mut frame, answer);
            let read = Segment::read(frame.bytes());
            assert_eq!((read.flags, read.payload, read.end()), (PSH | ACK, 77, 86));
            let Ok(Packet::Tcp(headers)) = packet::parse(frame.bytes()) else { panic!("not TCP") };
            assert_eq!(headers.quad, family.quad(7).reversed());
            assert!(packet::is_tcp_checksum_valid(frame.bytes(), &headers), "{family:?}");
        }
    }
}
