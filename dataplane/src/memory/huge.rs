//! Huge pages for what is large and read at random: with small ones, every other look-up first has to look up where its memory is.
//!
//! They are transparent ones, which Linux makes of a process's own memory where `transparent_hugepage/enabled` says `madvise` or
//! `always`. Where it does not, or has none left, everything works with small pages; only what [`collapse`] moves does not ask
//! there (madvise(2), MADV_COLLAPSE).
//!
//! The one place of this crate with unsafe code.
#![allow(unsafe_code, reason = "there is no safe way to madvise, and this crate wants no DPDK to run")]

use std::ops::Range;

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
        // So large that the allocator has none of it at hand that somebody has used before.
        let untouched = vec![0u64; 8 * LEN];
        advise(range_of(&untouched));
        if are_on_advice() {
            assert!(huge(&range_of(&advised)) > 0 && huge(&range_of(&late)) > 0);
        }
        // The allocator writes down a length before it.
        assert!(resident(&range_of(&untouched)) <= 1, "advice alone takes nothing");
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
