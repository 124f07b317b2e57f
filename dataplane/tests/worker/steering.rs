//! Two workers and ports without RSS: frames find the owner of their flow.

use super::bench::{Bench, CLIENT, SERVER, frame, icmp_error, quad, rules};
use super::{ACK, OFFER, SYN, headers};
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::quad::Quad;
use dataplane::policy::Action;
use dataplane::wire::checksum::Sum;
use dataplane::worker::message::Event;

/// A quad that worker 1 owns, found by sending its SYN to worker 0.
fn owned_by_the_other(benches: &mut [Bench; 2], v6: bool) -> Quad {
    for client_port in 1..100 {
        let quad = Quad { client_port, ..quad(v6) };
        let before = benches[0].count(Counter::HandedOver);
        benches[0].deliver(CLIENT, &frame(quad, SYN, 100, 0, b"", &[]));
        if benches[0].count(Counter::HandedOver) > before {
            benches[1].poll();
            return quad;
        }
        // Worker 0's own are of no interest.
        while benches[0].collect(SERVER).is_some() {}
    }
    panic!("worker 0 owns everything");
}

/// The first fragment of `segment`, an IPv4 frame; what follows it would be elsewhere.
fn first_fragment(mut segment: Vec<u8>) -> Vec<u8> {
    segment[20] = 0x20;
    segment[24..26].fill(0);
    let sum = Sum::of(&segment[14..34]).checksum();
    segment[24..26].copy_from_slice(&sum.to_be_bytes());
    segment
}

#[test]
fn segments_fragments_and_icmp_errors_are_handed_over() {
    for v6 in [false, true] {
        let mut benches = Bench::two(&rules(Action::Monitor), 8);
        let quad = owned_by_the_other(&mut benches, v6);
        assert!(benches[1].collect(SERVER).is_some());
        assert_eq!(benches[1].worker.table().len(), 1);
        let answer = frame(quad.reversed(), SYN | ACK, 500, 101, b"", &[]);
        let data = frame(quad, ACK, 101, 501, b"0123456789", &[]);
        let mut rest = vec![
            (SERVER, CLIENT, answer.clone()),
            (CLIENT, SERVER, data.clone()),
            (CLIENT, SERVER, icmp_error(&answer)),
        ];
        if !v6 {
            rest.push((CLIENT, SERVER, first_fragment(data)));
        }
        for (from, to, bytes) in rest {
            benches[0].deliver(from, &bytes);
            benches[1].poll();
            assert_eq!((benches[0].collect(to), benches[1].collect(to)), (None, Some(bytes)));
        }
        assert_eq!(benches[1].count(Counter::DropStray), 0);
        assert_eq!(benches[1].count(Counter::Received), 0, "received once, by the other worker");
    }
}

#[test]
fn an_offer_of_a_handed_over_syn_comes_from_its_owner() {
    let mut benches = Bench::two(&rules(OFFER), 8);
    let quad = owned_by_the_other(&mut benches, false);
    let Some(Event::Offered { headers: told, client_side, frame, .. }) = benches[1].events.try_receive()
    else {
        panic!("not offered");
    };
    assert_eq!((told.quad, client_side, headers(frame.bytes()).quad), (quad, CLIENT, quad));
}

#[test]
fn a_full_ring_drops_by_name() {
    let mut benches = Bench::two(&rules(OFFER), 1);
    let quad = owned_by_the_other(&mut benches, false);
    for _ in 0..2 {
        benches[0].deliver(CLIENT, &frame(quad, SYN, 100, 0, b"", &[]));
    }
    assert_eq!(benches[0].count(Counter::DropHandOverFull), 1);
}

/// A burst is full before the ring is empty.
#[test]
fn what_one_round_has_no_room_for_waits_for_the_next() {
    let mut benches = Bench::two(&rules(Action::Monitor), 64);
    let quad = owned_by_the_other(&mut benches, false);
    while benches[1].collect(SERVER).is_some() {}
    let all: Vec<_> = (0..50).map(|n| frame(quad, ACK, 101 + n, 501, b"x", &[])).collect();
    all.iter().for_each(|bytes| benches[0].deliver(CLIENT, bytes));
    (0..2).for_each(|_| benches[1].poll());
    let came: Vec<_> = std::iter::from_fn(|| benches[1].collect(SERVER)).collect();
    assert_eq!(came, all);
}
