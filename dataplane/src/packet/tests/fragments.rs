//! First, tiny, overlapping and later fragments.

use super::*;

/// The data frame's IPv4 flags and fragment offset word replaced.
fn v4(word: u16) -> Vec<u8> {
    with_ipv4(|frame| frame[20..22].copy_from_slice(&word.to_be_bytes()))
}

/// The data frame with a fragment header before `next`.
fn v6(next: u8, offset: u16, more: bool) -> Vec<u8> {
    let mut frame = data_frame(true);
    let [a, b] = (offset << 3 | u16::from(more)).to_be_bytes();
    frame[20] = 44;
    frame[19] += 8;
    frame.splice(54..54, [next, 0, a, b, 0, 0, 0, 9]);
    frame
}

#[test]
fn first_fragments_are_tcp() {
    for (frame, l4) in [(v4(0x2000), 34), (v6(6, 0, true), 62)] {
        let headers = tcp(&frame);
        assert!(headers.first_fragment && !is_tcp_checksum_valid(&frame, &headers));
        assert_eq!((headers.l4, headers.payload), (l4, l4 + 32));
    }
}

#[test]
fn whole_datagrams_are_no_fragments() {
    for frame in [v4(0x0000), v4(0x4000), v4(0x8000), v6(6, 0, false)] {
        assert!(!tcp(&frame).first_fragment);
    }
}

#[test]
fn offsets_that_overwrite_the_header() {
    for offset in [1, 2] {
        for frame in [v4(offset), v4(0x2000 | offset), v6(6, offset, false), v6(6, offset, true)] {
            assert_eq!(parse(&frame), Err(Counter::DropTinyFragment), "offset {offset}");
        }
    }
    for offset in [3, 4, 185, 0x1fff] {
        for frame in [v4(offset), v4(0x2000 | offset), v6(6, offset, false), v6(6, offset, true)] {
            assert_eq!(parse(&frame), Ok(Packet::Other), "offset {offset}");
        }
    }
    // Not TCP, or TCP behind more headers in the first fragment: nothing of the TCP header is there.
    assert_eq!(parse(&v6(17, 1, true)), Ok(Packet::Other));
    assert_eq!(parse(&v6(60, 1, true)), Ok(Packet::Other));
}

#[test]
fn first_fragments_too_small_for_the_header() {
    for tcp_len in 0..32 {
        let frame = with_ipv4(|frame| {
            frame[20] = 0x20;
            frame[17] = 20 + tcp_len;
        });
        assert_eq!(parse(&frame), Err(Counter::DropTinyFragment), "{tcp_len} bytes");
        let mut frame = v6(6, 0, true);
        frame[19] = 8 + tcp_len;
        assert_eq!(parse(&frame), Err(Counter::DropTinyFragment), "{tcp_len} bytes");
    }
    // RFC 7112: the chain does not end in the first fragment.
    let mut frame = v6(60, 0, true);
    frame[63] = 255;
    assert_eq!(parse(&frame), Err(Counter::DropTinyFragment));
}
