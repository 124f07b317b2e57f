//! The streams of all inspected flows of a worker.

use std::collections::VecDeque;
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::clock::Instant;
use crate::flow::object::NONE;
use crate::flow::quad::Direction;
use crate::memory::table_bytes;
use crate::worker::parked::Parked;

use super::kept::Kept;
use super::stream::{Stream, Why};

/// Both directions of a flow; one in which nothing is searched for has none.
#[derive(Debug, Clone, Copy)]
struct Place {
    streams: [Option<Stream>; 2],
    slot: u32,
    next_free: u32,
    /// There is an entry for it among those that are looked at.
    is_watched: [bool; 2],
    /// By [`Why::is_rest`]: that nobody has come for what may go on without him must not delay a split for what may not.
    asked: [Asked; 2],
}

/// Times in a row that nobody took what waited, and when somebody is asked again.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    refusals: u8,
    not_before: Instant,
}

/// One direction of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// The flow's slot.
    pub slot: u32,
    /// Of its sender.
    pub direction: Direction,
    place: u32,
}

impl Lane {
    /// The other direction of the same flow.
    pub const fn reverse(self) -> Lane {
        Lane { direction: self.direction.reverse(), ..self }
    }

    /// Its number among all lanes of the worker.
    pub const fn number(self) -> u32 {
        self.place * 2 + self.direction.index() as u32
    }
}

/// The streams of all inspected flows of a worker, and what has passed of them.
pub struct Streams {
    places: Box<[Place]>,
    free: u32,
    /// Place by slot of the flow: most flows have none, and no room for one in their lines.
    by_slot: HashMap<u32, u32, RandomState>,
    /// Lanes in which something waits, or has waited lately, looked at one after the other.
    watched: VecDeque<u32>,
    /// What has passed.
    pub kept: Kept,
}

/// Of the segments that may wait one direction of a flow may have this part, so many in any case, and no more than so many: a
/// split is made within a round trip to the control core.
const WAITING_SHARE: usize = 8;
const LEAST_WAITING: usize = 4;
const MOST_WAITING: usize = 64;

/// How long nobody is asked again after a first refusal: less than any sender's RTO, which doubles as this does. At most some
/// 100 s.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const MOST_DOUBLINGS: u8 = 10;

/// Sizes, taken at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Flows that are searched.
    pub flows: usize,
    /// Bytes that are kept until they are acknowledged, of all flows together.
    pub bytes: usize,
    /// Segments that wait, of all flows together.
    pub waiting: usize,
}

impl Limits {
    /// What they take; the segments that wait stay in their buffers.
    pub const fn bytes(&self) -> usize {
        let lanes = 2 * size_of::<u32>();
        self.flows * (size_of::<Place>() + lanes)
            + table_bytes(self.flows * 2, size_of::<(u32, u32)>())
            + Kept::bytes_for(self.bytes)
            + Parked::<usize>::bytes_for(self.waiting)
    }

    /// Segments that wait of one direction of a flow, at most: a few whose senders go on and whose split nobody makes must not
    /// take all the room.
    pub const fn waiting_each(&self) -> usize {
        match self.waiting / WAITING_SHARE {
            share if share < LEAST_WAITING => LEAST_WAITING,
            share if share > MOST_WAITING => MOST_WAITING,
            share => share,
        }
    }
}

impl Streams {
    /// Takes the memory. `key` comes from the system's generator.
    pub fn new(limits: Limits, key: [u64; 4]) -> Streams {
        let next = |at: usize| if at + 1 == limits.flows { NONE } else { at as u32 + 1 };
        let place = |at| Place {
            streams: [None; 2],
            slot: NONE,
            next_free: next(at),
            is_watched: [false; 2],
            asked: [Asked::default(); 2],
        };
        let places = (0..limits.flows).map(place).collect();
        let free = if limits.flows == 0 { NONE } else { 0 };
        // Twice the room: a table that is more than half full grows when tombstones use up the rest.
        let hash = RandomState::with_seeds(key[0], key[1], key[2], key[3]);
        let by_slot = HashMap::with_capacity_and_hasher(limits.flows * 2, hash);
        let watched = VecDeque::with_capacity(limits.flows * 2);
        Streams { places, free, by_slot, watched, kept: Kept::new(limits.bytes) }
    }

    /// Flows that are searched.
    pub fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// The most of them.
    pub fn capacity(&self) -> usize {
        self.places.len()
    }

    /// One direction of the flow in `slot`, when the flow has a place.
    pub fn lane(&self, slot: u32, direction: Direction) -> Option<Lane> {
        self.by_slot.get(&slot).map(|place| Lane { slot, direction, place: *place })
    }

    /// A place for the flow in `slot`, which has none; false when there is none left.
    pub fn take(&mut self, slot: u32, streams: [Option<Stream>; 2]) -> bool {
        let at = self.free;
        let Some(place) = self.places.get_mut(at as usize) else { return false };
        self.free = place.next_free;
        *place = Place { streams, slot, asked: [Asked::default(); 2], ..*place };
        self.by_slot.insert(slot, at);
        true
    }

    /// Makes sure of a place for the flow in `slot`, which [`Streams::give_back`] and [`Streams::take`] turn into streams; false
    /// when there is none left.
    pub fn reserve(&mut self, slot: u32) -> bool {
        self.by_slot.contains_key(&slot) || self.take(slot, [None; 2])
    }

    /// Gives back the place of the flow in `slot`, if it has one, and what has passed of it.
    pub fn give_back(&mut self, slot: u32) {
        let Some(at) = self.by_slot.remove(&slot) else { return };
        let Some(place) = self.places.get_mut(at as usize) else { return };
        for stream in place.streams.iter_mut().filter_map(Option::take) {
            stream.give_back(&mut self.kept);
        }
        place.next_free = self.free;
        self.free = at;
    }

    /// The stream of a lane, and what is kept of it and others.
    pub fn get(&mut self, lane: Lane) -> Option<(&mut Stream, &mut Kept)> {
        let stream = self.places.get_mut(lane.place as usize)?.streams[lane.direction.index()].as_mut()?;
        Some((stream, &mut self.kept))
    }

    /// Something has begun to wait in a lane.
    pub fn watch(&mut self, lane: Lane, now: Instant) {
        let Some(place) = self.places.get_mut(lane.place as usize) else { return };
        let direction = lane.direction.index();
        if let Some(stream) = &mut place.streams[direction] {
            stream.since = now;
        }
        if !std::mem::replace(&mut place.is_watched[direction], true) {
            self.watched.push_back(lane.number());
        }
    }

    /// Nobody has taken what waits of the flow in `slot`: the next time that somebody is asked for this is later, and later each
    /// time.
    pub fn refuse(&mut self, slot: u32, why: Why, now: Instant) {
        let Some(place) = self.by_slot.get(&slot).and_then(|at| self.places.get_mut(*at as usize)) else {
            return;
        };
        let Asked { refusals, not_before } = &mut place.asked[usize::from(why.is_rest())];
        *not_before = now + ASK_AGAIN * (1 << (*refusals).min(MOST_DOUBLINGS));
        *refusals = refusals.saturating_add(1);
    }

    /// Whether somebody may be asked to take what waits of the flow in `slot`.
    pub fn may_ask(&self, slot: u32, why: Why, now: Instant) -> bool {
        let place = self.by_slot.get(&slot).and_then(|at| self.places.get(*at as usize));
        place.is_none_or(|place| place.asked[usize::from(why.is_rest())].not_before <= now)
    }

    /// Lanes to be looked at.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    /// Takes the lane that has not been looked at for the longest time, and since when something waits in it.
    pub fn next_watched(&mut self) -> Option<(Lane, Instant)> {
        let number = self.watched.pop_front()?;
        let direction = Direction::BOTH[number as usize % 2];
        let place = self.places.get_mut(number as usize / 2)?;
        place.is_watched[direction.index()] = false;
        let since = place.streams[direction.index()].as_ref().map_or(Instant::ZERO, |stream| stream.since);
        Some((Lane { slot: place.slot, direction, place: number / 2 }, since))
    }
}
