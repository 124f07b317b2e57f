//! The options of a SYN in one look, and what the SYN-ACK that accepts it says at the same places.
//!
//! No input panics.

use std::fmt;

use super::Timestamps;
use super::edit::{replace, write};
use super::layout;
use super::walk::{MAX_LEN, PREFIX_LEN, RawOption, Walk, fits, kind};
use crate::wire::accept::Acceptance;
use crate::wire::checksum::Update;

/// The options that a SYN usually has, and where.
///
/// One word, so that it stays in a register from where it is found to where it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SynOptions(u64);

/// Where in the word: the segment size, the window scale, and three offsets of options' data, 0 where there is none.
const MSS: u32 = 0;
const SHIFT: u32 = 16;
const MSS_AT: u32 = 24;
const SHIFT_AT: u32 = 32;
const CLOCK_AT: u32 = 40;
/// SACK is permitted.
const SACK_PERMITTED: u64 = 1 << 48;
/// TCP MD5 or TCP-AO is present.
const AUTHENTICATED: u64 = 1 << 49;
/// There are others than these and timestamps, or several of a kind.
const HAS_OTHERS: u64 = 1 << 50;

/// The layouts of most.
const LINUX: [usize; 3] = layout::LINUX.options.places();
const WITHOUT_CLOCK: [usize; 3] = layout::WITHOUT_CLOCK.options.places();

impl SynOptions {
    /// Maximum segment size, bytes; 0 is none, as in Linux.
    pub const fn mss(self) -> u16 {
        (self.0 >> MSS) as u16
    }

    /// Window scale as it was sent.
    pub const fn window_scale(self) -> Option<u8> {
        if self.at(SHIFT_AT) == 0 { None } else { Some((self.0 >> SHIFT) as u8) }
    }

    /// SACK is permitted.
    pub const fn sack_permitted(self) -> bool {
        self.0 & SACK_PERMITTED != 0
    }

    /// Of the options that they were found in.
    pub(super) fn timestamps(self, options: &[u8]) -> Option<Timestamps> {
        let at = Some(self.at(CLOCK_AT)).filter(|at| *at != 0)?;
        Some(Timestamps::from_bytes(*options.get(at..)?.first_chunk()?))
    }

    /// TCP MD5 or TCP-AO is present.
    pub const fn authenticated(self) -> bool {
        self.0 & AUTHENTICATED != 0
    }

    /// Offset of the data of one of them.
    const fn at(self, which: u32) -> usize {
        (self.0 >> which) as u8 as usize
    }

    /// Notes the data at an offset among the options, in place of what has been found before.
    fn note(&mut self, which: u32, at: usize) {
        self.0 |= if self.at(which) == 0 { 0 } else { HAS_OTHERS };
        self.0 = self.0 & !(0xff << which) | (at as u64) << which;
    }

    /// Notes what the options at those offsets say.
    #[inline(always)]
    const fn say(self, mss: [u8; 2], shift: u8) -> SynOptions {
        let said = 0xffff << MSS | 0xff << SHIFT;
        SynOptions(self.0 & !said | (u16::from_be_bytes(mss) as u64) << MSS | (shift as u64) << SHIFT)
    }

    /// With all of them there, and none else; the clock is at 0 where there is none.
    pub(super) const fn laid_out(mss_at: u8, shift_at: u8, clock_at: u8) -> SynOptions {
        let places =
            (mss_at as u64) << MSS_AT | (shift_at as u64) << SHIFT_AT | (clock_at as u64) << CLOCK_AT;
        SynOptions(places | SACK_PERMITTED)
    }

    /// `None` when they are malformed. The last of several of a kind counts, as everywhere.
    #[inline(always)]
    pub fn find(options: &[u8]) -> Option<SynOptions> {
        SynOptions::find_usual(options).or_else(|| SynOptions::find_any(options))
    }

    /// `None` when they are not laid out as usual.
    #[inline(always)]
    pub(super) fn find_usual(options: &[u8]) -> Option<SynOptions> {
        let found = layout::of(options)?;
        let mss = options.get(found.at(MSS_AT)..)?.first_chunk()?;
        Some(found.say(*mss, *options.get(found.at(SHIFT_AT))?))
    }

    /// Wherever they stand.
    #[inline(never)]
    fn find_any(options: &[u8]) -> Option<SynOptions> {
        let (mut found, mut mss, mut window_scale) = (SynOptions::default(), [0; 2], 0);
        if options.len() > MAX_LEN {
            return None;
        }
        let mut rest = options;
        loop {
            let at = options.len() - rest.len() + PREFIX_LEN;
            rest = match *rest {
                [] | [kind::END, ..] => return Some(found.say(mss, window_scale)),
                [kind::NOP, ref rest @ ..] => rest,
                [kind::MSS, 4, a, b, ref rest @ ..] => {
                    found.note(MSS_AT, at);
                    mss = [a, b];
                    rest
                }
                [kind::WINDOW_SCALE, 3, shift, ref rest @ ..] => {
                    found.note(SHIFT_AT, at);
                    window_scale = shift;
                    rest
                }
                [kind::SACK_PERMITTED, 2, ref rest @ ..] => {
                    found.0 |= SACK_PERMITTED;
                    rest
                }
                [kind::TIMESTAMPS, 10, _, _, _, _, _, _, _, _, ref rest @ ..] => {
                    found.note(CLOCK_AT, at);
                    rest
                }
                [kind, len, ..] => {
                    let (option, behind) = rest.split_at_checked(usize::from(len))?;
                    option.get(PREFIX_LEN..).filter(|data| fits(kind, data))?;
                    let is_signature = matches!(kind, kind::MD5 | kind::AUTHENTICATION);
                    found.0 |= HAS_OTHERS | if is_signature { AUTHENTICATED } else { 0 };
                    behind
                }
                [_] => return None,
            };
        }
    }

    /// Makes of the SYN's options those of the SYN-ACK that accepts it, and notes the edits: segment size, window scale
    /// and clock are ours, the client's clock is echoed, SACK stays permitted, and of any other option NOPs are left.
    #[inline(always)]
    pub fn answer(self, options: &mut [u8], update: &mut Update, answer: &Acceptance) {
        if self.0 & HAS_OTHERS != 0 {
            blank_others(options, update, self.places());
        }
        // A layout that is known is code of its own, without a question in it but whether they are as long.
        match self.places() {
            LINUX => answer_at(LINUX, options, update, answer),
            WITHOUT_CLOCK => answer_at(WITHOUT_CLOCK, options, update, answer),
            places => answer_at(places, options, update, answer),
        }
    }

    /// Offsets of the data of segment size, window scale and clock.
    const fn places(self) -> [usize; 3] {
        [self.at(MSS_AT), self.at(SHIFT_AT), self.at(CLOCK_AT)]
    }
}

/// Writes an answer at these offsets, where they are not 0.
#[inline(always)]
fn answer_at(places: [usize; 3], options: &mut [u8], update: &mut Update, answer: &Acceptance) {
    let [mss_at, shift_at, clock_at] = places;
    if let (1.., Some(mss)) = (mss_at, first_mut::<2>(options, mss_at)) {
        let own = answer.mss.to_be_bytes();
        update.byte_at(mss_at, mss[0], own[0]);
        update.byte_at(mss_at + 1, mss[1], own[1]);
        *mss = own;
    }
    if let (1.., Some(shift)) = (shift_at, options.get_mut(shift_at)) {
        update.byte_at(shift_at, *shift, answer.shift);
        *shift = answer.shift;
    }
    if let (1.., Some(bytes)) = (clock_at, first_mut::<8>(options, clock_at)) {
        let said = Timestamps::from_bytes(*bytes);
        replace(bytes, clock_at, said, Timestamps { value: answer.clock, echo: said.value }, update);
    }
}

fn first_mut<const LEN: usize>(options: &mut [u8], at: usize) -> Option<&mut [u8; LEN]> {
    options.get_mut(at..)?.first_chunk_mut()
}

/// Replaces by NOPs, and notes the edits, what is not SACK permitted and does not stand at one of the `kept` places: strangers, and all
/// but the last of several.
fn blank_others(options: &mut [u8], update: &mut Update, kept: [usize; 3]) {
    let mut at = 0;
    while let Some(Ok(RawOption { at: begin, kind, data })) = (Walk { options, at }).next() {
        let (from, end) = (begin + PREFIX_LEN, begin + PREFIX_LEN + data.len());
        at = end;
        if kind == kind::SACK_PERMITTED || kept.contains(&from) {
            continue;
        }
        if let Some(option) = options.get_mut(begin..end) {
            write(option, begin, &[kind::NOP; MAX_LEN], update);
        }
    }
}

impl fmt::Debug for SynOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SynOptions")
            .field("mss", &self.mss())
            .field("window_scale", &self.window_scale())
            .field("sack_permitted", &self.sack_permitted())
            .field("authenticated", &self.authenticated())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TcpOptions, check_opening};
    use super::*;

    #[test]
    fn usual_layouts_are_read_as_any() {
        let linux = [2, 4, 5, 180, 4, 2, 8, 10, 9, 8, 7, 6, 0, 0, 0, 0, 1, 3, 3, 10];
        let without_timestamps = [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7];
        let windows = [2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2];
        for options in [&linux[..], &without_timestamps, &windows] {
            let found = SynOptions::find(options);
            assert_eq!(found.map(|found| (found.mss(), found.0 & HAS_OTHERS)), Some((1460, 0)));
            // Whatever one of their bytes says.
            for (at, byte) in (0..options.len()).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                let mut options = options.to_vec();
                options[at] = byte;
                assert_eq!(SynOptions::find(&options), SynOptions::find_any(&options), "{options:?}");
                let parsed = TcpOptions::parse(&options);
                assert_eq!(check_opening(&options).is_ok(), parsed.is_ok(), "{options:?}");
                assert_eq!(parsed, TcpOptions::parse_any(&options), "{options:?}");
            }
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
        assert_eq!((last.mss(), last.at(MSS_AT)), (512, 6));
    }
}
