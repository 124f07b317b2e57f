//! Huge pages for what is large and read at random: with small ones, every other look-up first has to look up where its memory is.
//!
//! They are transparent ones, which Linux makes of a process's own memory where `transparent_hugepage/enabled` says `madvise` or
//! `always`. Where it does not, or has none left, everything works with small pages; only what [`collapse`] moves does not ask
//! there (madvise(2), MADV_COLLAPSE).
//!
//! The one place of this crate with unsafe code.
#![expect(
    unsafe_code,
    reason = "there is no safe way to mmap or madvise, and this crate wants no DPDK to run"
)]

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use zerocopy::FromZeros;

/// Bytes of a huge page, and of a small one, on x86-64 and on AArch64 with pages of 4 KiB.
const PAGE: usize = 2 << 20;
const SMALL_PAGE: usize = 4 << 10;
/// Since Linux 6.1; older ones refuse it. `libc` has it for glibc only.
const COLLAPSE: libc::c_int = 25;

/// `len` values in huge pages from the beginning, by their index.
pub fn filled<T>(len: usize, make: impl FnMut(usize) -> T) -> Box<[T]> {
    let mut values = Vec::with_capacity(len);
    advise(range_of(values.spare_capacity_mut()));
    values.extend((0..len).map(make));
    values.into_boxed_slice()
}

/// Zeros from the beginning of a page on, for which no memory is taken before something is written there, and then a huge page.
///
/// An allocator aligns to 16 bytes only, or writes all the zeros down.
pub struct Zeros<T> {
    values: NonNull<T>,
    len: usize,
}

impl<T: FromZeros + Copy> Zeros<T> {
    /// So many.
    pub fn new(len: usize) -> Zeros<T> {
        const { assert!(align_of::<T>() <= SMALL_PAGE) };
        let layout = Layout::array::<T>(len).expect("what is asked for is less than half of all addresses");
        if layout.size() == 0 {
            return Zeros { values: NonNull::dangling(), len };
        }
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, where the kernel has room for one: nobody else's memory is touched.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), layout.size(), access, kind, -1, 0) };
        let is_there = memory != libc::MAP_FAILED;
        let values = NonNull::new(memory.cast()).filter(|_| is_there);
        let zeros = Zeros { values: values.unwrap_or_else(|| handle_alloc_error(layout)), len };
        advise(range_of(&zeros));
        zeros
    }
}

impl<T> Deref for Zeros<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: a mapping of this length that begins with a page, so it is aligned, of zeros, which are values
        // (`Zeros::new`, which alone makes one), or of what was written since; or no bytes, for which any aligned pointer will do. It
        // is ours for as long as `self` is there.
        unsafe { std::slice::from_raw_parts(self.values.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Zeros<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.values.as_ptr(), self.len) }
    }
}

impl<T> Drop for Zeros<T> {
    fn drop(&mut self) {
        let size = size_of_val(&**self);
        if size > 0 {
            // SAFETY: the whole mapping, which `Zeros::new` makes exactly where there are bytes; nobody refers to it any more.
            unsafe { libc::munmap(self.values.as_ptr().cast(), size) };
        }
    }
}

// SAFETY: it has what is in it alone, as a box does.
unsafe impl<T: Send> Send for Zeros<T> {}
// SAFETY: who shares it can read what is in it, and nothing else.
unsafe impl<T: Sync> Sync for Zeros<T> {}

/// The addresses of `values`.
pub fn range_of<T>(values: &[T]) -> Range<usize> {
    let start = values.as_ptr().addr();
    start..start + size_of_val(values)
}

/// What is written there for the first time from now on gets huge pages. What else is in its first and last page is advised, too,
/// so that neighbours become one mapping.
pub fn advise(addresses: Range<usize>) {
    madvise(addresses, SMALL_PAGE, libc::MADV_HUGEPAGE);
}

/// What is there moves into huge pages, together with what has not been written to beside it. Of pieces that lie side by side, as an
/// allocator puts large ones, huge pages hold several.
pub fn collapse(pieces: impl IntoIterator<Item = Range<usize>>) {
    let mut pieces: Vec<Range<usize>> = pieces.into_iter().collect();
    pieces.sort_by_key(|piece| piece.start);
    pieces.iter().for_each(|piece| advise(piece.clone()));
    for stretch in pieces.chunk_by(|one, next| next.start.saturating_sub(one.end) < SMALL_PAGE) {
        let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { continue };
        let end = last.end / PAGE * PAGE;
        let start = first.start.checked_next_multiple_of(PAGE).unwrap_or(end);
        madvise(start..end, PAGE, COLLAPSE);
    }
}

/// Of all pages of `size` that `addresses` touch.
fn madvise(addresses: Range<usize>, size: usize, advice: libc::c_int) {
    let start = addresses.start / size * size;
    let Some(end) = addresses.end.checked_next_multiple_of(size).filter(|end| start < *end) else { return };
    if addresses.is_empty() {
        return;
    }
    let memory = std::ptr::without_provenance_mut(start);
    // SAFETY: both advices are about which pages hold the memory. Whatever the addresses are, mapped or not and whosever, what
    // can be read there and who may do so stays the same (madvise(2)); an advice that is not followed is none.
    let _ = unsafe { libc::madvise(memory, end - start, advice) };
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Kilobytes of huge pages in the mappings that overlap these addresses.
    pub(crate) fn huge(addresses: &Range<usize>) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
        let (mut is_ours, mut sum) = (false, 0);
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else { continue };
            let bound = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = first.split_once('-').map(|(a, b)| (bound(a), bound(b))) {
                is_ours = start < addresses.end && addresses.start < end;
            } else if is_ours && first == "AnonHugePages:" {
                sum += words.next().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
            }
        }
        sum
    }

    /// Pages of 4 KiB at these addresses that there are: of mappings nothing can be said, for neighbours become one.
    fn resident(addresses: &Range<usize>) -> usize {
        const SMALL: usize = 4096;
        const ENTRY: usize = size_of::<u64>();
        let pages = addresses.start / SMALL..addresses.end.div_ceil(SMALL);
        let mut entries = vec![0; pages.len() * ENTRY];
        let map = std::fs::File::open("/proc/self/pagemap").expect("Linux has it");
        map.read_exact_at(&mut entries, (pages.start * ENTRY) as u64).expect("an entry for each page");
        let is_present = |entry: &&[u8; ENTRY]| u64::from_le_bytes(**entry) >> 63 == 1;
        entries.as_chunks().0.iter().filter(is_present).count()
    }

    /// Whether who asks for them gets them, and nobody else does.
    pub(crate) fn are_on_advice() -> bool {
        std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
            .is_ok_and(|text| text.contains("[madvise]"))
    }

    #[test]
    fn large_memory_is_in_huge_pages_and_keeps_what_is_in_it() {
        const LEN: usize = 4 * PAGE / size_of::<u64>();
        let advised = filled(LEN, |at| at as u64);
        let late: Box<[u64]> = (0..LEN as u64).collect();
        collapse([range_of(&late)]);
        assert_eq!(advised, late);
        assert_eq!((advised[LEN - 1], late[LEN / 2]), (LEN as u64 - 1, LEN as u64 / 2));
        let untouched = Zeros::<u64>::new(8 * LEN);
        if are_on_advice() {
            assert!(huge(&range_of(&advised)) > 0 && huge(&range_of(&late)) > 0);
        }
        assert_eq!(resident(&range_of(&untouched)), 0, "nothing is taken before something is written");
    }

    #[test]
    fn zeros_are_aligned_and_keep_what_is_written() {
        for len in [1, 127, 70_000] {
            let mut zeros = Zeros::<[[u8; 16]; 2]>::new(len);
            assert!(zeros.iter().all(|pair| *pair == [[0; 16]; 2]));
            assert!(range_of(&zeros).start.is_multiple_of(SMALL_PAGE) && zeros.len() == len);
            zeros[len - 1] = [[1; 16], [2; 16]];
            assert_eq!(zeros.last(), Some(&[[1; 16], [2; 16]]));
        }
        assert!(Zeros::<u64>::new(0).is_empty() && Zeros::<()>::new(7).len() == 7);
    }

    /// Tables of an index are smaller than a huge page each.
    #[test]
    fn pieces_side_by_side_share_huge_pages() {
        let whole: Box<[u8]> = vec![7; 4 * PAGE].into();
        let pieces: Vec<Range<usize>> = whole.chunks(PAGE / 3).map(range_of).collect();
        collapse(pieces.into_iter().rev());
        assert!(whole.iter().all(|byte| *byte == 7));
        if are_on_advice() {
            assert!(huge(&range_of(&whole)) > 0);
        }
    }

    #[test]
    fn small_memory_and_none_are_left_alone() {
        assert_eq!(&*filled(3, |at| at), [0, 1, 2]);
        assert!(filled(0, |_| 0u8).is_empty());
        advise(0..0);
        collapse(std::iter::once(usize::MAX - 10..usize::MAX - 3));
        collapse([]);
    }
}
