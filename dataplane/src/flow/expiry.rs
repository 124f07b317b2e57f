//! A hierarchical timer wheel over dense ids: arming, re-arming and cancelling are O(1) and allocate nothing.
//!
//! Four levels of 64 slots. A timer sits at the lowest level whose span still holds its deadline and cascades down as
//! time comes nearer (Varghese and Lauck, 1987, scheme 7). Those of a slot do so one by one, as many as the caller has time for: of
//! ten million flows that were all seen in one half hour, all come nearer in one tick.

use super::object::NONE;
use crate::memory::huge;

const LEVELS: usize = 4;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// The farthest deadline, in ticks; a later one is taken as this and looked at again by whoever armed it.
pub const MAX_TICKS: u32 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;

#[derive(Clone, Copy)]
struct Link {
    next: u32,
    /// The id before, or `HEAD_FLAG | slot` for the first of a slot, or `NONE` when not armed.
    prev: u32,
    deadline: u32,
}

const HEAD_FLAG: u32 = 1 << 31;

/// What [`Wheel::take`] has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// This one is due, and not armed any more.
    Due(u32),
    /// One has come nearer, and is still to come.
    Nearer,
}

/// Timers for ids `0..capacity`, one each.
pub struct Wheel {
    heads: Box<[u32]>,
    links: Box<[Link]>,
    now: u32,
}

impl Wheel {
    /// What one id takes.
    pub const BYTES_PER_TIMER: usize = size_of::<Link>();

    /// A wheel for ids below `capacity` (at most 2^31), at tick 0.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity < HEAD_FLAG as usize, "a wheel holds fewer than 2^31 ids");
        Wheel {
            heads: vec![NONE; LEVELS * SLOTS].into_boxed_slice(),
            links: huge::filled(capacity, |_| Link { next: NONE, prev: NONE, deadline: 0 }),
            now: 0,
        }
    }

    /// Arms or re-arms `id` for `deadline` (ticks since start, modulo 2^32); the past means the next tick.
    pub fn arm(&mut self, id: u32, deadline: u32) {
        let ahead = deadline.wrapping_sub(self.now);
        let ahead = if ahead == 0 || ahead > u32::MAX / 2 { 1 } else { ahead.min(MAX_TICKS) };
        if self.is_armed(id) {
            // Of a burst's events most find the timer where it belongs.
            if self.links[id as usize].deadline == self.now.wrapping_add(ahead) {
                return;
            }
            self.cancel(id);
        }
        self.insert(id, ahead);
    }

    #[inline(always)]
    fn insert(&mut self, id: u32, ahead: u32) {
        let slot = self.slot_of(ahead);
        let head = self.heads[slot];
        let deadline = self.now.wrapping_add(ahead);
        self.links[id as usize] = Link { next: head, prev: HEAD_FLAG | slot as u32, deadline };
        if head != NONE {
            self.links[head as usize].prev = id;
        }
        self.heads[slot] = id;
    }

    /// The slot with the tick that is `ahead` (1 to [`MAX_TICKS`]) ticks away; it begins after the present one.
    fn slot_of(&self, ahead: u32) -> usize {
        let level = ahead.ilog2() / SLOT_BITS;
        let at = self.now.wrapping_add(ahead) >> (SLOT_BITS * level);
        level as usize * SLOTS + at as usize % SLOTS
    }

    /// Disarms `id`; no effect when it is not armed.
    #[inline(always)]
    pub fn cancel(&mut self, id: u32) {
        let link = self.links[id as usize];
        if link.prev == NONE {
            return;
        }
        if link.prev & HEAD_FLAG != 0 {
            self.heads[(link.prev & !HEAD_FLAG) as usize] = link.next;
        } else {
            self.links[link.prev as usize].next = link.next;
        }
        if link.next != NONE {
            self.links[link.next as usize].prev = link.prev;
        }
        self.links[id as usize].prev = NONE;
    }

    /// Whether `id` is armed.
    pub fn is_armed(&self, id: u32) -> bool {
        self.links[id as usize].prev != NONE
    }

    /// Whether `id` fires at `deadline` at the latest, or at the next tick when that has passed.
    pub fn fires_by(&self, id: u32, deadline: u32) -> bool {
        let ahead = |tick: u32| tick.wrapping_sub(self.now) as i32;
        self.is_armed(id) && ahead(self.links[id as usize].deadline) <= ahead(deadline).max(1)
    }

    /// Moves one tick on when `now` is ahead, and returns whether it did; [`Wheel::take`] then gives what is due.
    pub fn step(&mut self, now: u32) -> bool {
        if (now.wrapping_sub(self.now) as i32) <= 0 {
            return false;
        }
        self.now = self.now.wrapping_add(1);
        true
    }

    /// Takes one timer of the slots that have begun. Call until `None` before the next [`Wheel::step`].
    pub fn take(&mut self) -> Option<Taken> {
        for level in 0..LEVELS {
            let bits = SLOT_BITS * level as u32;
            if self.now & ((1 << bits) - 1) != 0 {
                break;
            }
            let id = self.heads[level * SLOTS + (self.now >> bits) as usize % SLOTS];
            if id == NONE {
                continue;
            }
            self.cancel(id);
            let ahead = self.links[id as usize].deadline.wrapping_sub(self.now);
            if ahead == 0 {
                return Some(Taken::Due(id));
            }
            self.insert(id, ahead);
            return Some(Taken::Nearer);
        }
        None
    }

    /// Ticks until something may be due, at most `limit`; exact within the lowest level.
    pub fn ticks_to_next(&self, limit: u32) -> u32 {
        let within_level = SLOTS as u32 - self.now % SLOTS as u32;
        let bound = limit.min(within_level);
        (1..bound).find(|t| self.heads[((self.now + t) as usize) % SLOTS] != NONE).unwrap_or(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn advance(wheel: &mut Wheel, to: u32) -> Vec<(u32, u32)> {
        let mut fired = Vec::new();
        while wheel.step(to) {
            while let Some(taken) = wheel.take() {
                if let Taken::Due(id) = taken {
                    fired.push((wheel.now, id));
                }
            }
        }
        fired
    }

    #[test]
    fn fires_at_the_tick_at_every_level() {
        let mut wheel = Wheel::new(8);
        for (id, deadline) in [1, 63, 64, 65, 4095, 4096, 5000, 300_000].into_iter().enumerate() {
            wheel.arm(id as u32, deadline);
        }
        let fired = advance(&mut wheel, 300_001);
        let ticks: Vec<u32> = fired.iter().map(|(tick, _)| *tick).collect();
        assert_eq!(ticks, [1, 63, 64, 65, 4095, 4096, 5000, 300_000]);
    }

    #[test]
    fn the_past_fires_at_the_next_tick() {
        let mut wheel = Wheel::new(1);
        advance(&mut wheel, 100);
        wheel.arm(0, 7);
        assert_eq!(advance(&mut wheel, 101), [(101, 0)]);
    }

    #[test]
    fn the_ticks_wrap() {
        let mut wheel = Wheel::new(4);
        wheel.now = u32::MAX - 5000;
        for (id, ahead) in [3, 70, 5001, 300_000].into_iter().enumerate() {
            wheel.arm(id as u32, wheel.now.wrapping_add(ahead));
        }
        let fired = advance(&mut wheel, 300_000);
        let from_start = |tick: u32| tick.wrapping_add(5001);
        let ticks: Vec<u32> = fired.iter().map(|(tick, _)| from_start(*tick)).collect();
        assert_eq!(ticks, [3, 70, 5001, 300_000]);
    }

    proptest! {
        /// Any series of arm, cancel and advance fires exactly what a sorted map would.
        #[test]
        fn agrees_with_a_map(ops in prop::collection::vec((0u32..16, prop_oneof![0u32..200, 0u32..10_000, 0u32..600_000], 0u8..4), 1..200)) {
            let mut wheel = Wheel::new(16);
            let mut oracle: BTreeMap<u32, u32> = BTreeMap::new();
            let mut now = 0u32;
            for (id, ticks, op) in ops {
                match op {
                    0 | 1 => { wheel.arm(id, now + ticks); oracle.insert(id, now + ticks.max(1)); }
                    2 => { wheel.cancel(id); oracle.remove(&id); }
                    _ => {
                        let to = now + ticks / 4;
                        let mut fired = advance(&mut wheel, to);
                        let mut expected: Vec<(u32, u32)> =
                            oracle.iter().filter(|(_, d)| **d <= to).map(|(i, d)| (*d, *i)).collect();
                        oracle.retain(|_, d| *d > to);
                        fired.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(fired, expected);
                        now = to;
                    }
                }
            }
        }
    }
}
