//! The answer that a SYN becomes.

use proptest::prelude::*;

use super::*;
use crate::flow::quad::{Addresses, Quad};
pub(crate) use crate::packet::tests::tcp;
use crate::packet::{self, IcmpError, Packet};
use crate::port::sim::{SimBuffer, SimPool};
use crate::wire::build::FrameTemplate;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::seq::Seq;
use crate::wire::tcp::TcpRepr;
use crate::wire::tcp_flags::TcpFlags;
use crate::wire::tcp_options::TcpOptions;

const HOST_UNREACHABLE: IcmpRejection =
    IcmpRejection { v4: (3, 1), v6: (1, 3), from_v4: None, from_v6: None };

pub fn quad(v6: bool) -> Quad {
    let ends = if v6 { ("[fd00::1]:4711", "[fd00::2]:80") } else { ("10.0.0.1:4711", "10.0.0.2:80") };
    Quad::between(ends.0.parse().unwrap(), ends.1.parse().unwrap()).unwrap()
}

pub fn syn_frame(template: &FrameTemplate, seq: u32, payload: &[u8]) -> Vec<u8> {
    let options = TcpOptions { mss: Some(1460), sack_permitted: true, ..TcpOptions::default() };
    let tcp = TcpRepr { seq: Seq(seq), flags: TcpFlags::SYN, options, window: 9, ..TcpRepr::default() };
    let mut frame = vec![0; 2048];
    let len = template.build(&tcp, payload, &mut frame).unwrap();
    frame.truncate(len);
    frame
}

pub fn icmp(frame: &[u8]) -> IcmpError {
    match packet::parse(frame) {
        Ok(Packet::IcmpError(error)) => error,
        other => panic!("not an error about TCP but {other:?}"),
    }
}

fn refused(frame: &[u8], rejection: IcmpRejection) -> Option<SimBuffer> {
    let mut buffer = SimPool::new(1).copy_of(frame).unwrap();
    refuse(&mut buffer, &tcp(frame), &Rejection::Icmp(rejection)).map(|()| buffer)
}

proptest! {
    /// It is read back as an error about that very SYN, quotes as much as fits, and goes back where the SYN came from.
    #[test]
    fn the_error_is_about_the_syn(
        v6 in any::<bool>(), seq in any::<u32>(), payload in prop::collection::vec(any::<u8>(), 0..1400),
        class in any::<u8>(), tagged in 0usize..3, code in 0u8..=6, padding in 0usize..20,
    ) {
        let tags = &[(0x88a8, 0x2007), (0x8100, 5)][..tagged];
        let mut template = FrameTemplate::new([2; 6], [4; 6], tags, 9, quad(v6));
        template.traffic_class = class;
        let mut frame = syn_frame(&template, seq, &payload);
        let datagram = frame[14 + 4 * tagged..].to_vec();
        frame.extend(std::iter::repeat_n(0, padding));
        let rejection = IcmpRejection { v4: (3, if code == 4 { 13 } else { code }), v6: (1, code), ..HOST_UNREACHABLE };
        let reply = refused(&frame, rejection).unwrap();
        let reply = reply.bytes();

        let error = icmp(reply);
        let sort = if v6 { rejection.v6 } else { rejection.v4 };
        prop_assert_eq!((error.quad, error.seq, (error.kind, error.code)), (quad(v6), Seq(seq), sort));
        prop_assert_eq!(usize::from(error.end), reply.len());
        prop_assert_eq!((&reply[..6], &reply[6..12]), (&[4; 6][..], &[2; 6][..]));
        prop_assert_eq!(&reply[12..14 + 4 * tagged], &frame[12..14 + 4 * tagged]);
        let ip = &reply[14 + 4 * tagged..];
        let (headers, limit) = if v6 { (48, 1280) } else { (28, 576) };
        prop_assert_eq!(ip.len(), (datagram.len() + headers).min(limit));
        prop_assert_eq!(&ip[headers..], &datagram[..ip.len() - headers]);
        let (addresses, reply_class) = match v6 {
            false => Ipv4Header::view(ip).map(|header| (header.addresses(), header.traffic_class)).unwrap(),
            true => Ipv6Header::view(ip).map(|header| (header.addresses(), header.traffic_class())).unwrap(),
        };
        prop_assert_eq!(addresses, quad(v6).addresses.reversed());
        prop_assert_eq!(reply_class, if v6 { 0 } else { class & 0x1c | 0xc0 });
    }

    /// Whatever is read as TCP, in whatever frame, can be refused without a panic; and the answer, if any, is sound.
    #[test]
    fn no_frame_panics(
        mut frame in prop::collection::vec(any::<u8>(), 0..120), v6 in any::<bool>(), shape in any::<bool>(),
        flips in prop::collection::vec((0usize..80, any::<u8>()), 0..4), icmp_wanted in any::<bool>(),
    ) {
        if shape {
            frame = syn_frame(&FrameTemplate::new([2; 6], [4; 6], &[], 9, quad(v6)), 1, b"data");
            for (at, byte) in flips {
                let at = at % frame.len();
                frame[at] = byte;
            }
        }
        let Ok(Packet::Tcp(headers)) = packet::parse(&frame) else { return Ok(()) };
        let rejection = if icmp_wanted { Rejection::Icmp(HOST_UNREACHABLE) } else { Rejection::Reset };
        let mut buffer = SimPool::new(1).copy_of(&frame).unwrap();
        if refuse(&mut buffer, &headers, &rejection).is_some() {
            prop_assert!(packet::parse(buffer.bytes()).is_ok());
        }
    }
}

#[test]
fn it_comes_from_the_address_that_was_chosen() {
    let (from_v4, from_v6) = (Some("192.0.2.1".parse().unwrap()), Some("2001:db8::1".parse().unwrap()));
    for v6 in [false, true] {
        let frame = syn_frame(&FrameTemplate::new([2; 6], [4; 6], &[], 9, quad(v6)), 7, b"");
        let reply = refused(&frame, IcmpRejection { from_v4, from_v6, ..HOST_UNREACHABLE }).unwrap();
        assert_eq!(icmp(reply.bytes()).seq, Seq(7));
        let source = match v6 {
            false => Ipv4Header::view(&reply.bytes()[14..]).unwrap().addresses().source(),
            true => Ipv6Header::view(&reply.bytes()[14..]).unwrap().addresses().source(),
        };
        assert_eq!(source.to_string(), if v6 { "2001:db8::1" } else { "192.0.2.1" });
    }
}

#[test]
fn nobody_gets_an_error_about_what_no_host_answers() {
    let template = FrameTemplate::new([2; 6], [4; 6], &[], 9, quad(false));
    let frame = syn_frame(&template, 7, b"");
    assert!(refused(&frame, HOST_UNREACHABLE).is_some());
    let mut reset = frame.clone();
    reset[14 + 20 + 13] = 0x14;
    assert!(refused(&reset, HOST_UNREACHABLE).is_none());

    let to_group = FrameTemplate {
        ethernet: [&[0xff; 6], &frame[6..14]].concat().into_iter().collect(),
        ..template.clone()
    };
    assert!(refused(&syn_frame(&to_group, 7, b""), HOST_UNREACHABLE).is_none());
    for nobody in [[224, 0, 0, 1], [255; 4], [0; 4], [127, 0, 0, 1]] {
        let addresses = Addresses::V4(nobody, [1; 4]);
        let from_nobody = FrameTemplate { quad: Quad { addresses, ..quad(false) }, ..template.clone() };
        assert!(refused(&syn_frame(&from_nobody, 7, b""), HOST_UNREACHABLE).is_none(), "{nobody:?}");
    }
}

#[test]
fn a_full_buffer_and_an_error_that_answers_nothing_are_refused() {
    let frame = syn_frame(&FrameTemplate::new([2; 6], [4; 6], &[], 9, quad(false)), 7, b"");
    let mut tight = SimPool::with_capacity(1, frame.len() + 27).copy_of(&frame).unwrap();
    assert!(refuse(&mut tight, &tcp(&frame), &Rejection::Icmp(HOST_UNREACHABLE)).is_none());
    for sort in [(3, 4), (4, 0), (5, 1), (8, 0), (11, 1), (12, 0), (3, 16)] {
        assert!(refused(&frame, IcmpRejection { v4: sort, ..HOST_UNREACHABLE }).is_none(), "{sort:?}");
    }
    for sort in [(1, 7), (2, 0), (3, 1), (4, 1), (128, 0)] {
        assert!(refused(&frame, IcmpRejection { v6: sort, ..HOST_UNREACHABLE }).is_none(), "{sort:?}");
    }
}
