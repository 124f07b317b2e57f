//! RST, SYN and challenges in an open connection (RFC 5961).

use super::dialogue::Dialogue;
use crate::tcp::*;

#[test]
fn only_the_exact_number_resets() {
    let mut d = Dialogue::established("", 10_000, Limits { receive_buffer: 10_000, ..Limits::default() });
    d.run(
        "< R 502
           > . 101 ack 501
           = -
           < R 10500
           > . 101 ack 501
           < R 500
           < R 10501
           > -
           = -
           < R 501
           = RESET|CLOSED
           : Closed
           > -",
    );
}

#[test]
fn a_syn_is_challenged_wherever_it_stands() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "< S 600
           > . 101 ack 501
           < S 99999
           > . 101 ack 501
           < S. 500 ack 101
           > . 101 ack 501
           = -
           : Established",
    );
}

#[test]
fn challenges_are_limited_in_rate() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    for _ in 0..10 {
        d.run("< R 502\n> . 101 ack 501");
    }
    d.run(
        "< R 502
           > -
           < . 400 ack 101
           > -
           < . 400+10 ack 101
           > . 101 ack 501
           +5000ms
           < R 502
           > . 101 ack 501",
    );
}

#[test]
fn abort_is_exact_and_answers_what_still_comes() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 10
           > P. 101+10 ack 501
           ! abort
           ! abort
           : Closed
           > R. 111 ack 501
           > -
           < . 501 ack 101
           > R 101
           < R 501
           > -
           = -",
    );
}

#[test]
fn abort_stays_inside_the_peers_window() {
    let mut d = Dialogue::established("", 1000, Limits::default());
    d.run(
        "! write 2000
           > . 101+1000 ack 501
           < . 501 ack 1101 win 0
           > -
           +200ms
           > . 1101+1 ack 501
           ! abort
           > R. 1101 ack 501",
    );
}

/// RFC 1337: a late duplicate must not make us end the peer's TIME-WAIT. A peer that has missed our last acknowledgment repeats its
/// FIN, and is answered.
#[test]
fn abort_in_time_wait_answers_what_has_length_alone() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! close
           > F. 101 ack 501
           < F. 501 ack 102
           : TimeWait
           > . 102 ack 502
           ! abort
           : Closed
           > -
           < . 502 ack 102
           > -
           < . 501 ack 101
           > -
           < F. 501 ack 102
           > R 102
           < . 491+10 ack 101
           > R 101",
    );
}

#[test]
fn data_before_a_reset_can_still_be_read() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "< P. 501+10 ack 101
           < R 511
           = READABLE|RESET|CLOSED
           ! read 10",
    );
}

#[test]
fn nonsense_never_panics() {
    use dataplane::wire::{seq::Seq, tcp_flags::TcpFlags};
    let mut x = 1u64;
    let mut random = move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) as u32
    };
    for round in 0..300 {
        let mut d = Dialogue::established("sack,ts 9:0,ws 14", 10_000, Limits::default());
        for _ in 0..60 {
            let near = |r: u32| if r.is_multiple_of(3) { r.wrapping_mul(2_654_435_761) } else { r % 20_000 };
            let len = random() % 1500;
            let mut segment = super::dialogue::parse("x 0 <ts 9:7>").0;
            segment.seq = Seq(near(random()));
            segment.ack = Seq(near(random()) % 5000);
            segment.flags = TcpFlags((random() & 0x1ff) as u16).without(match round % 2 {
                0 => TcpFlags::RST | TcpFlags::SYN,
                _ => TcpFlags(0),
            });
            segment.window = random() as u16;
            segment.urgent = random() as u16;
            segment.len = len;
            for _ in 0..random() % 5 {
                let (left, right) = (Seq(near(random())), Seq(near(random())));
                let _ =
                    segment.options.sack.try_push(dataplane::wire::tcp_options::SackBlock { left, right });
            }
            d.block.write(Chunk::owned(vec![0; (random() % 3000) as usize]));
            d.block.on_segment(d.now, &segment, Some(Chunk::owned(vec![0; len as usize])));
            if random() % 20 == 0 {
                d.block.close();
            }
            d.now = d.now + std::time::Duration::from_millis(u64::from(random() % 500));
            d.block.on_timer(d.now);
            let mut sent = 0;
            while let Some(out) = d.block.poll(d.now, 3) {
                let mut payload = vec![0; out.payload.len as usize];
                d.block.copy_payload(out.payload.start, &mut payload);
                sent += 1;
                assert!(sent < 10_000, "poll never ends");
            }
        }
    }
}
