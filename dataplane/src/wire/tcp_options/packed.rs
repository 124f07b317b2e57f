//! Options one behind the other, without the padding that aligns them: for a SYN that has to say more than usual.
//!
//! No input panics: what does not fit is refused.

use arrayvec::ArrayVec;

use super::TcpOptions;
use super::walk::{MAX_LEN, MSS_LEN, PREFIX_LEN, SACK_PERMITTED_LEN, TIMESTAMPS_LEN, WINDOW_SCALE_LEN, kind};

/// The longest option that fits behind all that a SYN says but for its timestamps.
pub const MAX_BESIDE_SYN: usize = MAX_LEN - MSS_LEN - SACK_PERMITTED_LEN - WINDOW_SCALE_LEN;

/// Bytes of an option of an experiment (RFC 6994 section 3.1) around its data: kind, length, and a 16 bit identifier.
pub const EXPERIMENT_LEN: usize = PREFIX_LEN + 2;

/// What a SYN says in options, then `more` options, in whole words (RFC 9293 section 3.1 asks for no other alignment);
/// `None` when that is too much. SACK blocks, which no SYN has, are not written.
pub fn packed(options: &TcpOptions, more: &[u8]) -> Option<ArrayVec<u8, MAX_LEN>> {
    let mut out = ArrayVec::new();
    if let Some(mss) = options.mss {
        let [a, b] = mss.to_be_bytes();
        out.extend([kind::MSS, MSS_LEN as u8, a, b]);
    }
    if options.sack_permitted {
        out.extend([kind::SACK_PERMITTED, SACK_PERMITTED_LEN as u8]);
    }
    if let Some(timestamps) = options.timestamps {
        out.extend([kind::TIMESTAMPS, TIMESTAMPS_LEN as u8]);
        out.extend(timestamps.value.to_be_bytes());
        out.extend(timestamps.echo.to_be_bytes());
    }
    if let Some(shift) = options.window_scale {
        out.extend([kind::WINDOW_SCALE, WINDOW_SCALE_LEN as u8, shift]);
    }
    out.try_extend_from_slice(more).ok()?;
    // Whole words: what 40 bytes hold, they hold padded.
    out.extend(std::iter::repeat_n(kind::END, out.len().next_multiple_of(4) - out.len()));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::Timestamps;
    use super::*;

    fn linux() -> TcpOptions {
        TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 9, echo: 0 }),
            ..TcpOptions::default()
        }
    }

    #[test]
    fn all_that_linux_says_leaves_room_for_21_bytes_and_without_timestamps_for_31() {
        let bare = TcpOptions { timestamps: None, ..linux() };
        assert_eq!(MAX_BESIDE_SYN, 31);
        for (options, room) in [(linux(), 21), (bare, 31), (TcpOptions::default(), 40)] {
            for len in 0..=41 {
                // As long as the list itself, the last option aside: kind 253, its length, zeros.
                let mut more = vec![0; len];
                if let [kind, length, ..] = &mut more[..] {
                    (*kind, *length) = (kind::EXPERIMENT, len as u8);
                }
                let packed = packed(&options, &more);
                assert_eq!(packed.is_some(), len <= room, "{len} bytes beside {options:?}");
                let Some(packed) = packed else { continue };
                assert!(packed.len().is_multiple_of(4));
                let read = TcpOptions::parse(&packed).unwrap();
                assert_eq!(read, TcpOptions { other: len > 1, ..options.clone() });
            }
        }
    }
}
