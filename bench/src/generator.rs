//! A port that makes its frames inside of the receive call and takes them back inside of the transmit call: the
//! generator costs no third core, and its cost is in every contender's figure alike.

use std::sync::{Arc, Mutex};

use dataplane::buffer::{Buffer, Pool};
use dataplane::flow::quad::Quad;
use dataplane::port::{BURST, Burst, Port};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::worker::Source;

/// Bytes of a frame without FCS: the shortest that Ethernet carries.
pub const FRAME: usize = 60;
const CAPACITY: usize = 1536;

/// A frame in memory that goes back to its list by transmission; dropped, it is gone.
pub struct Frame {
    bytes: Box<[u8; CAPACITY]>,
    len: usize,
}

impl Buffer for Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.len;
        let grown = self.bytes.get_mut(start..start + n)?;
        self.len += n;
        Some(grown)
    }
}

/// Empty frames.
#[derive(Clone, Default)]
pub struct Frames(Arc<Mutex<Vec<Frame>>>);

impl Frames {
    /// A frame with a copy of `bytes`, at most [`CAPACITY`] of them.
    pub fn copy_of(&self, bytes: &[u8]) -> Frame {
        let mut frame = self.take_one();
        frame.len = bytes.len();
        frame.bytes[..bytes.len()].copy_from_slice(bytes);
        frame
    }

    /// What [`Frames::copy_of`] gives out again.
    pub fn give_back(&self, frame: Frame) {
        self.0.lock().expect("one thread").push(frame);
    }

    fn take_one(&self) -> Frame {
        let recycled = self.0.lock().expect("one thread").pop();
        recycled.unwrap_or_else(|| Frame { bytes: Box::new([0; CAPACITY]), len: 0 })
    }
}

impl Pool for Frames {
    type Buffer = Frame;

    fn take(&mut self) -> Option<Frame> {
        let mut frame = self.take_one();
        frame.len = 0;
        Some(frame)
    }

    fn is_low(&self) -> bool {
        false
    }
}

/// Yields ACKs of all flows in turn, in a stride that defeats the prefetcher.
pub struct Generator {
    frames: Frames,
    template: [u8; FRAME],
    flows: u32,
    next: u32,
    from_server: bool,
    /// Frames given to `transmit`.
    pub sent: u64,
    /// One frame to be received before anything else.
    pub inject: Option<[u8; FRAME]>,
    /// Whether ACKs are generated.
    pub running: bool,
}

/// Coprime to every round number of flows.
const STRIDE: u32 = 7_919;

impl Generator {
    /// Frames of the client's side, or of the server's.
    pub fn new(flows: u32, from_server: bool, frames: Frames) -> Generator {
        let quad = if from_server { quad(0).reversed() } else { quad(0) };
        let template = frame(quad, TcpFlags::ACK, 1, 1);
        Generator { frames, template, flows, next: 0, from_server, sent: 0, inject: None, running: false }
    }

    /// The addresses and the client's port are all that differs between flows; checksums do not matter on this path.
    fn stamp(&mut self, frame: &mut Frame) {
        frame.len = FRAME;
        frame.bytes[..FRAME].copy_from_slice(&self.template);
        let quad = quad(self.next);
        let address = match quad.addresses {
            dataplane::flow::quad::Addresses::V4(client, _) => client,
            dataplane::flow::quad::Addresses::V6(..) => unreachable!("the quads are IPv4"),
        };
        let (at_address, at_port) = if self.from_server { (30, 36) } else { (26, 34) };
        frame.bytes[at_address..at_address + 4].copy_from_slice(&address);
        frame.bytes[at_port..at_port + 2].copy_from_slice(&quad.client_port.to_be_bytes());
        fill_ip_checksum(&mut frame.bytes[14..34]);
        self.next = (self.next + STRIDE) % self.flows;
    }
}

impl Source for Generator {
    fn start(&mut self) {
        self.running = true;
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

impl Port for Generator {
    type Buffer = Frame;

    fn receive(&mut self, burst: &mut Burst<Frame>) -> usize {
        if let Some(bytes) = self.inject.take() {
            let mut frame = self.frames.take_one();
            frame.len = FRAME;
            frame.bytes[..FRAME].copy_from_slice(&bytes);
            burst.push(frame);
            return 1;
        }
        if !self.running {
            return 0;
        }
        while burst.len() < BURST {
            let mut frame = self.frames.take_one();
            self.stamp(&mut frame);
            burst.push(frame);
        }
        BURST
    }

    fn transmit(&mut self, burst: &mut Burst<Frame>) -> usize {
        let n = burst.len();
        self.frames.0.lock().expect("one thread").extend(burst.drain(..));
        self.sent += n as u64;
        n
    }
}

/// Flow `n`: 10.0.0.0/8 clients, 60 000 ports each.
pub fn quad(n: u32) -> Quad {
    let [_, a, b, c] = (n / 60_000 + 1).to_be_bytes();
    let port = (n % 60_000 + 1024) as u16;
    Quad::between(([10, a, b, c], port).into(), ([192, 168, 0, 1], 80).into()).expect("one family")
}

/// A frame of 60 bytes.
pub fn frame(quad: Quad, flags: TcpFlags, seq: u32, ack: u32) -> [u8; FRAME] {
    let template = FrameTemplate::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], &[], 64, quad);
    let tcp = TcpRepr { seq: Seq(seq), ack: Seq(ack), flags, window: 1000, ..TcpRepr::default() };
    let mut bytes = [0; FRAME];
    template.build(&tcp, &[], &mut bytes).expect("54 bytes fit");
    bytes
}

fn fill_ip_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = dataplane::wire::checksum::Sum::of(header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
