//! What RFC 9293 asks of data, options and acknowledgments (sections 3.1, 3.7.4, 3.8.5, 3.8.6.3, 3.9.1.2), as far as
//! `data` and `receiving` do not show it.

use super::dialogue::{Dialogue, offer};
use crate::tcp::*;
use dataplane::wire::seq::Seq;

/// MUST-5: options that belong on a SYN are no error elsewhere, and change nothing.
#[test]
fn options_may_come_with_any_segment() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "< . 501+10 ack 101 <mss 100,ws 9,sack,ts 1:2,blk 7:9>
           = READABLE
           > . 101 ack 511
           ! write 1000
           > P. 101+1000 ack 511
           < F. 511 ack 1101 win 500 <mss 100,ws 9>
           > . 1101 ack 512 <>",
    );
    assert_eq!(d.block.peer_right_edge(), Seq(1101 + 500), "no scale");
    assert_eq!(d.block.ts_recent(), None);
}

/// MUST-14, MUST-65: the MSS option on our SYN and SYN-ACK, and on nothing else.
#[test]
fn the_segment_size_is_said_in_syns_only() {
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.run("> S 100 <mss 1000>\n< S. 500 ack 101 <mss 700>\n! confirm\n> . 101 ack 501 <>");
    d.run("! write 1000\n! close\n> . 101+700 ack 501 <>\n> FP. 801+300 ack 501 <>\n! abort\n> R. 1102 ack 501 <>");
    let mut d = Dialogue::suspended("S 500 <mss 700>", Limits::default());
    d.block.answer(d.now, Seq(100), &offer());
    d.run("> S. 100 ack 501 <mss 1000>\n< . 501+10 ack 101\n> . 101 ack 511 <>");
}

/// MUST-17, MUST-60, MUST-61, SHLD-28: Nagle's algorithm is off on every connection, nothing waits for more to come, the
/// last of what there is says PSH, and what there is goes in full segments.
#[test]
fn nothing_waits_for_an_acknowledgment_to_be_sent() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 1
           > P. 101+1 ack 501
           ! write 1
           > P. 102+1 ack 501
           ! write 300
           ! write 300
           ! write 300
           ! write 300
           > . 103+1000 ack 501
           > P. 1103+200 ack 501
           > -",
    );
}

/// MUST-58, MUST-59, MAY-13, SHLD-31: what was waiting behind a hole is acknowledged together when the hole is filled.
#[test]
fn what_waited_behind_a_hole_is_acknowledged_once() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    for i in 1..8 {
        d.run(&format!("< . {}+100 ack 101\n> . 101 ack 501\n> -", 501 + i * 100));
    }
    d.run("< . 501+100 ack 101\n= READABLE\n> . 101 ack 1301\n> -\n! read 800");
}

/// MUST-40, SHLD-18, SHLD-19: every second segment, and not later than 40 ms after the first.
#[test]
fn an_acknowledgment_waits_less_than_half_a_second() {
    let mut d = Dialogue::established("", 60_000, Limits::default());
    let mut next = 501;
    for _ in 0..16 {
        d.run(&format!("< . {next}+100 ack 101\n> . 101 ack {}\n! read 100", next + 100));
        next += 100;
    }
    for _ in 0..20 {
        d.run(&format!("< . {next}+1000 ack 101\n> -\n+40ms\n> . 101 ack {}\n! read 1000", next + 1000));
        next += 1000;
        d.run(&format!("< . {next}+1000 ack 101\n> -\n< . {}+1000 ack 101", next + 1000));
        next += 2000;
        d.run(&format!("> . 101 ack {next}\n> -\n! read 2000"));
    }
}

/// MUST-30, MUST-62: the pointer is the number after the last urgent byte, on every segment until that is acknowledged.
#[test]
fn the_urgent_pointer_is_behind_the_last_urgent_byte() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! urgent 1601
           > U. 101 ack 501 urg 1500
           ! write 2000
           > U. 101+1000 ack 501 urg 1500
           > UP. 1101+1000 ack 501 urg 500
           < . 501 ack 1601
           ! ack
           > . 2101 ack 501 urg 0
           ! urgent 1601
           > -",
    );
}

/// MUST-31: of any length; a pointer that is out of the field's reach says as much as it can.
#[test]
fn urgent_data_may_be_longer_than_the_field_reaches() {
    let mut d = Dialogue::established("ws 4", 60_000, Limits::default());
    d.run("! urgent 100101\n> U. 101 ack 501 urg 65535");
    d.run("! write 90000\n> U. 101+1000 ack 501 urg 65535");
    let mut last = 0;
    let mut seq = 1101;
    loop {
        while let Some(out) = d.block.poll(d.now, 7) {
            if out.payload.len > 0 {
                let wanted = (100_101 - out.seq.0).min(65_535);
                assert_eq!(u32::from(out.urgent), wanted, "at {:?}", out.seq);
                seq = out.seq.0 + out.payload.len;
            }
        }
        if seq == last {
            break;
        }
        last = seq;
        d.run(&format!("< . 501 ack {seq} win 3750"));
    }
    assert_eq!(seq, 90_101);
}

/// MUST-32, MUST-33: the user sees that there is urgent data, that it moves on, and when it has all been read.
#[test]
fn urgent_data_is_seen_until_it_is_read() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    assert_eq!(d.block.urgent(), None);
    // Ahead of the data, without any.
    d.run("< U. 501 ack 101 urg 20");
    assert_eq!(d.block.urgent(), Some(Seq(521)));
    // It does not recede, and a pointer at what was taken, or at nothing, says nothing.
    d.run("< U. 501+10 ack 101 urg 5\n> . 101 ack 511\n< U. 511 ack 101 urg 0");
    assert_eq!(d.block.urgent(), Some(Seq(521)));
    d.run("< U. 511+10 ack 101 urg 30\n> . 101 ack 521\n! read 20");
    assert_eq!(d.block.urgent(), Some(Seq(541)));
    d.run("< . 521+20 ack 101\n> . 101 ack 541");
    assert_eq!(d.block.urgent(), Some(Seq(541)), "taken, but not read");
    d.run("! read 20");
    assert_eq!(d.block.urgent(), None);
    // After the FIN there can be none (section 3.10.7.4, sixth step).
    d.run("< F. 541 ack 101\n> . 101 ack 542\n< U. 542 ack 101 urg 9");
    assert_eq!(d.block.urgent(), None);
}

/// SHLD-2: a RST may carry an explanation, which nobody reads.
#[test]
fn a_reset_may_carry_data() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("< R 501+20 ack 101\n= RESET|CLOSED\n> -");
    assert_eq!(d.block.readable(), 0);
}

/// Section 3.10.7.4, fifth step: a segment without ACK is nothing in a synchronized state.
#[test]
fn a_segment_without_ack_is_dropped() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("< P 501+10\n< F 501\n= -\n> -\n: Established");
    assert_eq!((d.block.last_stop(), d.block.readable()), (Some(Stop::NoAck), 0));
}
