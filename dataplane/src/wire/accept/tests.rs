//! The SYN-ACK that a SYN becomes, against RFC 9293 section 3.10.7.2 and a full computation of its checksums.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::flow::quad::Quad;
use crate::packet::is_tcp_checksum_valid;
use crate::packet::tests::tcp as headers;
use crate::wire::build::FrameTemplate;
use crate::wire::checksum;
use crate::wire::ipv4::{Ipv4Header, Ipv4Repr};
use crate::wire::tcp::{self, TcpRepr};
use crate::wire::tcp_options::{TcpOptions, Timestamps, kind, walk};

const OURS: Acceptance = Acceptance { seq: Seq(u32::MAX), window: 16384, mss: 1400, shift: 7, clock: 0xfeed };

fn template(v6: bool, tags: &[(u16, u16)]) -> FrameTemplate {
    let addresses =
        if v6 { Addresses::V6([0x20; 16], [0x30; 16]) } else { Addresses::V4([10, 0, 0, 1], [10, 0, 0, 2]) };
    let quad = Quad { addresses, client_port: 4711, server_port: 80 };
    FrameTemplate::new([2; 6], [4; 6], tags, 9, quad)
}

/// A SYN with these options, byte for byte.
fn syn(template: &FrameTemplate, options: &[u8]) -> Vec<u8> {
    let tcp = TcpRepr { seq: Seq(1000), flags: TcpFlags::SYN, window: 64_240, ..TcpRepr::default() };
    let mut frame = vec![0; 200];
    let len = template.build_with_options(&tcp, options, &mut frame).unwrap();
    frame.truncate(len);
    frame
}

fn accepted(frame: &[u8]) -> Option<Vec<u8>> {
    let (mut answer, headers) = (frame.to_vec(), headers(frame));
    let len = accept(&mut answer, &headers, super::read(frame, &headers)?, &OURS)?;
    answer.truncate(len);
    Some(answer)
}

/// What it says, once all that can be checked has been.
fn read(answer: &[u8]) -> (TcpHeaders, TcpOptions) {
    let headers = headers(answer);
    assert!(is_tcp_checksum_valid(answer, &headers));
    if !headers.quad.addresses.is_v6() {
        assert!(checksum::is_valid(&answer[usize::from(headers.l3)..usize::from(headers.l4)]));
    }
    let options = &answer[usize::from(headers.l4) + tcp::HEADER_LEN..usize::from(headers.payload)];
    (headers, TcpOptions::parse(options).unwrap())
}

const LINUX: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 3, 3, 10];

#[test]
fn a_syn_of_linux_is_turned_round() {
    for v6 in [false, true] {
        for tags in [&[][..], &[(0x8100, 0x6007)]] {
            let mut frame = syn(&FrameTemplate { traffic_class: 0xb9, ..template(v6, tags) }, &LINUX);
            let before = headers(&frame);
            frame.extend([0; 6]);
            let answer = accepted(&frame).unwrap();
            assert_eq!(answer.len(), frame.len() - 6, "padding goes");
            let (said, options) = read(&answer);
            assert_eq!((said.quad, said.segment), (before.quad.reversed(), before.segment));
            assert_eq!((said.seq, said.ack, said.window), (OURS.seq, Seq(1001), OURS.window));
            assert_eq!(said.flags, TcpFlags::SYN | TcpFlags::ACK);
            let expected = TcpOptions {
                mss: Some(1400),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps: Some(Timestamps { value: 0xfeed, echo: 0x102 }),
                ..TcpOptions::default()
            };
            assert_eq!(options, expected);
            assert_eq!((&answer[..6], &answer[6..12]), (&[4; 6][..], &[2; 6][..]));
            let learned = FrameTemplate::learn(&answer, &said);
            assert_eq!((learned.ttl, learned.traffic_class), (TTL, 0xb8));
        }
    }
}

/// Nothing of them stays that is not said of a segment of its own: but for reserved bits, which are nobody's.
#[test]
fn headers_are_those_of_a_new_datagram() {
    let mut frame = syn(&FrameTemplate { traffic_class: 0xba, ..template(false, &[]) }, &LINUX);
    let before = headers(&frame);
    let (ip, segment) = frame[14..].split_at_mut(20);
    ip[4..8].copy_from_slice(&[0xab, 0xcd, 0x80, 0]);
    Ipv4Header::view_mut(ip).unwrap().fill_checksum();
    // A reserved bit, ECN's three, and an urgent pointer.
    (segment[12], segment[13], segment[19]) = (segment[12] | 0x9, segment[13] | 0xc0, 5);
    tcp::fill_checksum(segment, &before.quad.addresses);
    let answer = accepted(&frame).unwrap();
    let Addresses::V4(source, destination) = before.quad.addresses.reversed() else { unreachable!() };
    let (protocol, ttl, traffic_class) = (PROTOCOL_TCP, TTL, 0xb8);
    let header = Ipv4Repr { source, destination, protocol, ttl, traffic_class, payload_len: 40 }.header();
    assert_eq!(Ipv4Header::view(&answer[14..]), Some(&header));
    assert_eq!(read(&answer).0.flags, TcpFlags::SYN | TcpFlags::ACK);
    assert_eq!((&answer[46..48], &answer[52..54]), (&[0xa8, 0x12][..], &[0, 0][..]));
}

#[test]
fn what_is_not_accepted_becomes_padding() {
    // Fast Open, MPTCP, and an experiment, around an MSS at an odd place.
    let odd = [1, 34, 2, 2, 4, 5, 180, 30, 4, 0, 1, 254, 4, 1, 2, 0];
    let answer = accepted(&syn(&template(false, &[]), &odd)).unwrap();
    let (said, options) = read(&answer);
    assert_eq!(options, TcpOptions { mss: Some(1400), ..TcpOptions::default() });
    assert_eq!(usize::from(said.end), answer.len());
    let bare = accepted(&syn(&template(true, &[]), &[])).unwrap();
    assert_eq!(read(&bare).1, TcpOptions::default(), "no larger than the SYN");
}

#[test]
fn what_is_no_common_syn_is_left_alone_and_data_goes() {
    let template = template(false, &[]);
    let tcp = TcpRepr { seq: Seq(1000), flags: TcpFlags::SYN, ..TcpRepr::default() };
    let mut frame = vec![0; 200];
    let len = template.build(&tcp, b"data", &mut frame).unwrap();
    let answer = accepted(&frame[..len]).unwrap();
    let (said, _) = read(&answer);
    assert_eq!(
        (said.ack, said.payload_len(), answer.len()),
        (Seq(1001), 0, len - 4),
        "its data it says again"
    );
    let bare = syn(&template, &LINUX);
    let fragment = TcpHeaders { first_fragment: true, ..headers(&bare) };
    assert_eq!(super::read(&bare, &fragment), None);
    let with_ip_options = TcpHeaders { l3: 10, ..headers(&bare) };
    assert_eq!(super::read(&bare, &with_ip_options), None);
    let mut from_group = bare.clone();
    from_group[6] |= 1;
    assert_eq!(accepted(&from_group), None, "it would go to all of them");
    let signed = [&[19, 18][..], &[7; 16], &[2, 4, 5, 180, 1, 1]].concat();
    assert_eq!(accepted(&syn(&template, &signed)), None, "nobody in between can sign");
}

/// Options in any order and alignment, with strangers among them.
fn any_options() -> impl Strategy<Value = Vec<u8>> {
    let one = prop_oneof![
        Just(vec![1]),
        any::<[u8; 2]>().prop_map(|[a, b]| vec![2, 4, a, b]),
        (0u8..15).prop_map(|shift| vec![3, 3, shift]),
        Just(vec![4, 2]),
        any::<[u8; 8]>().prop_map(|data| [&[8, 10], &data[..]].concat()),
        (30u8..40, proptest::collection::vec(any::<u8>(), 0..6)).prop_map(|(kind, data)| [
            &[kind, data.len() as u8 + 2],
            &data[..]
        ]
        .concat()),
    ];
    proptest::collection::vec(one, 0..8).prop_map(|all| {
        let mut options = Vec::new();
        for one in all {
            if options.len() + one.len() <= 40 {
                options.extend(one);
            }
        }
        options.resize(options.len().next_multiple_of(4), 0);
        options
    })
}

proptest! {
    #[test]
    fn it_promises_what_was_asked_for_in_a_sound_frame_of_the_same_length(options in any_options(), v6 in any::<bool>()) {
        let frame = syn(&template(v6, &[]), &options);
        let asked = TcpOptions::parse(&options).unwrap();
        let answer = accepted(&frame).unwrap();
        prop_assert_eq!(answer.len(), frame.len());
        let (_, said) = read(&answer);
        prop_assert_eq!(said.window_scale, asked.window_scale.map(|_| 7));
        prop_assert_eq!(said.sack_permitted, asked.sack_permitted);
        prop_assert_eq!(said.timestamps, asked.timestamps.map(|asked| Timestamps { value: 0xfeed, echo: asked.value }));
        // An MSS of 0 is none; the place that it has says ours.
        prop_assert!(asked.mss.is_none() || said.mss == Some(1400));
        prop_assert!(!said.other);
        let kinds: Vec<u8> = walk(&answer[usize::from(headers(&answer).l4) + tcp::HEADER_LEN..])
            .map(|option| option.unwrap().kind)
            .filter(|kind| *kind != kind::SACK_PERMITTED)
            .collect();
        prop_assert_eq!(kinds.iter().collect::<HashSet<_>>().len(), kinds.len(), "each once: {:?}", kinds);
    }
}
