//! A wire with a defect of one's choice, and the tools to make defects of.

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::port::sim::{SimBuffer, SimPool, SimPort};
use dataplane::port::{Burst, Port};
use dataplane::wire::tcp_flags::TcpFlags;

use crate::frame::{self, Segment};
use crate::host::Side;
use crate::middle::{Middle, Parts};

/// What a broken box does to a frame that came in on `side`: returns what goes out there (`true`: on the side where
/// it came from) beside the frame itself, which it may have changed.
pub type Defect = fn(&mut Broken, Side, &Segment, &mut SimBuffer) -> Vec<(bool, SimBuffer)>;

/// A wire with one defect.
pub struct Broken {
    ports: [SimPort; 2],
    pub pool: SimPool,
    defect: Defect,
    /// Frames and buffers that it has not given back.
    pub kept: Vec<SimBuffer>,
    count: u32,
}

impl Broken {
    /// A wire with this defect.
    pub fn build(parts: Parts, defect: Defect) -> Box<dyn Middle> {
        let ports = [parts.client, parts.server];
        Box::new(Broken { ports, pool: parts.pool, defect, kept: Vec::new(), count: 0 })
    }

    fn transmit(&mut self, side: Side, frame: SimBuffer) {
        let mut burst = Burst::new();
        burst.push(frame);
        self.ports[side as usize].transmit(&mut burst);
    }

    /// A second frame like this one.
    pub fn copy(&mut self, frame: &SimBuffer) -> SimBuffer {
        self.pool.copy_of(frame.bytes()).expect("the pool of a clean world is large")
    }

    /// True for the first call only.
    pub fn once(&mut self) -> bool {
        self.count += 1;
        self.count == 1
    }
}

impl Middle for Broken {
    fn poll(&mut self, _now: Instant) {
        for side in Side::BOTH {
            let mut burst = Burst::new();
            while self.ports[side as usize].receive(&mut burst) > 0 {
                for mut frame in burst.drain(..).collect::<Vec<_>>() {
                    let defect = self.defect;
                    let segment = frame::parse(frame.bytes());
                    let more = segment.map(|s| defect(self, side, &s, &mut frame)).unwrap_or_default();
                    if !frame.bytes().is_empty() {
                        self.transmit(side.opposite(), frame);
                    }
                    for (back, extra) in more {
                        self.transmit(if back { side } else { side.opposite() }, extra);
                    }
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// Carries more than a probe.
pub fn has_payload(segment: &Segment) -> bool {
    segment.payload.len() > 20
}

/// Makes a frame of `segment` that carries nothing but flags, sequence and acknowledgment.
pub fn bare(frame: &mut SimBuffer, flags: TcpFlags, seq: u32, ack: u32) {
    let segment = frame::parse(frame.bytes()).expect("was one");
    let at = segment.header.start;
    let bytes = frame.bytes_mut();
    bytes[at + 4..at + 8].copy_from_slice(&seq.to_be_bytes());
    bytes[at + 8..at + 12].copy_from_slice(&ack.to_be_bytes());
    bytes[at + 13] = flags.0 as u8;
    bytes[segment.payload.clone()].fill(0);
    frame::fill_checksum(bytes, &segment);
}

/// Swaps addresses and ports, so that a copy of what came in goes back.
pub fn turn_around(frame: &mut SimBuffer, segment: &Segment) {
    let bytes = frame.bytes_mut();
    let swap = |bytes: &mut [u8], at: usize, len: usize| {
        let (left, right) = bytes[at..at + 2 * len].split_at_mut(len);
        left.swap_with_slice(right);
    };
    swap(bytes, 0, 6);
    let (l3, kind) = frame::network(bytes).expect("was one");
    let (at, len) = if kind == 0x0800 { (l3 + 12, 4) } else { (l3 + 8, 16) };
    swap(bytes, at, len);
    swap(bytes, segment.header.start, 2);
}
