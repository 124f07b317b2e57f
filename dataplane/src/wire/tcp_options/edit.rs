//! Options read and rewritten in place, as segments of cut-through flows need it; and a list that lacks some of another's.
//!
//! No input panics; what is malformed is left alone. `options` always begin where the fixed header ends, an even offset
//! of the segment, so that a word's parity among the options is its parity in the checksum.

use arrayvec::ArrayVec;

use super::Timestamps;
use super::walk::{ALIGNED_TIMESTAMPS, MAX_LEN, PREFIX_LEN, Walk, behind_timestamps, fits, kind, walk};
use crate::wire::checksum::Update;
use crate::wire::seq::Seq;

/// Where TSval stands among the options (TSecr follows 4 bytes later). The last of several counts, as everywhere.
#[inline]
pub fn timestamps_offset(options: &[u8]) -> Option<usize> {
    if options.len() == 12 && options.starts_with(&ALIGNED_TIMESTAMPS) {
        return Some(ALIGNED_TIMESTAMPS.len());
    }
    walk(options)
        .map_while(Result::ok)
        .filter(|o| o.kind == kind::TIMESTAMPS && fits(o.kind, o.data))
        .last()
        .map(|o| o.at + PREFIX_LEN)
}

/// TSval and TSecr without reading the other options.
#[inline]
pub fn timestamps(options: &[u8]) -> Option<Timestamps> {
    let bytes = options.get(timestamps_offset(options)?..)?.first_chunk::<8>()?;
    Some(Timestamps::from_bytes(*bytes))
}

/// Replaces TSval and TSecr, when there, and notes the edit. `options` begin where the fixed header ends.
#[inline]
pub fn edit_timestamps(options: &mut [u8], update: &mut Update, f: impl FnOnce(Timestamps) -> Timestamps) {
    let Some(at) = timestamps_offset(options) else { return };
    let Some(bytes) = options.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<8>()) else { return };
    let old = Timestamps::from_bytes(*bytes);
    replace(bytes, at, old, f(old), update);
}

/// Writes timestamps that stand at offset `at` of the options, and notes the edit.
#[inline(always)]
fn replace(bytes: &mut [u8; 8], at: usize, old: Timestamps, new: Timestamps, update: &mut Update) {
    update.word32_at(at, old.value, new.value);
    update.word32_at(at + 4, old.echo, new.echo);
    bytes[..4].copy_from_slice(&new.value.to_be_bytes());
    bytes[4..].copy_from_slice(&new.echo.to_be_bytes());
}

/// Replaces every SACK edge by `f` of it and notes the edits. `options` begin where the fixed header ends: at an even
/// offset of the segment, so an edge's parity among the options is its parity in the checksum.
///
/// Malformed options are left alone from the first bad one on.
#[inline(always)]
pub fn edit_sack_edges(options: &mut [u8], update: &mut Update, f: impl FnMut(Seq) -> Seq) {
    let from = behind_timestamps(options);
    if from == options.len() {
        return;
    }
    edit_sack_edges_from(from, options, update, f);
}

/// Apart from the question whether there are any, which nearly all segments are done with.
#[inline(never)]
fn edit_sack_edges_from(
    mut from: usize,
    options: &mut [u8],
    update: &mut Update,
    mut f: impl FnMut(Seq) -> Seq,
) {
    while let Some((start, end)) = next_sack(options, from) {
        let Some((edges, [])) = options.get_mut(start..end).map(<[u8]>::as_chunks_mut::<4>) else { return };
        for edge in edges {
            let old = u32::from_be_bytes(*edge);
            let new = f(Seq(old)).0;
            // All of them are as odd or even as the first one.
            update.word32_at(start, old, new);
            *edge = new.to_be_bytes();
        }
        from = end;
    }
}

/// Replaces every SACK option by NOPs and notes the edits. `options` begin where the fixed header ends.
///
/// Malformed options are left alone from the first bad one on.
pub fn blank_sack(options: &mut [u8], update: &mut Update) {
    let mut from = 0;
    while let Some((start, end)) = next_sack(options, from) {
        let Some(option) = options.get_mut(start - PREFIX_LEN..end) else { return };
        write(option, start - PREFIX_LEN, &[kind::NOP; MAX_LEN], update);
        from = end;
    }
}

/// Replaces bytes at `offset` of the options, as far as there are any, and notes the edits.
fn write(bytes: &mut [u8], offset: usize, new: &[u8], update: &mut Update) {
    for (at, (byte, new)) in bytes.iter_mut().zip(new).enumerate() {
        update.byte_at(offset + at, *byte, *new);
        *byte = *new;
    }
}

/// The options, in whole words, without those of which `is_unwanted` says so, given kind and data; padding between the others
/// stays. `None` when there is no such option, or they are malformed.
pub fn without(
    options: &[u8],
    mut is_unwanted: impl FnMut(u8, &[u8]) -> bool,
) -> Option<ArrayVec<u8, MAX_LEN>> {
    let mut rest = ArrayVec::new();
    let mut copied = 0;
    for option in walk(options) {
        let option = option.ok()?;
        if is_unwanted(option.kind, option.data) {
            rest.try_extend_from_slice(options.get(copied..option.at)?).ok()?;
            copied = option.at + PREFIX_LEN + option.data.len();
        }
    }
    if copied == 0 {
        return None;
    }
    let end = walk(options).map_while(Result::ok).last().map_or(0, |o| o.at + PREFIX_LEN + o.data.len());
    rest.try_extend_from_slice(options.get(copied..end)?).ok()?;
    let padding = rest.len().next_multiple_of(4) - rest.len();
    rest.extend(std::iter::repeat_n(kind::END, padding));
    Some(rest)
}

/// The range of edges of the first SACK option at or after `from`, where an option begins.
fn next_sack(options: &[u8], from: usize) -> Option<(usize, usize)> {
    Walk { options, at: from }
        .map_while(Result::ok)
        .find(|o| o.kind == kind::SACK && fits(o.kind, o.data))
        .map(|o| (o.at + PREFIX_LEN, o.at + PREFIX_LEN + o.data.len()))
}
