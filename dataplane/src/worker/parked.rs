//! Frames parked on a worker while a flow changes hands: per-flow lists through one fixed arena.

use hashbrown::HashMap;

use crate::flow::object::NONE;
use crate::flow::quad::Direction;
use crate::inspect::patterns;
use crate::memory::{lasting, table_bytes};
use crate::packet::TcpHeaders;

/// A frame that waits for its flow's new path.
pub struct Waiting<B> {
    /// Which way it travels.
    pub direction: Direction,
    /// Its headers.
    pub headers: TcpHeaders,
    /// The frame.
    pub frame: B,
    /// Where the search stood behind it, if it is searched and that is known.
    pub searched: Option<patterns::State>,
}

struct Cell<B> {
    waiting: Option<Waiting<B>>,
    next: u32,
    /// Of the list's first cell only: the last cell.
    tail: u32,
    /// Of the list's first cell only: how many it has.
    len: u32,
}

/// All parked frames of a worker.
pub struct Parked<B> {
    /// By the flow's slot, its list's first cell: the flow itself has no room for what hardly any flow has.
    heads: HashMap<u32, u32, ahash::RandomState>,
    cells: Box<[Cell<B>]>,
    free: u32,
    used: usize,
}

impl<B> Parked<B> {
    /// Bytes that room for `capacity` frames takes; the frames themselves stay in their buffers.
    pub const fn bytes_for(capacity: usize) -> usize {
        capacity * size_of::<Cell<B>>() + table_bytes(lasting(capacity), size_of::<(u32, u32)>())
    }

    /// Room for `capacity` frames, taken now.
    pub fn new(capacity: usize) -> Self {
        let cells: Box<[Cell<B>]> = (0..capacity as u32)
            .map(|i| Cell {
                waiting: None,
                next: if i as usize + 1 == capacity { NONE } else { i + 1 },
                tail: NONE,
                len: 0,
            })
            .collect();
        let heads = HashMap::with_capacity_and_hasher(lasting(capacity), ahash::RandomState::new());
        Parked { heads, free: if capacity == 0 { NONE } else { 0 }, cells, used: 0 }
    }

    /// Frames parked.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The most frames that fit.
    pub fn capacity(&self) -> usize {
        self.cells.len()
    }

    /// Appends to what is parked of the flow in `slot`; gives the frame back when there is no room.
    pub fn push(&mut self, slot: u32, waiting: Waiting<B>) -> Result<(), Waiting<B>> {
        let id = self.free;
        if id == NONE {
            return Err(waiting);
        }
        self.free = self.cells[id as usize].next;
        self.cells[id as usize] = Cell { waiting: Some(waiting), next: NONE, tail: id, len: 0 };
        self.used += 1;
        let head = *self.heads.entry(slot).or_insert(id);
        self.cells[head as usize].len += 1;
        if head != id {
            let tail = std::mem::replace(&mut self.cells[head as usize].tail, id);
            self.cells[tail as usize].next = id;
        }
        Ok(())
    }

    /// Frames parked of the flow in `slot`.
    pub fn len_of(&self, slot: u32) -> usize {
        if self.used == 0 {
            return 0;
        }
        self.heads.get(&slot).map_or(0, |head| self.cells[*head as usize].len as usize)
    }

    /// The first that is parked of the flow in `slot`.
    pub fn first(&self, slot: u32) -> Option<&Waiting<B>> {
        // Nothing is parked most of the time.
        if self.used == 0 {
            return None;
        }
        self.cells.get(*self.heads.get(&slot)? as usize)?.waiting.as_ref()
    }

    /// What is parked of the flow in `slot` is its no more: it stands under [`NONE`].
    pub fn set_aside(&mut self, slot: u32) {
        if self.used > 0
            && let Some(head) = self.heads.remove(&slot)
        {
            self.heads.insert(NONE, head);
        }
    }

    /// Takes the first that is parked of the flow in `slot`.
    pub fn pop(&mut self, slot: u32) -> Option<Waiting<B>> {
        let id = *self.heads.get(&slot)?;
        let cell = self.cells.get_mut(id as usize)?;
        let waiting = cell.waiting.take();
        let (next, tail, len) = (cell.next, cell.tail, cell.len);
        cell.next = self.free;
        self.free = id;
        self.used -= 1;
        if next == NONE {
            self.heads.remove(&slot);
        } else {
            self.heads.insert(slot, next);
            (self.cells[next as usize].tail, self.cells[next as usize].len) = (tail, len - 1);
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::quad::{Quad, Segment};
    use crate::wire::{seq::Seq, tcp_flags::TcpFlags};

    fn waiting(n: u32) -> Waiting<u32> {
        let quad = Quad::between("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()).unwrap();
        let headers = TcpHeaders {
            quad,
            segment: Segment(0),
            l3: 14,
            l4: 34,
            payload: 54,
            end: 54,
            seq: Seq(n),
            ack: Seq(0),
            flags: TcpFlags::ACK,
            window: 0,
            first_fragment: false,
        };
        Waiting { direction: Direction::ClientToServer, headers, frame: n, searched: None }
    }

    #[test]
    fn lists_keep_their_order_and_the_arena_its_size() {
        let mut parked = Parked::new(4);
        for round in 0..3 {
            for n in 0..2 {
                assert!(parked.push(1, waiting(round + n)).is_ok());
                assert!(parked.push(2, waiting(100 + n)).is_ok());
            }
            assert_eq!(parked.push(1, waiting(9)).map_err(|w| w.frame), Err(9));
            assert_eq!(parked.pop(1).map(|w| w.frame), Some(round));
            assert!(parked.push(1, waiting(50)).is_ok());
            let rest: Vec<u32> = std::iter::from_fn(|| parked.pop(1)).map(|w| w.frame).collect();
            assert_eq!(rest, [round + 1, 50]);
            let rest: Vec<u32> = std::iter::from_fn(|| parked.pop(2)).map(|w| w.frame).collect();
            assert_eq!(rest, [100, 101]);
            assert!(parked.is_empty() && parked.heads.is_empty());
        }
    }

    /// Lists come and go with all of the room taken: removed entries leave marks in the table, and it must not grow for them.
    #[test]
    fn however_lists_come_and_go_the_table_stays_as_it_was_taken() {
        for capacity in [3, 7, 14, 28, 56, 64, 100, 112] {
            let mut parked = Parked::new(capacity);
            let taken = parked.heads.allocation_size();
            for n in 0..20_000 {
                parked.push(n, waiting(n)).ok().expect("there is room");
                if let Some(first) = (n + 1).checked_sub(capacity as u32) {
                    assert_eq!(parked.pop(first).map(|waiting| waiting.frame), Some(first));
                }
                assert_eq!(parked.heads.allocation_size(), taken, "{capacity}, after {n}");
            }
        }
    }

    #[test]
    fn it_takes_what_is_said_and_knows_how_long_each_list_is() {
        for capacity in [0, 1, 64, 4096] {
            let parked: Parked<u32> = Parked::new(capacity);
            let taken = size_of_val(&*parked.cells) + parked.heads.allocation_size();
            assert_eq!(taken, Parked::<u32>::bytes_for(capacity));
        }
        let mut parked = Parked::new(4);
        for (slot, len) in [(7, 1), (8, 1), (7, 2)] {
            parked.push(slot, waiting(0)).ok().unwrap();
            assert_eq!(parked.len_of(slot), len);
        }
        parked.pop(7);
        assert_eq!([7, 8, 9].map(|slot| parked.len_of(slot)), [1, 1, 0]);
    }
}
