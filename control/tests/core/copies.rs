//! Payload is copied once on its way (DESIGN section 10), and every copy beyond that is counted.

use std::time::Duration;

use control::core::context::Settings;
use control::module::relay::MergeWhen;
use control::tcp::Limits;
use dataplane::counters::Counter;

use crate::rig::*;

fn bytes(rig: &Rig) -> (u64, u64) {
    (rig.count(Counter::RelayedBytes), rig.count(Counter::CopiedBytes))
}

fn roomy() -> Settings {
    let leg = Limits { send_buffer: 1 << 22, receive_buffer: 1 << 22, ..Limits::default() };
    Settings { leg, buffered: 1 << 24, ..settings() }
}

#[test]
fn bulk_is_copied_once() {
    let mut rig = Rig::with(relay(MergeWhen::Never), roomy());
    rig.establish();
    for n in 0..1000 {
        rig.client(ack(C + 1 + n * 1000, S + 1), &[0; 1000]);
        rig.server(ack(S + 1, C + 1 + (n + 1) * 1000), b"");
    }
    assert_eq!(bytes(&rig), (1_000_000, 1_000_000));
}

#[test]
fn what_waits_or_comes_out_of_order_is_not_copied_more() {
    let mut rig = Rig::with(relay(MergeWhen::Never), roomy());
    rig.establish();
    // More than the congestion window lets out, in pairs that have changed places, in segments below the usual size.
    for n in 0..40 {
        for first in [2 * n + 1, 2 * n] {
            rig.client(ack(C + 1 + first * 600, S + 1), &[0; 600]);
        }
    }
    let (relayed, sent) = bytes(&rig);
    assert_eq!(relayed, 48_000);
    assert!(sent < relayed, "some of it waits for the congestion window");
    for n in 0..200 {
        rig.server(ack(S + 1, (C + 1 + n * 600).min(C + 48_001)), b"");
    }
    assert_eq!(bytes(&rig), (48_000, 48_000));
}

#[test]
fn what_is_sent_again_is_copied_again() {
    let mut rig = Rig::with(relay(MergeWhen::Never), roomy());
    rig.establish();
    rig.client(ack(C + 1, S + 1), &[0; 100]);
    let said = script(&rig.wait(Duration::from_secs(3)));
    let repeats = said.iter().filter(|line| line.ends_with(" 100")).count() as u64;
    assert!(repeats > 0);
    assert_eq!(bytes(&rig), (100, 100 * (1 + repeats)));
}

#[test]
fn while_buffers_are_scarce_two_copies_keep_reception_alive() {
    let mut rig = Rig::with(relay(MergeWhen::Never), roomy());
    rig.establish();
    let hoarded: Vec<_> = std::iter::from_fn(|| rig.pool.copy_of(&[0])).take(16_384 * 4 / 5).collect();
    rig.client(ack(C + 1, S + 1), &[0; 1000]);
    assert_eq!(bytes(&rig), (1000, 2000));
    drop(hoarded);
    rig.client(ack(C + 1001, S + 1), &[0; 1000]);
    assert_eq!(bytes(&rig), (2000, 3000));
}

#[test]
fn many_small_segments_share_memory() {
    let mut rig = Rig::with(relay(MergeWhen::Never), roomy());
    rig.establish();
    // The server's window is full after the first segments: the rest waits here.
    for n in 0..6_000 {
        rig.client(ack(C + 1 + n * 10, S + 1), &[0; 10]);
    }
    let (relayed, copied) = bytes(&rig);
    assert!(copied > relayed && copied < 3 * relayed, "{copied} copied for {relayed}");
    assert!(rig.pool.in_use() < 1_000, "{} buffers pinned by segments of 10 bytes", rig.pool.in_use());
}
