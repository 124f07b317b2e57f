//! Against errors built anew about the segment as its sender sent it.

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::flow::quad::{Addresses, Quad};
use crate::packet::{Packet, parse};
use crate::rewrite::delta;
use crate::wire::build::FrameTemplate;
use crate::wire::ipv4::Ipv4Repr;
use crate::wire::ipv6::Ipv6Repr;
use crate::wire::seq::Delta;
use crate::wire::tcp::TcpRepr;
use crate::wire::tcp_flags::TcpFlags;
use crate::wire::{icmp, ip};

const LINK: [u8; 18] = [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0x81, 0, 0, 7, 0, 0];

fn quad(v6: bool) -> Quad {
    let ends = if v6 { ("[fd00::1]:1", "[fd00::2]:2") } else { ("10.0.0.1:1", "10.0.0.2:2") };
    Quad::between(ends.0.parse().unwrap(), ends.1.parse().unwrap()).unwrap()
}

/// A segment's IP datagram.
fn segment(v6: bool, tcp: &TcpRepr, payload: &[u8]) -> Vec<u8> {
    let mut frame = [0; 300];
    let len = FrameTemplate::new([1; 6], [2; 6], &[], 64, quad(v6)).build(tcp, payload, &mut frame).unwrap();
    frame[14..len].to_vec()
}

/// An ICMP error of the sort `v6` in a tagged frame, that quotes `quote`.
fn error(v6: bool, quote: &[u8]) -> Vec<u8> {
    let mut message = vec![if v6 { icmp::v6::TOO_BIG } else { icmp::v4::UNREACHABLE }, 0, 0, 0, 0, 0, 5, 0];
    message.extend(quote);
    let payload_len = message.len() as u16;
    let mut frame = LINK.to_vec();
    if v6 {
        let (source, destination) = ([0xfd; 16], [0xfc; 16]);
        icmp::fill_checksum(&mut message, &Addresses::V6(source, destination));
        let next_header = ip::PROTOCOL_ICMPV6;
        let (hop_limit, traffic_class, flow_label) = (3, 0, 0);
        let repr =
            Ipv6Repr { source, destination, next_header, hop_limit, traffic_class, flow_label, payload_len };
        frame[16..].copy_from_slice(&[0x86, 0xdd]);
        frame.extend(repr.header().as_bytes());
    } else {
        let (source, destination) = ([203, 0, 113, 1], [192, 0, 2, 1]);
        icmp::fill_checksum(&mut message, &Addresses::V4(source, destination));
        let (protocol, ttl, traffic_class) = (ip::PROTOCOL_ICMP, 3, 0);
        let repr = Ipv4Repr { source, destination, protocol, ttl, traffic_class, payload_len };
        frame[16..].copy_from_slice(&[8, 0]);
        frame.extend(repr.header().as_bytes());
    }
    frame.extend(message);
    frame
}

fn parsed(frame: &[u8]) -> IcmpError {
    match parse(frame) {
        Ok(Packet::IcmpError(error)) => error,
        other => panic!("not an error about TCP but {other:?}"),
    }
}

fn tcp() -> impl Strategy<Value = TcpRepr> {
    (any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(seq, ack, has_ack)| TcpRepr {
        seq: Seq(seq),
        ack: Seq(ack),
        flags: if has_ack { TcpFlags::ACK | TcpFlags::PSH } else { TcpFlags::SYN },
        window: 9,
        ..TcpRepr::default()
    })
}

proptest! {
    /// An error about the segment that we sent on becomes the error about the segment that we received, with the right
    /// checksum, wherever the quotation ends; bytes behind the datagram are nobody's.
    #[test]
    fn quotes_what_the_sender_sent(
        tcp in tcp(), own in any::<i32>(), other in any::<i32>(), v6 in any::<bool>(),
        payload in prop::collection::vec(any::<u8>(), 0..40), cut in 8usize..70, padding in 0usize..3,
    ) {
        let deltas = Deltas { own: Delta(own), other: Delta(other) };
        let mut moved = tcp.clone();
        moved.seq = tcp.seq.plus(deltas.own);
        if tcp.flags.ack() { moved.ack = tcp.ack.minus(deltas.other); }
        let (mut before, mut after) = (segment(v6, &tcp, &payload), segment(v6, &moved, &payload));
        let header_len = if v6 { 40 } else { 20 };
        let end = (header_len + cut).min(after.len());
        before.truncate(end);
        after.truncate(end);
        // What is quoted in half, and an acknowledgment without its flag, cannot be restored.
        for (field, needs) in [(ACK..ACK + 4, FLAGS + 1), (CHECKSUM..CHECKSUM + 2, CHECKSUM + 2)] {
            if cut < needs {
                let kept = (header_len + field.start).min(end)..(header_len + field.end).min(end);
                before[kept.clone()].copy_from_slice(&after[kept]);
            }
        }
        let mut frame = error(v6, &after);
        let len = frame.len();
        frame.extend(std::iter::repeat_n(0xee, padding));
        let found = parsed(&frame);
        restore_quoted(&mut frame, &found, deltas);
        prop_assert!(frame[len..].iter().all(|byte| *byte == 0xee));
        prop_assert_eq!(&frame[..len], &error(v6, &before)[..]);
    }

    /// The quotation of a segment that was rewritten on its way is restored by the same deltas, SACK edges aside; the
    /// message's checksum is right whatever is quoted.
    #[test]
    fn undoes_the_rewriting(
        tcp in tcp(), own in any::<i32>(), other in any::<i32>(), v6 in any::<bool>(),
        flips in prop::collection::vec((0usize..20, any::<u8>()), 0..3),
    ) {
        let deltas = Deltas { own: Delta(own), other: Delta(other) };
        let original = segment(v6, &tcp, b"data");
        let mut frame = [&[0; 12][..], if v6 { &[0x86, 0xdd] } else { &[8, 0] }, &original].concat();
        let Ok(Packet::Tcp(headers)) = parse(&frame) else { panic!("not a segment") };
        delta::apply(&mut frame, &headers, deltas);
        let mut message = error(v6, &frame[14..]);
        let found = parsed(&message);
        restore_quoted(&mut message, &found, deltas);
        prop_assert_eq!(&message, &error(v6, &original));

        let mut garbled = frame[14..].to_vec();
        let tcp_at = garbled.len() - 24;
        for (at, byte) in flips { garbled[tcp_at + at] ^= byte; }
        let mut message = error(v6, &garbled);
        let found = parsed(&message);
        restore_quoted(&mut message, &found, deltas);
        parsed(&message);
    }
}

proptest! {
    /// The quotation of a segment whose timestamps were moved quotes what its sender sent, if all options are there, and its
    /// checksum is right in any case.
    #[test]
    fn quoted_timestamps_are_the_senders(
        tcp in tcp(), value in any::<u32>(), echo in any::<u32>(), own in any::<u32>(), other in any::<u32>(),
        v6 in any::<bool>(), cut in 0usize..60,
    ) {
        let clocks = crate::rewrite::reconcile::Clocks { own, other };
        let sent = crate::wire::tcp_options::Timestamps { value, echo };
        let mut moved = tcp.clone();
        moved.options.timestamps = Some(clocks.moved(sent, tcp.flags.ack()));
        let mut original = tcp;
        original.options.timestamps = Some(sent);
        let datagram = segment(v6, &moved, b"0123456789");
        let ip_len = if v6 { 40 } else { 20 };
        // From the least that is quoted up to all of it.
        let len = (ip_len + 8 + cut).min(datagram.len());
        let mut frame = error(v6, &datagram[..len]);
        let about = parsed(&frame);
        restore_quoted_clocks(&mut frame, &about, clocks);
        let expected = if len >= ip_len + 32 { segment(v6, &original, b"0123456789") } else { datagram };
        prop_assert_eq!(frame, error(v6, &expected[..len]));
    }
}
