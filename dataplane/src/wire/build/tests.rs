//! Frames built from templates, read back by the parser.

use super::*;
use crate::packet::{self, Packet};
use crate::wire::seq::Seq;
use crate::wire::tcp_flags::TcpFlags;
use crate::wire::tcp_options::{TcpOptions, Timestamps};

fn v4() -> Quad {
    let addresses = Addresses::V4([192, 168, 0, 1], [10, 1, 2, 3]);
    Quad { addresses, client_port: 0x1234, server_port: 80 }
}

fn v6() -> Quad {
    let address = |last: u8| [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    Quad { addresses: Addresses::V6(address(1), address(2)), client_port: 0x1234, server_port: 80 }
}

fn syn_ack() -> TcpRepr {
    TcpRepr {
        seq: Seq(0x0102_0304),
        ack: Seq(0xa1a2_a3a4),
        flags: TcpFlags::SYN | TcpFlags::ACK | TcpFlags::ECE,
        window: 0xfaf0,
        urgent: 0,
        options: TcpOptions { mss: Some(1460), ..TcpOptions::default() },
    }
}

fn built(template: &FrameTemplate, tcp: &TcpRepr, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; 1600];
    let len = template.build(tcp, payload, &mut out).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0xee));
    out.truncate(len);
    out
}

#[test]
fn an_ipv4_frame_byte_for_byte() {
    let mut template =
        FrameTemplate::new([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8], &[(0x8100, 0x600a)], 61, v4());
    template.traffic_class = 0x28;
    // Both checksums computed outside this program.
    let expected = [
        0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 8, 0x81, 0x00, 0x60, 0x0a, 0x08,
        0x00, // Ethernet, VLAN 10
        0x45, 0x28, 0x00, 0x2e, 0x00, 0x00, 0x40, 0x00, 0x3d, 0x06, 0x70, 0xf5, // DF, ID 0
        192, 168, 0, 1, 10, 1, 2, 3, //
        0x12, 0x34, 0x00, 0x50, 1, 2, 3, 4, 0xa1, 0xa2, 0xa3, 0xa4, 0x60, 0x52, 0xfa, 0xf0, 0x0b, 0xfc, 0, 0,
        0x02, 0x04, 0x05, 0xb4, // MSS 1460
        b'h', b'i',
    ];
    assert_eq!(built(&template, &syn_ack(), b"hi"), expected);
}

#[test]
fn an_ipv6_frame_byte_for_byte() {
    let mut template = FrameTemplate::new([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8], &[], 61, v6());
    (template.traffic_class, template.flow_label) = (0x28, 0xf_edcb);
    let expected = [
        0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 8, 0x86, 0xdd, //
        0x62, 0x8f, 0xed, 0xcb, 0x00, 0x19, 0x06, 0x3d, // 25 bytes of TCP, odd
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0x12, 0x34, 0x00, 0x50, 1, 2, 3, 4, 0xa1, 0xa2, 0xa3, 0xa4, 0x60, 0x52, 0xfa, 0xf0, 0xc4, 0x9e, 0, 0,
        0x02, 0x04, 0x05, 0xb4, b'!',
    ];
    assert_eq!(built(&template, &syn_ack(), b"!"), expected);
}

#[test]
fn what_does_not_fit_is_refused() {
    for quad in [v4(), v6()] {
        let tags = [(0x88a8, 1), (0x8100, 2), (0x8100, 3)];
        let template = FrameTemplate::new([2; 6], [4; 6], &tags, 64, quad);
        let tcp = syn_ack();
        let header_len = template.header_len(&tcp);
        assert!(header_len <= MAX_HEADER_LEN);
        let mut out = [0; 2000];
        for len in 0..header_len {
            assert_eq!(template.emit(&tcp, 0, &mut out[..len]), None);
        }
        assert_eq!(template.emit(&tcp, 100, &mut out[..header_len]), Some(header_len));
        assert_eq!(template.build(&tcp, &[0; 100], &mut out[..header_len + 99]), None);
        assert_eq!(template.emit(&tcp, 65_535, &mut out), None);
        assert_eq!(template.emit(&tcp, usize::MAX, &mut out), None);
        template.fill_checksum(&mut out[..3]);
    }
    let ipv4 = FrameTemplate::new([2; 6], [4; 6], &[], 64, v4());
    assert_eq!(ipv4.emit(&syn_ack(), 65_535 - 44, &mut [0; 100]), Some(58));
    assert_eq!(ipv4.emit(&syn_ack(), 65_535 - 43, &mut [0; 100]), None);
}

#[test]
fn ecn_capable_segments_keep_their_dscp() {
    for quad in [v4(), v6()] {
        let mut template = FrameTemplate::new([2; 6], [4; 6], &[], 64, quad);
        template.traffic_class = 0xb8;
        for (capable, class) in [(true, 0xba), (false, 0xb8)] {
            template.set_ecn_capable(capable);
            let frame = built(&template, &syn_ack(), b"");
            let got = match quad.addresses {
                Addresses::V4(..) => frame[15],
                Addresses::V6(..) => frame[14] << 4 | frame[15] >> 4,
            };
            assert_eq!(got, class);
        }
    }
}

#[test]
fn a_template_is_learnt_from_a_frame_of_its_endpoint() {
    for quad in [v4(), v6()] {
        let mut sent = FrameTemplate::new([2; 6], [4; 6], &[(0x88a8, 7), (0x8100, 0xa005)], 57, quad);
        sent.traffic_class = 0xba; // EF, ECT(0).
        sent.flow_label = if quad == v6() { 0x1_2345 } else { 0 };
        let frame = built(&sent, &syn_ack(), b"");
        let Ok(Packet::Tcp(headers)) = packet::parse(&frame) else { panic!("not TCP") };
        let learnt = FrameTemplate::learn(&frame, &headers);
        assert_eq!(learnt, FrameTemplate { traffic_class: 0xb8, ..sent });
        // A frame that the headers are not about.
        FrameTemplate::learn(&frame[..9], &headers);
        FrameTemplate::learn(&frame[..30], &headers);
    }
}

#[test]
fn the_longest_header_fits_the_constant() {
    let template = FrameTemplate::new([2; 6], [4; 6], &[(0x88a8, 7), (0x8100, 5)], 57, v6());
    let block = crate::wire::tcp_options::SackBlock { left: Seq(1), right: Seq(2) };
    let options = TcpOptions {
        timestamps: Some(Timestamps { value: 1, echo: 2 }),
        sack: [block; 4].into(),
        ..TcpOptions::default()
    };
    assert_eq!(template.header_len(&TcpRepr { options, ..syn_ack() }), MAX_HEADER_LEN);
}

#[test]
fn a_frame_has_options_byte_for_byte_or_is_refused() {
    let syn = TcpRepr { flags: TcpFlags::SYN, ack: Seq(0), ..syn_ack() };
    for quad in [v4(), v6()] {
        let template = FrameTemplate::new([2; 6], [4; 6], &[(0x8100, 5)], 57, quad);
        let options: Vec<u8> = [&[253, 38][..], &[7; 36], &[0, 0]].concat();
        let mut out = [0; MAX_HEADER_LEN];
        for len in (0..=40).step_by(4) {
            let end = template.build_with_options(&syn, &options[40 - len..], &mut out).unwrap();
            let l4 = template.l4();
            assert_eq!((end, &out[l4 + 20..end]), (l4 + 20 + len, &options[40 - len..]));
            assert!(tcp::is_checksum_valid(&out[l4..end], &quad.addresses));
            assert_eq!(TcpHeader::view(&out[l4..end]).map(TcpHeader::header_len), Some(20 + len));
            assert_eq!(template.build_with_options(&syn, &options[40 - len..], &mut out[..end - 1]), None);
        }
        let mut out = [0; 200];
        for len in [1, 2, 3, 39, 41, 44, 100] {
            assert_eq!(template.build_with_options(&syn, &vec![1; len], &mut out), None, "{len}");
        }
    }
}
