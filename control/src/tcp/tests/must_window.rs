//! What RFC 9293 asks of windows (sections 3.1, 3.4 and 3.8.6), as far as `windows` does not show it.

use super::dialogue::Dialogue;
use crate::tcp::*;
use dataplane::wire::seq::Seq;

/// MUST-1, REC-1: a field with its highest bit set is a large window, and the largest is counted in 32 bits.
#[test]
fn a_window_is_an_unsigned_number() {
    for (scale, window) in [(0, 0x7fff), (0, 0x8000), (0, 0xffff), (7, 0x8000), (14, 0xffff)] {
        let mut d = Dialogue::established(&format!("ws {scale}"), 10_000, Limits::default());
        d.run(&format!("< . 501 ack 101 win {window}"));
        assert_eq!(d.block.peer_right_edge(), Seq(101 + (window << scale)));
        d.run("! write 1000\n> P. 101+1000 ack 501");
    }
    // Ours too: the largest that a SYN-ACK can promise is taken to its last byte.
    let limits = Limits { receive_buffer: 65_535, ..Limits::default() };
    let mut d = Dialogue::connect(&Handshake { window: 65_535, ..super::dialogue::offer() }, limits);
    d.run("> S 100 win 65535\n< S. 500 ack 101 <mss 1000>\n! confirm\n> . 101 ack 501 win 65535");
    d.run("< . 66035+1 ack 101\n> . 101 ack 501\n< . 66036+1 ack 101\n= ANSWERED\n> . 101 ack 501");
    assert_eq!(d.block.buffered(), 1, "the byte at the edge, not the one behind it");
}

/// MUST-34, SHLD-15, SHLD-16: behind a window that was taken back nothing new is sent, and old data only inside it.
#[test]
fn a_window_that_shrinks_is_survived() {
    let mut d = Dialogue::established("", 4000, Limits::default());
    d.run("! write 6000");
    for i in 0..4 {
        d.run(&format!("> . {}+1000 ack 501", 101 + i * 1000));
    }
    d.run(
        "> -
           < . 501 ack 1101 win 1500
           > -
           +400ms
           > . 1101+1000 ack 501",
    );
    while let Some(out) = d.block.poll(d.now, 7) {
        assert!(out.seq.advance(out.payload.len).le(Seq(1101 + 1500)), "beyond the window: {out:?}");
    }
    d.run("< . 501 ack 2601 win 0\n+10000ms");
    let probe = d.block.poll(d.now, 7).expect("a probe");
    assert_eq!((probe.seq, probe.payload.len), (Seq(2601), 1));
    d.run("< . 501 ack 2601 win 9000\n> . 2601+1000 ack 501");
}

/// SHLD-17, MUST-37: what lies beyond the window does not end the connection while the peer answers.
#[test]
fn data_beyond_a_window_that_shrank_times_nothing_out() {
    let limits = Limits { user_timeout: std::time::Duration::from_secs(100), ..Limits::default() };
    let mut d = Dialogue::established("", 4000, limits);
    d.run("! write 3000\n> . 101+1000 ack 501\n> . 1101+1000 ack 501\n> P. 2101+1000 ack 501");
    d.run("< . 501 ack 1101 win 0");
    for _ in 0..50 {
        d.run("+60000ms");
        while d.block.poll(d.now, 7).is_some() {}
        d.run("< . 501 ack 1101 win 0");
    }
    d.run(": Established\n< . 501 ack 1101 win 9000");
    let again = d.block.poll(d.now, 7).expect("the data again");
    assert_eq!((again.seq, again.retransmission), (Seq(1101), true));
}

/// MUST-66: acknowledgment, RST and urgent pointer count while our window is closed.
#[test]
fn a_closed_window_lets_control_through() {
    let closed = || {
        let limits = Limits { receive_buffer: 5000, ..Limits::default() };
        let mut d = Dialogue::established("", 10_000, limits);
        d.run("! write 100\n> P. 101+100 ack 501\n< . 501+10000 ack 101\n> . 201 ack 10501 win 0");
        d
    };
    let mut d = closed();
    d.run("< . 10501 ack 201\n: Established");
    assert_eq!(d.block.snd_una(), Seq(201));
    let mut d = closed();
    d.run("< R 10501\n: Closed");
    let mut d = closed();
    d.run("< R 10502\n: Established\n< R 10500\n> -\n: Established");
    let mut d = closed();
    d.run("< U. 10501+1 ack 201 urg 1");
    assert_eq!((d.block.urgent(), d.block.snd_una()), (Some(Seq(10_502)), Seq(201)));
    let mut d = closed();
    d.run("< U. 10501 ack 201 urg 7");
    assert_eq!(d.block.urgent(), Some(Seq(10_508)), "without data, too");
    // A FIN needs no room, and comes with its own acknowledgment.
    let mut d = closed();
    d.run("< F. 10501 ack 201\n: CloseWait");
}

/// MUST-38: neither half a segment nor a trickle, unless the peer never had room for more.
#[test]
fn a_sender_waits_for_a_full_segment_or_half_the_largest_window() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("! write 20000");
    for i in 0..10 {
        d.run(&format!("> . {}+1000 ack 501", 101 + i * 1000));
    }
    // All is acknowledged, little is offered: neither 999 nor one byte are worth a segment.
    d.run("< . 501 ack 10101 win 999\n> -\n< . 501 ack 10101 win 1000\n> . 10101+1000 ack 501\n> -");
    // Half of the largest window that there ever was is, however small that was.
    let mut d = Dialogue::established("", 600, Limits::default());
    d.run("! write 20000\n> . 101+600 ack 501\n< . 501 ack 701 win 299\n> -");
    d.run("< . 501 ack 701 win 300\n> . 701+300 ack 501");
}

/// MUST-39: the right edge moves by a segment, or by half of the buffer, or not at all.
#[test]
fn a_receiver_does_not_advertise_a_trickle() {
    for (buffer, least) in [(10_000, 1000), (1000, 500)] {
        let limits = Limits { receive_buffer: buffer, ..Limits::default() };
        let mut d = Dialogue::established("", 10_000, limits);
        d.run("< . 501+10000 ack 101\n> . 101 ack 10501 win 0");
        let mut edge = d.block.offered_right_edge();
        while d.block.read().is_some() {}
        d.run(&format!("> . 101 ack 10501 win {buffer}"));
        // From now on byte by byte, read at once.
        edge = edge.max(d.block.offered_right_edge());
        for i in 0..3 * buffer {
            d.run(&format!("< . {}+1 ack 101", 10_501 + i));
            while d.block.read().is_some() {}
            while d.block.poll(d.now, 7).is_some() {}
            let moved = edge.distance_to(d.block.offered_right_edge());
            assert!(moved == 0 || moved >= least, "by {moved} bytes");
            edge = d.block.offered_right_edge();
        }
        assert!(edge.gt(Seq(10_501 + 2 * buffer)), "it does move");
    }
}
