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
    #[inline(always)]
    pub(super) fn learn(&mut self, frame: &B, headers: &TcpHeaders) {
        self.template.relearn(frame.bytes(), headers);
        self.look = self.look.max(Look::Reset);
    }

    /// From a frame of its own endpoint, turned round, unless there is something better.
    #[inline(always)]
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
    #[inline(always)]
    pub(super) fn emit<L: Pool<Buffer = B>>(&mut self, cx: &mut Context<'_, L>, ts_value: u32) {
        // As after most events: there is not even an empty segment to be made.
        if self.block.has_said_all(cx.now, ts_value) {
            return;
        }
        let mut out = SegmentOut::default();
        while (cx.can_transmit() || self.block.state() == State::Closed)
            && self.block.poll_into(cx.now, ts_value, &mut out)
        {
            self.template.set_ecn_capable(out.ecn_capable);
            let (block, start, len) = (&self.block, out.payload.start, out.payload.len);
            cx.transmit(self.way, &self.template, &out.tcp, len as usize, move |bytes| {
                block.copy_payload(start, bytes);
            });
            if self.block.has_said_all(cx.now, ts_value) {
                break;
            }
        }
        self.template.set_ecn_capable(false);
    }
}

/// What the TCP stack needs of a received segment; `None` when its options are contradictory.
pub(crate) fn read_segment(frame: &[u8], headers: &TcpHeaders) -> Option<Segment> {
    let mut segment = Segment::default();
    read_segment_into(frame, headers, &mut segment).then_some(segment)
}

/// The same where every segment passes: it is written where it is needed. False when its options are contradictory, and
/// `segment` says nothing then.
#[inline(always)]
pub(crate) fn read_segment_into(frame: &[u8], headers: &TcpHeaders, segment: &mut Segment) -> bool {
    let Some(bytes) = frame.get(usize::from(headers.l4)..usize::from(headers.end)) else { return false };
    let Some(tcp) = TcpHeader::view(bytes) else { return false };
    let Some(options) = bytes.get(tcp::HEADER_LEN..tcp.header_len()) else { return false };
    segment.seq = tcp.seq();
    segment.ack = tcp.ack();
    segment.flags = tcp.flags();
    segment.window = tcp.window.get();
    segment.urgent = tcp.urgent.get();
    segment.len = headers.payload_len();
    // CE.
    segment.congested = ecn_of(frame, headers) == ECN_MASK;
    if !options.is_empty() {
        match TcpOptions::parse(options) {
            Ok(parsed) => segment.options = parsed,
            Err(_) => return false,
        }
    }
    true
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

/// Puts the payload of a segment into `payload`, a chunk that keeps the frame, or gives the frame back when there is none to
/// take. It is made where it is taken from: to carry it costs a wait for what it was put together of. While buffers are scarce
/// the payload is copied and the frame goes back to its pool.
#[inline(always)]
pub(super) fn split_payload<B: Buffer>(
    frame: B,
    headers: &TcpHeaders,
    scarce: bool,
    payload: &mut Option<Chunk<B>>,
) -> Option<B> {
    if headers.payload_len() == 0 || headers.flags.syn() || headers.flags.rst() {
        return Some(frame);
    }
    let range = usize::from(headers.payload)..usize::from(headers.end);
    *payload = Some(match scarce {
        true => Chunk::owned(frame.bytes()[range].to_vec()),
        false => Chunk::packet(frame, range),
    });
    None
}
