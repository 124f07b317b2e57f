//! The parser against frames built by hand, cut short at every length and flipped at every byte.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::flow::quad::Segment;
use crate::wire::build::FrameTemplate;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::tcp::TcpRepr;
use crate::wire::tcp_options::{TcpOptions, Timestamps};
use crate::wire::vlan;

mod fragments;
mod icmp_errors;
mod ip_headers;
mod robustness;

/// Client → server of the frames below.
fn quad(v6: bool) -> Quad {
    let ends =
        if v6 { ["[2001:db8::1]:4711", "[2001:db8::2]:80"] } else { ["192.0.2.1:4711", "198.51.100.2:80"] };
    let [client, server] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    Quad::between(client, server).unwrap()
}

fn template(v6: bool) -> FrameTemplate {
    FrameTemplate::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], &[], 61, quad(v6))
}

/// Data with timestamps, as most segments are.
fn data() -> TcpRepr {
    let timestamps = Some(Timestamps { value: 1000, echo: 2000 });
    TcpRepr {
        seq: Seq(0xffff_fff0),
        ack: Seq(77),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 501,
        urgent: 0,
        options: TcpOptions { timestamps, ..TcpOptions::default() },
    }
}

fn build(template: &FrameTemplate, tcp: &TcpRepr, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 200 + payload.len()];
    let len = template.build(tcp, payload, &mut frame).unwrap();
    frame.truncate(len);
    frame
}

fn data_frame(v6: bool) -> Vec<u8> {
    build(&template(v6), &data(), b"hello")
}

/// The IPv4 data frame edited, its header checksum put right.
fn with_ipv4(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = data_frame(false);
    edit(&mut frame);
    fix_ipv4_checksum(&mut frame);
    frame
}

fn fix_ipv4_checksum(frame: &mut [u8]) {
    let end = (14 + usize::from(frame[14] & 0x0f) * 4).clamp(34, frame.len());
    frame[24..26].fill(0);
    let checksum = crate::wire::checksum::Sum::of(&frame[14..end]).checksum();
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
}

/// What a frame says that has to be a segment.
pub(crate) fn tcp(frame: &[u8]) -> TcpHeaders {
    match parse(frame) {
        Ok(Packet::Tcp(headers)) => headers,
        other => panic!("not TCP but {other:?}: {frame:02x?}"),
    }
}

#[test]
fn every_field_is_read() {
    for (v6, ip_len) in [(false, 20), (true, 40)] {
        let mut frame = data_frame(v6);
        let l4 = 14 + ip_len;
        let expected = TcpHeaders {
            quad: quad(v6),
            segment: Segment(0),
            l3: 14,
            l4,
            payload: l4 + 32,
            end: l4 + 37,
            seq: Seq(0xffff_fff0),
            ack: Seq(77),
            flags: TcpFlags::ACK | TcpFlags::PSH,
            window: 501,
            first_fragment: false,
        };
        assert_eq!(tcp(&frame), expected);
        assert!(is_tcp_checksum_valid(&frame, &expected));

        frame.resize(200, 0xaa); // Ethernet padding.
        assert_eq!(tcp(&frame), expected);
        assert!(is_tcp_checksum_valid(&frame, &expected));
        frame[usize::from(l4) + 34] ^= 1;
        assert!(!is_tcp_checksum_valid(&frame, &expected));
    }
}

#[test]
fn tags_move_the_offsets_and_name_the_segment() {
    let tags = [(vlan::TPID_SERVICE, 0x2064), (vlan::TPID_CUSTOMER, 0x000a)];
    for (count, segment) in [(0, Segment(0)), (1, Segment::new(0, 0, 100)), (2, Segment::new(0, 100, 10))] {
        for v6 in [false, true] {
            let template = FrameTemplate::new([2; 6], [4; 6], &tags[..count], 9, quad(v6));
            let frame = build(&template, &data(), b"x");
            let headers = tcp(&frame);
            assert_eq!((headers.segment, usize::from(headers.l3)), (segment, 14 + 4 * count));
            assert!(is_tcp_checksum_valid(&frame, &headers));
        }
    }
}

#[test]
fn other_frames_cross() {
    let mut deep = data_frame(false);
    deep.splice(12..12, [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3]);
    assert_eq!(parse(&deep), Ok(Packet::Other));
    for ethertype in [0x0806u16, 0x0026, 0x8847, 0x8864, 0x88cc, 0x86de, 0xffff] {
        let mut frame = data_frame(false);
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        assert_eq!(parse(&frame), Ok(Packet::Other), "{ethertype:#x}");
    }
}

#[test]
fn flags_that_no_stack_sends() {
    use TcpFlags as F;
    let nonsense = [
        TcpFlags(0),
        F::SYN | F::FIN,
        F::SYN | F::RST,
        F::SYN | F::FIN | F::ACK,
        F::FIN,
        F::PSH,
        F::FIN | F::URG | F::PSH,
        F::ECE | F::CWR,
    ];
    let sane = [
        F::SYN,
        F::SYN | F::ACK,
        F::SYN | F::ECE | F::CWR | F::AE,
        F::ACK,
        F::FIN | F::ACK,
        F::RST,
        F::RST | F::ACK,
        F::RST | F::FIN | F::ACK,
        F::ACK | F::URG,
    ];
    for flags in nonsense {
        let frame = build(&template(false), &TcpRepr { flags, ..data() }, b"");
        assert_eq!(parse(&frame), Err(Counter::DropTcpFlags), "{flags:?}");
    }
    for flags in sane {
        let frame = build(&template(true), &TcpRepr { flags, ..data() }, b"");
        assert_eq!(tcp(&frame).flags, flags);
    }
}

#[test]
fn malformed_tcp_headers() {
    type Edit = fn(&mut Vec<u8>);
    let table: &[(&str, Edit, Counter)] = &[
        ("data offset 4", |f| f[46] = 0x40, Counter::DropMalformedTcp),
        ("data offset 0", |f| f[46] = 0x00, Counter::DropMalformedTcp),
        ("data offset beyond the end", |f| f[46] = 0xf0, Counter::DropMalformedTcp),
        ("source port 0", |f| f[34..36].fill(0), Counter::DropTcpPortZero),
        ("destination port 0", |f| f[36..38].fill(0), Counter::DropTcpPortZero),
        ("option length 0", |f| f[57] = 0, Counter::DropTcpOptions),
        ("option length of another kind", |f| f[57] = 9, Counter::DropTcpOptions),
        ("option beyond the header", |f| f[56..58].copy_from_slice(&[254, 11]), Counter::DropTcpOptions),
    ];
    for (name, edit, counter) in table {
        assert_eq!(parse(&with_ipv4(edit)), Err(*counter), "{name}");
    }
}

proptest! {
    #[test]
    fn built_frames_parse_back(
        v6 in any::<bool>(),
        tags in proptest::collection::vec(1u16..4095, 0..=2),
        (seq, ack, window, urgent) in any::<(u32, u32, u16, u16)>(),
        ece in any::<bool>(),
        (class, label) in (any::<u8>(), 0u32..1 << 20),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let tags: Vec<_> = tags.iter().map(|id| (vlan::TPID_CUSTOMER, *id)).collect();
        let mut template = FrameTemplate::new([2; 6], [4; 6], &tags, 64, quad(v6));
        template.traffic_class = class;
        template.flow_label = if v6 { label } else { 0 };
        let flags = if ece { TcpFlags::ACK | TcpFlags::ECE } else { TcpFlags::SYN };
        let repr = TcpRepr { seq: Seq(seq), ack: Seq(ack), flags, window, urgent, ..data() };
        let frame = build(&template, &repr, &payload);
        let headers = tcp(&frame);
        prop_assert!(is_tcp_checksum_valid(&frame, &headers));
        prop_assert_eq!(&frame[usize::from(headers.payload)..usize::from(headers.end)], &payload[..]);
        prop_assert_eq!(TcpRepr::parse(&frame[usize::from(headers.l4)..]), Some(repr));
        template.traffic_class &= 0xfc;
        prop_assert_eq!(FrameTemplate::learn(&frame, &headers), template);
    }
}
