//! A flow whose ends were promised different things: each reads what it was promised.

use dataplane::flow::object::View;
use dataplane::flow::terms::{Promises, Terms};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::{SackBlock, Timestamps};
use dataplane::worker::message::Split;

use super::*;
use crate::bench::icmp_error;

/// How far ahead the client knows the server's clock.
const AHEAD: u32 = 1000;

/// The client was told that the server shifts by 7 and knows SACK; it shifts by 4 and does not.
fn view() -> View {
    View {
        track: [Track { end: Seq(101), ack: Seq(501) }, Track { end: Seq(501), ack: Seq(101) }],
        edges: [Seq(101), Seq(501)],
        promises: Promises::between(
            Terms::new(Some([3, 7]), true, true),
            Terms::new(Some([3, 4]), false, true),
        ),
        clock: AHEAD,
        mss: [1460; 2],
        ..View::default()
    }
}

fn reconciled(bench: &mut Bench) -> FlowRef {
    let flow = suspend(bench, false);
    bench.order(Order::Participate { flow });
    bench.order(Order::Park { flow, searched: false });
    assert!(matches!(bench.events.try_receive(), Some(Event::Parked { .. })));
    bench.order(Order::Install { flow, delta_c2s: Delta(10), delta_s2c: Delta(-20), view: view() });
    bench.order(Order::Resume { flow });
    flow
}

fn build(from_client: bool, tcp: &TcpRepr) -> Vec<u8> {
    let quad = if from_client { quad(false) } else { quad(false).reversed() };
    let mut bytes = [0; 200];
    let template = FrameTemplate::new([0xc; 6], [0xa; 6], &[], 61, quad);
    let len = template.build(tcp, b"", &mut bytes).expect("it fits");
    bytes[..len].to_vec()
}

fn ack(seq: u32, ack: u32, window: u16, (value, echo): (u32, u32)) -> TcpRepr {
    let mut tcp = TcpRepr { seq: Seq(seq), ack: Seq(ack), flags: ACK, window, ..TcpRepr::default() };
    tcp.options.timestamps = Some(Timestamps { value, echo });
    tcp
}

fn read(frame: &[u8]) -> TcpRepr {
    let headers = headers(frame);
    assert!(is_tcp_checksum_valid(frame, &headers));
    TcpRepr::parse(&frame[usize::from(headers.l4)..usize::from(headers.end)]).expect("sound options")
}

#[test]
fn each_end_reads_what_it_was_promised() {
    let mut bench = Bench::new(rules(OFFER));
    reconciled(&mut bench);
    bench.deliver(SERVER, &build(false, &ack(501, 111, 5000, (7, 90))));
    let shown = read(&bench.collect(CLIENT).expect("it passes"));
    assert_eq!(shown, ack(481, 101, 5000 >> 3, (7 + AHEAD, 90)), "80,000 bytes in the client's units");

    let mut from_client = ack(101, 481, 9000, (91, 7 + AHEAD));
    from_client.options.sack.push(SackBlock { left: Seq(490), right: Seq(495) });
    bench.deliver(CLIENT, &build(true, &from_client));
    let shown = read(&bench.collect(SERVER).expect("it passes"));
    assert_eq!(shown, ack(111, 501, 9000, (91, 7)), "nothing of SACK");
}

#[test]
fn a_window_is_never_shown_larger_than_it_is() {
    let mut bench = Bench::new(rules(OFFER));
    reconciled(&mut bench);
    for (field, shown) in [(0, 0), (1, 0), (7, 0), (8, 1), (15, 1), (16, 2), (u16::MAX, 8191)] {
        bench.deliver(SERVER, &build(false, &ack(501, 111, field, (7, 90))));
        assert_eq!(read(&bench.collect(CLIENT).expect("it passes")).window, shown, "{field}");
    }
    // The window of a SYN is never scaled.
    let syn = TcpRepr { flags: SYN | ACK, ..ack(501, 111, 5000, (7, 90)) };
    bench.deliver(SERVER, &build(false, &syn));
    assert_eq!(read(&bench.collect(CLIENT).expect("it passes")).window, 5000);
}

#[test]
fn a_corrupt_segment_stays_corrupt() {
    let mut bench = Bench::new(rules(OFFER));
    reconciled(&mut bench);
    let mut frame = build(false, &ack(501, 111, 5000, (7, 90)));
    let last = frame.len() - 1;
    frame[last] ^= 1;
    bench.deliver(SERVER, &frame);
    let passed = bench.collect(CLIENT).expect("it passes");
    assert!(!is_tcp_checksum_valid(&passed, &headers(&passed)));
}

#[test]
fn an_error_quotes_the_timestamps_of_the_sender() {
    let mut bench = Bench::new(rules(OFFER));
    reconciled(&mut bench);
    let sent = build(true, &ack(101, 481, 9000, (91, 7 + AHEAD)));
    bench.deliver(CLIENT, &sent);
    let passed = bench.collect(SERVER).expect("it passes");
    bench.deliver(SERVER, &icmp_error(&passed));
    assert_eq!(bench.collect(CLIENT), Some(icmp_error(&sent)));
}

#[test]
fn a_split_hands_over_what_was_promised() {
    let mut bench = Bench::new(rules(OFFER));
    let flow = reconciled(&mut bench);
    bench.deliver(SERVER, &build(false, &ack(501, 111, 5000, (7, 90))));
    let key = bench.worker.table().key(0);
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
    let Some(Event::Split(split)) = bench.events.try_receive() else { panic!("no split") };
    let given = Seq(101 + (5000 << 4));
    assert_eq!(split.view, View { edges: [given, Seq(501)], ..view() });
}
