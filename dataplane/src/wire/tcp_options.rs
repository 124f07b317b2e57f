//! TCP options that the appliance understands, as an owned value: read, written, and (in place) edited.
//!
//! No input panics: what is malformed is an error.

use arrayvec::ArrayVec;

use super::seq::Seq;

mod edit;
mod layout;
mod packed;
mod syn;
mod walk;

#[cfg(test)]
mod tests;

pub use edit::{blank_sack, edit_sack_edges, edit_timestamps, timestamps, timestamps_offset, without};
pub use packed::{EXPERIMENT_LEN, MAX_BESIDE_SYN, packed};
pub use syn::SynOptions;
use walk::{
    ALIGNED_TIMESTAMPS, MSS_LEN, PREFIX_LEN, SACK_BLOCK_LEN, SACK_PERMITTED_LEN, TIMESTAMPS_LEN,
    WINDOW_SCALE_LEN, fits,
};
pub use walk::{BadOptions, MAX_LEN, RawOption, Walk, check, check_opening, kind, walk};

/// TSval and TSecr (RFC 7323 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamps {
    /// The sender's clock.
    pub value: u32,
    /// The echo of the receiver's clock; 0 without ACK.
    pub echo: u32,
}

/// One SACK block: left edge (first byte) and right edge (byte after the last), RFC 2018 section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SackBlock {
    /// First byte of the block.
    pub left: Seq,
    /// The byte after its last.
    pub right: Seq,
}

/// The options of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Maximum segment size (kind 2), bytes; on a SYN only.
    pub mss: Option<u16>,
    /// Window scale shift (kind 3), as received, not yet limited to 14; on a SYN only.
    pub window_scale: Option<u8>,
    /// SACK permitted (kind 4); on a SYN only.
    pub sack_permitted: bool,
    /// Timestamps (kind 8).
    pub timestamps: Option<Timestamps>,
    /// SACK blocks (kind 5).
    pub sack: ArrayVec<SackBlock, 4>,
    /// TCP MD5 (kind 19) or TCP-AO (kind 29) is present: nobody in between may touch the flow.
    pub authenticated: bool,
    /// Any other option is present (MPTCP, Fast Open, accurate ECN …).
    pub other: bool,
}

impl Timestamps {
    fn from_bytes(bytes: [u8; 8]) -> Timestamps {
        let [a, b, c, d, e, f, g, h] = bytes;
        Timestamps { value: u32::from_be_bytes([a, b, c, d]), echo: u32::from_be_bytes([e, f, g, h]) }
    }
}

impl TcpOptions {
    /// Reads the options between fixed header and payload.
    ///
    /// The last of several of a kind counts, and an MSS of 0 is none, as in Linux. Unlike Linux, which reads up to the
    /// first bad option and takes the segment, one bad option is an error: whoever sends it hopes that two stacks
    /// disagree about what follows.
    #[inline(always)]
    pub fn parse(bytes: &[u8]) -> Result<TcpOptions, BadOptions> {
        // As in `check`: nearly every segment.
        if bytes.is_empty() {
            return Ok(TcpOptions::default());
        }
        if let Some(timestamps) = bytes.strip_prefix(&ALIGNED_TIMESTAMPS)
            && let Ok(timestamps) = timestamps.try_into()
        {
            let timestamps = Some(Timestamps::from_bytes(timestamps));
            return Ok(TcpOptions { timestamps, ..TcpOptions::default() });
        }
        // Nearly every SYN.
        if let Some(usual) = SynOptions::find_usual(bytes) {
            return Ok(TcpOptions {
                mss: Some(usual.mss()).filter(|mss| *mss != 0),
                window_scale: usual.window_scale(),
                sack_permitted: usual.sack_permitted(),
                timestamps: usual.timestamps(bytes),
                ..TcpOptions::default()
            });
        }
        TcpOptions::parse_any(bytes)
    }

    /// The same of any, one after the other.
    #[inline(never)]
    fn parse_any(bytes: &[u8]) -> Result<TcpOptions, BadOptions> {
        let mut options = TcpOptions::default();
        if bytes.len() > MAX_LEN {
            return Err(BadOptions);
        }
        for option in walk(bytes) {
            let RawOption { kind, data, .. } = option?;
            if !fits(kind, data) {
                return Err(BadOptions);
            }
            options.read(kind, data);
        }
        Ok(options)
    }

    fn read(&mut self, kind: u8, data: &[u8]) {
        match (kind, data) {
            (kind::MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])).filter(|mss| *mss != 0),
            (kind::WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift),
            (kind::SACK_PERMITTED, _) => self.sack_permitted = true,
            (kind::TIMESTAMPS, data) => {
                self.timestamps = data.first_chunk::<8>().map(|bytes| Timestamps::from_bytes(*bytes));
            }
            (kind::SACK, data) => {
                self.sack.clear();
                // 40 bytes of options hold no more than 4 blocks.
                self.sack.extend(data.chunks_exact(SACK_BLOCK_LEN).take(4).map(SackBlock::from_bytes));
            }
            (kind::MD5 | kind::AUTHENTICATION, _) => self.authenticated = true,
            _ => self.other = true,
        }
    }

    /// SACK blocks that there is room for beside the other options.
    #[inline(always)]
    fn sack_room(&self) -> usize {
        if self.sack.is_empty() {
            return 0;
        }
        let room = MAX_LEN - self.emitted_len_without_sack();
        self.sack.len().min(room.saturating_sub(4) / SACK_BLOCK_LEN)
    }

    #[inline(always)]
    fn emitted_len_without_sack(&self) -> usize {
        let timestamps = self.timestamps.is_some();
        let alone = [self.mss.is_some(), self.sack_permitted && !timestamps, self.window_scale.is_some()];
        let words: usize = alone.into_iter().map(usize::from).sum();
        words * 4 + if timestamps { 12 } else { 0 }
    }

    /// Bytes that [`TcpOptions::emit`] writes: a multiple of 4, at most 40.
    #[inline(always)]
    pub fn emitted_len(&self) -> usize {
        let blocks = self.sack_room();
        self.emitted_len_without_sack() + if blocks > 0 { 4 + blocks * SACK_BLOCK_LEN } else { 0 }
    }

    /// Writes the options in Linux's order and alignment, and returns their length.
    ///
    /// SYN: MSS; SACK permitted and timestamps in three words; NOP and window scale. Otherwise: NOP, NOP, timestamps;
    /// NOP, NOP, SACK with as many blocks as fit, the first ones. What only `authenticated` or `other` tell of is not
    /// written. Nothing is written, and 0 returned, when `out` is shorter than [`TcpOptions::emitted_len`].
    #[inline(always)]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let len = self.emitted_len();
        if out.len() < len {
            return 0;
        }
        let mut writer = Writer { out, at: 0 };
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            writer.word([kind::MSS, MSS_LEN as u8, a, b]);
        }
        let sack_permitted = [kind::SACK_PERMITTED, SACK_PERMITTED_LEN as u8];
        if let Some(timestamps) = self.timestamps {
            let [a, b] = if self.sack_permitted { sack_permitted } else { [kind::NOP; 2] };
            writer.word([a, b, kind::TIMESTAMPS, TIMESTAMPS_LEN as u8]);
            writer.word(timestamps.value.to_be_bytes());
            writer.word(timestamps.echo.to_be_bytes());
        } else if self.sack_permitted {
            let [a, b] = sack_permitted;
            writer.word([kind::NOP, kind::NOP, a, b]);
        }
        if let Some(shift) = self.window_scale {
            writer.word([kind::NOP, kind::WINDOW_SCALE, WINDOW_SCALE_LEN as u8, shift]);
        }
        let blocks = self.sack_room();
        if blocks > 0 {
            let len = PREFIX_LEN + blocks * SACK_BLOCK_LEN;
            writer.word([kind::NOP, kind::NOP, kind::SACK, len as u8]);
            for block in &self.sack[..blocks] {
                writer.word(block.left.0.to_be_bytes());
                writer.word(block.right.0.to_be_bytes());
            }
        }
        len
    }
}

impl SackBlock {
    fn from_bytes(bytes: &[u8]) -> SackBlock {
        let edge = |at: usize| Seq(bytes[at..].first_chunk().map_or(0, |edge| u32::from_be_bytes(*edge)));
        SackBlock { left: edge(0), right: edge(4) }
    }
}

/// Appends words to a slice that is known to hold them.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn word(&mut self, word: [u8; 4]) {
        self.out[self.at..self.at + 4].copy_from_slice(&word);
        self.at += 4;
    }
}
