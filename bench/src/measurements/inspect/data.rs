//! Two ends that send each other text: every segment goes on where the last one ended, and acknowledges what has come.

use std::cell::RefCell;
use std::rc::Rc;

use dataplane::port::{BURST, Burst, Port};
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::frame::{Frame, Frames};
use crate::traffic::{Family, template};
use crate::worker::{Counted, Source};

/// As offered by both ends, before scaling.
pub const WINDOW: u32 = 1000;
/// Ethernet, IPv4 and TCP without options.
const HEADERS: usize = 54;

/// One end of one flow.
struct End {
    headers: [u8; HEADERS],
    /// Of the segment, with both numbers 0.
    sum: u32,
}

/// What both ends of all flows have sent, by flow and side: the next numbers.
type Sent = Rc<RefCell<Vec<[u32; 2]>>>;

/// Everybody's words to everybody.
pub struct Conversation;

impl Conversation {
    /// The client's port and the server's, with `text` bytes in a segment.
    pub fn ports(flows: u32, text: usize) -> [DataPort; 2] {
        let frames = Frames::default();
        let sent: Sent = Rc::new(RefCell::new(vec![[1; 2]; flows as usize]));
        [0, 1].map(|side| DataPort::new(side, flows, text, frames.clone(), Rc::clone(&sent)))
    }
}

/// One end of all flows.
pub struct DataPort {
    frames: Frames,
    side: usize,
    ends: Box<[End]>,
    sent_by: Sent,
    /// The frame that is made.
    bytes: Vec<u8>,
    next: usize,
    /// Frames given to `transmit`.
    sent: u64,
    /// One frame to be received before anything else.
    inject: Option<Vec<u8>>,
    /// Whether text is sent.
    running: bool,
}

impl DataPort {
    fn new(side: usize, flows: u32, text: usize, frames: Frames, sent_by: Sent) -> DataPort {
        let mut random = fastrand::Rng::with_seed(6);
        let mut letter = |at: usize| if at % 9 == 8 { b' ' } else { random.lowercase() as u8 };
        let text: Vec<u8> = (0..text).map(&mut letter).collect();
        let mut bytes = vec![0; HEADERS + text.len()];
        let ends = (0..flows).map(|n| {
            let quad = Family::V4.quad(n);
            let quad = if side == 0 { quad } else { quad.reversed() };
            let template = template(quad);
            let tcp = TcpRepr { flags: TcpFlags::ACK, window: WINDOW as u16, ..TcpRepr::default() };
            template.build(&tcp, &text, &mut bytes).expect("the headers have no options");
            let mut headers = [0; HEADERS];
            headers.copy_from_slice(&bytes[..HEADERS]);
            End { headers, sum: u32::from(!u16::from_be_bytes([bytes[50], bytes[51]])) }
        });
        let ends = ends.collect();
        DataPort { frames, side, ends, sent_by, bytes, next: 0, sent: 0, inject: None, running: false }
    }

    fn write(&mut self, sent: &mut [u32; 2]) -> Frame {
        let end = &self.ends[self.next];
        let (seq, ack) = (sent[self.side], sent[1 - self.side]);
        sent[self.side] = seq.wrapping_add((self.bytes.len() - HEADERS) as u32);
        // RFC 1071: a sum of 16-bit words, what is carried out of it added again.
        let sum = end.sum + (seq >> 16) + (seq & 0xffff) + (ack >> 16) + (ack & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = !((sum >> 16) + sum) as u16;
        self.bytes[..HEADERS].copy_from_slice(&end.headers);
        self.bytes[38..42].copy_from_slice(&seq.to_be_bytes());
        self.bytes[42..46].copy_from_slice(&ack.to_be_bytes());
        self.bytes[50..52].copy_from_slice(&sum.to_be_bytes());
        self.frames.copy_of(&self.bytes)
    }
}

impl Source for DataPort {
    fn start(&mut self) {
        self.running = true;
    }

    fn inject(&mut self, frame: Vec<u8>) {
        self.inject = Some(frame);
    }
}

impl Counted for DataPort {
    fn sent(&self) -> u64 {
        self.sent
    }
}

impl Port for DataPort {
    type Buffer = Frame;

    fn receive(&mut self, burst: &mut Burst<Frame>) -> usize {
        if let Some(bytes) = self.inject.take() {
            burst.push(self.frames.copy_of(&bytes));
            return 1;
        }
        if !self.running {
            return 0;
        }
        let sent_by = Rc::clone(&self.sent_by);
        let mut sent = sent_by.borrow_mut();
        while burst.len() < BURST {
            burst.push(self.write(&mut sent[self.next]));
            self.next = (self.next + 1) % self.ends.len();
        }
        BURST
    }

    fn transmit(&mut self, burst: &mut Burst<Frame>) -> usize {
        let n = burst.len();
        self.frames.give_back(burst.drain(..));
        self.sent += n as u64;
        n
    }
}
