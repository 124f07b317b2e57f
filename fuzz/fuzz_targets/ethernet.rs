//! A whole frame, and everything that is done with what was read from it.
#![no_main]

use dataplane::packet::{self, Packet, TcpHeaders};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::checksum::{Sum, Update};
use dataplane::wire::reset::reset_for;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp::{HEADER_LEN, TcpHeader, TcpRepr};
use dataplane::wire::tcp_options::edit_sack_edges;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut frame = input.to_vec();
    check(&frame);
    // The same with a sound IPv4 header checksum, which chance does not find.
    for l3 in [14, 18, 22] {
        if let Some(header) = frame.get_mut(l3..l3 + 20).filter(|header| header[0] == 0x45) {
            header[10..12].fill(0);
            let checksum = Sum::of(header).checksum();
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            check(&frame);
        }
    }
});

fn check(frame: &[u8]) {
    match packet::parse(frame) {
        Ok(Packet::Tcp(headers)) => check_tcp(frame, &headers),
        Ok(Packet::IcmpError(error)) => {
            assert!(error.l3 < error.l4 && error.l4 < error.quoted_l4);
            assert!(error.quoted_l4 + 8 <= error.end && usize::from(error.end) <= frame.len());
        }
        Ok(Packet::Other) | Err(_) => {}
    }
}

fn check_tcp(frame: &[u8], headers: &TcpHeaders) {
    assert!(headers.l3 < headers.l4 && headers.l4 + 20 <= headers.payload);
    assert!(headers.payload <= headers.end && usize::from(headers.end) <= frame.len());
    let segment = &frame[usize::from(headers.l4)..usize::from(headers.end)];
    rewrite(segment, usize::from(headers.payload - headers.l4));

    // What was learnt and read builds a frame that reads the same.
    let template = FrameTemplate::learn(frame, headers);
    let tcp = TcpRepr::parse(segment).expect("parsed before");
    let mut rebuilt = vec![0; template.header_len(&tcp) + headers.payload_len() as usize];
    let payload = &frame[usize::from(headers.payload)..usize::from(headers.end)];
    template.build(&tcp, payload, &mut rebuilt).expect("built into what it asked for");
    let Ok(Packet::Tcp(again)) = packet::parse(&rebuilt) else { panic!("built what is not TCP") };
    assert!(packet::is_tcp_checksum_valid(&rebuilt, &again));
    assert_eq!((again.quad, again.segment, again.seq, again.ack, again.flags, again.window), {
        (headers.quad, headers.segment, headers.seq, headers.ack, headers.flags, headers.window)
    });

    let mut reply = frame.to_vec();
    match reset_for(&mut reply, headers) {
        Some(len) => {
            assert!(len <= usize::from(headers.payload));
            let Ok(Packet::Tcp(reset)) = packet::parse(&reply[..len]) else {
                panic!("a RST that is not TCP")
            };
            assert!(reset.flags.rst() && reset.quad == headers.quad.reversed());
            assert!(packet::is_tcp_checksum_valid(&reply[..len], &reset));
        }
        None => assert_eq!(reply, frame),
    }
}

/// Rewriting as on cut-through moves the checksum by what it changed: the error of the whole stays the same.
fn rewrite(segment: &[u8], header_len: usize) {
    let delta = Delta(0x1234_5677);
    let mut rewritten = segment.to_vec();
    let mut update = Update::NONE;
    edit_sack_edges(&mut rewritten[HEADER_LEN..header_len], &mut update, |edge| edge.minus(delta));
    let header = TcpHeader::view_mut(&mut rewritten).expect("parsed before");
    header.edit_seq(header.seq().plus(delta), &mut update);
    header.edit_ack(Seq(!header.ack().0), &mut update);
    header.edit_window(!header.window.get(), &mut update);
    header.update_checksum(update);
    let error = |segment: &[u8]| Sum::of(segment).folded() % 0xffff;
    assert_eq!(error(segment), error(&rewritten));
}
