//! Frames as the world reads them: independently of the parser under test (smoltcp's views), IPv4 and IPv6 without
//! extension headers, up to two VLAN tags.

use std::net::SocketAddr;
use std::ops::Range;

use dataplane::flow::quad::Quad;
use dataplane::wire::tcp_flags::TcpFlags;
use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket};

const TAG: [u8; 2] = [0x81, 0x00];

/// A TCP segment somewhere in a frame.
#[derive(Debug, Clone)]
pub struct Segment {
    pub quad: Quad,
    pub seq: u32,
    pub ack: u32,
    pub flags: TcpFlags,
    pub window: u16,
    /// Window scale, of a SYN.
    pub shift: Option<u8>,
    /// The TCP header with its options, and the payload, in bytes of the frame.
    pub header: Range<usize>,
    pub payload: Range<usize>,
    pub checksum_ok: bool,
    addresses: (IpAddress, IpAddress),
}

impl Segment {
    /// Sequence space taken.
    pub fn sequence_len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }
}

/// Where the network header starts, and the EtherType that says which it is.
pub fn network(frame: &[u8]) -> Option<(usize, u16)> {
    let mut at = 12;
    while frame.get(at..at + 2)? == TAG {
        at += 4;
    }
    let kind = frame.get(at..at + 2)?;
    Some((at + 2, u16::from_be_bytes([kind[0], kind[1]])))
}

/// The TCP segment in `frame`, when there is one.
pub fn parse(frame: &[u8]) -> Option<Segment> {
    let (l3, kind) = network(frame)?;
    let (l4, end, addresses) = match kind {
        0x0800 => {
            let ip = Ipv4Packet::new_checked(&frame[l3..]).ok()?;
            if ip.next_header() != IpProtocol::Tcp || !ip.verify_checksum() || ip.frag_offset() != 0 {
                return None;
            }
            let start = l3 + usize::from(ip.header_len());
            let addresses = (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()));
            (start, l3 + usize::from(ip.total_len()), addresses)
        }
        0x86dd => {
            let ip = Ipv6Packet::new_checked(&frame[l3..]).ok()?;
            if ip.next_header() != IpProtocol::Tcp {
                return None;
            }
            let addresses = (IpAddress::Ipv6(ip.src_addr()), IpAddress::Ipv6(ip.dst_addr()));
            (l3 + 40, l3 + ip.total_len(), addresses)
        }
        _ => return None,
    };
    let tcp = TcpPacket::new_checked(&frame[l4..end]).ok()?;
    let header = l4..l4 + usize::from(tcp.header_len());
    let flags = u16::from_be_bytes([frame[l4 + 12] & 1, frame[l4 + 13]]);
    let source = SocketAddr::new(addresses.0.into(), tcp.src_port());
    let destination = SocketAddr::new(addresses.1.into(), tcp.dst_port());
    Some(Segment {
        quad: Quad::between(source, destination)?,
        seq: tcp.seq_number().0 as u32,
        ack: tcp.ack_number().0 as u32,
        flags: TcpFlags(flags),
        window: tcp.window_len(),
        shift: if tcp.syn() { window_scale(tcp.options()) } else { None },
        payload: header.end..end,
        header,
        checksum_ok: tcp.verify_checksum(&addresses.0, &addresses.1),
        addresses,
    })
}

fn window_scale(mut options: &[u8]) -> Option<u8> {
    while !options.is_empty() {
        match TcpOption::parse(options).ok()? {
            (_, TcpOption::WindowScale(shift)) => return Some(shift),
            (rest, _) => options = rest,
        }
    }
    None
}

/// Makes the TCP checksum of an edited segment right again.
pub fn fill_checksum(frame: &mut [u8], segment: &Segment) {
    let bytes = &mut frame[segment.header.start..segment.payload.end];
    TcpPacket::new_unchecked(bytes).fill_checksum(&segment.addresses.0, &segment.addresses.1);
}

/// Puts one 802.1Q tag on a frame.
pub fn push_tag(frame: &mut Vec<u8>, vlan: u16) {
    let id = vlan.to_be_bytes();
    frame.splice(12..12, [TAG[0], TAG[1], id[0], id[1]]);
}

/// Takes the tag off; `None` for a frame that does not carry exactly this one.
pub fn pop_tag(frame: &mut Vec<u8>, vlan: u16) -> Option<()> {
    let id = vlan.to_be_bytes();
    (frame.get(12..16)? == [TAG[0], TAG[1], id[0], id[1]]).then(|| drop(frame.drain(12..16)))
}
