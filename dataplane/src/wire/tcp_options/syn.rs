//! The options of a SYN in one look, and what the SYN-ACK that accepts it says at the same places.
//!
//! No input panics.

use std::fmt;

use super::Timestamps;
use super::layout::{self, LINUX, Usual, WINDOWS, WITHOUT_CLOCK};
use super::walk::{MAX_LEN, PREFIX_LEN, RawOption, Walk, fits, kind};
use crate::wire::accept::Acceptance;
use crate::wire::checksum::Sum;

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
    pub(super) const fn say(self, mss: [u8; 2], shift: u8) -> SynOptions {
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
        layout::of(options)
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

    /// Makes of the SYN's options those of the SYN-ACK that accepts it, and returns their sum: segment size, window scale
    /// and clock are ours, the client's clock is echoed, SACK stays permitted, and of any other option NOPs are left.
    #[inline(always)]
    pub fn answer(self, options: &mut [u8], answer: &Acceptance) -> Sum {
        // Question by question: closures behind an `or_else` are called, and find in memory what has been in registers.
        if let Some(sum) = self.answer_usual::<{ LINUX.len }>(LINUX, options, answer) {
            return sum;
        }
        if let Some(sum) = self.answer_usual::<{ WITHOUT_CLOCK.len }>(WITHOUT_CLOCK, options, answer) {
            return sum;
        }
        if let Some(sum) = self.answer_usual::<{ WINDOWS.len }>(WINDOWS, options, answer) {
            return sum;
        }
        // Each value by itself, for the same reason.
        let Acceptance { mss, shift, clock, .. } = *answer;
        self.answer_any(options, mss, shift, clock)
    }

    /// The same of those that stand as usual: code of its own, without a question in it. They are put together in registers; each
    /// word is written once, and added up as it is written.
    #[inline(always)]
    fn answer_usual<const LEN: usize>(
        self,
        usual: Usual,
        options: &mut [u8],
        answer: &Acceptance,
    ) -> Option<Sum> {
        if !self.stand_as(usual.options) {
            return None;
        }
        let options: &mut [u8; LEN] = options.try_into().ok()?;
        let mut words = *options;
        usual.options.answer_in_place(&mut words, answer.mss, answer.shift, answer.clock);
        *options = words;
        Some(Sum::of_words(words.as_chunks().0))
    }

    /// The same wherever they stand.
    #[inline(never)]
    fn answer_any(self, options: &mut [u8], mss: u16, shift: u8, clock: u32) -> Sum {
        if self.0 & HAS_OTHERS != 0 {
            self.blank_others(options);
        }
        self.answer_in_place(options, mss, shift, clock);
        Sum::of(options)
    }

    /// Writes segment size, window scale and clocks where the client has them.
    #[inline(always)]
    fn answer_in_place(self, options: &mut [u8], mss: u16, shift: u8, clock: u32) {
        let [mss_at, shift_at, clock_at] = self.places();
        if let (1.., Some(place)) = (mss_at, first_mut(options, mss_at)) {
            *place = mss.to_be_bytes();
        }
        if let (1.., Some(place)) = (shift_at, options.get_mut(shift_at)) {
            *place = shift;
        }
        if let (1.., Some([said, echo])) =
            (clock_at, first_mut::<8>(options, clock_at).map(|both| both.as_chunks_mut().0))
        {
            (*said, *echo) = (clock.to_be_bytes(), *said);
        }
    }

    /// Replaces by NOPs what is not SACK permitted and does not stand at one of the places: strangers, and all but the last of
    /// several.
    fn blank_others(self, options: &mut [u8]) {
        let mut at = 0;
        while let Some(Ok(RawOption { at: begin, kind, data })) = (Walk { options, at }).next() {
            let (from, end) = (begin + PREFIX_LEN, begin + PREFIX_LEN + data.len());
            at = end;
            if kind == kind::SACK_PERMITTED || self.places().contains(&from) {
                continue;
            }
            if let Some(option) = options.get_mut(begin..end) {
                option.fill(kind::NOP);
            }
        }
    }

    /// Whether segment size, window scale and clock stand where those do, and nothing has to go.
    const fn stand_as(self, others: SynOptions) -> bool {
        (self.0 ^ others.0) & (0xff << MSS_AT | 0xff << SHIFT_AT | 0xff << CLOCK_AT | HAS_OTHERS) == 0
    }

    /// Offsets of the data of segment size, window scale and clock.
    const fn places(self) -> [usize; 3] {
        [self.at(MSS_AT), self.at(SHIFT_AT), self.at(CLOCK_AT)]
    }
}

fn first_mut<const LEN: usize>(options: &mut [u8], at: usize) -> Option<&mut [u8; LEN]> {
    options.get_mut(at..)?.first_chunk_mut()
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
    use crate::wire::seq::Seq;

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
    fn usual_layouts_are_answered_as_any() {
        let answer = Acceptance { seq: Seq(1), window: 2, mss: 1400, shift: 9, clock: 0xfeed_beef };
        let linux = [2, 4, 5, 180, 4, 2, 8, 10, 9, 8, 7, 6, 0, 0, 0, 0, 1, 3, 3, 10];
        let without_timestamps = [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7];
        let windows = [2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2];
        // At the places of a usual one, and not laid out so: something else, SACK permitted elsewhere, more behind them.
        let strangers = [2, 4, 5, 180, 30, 2, 8, 10, 9, 8, 7, 6, 0, 0, 0, 0, 1, 3, 3, 10];
        let aside = [2, 4, 5, 180, 4, 2, 1, 1, 1, 3, 3, 7];
        let more = [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7, 30, 4, 1, 2];
        for options in [&linux[..], &without_timestamps, &windows, &strangers, &aside, &more] {
            let found = SynOptions::find(options).unwrap();
            let (mut usual, mut any) = (options.to_vec(), options.to_vec());
            let sum = found.answer(&mut usual, &answer);
            let as_any = found.answer_any(&mut any, answer.mss, answer.shift, answer.clock);
            assert_eq!((&usual, sum.folded()), (&any, as_any.folded()), "{options:?}");
            assert_eq!(as_any.folded(), Sum::of(&any).folded());
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
