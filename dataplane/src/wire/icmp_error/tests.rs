//! What a client hears of an error that was about our SYN.

use proptest::prelude::*;

use super::*;
use crate::flow::quad::{Addresses, Quad};
use crate::packet::tests::tcp as headers;
use crate::packet::{self, Packet};
use crate::wire::build::FrameTemplate;
use crate::wire::seq::Seq;
use crate::wire::tcp::TcpRepr;
use crate::wire::tcp_flags::TcpFlags;
use crate::wire::tcp_options::TcpOptions;

const ROUTER_V4: [u8; 4] = [203, 0, 113, 1];
const ROUTER_V6: [u8; 16] = [0xfd; 16];

fn quad(v6: bool, client: u8, server: u8) -> Quad {
    let addresses = match v6 {
        false => Addresses::V4([10, 0, 0, client], [10, 0, 0, server]),
        true => Addresses::V6([client; 16], [server; 16]),
    };
    Quad { addresses, client_port: 4711, server_port: 80 }
}

fn syn(quad: Quad, seq: u32, ttl: u8, mss: Option<u16>) -> Vec<u8> {
    let options = TcpOptions { mss, ..TcpOptions::default() };
    let tcp = TcpRepr { seq: Seq(seq), flags: TcpFlags::SYN, options, window: 9, ..TcpRepr::default() };
    let mut frame = vec![0; 200];
    let len =
        FrameTemplate::new([2; 6], [4; 6], &[(0x8100, 7)], ttl, quad).build(&tcp, b"", &mut frame).unwrap();
    frame.truncate(len);
    frame
}

/// What `from` says about the datagram in `about`, of which it quotes `quote` bytes, with `extensions` behind it.
fn error_of(about: &[u8], from: Addresses, kind: u8, code: u8, quote: usize, extensions: &[u8]) -> Vec<u8> {
    let mut frame = about[..18].to_vec();
    EthernetHeader::view_mut(&mut frame).unwrap().swap_addresses();
    let at = quote_at(18, &from);
    frame.resize(at, 0);
    frame.extend(&about[18..18 + quote]);
    frame.extend(extensions);
    let (rest, ttl, id, flags, flow_label) = ([0, 0, 5, 0], 33, 7, 0, 9);
    let repr = Repr { rest, ttl, id, flags, flow_label, ..Repr::ours((kind, code), from, 0xc0) };
    write_headers(&mut frame, 18, &repr).unwrap();
    frame
}

fn error(frame: &[u8]) -> IcmpError {
    match packet::parse(frame) {
        Ok(Packet::IcmpError(error)) => error,
        other => panic!("not an error about TCP but {other:?}"),
    }
}

fn requoted(frame: &[u8], client: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0xee; 1400];
    let len = requote(frame, &error(frame), client, &headers(client), &mut out)?;
    out.truncate(len);
    Some(out)
}

fn router(v6: bool, to: u8) -> Addresses {
    if v6 { Addresses::V6(ROUTER_V6, [to; 16]) } else { Addresses::V4(ROUTER_V4, [10, 0, 0, to]) }
}

proptest! {
    /// Other number, other options, fewer hops left: the client gets what the same router would have said about its own
    /// SYN, to the byte, wherever the quotation ends.
    #[test]
    fn it_is_the_error_about_the_clients_own_syn(
        v6 in any::<bool>(), own in any::<u32>(), ours in any::<u32>(), cut in 8usize..32, kind in 1u8..=4,
    ) {
        let kind = if v6 { kind } else { [3, 4, 11, 12][usize::from(kind) - 1] };
        let (client, server) = (syn(quad(v6, 1, 2), own, 60, Some(1460)), syn(quad(v6, 1, 2), ours, 5, None));
        let header_len = if v6 { 40 } else { 20 };
        let quote = (header_len + cut).min(server.len() - 18);
        let got = requoted(&error_of(&server, router(v6, 1), kind, 3, quote, &[]), &client).unwrap();

        let as_it_arrived = syn(quad(v6, 1, 2), own, 5, Some(1460));
        let whole = quote == server.len() - 18;
        let quote = if whole { client.len() - 18 } else { quote };
        prop_assert_eq!(got, error_of(&as_it_arrived, router(v6, 1), kind, 3, quote, &[]));
    }

    /// The quotation may be anything that is still read as one.
    #[test]
    fn no_error_panics(
        v6 in any::<bool>(), flips in prop::collection::vec((0usize..120, any::<u8>()), 0..5), room in 0usize..200,
    ) {
        let client = syn(quad(v6, 1, 2), 1, 60, Some(1460));
        let mut frame = error_of(&client, router(v6, 1), 3, 0, client.len() - 18, &[]);
        for (at, byte) in flips {
            let at = at % frame.len();
            frame[at] = byte;
        }
        let Ok(Packet::IcmpError(error)) = packet::parse(&frame) else { return Ok(()) };
        let mut out = vec![0; room];
        if let Some(len) = requote(&frame, &error, &client, &headers(&client), &mut out) {
            prop_assert!(len <= room);
        }
    }
}

#[test]
fn other_addresses_become_the_clients() {
    for v6 in [false, true] {
        // The client 1 has asked 2; we have asked 8, as 7, with another tag.
        let client = syn(quad(v6, 1, 2), 1000, 60, Some(1460));
        let mut ours = syn(quad(v6, 7, 8), 1, 60, None);
        ours[15] = 9;
        let kind = if v6 { 1 } else { 3 };
        let quote = ours.len() - 18;
        let from_router = requoted(&error_of(&ours, router(v6, 7), kind, 1, quote, &[]), &client).unwrap();
        assert_eq!(from_router, error_of(&client, router(v6, 1), kind, 1, client.len() - 18, &[]));
        let server = quad(v6, 7, 8).addresses.reversed();
        let from_server = requoted(&error_of(&ours, server, kind, 1, quote, &[]), &client).unwrap();
        let asked = quad(v6, 1, 2).addresses.reversed();
        assert_eq!(from_server, error_of(&client, asked, kind, 1, client.len() - 18, &[]));
    }
}

#[test]
fn extensions_go_and_so_does_what_says_where_they_begin() {
    for (v6, kind) in [(false, 3), (false, 11), (true, 1), (true, 3)] {
        let client = syn(quad(v6, 1, 2), 1000, 60, Some(1460));
        let ours = syn(quad(v6, 1, 2), 1, 60, None);
        let padded = [&ours[..], &[0; 100]].concat();
        let mut frame = error_of(&padded, router(v6, 1), kind, 0, 128, b"\x20\0\x12\x34\0\x08\x01\x01mpls");
        let l4 = 18 + ip_header_len(&router(v6, 1));
        frame[l4 + if v6 { 4 } else { 5 }] = if v6 { 16 } else { 32 };
        icmp::fill_checksum(&mut frame[l4..], &router(v6, 1));
        let got = requoted(&frame, &client).unwrap();
        assert_eq!(got, error_of(&client, router(v6, 1), kind, 0, client.len() - 18, &[]), "{v6} {kind}");
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let client = syn(quad(true, 1, 2), 1000, 60, None);
    let ours = syn(quad(false, 1, 2), 1000, 60, None);
    assert_eq!(requoted(&error_of(&ours, router(false, 1), 3, 1, 40, &[]), &client), None);
}
