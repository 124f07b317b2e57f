//! Against frames built anew with the other quad.

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::packet::{Packet, is_tcp_checksum_valid, parse};
use crate::wire::build::FrameTemplate;
use crate::wire::ipv4::Ipv4Repr;
use crate::wire::ipv6::Ipv6Repr;
use crate::wire::seq::Seq;
use crate::wire::tcp::TcpRepr;
use crate::wire::tcp_flags::TcpFlags;
use crate::wire::{icmp, ip};

fn quad() -> impl Strategy<Value = (Quad, Quad)> {
    let v4 = any::<[([u8; 4], u16); 4]>().prop_map(|ends| {
        let make = |a: ([u8; 4], u16), b: ([u8; 4], u16)| Quad {
            addresses: Addresses::V4(a.0, b.0),
            client_port: a.1.max(1),
            server_port: b.1.max(1),
        };
        (make(ends[0], ends[1]), make(ends[2], ends[3]))
    });
    let v6 = any::<[([u8; 16], u16); 4]>().prop_map(|ends| {
        let make = |a: ([u8; 16], u16), b: ([u8; 16], u16)| Quad {
            addresses: Addresses::V6(a.0, b.0),
            client_port: a.1.max(1),
            server_port: b.1.max(1),
        };
        (make(ends[0], ends[1]), make(ends[2], ends[3]))
    });
    prop_oneof![v4, v6].prop_filter("LAND", |(one, two)| !one.addresses.is_loop() && !two.addresses.is_loop())
}

fn build(quad: Quad, payload: &[u8]) -> Vec<u8> {
    let tcp = TcpRepr { seq: Seq(7), ack: Seq(9), flags: TcpFlags::ACK, window: 3, ..TcpRepr::default() };
    let mut frame = [0; 300];
    let len = FrameTemplate::new([2; 6], [1; 6], &[], 61, quad).build(&tcp, payload, &mut frame).unwrap();
    frame[..len].to_vec()
}

/// An error from `reporter` to the source of the quoted `segment`.
fn error(quad: &Quad, reporter: Addresses, segment: &[u8], cut: usize) -> Vec<u8> {
    let quote = &segment[14..];
    let is_v6 = matches!(quad.addresses, Addresses::V6(..));
    let header_len = if is_v6 { 40 } else { 20 };
    let mut message = vec![if is_v6 { 1 } else { 3 }, 1, 0, 0, 0, 0, 0, 0];
    message.extend(&quote[..quote.len().min(header_len + cut)]);
    let payload_len = message.len() as u16;
    let mut frame = segment[..14].to_vec();
    match (reporter, quad.addresses) {
        (Addresses::V4(source, _), Addresses::V4(destination, _)) => {
            icmp::fill_checksum(&mut message, &Addresses::V4(source, destination));
            let (protocol, ttl, traffic_class) = (ip::PROTOCOL_ICMP, 3, 0);
            let repr = Ipv4Repr { source, destination, protocol, ttl, traffic_class, payload_len };
            frame.extend(repr.header().as_bytes());
        }
        (Addresses::V6(source, _), Addresses::V6(destination, _)) => {
            icmp::fill_checksum(&mut message, &Addresses::V6(source, destination));
            let (next_header, hop_limit, traffic_class, flow_label) = (ip::PROTOCOL_ICMPV6, 3, 0, 0);
            let repr = Ipv6Repr {
                source,
                destination,
                next_header,
                hop_limit,
                traffic_class,
                flow_label,
                payload_len,
            };
            frame.extend(repr.header().as_bytes());
        }
        _ => unreachable!("one family"),
    }
    frame.extend(message);
    frame
}

proptest! {
    #[test]
    fn equals_a_segment_built_anew_and_corrupt_stays_corrupt(
        (from, to) in quad(), payload in prop::collection::vec(any::<u8>(), 1..60), corrupt in any::<bool>(),
    ) {
        let mut frame = build(from, &payload);
        let flip = frame.len() - 1;
        if corrupt { frame[flip] ^= 0x20; }
        let Ok(Packet::Tcp(headers)) = parse(&frame) else { panic!("not a segment") };
        segment(&mut frame, &headers, &to);
        let Ok(Packet::Tcp(after)) = parse(&frame) else { panic!("not a segment any more") };
        prop_assert_eq!(after.quad, to);
        prop_assert_eq!(is_tcp_checksum_valid(&frame, &after), !corrupt);
        if corrupt { frame[flip] ^= 0x20; }
        prop_assert_eq!(frame, build(to, &payload));
    }

    /// The error becomes the one that the other side's router would have sent, wherever the quotation ends.
    #[test]
    fn an_error_quotes_what_the_other_side_sent(
        (from, to) in quad(), cut in 8usize..60, by_receiver in any::<bool>(), other in any::<[u8; 16]>(),
    ) {
        let [a, b, c, d, ..] = other;
        let reporter = match (by_receiver, from.addresses, to.addresses) {
            (true, one, two) => (one.reversed(), two.reversed()),
            (false, Addresses::V4(..), _) => (Addresses::V4([a, b, c, d], [0; 4]), Addresses::V4([a, b, c, d], [0; 4])),
            _ => (Addresses::V6(other, [0; 16]), Addresses::V6(other, [0; 16])),
        };
        prop_assume!(by_receiver || reporter.0.source() != from.addresses.destination());
        prop_assume!(reporter.0.source() != from.addresses.source());
        let (mut frame, wanted) = (build(from, b"0123456789"), build(to, b"0123456789"));
        frame = error(&from, reporter.0, &frame, cut);
        let wanted = error(&to, reporter.1, &wanted, cut);
        // Where the quoted checksum is cut in half, half of it cannot be put right.
        prop_assume!(cut != 17);
        let Ok(Packet::IcmpError(found)) = parse(&frame) else { panic!("not an error about TCP") };
        icmp_error(&mut frame, &found, &to);
        prop_assert_eq!(frame, wanted);
    }
}
