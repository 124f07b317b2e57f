//! Segments as the stack sees them: header fields in host order, payload apart.

use std::ops::Deref;

use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};

use super::block::MAX_SHIFT;

/// A received segment, checksum already verified. The payload travels beside it as a `Chunk`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number; significant only with ACK.
    pub ack: Seq,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window field, unscaled.
    pub window: u16,
    /// Urgent pointer; significant only with URG.
    pub urgent: u16,
    /// Options.
    pub options: TcpOptions,
    /// Bytes of payload.
    pub len: u32,
    /// The IP header says that congestion was experienced (RFC 3168 section 5).
    pub congested: bool,
}

impl Segment {
    /// Sequence space taken: payload, SYN and FIN (SEG.LEN in RFC 9293).
    pub const fn sequence_len(&self) -> u32 {
        self.len + self.flags.syn() as u32 + self.flags.fin() as u32
    }

    /// The number after the last one taken.
    pub const fn end(&self) -> Seq {
        self.seq.advance(self.sequence_len())
    }
}

/// What a SYN or SYN-ACK promises.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handshake {
    /// Maximum segment size, bytes.
    pub mss: Option<u16>,
    /// Window scale shift; taken as 14 when larger (RFC 7323 section 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps present.
    pub timestamps: bool,
    /// Window field; never scaled in a SYN.
    pub window: u16,
    /// ECE and CWR as they stand in the SYN or SYN-ACK (RFC 3168 section 6.1.1).
    pub ecn: TcpFlags,
}

impl Handshake {
    /// Reads it from a received SYN or SYN-ACK.
    pub fn of(segment: &Segment) -> Self {
        Handshake {
            mss: segment.options.mss,
            window_scale: segment.options.window_scale,
            sack_permitted: segment.options.sack_permitted,
            timestamps: segment.options.timestamps.is_some(),
            window: segment.window,
            ecn: segment.flags & (TcpFlags::ECE | TcpFlags::CWR),
        }
    }

    /// The options that say it, with these timestamps if there are any.
    pub(crate) fn options(&self, ts_value: u32, ts_echo: u32) -> TcpOptions {
        TcpOptions {
            mss: self.mss,
            window_scale: self.window_scale.map(|shift| shift.min(MAX_SHIFT)),
            sack_permitted: self.sack_permitted,
            timestamps: self.timestamps.then_some(Timestamps { value: ts_value, echo: ts_echo }),
            ..TcpOptions::default()
        }
    }

    /// Without what `offer` does not have: a SYN-ACK answers options, it never adds any (RFC 7323 sections 1.3 and
    /// 2.2, RFC 2018 section 2), and it never has more option bytes than the SYN (DESIGN invariant 5).
    pub(super) fn limited_to(&self, offer: &Handshake) -> Self {
        Handshake {
            mss: offer.mss.and(self.mss),
            window_scale: offer.window_scale.and(self.window_scale),
            sack_permitted: self.sack_permitted && offer.sack_permitted,
            timestamps: self.timestamps && offer.timestamps,
            window: self.window,
            ecn: self.ecn,
        }
    }
}

/// Which bytes of the send queue a segment carries; `Block::copy_payload` writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payload {
    /// Sequence number of the first byte.
    pub start: Seq,
    /// Bytes.
    pub len: u32,
}

/// A segment to be sent. Its payload is to be copied before the block is called again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentOut {
    /// Its header.
    pub tcp: TcpRepr,
    /// Payload.
    pub payload: Payload,
    /// Sequence space in it has been sent before.
    pub retransmission: bool,
    /// May be marked instead of dropped: ECT(0) goes into its IP header (RFC 3168 section 5).
    pub ecn_capable: bool,
}

impl SegmentOut {
    /// One that is its header, and in which nothing has been sent before.
    pub(super) fn bare(tcp: TcpRepr) -> SegmentOut {
        let payload = Payload { start: tcp.seq, len: 0 };
        SegmentOut { tcp, payload, retransmission: false, ecn_capable: false }
    }
}

impl Deref for SegmentOut {
    type Target = TcpRepr;

    fn deref(&self) -> &TcpRepr {
        &self.tcp
    }
}
