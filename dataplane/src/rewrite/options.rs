//! A segment without some of its options, all else of its frame as it came.
//!
//! No input panics: what is malformed is refused.

use zerocopy::IntoBytes;

use crate::flow::quad::Addresses;
use crate::packet::TcpHeaders;
use crate::wire::checksum::{Sum, Update};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::tcp::{HEADER_LEN, TcpHeader};
use crate::wire::tcp_options::without;

/// Writes `frame`, of which `headers` were read, to `out` without those options of which `is_unwanted` says so, given kind
/// and data; returns its length. Padding of the link goes too.
///
/// The lengths that IP and TCP say are lowered. The TCP checksum moves by what has changed (RFC 1624): one that was wrong
/// stays wrong. `None`, and `out` in an unspecified state, when there is no such option, the options are malformed, the
/// datagram is a fragment or not what `headers` say, or `out` is shorter.
pub fn strip(
    frame: &[u8],
    headers: &TcpHeaders,
    is_unwanted: impl FnMut(u8, &[u8]) -> bool,
    out: &mut [u8],
) -> Option<usize> {
    let [l3, l4, payload, end] = [headers.l3, headers.l4, headers.payload, headers.end].map(usize::from);
    let options = frame.get(l4 + HEADER_LEN..payload)?;
    let rest = without(options, is_unwanted)?;
    if headers.first_fragment {
        return None;
    }
    let gone = options.len() - rest.len();
    let header_end = l4 + HEADER_LEN + rest.len();
    out.get_mut(..l4 + HEADER_LEN)?.copy_from_slice(frame.get(..l4 + HEADER_LEN)?);
    out.get_mut(l4 + HEADER_LEN..header_end)?.copy_from_slice(&rest);
    out.get_mut(header_end..end - gone)?.copy_from_slice(frame.get(payload..end)?);
    let ip = out.get_mut(l3..)?;
    match headers.quad.addresses {
        Addresses::V4(..) => {
            let header = Ipv4Header::view_mut(ip)?;
            let (before, after) = (header.total_len.get(), header.total_len.get().checked_sub(gone as u16)?);
            header.total_len.set(after);
            let mut update = Update::NONE;
            update.word16(before, after);
            header.checksum.set(update.apply(header.checksum.get()));
        }
        Addresses::V6(..) => {
            let header = Ipv6Header::view_mut(ip)?;
            let len = (end - gone).checked_sub(l3 + ipv6::HEADER_LEN)?;
            header.payload_len.set(u16::try_from(len).ok()?);
        }
    }
    let header = TcpHeader::view_mut(out.get_mut(l4..)?)?;
    // What has gone is summed with the header that it was in; the payload stands at as even an offset as before.
    let before = header_sum(header, options) + length(end - l4);
    header.shrink(gone)?;
    let after = header_sum(header, &rest) + length(end - gone - l4);
    let mut update = Update::NONE;
    update.word16(before.folded(), after.folded());
    header.update_checksum(update);
    Some(end - gone)
}

fn header_sum(header: &TcpHeader, options: &[u8]) -> Sum {
    Sum::of(header.as_bytes()) + Sum::of(options)
}

/// What the pseudo-header says of it.
fn length(segment: usize) -> Sum {
    Sum::of(&(segment as u32).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::quad::Quad;
    use crate::packet::{self, Packet, is_tcp_checksum_valid};
    use crate::wire::build::FrameTemplate;
    use crate::wire::tcp::TcpRepr;
    use crate::wire::tcp_flags::TcpFlags;
    use crate::wire::tcp_options::{TcpOptions, Timestamps, kind, packed};

    fn parse(frame: &[u8]) -> TcpHeaders {
        match packet::parse(frame) {
            Ok(Packet::Tcp(headers)) => headers,
            other => panic!("{other:?}"),
        }
    }

    fn options() -> TcpOptions {
        TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 9, echo: 0 }),
            ..TcpOptions::default()
        }
    }

    fn syn(v6: bool, mark: &[u8], payload: &[u8]) -> Vec<u8> {
        let (client, server) =
            if v6 { ("[fd00::1]:4000", "[fd00::9]:500") } else { ("10.0.0.1:4000", "10.0.0.9:500") };
        let quad = Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap();
        let template = FrameTemplate::new([2; 6], [1; 6], &[(0x8100, 7)], 60, quad);
        let tcp = TcpRepr { flags: TcpFlags::SYN, window: 9, ..TcpRepr::default() };
        let words = packed(&options(), mark).unwrap();
        // The payload goes in as if it were options; then the header is made as long as it is.
        let mut frame = vec![0; 200];
        let len = template.build_with_options(&tcp, &words, &mut frame).unwrap();
        frame.truncate(len);
        if payload.is_empty() {
            return frame;
        }
        let at = template.emit(&tcp, words.len() + payload.len(), &mut frame).unwrap();
        frame.truncate(at);
        frame.extend(words.iter().chain(payload));
        frame[template.l4() + 12] += (words.len() as u8 / 4) << 4;
        template.fill_checksum(&mut frame);
        frame
    }

    #[test]
    fn what_is_left_is_what_it_would_have_been_without() {
        for v6 in [false, true] {
            for payload in [&b""[..], b"x", b"early data"] {
                let mark = [kind::EXPERIMENT, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
                let mut marked = syn(v6, &mark, payload);
                let plain = syn(v6, b"", payload);
                let headers = parse(&marked);
                let mut out = [0; 256];
                let unwanted = |kind, data: &[u8]| kind == kind::EXPERIMENT && data.len() == 16;
                marked.extend([0xee; 3]);
                let len = strip(&marked, &headers, unwanted, &mut out).unwrap();
                assert_eq!(out[..len], plain, "{v6} {payload:?}");
                assert!(is_tcp_checksum_valid(&out[..len], &parse(&out[..len])));
                // A corrupt one stays as corrupt.
                *marked.get_mut(usize::from(headers.l4) + 5).unwrap() ^= 1;
                let len = strip(&marked, &headers, unwanted, &mut out).unwrap();
                assert!(!is_tcp_checksum_valid(&out[..len], &parse(&out[..len])));
            }
        }
    }

    #[test]
    fn without_such_an_option_or_room_nothing_is_written() {
        let frame = syn(true, b"", b"");
        let headers = parse(&frame);
        let mut out = [0; 256];
        assert_eq!(strip(&frame, &headers, |_, _| false, &mut out), None);
        for short in 0..frame.len() - 4 {
            assert_eq!(strip(&frame, &headers, |kind, _| kind == kind::MSS, &mut out[..short]), None);
            assert_eq!(strip(&frame[..short], &headers, |kind, _| kind == kind::MSS, &mut [0; 256]), None);
        }
        assert!(strip(&frame, &headers, |kind, _| kind == kind::MSS, &mut out).is_some());
    }
}
