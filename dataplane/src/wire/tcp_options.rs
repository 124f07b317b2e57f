//! TCP options that the appliance understands, as an owned value.

use arrayvec::ArrayVec;

use super::seq::Seq;

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
