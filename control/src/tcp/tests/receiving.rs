//! Reassembly and SACK, PAWS, and the drain before a merge.

use super::dialogue::Dialogue;
use crate::tcp::*;
use dataplane::wire::seq::Seq;

#[test]
fn out_of_order_data_is_sacked_latest_first() {
    let mut d = Dialogue::established("sack", 10_000, Limits::default());
    d.run(
        "< . 601+100 ack 101
           > . 101 ack 501 <blk 601:701>
           < . 801+100 ack 101
           > . 101 ack 501 <blk 801:901,blk 601:701>
           < . 1001+100 ack 101
           > . 101 ack 501 <blk 1001:1101,blk 801:901,blk 601:701>
           < . 701+50 ack 101
           > . 101 ack 501 <blk 601:751,blk 1001:1101,blk 801:901>
           = -
           < . 501+100 ack 101
           = READABLE
           > . 101 ack 751 <blk 1001:1101,blk 801:901>
           < . 751+400 ack 101
           > . 101 ack 1151 <blk 801:901>
           ! read 650
           > -",
    );
}

#[test]
fn three_blocks_beside_timestamps() {
    let mut d = Dialogue::established("sack,ts 9:0", 10_000, Limits::default());
    for i in 0..5 {
        d.run(&format!("< . {}+10 ack 101 <ts 9:7>", 601 + i * 100));
    }
    d.run(
        "! ts 8
           > . 101 ack 501 <ts 8:9,blk 1001:1011,blk 901:911,blk 801:811>
           ! write 1000
           > . 101+960 ack 501 <ts 8:9,blk 1001:1011,blk 901:911,blk 801:811>",
    );
}

#[test]
fn overlaps_in_every_way_give_every_byte_once() {
    let mut d = Dialogue::established("sack", 10_000, Limits::default());
    for piece in ["601+100", "701+100", "901+50", "650+400", "590+300", "590+20", "501+10", "505+100"] {
        d.run(&format!("< . {piece} ack 101"));
    }
    d.run(
        "> . 101 ack 1050 <blk 590:890>
           ! read 549",
    );
}

#[test]
fn a_flood_of_fragments_is_bounded_and_refused_ones_come_again() {
    let limits = Limits { max_reassembly_segments: 8, max_chunks: 4, ..Limits::default() };
    let mut d = Dialogue::established("sack", 10_000, limits);
    for i in 0..500 {
        d.run(&format!("< . {}+1 ack 101", 503 + i * 2));
    }
    assert_eq!(d.block.rcv.reassembly.chunks(), 8);
    d.run(
        "> . 101 ack 501 <blk 517:518,blk 515:516,blk 513:514,blk 511:512>
           < . 501+1000 ack 101
           > . 101 ack 1501 <blk 503:504>
           ! read 1000",
    );
}

#[test]
fn data_beyond_the_right_edge_is_cut() {
    let mut d = Dialogue::established("", 10_000, Limits { receive_buffer: 10_000, ..Limits::default() });
    d.run(
        "< . 501+9990 ack 101
           > . 101 ack 10491 win 10
           < FP. 10491+1000 ack 101
           = READABLE
           > . 101 ack 10501 win 0
           : Established
           ! read 10000",
    );
}

#[test]
fn paws_drops_the_old_and_says_where_we_are() {
    let mut d = Dialogue::established("ts 9:0", 10_000, Limits::default());
    d.run(
        "< . 501+10 ack 101 <ts 50:7>
           > . 101 ack 511 <ts 7:50>
           < . 511+10 ack 101 <ts 49:7>
           > . 101 ack 511 <ts 7:50>
           = READABLE",
    );
    assert_eq!(d.block.last_stop(), Some(Stop::OldTimestamp));
    d.run(
        "< . 511+10 ack 101
           = READABLE
           > . 101 ack 521 <ts 7:50>
           < R 521 <ts 1:7>
           = RESET|CLOSED",
    );
}

#[test]
fn timestamp_of_what_was_taken_out_of_order_is_not_echoed() {
    let mut d = Dialogue::established("ts 9:0", 10_000, Limits::default());
    d.run(
        "< . 511+10 ack 101 <ts 60:7>
           > . 101 ack 501 <ts 7:9>
           < . 501+10 ack 101 <ts 50:7>
           > . 101 ack 521 <ts 7:50>",
    );
    assert_eq!(d.block.ts_recent(), Some(50));
}

#[test]
fn paws_forgets_after_24_days() {
    let mut d = Dialogue::established("ts 9:0", 10_000, Limits::default());
    d.run(
        "+2073600000ms
           < . 501+10 ack 101 <ts 1:7>
           = READABLE
           > . 101 ack 511 <ts 7:1>",
    );
}

#[test]
fn draining_takes_the_ack_and_leaves_the_bytes() {
    let mut d = Dialogue::established("sack", 10_000, Limits::default());
    d.run(
        "! write 100
           > P. 101+100 ack 501
           ~ < P. 501+300 ack 201 win 9000
           = ACKED|WINDOW
           > -",
    );
    assert!(d.block.is_drained());
    assert_eq!((d.block.rcv_nxt(), d.block.readable(), d.block.peer_window()), (Seq(501), 0, 9000));
    d.run(
        "~ < FP. 801+300 ack 201 win 8000
           = WINDOW
           > -
           ~ < R 501
           = -
           : Established
           ! ack
           > . 201 ack 501 <>
           ~ < . 401+50 ack 201
           > . 201 ack 501 <blk 401:451>
           < P. 501+300 ack 201
           < FP. 801+300 ack 201
           = READABLE|WINDOW|PEER_FIN",
    );
}

/// RFC 2883 section 4: what came twice is the first block, once, wherever RCV.NXT is by then.
#[test]
fn what_came_twice_is_reported_first_and_once() {
    let mut d = Dialogue::established("sack", 10_000, Limits::default());
    d.run(
        "< . 501+100 ack 101
           > . 101 ack 601 <>
           < . 501+100 ack 101
           > . 101 ack 601 <blk 501:601>
           ! ack
           > . 101 ack 601 <>
           < . 551+100 ack 101
           > . 101 ack 651 <blk 551:601>
           < . 801+100 ack 101
           > . 101 ack 651 <blk 801:901>
           < . 801+100 ack 101
           > . 101 ack 651 <blk 801:901,blk 801:901>
           < . 851+100 ack 101
           > . 101 ack 651 <blk 851:901,blk 801:951>
           < . 1001+100 ack 101
           > . 101 ack 651 <blk 1001:1101,blk 801:951>
           < . 501+10 ack 101
           > . 101 ack 651 <blk 501:511,blk 1001:1101,blk 801:951>
           < . 651+200 ack 101
           > . 101 ack 951 <blk 801:851,blk 1001:1101>",
    );
}

#[test]
fn a_duplicate_below_the_window_is_reported_without_more_than_fits() {
    let mut d = Dialogue::established("sack,ts 9:0", 10_000, Limits::default());
    d.run("< . 501+100 ack 101 <ts 9:7>\n> . 101 ack 601");
    for i in 0..4 {
        d.run(&format!("< . {}+10 ack 101 <ts 9:7>\n> . 101 ack 601", 701 + i * 100));
    }
    d.run(
        "< . 401+200 ack 101 <ts 9:7>
           > . 101 ack 601 <ts 7:9,blk 401:601,blk 1001:1011,blk 901:911>
           < . 501+100 ack 101 <ts 8:7>
           > . 101 ack 601 <ts 7:9,blk 501:601,blk 1001:1011,blk 901:911>",
    );
    assert_eq!(d.block.last_stop(), Some(Stop::OldTimestamp));
}

#[test]
fn nothing_is_reported_to_a_peer_without_sack() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("< . 501+100 ack 101\n> . 101 ack 601\n< . 501+100 ack 101\n> . 101 ack 601 <>");
}
