//! Clients that send for ever, as much as they may, and a server that acknowledges every segment.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dataplane::buffer::Buffer;
use dataplane::port::{Burst, Port};

use super::super::connections::segment::{ACK, Answer, SYN, Segment};
use super::super::rules::syns::unstamped_syn;
use crate::pooled::Pooled;
use crate::traffic::{Family, client_of};
use crate::turns::Timed;
use crate::worker::Source;

/// The server's initial sequence number.
const SERVER: u32 = 5000;
/// As both scale.
const SHIFT: u32 = 7;

/// A port, and the end behind it.
pub struct Stream {
    role: Role,
    /// To be received.
    ready: VecDeque<Pooled>,
    spent: Duration,
}

enum Role {
    Senders(Senders),
    /// Bytes of payload so far.
    Receiver(u64),
}

struct Senders {
    family: Family,
    /// By number of their flow.
    flows: Vec<Sender>,
    /// Those that may send.
    may: VecDeque<usize>,
    /// Bytes of payload of a segment.
    mss: usize,
    /// What may be sent is not, for now.
    rests: bool,
}

/// Of one flow; nothing is ever repeated.
#[derive(Default)]
struct Sender {
    /// A segment of it, once its handshake is complete.
    template: Vec<u8>,
    next: u32,
    right: u32,
    is_waiting: bool,
}

impl Stream {
    /// The senders' port, and the receiver's.
    pub fn pair(family: Family, flows: u32) -> [Stream; 2] {
        // The SYNs' MSS is IPv4's; over IPv6 20 bytes less fit into 1500.
        let mss = 1480 - family.header_len();
        let flows = (0..flows).map(|_| Sender::default()).collect();
        let senders = Senders { family, flows, may: VecDeque::new(), mss, rests: false };
        [Role::Senders(senders), Role::Receiver(0)].map(|role| Stream {
            role,
            ready: VecDeque::new(),
            spent: Duration::ZERO,
        })
    }

    /// Senders send, or rest.
    pub fn go_on(&mut self, goes_on: bool) {
        if let Role::Senders(senders) = &mut self.role {
            senders.rests = !goes_on;
        }
    }

    /// Bytes that the server has got.
    pub fn delivered(&self) -> u64 {
        match self.role {
            Role::Senders(_) => 0,
            Role::Receiver(bytes) => bytes,
        }
    }
}

impl Senders {
    fn hear(&mut self, mut frame: Pooled, ready: &mut VecDeque<Pooled>) {
        let heard = Segment::read(frame.bytes());
        let answer = Answer { flags: ACK, seq: heard.ack, ack: heard.end(), payload: 0 };
        let is_first = heard.flags & SYN != 0;
        // The port is all that flows differ in.
        heard.answer(&mut frame, answer);
        let n = usize::from(Segment::source(frame.bytes()) - client_of(0).1);
        let sender = &mut self.flows[n];
        if is_first {
            sender.template = frame.bytes().to_vec();
            sender.next = heard.ack;
            ready.push_back(frame);
        }
        // RFC 7323 section 2.2: the window of a SYN is never scaled.
        let window = if is_first { u32::from(heard.window) } else { u32::from(heard.window) << SHIFT };
        sender.right = heard.ack.wrapping_add(window);
        if !sender.is_waiting && sender.may_send(self.mss) {
            sender.is_waiting = true;
            self.may.push_back(n);
        }
    }

    /// The next segment of whoever's turn it is.
    fn next(&mut self) -> Option<Pooled> {
        let n = (!self.rests).then(|| self.may.pop_front()).flatten()?;
        let sender = &mut self.flows[n];
        let mut frame = Pooled::copy_of(&sender.template);
        let own = Segment::read(frame.bytes());
        let data = Answer { flags: ACK, seq: sender.next, ack: SERVER + 1, payload: self.mss };
        own.say(&mut frame, data);
        sender.next = sender.next.wrapping_add(self.mss as u32);
        sender.is_waiting = sender.may_send(self.mss);
        if sender.is_waiting {
            self.may.push_back(n);
        }
        Some(frame)
    }
}

impl Sender {
    fn may_send(&self, mss: usize) -> bool {
        let room = self.right.wrapping_sub(self.next) as i32;
        room >= mss as i32
    }
}

/// The server's answer.
fn acknowledge(mut frame: Pooled, delivered: &mut u64, ready: &mut VecDeque<Pooled>) {
    let heard = Segment::read(frame.bytes());
    *delivered += heard.payload as u64;
    let (flags, seq) = if heard.flags & SYN != 0 { (SYN | ACK, SERVER) } else { (ACK, SERVER + 1) };
    if heard.flags & SYN != 0 || heard.payload > 0 {
        heard.answer(&mut frame, Answer { flags, seq, ack: heard.end(), payload: 0 });
        ready.push_back(frame);
    }
}

impl Source for Stream {
    fn start(&mut self) {
        if let Role::Senders(senders) = &self.role {
            let quads = (0..senders.flows.len()).map(|n| senders.family.quad(n as u32));
            self.ready.extend(quads.map(|quad| Pooled::copy_of(&unstamped_syn(&quad))));
        }
    }

    fn inject(&mut self, frame: Vec<u8>) {
        self.ready.push_back(Pooled::copy_of(&frame));
    }
}

impl Timed for Stream {
    fn spent(&self) -> Duration {
        self.spent
    }
}

impl Port for Stream {
    type Buffer = Pooled;

    fn receive(&mut self, burst: &mut Burst<Pooled>) -> usize {
        let start = Instant::now();
        let before = burst.len();
        while burst.remaining_capacity() > 0 {
            let frame = match (self.ready.pop_front(), &mut self.role) {
                (Some(frame), _) => frame,
                (None, Role::Senders(senders)) => match senders.next() {
                    Some(frame) => frame,
                    None => break,
                },
                (None, Role::Receiver(_)) => break,
            };
            burst.push(frame);
        }
        self.spent += start.elapsed();
        burst.len() - before
    }

    fn transmit(&mut self, burst: &mut Burst<Pooled>) -> usize {
        let start = Instant::now();
        let n = burst.len();
        for frame in burst.drain(..) {
            match &mut self.role {
                Role::Senders(senders) => senders.hear(frame, &mut self.ready),
                Role::Receiver(delivered) => acknowledge(frame, delivered, &mut self.ready),
            }
        }
        self.spent += start.elapsed();
        n
    }
}
