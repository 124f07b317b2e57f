//! Data both ways without loss: segmentation, acknowledgment, round trips, urgent pointer.

use std::time::Duration;

use super::dialogue::Dialogue;
use crate::tcp::*;
use dataplane::wire::seq::Seq;

#[test]
fn both_ways() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 2500
           > . 101+1000 ack 501
           > . 1101+1000 ack 501
           > P. 2101+500 ack 501
           > -
           +20ms
           < P. 501+300 ack 1101
           = READABLE|ACKED|WINDOW
           > . 2601 ack 801
           < . 801 ack 2601
           = ACKED|WINDOW
           ! read 300
           > -
           = -",
    );
    // The handshake took no time, then one of eight parts is 20 ms.
    assert_eq!(d.block.srtt(), Some(Duration::from_micros(2500)));
    assert!(d.block.is_drained());
}

#[test]
fn timestamps_make_segments_smaller() {
    let mut d = Dialogue::established("ts 9:0", 10_000, Limits::default());
    d.run(
        "! ts 55
           ! write 1000
           > . 101+988 ack 501 <ts 55:9>
           > P. 1089+12 ack 501 <ts 55:9>",
    );
}

#[test]
fn silent_peer_mss_means_536() {
    let mut d = Dialogue::suspended("S 500", Limits::default());
    d.block.answer(d.now, Seq(100), &super::dialogue::offer());
    d.run(
        "> S. 100 ack 501
           < . 501 ack 101
           ! write 600
           > . 101+536 ack 501
           > P. 637+64 ack 501",
    );
}

#[test]
fn initial_window_is_ten_segments() {
    let mut d = Dialogue::established("", 60_000, Limits::default());
    d.run("! write 20000");
    for i in 0..10 {
        d.run(&format!("> . {}+1000 ack 501", 101 + i * 1000));
    }
    d.run(
        "> -
           < . 501 ack 2101 win 60000
           > . 10101+1000 ack 501
           > . 11101+1000 ack 501
           > . 12101+1000 ack 501
           > . 13101+1000 ack 501
           > -",
    );
}

#[test]
fn acknowledges_at_once_when_young_then_every_second_or_after_a_delay() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    for i in 0..16 {
        d.run(&format!("< . {}+100 ack 101\n> . 101 ack {}\n! read 100", 501 + i * 100, 601 + i * 100));
    }
    d.run(
        "< . 2101+100 ack 101
           > -
           +39ms
           > -
           +1ms
           > . 101 ack 2201
           < . 2201+100 ack 101
           > -
           < . 2301+100 ack 101
           > . 101 ack 2401
           < . 2401+100 ack 101
           ! write 10
           > P. 101+10 ack 2501
           +60ms
           > -",
    );
}

#[test]
fn numbers_wrap() {
    let mut d =
        Dialogue::established_at(Seq(u32::MAX - 500), Seq(u32::MAX - 700), "", 10_000, Limits::default());
    d.run(
        "! write 1500
           > . 4294966796+1000 ack 4294966596
           > P. 500+500 ack 4294966596
           < . 4294966596+1000 ack 500
           = READABLE|ACKED|WINDOW
           > . 1000 ack 300
           < P. 300+100 ack 1000
           > . 1000 ack 400
           ! read 1100
           = READABLE|ACKED|WINDOW",
    );
}

#[test]
fn urgent_pointer_is_passed_along() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "< PU. 501+10 ack 101 urg 5
           = READABLE
           > . 101 ack 511",
    );
    assert_eq!(d.block.urgent(), Some(Seq(506)));
    d.run(
        "! read 10
           ! urgent 106
           ! write 10
           > PU. 101+10 ack 511 urg 5
           < . 511 ack 111
           ! write 1
           > P. 111+1 ack 511",
    );
    assert_eq!(d.block.urgent(), None);
}

#[test]
fn small_chunks_are_copied_together_beyond_the_limit() {
    let limits = Limits { max_chunks: 4, ..Limits::default() };
    let mut d = Dialogue::established("", 10_000, limits);
    for i in 0..200 {
        d.run(&format!("< . {}+3 ack 101\n! write 3", 501 + i * 3));
        while d.block.poll(d.now, 0).is_some() {}
    }
    assert!(d.block.rcv.queue.chunks() <= 5 && d.block.snd.queue.chunks() <= 5);
    assert_eq!((d.block.readable(), d.block.queued()), (600, 600));
    let mut sent = vec![0; 300];
    d.block.copy_payload(Seq(150), &mut sent);
    d.run("! read 600");
}
