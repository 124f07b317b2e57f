//! What the worker is compared with: less than it cannot do.

use dataplane::buffer::Buffer;
use dataplane::flow::table::FlowTable;
use dataplane::memory::huge;
use dataplane::port::{Burst, Port};
use dataplane::wire::ethernet::EthernetHeader;
use prefetch_index::prefetch_index;

use crate::race::Contender;
use crate::tallies::Tally;
use crate::traffic::Family;
use crate::worker::Source;

/// Something done to every frame of a burst between two ports.
pub trait Work<B> {
    fn burst(&mut self, burst: &mut [B]);
}

/// A loop over two ports.
pub struct Forwarder<P, W> {
    ports: [P; 2],
    work: W,
}

impl<P: Source, W: Work<P::Buffer>> Forwarder<P, W> {
    /// Whose ports generate from now on.
    pub fn start(mut ports: [P; 2], work: W) -> Self {
        ports.iter_mut().for_each(P::start);
        Forwarder { ports, work }
    }
}

#[cfg(feature = "dpdk")]
impl<P, W> Forwarder<P, W> {
    /// Between ports that are ready.
    pub fn new(ports: [P; 2], work: W) -> Self {
        Forwarder { ports, work }
    }
}

impl<P: Port, W: Work<P::Buffer>> Contender for Forwarder<P, W> {
    fn round(&mut self) -> usize {
        let mut moved = 0;
        for side in 0..2 {
            let mut burst = Burst::new();
            moved += self.ports[side].receive(&mut burst);
            self.work.burst(&mut burst);
            self.ports[1 - side].transmit(&mut burst);
        }
        moved
    }
}

/// The port alone.
pub struct Nothing;

impl<B> Work<B> for Nothing {
    fn burst(&mut self, _: &mut [B]) {}
}

/// MAC addresses are swapped: the least that a forwarder can do.
pub struct MacSwap;

impl<B: Buffer> Work<B> for MacSwap {
    #[inline]
    fn burst(&mut self, burst: &mut [B]) {
        for frame in burst {
            if let Some(header) = EthernetHeader::view_mut(frame.bytes_mut()) {
                header.swap_addresses();
            }
        }
    }
}

#[repr(align(64))]
struct Line([u64; 8]);

/// Limit B of DESIGN section 10: MAC addresses are swapped, and a line of each of some memories is read and written, asked for
/// beforehand for the whole burst. Which ones, the frame says. The first is as large as the flows' objects, the second as the index, the
/// third as the addresses of IPv6 flows.
pub struct MacSwapAndLines<const LINES: usize> {
    memories: [Box<[Line]>; LINES],
    /// Eight bytes at each of these tell flows apart, whichever way they go.
    keys: [usize; 2],
}

impl<const LINES: usize> MacSwapAndLines<LINES> {
    /// Over as much memory as frames of so many flows touch.
    pub fn new(flows: u32, family: Family) -> Self {
        let bytes = FlowTable::bytes_touched(flows as usize);
        // In huge pages, as the table's. Memory that was never written is all one page of zeros.
        let memory = |at: usize| huge::filled((bytes[at] / size_of::<Line>()).max(1), |_| Line([1; 8]));
        let keys = match family {
            // Source and destination; destination and ports.
            Family::V4 => [26, 30],
            // The ends of source and destination, the latter with the ports.
            Family::V6 => [34, 50],
        };
        MacSwapAndLines { memories: std::array::from_fn(memory), keys }
    }

    /// Multiplicative hashes, one from the other.
    #[inline]
    fn places(&self, bytes: &[u8]) -> [usize; LINES] {
        let word = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let mut hash = word(self.keys[0]) ^ word(self.keys[1]).rotate_left(32);
        self.memories.each_ref().map(|memory| {
            hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((u128::from(hash) * memory.len() as u128) >> 64) as usize
        })
    }
}

impl<B: Buffer, const LINES: usize> Work<B> for MacSwapAndLines<LINES> {
    #[inline]
    fn burst(&mut self, burst: &mut [B]) {
        let mut places = [[0; LINES]; dataplane::port::BURST];
        for (frame, places) in burst.iter().zip(&mut places) {
            *places = self.places(frame.bytes());
            self.memories.iter().zip(places).for_each(|(memory, place)| prefetch_index(memory, *place));
        }
        for (frame, places) in burst.iter_mut().zip(places) {
            for (memory, place) in self.memories.iter_mut().zip(places) {
                let line = &mut memory[place];
                line.0[0] = line.0[0].wrapping_add(frame.bytes().len() as u64);
            }
        }
        MacSwap.burst(burst);
    }
}

/// Something, and a counter for every frame.
pub struct Tallied<W>(pub W, pub Tally);

impl<B, W: Work<B>> Work<B> for Tallied<W> {
    #[inline]
    fn burst(&mut self, burst: &mut [B]) {
        burst.iter().for_each(|_| self.1.count());
        self.0.burst(burst);
    }
}
