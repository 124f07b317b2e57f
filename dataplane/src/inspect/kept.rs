//! What has been sent on and is not acknowledged yet: the bytes themselves, in fixed blocks of one arena.
//!
//! A receiver may take any one of several versions of a byte (DESIGN section 6: ambiguous overlaps): so there is only one.
//! Whatever repeats a kept byte, however it is cut, leaves with the kept one. Edits are the same thing: what is kept is what
//! was sent on, not what came.

use crate::flow::object::NONE;
use crate::wire::checksum::Update;
use crate::wire::seq::Seq;

/// Bytes of a block: a full segment and a bit.
pub const BLOCK: usize = 2048;
/// The most blocks of one direction of a flow.
pub const MOST_BLOCKS: u32 = 1024;
/// Of the free blocks one list may have this part, and this many in any case.
const SHARE: usize = 8;
const LEAST_BLOCKS: usize = 4;

/// All kept bytes of a worker.
pub struct Kept {
    bytes: Box<[u8]>,
    /// By block: the one behind it in its list, or among the free ones.
    next: Box<[u32]>,
    /// By block: the ways back from it.
    back: Box<[Back]>,
    free: u32,
    used: u32,
}

/// Those of one direction of a flow. Every block but the last is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// The number of the first block's first byte.
    base: Seq,
    /// Behind the last byte.
    end: Seq,
    first: u32,
    last: u32,
    blocks: u32,
}

/// How a block before this one in its list is found in a logarithm of steps: the one before, and one further before, so chosen
/// that each jump is twice as long as the one that follows, or as long (E. W. Myers, "An applicative random-access stack",
/// 1983). Blocks go at both ends of a list; what is before its first is not asked for.
#[derive(Debug, Clone, Copy, Default)]
struct Back {
    /// Its number in its list, modulo 2^32: each has the next one.
    number: u32,
    previous: u32,
    jump: u32,
    /// The number of the block that `jump` was: it may have been given back since.
    jump_number: u32,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl List {
    /// An empty one at `at`.
    pub const fn new(at: Seq) -> List {
        List { base: at, end: at, first: NONE, last: NONE, blocks: 0 }
    }

    /// The number of the first byte that is kept.
    pub const fn start(&self) -> Seq {
        self.base
    }

    /// The number behind the last byte.
    pub const fn end(&self) -> Seq {
        self.end
    }
}

impl Kept {
    /// Bytes that `capacity` kept ones take.
    pub const fn bytes_for(capacity: usize) -> usize {
        capacity / BLOCK * (BLOCK + size_of::<u32>() + size_of::<Back>())
    }

    /// Room for `capacity` bytes, whole blocks, taken now.
    pub fn new(capacity: usize) -> Kept {
        let blocks = capacity / BLOCK;
        let next = (0..blocks).map(|at| if at + 1 == blocks { NONE } else { at as u32 + 1 }).collect();
        let free = if blocks == 0 { NONE } else { 0 };
        let back = vec![Back::default(); blocks].into();
        Kept { bytes: vec![0; blocks * BLOCK].into(), next, back, free, used: 0 }
    }

    /// Bytes of blocks in use.
    pub fn used(&self) -> usize {
        self.used as usize * BLOCK
    }

    /// All bytes that there are.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Appends `bytes`, all of them or none.
    pub fn push(&mut self, list: &mut List, bytes: &[u8]) -> Result<(), Full> {
        let begun = list.base.distance_to(list.end) as usize;
        let wanted = (begun + bytes.len()).div_ceil(BLOCK).saturating_sub(list.blocks as usize);
        let blocks = self.next.len() - self.used as usize;
        // The less there is, the less anybody gets: a few whose receivers say nothing must not take it all.
        let most = (blocks / SHARE).clamp(LEAST_BLOCKS, MOST_BLOCKS as usize);
        if wanted > blocks || (wanted > 0 && list.blocks as usize + wanted > most) {
            return Err(Full);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = list.base.distance_to(list.end) as usize - self.before_last(list);
            if list.last == NONE || at == BLOCK {
                self.append_block(list);
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(BLOCK - at));
            let from = list.last as usize * BLOCK + at;
            self.bytes[from..from + now.len()].copy_from_slice(now);
            list.end = list.end.advance(now.len() as u32);
            rest = later;
        }
        Ok(())
    }

    fn before_last(&self, list: &List) -> usize {
        list.blocks.saturating_sub(1) as usize * BLOCK
    }

    /// There is a free block, as the caller knows.
    fn append_block(&mut self, list: &mut List) {
        let at = self.free;
        self.free = std::mem::replace(&mut self.next[at as usize], NONE);
        self.used += 1;
        self.back[at as usize] = self.back_from(list, at);
        match list.last {
            NONE => list.first = at,
            last => self.next[last as usize] = at,
        }
        list.last = at;
        list.blocks += 1;
    }

    /// The ways back from block `at`, which is appended.
    fn back_from(&self, list: &List, at: u32) -> Back {
        let Some(last) = self.back.get(list.last as usize) else {
            return Back { number: 0, previous: at, jump: at, jump_number: 0 };
        };
        let (number, previous) = (last.number.wrapping_add(1), list.last);
        let near = Back { number, previous, jump: previous, jump_number: last.number };
        let first = self.back[list.first as usize].number;
        let is_there = |number: u32| number.wrapping_sub(first) < list.blocks;
        if !is_there(last.jump_number) {
            return near;
        }
        let second = self.back[last.jump as usize];
        let (one, two) =
            (last.number.wrapping_sub(last.jump_number), last.jump_number.wrapping_sub(second.jump_number));
        match one == two && is_there(second.jump_number) {
            true => Back { jump: second.jump, jump_number: second.jump_number, ..near },
            false => near,
        }
    }

    /// Steps that it takes to find a block.
    #[cfg(test)]
    fn steps(&self, list: &List, place: u32) -> usize {
        let (mut at, mut left, mut steps) = (list.last, list.blocks - 1 - place, 0);
        while left > 0 && place > 0 {
            (at, left) = self.step_back(at, left);
            steps += 1;
        }
        steps
    }

    /// One step back, of `left` at most: the block, and how many are left.
    fn step_back(&self, at: u32, left: u32) -> (u32, u32) {
        let Back { number, previous, jump, jump_number } = self.back[at as usize];
        let far = number.wrapping_sub(jump_number);
        if far > 1 && far <= left { (jump, left - far) } else { (previous, left - 1) }
    }

    /// The list's block of that place, from 0. Repetitions are of the beginning (a lost segment) or of the end (a probe); what
    /// is between is as few steps away as may be.
    fn find(&self, list: &List, place: u32) -> u32 {
        if place == 0 || place >= list.blocks {
            return if place == 0 { list.first } else { NONE };
        }
        let mut at = list.last;
        let mut left = list.blocks - 1 - place;
        while left > 0 {
            (at, left) = self.step_back(at, left);
        }
        at
    }

    fn drop_first(&mut self, list: &mut List) {
        let freed = list.first;
        list.first = std::mem::replace(&mut self.next[freed as usize], self.free);
        self.free = freed;
        self.used -= 1;
        list.blocks -= 1;
        if list.blocks == 0 {
            (list.first, list.last) = (NONE, NONE);
        }
    }

    /// Forgets what is before `to`, by whole blocks; all of it when nothing else is kept.
    pub fn release(&mut self, list: &mut List, to: Seq) {
        while list.blocks > 0 && list.base.advance(BLOCK as u32).le(to) {
            self.drop_first(list);
            list.base = list.base.advance(BLOCK as u32).min(list.end);
        }
        if list.end.le(to) && list.blocks > 0 {
            self.drop_first(list);
            list.base = list.end;
        }
    }

    /// Forgets what is from `to` on.
    pub fn cut(&mut self, list: &mut List, to: Seq) {
        if to.ge(list.end) {
            return;
        }
        let needed = list.base.distance_to(to).div_ceil(BLOCK as u32);
        if needed == 0 {
            let base = list.base;
            return self.restart(list, base);
        }
        let last = self.find(list, needed - 1);
        let mut rest = List { first: std::mem::replace(&mut self.next[last as usize], NONE), ..*list };
        rest.blocks -= needed;
        while rest.blocks > 0 {
            self.drop_first(&mut rest);
        }
        *list = List { last, blocks: needed, end: list.base.max(to), ..*list };
    }

    /// Forgets all of it, and goes on at `at`.
    pub fn restart(&mut self, list: &mut List, at: Seq) {
        while list.blocks > 0 {
            self.drop_first(list);
        }
        *list = List::new(at);
    }

    /// Puts `bytes` in the place of what is kept from `at` on; what is not kept stays out.
    pub fn overwrite(&mut self, list: &List, at: Seq, bytes: &[u8]) {
        let mut pieces = Pieces::new(self, list, at, bytes.len());
        while let Some((block, from, range)) = pieces.next(&self.next) {
            let start = block as usize * BLOCK + from;
            self.bytes[start..start + range.len()].copy_from_slice(&bytes[range]);
        }
    }

    /// Those of the `len` bytes from `at` on that are kept, in pieces, in order.
    pub fn read(&self, list: &List, at: Seq, len: usize, piece: &mut dyn FnMut(&[u8])) {
        let mut pieces = Pieces::new(self, list, at, len);
        while let Some((block, from, range)) = pieces.next(&self.next) {
            let start = block as usize * BLOCK + from;
            piece(&self.bytes[start..start + range.len()]);
        }
    }

    /// Gives `bytes`, which begin at `at`, what is kept of them. `offset` is that of the first one from where the checksum's
    /// sum begins. `None` when they were just that.
    pub fn restore(&self, list: &List, at: Seq, offset: usize, bytes: &mut [u8]) -> Option<Update> {
        let mut update: Option<Update> = None;
        let mut pieces = Pieces::new(self, list, at, bytes.len());
        while let Some((block, from, range)) = pieces.next(&self.next) {
            let start = block as usize * BLOCK + from;
            let (kept, given) = (&self.bytes[start..start + range.len()], &mut bytes[range.clone()]);
            if kept == given {
                continue;
            }
            let update = update.get_or_insert(Update::NONE);
            for (index, (given, kept)) in given.iter_mut().zip(kept).enumerate() {
                update.byte_at(offset + range.start + index, *given, *kept);
                *given = *kept;
            }
        }
        update
    }
}

/// The parts of `len` bytes from `at` on that are kept: block, offset in it, and where they are among the bytes.
struct Pieces {
    block: u32,
    /// Offset of the next piece from the start of `block`.
    from: usize,
    /// Where the next piece is among the bytes, and how far they are kept.
    at: usize,
    until: usize,
}

impl Pieces {
    fn new(kept: &Kept, list: &List, at: Seq, len: usize) -> Pieces {
        let first = at.distance_to(list.base) as usize;
        let until = len.min(at.distance_to(list.end) as usize);
        let from = list.base.distance_to(at) as usize;
        Pieces { block: kept.find(list, (from / BLOCK) as u32), from: from % BLOCK, at: first, until }
    }

    fn next(&mut self, links: &[u32]) -> Option<(u32, usize, std::ops::Range<usize>)> {
        if self.at >= self.until {
            return None;
        }
        while self.from >= BLOCK {
            self.block = *links.get(self.block as usize)?;
            self.from -= BLOCK;
        }
        let range = self.at..self.until.min(self.at + BLOCK - self.from);
        let piece = (self.block, self.from, range.clone());
        (self.at, self.from) = (range.end, self.from + range.len());
        (self.block != NONE).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: Seq = Seq(u32::MAX - 3000);

    fn stream(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 3) as u8).collect()
    }

    #[test]
    fn a_full_arena_refuses_and_gets_everything_back() {
        let (mut kept, mut list) = (Kept::new(2 * BLOCK + 5), List::new(AT));
        for _ in 0..3 {
            assert_eq!(kept.push(&mut list, &stream(2 * BLOCK)), Ok(()));
            assert_eq!(kept.push(&mut list, b"c"), Err(Full));
            let end = list.end();
            kept.release(&mut list, AT.advance(1));
            assert_eq!(kept.used(), 2 * BLOCK);
            kept.restart(&mut list, end);
            assert_eq!((list, kept.used()), (List::new(end), 0));
            list = List::new(AT);
        }
        let mut kept = Kept::new(BLOCK * 16_384);
        assert_eq!(kept.push(&mut list, &stream(BLOCK * 1024)), Ok(()));
        assert_eq!(kept.push(&mut list, b"a"), Err(Full), "one flow does not take everything");
    }

    #[test]
    fn the_less_there_is_the_less_anybody_gets() {
        let (mut kept, mut taken) = (Kept::new(BLOCK * 1000), Vec::new());
        for _ in 0..30 {
            let mut list = List::new(AT);
            while kept.push(&mut list, &stream(BLOCK)).is_ok() {}
            taken.push(kept.used() / BLOCK - taken.iter().sum::<usize>());
        }
        assert_eq!(taken[..2], [111, 98], "an eighth of what is left then");
        assert!(
            taken.is_sorted_by(|before, after| before >= after) && taken[29] == LEAST_BLOCKS,
            "{taken:?}"
        );
    }

    /// However a list has grown and shrunk at both ends, each of its blocks is found, and in few steps.
    #[test]
    fn a_block_is_found_in_a_logarithm_of_steps() {
        let (mut kept, mut list) = (Kept::new(BLOCK * 16_384), List::new(AT));
        let mut most = 0;
        for (grow, release, cut) in [(1024, 300, 100), (400, 1, 7), (5, 900, 0), (900, 500, 300), (700, 0, 1)]
        {
            for _ in 0..grow {
                let _ = kept.push(&mut list, &stream(BLOCK));
            }
            let start = list.start();
            kept.release(&mut list, start.advance(release * BLOCK as u32));
            let end = list.end();
            kept.cut(&mut list, end.retreat(cut * BLOCK as u32));
            let mut at = list.first;
            for place in 0..list.blocks {
                assert_eq!(kept.find(&list, place), at, "block {place} of {}", list.blocks);
                most = most.max(kept.steps(&list, place));
                at = kept.next[at as usize];
            }
            assert_eq!(at, NONE);
        }
        assert!(most <= 40, "{most} steps");
    }

    #[test]
    fn an_acknowledged_list_takes_no_block() {
        let (mut kept, mut list) = (Kept::new(BLOCK * 4), List::new(AT));
        for _ in 0..100 {
            kept.push(&mut list, &stream(1000)).unwrap();
            let end = list.end();
            kept.release(&mut list, end);
            assert_eq!((kept.used(), list.start()), (0, end));
        }
    }

    proptest! {
        /// Against one long vector: whatever is pushed, released, cut and overwritten, a repetition gets the kept bytes, and a
        /// checksum that fits them.
        #[test]
        fn a_repetition_gets_what_is_kept(
            steps in prop::collection::vec((0u8..5, 0usize..5000, 0usize..3000), 1..30),
            from in 0usize..20_000, len in 1usize..5000, odd in 0usize..2,
        ) {
            let (mut kept, mut list) = (Kept::new(BLOCK * 16), List::new(AT));
            let mut model: Vec<u8> = Vec::new();
            let mut start = 0;
            for (kind, at, len) in steps {
                match kind {
                    0 | 1 => {
                        let bytes: Vec<u8> = (0..len).map(|n| (n * 7 + at) as u8).collect();
                        if kept.push(&mut list, &bytes).is_ok() {
                            model.extend(bytes);
                        }
                    }
                    2 => {
                        kept.release(&mut list, AT.advance(at as u32));
                        start = AT.distance_to(list.start()) as usize;
                    }
                    3 => {
                        let to = (at + start).min(model.len());
                        kept.cut(&mut list, AT.advance(to as u32));
                        model.truncate(to.max(start));
                    }
                    _ => {
                        let bytes = vec![kind; len];
                        kept.overwrite(&list, AT.advance(at as u32), &bytes);
                        let until = (at + len).min(model.len());
                        model.get_mut(at.max(start)..until).unwrap_or_default().fill(kind);
                    }
                }
                prop_assert_eq!(AT.distance_to(list.end()) as usize, model.len());
            }
            let mut read: Vec<u8> = Vec::new();
            kept.read(&list, AT.advance(from as u32), len, &mut |piece| read.extend(piece));
            let until = model.len().min(from + len);
            prop_assert_eq!(read, model.get(from.max(start)..until).unwrap_or_default());
            let mut bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let before = bytes.clone();
            let expected: Vec<u8> = (0..len)
                .map(|n| if (start..model.len()).contains(&(from + n)) { model[from + n] } else { before[n] })
                .collect();
            let update = kept.restore(&list, AT.advance(from as u32), odd, &mut bytes);
            prop_assert_eq!(update.is_none(), expected == before);
            let sum = |bytes: &[u8]| crate::wire::checksum::Sum::of(&[&vec![9; 2 + odd][..], bytes].concat()).checksum();
            if let Some(update) = update {
                let (was, is) = (sum(&before), sum(&expected));
                prop_assert!(update.apply(was) == is || (update.apply(was) ^ is) == 0xffff && [0, 0xffff].contains(&is));
            }
            prop_assert_eq!(bytes, expected);
            let end = list.end();
            kept.restart(&mut list, end);
            prop_assert_eq!(kept.used(), 0);
        }
    }
}
