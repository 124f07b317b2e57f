//! The RST that a segment becomes, against RFC 9293 section 3.10.7.1.

use super::*;
use crate::flow::quad::Quad;
use crate::packet;
use crate::packet::tests::tcp as headers;
use crate::wire::build::FrameTemplate;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::TcpRepr;
use crate::wire::tcp_options::TcpOptions;

fn quad(v6: bool) -> Quad {
    let addresses =
        if v6 { Addresses::V6([0x20; 16], [0x30; 16]) } else { Addresses::V4([10, 0, 0, 1], [10, 0, 0, 2]) };
    Quad { addresses, client_port: 4711, server_port: 80 }
}

fn frame_of(template: &FrameTemplate, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
    let tcp = TcpRepr {
        seq: Seq(u32::MAX - 1),
        ack: Seq(5000),
        flags,
        options: TcpOptions { mss: Some(1460), ..TcpOptions::default() },
        ..TcpRepr::default()
    };
    let mut frame = vec![0; 400];
    let len = template.build(&tcp, payload, &mut frame).unwrap();
    frame.truncate(len);
    frame
}

fn reset(frame: &[u8]) -> Option<Vec<u8>> {
    let mut reply = frame.to_vec();
    let len = reset_for(&mut reply, &headers(frame))?;
    reply.truncate(len);
    Some(reply)
}

#[test]
fn sequence_numbers_are_those_of_the_rfc() {
    let (fin_ack, rst_ack) = (TcpFlags::FIN | TcpFlags::ACK, TcpFlags::RST | TcpFlags::ACK);
    let table: &[(TcpFlags, &[u8], Seq, Seq, TcpFlags)] = &[
        (TcpFlags::SYN, b"", Seq(0), Seq(u32::MAX), rst_ack),
        (TcpFlags::SYN, b"data", Seq(0), Seq(3), rst_ack),
        (TcpFlags::SYN | TcpFlags::ACK, b"", Seq(5000), Seq(0), TcpFlags::RST),
        (TcpFlags::ACK, b"data", Seq(5000), Seq(0), TcpFlags::RST),
        (fin_ack, b"", Seq(5000), Seq(0), TcpFlags::RST),
    ];
    for v6 in [false, true] {
        for (flags, payload, seq, ack, expected_flags) in table {
            let template = FrameTemplate::new([2; 6], [4; 6], &[], 9, quad(v6));
            let reply = reset(&frame_of(&template, *flags, payload)).unwrap();
            let headers = headers(&reply);
            assert_eq!((headers.seq, headers.ack, headers.flags), (*seq, *ack, *expected_flags), "{flags:?}");
            assert_eq!((headers.payload_len(), headers.has_options(), headers.window), (0, false, 0));
            assert!(packet::is_tcp_checksum_valid(&reply, &headers));
        }
    }
}

#[test]
fn it_goes_back_where_the_segment_came_from() {
    let tags = [(0x88a8, 0x2007), (0x8100, 5)];
    for v6 in [false, true] {
        let mut template = FrameTemplate::new([2; 6], [4; 6], &tags, 9, quad(v6));
        template.traffic_class = 0x2b;
        let frame = frame_of(&template, TcpFlags::SYN, b"");
        let reply = reset(&frame).unwrap();
        let mut expected = FrameTemplate::new([4; 6], [2; 6], &tags, TTL, quad(v6).reversed());
        expected.traffic_class = 0x28;
        assert_eq!(FrameTemplate::learn(&reply, &headers(&reply)), expected);
        assert!(reply.len() <= frame.len());
        let class = match v6 {
            false => Ipv4Header::view(&reply[22..]).unwrap().traffic_class,
            true => Ipv6Header::view(&reply[22..]).unwrap().traffic_class(),
        };
        assert_eq!(class, 0x28);
    }
}

#[test]
fn what_is_never_answered() {
    let template = FrameTemplate::new([2; 6], [4; 6], &[], 9, quad(false));
    assert_eq!(reset(&frame_of(&template, TcpFlags::RST, b"")), None);
    assert_eq!(reset(&frame_of(&template, TcpFlags::RST | TcpFlags::ACK, b"")), None);

    let to_group = FrameTemplate::new([0xff; 6], [4; 6], &[], 9, quad(false));
    assert_eq!(reset(&frame_of(&to_group, TcpFlags::SYN, b"")), None);

    for nobody in [[224, 0, 0, 1], [255; 4], [0; 4]] {
        for addresses in [Addresses::V4(nobody, [1; 4]), Addresses::V4([1; 4], nobody)] {
            let template = FrameTemplate::new(
                [2; 6],
                [4; 6],
                &[],
                9,
                Quad { addresses, client_port: 1, server_port: 2 },
            );
            assert_eq!(reset(&frame_of(&template, TcpFlags::SYN, b"")), None, "{addresses:?}");
        }
    }

    let frame = frame_of(&template, TcpFlags::SYN, b"");
    let fragment = TcpHeaders { first_fragment: true, ..headers(&frame) };
    let mut reply = frame.clone();
    assert_eq!((reset_for(&mut reply, &fragment), reply), (None, frame));
}

/// The frame with an option in its IPv4 header, or an extension behind its IPv6 header, and padding behind its datagram.
fn lengthened(frame: &[u8], v6: bool) -> Vec<u8> {
    let mut longer = frame.to_vec();
    if v6 {
        // Destination options that say nothing (RFC 8200 section 4.6).
        longer.splice(54..54, [ip::PROTOCOL_TCP, 0, 1, 4, 0, 0, 0, 0]);
        longer[20] = 60;
        longer[19] += 8;
    } else {
        longer.splice(34..34, [1; 4]);
        longer[14] = 0x46;
        longer[17] += 4;
        longer[24..26].fill(0);
        let checksum = Sum::of(&longer[14..38]).checksum();
        longer[24..26].copy_from_slice(&checksum.to_be_bytes());
    }
    longer.extend([0xee; 6]);
    longer
}

/// It is written over them: nothing of what is left out may stay.
#[test]
fn options_extensions_and_padding_leave_no_trace() {
    for v6 in [false, true] {
        let template = FrameTemplate::new([2; 6], [4; 6], &[], 9, quad(v6));
        let plain = frame_of(&template, TcpFlags::SYN, b"data");
        let longer = lengthened(&plain, v6);
        assert!(headers(&longer).l4 > headers(&plain).l4);
        assert_eq!(reset(&longer), reset(&plain));
    }
}
