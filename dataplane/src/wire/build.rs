//! Frames that the appliance makes itself, written into a buffer without allocation.
//!
//! No input panics: what does not fit is refused.
//!
//! A segment speaks for one of the two endpoints of its flow and has to look like that endpoint's own (DESIGN section
//! 3): a [`FrameTemplate`] is learnt from a frame that the endpoint sent and carries its MACs, VLAN tags, TTL, DSCP
//! and flow label. The order is: [`FrameTemplate::emit`], copy the payload, [`FrameTemplate::fill_checksum`].

use arrayvec::ArrayVec;
use zerocopy::IntoBytes;

use super::ethernet;
use super::ip;
use super::ipv4::{self, Ipv4Header, Ipv4Repr};
use super::ipv6::{self, Ipv6Header, Ipv6Repr};
use super::tcp::{self, TcpHeader, TcpRepr};
use super::tcp_options::TcpOptions;
use super::vlan::{MAX_LINK_LEN, MAX_TAGS};
use crate::flow::quad::{Addresses, Quad};
use crate::packet::TcpHeaders;

/// Bytes of the longest header that [`FrameTemplate::emit`] writes.
pub const MAX_HEADER_LEN: usize = MAX_LINK_LEN + ipv6::HEADER_LEN + tcp::MAX_HEADER_LEN;

/// What an IP header says besides addresses and lengths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Below {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// 0 for IPv4.
    pub flow_label: u32,
}

impl Below {
    /// Of the header at the start of a datagram, without its ECN bits: what one segment says of itself does not hold for another.
    #[inline]
    pub fn learn(datagram: &[u8], addresses: &Addresses) -> Option<Below> {
        let (class, ttl, flow_label) = match addresses {
            Addresses::V4(..) => {
                Ipv4Header::view(datagram).map(|header| (header.traffic_class, header.ttl, 0))?
            }
            Addresses::V6(..) => Ipv6Header::view(datagram)
                .map(|header| (header.traffic_class(), header.hop_limit, header.flow_label()))?,
        };
        Some(Below { traffic_class: class & !ip::ECN_MASK, ttl, flow_label })
    }

    /// Writes the fixed header of a segment of `len` bytes from source to destination, and returns the header's length; `None`
    /// where it has no room, or IP cannot say as much.
    #[inline(always)]
    pub fn emit(self, addresses: &Addresses, len: u16, out: &mut [u8]) -> Option<usize> {
        let Below { traffic_class, ttl, flow_label } = self;
        match *addresses {
            Addresses::V4(source, destination) => {
                len.checked_add(ipv4::HEADER_LEN as u16)?;
                let protocol = ip::PROTOCOL_TCP;
                let repr = Ipv4Repr { source, destination, protocol, ttl, traffic_class, payload_len: len };
                repr.header().write_to_prefix(out).ok()?;
                Some(ipv4::HEADER_LEN)
            }
            Addresses::V6(source, destination) => {
                let repr = Ipv6Repr {
                    source,
                    destination,
                    next_header: ip::PROTOCOL_TCP,
                    hop_limit: ttl,
                    traffic_class,
                    flow_label,
                    payload_len: len,
                };
                repr.header().write_to_prefix(out).ok()?;
                Some(ipv6::HEADER_LEN)
            }
        }
    }
}

/// Everything below TCP of the segments from one endpoint of a flow to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameTemplate {
    /// Destination MAC, source MAC, tags, EtherType: as they stand in the frame.
    pub ethernet: ArrayVec<u8, MAX_LINK_LEN>,
    /// DSCP, and the two ECN bits: 0 but for segments that may be marked ([`FrameTemplate::set_ecn_capable`]).
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IPv6 flow label, 20 bits; 0 for IPv4.
    pub flow_label: u32,
    /// Source → destination.
    pub quad: Quad,
}

impl FrameTemplate {
    /// A template with nothing learnt. `tags` are (TPID, tag control) from the outside in; those beyond
    /// [`MAX_TAGS`] are left out.
    pub fn new(
        destination: [u8; 6],
        source: [u8; 6],
        tags: &[(u16, u16)],
        ttl: u8,
        quad: Quad,
    ) -> FrameTemplate {
        let mut ethernet = ArrayVec::new();
        ethernet.extend(destination);
        ethernet.extend(source);
        for (tpid, control) in tags.iter().take(MAX_TAGS) {
            ethernet.extend(tpid.to_be_bytes());
            ethernet.extend(control.to_be_bytes());
        }
        ethernet.extend(match quad.addresses {
            Addresses::V4(..) => ethernet::TYPE_IPV4.to_be_bytes(),
            Addresses::V6(..) => ethernet::TYPE_IPV6.to_be_bytes(),
        });
        FrameTemplate { ethernet, traffic_class: 0, ttl, flow_label: 0, quad }
    }

    /// From a frame and what [`crate::packet::parse`] has read from it: for segments that speak for its sender.
    ///
    /// IP options and extension headers are not learnt. Of a frame that `headers` are not about, a template results
    /// that means nothing.
    #[inline]
    pub fn learn(frame: &[u8], headers: &TcpHeaders) -> FrameTemplate {
        let mut template = FrameTemplate::blank(headers.quad);
        template.relearn(frame, headers);
        template
    }

    /// One that nothing has been learnt for: see [`FrameTemplate::relearn`].
    #[inline]
    pub fn blank(quad: Quad) -> FrameTemplate {
        FrameTemplate { ethernet: ArrayVec::new(), traffic_class: 0, ttl: 0, flow_label: 0, quad }
    }

    /// Forgets what it has learnt, and learns from this frame.
    #[inline(always)]
    pub fn relearn(&mut self, frame: &[u8], headers: &TcpHeaders) {
        let (link, ip) = frame.split_at_checked(usize::from(headers.l3)).unwrap_or((frame, &[]));
        let below = Below::learn(ip, &headers.quad.addresses).unwrap_or_default();
        (self.traffic_class, self.ttl, self.flow_label) = (below.traffic_class, below.ttl, below.flow_label);
        self.quad = headers.quad;
        self.ethernet.clear();
        // Of a frame that is understood it is no longer.
        let _ = self.ethernet.try_extend_from_slice(&link[..link.len().min(MAX_LINK_LEN)]);
    }

    /// Whether the segments to come may be marked instead of dropped: ECT(0) (RFC 3168 section 5), or not capable.
    ///
    /// This is never learnt: what one segment of an endpoint's says of itself does not hold for another.
    pub fn set_ecn_capable(&mut self, capable: bool) {
        self.traffic_class = self.traffic_class & !ip::ECN_MASK | if capable { ip::ECT_0 } else { 0 };
    }

    /// Bytes from the start of the frame to the TCP header.
    pub fn l4(&self) -> usize {
        self.ethernet.len()
            + match self.quad.addresses {
                Addresses::V4(..) => ipv4::HEADER_LEN,
                Addresses::V6(..) => ipv6::HEADER_LEN,
            }
    }

    /// Bytes from the start of the frame to the payload, at most [`MAX_HEADER_LEN`].
    pub fn header_len(&self, tcp: &TcpRepr) -> usize {
        self.l4() + tcp.header_len()
    }

    /// Writes all headers at the start of `out` for a frame with `payload_len` bytes behind them, the TCP checksum as
    /// zero, and returns their length: where the payload goes.
    ///
    /// `None`, and `out` in an unspecified state, when `out` is shorter than the headers (it need not hold the payload
    /// yet), or the datagram longer than IP can say.
    #[inline(always)]
    pub fn emit(&self, tcp: &TcpRepr, payload_len: usize, out: &mut [u8]) -> Option<usize> {
        self.emit_as(tcp, tcp.header_len(), payload_len, out)
    }

    /// The same, where the length of the TCP header has been asked already.
    #[inline(always)]
    pub fn emit_as(
        &self,
        tcp: &TcpRepr,
        tcp_len: usize,
        payload_len: usize,
        out: &mut [u8],
    ) -> Option<usize> {
        let l3 = self.ethernet.len();
        let segment_len = u16::try_from(payload_len.checked_add(tcp_len)?).ok()?;
        out.get_mut(..l3)?.copy_from_slice(&self.ethernet);
        let FrameTemplate { traffic_class, ttl, flow_label, .. } = *self;
        let below = Below { traffic_class, ttl, flow_label };
        let l4 = l3 + below.emit(&self.quad.addresses, segment_len, out.get_mut(l3..)?)?;
        let (source, destination) = (self.quad.client_port, self.quad.server_port);
        let tcp_len = tcp.emit_as(tcp_len, source, destination, out.get_mut(l4..)?)?;
        Some(l4 + tcp_len)
    }

    /// Writes the TCP checksum of a frame that [`FrameTemplate::emit`] began and that is complete now: it ends with the
    /// payload.
    #[inline(always)]
    pub fn fill_checksum(&self, frame: &mut [u8]) {
        if let Some(segment) = frame.get_mut(self.l4()..) {
            tcp::fill_checksum(segment, &self.quad.addresses);
        }
    }

    /// A whole frame without payload, with `options` byte for byte, in whole words, instead of the segment's own; returns
    /// its length. `None` when `out` is shorter, or they are more than a header takes.
    pub fn build_with_options(&self, tcp: &TcpRepr, options: &[u8], out: &mut [u8]) -> Option<usize> {
        let bare = TcpRepr { options: TcpOptions::default(), ..tcp.clone() };
        let start = self.emit(&bare, options.len(), out)?;
        let end = start + options.len();
        out.get_mut(start..end)?.copy_from_slice(options);
        TcpHeader::view_mut(out.get_mut(self.l4()..)?)?.grow(options.len())?;
        self.fill_checksum(&mut out[..end]);
        Some(end)
    }

    /// A whole frame in one go: headers, payload and checksum; returns its length.
    pub fn build(&self, tcp: &TcpRepr, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let start = self.emit(tcp, payload.len(), out)?;
        let end = start + payload.len();
        out.get_mut(start..end)?.copy_from_slice(payload);
        self.fill_checksum(&mut out[..end]);
        Some(end)
    }
}

#[cfg(test)]
mod tests;
