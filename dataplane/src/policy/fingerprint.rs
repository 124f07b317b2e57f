//! Rules on the SYN itself: which options it has in which order, and their values, after the manner of p0f.
//!
//! A stack writes the options of its SYNs in an order of its own, which few programs can change: rules may treat a scanner's
//! SYNs otherwise than a browser's. It is a hint, not a proof: whoever writes raw SYNs can write any.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use arrayvec::ArrayVec;

use crate::packet::TcpHeaders;
use crate::wire::tcp_options::{MAX_LEN, RawOption, kind, walk};

/// Option kinds by p0f's names.
const NAMES: [(&str, u8); 7] = [
    ("eol", kind::END),
    ("nop", kind::NOP),
    ("mss", kind::MSS),
    ("ws", kind::WINDOW_SCALE),
    ("sok", kind::SACK_PERMITTED),
    ("sack", kind::SACK),
    ("ts", kind::TIMESTAMPS),
];

/// What a rule asks of a SYN. An empty list admits everything, also a SYN without that option.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SynMatch {
    /// Its options are one of these.
    pub layouts: Vec<Layout>,
    /// Maximum segment size, bytes.
    pub mss: Vec<RangeInclusive<u16>>,
    /// Window, unscaled.
    pub windows: Vec<RangeInclusive<u16>>,
    /// Window scale, as it was sent.
    pub window_scales: Vec<RangeInclusive<u8>>,
    /// TTL or hop limit as it arrives: routers on the way have taken theirs.
    pub ttls: Vec<RangeInclusive<u8>>,
}

impl SynMatch {
    /// Entries in all of its lists.
    pub const fn entries(&self) -> usize {
        let values = self.mss.len() + self.windows.len() + self.window_scales.len() + self.ttls.len();
        self.layouts.len() + values
    }

    /// Whether all that it asks is one range of windows and one of TTLs, or less.
    pub(super) fn is_one_window_and_ttl(&self) -> bool {
        let others = self.layouts.len() + self.mss.len() + self.window_scales.len();
        others == 0 && self.windows.len() <= 1 && self.ttls.len() <= 1
    }

    /// Bytes of its lists.
    pub(super) fn bytes(&self) -> usize {
        let wide = size_of_val(&*self.mss) + size_of_val(&*self.windows);
        size_of_val(&*self.layouts) + wide + size_of_val(&*self.window_scales) + size_of_val(&*self.ttls)
    }
}

/// The kinds of a SYN's options in their order, padding included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(ArrayVec<u8, MAX_LEN>);

/// Why a text is no layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutError {
    /// Not the name of an option.
    Unknown(String),
    /// Something behind the end of the list.
    BehindEnd,
    /// More options than a header has room for.
    TooLong,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Unknown(word) => write!(
                f,
                "\"{word}\" is no option; write eol, nop, mss, ws, sok, sack, ts, or ?N for kind N (0 to 255), separated by \
                 commas, or an empty text for none"
            ),
            LayoutError::BehindEnd => f.write_str("nothing stands behind eol; leave out what follows it"),
            LayoutError::TooLong => write!(f, "a header has room for {MAX_LEN} bytes of options"),
        }
    }
}

impl std::error::Error for LayoutError {}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Layout, LayoutError> {
        let mut kinds = ArrayVec::new();
        if text.trim().is_empty() {
            return Ok(Layout(kinds));
        }
        for word in text.split(',').map(str::trim) {
            let unknown = || LayoutError::Unknown(word.to_owned());
            let kind = match word.strip_prefix('?') {
                Some(number) => number.parse().map_err(|_| unknown())?,
                None => NAMES.iter().find(|(name, _)| *name == word).ok_or_else(unknown)?.1,
            };
            if kinds.last() == Some(&kind::END) {
                return Err(LayoutError::BehindEnd);
            }
            kinds.try_push(kind).map_err(|_| LayoutError::TooLong)?;
        }
        Ok(Layout(kinds))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, kind) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            match NAMES.iter().find(|(_, known)| known == kind) {
                Some((name, _)) => f.write_str(name)?,
                None => write!(f, "?{kind}")?,
            }
        }
        Ok(())
    }
}

impl Layout {
    /// Whether `options` are of these kinds in this order and no others. What stands behind the end of the list is padding.
    fn matches(&self, mut options: &[u8]) -> bool {
        for kind in &self.0 {
            options = match (*kind, options) {
                (kind::END, [kind::END, ..]) => return true,
                (kind::NOP, [kind::NOP, rest @ ..]) => rest,
                (kind::END | kind::NOP, _) => return false,
                (kind, [first, len, ..]) if *first == kind && *len >= 2 => {
                    match options.get(usize::from(*len)..) {
                        Some(rest) => rest,
                        None => return false,
                    }
                }
                _ => return false,
            };
        }
        options.is_empty()
    }
}

/// A SYN as rules see it besides its quad.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syn<'a> {
    options: &'a [u8],
    window: u16,
    ttl: u8,
}

impl<'a> Syn<'a> {
    /// Of a frame that has these headers.
    pub(crate) fn of(frame: &'a [u8], headers: &TcpHeaders) -> Syn<'a> {
        let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
        let at_ttl = match headers.quad.addresses {
            crate::flow::quad::Addresses::V4(..) => l3 + 8,
            crate::flow::quad::Addresses::V6(..) => l3 + 7,
        };
        Syn {
            options: frame.get(l4 + 20..usize::from(headers.payload)).unwrap_or_default(),
            window: headers.window,
            ttl: frame.get(at_ttl).copied().unwrap_or_default(),
        }
    }

    /// Window, unscaled.
    pub(super) fn window(&self) -> u16 {
        self.window
    }

    /// TTL or hop limit.
    pub(super) fn ttl(&self) -> u8 {
        self.ttl
    }

    /// For tests: of these values.
    #[cfg(test)]
    pub(super) fn with(options: &'a [u8], window: u16, ttl: u8) -> Syn<'a> {
        Syn { options, window, ttl }
    }

    /// The data of the last option of a kind, as [`crate::wire::tcp_options::TcpOptions::parse`] reads them.
    fn option(&self, wanted: u8) -> Option<&'a [u8]> {
        let data = |RawOption { kind, data, .. }| (kind == wanted).then_some(data);
        walk(self.options).flatten().filter_map(data).last()
    }
}

fn is_in<T: PartialOrd>(list: &[RangeInclusive<T>], value: Option<T>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.iter().any(|range| range.contains(&value)))
}

impl SynMatch {
    pub(crate) fn matches(&self, syn: &Syn<'_>) -> bool {
        let mss = || syn.option(kind::MSS)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        let window_scale = || syn.option(kind::WINDOW_SCALE)?.first().copied();
        is_in(&self.ttls, Some(syn.ttl))
            && is_in(&self.windows, Some(syn.window))
            && (self.layouts.is_empty() || self.layouts.iter().any(|layout| layout.matches(syn.options)))
            && (self.mss.is_empty() || is_in(&self.mss, mss()))
            && (self.window_scales.is_empty() || is_in(&self.window_scales, window_scale()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux: MSS 1460, SACK permitted, timestamps, NOP, scale 7.
    const LINUX: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];

    fn layout(text: &str) -> Layout {
        text.parse().unwrap()
    }

    #[test]
    fn a_layout_is_the_order_of_all_options() {
        for (text, options, expected) in [
            ("mss,sok,ts,nop,ws", &LINUX[..], true),
            ("mss,nop,ws,nop,nop,sok", &LINUX, false),
            ("mss,sok,ts,nop", &LINUX, false),
            ("mss,sok,ts,nop,ws,nop", &LINUX, false),
            ("", &[], true),
            ("", &LINUX, false),
            ("mss,eol", &[2, 4, 5, 180, 0, 0, 0, 0], true),
            ("mss,eol", &[2, 4, 5, 180], false),
            ("mss,?34", &[2, 4, 5, 180, 34, 4, 9, 9], true),
            // Options that lie about their length.
            ("mss", &[2, 1, 5, 180], false),
            ("mss", &[2, 9, 5, 180], false),
            ("mss", &[2], false),
        ] {
            assert_eq!(layout(text).matches(options), expected, "{text} of {options:?}");
        }
    }

    #[test]
    fn layouts_are_written_as_they_are_read_and_malformed_ones_are_named() {
        for text in ["", "mss,sok,ts,nop,ws", "mss,?253,eol"] {
            assert_eq!(layout(text).to_string(), text);
        }
        let error = |text: &str| text.parse::<Layout>().unwrap_err();
        assert_eq!(error("mss, wscale"), LayoutError::Unknown("wscale".into()));
        assert_eq!(error("mss,,ts"), LayoutError::Unknown(String::new()));
        assert_eq!(error("?256"), LayoutError::Unknown("?256".into()));
        assert_eq!(error("eol,nop"), LayoutError::BehindEnd);
        assert_eq!(error(&"nop,".repeat(41)), LayoutError::TooLong);
    }

    #[test]
    fn values_are_compared_when_they_are_there() {
        let syn = Syn { options: &LINUX, window: 64_240, ttl: 61 };
        let bare = Syn { options: &[], ..syn };
        let any = SynMatch::default();
        let cases = [
            (SynMatch { mss: vec![1400..=1460], ..any.clone() }, true, false),
            (SynMatch { mss: vec![536..=1400], ..any.clone() }, false, false),
            (SynMatch { window_scales: vec![0..=2, 7..=7], ..any.clone() }, true, false),
            (SynMatch { windows: vec![64_240..=64_240], ..any.clone() }, true, true),
            (SynMatch { ttls: vec![33..=64], ..any.clone() }, true, true),
            (SynMatch { ttls: vec![65..=128], ..any.clone() }, false, false),
            (any, true, true),
        ];
        for (rule, expected, of_bare) in cases {
            assert_eq!((rule.matches(&syn), rule.matches(&bare)), (expected, of_bare), "{rule:?}");
        }
    }
}
