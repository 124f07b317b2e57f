//! A worker's flow table: connection objects in a slab, found by quad through an index of slot numbers.
//!
//! All memory is taken at start; a full table refuses, it never grows (DESIGN invariant 6). One worker owns it.

use std::hash::{Hash, Hasher};

use crate::clock::Instant;
use crate::memory::huge;

use super::expiry::{Taken, Wheel};
use super::hash::KeyedHash;
use super::object::{NONE, Object, Path, Record, Traits};
use super::quad::{Addresses, Direction, FlowKey, Quad, Segment, v4_word};
use super::traffic::Traffic;

mod ahead;
mod differing;
mod ends;
mod index;
mod sides;

pub use ahead::Guess;
use ends::Ends;
use index::Index;
pub use sides::Refused;
use sides::Sides;

/// Milliseconds of one wheel tick.
const TICK_MS: u64 = 8;

/// Names a flow across threads: a slot, and which of its successive tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowRef {
    /// Slot in the worker's table.
    pub slot: u32,
    /// Generation of the slot.
    pub generation: u32,
}

/// As one word: whoever keeps something by flow asks for it with every event.
impl Hash for FlowRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.generation) << 32 | u64::from(self.slot));
    }
}

/// The table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Flows of one worker.
pub struct FlowTable {
    /// Slots, and, from the capacity on, places of far sides.
    index: Index,
    hash: KeyedHash,
    objects: Box<[Object]>,
    records: Box<[Record]>,
    v6: Ends,
    /// The first free slot, or [`NONE`]; each names the next one where a flow notes when it was last seen.
    free: u32,
    len: usize,
    /// Flows that have ever been added, modulo 2^32.
    added: u32,
    wheel: Wheel,
    sides: Sides,
}

impl FlowTable {
    /// What room for `capacity` flows takes, `far_sides` of them with one: both lines, the IPv6 addresses' place, timers, index.
    pub fn bytes_for(capacity: usize, far_sides: usize) -> usize {
        let each = size_of::<Object>() + size_of::<Record>() + Wheel::BYTES_PER_TIMER;
        let sides = Sides::bytes_for(far_sides);
        capacity * each + Ends::bytes_for(capacity) + sides + Index::bytes_for(capacity + far_sides)
    }

    /// Of that, what every frame of a flow that is cut through has a line in: the objects, the index, and of IPv6 flows the addresses.
    pub const fn bytes_touched(capacity: usize) -> [usize; 3] {
        [capacity * size_of::<Object>(), Index::bytes_for(capacity), Ends::bytes_for(capacity)]
    }

    /// A table of at most `capacity` flows, `far_sides` of them with one, hashed with `hash`.
    pub fn new(capacity: usize, far_sides: usize, hash: KeyedHash) -> Self {
        let next_free = |slot: usize| if slot + 1 < capacity { slot as u32 + 1 } else { NONE };
        let object = |slot| Object { last_seen: next_free(slot), ..Object::FREE };
        FlowTable {
            index: Index::new(capacity + far_sides, capacity + far_sides),
            hash,
            objects: huge::filled(capacity, object),
            records: huge::filled(capacity, |_| Record::default()),
            v6: Ends::new(capacity),
            free: if capacity == 0 { NONE } else { 0 },
            added: 0,
            len: 0,
            wheel: Wheel::new(capacity),
            sides: Sides::new(far_sides),
        }
    }

    /// Flows present.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no flow.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most flows that fit.
    pub fn capacity(&self) -> usize {
        self.objects.len()
    }

    /// The flow of a packet's key, as its client or its far side sees it, and the direction in which that packet travels.
    #[inline]
    pub fn find(&self, key: &FlowKey) -> Option<(u32, Direction)> {
        self.find_hashed(self.hash.of(key), &key.quad, key.segment)
    }

    #[inline(never)]
    fn find_hashed(&self, hash: u64, quad: &Quad, segment: Segment) -> Option<(u32, Direction)> {
        let mut direction = Direction::ClientToServer;
        let entry = self.index.find(hash, |entry| match self.matches(entry, quad, segment) {
            Some(found) => {
                direction = found;
                true
            }
            None => false,
        })?;
        let slot = if (entry as usize) < self.objects.len() { entry } else { self.slot_of(entry)? };
        Some((slot, direction))
    }

    #[inline]
    fn matches(&self, entry: u32, quad: &Quad, segment: Segment) -> Option<Direction> {
        match self.objects.get(entry as usize) {
            Some(object) => self.matches_object(entry, object, quad, segment),
            None => self.matches_far(entry, quad, segment),
        }
    }

    #[inline(always)]
    fn matches_object(&self, slot: u32, object: &Object, quad: &Quad, segment: Segment) -> Option<Direction> {
        if object.segment != segment || object.traits.has(Traits::V6) != quad.addresses.is_v6() {
            return None;
        }
        // Whole words, turned by half for the way back: a comparison each. The ports alone mostly tell which way it is.
        let (ports, packet) = (object.ports_word(), quad.ports_word());
        if ports == packet && self.has_ends(slot, object, quad.addresses) {
            return Some(Direction::ClientToServer);
        }
        let is_back =
            ports == packet.rotate_left(16) && self.has_ends(slot, object, quad.addresses.reversed());
        is_back.then_some(Direction::ServerToClient)
    }

    /// Whether these are the flow's addresses, client's and server's, of its own family.
    #[inline(always)]
    fn has_ends(&self, slot: u32, object: &Object, addresses: Addresses) -> bool {
        match addresses {
            Addresses::V4(client, server) => object.v4_word() == v4_word(client, server),
            Addresses::V6(client, server) => {
                // Sixteen bytes at a time, straight from the frame: whoever puts addresses together in memory first waits for them.
                let [own_client, own_server] = self.v6.get(slot);
                *own_client == client && *own_server == server
            }
        }
    }

    #[inline(always)]
    fn addresses(&self, slot: u32) -> Addresses {
        let object = &self.objects[slot as usize];
        if object.traits.has(Traits::V6) {
            let [client, server] = *self.v6.get(slot);
            Addresses::V6(client, server)
        } else {
            Addresses::V4(object.v4[0], object.v4[1])
        }
    }

    /// Flows that have ever been added, modulo 2^32.
    pub fn added(&self) -> u32 {
        self.added
    }

    /// Adds a flow whose client is the key's source. The key must not be present, as another flow's far one neither.
    pub fn insert(&mut self, key: &FlowKey, path: Path, client_side: u8, now: Instant) -> Result<u32, Full> {
        let slot = self.free;
        let next = self.objects.get(slot as usize).ok_or(Full)?.last_seen;
        if !self.index.insert(self.hash.of(key), slot) {
            return Err(Full);
        }
        self.free = next;
        self.len += 1;
        self.added = self.added.wrapping_add(1);
        let millis = now.as_millis() as u32;
        let object = &mut self.objects[slot as usize];
        *object = Object {
            ports: [key.quad.client_port.to_be(), key.quad.server_port.to_be()],
            segment: key.segment,
            path,
            client_side,
            last_seen: millis,
            ..Object::FREE
        };
        match key.quad.addresses {
            Addresses::V4(client, server) => object.v4 = [client, server],
            Addresses::V6(client, server) => {
                object.traits.set(Traits::V6, true);
                self.v6.set(slot, [client, server]);
            }
        }
        let record = &mut self.records[slot as usize];
        *record = Record { generation: record.generation.wrapping_add(1), born: millis, ..Record::default() };
        Ok(slot)
    }

    /// Removes a flow, and what it is known by on its far side; its slot's next tenant has another generation.
    pub fn remove(&mut self, slot: u32) {
        self.remove_far(slot);
        let hash = self.hash.of(&self.key(slot));
        if self.index.remove(hash, slot) {
            self.wheel.cancel(slot);
            let object = &mut self.objects[slot as usize];
            object.path = Path::Free;
            object.last_seen = std::mem::replace(&mut self.free, slot);
            self.len -= 1;
        }
    }

    /// Takes the far side of the flow in `slot` from it: it is found by its own key only, and goes by it.
    pub fn clear_far(&mut self, slot: u32) {
        self.remove_far(slot);
    }

    /// Whether it is the quad of the flow in `slot`, client → server, whatever its segment.
    pub fn has_quad(&self, slot: u32, quad: &Quad) -> bool {
        let object = &self.objects[slot as usize];
        object.traits.has(Traits::V6) == quad.addresses.is_v6() && self.is_quad_of(slot, object, quad)
    }

    /// The same of a flow that is of the quad's family.
    #[inline(always)]
    pub fn is_quad_of(&self, slot: u32, object: &Object, quad: &Quad) -> bool {
        object.ports_word() == quad.ports_word() && self.has_ends(slot, object, quad.addresses)
    }

    /// The flow's key, client → server.
    #[inline]
    pub fn key(&self, slot: u32) -> FlowKey {
        let object = &self.objects[slot as usize];
        let (client_port, server_port) = object.client_and_server_port();
        let quad = Quad { addresses: self.addresses(slot), client_port, server_port };
        FlowKey { quad, segment: object.segment }
    }

    /// The object in `slot`.
    #[inline]
    pub fn object(&self, slot: u32) -> &Object {
        &self.objects[slot as usize]
    }

    /// The object in `slot`.
    #[inline]
    pub fn object_mut(&mut self, slot: u32) -> &mut Object {
        &mut self.objects[slot as usize]
    }

    /// A frame of the flow in `slot`, whose datagram has `bytes`.
    #[inline(always)]
    pub fn count(&mut self, slot: u32, direction: Direction, bytes: u16) {
        let tally = &mut self.objects[slot as usize].tally;
        let has_more_bytes = tally.add_bytes(direction, bytes);
        let has_more_frames = tally.add_frame(direction);
        if has_more_bytes {
            self.enter_bytes(slot, direction);
        }
        if has_more_frames {
            self.enter_frames(slot, direction);
        }
    }

    /// The rare time that the record's line is touched for a count of bytes.
    #[cold]
    fn enter_bytes(&mut self, slot: u32, direction: Direction) {
        let (object, record) = (&mut self.objects[slot as usize], &mut self.records[slot as usize]);
        record.ledger.enter_bytes(&mut object.tally, direction);
    }

    /// The same for a count of frames.
    #[cold]
    fn enter_frames(&mut self, slot: u32, direction: Direction) {
        let (object, record) = (&mut self.objects[slot as usize], &mut self.records[slot as usize]);
        record.ledger.enter_frames(&mut object.tally, direction);
    }

    /// What the flow in `slot` has carried.
    pub fn traffic(&self, slot: u32) -> Traffic {
        Traffic::new(self.object(slot).tally, self.record(slot).ledger)
    }

    /// The record in `slot`.
    #[inline]
    pub fn record_mut(&mut self, slot: u32) -> &mut Record {
        &mut self.records[slot as usize]
    }

    /// The record in `slot`.
    pub fn record(&self, slot: u32) -> &Record {
        &self.records[slot as usize]
    }

    /// The name by which another thread knows the flow.
    pub fn flow_ref(&self, slot: u32) -> FlowRef {
        FlowRef { slot, generation: self.records[slot as usize].generation }
    }

    /// The slot of a flow that still lives.
    pub fn resolve(&self, flow: FlowRef) -> Option<u32> {
        let path = self.objects.get(flow.slot as usize)?.path;
        let is_it = path != Path::Free && self.record(flow.slot).generation == flow.generation;
        is_it.then_some(flow.slot)
    }

    /// Slots in use among `slots`, in slot order. Looks at each of them.
    pub fn occupied(&self, slots: std::ops::Range<u32>) -> impl Iterator<Item = u32> + '_ {
        let end = slots.end.min(self.objects.len() as u32);
        (slots.start..end).filter(|slot| self.objects[*slot as usize].path != Path::Free)
    }

    /// Has [`FlowTable::expire`] give the slot at `deadline` or up to one tick later.
    pub fn arm(&mut self, slot: u32, deadline: Instant) {
        self.wheel.arm(slot, (deadline.as_millis() / TICK_MS + 1) as u32);
    }

    /// Never give this slot.
    pub fn disarm(&mut self, slot: u32) {
        self.wheel.cancel(slot);
    }

    /// One flow whose timer is due. `None` when the wheel has caught up with `now`, or `moves` are used up by timers that have come
    /// nearer, each of which costs some cache lines.
    pub fn expire(&mut self, now: Instant, moves: &mut usize) -> Option<u32> {
        let tick = (now.as_millis() / TICK_MS) as u32;
        while *moves > 0 {
            match self.wheel.take() {
                Some(Taken::Due(slot)) => return Some(slot),
                Some(Taken::Nearer) => *moves -= 1,
                None if !self.wheel.step(tick) => return None,
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::net::SocketAddr;

    pub(super) fn key(n: u8, v6: bool, vlan: u16) -> FlowKey {
        let end = |host: u8, port: u16| -> SocketAddr {
            let text = if v6 { format!("[fd00::{host}]:{port}") } else { format!("10.0.0.{host}:{port}") };
            text.parse().unwrap()
        };
        let quad = Quad::between(end(n % 3, 1000 + u16::from(n)), end(200, 80)).unwrap();
        FlowKey { quad, segment: Segment::new(0, 0, vlan) }
    }

    fn table(capacity: usize) -> FlowTable {
        FlowTable::new(capacity, 2, KeyedHash::new([1, 2, 3, 4]))
    }

    #[test]
    fn finds_both_directions_and_keeps_segments_apart() {
        let mut table = table(4);
        let there = key(1, true, 5);
        let slot = table.insert(&there, Path::Suspended, 0, Instant::ZERO).unwrap();
        let back = FlowKey { quad: there.quad.reversed(), ..there };
        assert_eq!(table.find(&there), Some((slot, Direction::ClientToServer)));
        assert_eq!(table.find(&back), Some((slot, Direction::ServerToClient)));
        assert_eq!(table.find(&key(1, true, 6)), None);
        assert_eq!(table.find(&key(1, false, 5)), None);
        assert_eq!(table.key(slot), there);
    }

    /// Ports do not tell the directions apart where both ends have the same one.
    #[test]
    fn finds_both_directions_of_equal_ports() {
        for (client, server) in [("10.0.0.1:500", "10.0.0.2:500"), ("[fd00::1]:500", "[fd00::2]:500")] {
            let mut table = table(4);
            let quad = Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap();
            let there = FlowKey { quad, segment: Segment(0) };
            let slot = table.insert(&there, Path::CutThrough, 0, Instant::ZERO).unwrap();
            let both = [(quad, Direction::ClientToServer), (quad.reversed(), Direction::ServerToClient)];
            for (quad, direction) in both {
                let mut guess = table.guess(&quad, Segment(0));
                table.look_ahead(&mut guess);
                let found = Some((slot, direction));
                assert_eq!(table.find_last(&guess, &quad, Segment(0)), found);
                assert_eq!(table.find(&FlowKey { quad, ..there }), found);
            }
        }
    }

    #[test]
    fn a_full_table_refuses_and_an_old_name_does_not_resolve() {
        let mut table = table(1);
        let slot = table.insert(&key(1, false, 0), Path::Suspended, 0, Instant::ZERO).unwrap();
        assert_eq!(table.insert(&key(2, false, 0), Path::Suspended, 0, Instant::ZERO), Err(Full));
        let name = table.flow_ref(slot);
        assert_eq!(table.resolve(name), Some(slot));
        table.remove(slot);
        assert_eq!(table.resolve(name), None);
        let again = table.insert(&key(2, false, 0), Path::Suspended, 0, Instant::ZERO).unwrap();
        assert_eq!(again, slot);
        assert_eq!(table.resolve(name), None, "the next tenant has another name");
    }

    #[test]
    fn expires_once_not_early_and_not_after_removal() {
        let mut table = table(2);
        let first = table.insert(&key(1, false, 0), Path::CutThrough, 0, Instant::ZERO).unwrap();
        let second = table.insert(&key(2, false, 0), Path::CutThrough, 0, Instant::ZERO).unwrap();
        table.arm(first, Instant::from_millis(100));
        table.arm(second, Instant::from_millis(100));
        table.remove(second);
        assert_eq!(table.expire(Instant::from_millis(99), &mut 9), None);
        assert_eq!(table.expire(Instant::from_millis(120), &mut 9), Some(first));
        assert_eq!(table.expire(Instant::from_millis(100_000), &mut 9), None);
    }

    #[test]
    fn a_full_table_whose_flows_come_and_go_never_grows() {
        let mut table = table(56);
        let taken = table.index.allocation_size();
        let mut slots = std::collections::VecDeque::new();
        for n in 0..20_000u32 {
            if slots.len() == 56 {
                table.remove(slots.pop_front().unwrap());
            }
            let client = std::net::SocketAddr::from((n.to_be_bytes(), 1));
            let quad = Quad::between(client, "10.0.0.2:80".parse().unwrap()).unwrap();
            let key = FlowKey { quad, segment: Segment(0) };
            slots.push_back(table.insert(&key, Path::CutThrough, 0, Instant::ZERO).unwrap());
        }
        assert_eq!(table.index.allocation_size(), taken);
    }

    proptest! {
        /// Any series of insertions, removals and look-ups agrees with a `HashMap`.
        #[test]
        fn agrees_with_a_hash_map(ops in prop::collection::vec((0u8..40, any::<bool>(), 0u16..2, 0u8..3), 1..300)) {
            let mut table = table(24);
            let mut oracle: HashMap<FlowKey, u32> = HashMap::new();
            let mut guesses = Vec::new();
            for (n, v6, vlan, op) in ops {
                let key = key(n, v6, vlan);
                let mut guess = table.guess(&key.quad, key.segment);
                table.look_ahead(&mut guess);
                guesses.push((guess, key));
                match op {
                    0 if !oracle.contains_key(&key) => {
                        let inserted = table.insert(&key, Path::CutThrough, 0, Instant::ZERO);
                        prop_assert_eq!(inserted.is_ok(), oracle.len() < 24);
                        if let Ok(slot) = inserted { oracle.insert(key, slot); }
                    }
                    1 => if let Some(slot) = oracle.remove(&key) { table.remove(slot) },
                    _ => {}
                }
                prop_assert_eq!(table.find(&key).map(|f| f.0), oracle.get(&key).copied());
                prop_assert_eq!(table.len(), oracle.len());
                for (guess, key) in &guesses {
                    let found = table.find_guessed(guess, &key.quad, key.segment);
                    prop_assert_eq!(found, table.find(key), "whatever has come and gone since the guess");
                }
            }
        }
    }
}
