//! Frames cut off, flipped, and made of noise.

use super::*;
use crate::wire::reset;

/// What the packet's offsets promise.
fn check(frame: &[u8]) {
    same_on_the_short_cut(frame);
    match parse(frame) {
        Ok(Packet::Tcp(headers)) => {
            assert!(headers.l3 < headers.l4 && headers.l4 + 20 <= headers.payload);
            assert!(headers.payload <= headers.end && usize::from(headers.end) <= frame.len());
            let template = FrameTemplate::learn(frame, &headers);
            assert_eq!(template.ethernet[..], frame[..usize::from(headers.l3)]);
            assert!(TcpRepr::parse(&frame[usize::from(headers.l4)..]).is_some());
            let mut reply = frame.to_vec();
            if let Some(len) = reset::reset_for(&mut reply, &headers) {
                assert!(len <= usize::from(headers.payload));
                assert_eq!(tcp(&reply[..len]).quad, headers.quad.reversed());
            } else {
                assert_eq!(reply, frame);
            }
        }
        Ok(Packet::IcmpError(error)) => {
            assert!(error.l3 < error.l4 && error.l4 + 8 < error.quoted_l4);
            assert!(error.quoted_l4 + 8 <= error.end && usize::from(error.end) <= frame.len());
        }
        Ok(Packet::Other) | Err(_) => {}
    }
}

fn samples() -> Vec<Vec<u8>> {
    let tags = [(vlan::TPID_SERVICE, 7), (vlan::TPID_CUSTOMER, 5)];
    [false, true]
        .into_iter()
        .flat_map(|v6| [template(v6), FrameTemplate::new([2; 6], [4; 6], &tags, 64, quad(v6))])
        .map(|template| build(&template, &data(), b"hello"))
        .collect()
}

#[test]
fn truncation_at_every_length_is_a_named_drop() {
    for frame in samples() {
        tcp(&frame);
        for len in 0..frame.len() {
            assert!(parse(&frame[..len]).is_err(), "{len} of {} bytes", frame.len());
        }
    }
}

#[test]
fn every_value_of_every_byte() {
    for frame in samples() {
        for at in 0..frame.len() {
            let mut flipped = frame.clone();
            for value in 0..=255 {
                flipped[at] = value;
                check(&flipped);
                if at >= 14 && frame[12..14] == [8, 0] {
                    fix_ipv4_checksum(&mut flipped);
                    check(&flipped);
                }
                flipped.copy_from_slice(&frame);
            }
        }
    }
}

proptest! {
    #[test]
    fn noise(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&frame);
    }

    #[test]
    fn noise_behind_a_sound_start(
        sample in 0usize..4,
        keep in 12usize..80,
        noise in proptest::collection::vec(any::<u8>(), 0..150),
    ) {
        let mut frame = samples().swap_remove(sample);
        frame.truncate(keep);
        frame.extend(noise);
        check(&frame);
        if frame.len() > 80 {
            fix_ipv4_checksum(&mut frame);
            check(&frame);
        }
    }

    #[test]
    fn setting_a_ttl_keeps_the_header_sound(ttl in 1u8..) {
        let mut frame = data_frame(false);
        Ipv4Header::view_mut(&mut frame[14..]).unwrap().set_ttl(ttl);
        tcp(&frame);
    }
}

/// What the short cut has read, of either family.
fn by_the_short_cut(frame: &[u8]) -> Option<TcpHeaders> {
    let read = |sort| [plain::read::<Ipv4Header>(frame, sort), plain::read::<Ipv6Header>(frame, sort)];
    let of_either = read(Combinations::SOUND);
    let [opening, later] = [Combinations::OPENING, Combinations::LATER].map(read);
    let either_sort = [opening[0].or(later[0]), opening[1].or(later[1])];
    assert!(of_either == either_sort, "a frame that is plain is of one sort");
    let both = opening.iter().flatten().chain(later.iter().flatten()).count();
    assert!(both < 2, "and of no other");
    let read = of_either.into_iter().flatten().next();
    let v4 = of_either[0].is_some();
    let again = if v4 { plain::read_again::<Ipv4Header> } else { plain::read_again::<Ipv6Header> };
    assert!(read.is_none() || read == again(frame), "what is read again is what has been read");
    assert!(!v4 || of_either[1].is_none(), "no frame is of both families");
    read
}

/// What the short cut says of a frame is what the long way says.
fn same_on_the_short_cut(frame: &[u8]) {
    if let Some(headers) = by_the_short_cut(frame) {
        assert_eq!(parse_any(frame), Ok(Packet::Tcp(headers)), "{frame:02x?}");
    }
}

/// Frames that are nearly plain: each byte of the headers is given each value that could mean something to it.
#[test]
fn the_short_cut_takes_what_is_plain_and_nothing_else() {
    for v6 in [false, true] {
        let frame = data_frame(v6);
        assert!(by_the_short_cut(&frame).is_some(), "most frames are like this one");
        for at in 12..frame.len() {
            for value in 0..=255 {
                let mut frame = frame.clone();
                frame[at] = value;
                same_on_the_short_cut(&frame);
                if !v6 {
                    fix_ipv4_checksum(&mut frame);
                    same_on_the_short_cut(&frame);
                }
            }
        }
    }
}
