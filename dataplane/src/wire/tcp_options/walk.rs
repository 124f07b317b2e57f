//! The option list: kinds, lengths, and a walk over it.
//!
//! No input panics: a walk ends at the first option that lies about its length.

use super::layout;

/// Bytes of options that a header has room for.
pub const MAX_LEN: usize = 40;

/// Option kinds (IANA registry "TCP Option Kind Numbers").
pub mod kind {
    /// End of the list (RFC 9293 section 3.2).
    pub const END: u8 = 0;
    /// No operation, for alignment.
    pub const NOP: u8 = 1;
    /// Maximum segment size (RFC 9293 section 3.7.1).
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323 section 2).
    pub const WINDOW_SCALE: u8 = 3;
    /// SACK permitted (RFC 2018 section 2).
    pub const SACK_PERMITTED: u8 = 4;
    /// SACK blocks (RFC 2018 section 3).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323 section 3).
    pub const TIMESTAMPS: u8 = 8;
    /// MD5 signature (RFC 2385).
    pub const MD5: u8 = 19;
    /// Authentication, TCP-AO (RFC 5925 section 2.2).
    pub const AUTHENTICATION: u8 = 29;
    /// The first of two kinds for experiments, told apart by an identifier (RFC 4727, RFC 6994).
    pub const EXPERIMENT: u8 = 253;
}

/// Bytes of an option, kind and length included.
pub(super) const MSS_LEN: usize = 4;
pub(super) const WINDOW_SCALE_LEN: usize = 3;
pub(super) const SACK_PERMITTED_LEN: usize = 2;
pub(super) const TIMESTAMPS_LEN: usize = 10;
pub(super) const MD5_LEN: usize = 18;
/// Kind, length, KeyID and RNextKeyID.
pub(super) const AUTHENTICATION_MIN_LEN: usize = 4;
/// Bytes of kind and length.
pub(super) const PREFIX_LEN: usize = 2;
/// Of the options of nearly every SYN, by kind: their only length. Of the others one that no option has.
const USUAL_LEN: [usize; 9] = {
    let mut lens = [usize::MAX; 9];
    lens[kind::MSS as usize] = MSS_LEN;
    lens[kind::WINDOW_SCALE as usize] = WINDOW_SCALE_LEN;
    lens[kind::SACK_PERMITTED as usize] = SACK_PERMITTED_LEN;
    lens[kind::TIMESTAMPS as usize] = TIMESTAMPS_LEN;
    lens
};
/// Bytes of a SACK block.
pub(super) const SACK_BLOCK_LEN: usize = 8;
/// Timestamps as everybody sends them: aligned by two NOPs (RFC 7323 appendix A).
pub(super) const ALIGNED_TIMESTAMPS: [u8; 4] = [kind::NOP, kind::NOP, kind::TIMESTAMPS, TIMESTAMPS_LEN as u8];

/// A length below 2, beyond the header, or not the kind's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadOptions;

/// One option: where it begins among the options, its kind, and the data behind kind and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// Offset of the kind byte.
    pub at: usize,
    /// See [`kind`].
    pub kind: u8,
    /// What follows the length byte.
    pub data: &'a [u8],
}

/// Walks options up to the end of the list; yields one error and stops at what has no length to go on by.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    pub(super) options: &'a [u8],
    pub(super) at: usize,
}

/// The options in order, NOPs left out.
pub const fn walk(options: &[u8]) -> Walk<'_> {
    Walk { options, at: 0 }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<RawOption<'a>, BadOptions>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self.at;
            match *self.options.get(at..)? {
                [] | [kind::END, ..] => return None,
                [kind::NOP, ..] => self.at += 1,
                [kind, len, ref rest @ ..] => {
                    let data = usize::from(len).checked_sub(PREFIX_LEN).and_then(|len| rest.get(..len));
                    self.at = if data.is_some() { at + usize::from(len) } else { self.options.len() };
                    return Some(data.map(|data| RawOption { at, kind, data }).ok_or(BadOptions));
                }
                [_] => {
                    self.at += 1;
                    return Some(Err(BadOptions));
                }
            }
        }
    }
}

/// Whether `data` has a length that `kind` may have; unknown kinds may have any.
pub(super) const fn fits(kind: u8, data: &[u8]) -> bool {
    let len = data.len() + PREFIX_LEN;
    match kind {
        kind::MSS => len == MSS_LEN,
        kind::WINDOW_SCALE => len == WINDOW_SCALE_LEN,
        kind::SACK_PERMITTED => len == SACK_PERMITTED_LEN,
        kind::SACK => !data.is_empty() && data.len().is_multiple_of(SACK_BLOCK_LEN),
        kind::TIMESTAMPS => len == TIMESTAMPS_LEN,
        kind::MD5 => len == MD5_LEN,
        kind::AUTHENTICATION => len >= AUTHENTICATION_MIN_LEN,
        _ => true,
    }
}

/// Where the other options begin, of which nearly no segment has any: behind aligned timestamps if these come first. SACK blocks
/// stand behind them.
#[inline(always)]
pub(super) fn behind_timestamps(options: &[u8]) -> usize {
    if options.len() >= 12 && options.starts_with(&ALIGNED_TIMESTAMPS) { 12 } else { 0 }
}

/// Checks options without reading them out: `Ok` exactly when [`super::TcpOptions::parse`] is.
#[inline(always)]
pub fn check(options: &[u8]) -> Result<(), BadOptions> {
    // Nothing, or aligned timestamps and nothing else: nearly every segment.
    let begins = behind_timestamps(options);
    if options.len() == begins {
        return Ok(());
    }
    if options.len() > MAX_LEN {
        return Err(BadOptions);
    }
    let mut rest = &options[begins..];
    loop {
        rest = match *rest {
            [] | [kind::END, ..] => return Ok(()),
            [kind::NOP, ref rest @ ..] => rest,
            [kind, len, ..] => {
                let (option, behind) = rest.split_at_checked(usize::from(len)).ok_or(BadOptions)?;
                let is_usual = USUAL_LEN.get(usize::from(kind)) == Some(&usize::from(len));
                if !is_usual && !option.get(PREFIX_LEN..).is_some_and(|data| fits(kind, data)) {
                    return Err(BadOptions);
                }
                behind
            }
            [_] => return Err(BadOptions),
        }
    }
}

/// The same of a SYN's options, which usually have one of a few layouts.
#[inline(always)]
pub fn check_opening(options: &[u8]) -> Result<(), BadOptions> {
    if layout::of(options).is_some() { Ok(()) } else { check(options) }
}
