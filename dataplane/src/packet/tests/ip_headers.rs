//! IPv4 headers and IPv6 extension header chains, sound and not.

use super::*;
use crate::wire::ipv6;

#[test]
fn malformed_ipv4() {
    type Edit = fn(&mut Vec<u8>);
    let table: &[(&str, Edit, Counter)] = &[
        ("version 5", |f| f[14] = 0x55, Counter::DropMalformedIpv4),
        ("header length 16", |f| f[14] = 0x44, Counter::DropMalformedIpv4),
        ("header beyond the datagram", |f| f[17] = 19, Counter::DropMalformedIpv4),
        ("datagram beyond the frame", |f| f[17] += 1, Counter::DropMalformedIpv4),
        ("TTL 0", |f| f[22] = 0, Counter::DropTtlZero),
        ("source is destination", |f| f.copy_within(26..30, 30), Counter::DropLand),
        ("no room for TCP", |f| f[17] = 39, Counter::DropMalformedTcp),
    ];
    for (name, edit, counter) in table {
        assert_eq!(parse(&with_ipv4(edit)), Err(*counter), "{name}");
    }
    let mut frame = data_frame(false);
    frame[24] ^= 1;
    assert_eq!(parse(&frame), Err(Counter::DropIpv4Checksum));
    assert_eq!(parse(&data_frame(false)[..33]), Err(Counter::DropMalformedIpv4));
}

#[test]
fn what_is_not_tcp_crosses_however_odd() {
    type Edit = fn(&mut Vec<u8>);
    let table: &[(&str, Edit)] = &[
        ("sound", |_| {}),
        ("header length 16", |f| f[14] = 0x44),
        ("datagram beyond the frame", |f| f[16] = 0xff),
        ("TTL 0", |f| f[22] = 0),
        ("checksum", |f| f[24] ^= 0x55),
        ("land", |f| f.copy_within(26..30, 30)),
        ("fragment offset 1", |f| f[21] = 1),
    ];
    for protocol in [0, 1, 2, 4, 17, 41, 47, 50, 51, 89, 132, 255] {
        for (name, edit) in table {
            let mut frame = with_ipv4(|f| f[23] = protocol);
            edit(&mut frame);
            assert_eq!(parse(&frame), Ok(Packet::Other), "protocol {protocol}: {name}");
        }
    }
}

/// A frame with `options` in its IPv4 header; their length a multiple of 4.
fn with_ipv4_options(options: &[u8]) -> Vec<u8> {
    with_ipv4(|frame| {
        frame.splice(34..34, options.iter().copied());
        frame[14] += (options.len() / 4) as u8;
        frame[17] += options.len() as u8;
    })
}

#[test]
fn ipv4_options_move_the_tcp_header() {
    for len in [4, 8, 40] {
        let frame = with_ipv4_options(&vec![1; len]);
        let headers = tcp(&frame);
        assert_eq!(usize::from(headers.l4), 34 + len);
        assert!(is_tcp_checksum_valid(&frame, &headers));
    }
}

#[test]
fn a_source_route_in_progress_names_no_quad() {
    for kind in [131, 137] {
        let mut route = [1, kind, 7, 4, 10, 0, 0, 1];
        assert_eq!(parse(&with_ipv4_options(&route)), Ok(Packet::Other));
        route[3] = 8; // Used up.
        tcp(&with_ipv4_options(&route));
        tcp(&with_ipv4_options(&[0, kind, 7, 4])); // Behind the end of the list.
    }
    for odd in [[7, 0, 1, 1], [7, 1, 1, 1], [7, 99, 1, 1], [1, 1, 1, 131], [1, 1, 131, 2]] {
        tcp(&with_ipv4_options(&odd));
    }
}

/// A frame with extension headers: each is its type and its bytes, whose first is filled in with the next type.
fn with_extensions(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut frame = data_frame(true);
    let mut chain = Vec::new();
    for (index, (_, bytes)) in extensions.iter().enumerate() {
        let next = extensions.get(index + 1).map_or(6, |(kind, _)| *kind);
        chain.push(next);
        chain.extend(&bytes[1..]);
    }
    if let Some((first, _)) = extensions.first() {
        frame[20] = *first;
    }
    let payload_len = u16::from_be_bytes([frame[18], frame[19]]) + chain.len() as u16;
    frame[18..20].copy_from_slice(&payload_len.to_be_bytes());
    frame.splice(54..54, chain);
    frame
}

const PAD: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
const LONG: &[u8] = &[0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const ROUTED: &[u8] = &[0, 0, 4, 0, 0, 0, 0, 0];
const ATOMIC: &[u8] = &[0, 0, 0, 0, 1, 2, 3, 4];

#[test]
fn extension_headers_are_walked() {
    let chains: &[&[(u8, &[u8])]] = &[
        &[],
        &[(0, PAD)],
        &[(60, LONG)],
        &[(0, PAD), (60, PAD), (43, ROUTED), (44, ATOMIC), (60, LONG)],
        &[(60, PAD); ipv6::MAX_EXTENSIONS],
    ];
    for chain in chains {
        let frame = with_extensions(chain);
        let headers = tcp(&frame);
        let len: usize = chain.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!((usize::from(headers.l4), headers.first_fragment), (54 + len, false));
        assert!(is_tcp_checksum_valid(&frame, &headers));
    }
}

#[test]
fn chains_that_end_elsewhere_cross() {
    let chains: &[&[(u8, &[u8])]] = &[
        &[(43, &[0, 0, 4, 1, 0, 0, 0, 0])], // A segment left.
        &[(51, PAD)],                       // AH: rewriting would break it.
        &[(50, PAD)],
        &[(59, PAD)],
        &[(0, PAD), (135, PAD)],
        &[(60, PAD), (253, PAD)],
    ];
    for chain in chains {
        assert_eq!(parse(&with_extensions(chain)), Ok(Packet::Other), "{chain:?}");
    }
}

#[test]
fn malformed_ipv6() {
    let long: &[u8] = &[&[0, 32][..], &[0; 262]].concat();
    let chains: &[&[(u8, &[u8])]] = &[
        &[(60, PAD); ipv6::MAX_EXTENSIONS + 1],
        &[(60, long), (60, long)],
        &[(44, ATOMIC), (44, ATOMIC)],
        &[(60, &[0, 255, 0, 0, 0, 0, 0, 0])],
    ];
    for chain in chains {
        assert_eq!(parse(&with_extensions(chain)), Err(Counter::DropMalformedIpv6), "{chain:?}");
    }
    type Edit = fn(&mut Vec<u8>);
    let table: &[(&str, Edit, Counter)] = &[
        ("version 4", |f| f[14] = 0x40, Counter::DropMalformedIpv6),
        ("payload beyond the frame", |f| f[19] += 1, Counter::DropMalformedIpv6),
        ("hop limit 0", |f| f[21] = 0, Counter::DropTtlZero),
        ("source is destination", |f| f.copy_within(22..38, 38), Counter::DropLand),
        ("no room for TCP", |f| f[19] = 19, Counter::DropMalformedTcp),
        ("payload length 0", |f| f[18..20].fill(0), Counter::DropMalformedTcp),
    ];
    for (name, edit, counter) in table {
        let mut frame = data_frame(true);
        edit(&mut frame);
        assert_eq!(parse(&frame), Err(*counter), "{name}");
    }
    // RFC 2675: the jumbo payload option, and a payload length of 0.
    let mut jumbo = with_extensions(&[(0, &[0, 0, 0xc2, 4, 0, 1, 0, 0])]);
    jumbo[18..20].fill(0);
    assert_eq!(parse(&jumbo), Err(Counter::DropMalformedIpv6));
}
