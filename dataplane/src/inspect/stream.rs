//! One direction of a flow as it is searched: in-order bytes only, each of them once.

use ahash::RandomState;
use hashbrown::HashMap;

use crate::counters::Counter;
use crate::flow::object::NONE;
use crate::wire::seq::Seq;

use super::Ahead;
use super::fingerprints::{Fingerprints, List};
use super::patterns::{Patterns, State, Verdict};

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It passes.
    Pass,
    /// It passes; what was not seen before it is never searched.
    PassAhead,
    /// It goes nowhere, under this name.
    Drop(Counter),
    /// It goes nowhere, and this has been found in it.
    Found(Verdict),
}

/// How far one direction has been searched.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// What has passed from `floor` on, or from a little before; it ends with what is next.
    passed: List,
    /// What is before this matters to nobody: its receiver has acknowledged it, or had it before the search began.
    floor: Seq,
    state: State,
}

impl Stream {
    /// Nothing has been searched; `next` comes next.
    pub fn new(next: Seq, patterns: &Patterns) -> Stream {
        Stream { passed: List::new(next), floor: next, state: patterns.start() }
    }

    /// The number that comes next.
    pub const fn next(&self) -> Seq {
        self.passed.end
    }

    /// Judges a segment whose payload is `bytes`, at `at`, and the number of occurrences that were found in it. The stream
    /// goes on only with what passes.
    pub fn take(
        &mut self,
        prints: &mut Fingerprints,
        patterns: &Patterns,
        ahead: Ahead,
        at: Seq,
        bytes: &[u8],
    ) -> (Outcome, u32) {
        if bytes.is_empty() {
            return (Outcome::Pass, 0);
        }
        if at.gt(self.next()) {
            return (self.take_ahead(prints, patterns, ahead, at.advance(bytes.len() as u32)), 0);
        }
        // A receiver cuts off what it has already (RFC 9293 section 3.10.7.4), if it has it.
        let (old, new) = bytes.split_at(bytes.len().min(at.distance_to(self.next()) as usize));
        if !old.is_empty() && !prints.has_passed(&self.passed, at, self.floor, old) {
            return (Outcome::Drop(Counter::DropInspectAmbiguous), 0);
        }
        if new.is_empty() {
            return (Outcome::Pass, 0);
        }
        if !prints.has_room(&self.passed) {
            return (Outcome::Drop(Counter::DropInspectInFlight), 0);
        }
        let searched = patterns.search(self.state, new);
        if let Some(verdict @ (Verdict::Split | Verdict::Drop | Verdict::Reset)) = searched.verdict {
            return (Outcome::Found(verdict), searched.found);
        }
        // There is room, or we would not be here.
        let _ = prints.push(&mut self.passed, new);
        self.state = searched.state;
        (Outcome::Pass, searched.found)
    }

    fn take_ahead(
        &mut self,
        prints: &mut Fingerprints,
        patterns: &Patterns,
        ahead: Ahead,
        end: Seq,
    ) -> Outcome {
        if ahead == Ahead::Drop {
            return Outcome::Drop(Counter::DropInspectAhead);
        }
        prints.restart(&mut self.passed, end);
        (self.floor, self.state) = (end, patterns.start());
        Outcome::PassAhead
    }

    /// The receiver has acknowledged all before `ack`. What has not passed cannot have been acknowledged.
    pub fn acknowledge(&mut self, prints: &mut Fingerprints, ack: Seq) {
        // One more: a FIN is not searched.
        if ack.gt(self.floor) && ack.le(self.next().advance(1)) {
            self.floor = ack.min(self.next());
            prints.release(&mut self.passed, self.floor);
        }
    }
}

/// Both directions of a flow; one in which nothing is searched for has none.
#[derive(Debug, Clone, Copy)]
struct Place {
    streams: [Option<Stream>; 2],
    next_free: u32,
}

/// The streams of all inspected flows of a worker, and what has passed of them.
pub struct Streams {
    places: Box<[Place]>,
    free: u32,
    /// Place by slot of the flow: most flows have none, and no room for one in their lines.
    by_slot: HashMap<u32, u32, RandomState>,
    /// What has passed.
    pub prints: Fingerprints,
}

/// Sizes, taken at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Flows that are searched.
    pub flows: usize,
    /// Segments that are remembered until they are acknowledged, of all flows together.
    pub segments: usize,
}

impl Limits {
    /// What they take.
    pub const fn bytes(&self) -> usize {
        self.flows * (size_of::<Place>() + 4 * (size_of::<(u32, u32)>() + 1))
            + self.segments * Fingerprints::BYTES
    }
}

impl Streams {
    /// Takes the memory. `key` comes from the system's generator.
    pub fn new(limits: Limits, key: [u64; 4]) -> Streams {
        let next = |at: usize| if at + 1 == limits.flows { NONE } else { at as u32 + 1 };
        let places = (0..limits.flows).map(|at| Place { streams: [None; 2], next_free: next(at) }).collect();
        let free = if limits.flows == 0 { NONE } else { 0 };
        // Twice the room: a table that is more than half full grows when tombstones use up the rest.
        let hash = RandomState::with_seeds(key[0], key[1], key[2], key[3]);
        let by_slot = HashMap::with_capacity_and_hasher(limits.flows * 2, hash);
        Streams { places, free, by_slot, prints: Fingerprints::new(limits.segments, key) }
    }

    /// Flows that are searched.
    pub fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// The place of the flow in `slot`, or [`NONE`].
    pub fn place_of(&self, slot: u32) -> u32 {
        self.by_slot.get(&slot).copied().unwrap_or(NONE)
    }

    /// A place for the flow in `slot`, which has none; `None` when there is none left.
    pub fn take(&mut self, slot: u32, streams: [Option<Stream>; 2]) -> Option<u32> {
        let at = self.free;
        let place = self.places.get_mut(at as usize)?;
        self.free = place.next_free;
        place.streams = streams;
        self.by_slot.insert(slot, at);
        Some(at)
    }

    /// Gives back the place of the flow in `slot`, if it has one, and what has passed of it.
    pub fn give_back(&mut self, slot: u32) {
        if self.by_slot.is_empty() {
            return;
        }
        let Some(at) = self.by_slot.remove(&slot) else { return };
        let Some(place) = self.places.get_mut(at as usize) else { return };
        for stream in place.streams.iter_mut().filter_map(Option::take) {
            let mut passed = stream.passed;
            let end = passed.end;
            self.prints.restart(&mut passed, end);
        }
        place.next_free = self.free;
        self.free = at;
    }

    /// One direction of the flow at `at`, and the fingerprints that go with it.
    pub fn get(&mut self, at: u32, direction: usize) -> Option<(&mut Stream, &mut Fingerprints)> {
        let stream = self.places.get_mut(at as usize)?.streams[direction].as_mut()?;
        Some((stream, &mut self.prints))
    }
}
