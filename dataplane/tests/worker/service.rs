//! The appliance's own addresses: found by ARP and neighbour discovery, and they answer echo requests.

use super::OFFER;
use super::bench::{Bench, CLIENT, SERVER, frame, quad, rules};
use dataplane::counters::Counter;
use dataplane::flow::quad::{Addresses, Quad};
use dataplane::wire::icmp;
use dataplane::wire::ipv4::Ipv4Repr;
use dataplane::wire::ipv6::Ipv6Repr;
use dataplane::wire::tcp_flags::TcpFlags;
use zerocopy::IntoBytes;

const SERVICES: &[&str] = &["10.1.0.5", "fd01::5"];
const ASKER: [u8; 6] = [0xa; 6];
const ALL: [u8; 6] = [0xff; 6];
/// The MAC of the bench's server port.
const OURS: [u8; 6] = [0xe2; 6];

fn arp_request(target: [u8; 4]) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, 1];
    [&ALL[..], &ASKER, &[8, 6], &fixed, &ASKER, &[10, 1, 0, 9], &[0; 6], &target, &[0; 18]].concat()
}

fn v6(source: [u8; 16], destination: [u8; 16], hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    icmp::fill_checksum(&mut message, &Addresses::V6(source, destination));
    let (next_header, traffic_class, flow_label) = (58, 0, 0);
    let payload_len = message.len() as u16;
    let repr =
        Ipv6Repr { source, destination, next_header, hop_limit, traffic_class, flow_label, payload_len };
    [&OURS[..], &ASKER, &[0x86, 0xdd], repr.header().as_bytes(), &message].concat()
}

fn address(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

#[test]
fn arp_is_answered_where_it_came_in_and_goes_no_further() {
    let mut bench = Bench::with_services(rules(OFFER), SERVICES);
    bench.deliver(SERVER, &arp_request([10, 1, 0, 5]));
    let fixed = [0, 1, 8, 0, 6, 4, 0, 2];
    let expected =
        [&ASKER[..], &OURS, &[8, 6], &fixed, &OURS, &[10, 1, 0, 5], &ASKER, &[10, 1, 0, 9]].concat();
    assert_eq!((bench.collect(SERVER), bench.collect(CLIENT)), (Some(expected), None));
    bench.deliver(SERVER, &arp_request([10, 1, 0, 6]));
    assert_eq!(bench.collect(CLIENT), Some(arp_request([10, 1, 0, 6])), "somebody else's crosses");
    assert_eq!(bench.count(Counter::ServiceAnswered), 1);
}

#[test]
fn a_neighbour_solicitation_is_answered() {
    let mut bench = Bench::with_services(rules(OFFER), SERVICES);
    let (asker, ours) = (address("fd01::9"), address("fd01::5"));
    let solicit = |target: [u8; 16]| {
        let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target, &[1, 1], &ASKER].concat();
        v6(asker, address("ff02::1:ff00:5"), 255, &message)
    };
    bench.deliver(SERVER, &solicit(ours));
    let message = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &ours, &[2, 1], &OURS].concat();
    let mut expected = v6(ours, asker, 255, &message);
    expected[..6].copy_from_slice(&ASKER);
    expected[6..12].copy_from_slice(&OURS);
    assert_eq!((bench.collect(SERVER), bench.collect(CLIENT)), (Some(expected), None));
    let other = solicit(address("fd01::6"));
    bench.deliver(SERVER, &other);
    assert_eq!(bench.collect(CLIENT), Some(other));
    // From beyond the link: nobody answers that (RFC 4861 section 7.1.1).
    let mut far = solicit(ours);
    far[21] = 254;
    bench.deliver(SERVER, &far);
    assert_eq!((bench.collect(SERVER), bench.collect(CLIENT)), (None, Some(far)));
}

#[test]
fn echo_requests_are_answered_and_nothing_else_is() {
    let mut bench = Bench::with_services(rules(OFFER), SERVICES);
    let (asker, ours) = (address("fd01::9"), address("fd01::5"));
    bench.deliver(SERVER, &v6(asker, ours, 61, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
    let mut expected = v6(ours, asker, 64, &[129, 0, 0, 0, 1, 2, 3, 4, 5]);
    expected[..6].copy_from_slice(&ASKER);
    expected[6..12].copy_from_slice(&OURS);
    assert_eq!(bench.collect(SERVER), Some(expected));

    let v4 = |source: [u8; 4], destination: [u8; 4], ttl: u8, kind: u8| {
        let mut message = vec![kind, 0, 0, 0, 1, 2, 3, 4, 5];
        icmp::fill_checksum(&mut message, &Addresses::V4(source, destination));
        let payload_len = message.len() as u16;
        let repr = Ipv4Repr { source, destination, protocol: 1, ttl, traffic_class: 0, payload_len };
        [&OURS[..], &ASKER, &[8, 0], repr.header().as_bytes(), &message].concat()
    };
    bench.deliver(SERVER, &v4([10, 1, 0, 9], [10, 1, 0, 5], 61, 8));
    let mut expected = v4([10, 1, 0, 5], [10, 1, 0, 9], 64, 0);
    expected[..6].copy_from_slice(&ASKER);
    expected[6..12].copy_from_slice(&OURS);
    assert_eq!(bench.collect(SERVER), Some(expected));

    let unserved = [
        v4([10, 1, 0, 9], [10, 1, 0, 5], 61, 13),
        v6(asker, ours, 61, &[129, 0, 0, 0, 1, 2, 3, 4]),
        v4([10, 1, 0, 9], [10, 1, 0, 5], 61, 8)[..36].to_vec(),
        frame(to_service(80), TcpFlags::SYN, 1, 0, b"", &[]),
        frame(to_service(81), TcpFlags::ACK, 1, 0, b"", &[]),
    ];
    for (n, unserved) in unserved.iter().enumerate() {
        bench.deliver(SERVER, unserved);
        assert_eq!(bench.count(Counter::DropServiceAddress), n as u64 + 1, "{n}");
        assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None), "{n}");
    }
    assert_eq!(bench.pool.in_use(), 0);
}

fn to_service(port: u16) -> Quad {
    Quad { addresses: Addresses::V4([10, 1, 0, 9], [10, 1, 0, 5]), server_port: port, ..quad(false) }
}

/// An IPv4 echo request or another message.
fn v4(source: [u8; 4], destination: [u8; 4], kind: u8, data: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], data].concat();
    icmp::fill_checksum(&mut message, &Addresses::V4(source, destination));
    let payload_len = message.len() as u16;
    let repr = Ipv4Repr { source, destination, protocol: 1, ttl: 61, traffic_class: 0, payload_len };
    [&OURS[..], &ASKER, &[8, 0], repr.header().as_bytes(), &message].concat()
}

fn solicitation(target: &str, option: &[u8]) -> Vec<u8> {
    [&[135, 0, 0, 0, 0, 0, 0, 0][..], &address(target), option].concat()
}

#[test]
fn tags_are_no_part_of_what_has_to_fit() {
    let mut bench = Bench::with_services(rules(OFFER), SERVICES);
    let mut request = v4([10, 1, 0, 9], [10, 1, 0, 5], 8, &[7; 1500 - 24]);
    request.splice(12..12, [0x81, 0, 0, 20]);
    bench.deliver(SERVER, &request);
    assert_eq!(bench.collect(SERVER).map(|reply| reply.len()), Some(request.len()));
    assert_eq!(bench.count(Counter::DropMtu), 0);
}

#[test]
fn a_neighbour_that_asks_again_is_answered_without_an_option() {
    let mut bench = Bench::with_services(rules(OFFER), SERVICES);
    let (asker, ours) = (address("fd01::9"), address("fd01::5"));
    bench.deliver(SERVER, &v6(asker, ours, 255, &solicitation("fd01::5", &[])));
    let message = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &ours].concat();
    let mut expected = v6(ours, asker, 255, &message);
    expected[..6].copy_from_slice(&ASKER);
    expected[6..12].copy_from_slice(&OURS);
    assert_eq!(bench.collect(SERVER), Some(expected));
    // Who asks a group has to say where the answer goes (RFC 4861 section 4.3).
    bench.deliver(SERVER, &v6(asker, address("ff02::1:ff00:5"), 255, &solicitation("fd01::5", &[])));
    assert_eq!((bench.count(Counter::DropServiceAddress), bench.collect(SERVER)), (1, None));
}

#[test]
fn an_address_is_defended_against_who_is_about_to_take_it() {
    let mut bench = Bench::with_services(rules(OFFER), SERVICES);
    let (group, ours) = (address("ff02::1:ff00:5"), address("fd01::5"));
    // With a nonce, as Linux sends it (RFC 7527), there is room for the MAC.
    for (asked, answered) in
        [(&[][..], &[][..]), (&[14, 1, 1, 2, 3, 4, 5, 6], &[2, 1, 0xe2, 0xe2, 0xe2, 0xe2, 0xe2, 0xe2])]
    {
        bench.deliver(SERVER, &v6([0; 16], group, 255, &solicitation("fd01::5", asked)));
        let message = [&[136, 0, 0, 0, 0x20, 0, 0, 0][..], &ours, answered].concat();
        let mut expected = v6(ours, address("ff02::1"), 255, &message);
        expected[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        expected[6..12].copy_from_slice(&OURS);
        assert_eq!(bench.collect(SERVER), Some(expected), "to all nodes");
    }
    let mut probe = arp_request([10, 1, 0, 5]);
    probe[28..32].fill(0);
    bench.deliver(SERVER, &probe);
    assert_eq!(bench.collect(SERVER).map(|reply| reply[28..32].to_vec()), Some(vec![10, 1, 0, 5]));
}

#[test]
fn who_cannot_have_asked_gets_no_answer() {
    let mut bench = Bench::with_services(rules(OFFER), &["10.1.0.5", "10.1.0.6", "fd01::5", "fd01::6"]);
    let (asker, ours) = (address("fd01::9"), address("fd01::5"));
    let mut by_a_group = v4([10, 1, 0, 9], [10, 1, 0, 5], 8, &[1; 8]);
    by_a_group[6] = 1;
    let mut corrupt = v4([10, 1, 0, 9], [10, 1, 0, 5], 8, &[1; 8]);
    corrupt[22] ^= 1;
    let mut arp_of_a_group = arp_request([10, 1, 0, 5]);
    arp_of_a_group[22] = 1;
    let mut arp_of_ours = arp_request([10, 1, 0, 5]);
    arp_of_ours[28..32].copy_from_slice(&[10, 1, 0, 6]);
    let mac = [&[1, 1][..], &ASKER].concat();
    let mut unserved = vec![by_a_group, corrupt, arp_of_a_group, arp_of_ours];
    for source in [[224, 0, 0, 1], [255; 4], [0; 4], [127, 0, 0, 1], [10, 1, 0, 5], [10, 1, 0, 6]] {
        unserved.push(v4(source, [10, 1, 0, 5], 8, &[1; 8]));
    }
    for source in ["ff02::1", "::", "::1", "fd01::5", "fd01::6"].map(address) {
        unserved.push(v6(source, ours, 61, &[128, 0, 0, 0, 1, 2, 3, 4]));
        unserved.push(v6(source, ours, 255, &solicitation("fd01::5", &mac)));
    }
    for (n, unserved) in unserved.iter().enumerate() {
        bench.deliver(SERVER, unserved);
        assert_eq!((bench.collect(CLIENT), bench.collect(SERVER)), (None, None), "{n}");
        assert_eq!(bench.count(Counter::DropServiceAddress), n as u64 + 1, "{n}");
    }
    bench.deliver(SERVER, &v6(asker, ours, 61, &[128, 0, 0, 0, 1, 2, 3, 4]));
    assert!(bench.collect(SERVER).is_some());
}

#[test]
fn no_cut_of_a_request_panics() {
    let mut bench = Bench::with_services(rules(OFFER), SERVICES);
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &address("fd01::5"), &[1, 1], &ASKER].concat();
    let whole = [
        arp_request([10, 1, 0, 5]),
        v6(address("fd01::9"), address("fd01::5"), 255, &message),
        v6(address("fd01::9"), address("fd01::5"), 255, &[128, 0, 0, 0, 1, 2, 3, 4, 5]),
    ];
    for request in whole {
        for len in 0..request.len() {
            bench.deliver(SERVER, &request[..len]);
        }
    }
    while bench.collect(CLIENT).is_some() || bench.collect(SERVER).is_some() {}
    assert_eq!(bench.pool.in_use(), 0);
}
