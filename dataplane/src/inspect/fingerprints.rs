//! Fingerprints of what has passed and is not acknowledged yet: lists through one fixed arena, in sequence order.
//!
//! They are keyed: no peer can tell which other bytes would have the same one (DESIGN invariant 8).

use ahash::RandomState;

use crate::flow::object::NONE;
use crate::wire::seq::Seq;

/// The most fingerprints of one list: a repetition is compared with as many at the worst.
pub const MOST_IN_LIST: u16 = 1024;

#[derive(Debug, Clone, Copy)]
struct Cell {
    hash: u64,
    /// Where the segment ends; it begins where the one before it ends.
    end: Seq,
    next: u32,
}

/// All fingerprints of a worker.
pub struct Fingerprints {
    cells: Box<[Cell]>,
    free: u32,
    key: RandomState,
}

/// Those of one direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// Where the first segment begins, and where the last one ends.
    pub start: Seq,
    /// See `start`.
    pub end: Seq,
    first: u32,
    last: u32,
    len: u16,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl List {
    /// An empty one at `at`.
    pub const fn new(at: Seq) -> List {
        List { start: at, end: at, first: NONE, last: NONE, len: 0 }
    }
}

impl Fingerprints {
    /// Bytes of one.
    pub const BYTES: usize = size_of::<Cell>();

    /// Room for `capacity`, taken now.
    pub fn new(capacity: usize, key: [u64; 4]) -> Fingerprints {
        let next = |at: usize| if at + 1 == capacity { NONE } else { at as u32 + 1 };
        let cells = (0..capacity).map(|at| Cell { hash: 0, end: Seq(0), next: next(at) }).collect();
        let free = if capacity == 0 { NONE } else { 0 };
        Fingerprints { cells, free, key: RandomState::with_seeds(key[0], key[1], key[2], key[3]) }
    }

    /// Whether another one fits into `list`.
    pub fn has_room(&self, list: &List) -> bool {
        self.free != NONE && list.len < MOST_IN_LIST
    }

    /// Appends `bytes`, which begin where the list ends.
    pub fn push(&mut self, list: &mut List, bytes: &[u8]) -> Result<(), Full> {
        if !self.has_room(list) {
            return Err(Full);
        }
        let at = self.free;
        let end = list.end.advance(bytes.len() as u32);
        let hash = self.key.hash_one(bytes);
        let cell = &mut self.cells[at as usize];
        self.free = cell.next;
        *cell = Cell { hash, end, next: NONE };
        match list.last {
            NONE => list.first = at,
            last => self.cells[last as usize].next = at,
        }
        *list = List { end, last: at, len: list.len + 1, ..*list };
        Ok(())
    }

    /// Forgets what ends at `to` or before.
    pub fn release(&mut self, list: &mut List, to: Seq) {
        while let Some(cell) = self.cells.get_mut(list.first as usize)
            && cell.end.le(to)
        {
            let freed = list.first;
            (list.start, list.first) = (cell.end, cell.next);
            cell.next = self.free;
            self.free = freed;
            list.len -= 1;
        }
        if list.first == NONE {
            list.last = NONE;
        }
    }

    /// Forgets all of it, and goes on at `at`.
    pub fn restart(&mut self, list: &mut List, at: Seq) {
        self.release(list, list.end);
        *list = List::new(at);
    }

    /// Whether `bytes`, which begin at `at` and end where the list does or before, are what has passed, as far as that is
    /// not before `floor`. What was cut at other places than before cannot be compared, and is not.
    pub fn has_passed(&self, list: &List, at: Seq, floor: Seq, bytes: &[u8]) -> bool {
        let end = at.advance(bytes.len() as u32);
        if end.le(floor) {
            return true;
        }
        let (mut start, mut next) = (list.start, list.first);
        while start.lt(end) {
            let Some(cell) = self.cells.get(next as usize) else { return false };
            if cell.end.gt(at.max(floor)) {
                // Here, or at the end, it has been cut at another place.
                if start.lt(at) || cell.end.gt(end) {
                    return false;
                }
                let range = at.distance_to(start) as usize..at.distance_to(cell.end) as usize;
                if self.key.hash_one(&bytes[range]) != cell.hash {
                    return false;
                }
            }
            (start, next) = (cell.end, cell.next);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: Seq = Seq(u32::MAX - 5);

    fn passed(parts: &[&[u8]]) -> (Fingerprints, List) {
        let (mut prints, mut list) = (Fingerprints::new(8, [1; 4]), List::new(AT));
        for part in parts {
            prints.push(&mut list, part).unwrap();
        }
        (prints, list)
    }

    #[test]
    fn only_what_has_passed_and_is_cut_where_it_was_cut_is_known_again() {
        let (prints, list) = passed(&[b"abcd", b"efgh", b"ij"]);
        let known = |skip: u32, bytes: &[u8]| prints.has_passed(&list, AT.advance(skip), AT, bytes);
        assert!(known(0, b"abcd") && known(4, b"efgh") && known(0, b"abcdefgh") && known(4, b"efghij"));
        assert!(!known(0, b"abcX") && !known(0, b"abcdeXgh"));
        assert!(!known(0, b"abc") && !known(1, b"bcd") && !known(2, b"cdefgh") && !known(4, b"efghi"));
    }

    #[test]
    fn what_is_acknowledged_is_not_compared_any_more() {
        let (mut prints, mut list) = passed(&[b"abcd", b"efgh"]);
        let floor = AT.advance(4);
        prints.release(&mut list, floor);
        assert_eq!(list.start, floor);
        assert!(prints.has_passed(&list, AT, floor, b"XXXXefgh"));
        assert!(prints.has_passed(&list, AT.advance(2), floor, b"XX"));
        assert!(!prints.has_passed(&list, AT, floor, b"XXXXefgX"));
        // Acknowledged in the middle: the whole segment is still known.
        let floor = AT.advance(6);
        prints.release(&mut list, floor);
        assert!(prints.has_passed(&list, AT.advance(4), floor, b"efgh"));
        assert!(!prints.has_passed(&list, AT.advance(6), floor, b"gh"));
        assert!(prints.has_passed(&list, AT.advance(5), floor, b"X"));
    }

    #[test]
    fn a_full_arena_refuses_and_gets_everything_back() {
        let (mut prints, mut list) = (Fingerprints::new(2, [1; 4]), List::new(AT));
        for _ in 0..3 {
            assert_eq!(prints.push(&mut list, b"a"), Ok(()));
            assert_eq!(prints.push(&mut list, b"b"), Ok(()));
            assert_eq!(prints.push(&mut list, b"c"), Err(Full));
            let end = list.end;
            prints.restart(&mut list, end.advance(100));
            assert_eq!(list, List::new(end.advance(100)));
        }
        let (mut prints, mut list) = (Fingerprints::new(4096, [1; 4]), List::new(AT));
        (0..MOST_IN_LIST).for_each(|_| prints.push(&mut list, b"a").unwrap());
        assert_eq!(prints.push(&mut list, b"a"), Err(Full), "one flow does not take everything");
    }

    proptest! {
        /// Against the bytes themselves: nothing that differs from them is ever known again.
        #[test]
        fn what_differs_is_never_known(
            parts in prop::collection::vec(prop::collection::vec(0u8..2, 1..4), 1..8),
            from in 0usize..20, other in prop::collection::vec(0u8..2, 1..12), floor in 0u32..20,
        ) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let (prints, list) = passed(&parts);
            let all = parts.concat();
            if from + other.len() <= all.len() && prints.has_passed(&list, AT.advance(from as u32), AT.advance(floor), &other) {
                let judged = (floor as usize).saturating_sub(from).min(other.len());
                prop_assert_eq!(&other[judged..], &all[from + judged..from + other.len()]);
            }
        }
    }
}
