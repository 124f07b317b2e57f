//! ICMP errors about TCP, and all the ICMP that is none.

use zerocopy::IntoBytes;

use super::*;
use crate::flow::quad::Addresses;
use crate::wire::icmp;
use crate::wire::ip;
use crate::wire::ipv4::Ipv4Repr;
use crate::wire::ipv6::Ipv6Repr;

/// An error from some router about `quote`, an IP datagram.
fn error(v6: bool, kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 5, 0];
    message.extend(quote);
    let payload_len = message.len() as u16;
    let mut frame = data_frame(v6)[..14].to_vec();
    if v6 {
        let (source, destination) = ([0xfd; 16], [0xfc; 16]);
        icmp::fill_checksum(&mut message, &Addresses::V6(source, destination));
        let repr = Ipv6Repr {
            source,
            destination,
            next_header: ip::PROTOCOL_ICMPV6,
            hop_limit: 3,
            traffic_class: 0,
            flow_label: 0,
            payload_len,
        };
        frame.extend(repr.header().as_bytes());
    } else {
        let (source, destination) = ([203, 0, 113, 1], [192, 0, 2, 1]);
        icmp::fill_checksum(&mut message, &Addresses::V4(source, destination));
        let repr = Ipv4Repr {
            source,
            destination,
            protocol: ip::PROTOCOL_ICMP,
            ttl: 3,
            traffic_class: 0,
            payload_len,
        };
        frame.extend(repr.header().as_bytes());
    }
    frame.extend(message);
    frame
}

fn quote(v6: bool) -> Vec<u8> {
    data_frame(v6)[14..].to_vec()
}

fn icmp_error(frame: &[u8]) -> IcmpError {
    match parse(frame) {
        Ok(Packet::IcmpError(error)) => error,
        other => panic!("not an error about TCP but {other:?}"),
    }
}

#[test]
fn every_field_is_read() {
    for (v6, kind, ip_len) in [(false, 3, 20), (true, 2, 40)] {
        let frame = error(v6, kind, 4, &quote(v6));
        let expected = IcmpError {
            quad: quad(v6),
            segment: Segment(0),
            l3: 14,
            l4: 14 + ip_len,
            quoted_l4: 14 + ip_len + 8 + ip_len,
            end: frame.len() as u16,
            kind,
            code: 4,
            seq: Seq(0xffff_fff0),
        };
        assert_eq!(icmp_error(&frame), expected);
        let padded = [&frame[..], &[0; 9]].concat();
        assert_eq!(icmp_error(&padded), expected);
    }
}

#[test]
fn eight_bytes_of_tcp_are_enough() {
    for (v6, kind, ip_len) in [(false, 11, 20), (true, 1, 40)] {
        for len in 0..ip_len + 8 {
            assert_eq!(parse(&error(v6, kind, 0, &quote(v6)[..len])), Ok(Packet::Other), "{len} bytes");
        }
        assert_eq!(icmp_error(&error(v6, kind, 0, &quote(v6)[..ip_len + 8])).seq, Seq(0xffff_fff0));
    }
}

#[test]
fn types_that_are_errors() {
    for (v6, errors) in [(false, &[3, 4, 5, 11, 12][..]), (true, &[1, 2, 3, 4])] {
        for kind in 0..=255 {
            let parsed = parse(&error(v6, kind, 1, &quote(v6)));
            assert_eq!(matches!(parsed, Ok(Packet::IcmpError(_))), errors.contains(&kind), "type {kind}");
            assert!(parsed.is_ok());
        }
    }
}

#[test]
fn options_and_extension_headers_in_the_quote() {
    let mut v4 = quote(false);
    v4[0] = 0x46;
    v4.splice(20..20, [1, 1, 1, 1]);
    assert_eq!(icmp_error(&error(false, 3, 1, &v4)).quoted_l4, 34 + 8 + 24);

    let mut v6 = quote(true);
    v6[6] = 0;
    v6.splice(40..40, [44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(icmp_error(&error(true, 3, 0, &v6)).quoted_l4, 54 + 8 + 56);
    assert_eq!(icmp_error(&error(true, 3, 0, &v6)).quad, quad(true));
}

#[test]
fn what_quotes_no_tcp_header_crosses() {
    type Edit = fn(&mut Vec<u8>);
    let v4: &[(&str, Edit)] = &[
        ("UDP", |q| q[9] = 17),
        ("version 6", |q| q[0] = 0x65),
        ("header length 16", |q| q[0] = 0x44),
        ("header longer than the quote", |q| q.truncate(19)),
        ("TCP header cut off", |q| q.truncate(27)),
        ("later fragment", |q| q[7] = 3),
    ];
    let v6: &[(&str, Edit)] = &[
        ("UDP", |q| q[6] = 17),
        ("version 4", |q| q[0] = 0x45),
        ("extension header longer than the quote", |q| (q[6], q[41]) = (60, 255)),
        ("later fragment", |q| (q[6], q[40], q[43]) = (44, 6, 8 * 3)),
        ("still under way", |q| (q[6], q[43]) = (43, 1)),
    ];
    for (v6, table) in [(false, v4), (true, v6)] {
        for (name, edit) in table {
            let mut quote = quote(v6);
            edit(&mut quote);
            assert_eq!(parse(&error(v6, 3, 0, &quote)), Ok(Packet::Other), "{name}");
        }
    }
}

#[test]
fn damaged_or_fragmented_errors_cross() {
    for v6 in [false, true] {
        let mut frame = error(v6, 3, 0, &quote(v6));
        *frame.last_mut().unwrap() ^= 1;
        assert_eq!(parse(&frame), Ok(Packet::Other));
    }
    let mut frame = error(false, 3, 0, &quote(false));
    frame[20] = 0x20;
    fix_ipv4_checksum(&mut frame);
    assert_eq!(parse(&frame), Ok(Packet::Other));
}
