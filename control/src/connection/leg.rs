//! One of the two TCP connections of a proxied flow: its TCB, and how its segments look on the wire.

use dataplane::buffer::{Buffer, Pool};
use dataplane::flow::quad::Addresses;
use dataplane::packet::TcpHeaders;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::ip::ECN_MASK;
use dataplane::wire::ipv4::Ipv4Header;
use dataplane::wire::ipv6::Ipv6Header;
use dataplane::wire::tcp::{self, TcpHeader};
use dataplane::wire::tcp_options::TcpOptions;

use super::local::answer_to;
use crate::core::context::{Context, Way};
use crate::tcp::{Block, Chunk, Segment, SegmentOut, State};

/// A leg.
pub(super) struct Leg<B: Buffer> {
    pub(super) block: Block<B>,
    /// Frames towards this leg's endpoint; they speak for the opposite one.
    pub(super) template: FrameTemplate,
    /// Which way they leave.
    pub(super) way: Way,
    /// What is known of how they have to look.
    pub(super) look: Look,
}

/// After a split nobody has been heard yet for whom we could speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Nothing: not even an address to send to.
    Unknown,
    /// An address. It does for a RST, which carries nobody's clock.
    Reset,
    /// The endpoint that they speak for has been heard.
    Known,
}

impl<B: Buffer> Leg<B> {
    /// From a frame of the opposite endpoint.
    pub(super) fn learn(&mut self, frame: &B, headers: &TcpHeaders) {
        self.template.relearn(frame.bytes(), headers);
        self.look = self.look.max(Look::Reset);
    }

    /// From a frame of its own endpoint, turned round, unless there is something better.
    pub(super) fn learn_address(&mut self, frame: &B, headers: &TcpHeaders) {
        if self.look == Look::Unknown {
            self.template = answer_to(frame.bytes(), headers);
            self.look = Look::Reset;
        }
    }

    /// Whether what the TCB has to say can be said.
    pub(super) fn can_speak(&self) -> bool {
        self.look == Look::Known || (self.look == Look::Reset && self.block.state() == State::Closed)
    }

    /// Sends all that the TCB wants sent, as far as the way to the worker has room. The RST of a closed TCB goes in any
    /// case: there is only one, and nothing would repeat it.
    pub(super) fn emit<L: Pool<Buffer = B>>(&mut self, cx: &mut Context<'_, L>, ts_value: u32) {
        let mut out = SegmentOut::default();
        while (cx.can_transmit() || self.block.state() == State::Closed)
            && self.block.poll_into(cx.now, ts_value, &mut out)
        {
            self.template.set_ecn_capable(out.ecn_capable);
            let block = &self.block;
            let payload = out.payload;
            cx.transmit(self.way, &self.template, &out.tcp, payload.len as usize, |bytes| {
                block.copy_payload(payload.start, bytes);
            });
        }
        self.template.set_ecn_capable(false);
    }
}

/// What the TCP stack needs of a received segment; `None` when its options are contradictory.
pub(crate) fn read_segment(frame: &[u8], headers: &TcpHeaders) -> Option<Segment> {
    read_segment_here(frame, headers)
}

/// The same where every segment passes: it is written where it is needed.
#[inline(always)]
pub(super) fn read_segment_here(frame: &[u8], headers: &TcpHeaders) -> Option<Segment> {
    let bytes = frame.get(usize::from(headers.l4)..usize::from(headers.end))?;
    let tcp = TcpHeader::view(bytes)?;
    let options = bytes.get(tcp::HEADER_LEN..tcp.header_len())?;
    let mut segment = Segment {
        seq: tcp.seq(),
        ack: tcp.ack(),
        flags: tcp.flags(),
        window: tcp.window.get(),
        urgent: tcp.urgent.get(),
        options: TcpOptions::default(),
        len: headers.payload_len(),
        // CE.
        congested: ecn_of(frame, headers) == ECN_MASK,
    };
    if !options.is_empty() {
        segment.options = TcpOptions::parse(options).ok()?;
    }
    Some(segment)
}

/// The ECN field of the IP header.
pub(super) fn ecn_of(frame: &[u8], headers: &TcpHeaders) -> u8 {
    let class = match (headers.quad.addresses, frame.get(usize::from(headers.l3)..)) {
        (Addresses::V4(..), Some(ip)) => Ipv4Header::view(ip).map(|header| header.traffic_class),
        (Addresses::V6(..), Some(ip)) => Ipv6Header::view(ip).map(|header| header.traffic_class()),
        (_, None) => None,
    };
    class.unwrap_or_default() & ECN_MASK
}

/// The payload of a segment as a chunk that keeps the frame, or the frame back when there is none to take. While buffers
/// are scarce the payload is copied and the frame goes back to its pool.
#[inline(always)]
pub(super) fn split_payload<B: Buffer>(
    frame: B,
    headers: &TcpHeaders,
    scarce: bool,
) -> (Option<Chunk<B>>, Option<B>) {
    if headers.payload_len() == 0 || headers.flags.syn() || headers.flags.rst() {
        return (None, Some(frame));
    }
    let range = usize::from(headers.payload)..usize::from(headers.end);
    let chunk =
        if scarce { Chunk::owned(frame.bytes()[range].to_vec()) } else { Chunk::packet(frame, range) };
    (Some(chunk), None)
}
