//! The options of a SYN in one look, and what the SYN-ACK that accepts it says at the same places.
//!
//! No input panics.

use super::Timestamps;
use super::edit::{replace, write};
use super::walk::{MAX_LEN, PREFIX_LEN, RawOption, Walk, fits, kind};
use crate::wire::accept::Acceptance;
use crate::wire::checksum::Update;

/// The options that a SYN usually has, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SynOptions {
    /// Maximum segment size, bytes; 0 is none, as in Linux.
    pub mss: u16,
    /// Window scale as it was sent.
    pub window_scale: Option<u8>,
    /// SACK is permitted.
    pub sack_permitted: bool,
    /// TCP MD5 or TCP-AO is present.
    pub authenticated: bool,
    /// There are others than these and timestamps, or several of a kind.
    has_others: bool,
    /// Offsets of the data of three of them, 0 where there is none.
    mss_at: u8,
    shift_at: u8,
    clock_at: u8,
}

impl SynOptions {
    /// `None` when they are malformed. The last of several of a kind counts, as everywhere.
    #[inline]
    pub fn find(options: &[u8]) -> Option<SynOptions> {
        // As Linux writes them, with timestamps and without, and Windows: nearly every SYN.
        let (mss, shift, places) = match *options {
            [2, 4, a, b, 4, 2, 8, 10, _, _, _, _, _, _, _, _, 1, 3, 3, shift] => ([a, b], shift, [2, 19, 8]),
            [2, 4, a, b, 1, 1, 4, 2, 1, 3, 3, shift] => ([a, b], shift, [2, 11, 0]),
            [2, 4, a, b, 1, 3, 3, shift, 1, 1, 4, 2] => ([a, b], shift, [2, 7, 0]),
            _ => return SynOptions::find_any(options),
        };
        let [mss_at, shift_at, clock_at] = places;
        Some(SynOptions {
            mss: u16::from_be_bytes(mss),
            window_scale: Some(shift),
            sack_permitted: true,
            mss_at,
            shift_at,
            clock_at,
            ..SynOptions::default()
        })
    }

    /// Wherever they stand.
    fn find_any(options: &[u8]) -> Option<SynOptions> {
        let mut found = SynOptions::default();
        if options.len() > MAX_LEN {
            return None;
        }
        let mut rest = options;
        loop {
            // No more than `MAX_LEN`.
            let at = (options.len() - rest.len() + PREFIX_LEN) as u8;
            rest = match *rest {
                [] | [kind::END, ..] => return Some(found),
                [kind::NOP, ref rest @ ..] => rest,
                [kind::MSS, 4, a, b, ref rest @ ..] => {
                    found.has_others |= found.mss_at != 0;
                    (found.mss, found.mss_at) = (u16::from_be_bytes([a, b]), at);
                    rest
                }
                [kind::WINDOW_SCALE, 3, shift, ref rest @ ..] => {
                    found.has_others |= found.shift_at != 0;
                    (found.window_scale, found.shift_at) = (Some(shift), at);
                    rest
                }
                [kind::SACK_PERMITTED, 2, ref rest @ ..] => {
                    found.sack_permitted = true;
                    rest
                }
                [kind::TIMESTAMPS, 10, _, _, _, _, _, _, _, _, ref rest @ ..] => {
                    found.has_others |= found.clock_at != 0;
                    found.clock_at = at;
                    rest
                }
                [kind, len, ..] => {
                    let (option, behind) = rest.split_at_checked(usize::from(len))?;
                    option.get(PREFIX_LEN..).filter(|data| fits(kind, data))?;
                    found.has_others = true;
                    found.authenticated |= matches!(kind, kind::MD5 | kind::AUTHENTICATION);
                    behind
                }
                [_] => return None,
            };
        }
    }

    /// Makes of the SYN's options those of the SYN-ACK that accepts it, and notes the edits: segment size, window scale
    /// and clock are ours, the client's clock is echoed, SACK stays permitted, and of any other option NOPs are left.
    pub fn answer(&self, options: &mut [u8], update: &mut Update, answer: &Acceptance) {
        if self.has_others {
            blank_others(options, update, [self.mss_at, self.shift_at, self.clock_at]);
        }
        let at = usize::from(self.mss_at);
        if let (1.., Some(mss)) = (at, first_mut::<2>(options, at)) {
            let own = answer.mss.to_be_bytes();
            update.byte_at(at, mss[0], own[0]);
            update.byte_at(at + 1, mss[1], own[1]);
            *mss = own;
        }
        let at = usize::from(self.shift_at);
        if let (1.., Some(shift)) = (at, options.get_mut(at)) {
            update.byte_at(at, *shift, answer.shift);
            *shift = answer.shift;
        }
        let at = usize::from(self.clock_at);
        if let (1.., Some(bytes)) = (at, first_mut::<8>(options, at)) {
            let said = Timestamps::from_bytes(*bytes);
            replace(bytes, at, said, Timestamps { value: answer.clock, echo: said.value }, update);
        }
    }
}

fn first_mut<const LEN: usize>(options: &mut [u8], at: usize) -> Option<&mut [u8; LEN]> {
    options.get_mut(at..)?.first_chunk_mut()
}

/// Replaces by NOPs, and notes the edits, what is not SACK permitted and does not stand at one of the `kept` places: strangers, and all
/// but the last of several.
fn blank_others(options: &mut [u8], update: &mut Update, kept: [u8; 3]) {
    let mut at = 0;
    while let Some(Ok(RawOption { at: begin, kind, data })) = (Walk { options, at }).next() {
        let (from, end) = (begin + PREFIX_LEN, begin + PREFIX_LEN + data.len());
        at = end;
        if kind == kind::SACK_PERMITTED || kept.contains(&(from as u8)) {
            continue;
        }
        if let Some(option) = options.get_mut(begin..end) {
            write(option, begin, &[kind::NOP; MAX_LEN], update);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_layouts_are_read_as_any() {
        let linux = [2, 4, 5, 180, 4, 2, 8, 10, 9, 8, 7, 6, 0, 0, 0, 0, 1, 3, 3, 10];
        let without_timestamps = [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7];
        let windows = [2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2];
        for options in [&linux[..], &without_timestamps, &windows] {
            let found = SynOptions::find(options);
            assert_eq!(found, SynOptions::find_any(options));
            assert_eq!(found.map(|found| (found.mss, found.has_others)), Some((1460, false)));
        }
    }

    #[test]
    fn malformed_options_are_nobodys() {
        for bad in
            [&[2, 3, 5][..], &[3, 4, 7, 0], &[8, 10, 0, 0], &[4], &[19, 4, 0, 0], &[30, 1], &[0xfe; 44]]
        {
            assert_eq!(SynOptions::find(bad), None, "{bad:?}");
        }
        let last = SynOptions::find(&[2, 4, 1, 0, 2, 4, 2, 0]).unwrap();
        assert_eq!((last.mss, last.mss_at), (512, 6));
    }
}
