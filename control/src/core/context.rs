//! What a connection needs from the control core while it handles one event: time, buffers, the way to the worker.

mod refuse;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use dataplane::budget::{Budget, Rate};
use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::table::FlowRef;
use dataplane::inspect::hits::Telling;
use dataplane::packet::TcpHeaders;
use dataplane::policy::Fallback;
use dataplane::port::PortId;
use dataplane::rewrite;
use dataplane::wire::build::{FrameTemplate, MAX_HEADER_LEN};
use dataplane::wire::tcp::TcpRepr;
use dataplane::worker::mailbox::Sender;
use dataplane::worker::message::Order;
use dataplane::worker::report::Counters;

use crate::suspended::{self, WhenFull};
use crate::tcp::Limits;

use super::history::History;
use super::journal::Journal;
use super::load::Load;
use super::secret::IsnKey;

/// Fixed at start.
#[derive(Clone)]
pub struct Settings {
    /// Limits of one leg.
    pub leg: Limits,
    /// Connections on the participating path: those whose server has answered.
    pub connections: usize,
    /// What becomes of one beyond that.
    pub when_full: Fallback,
    /// Partial connections: SYNs that nobody has answered, and answers that are remembered.
    pub suspended: suspended::Limits,
    /// What becomes of a SYN beyond that.
    pub when_suspended_full: WhenFull,
    /// Servers, and clients, of which is remembered how they have answered or been answered.
    pub history: NonZeroUsize,
    /// Bytes in the send and receive buffers of all of them.
    pub buffered: u64,
    /// Segments held for one flow while it merges.
    pub held_per_flow: usize,
    /// Segments held for all flows that merge, and answers kept for partial connections whose modules think.
    pub held: usize,
    /// Added to the longer round trip of the two legs: how long a merge may drain. Below the senders' RTO, which is at
    /// least 200 ms more than the round trip on all common stacks.
    pub drain: Duration,
    /// Bytes that may wait for a receiver when a merge drains; with more of them it is made in motion.
    pub drain_up_to: u32,
    /// How long a rejected SYN's answer is remembered.
    pub refused: Duration,
    /// ICMP errors that refuse SYNs, for each worker.
    pub icmp_errors: Rate,
    /// How long a flow lives of which nobody is heard.
    pub idle_established: Duration,
    /// The same once an endpoint has closed.
    pub half_closed: Duration,
    /// Key of the ISNs that are ours.
    pub isn_key: IsnKey,
    /// By port: its opposite.
    pub peers: Vec<PortId>,
    /// By port: MTU of its pair, bytes.
    pub mtu: Vec<u16>,
}

impl Settings {
    /// The longest datagram that fits everywhere: on the wire of the flow whose client is there, or, when it leaves by
    /// another side, on any.
    pub fn mtu_of(&self, client_side: PortId, is_far: bool) -> u16 {
        let own = self.mtu[usize::from(client_side.0)];
        match is_far {
            false => own,
            true => self.mtu.iter().copied().min().unwrap_or(own),
        }
    }
}

/// Frames waiting in an outbox beyond its mailbox; more are not made, or dropped: TCP repeats them. What may wait beyond
/// it is bounded by the number of flows: each has a few orders of its own, and the frames that its merge holds.
const WAITING_FRAMES: usize = 4096;

/// The way to one worker. Orders are never lost; when the mailbox is full they wait here.
pub struct Outbox<B> {
    sender: Sender<Order<B>>,
    waiting: VecDeque<Order<B>>,
    errors: Budget,
}

impl<B> Outbox<B> {
    /// Over `sender`.
    pub fn new(sender: Sender<Order<B>>) -> Self {
        Outbox { sender, waiting: VecDeque::new(), errors: Budget::default() }
    }

    /// Sends an order, after all earlier ones.
    #[inline(never)]
    pub fn order(&mut self, order: Order<B>) {
        if self.is_open() {
            self.sender.send(order);
        } else {
            self.send_behind(order);
        }
    }

    /// The same for what is sent most: the order is not carried here, but made where it waits (`worker/mailbox.rs`).
    #[inline(never)]
    fn transmit(&mut self, way: Way, frame: B) {
        // An order that the cold way sees, too, would be made somewhere else and carried.
        match way {
            Way::Port(port) if self.is_open() => self.sender.send(Order::Transmit { port, frame }),
            Way::Port(port) => self.send_behind(Order::Transmit { port, frame }),
            Way::Far(flow) => self.order(Order::TransmitFar { flow, frame }),
        }
    }

    /// Nobody waits, and the next order fits.
    #[inline(always)]
    fn is_open(&mut self) -> bool {
        self.waiting.is_empty() && self.sender.has_room_beside(0)
    }

    /// The same when others wait, or have used up what was known to be free.
    #[cold]
    #[inline(never)]
    fn send_behind(&mut self, order: Order<B>) {
        self.waiting.push_back(order);
        self.flush();
    }

    /// Moves what waits into the mailbox. Returns how much went.
    pub fn flush(&mut self) -> usize {
        let mut sent = 0;
        while let Some(order) = self.waiting.pop_front() {
            if let Err(order) = self.sender.try_send(order) {
                self.waiting.push_front(order);
                break;
            }
            sent += 1;
        }
        sent
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_FRAMES
    }
}

/// Which way a frame leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a port, as it is.
    Port(PortId),
    /// To the flow's server by the flow's far side: the worker gives it the addresses that it has there.
    Far(FlowRef),
}

impl From<PortId> for Way {
    fn from(port: PortId) -> Way {
        Way::Port(port)
    }
}

/// What every event is handled with.
pub(super) struct Means<L: Pool> {
    pub(super) pool: L,
    /// By worker.
    pub(super) outboxes: Vec<Outbox<L::Buffer>>,
    pub(super) counters: Counters,
    pub(super) settings: Settings,
    pub(super) history: History,
    pub(super) journal: Journal,
    /// Of what sessions have found, so much is told.
    pub(super) telling: Telling,
    /// Of splits that were refused, so much is told.
    pub(super) refusals: Budget,
    /// Flows may be merged; an operator can say that they may not.
    pub(super) merging: bool,
    pub(super) load: Load,
    pub(super) scarce: bool,
}

impl<L: Pool> Means<L> {
    /// The surroundings of one event of `worker`.
    pub(super) fn context(&mut self, now: Instant, worker: usize) -> Context<'_, L> {
        Context {
            now,
            pool: &mut self.pool,
            outbox: &mut self.outboxes[worker],
            counters: &mut self.counters,
            settings: &self.settings,
            history: &mut self.history,
            journal: &mut self.journal,
            telling: &mut self.telling,
            merging: self.merging,
            load: &self.load,
            scarce: self.scarce,
        }
    }

    /// A buffer with a copy of a segment, without those of its options that are private.
    pub(super) fn copy_without(
        &mut self,
        frame: &[u8],
        headers: &TcpHeaders,
        is_private: impl FnMut(u8, &[u8]) -> bool,
    ) -> Option<L::Buffer> {
        let mut copy = self.pool.take()?;
        let out = copy.extend(frame.len())?;
        match rewrite::options::strip(frame, headers, is_private, out) {
            Some(len) => copy.truncate(len),
            None => out.copy_from_slice(frame),
        }
        Some(copy)
    }
}

/// One event's surroundings.
pub struct Context<'a, L: Pool> {
    /// The present.
    pub now: Instant,
    /// Buffers for frames of our own.
    pub pool: &'a mut L,
    /// The flow's worker.
    pub outbox: &'a mut Outbox<L::Buffer>,
    /// The control core's counters.
    pub counters: &'a mut Counters,
    /// Fixed settings.
    pub settings: &'a Settings,
    /// What is known of servers and clients from before.
    pub(crate) history: &'a mut History,
    /// What has happened to flows lately.
    pub journal: &'a mut Journal,
    /// Of what sessions have found, so much is told.
    pub telling: &'a mut Telling,
    /// Flows may be merged.
    pub merging: bool,
    /// What all flows kept before this event.
    pub load: &'a Load,
    /// Buffers are scarce: payload is copied out of them, nothing is held.
    pub scarce: bool,
}

impl<L: Pool> Context<'_, L> {
    /// Whether another frame can be sent now. Without room nothing should be taken from a leg: it would be lost.
    pub fn can_transmit(&self) -> bool {
        self.outbox.has_room()
    }

    /// Builds a segment below `template` and has it sent that way. `fill` writes the payload of `len` bytes.
    pub fn transmit(
        &mut self,
        way: impl Into<Way>,
        template: &FrameTemplate,
        tcp: &TcpRepr,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        self.counters.add(Counter::CopiedBytes, len as u64);
        match self.build(template, tcp, len, fill) {
            Some(frame) => self.outbox.transmit(way.into(), frame),
            None => self.counters.count(Counter::BuffersExhausted),
        }
    }

    fn build(
        &mut self,
        template: &FrameTemplate,
        tcp: &TcpRepr,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Option<L::Buffer> {
        let mut frame = self.pool.take()?;
        let tcp_len = tcp.header_len();
        let bytes = frame.extend(template.l4() + tcp_len + len)?;
        let header_len = template.emit_as(tcp, tcp_len, len, bytes)?;
        fill(&mut bytes[header_len..]);
        template.fill_checksum(bytes);
        Some(frame)
    }

    /// The same without payload, and with `options` byte for byte, in whole words, instead of the segment's own.
    pub(crate) fn transmit_with_options(
        &mut self,
        way: impl Into<Way>,
        template: &FrameTemplate,
        tcp: &TcpRepr,
        options: &[u8],
    ) {
        let mut bytes = [0; MAX_HEADER_LEN];
        let frame = template.build_with_options(tcp, options, &mut bytes).and_then(|len| {
            let mut frame = self.pool.take()?;
            frame.extend(len)?.copy_from_slice(&bytes[..len]);
            Some(frame)
        });
        match frame {
            Some(frame) => self.outbox.transmit(way.into(), frame),
            None => self.counters.count(Counter::BuffersExhausted),
        }
    }

    /// Sends a frame as it is, if there is room: a peer could ask for any number of them.
    pub fn forward(&mut self, way: impl Into<Way>, frame: L::Buffer) {
        if !self.can_transmit() {
            return self.counters.count(Counter::DropOrdersFull);
        }
        self.outbox.transmit(way.into(), frame);
    }
}
