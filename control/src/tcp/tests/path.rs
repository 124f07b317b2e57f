//! The size of segments: what routers report, what silence says, and larger ones tried again.

use super::dialogue::{Dialogue, offer};
use crate::tcp::*;
use dataplane::wire::seq::Seq;

#[test]
fn our_own_link_bounds_segments_for_good() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! link 800
           ! write 1000
           > . 101+800 ack 501
           > P. 901+200 ack 501
           < . 501 ack 1101
           +1200000ms
           ! write 1000
           > . 1101+800 ack 501
           > P. 1901+200 ack 501
           ! link 900
           < . 501 ack 2101
           ! write 1000
           > . 2101+800 ack 501",
    );
}

/// RFC 1191 section 6.3: what is outstanding goes out again in smaller segments; a larger size is never believed.
#[test]
fn a_narrower_path_is_honoured_and_a_wider_one_is_not_believed() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 2000
           > . 101+1000 ack 501
           > P. 1101+1000 ack 501
           ! mtu 840
           > . 101+800 ack 501
           > . 901+800 ack 501
           > P. 1701+400 ack 501
           > -
           ! mtu 940
           > -
           ! mtu 65535
           > -",
    );
}

/// RFC 1191 section 5: a router that does not say its MTU means the next plateau below what it has dropped.
#[test]
fn a_router_that_does_not_say_its_mtu_means_the_next_plateau() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("! write 1000\n> P. 101+1000 ack 501\n! mtu 0\n> . 101+966 ack 501\n> P. 1067+34 ack 501");
    assert!(d.block.on_packet_too_big(d.now, Seq(101), 0, 600));
    d.run("> . 101+468 ack 501");
    // The length of the datagram is as much hearsay as the rest: it does not raise anything.
    assert!(d.block.on_packet_too_big(d.now, Seq(101), 0, 9000));
    d.run("> . 101+256 ack 501");
}

#[test]
fn no_path_is_believed_to_be_narrower_than_the_least() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("! write 100\n> P. 101+100 ack 501");
    assert!(!d.block.on_packet_too_big(d.now, Seq(101), 67, 140), "RFC 791: 68 for IPv4");
    d.run("> -");
    assert!(d.block.on_packet_too_big(d.now, Seq(101), 68, 140));
    d.run("> . 101+48 ack 501");

    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.block.set_family(Family::V6);
    d.run(
        "> S 100
           < S. 500 ack 101 <mss 1440>
           ! confirm
           > . 101 ack 501
           ! write 1440
           > P. 101+1440 ack 501",
    );
    assert!(!d.block.on_packet_too_big(d.now, Seq(101), 1279, 1500), "RFC 8201 section 4: discarded");
    assert!(!d.block.on_packet_too_big(d.now, Seq(101), 0, 1500), "no plateaus in IPv6");
    d.run("> -");
    assert!(d.block.on_packet_too_big(d.now, Seq(101), 1280, 1500));
    d.run("> . 101+1220 ack 501");
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("! write 100\n> P. 101+100 ack 501");
    assert!(d.block.on_packet_too_big(d.now, Seq(101), u32::MAX, 140), "larger than anything is no news");
    d.run("> -");
}

/// RFC 5927 section 7.2: sizes that have been acknowledged contradict the report, so it waits for a timeout.
#[test]
fn a_report_that_contradicts_acknowledged_sizes_waits_for_a_timeout() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 1000
           > P. 101+1000 ack 501
           < . 501 ack 1101
           ! write 2000
           > . 1101+1000 ack 501
           > P. 2101+1000 ack 501
           ! mtu 600
           > -
           < . 501 ack 2101
           +200ms
           > P. 2101+1000 ack 501
           < . 501 ack 3101",
    );
    d.run(
        "! write 1000
           > P. 3101+1000 ack 501
           ! mtu 600
           > -
           +400ms
           > . 3101+560 ack 501",
    );
}

/// RFC 1191 section 6.3: ten minutes later one segment of the next size tries.
#[test]
fn a_larger_size_is_tried_again_after_ten_minutes() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 1000
           > P. 101+1000 ack 501
           ! mtu 548
           > . 101+508 ack 501
           > P. 609+492 ack 501
           < . 501 ack 1101
           +599000ms
           ! write 1
           > P. 1101+1 ack 501
           < . 501 ack 1102
           ! write 1000
           > . 1102+508 ack 501
           > P. 1610+492 ack 501
           < . 501 ack 2102
           +1000ms
           ! write 1
           > P. 2102+1 ack 501
           < . 501 ack 2103
           ! write 3000
           > . 2103+966 ack 501
           > . 3069+508 ack 501
           > . 3577+508 ack 501
           > . 4085+508 ack 501
           > . 4593+508 ack 501
           > P. 5101+2 ack 501
           < . 501 ack 5103
           ! write 3000
           > . 5103+1000 ack 501
           > . 6103+966 ack 501",
    );
}

#[test]
fn a_probe_that_is_lost_is_sent_again_in_usual_segments_and_not_repeated() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 1000
           > P. 101+1000 ack 501
           ! mtu 548
           > . 101+508 ack 501
           > P. 609+492 ack 501
           < . 501 ack 1101
           +600000ms
           ! write 1
           > P. 1101+1 ack 501
           < . 501 ack 1102
           ! write 966
           > P. 1102+966 ack 501
           +200ms
           > . 1102+508 ack 501
           < . 501 ack 1610
           > P. 1610+458 ack 501
           < . 501 ack 2068
           ! write 1000
           > . 2068+508 ack 501
           > P. 2576+492 ack 501",
    );
}

#[test]
fn a_router_may_refuse_the_probe() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 1000
           > P. 101+1000 ack 501
           ! mtu 548
           > . 101+508 ack 501
           > P. 609+492 ack 501
           < . 501 ack 1101
           +600000ms
           ! write 1
           > P. 1101+1 ack 501
           < . 501 ack 1102
           ! write 966
           > P. 1102+966 ack 501
           ! mtu 548
           > . 1102+508 ack 501
           > P. 1610+458 ack 501
           > -",
    );
}

/// RFC 8899 and RFC 4821 in spirit: two timeouts of a full segment without any report.
#[test]
fn a_path_that_swallows_full_segments_is_left_for_smaller_ones() {
    let limits = Limits { user_timeout: std::time::Duration::from_secs(1000), ..Limits::default() };
    let mut d = Dialogue::connect(&offer(), limits);
    d.run(
        "> S 100
           < S. 500 ack 101 <mss 1460>
           ! confirm
           > . 101 ack 501
           ! write 1460
           > P. 101+1460 ack 501
           +200ms
           > P. 101+1460 ack 501
           +400ms
           > . 101+1024 ack 501
           +800ms
           > . 101+1024 ack 501
           +1600ms
           > . 101+536 ack 501
           < . 501 ack 637
           > . 637+536 ack 501
           > P. 1173+388 ack 501
           < . 501 ack 1561
           +60000ms
           ! write 1
           > P. 1561+1 ack 501
           < . 501 ack 1562
           ! write 2000
           > . 1562+966 ack 501
           > . 2528+536 ack 501",
    );
}

#[test]
fn a_path_that_has_carried_full_segments_is_suspected_later() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! write 1000
           > P. 101+1000 ack 501
           < . 501 ack 1101
           ! write 1000
           > P. 1101+1000 ack 501",
    );
    for wait in [200, 400, 800] {
        d.run(&format!("+{wait}ms\n> P. 1101+1000 ack 501"));
    }
    d.run("+1600ms\n> . 1101+536 ack 501");
}

#[test]
fn small_segments_that_time_out_do_not_make_the_path_suspect() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("! write 999\n> P. 101+999 ack 501");
    for wait in [200, 400, 800, 1600] {
        d.run(&format!("+{wait}ms\n> P. 101+999 ack 501"));
    }
}

#[test]
fn neither_do_many_small_ones_together() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.block.set_family(Family::V4);
    for i in 0..20 {
        d.run(&format!("! write 100\n> P. {}+100 ack 501", 101 + i * 100));
    }
    d.run("+200ms");
    while d.block.poll(d.now, 7).is_some() {}
    assert_eq!(d.block.segment_size(), 1000);
    d.run("< . 501 ack 2101\n! write 1000\n> P. 2101+1000 ack 501");
}

#[test]
fn ipv6_is_left_no_smaller_than_every_link_takes() {
    let mut d = Dialogue::connect(&offer(), Limits::default());
    d.block.set_family(Family::V6);
    d.run(
        "> S 100
           < S. 500 ack 101 <mss 1440>
           ! confirm
           > . 101 ack 501
           ! write 1440
           > P. 101+1440 ack 501
           +200ms
           > P. 101+1440 ack 501
           +400ms
           > . 101+1220 ack 501",
    );
    for wait in [800, 1600, 3200] {
        d.run(&format!("+{wait}ms\n> . 101+1220 ack 501"));
    }
}

/// MUST-15 for both versions, and the floor of what a peer may announce.
#[test]
fn the_size_of_a_peer_that_says_none_or_too_little() {
    for (family, size) in [(Family::V4, 536), (Family::V6, 1220)] {
        let mut d = Dialogue::suspended("S 500", Limits::default());
        d.block.set_family(family);
        d.block.answer(d.now, Seq(100), &offer());
        d.run(&format!("> S. 100 ack 501\n< . 501 ack 101\n! write 2000\n> . 101+{size} ack 501"));
    }
    for (announced, size) in [(0, 48), (1, 48), (47, 48), (48, 48), (54, 54)] {
        let mut d = Dialogue::suspended(&format!("S 500 <mss {announced}>"), Limits::default());
        d.block.answer(d.now, Seq(100), &offer());
        d.run(&format!("> S. 100 ack 501\n< . 501 ack 101\n! write 2000\n> . 101+{size} ack 501"));
    }
}
