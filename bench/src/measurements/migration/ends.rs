//! Both ends of flows that are handed over and back. They say what they are told to, and look at everything that they hear:
//! each byte has to come, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use dataplane::buffer::Buffer;
use dataplane::flow::quad::Quad;
use dataplane::port::{Burst, Port};
use dataplane::wire::seq::Delta;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};

use crate::measurements::connections::segment::{ACK, Answer, PSH, Segment};
use crate::pooled::Pooled;
use crate::traffic::{Family, flow_of, frame};

/// The number of the first byte that either end sends.
pub const FIRST: u32 = 1;
/// Both directions are rewritten.
pub const DELTA: Delta = Delta(1);
/// Bytes of payload of a segment.
const PAYLOAD: usize = 64;
/// Segments that an end sends before the first of them is acknowledged.
const AHEAD: u32 = 4;

/// What an end is told to do.
#[derive(Debug, Clone, Copy)]
pub struct Say {
    pub flow: u32,
    pub segments: u32,
}

/// What all ends have seen, for whoever drives them from another thread.
#[derive(Default)]
pub struct Seen {
    /// Segments with data that have left an end.
    pub said: CachePadded<AtomicU64>,
    /// Those that have come to the other, and what is told to the ends has been said to its last segment.
    pub heard: CachePadded<AtomicU64>,
    /// Segments ahead of the next one: it has been lost or overtaken. Or of nobody's flow.
    pub astray: CachePadded<AtomicU64>,
    /// Segments that had come before. No end repeats any; a leg does when a thread did not run for so long that it had to.
    pub repeated: CachePadded<AtomicU64>,
}

/// What one end of a flow has said and heard.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    next: u32,
    acked: u32,
    expected: u32,
}

/// A port, and one end of every flow behind it.
pub struct End {
    is_server: bool,
    flows: Vec<Numbers>,
    told: Receiver<Say>,
    talk: Option<Say>,
    /// To be received.
    ready: VecDeque<Pooled>,
    seen: Arc<Seen>,
}

/// The clients' port and the server's, and what tells each to say something.
pub fn pair(flows: u32, seen: &Arc<Seen>) -> ([End; 2], [Sender<Say>; 2]) {
    let numbers = Numbers { next: FIRST, acked: FIRST, expected: FIRST.wrapping_add_signed(DELTA.0) };
    let end = |is_server| {
        let (teller, told) = mailbox(4);
        let flows = vec![numbers; flows as usize];
        (End { is_server, flows, told, talk: None, ready: VecDeque::new(), seen: Arc::clone(seen) }, teller)
    };
    let [(client, to_client), (server, to_server)] = [false, true].map(end);
    ([client, server], [to_client, to_server])
}

impl End {
    /// What is received before anything else.
    pub fn inject(&mut self, bytes: &[u8]) {
        self.ready.push_front(Pooled::copy_of(bytes));
    }

    /// The flow's next segment.
    fn say(&mut self, flow: u32) -> Pooled {
        let quad: Quad = Family::V4.quad(flow);
        let quad = if self.is_server { quad.reversed() } else { quad };
        let mut segment =
            Pooled::copy_of(&frame(quad, &TcpRepr { flags: TcpFlags::ACK, ..TcpRepr::default() }));
        let numbers = &mut self.flows[flow as usize];
        let data = Answer { flags: PSH | ACK, seq: numbers.next, ack: numbers.expected, payload: PAYLOAD };
        numbers.next = numbers.next.wrapping_add(PAYLOAD as u32);
        Segment::read(segment.bytes()).say(&mut segment, data);
        self.seen.said.fetch_add(1, Ordering::Relaxed);
        segment
    }

    /// As far as is allowed before anything is acknowledged.
    fn go_on(&mut self, room: usize) {
        while self.ready.len() < room
            && let Some(Say { flow, segments }) = self.talk
        {
            let Numbers { next, acked, .. } = self.flows[flow as usize];
            if next.wrapping_sub(acked) >= AHEAD * PAYLOAD as u32 {
                return;
            }
            let segment = self.say(flow);
            self.ready.push_back(segment);
            self.talk = (segments > 1).then_some(Say { flow, segments: segments - 1 });
        }
    }

    fn hear(&mut self, mut frame: Pooled) {
        let heard = Segment::read(frame.bytes());
        let Some(numbers) = self.flows.get_mut(number(frame.bytes(), self.is_server)) else {
            self.seen.astray.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // An older acknowledgment may follow a newer one: a merge tells both ends where they are.
        if (heard.ack.wrapping_sub(numbers.acked) as i32) > 0 {
            numbers.acked = heard.ack;
        }
        if heard.payload == 0 {
            return;
        }
        let is_next = heard.seq == numbers.expected;
        if is_next {
            numbers.expected = heard.end();
        }
        let answer = Answer { flags: ACK, seq: numbers.next, ack: numbers.expected, payload: 0 };
        heard.answer(&mut frame, answer);
        self.ready.push_back(frame);
        let count = match heard.seq.wrapping_sub(numbers.expected) as i32 {
            _ if is_next => &self.seen.heard,
            ..0 => &self.seen.repeated,
            0.. => &self.seen.astray,
        };
        // The legs between may have made one of several. Whoever reads this finds the answer on its way.
        count.fetch_add((heard.payload / PAYLOAD) as u64, Ordering::Release);
    }
}

/// Of a frame of IPv4 without tags and options.
fn number(bytes: &[u8], from_client: bool) -> usize {
    let (address, port) = if from_client { (26, 34) } else { (30, 36) };
    let host = u32::from_be_bytes([0, bytes[address + 1], bytes[address + 2], bytes[address + 3]]);
    flow_of((host, u16::from_be_bytes([bytes[port], bytes[port + 1]]))) as usize
}

impl Port for End {
    type Buffer = Pooled;

    fn receive(&mut self, burst: &mut Burst<Pooled>) -> usize {
        if self.talk.is_none() {
            self.talk = self.told.try_receive();
        }
        self.go_on(burst.remaining_capacity());
        let n = self.ready.len().min(burst.remaining_capacity());
        burst.extend(self.ready.drain(..n));
        n
    }

    fn transmit(&mut self, burst: &mut Burst<Pooled>) -> usize {
        let n = burst.len();
        burst.drain(..).for_each(|frame| self.hear(frame));
        n
    }
}
