//! Partial connections (seed 000): SYNs that nobody has answered yet, and answers that are remembered.
//!
//! A partial connection is not a TCB. What a TCB would say while the client is held follows from the SYN itself, so the SYN
//! is kept, verbatim, with a small record beside it: a hundred thousand at once cost what a few thousand connections
//! do. The TCBs of both legs are built when the server has answered (`Connection::answered`).
//!
//! The store holds no policy: the control core's `core/offers.rs` asks modules and carries out what they decide.

mod ages;
pub(crate) mod ask;
pub(crate) mod partial;
mod quota;
pub(crate) mod rejections;
mod syns;

#[cfg(test)]
use std::cell::Cell;
use std::cell::{RefCell, RefMut};
use std::net::IpAddr;

use hashbrown::HashTable;

use dataplane::clock::Instant;
use dataplane::flow::expiry::Wheel;
use dataplane::flow::quad::{FlowKey, Segment};
use dataplane::flow::table::FlowRef;
use dataplane::memory::{lasting, table_bytes};
use dataplane::packet::{self, Packet, TcpHeaders};
use dataplane::port::PortId;

use crate::connection::read_segment;
use crate::module::Ticket;
use crate::tcp;
use ages::Ages;
use partial::Partial;
use quota::Quota;
use syns::{NotKept, Syns};

/// Bounds of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Partial connections, in all.
    pub capacity: usize,
    /// Of one worker.
    pub per_worker: usize,
    /// Of one source prefix; `None` counts none.
    pub per_source: Option<u32>,
    /// Bits of an IPv4 source that make a prefix, and of an IPv6 source.
    pub source_prefix: (u8, u8),
    /// Of one destination: address, port and segment.
    pub per_destination: Option<u32>,
}

impl Limits {
    /// Room for so many, whoever they are of.
    pub const fn of(capacity: usize) -> Limits {
        Limits {
            capacity,
            per_worker: capacity,
            per_source: None,
            source_prefix: (24, 56),
            per_destination: None,
        }
    }
}

/// What becomes of a SYN when there is no place for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The oldest partial connection makes room.
    #[default]
    Oldest,
    /// It is dropped.
    Drop,
    /// It passes, and its flow is bypassed.
    Pass,
}

/// Why there is no place for a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The worker, or all together, have as many as they may.
    Table,
    /// Its source prefix has.
    Source,
    /// Its destination has.
    Destination,
    /// There are too many of such a length.
    LongSyns,
    /// It is longer than any place.
    TooLong,
}

/// What a flow counts for, as short keyed hashes: of its source prefix, and of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub(crate) source: u16,
    pub(crate) destination: u16,
}

impl Marks {
    /// Whether both count for what a SYN lacks that was refused as `full`; hardly ever said of those that do not.
    pub(crate) fn have_in_common(self, full: Full, other: Marks) -> bool {
        match full {
            Full::Source => self.source == other.source,
            Full::Destination => self.destination == other.destination,
            Full::Table | Full::LongSyns | Full::TooLong => false,
        }
    }
}

/// A segment, and a prefix in it: what counts as one source.
type Source = (u32, IpAddr);
/// A segment, and an address and port in it.
type Destination = (u32, std::net::SocketAddr);

/// Flows that are looked at for one of the same prefix that could make room.
pub(crate) const SEARCHED: usize = 64;

/// End of a list.
const NONE: u32 = u32::MAX;

/// What a new partial connection is made of.
pub(crate) struct Arrival<'a> {
    pub(crate) worker: usize,
    pub(crate) flow: FlowRef,
    pub(crate) client_side: PortId,
    pub(crate) module: u16,
    pub(crate) inspection: u16,
    /// The client has been answered, and has acknowledged that.
    pub(crate) is_proven: bool,
    pub(crate) key: FlowKey,
    pub(crate) syn: &'a [u8],
    /// What the SYN's headers say.
    pub(crate) headers: &'a TcpHeaders,
    pub(crate) segment: &'a tcp::Segment,
}

/// What a SYN says.
pub(crate) struct Opened {
    slot: u32,
    /// Its flow's key.
    pub(crate) key: FlowKey,
    pub(crate) headers: TcpHeaders,
    segment: Option<tcp::Segment>,
}

impl Opened {
    /// What the headers of the SYN `frame` say, and the SYN as the stack sees it.
    pub(crate) fn read(&mut self, frame: &[u8]) -> Option<(&TcpHeaders, &tcp::Segment)> {
        if self.segment.is_none() {
            self.segment = read_segment(frame, &self.headers);
        }
        Some((&self.headers, self.segment.as_ref()?))
    }
}

struct Place {
    partial: Option<Partial>,
    /// Which of its successive tenants.
    generation: u32,
}

/// All of them.
pub(crate) struct Suspended {
    limits: Limits,
    places: Box<[Place]>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hash: ahash::RandomState,
    syns: Syns,
    by_worker: Vec<usize>,
    sources: Quota,
    destinations: Quota,
    /// The SYN that was looked at last: whoever handles an event asks for what it says several times.
    opened: RefCell<Option<Opened>>,
    #[cfg(test)]
    parsed: Cell<usize>,
    /// By worker, like the one behind.
    waiting: Box<[Ages]>,
    remembered: Box<[Ages]>,
}

impl Suspended {
    /// Bytes that a store of `limits` takes at start, timers included.
    pub(crate) fn bytes(limits: &Limits) -> usize {
        let each = size_of::<Place>() + size_of::<u32>() + Wheel::BYTES_PER_TIMER;
        let quotas = [limits.per_source, limits.per_destination];
        limits.capacity * each
            + table_bytes(lasting(limits.capacity), size_of::<u32>())
            + Syns::bytes(limits.capacity)
            + quotas.into_iter().flatten().count() * Quota::bytes(limits.capacity)
    }

    /// Takes all memory that the store will ever use.
    pub(crate) fn new(limits: Limits, workers: usize) -> Suspended {
        let capacity = limits.capacity;
        Suspended {
            places: (0..capacity).map(|_| Place { partial: None, generation: 0 }).collect(),
            free: (0..capacity as u32).rev().collect(),
            index: HashTable::with_capacity(lasting(capacity)),
            hash: ahash::RandomState::new(),
            syns: Syns::new(capacity),
            by_worker: vec![0; workers],
            sources: Quota::new(limits.per_source, capacity),
            destinations: Quota::new(limits.per_destination, capacity),
            opened: RefCell::default(),
            #[cfg(test)]
            parsed: Cell::default(),
            waiting: vec![Ages::NOBODY; workers].into(),
            remembered: vec![Ages::NOBODY; workers].into(),
            limits,
        }
    }

    /// Partial connections present.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Of the places that a worker may have, those with somebody who waits.
    pub(crate) fn waiting_of(&self, worker: usize) -> usize {
        self.waiting[worker].len
    }

    /// Places that each worker may have.
    pub(crate) fn per_worker(&self) -> usize {
        self.limits.per_worker
    }

    /// The modules that they were offered to, by index.
    pub(crate) fn modules(&self) -> impl Iterator<Item = u16> {
        self.places.iter().filter_map(|place| Some(place.partial.as_ref()?.module))
    }

    /// The most that there can be.
    pub(crate) fn capacity(&self) -> usize {
        self.places.len()
    }

    /// Takes a SYN in, its module undecided.
    pub(crate) fn insert(&mut self, now: Instant, arrival: &Arrival<'_>) -> Result<u32, Full> {
        if self.by_worker[arrival.worker] >= self.limits.per_worker || self.free.is_empty() {
            return Err(Full::Table);
        }
        let (source, destination) = (self.source(&arrival.key), destination(&arrival.key));
        if self.sources.is_used_up(&source) {
            return Err(Full::Source);
        }
        if self.destinations.is_used_up(&destination) {
            return Err(Full::Destination);
        }
        let syn = self.syns.keep(arrival.syn).map_err(|not_kept| match not_kept {
            NotKept::Full => Full::LongSyns,
            NotKept::TooLong => Full::TooLong,
        })?;
        let slot = self.free.pop().ok_or(Full::Table)?;
        let marks = self.marks_of(&source, &destination);
        self.places[slot as usize].partial = Some(Partial::new(now, arrival, syn, marks));
        self.link(slot);
        self.by_worker[arrival.worker] += 1;
        self.sources.take(&source);
        self.destinations.take(&destination);
        let (hash, places) = (&self.hash, &self.places);
        let hash_of = |slot: &u32| hash_of(hash, places[*slot as usize].partial.as_ref());
        self.index.insert_unique(hash_of(&slot), slot, hash_of);
        let (key, headers, segment) = (arrival.key, *arrival.headers, Some(arrival.segment.clone()));
        self.opened.replace(Some(Opened { slot, key, headers, segment }));
        Ok(slot)
    }

    /// The partial connection of a worker's flow.
    pub(crate) fn find(&self, worker: usize, flow: FlowRef) -> Option<u32> {
        let is_it = |slot: &u32| {
            let partial = self.places[*slot as usize].partial.as_ref();
            partial.is_some_and(|p| p.flow == flow && usize::from(p.worker) == worker)
        };
        self.index.find(self.hash.hash_one((worker as u8, flow)), is_it).copied()
    }

    /// The one that a module speaks about, if it still is one.
    pub(crate) fn by_ticket(&self, Ticket(ticket): Ticket) -> Option<u32> {
        let (slot, generation) = (ticket as u32, (ticket >> 32) as u32);
        let place = self.places.get(slot as usize)?;
        (place.partial.is_some() && place.generation == generation).then_some(slot)
    }

    /// Its name for the module.
    pub(crate) fn ticket(&self, slot: u32) -> Ticket {
        Ticket(u64::from(self.places[slot as usize].generation) << 32 | u64::from(slot))
    }

    /// The record in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&Partial> {
        self.places.get(slot as usize)?.partial.as_ref()
    }

    /// The record in a slot.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Partial> {
        self.places.get_mut(slot as usize)?.partial.as_mut()
    }

    fn at_mut(&mut self, slot: u32) -> &mut Partial {
        self.get_mut(slot).expect("a slot that is listed is taken")
    }

    /// The SYN, and what it says, which is asked for where it stands; nothing once it has been refused.
    #[inline(always)]
    pub(crate) fn open(&self, slot: u32) -> Option<(&[u8], RefMut<'_, Opened>)> {
        let partial = self.get(slot)?;
        let frame = self.syns.get(partial.syn?);
        let mut opened = self.opened.borrow_mut();
        if opened.as_ref().is_none_or(|opened| opened.slot != slot) {
            #[cfg(test)]
            self.parsed.update(|parsed| parsed + 1);
            let Ok(Packet::Tcp(headers)) = packet::parse(frame) else { return None };
            let vlans = headers.segment;
            let segment = Segment::new(partial.pair, vlans.outer_vlan(), vlans.inner_vlan());
            let key = FlowKey { quad: headers.quad, segment };
            *opened = Some(Opened { slot, key, headers, segment: None });
        }
        let opened = RefMut::filter_map(opened, Option::as_mut).ok()?;
        Some((frame, opened))
    }

    /// The SYN, and what its headers say; nothing once it has been refused.
    pub(crate) fn syn(&self, slot: u32) -> Option<(&[u8], TcpHeaders)> {
        let (frame, opened) = self.open(slot)?;
        Some((frame, opened.headers))
    }

    /// The SYN as the stack sees it.
    pub(crate) fn segment(&self, slot: u32) -> Option<tcp::Segment> {
        let (frame, mut opened) = self.open(slot)?;
        opened.read(frame).map(|(_, segment)| segment.clone())
    }

    /// Its flow's key; nothing once it has been refused.
    pub(crate) fn key(&self, slot: u32) -> Option<FlowKey> {
        self.open(slot).map(|(_, opened)| opened.key)
    }

    /// The client has repeated its SYN: from now on this one is meant. No effect unless it is as long.
    pub(crate) fn renew_syn(&mut self, slot: u32, frame: &[u8]) {
        if let Some(id) = self.get(slot).and_then(|partial| partial.syn) {
            self.syns.replace(id, frame);
            self.opened.replace(None);
        }
    }

    /// Refused: its SYN is not needed any more, and it counts for no prefix. Only its answer is remembered, by the index
    /// of the interned rejection.
    pub(crate) fn refuse(&mut self, slot: u32, rejection: u16) {
        self.forget_syn(slot);
        self.unlink(slot);
        let partial = self.at_mut(slot);
        partial.refuse(rejection);
        self.link(slot);
    }

    fn forget_syn(&mut self, slot: u32) {
        if let Some(key) = self.key(slot) {
            self.release_syn(slot);
            self.give_back(&key);
        }
    }

    fn release_syn(&mut self, slot: u32) {
        if let Some(id) = self.get_mut(slot).and_then(|partial| partial.syn.take()) {
            self.syns.release(id);
            *self.opened.get_mut() = None;
        }
    }

    /// A flow that was taken out by [`Suspended::hand_over`] counts for its prefix and its destination no more.
    pub(crate) fn give_back(&mut self, key: &FlowKey) {
        let source = self.source(key);
        self.sources.give_back(&source);
        self.destinations.give_back(&destination(key));
    }

    /// What a flow of this key counts for.
    pub(crate) fn marks(&self, key: &FlowKey) -> Marks {
        self.marks_of(&self.source(key), &destination(key))
    }

    fn marks_of(&self, source: &Source, destination: &Destination) -> Marks {
        let mark = |hash: u64| (hash >> 48) as u16;
        Marks { source: mark(self.hash.hash_one(source)), destination: mark(self.hash.hash_one(destination)) }
    }

    /// Takes it out; it counts for its prefix and its destination until [`Suspended::give_back`].
    pub(crate) fn hand_over(&mut self, slot: u32) {
        if self.get(slot).is_some() {
            self.release_syn(slot);
            self.take_out(slot);
        }
    }

    /// Takes it out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Partial> {
        self.get(slot)?;
        self.forget_syn(slot);
        self.take_out(slot)
    }

    /// The same, of one whose SYN has been released.
    #[inline(always)]
    fn take_out(&mut self, slot: u32) -> Option<Partial> {
        self.unlink(slot);
        let hash = hash_of(&self.hash, self.get(slot));
        if let Ok(entry) = self.index.find_entry(hash, |candidate| *candidate == slot) {
            entry.remove();
        }
        let place = self.places.get_mut(slot as usize)?;
        let partial = place.partial.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.by_worker[usize::from(partial.worker)] -= 1;
        self.free.push(slot);
        Some(partial)
    }

    /// An answer that nobody waits for, and that takes up the place which a SYN of that worker lacks: the oldest.
    pub(crate) fn remembered_in_the_way(&self, full: Full, worker: usize) -> Option<u32> {
        self.takes_place(&self.remembered, worker).filter(|_| full == Full::Table)
    }

    /// The oldest of those that have a place which one of that worker could have: its own; others' only where all places
    /// together are fewer than what the workers may have.
    fn takes_place(&self, lists: &[Ages], worker: usize) -> Option<u32> {
        let is_full = self.by_worker[worker] >= self.limits.per_worker;
        let others = lists.iter().filter(|_| !is_full);
        std::iter::once(&lists[worker]).chain(others).find_map(|list| self.by_age(*list).next())
    }

    /// Who has to go so that a SYN that was refused as `full` has a place: the oldest that waits and takes up what it
    /// lacks, of the same worker if there is one. `None` when it is not among the oldest few.
    pub(crate) fn in_the_way(&self, full: Full, worker: usize, key: &FlowKey) -> Option<u32> {
        if full == Full::Table {
            return self.takes_place(&self.waiting, worker);
        }
        let marks = self.marks(key);
        let lacks = |slot: &u32| {
            let Some(partial) = self.get(*slot) else { return false };
            match full {
                // Only a frame that is likely to be of the same is parsed: a flood would have it done for each SYN.
                Full::Source | Full::Destination if !partial.marks.have_in_common(full, marks) => false,
                Full::Source => self.key(*slot).is_some_and(|other| self.source(&other) == self.source(key)),
                Full::Destination => {
                    self.key(*slot).is_some_and(|other| destination(&other) == destination(key))
                }
                Full::LongSyns => partial.syn.is_some_and(|id| id.is_long()),
                Full::Table | Full::TooLong => false,
            }
        };
        let workers = self.waiting.len();
        (worker..worker + workers)
            .flat_map(|worker| self.by_age(self.waiting[worker % workers]).take(SEARCHED.div_ceil(workers)))
            .find(lacks)
    }

    #[inline(always)]
    fn source(&self, key: &FlowKey) -> Source {
        let (v4, v6) = self.limits.source_prefix;
        let address = match key.quad.client().ip() {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(v4)).unwrap_or(0);
                IpAddr::V4((u32::from(ip) & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(v6)).unwrap_or(0);
                IpAddr::V6((u128::from(ip) & mask).into())
            }
        };
        (key.segment.0, address)
    }
}

#[inline(always)]
fn destination(key: &FlowKey) -> Destination {
    (key.segment.0, key.quad.server())
}

fn hash_of(hash: &ahash::RandomState, partial: Option<&Partial>) -> u64 {
    partial.map_or(0, |partial| hash.hash_one((partial.worker, partial.flow)))
}

#[cfg(test)]
mod tests;
