//! One port as a worker sees it: its queue, its peer, and the frames that wait for it.

use prefetch_index::prefetch_index;

use crate::buffer::Buffer;
use crate::counters::Counter;
use crate::port::impaired::Tally;
use crate::port::{Burst, Port, PortId};

use super::report::Counters;

/// A port's queue pair with the worker's transmit backlog of one burst.
///
/// Written with every burst, and made by a thread that makes those of all workers: aligned so that no two of them have a cache line
/// in common, nor one of the pairs that a prefetcher fetches.
#[repr(align(128))]
pub struct Line<P: Port> {
    port: P,
    backlog: Burst<P::Buffer>,
    /// All of its frames' bytes.
    backlog_bytes: u64,
    /// Of [`Port::unfit`], how many are counted.
    unfit: u64,
    /// Of [`Port::impaired`], what is counted.
    impaired: Tally,
    /// The opposite port of the pair.
    pub peer: PortId,
    /// Index of the pair.
    pub pair: u8,
    /// The longest IP datagram that leaves here, bytes.
    pub mtu: u16,
    /// The device's own MAC, by which the appliance's service addresses are found.
    pub mac: [u8; 6],
}

impl<P: Port> Line<P> {
    /// `peer` is the opposite port of pair number `pair`; `mtu` is that of the pair, its smaller one.
    pub fn new(port: P, peer: PortId, pair: u8, mtu: u16) -> Self {
        let (unfit, impaired) = (0, Tally::default());
        Line { port, backlog: Burst::new(), backlog_bytes: 0, unfit, impaired, peer, pair, mtu, mac: [0; 6] }
    }

    /// The same with the device's MAC.
    pub fn with_mac(self, mac: [u8; 6]) -> Self {
        Line { mac, ..self }
    }

    /// Receives into an empty burst, and asks for the frames' first lines.
    pub fn receive(&mut self, burst: &mut Burst<P::Buffer>, counters: &mut Counters) -> usize {
        let n = self.port.receive(burst);
        let unfit = self.port.unfit();
        counters.add(Counter::DropUnfitBuffer, unfit - self.unfit);
        self.unfit = unfit;
        if n > 0 {
            counters.add(Counter::Received, n as u64);
            let bytes = burst.iter().map(|frame| {
                prefetch_index(frame.bytes(), 0);
                frame.bytes().len() as u64
            });
            counters.add(Counter::ReceivedBytes, bytes.sum());
        }
        n
    }

    /// Queues a frame; a full backlog is sent first, and what the device then refuses makes this frame a named drop.
    #[inline]
    pub fn send(&mut self, frame: P::Buffer, counters: &mut Counters) {
        let bytes = frame.bytes().len() as u64;
        match self.backlog.try_push(frame) {
            Ok(()) => self.backlog_bytes += bytes,
            Err(full) => self.send_late(full.element(), counters),
        }
    }

    /// The same when the backlog was full.
    #[cold]
    fn send_late(&mut self, frame: P::Buffer, counters: &mut Counters) {
        self.flush(counters);
        let bytes = frame.bytes().len() as u64;
        match self.backlog.try_push(frame) {
            Ok(()) => self.backlog_bytes += bytes,
            Err(_) => counters.count(Counter::DropTransmitFull),
        }
    }

    /// Gives the backlog to the device. What it refuses stays for the next round, in order.
    #[inline(never)]
    pub fn flush(&mut self, counters: &mut Counters) {
        if self.backlog.is_empty() {
            return;
        }
        let n = self.port.transmit(&mut self.backlog);
        let left = self.backlog.iter().map(|frame| frame.bytes().len() as u64).sum();
        let before = std::mem::replace(&mut self.backlog_bytes, left);
        counters.add(Counter::Transmitted, n as u64);
        counters.add(Counter::TransmittedBytes, before - left);
    }

    /// Counts what the port's cable has done since the last time.
    pub fn settle(&mut self, counters: &mut Counters) {
        let (now, counted) = (self.port.impaired(), self.impaired);
        counters.add(Counter::ImpairedLost, now.lost - counted.lost);
        counters.add(Counter::ImpairedOverflow, now.overflowed - counted.overflowed);
        counters.add(Counter::ImpairedDuplicated, now.duplicated - counted.duplicated);
        counters.add(Counter::ImpairedReordered, now.reordered - counted.reordered);
        self.impaired = now;
    }

    /// The same place in the appliance, with another kind of port in it.
    pub fn map<Q: Port>(self, other: impl FnOnce(P) -> Q) -> Line<Q> {
        Line::new(other(self.port), self.peer, self.pair, self.mtu).with_mac(self.mac)
    }

    /// The queue itself.
    pub fn port(&self) -> &P {
        &self.port
    }

    /// The queue itself.
    pub fn port_mut(&mut self) -> &mut P {
        &mut self.port
    }
}
