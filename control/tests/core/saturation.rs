//! A worker that takes no orders for a while: nothing that was promised is forgotten, and nothing piles up.

use std::time::Duration;

use control::core::context::Settings;
use control::module::Isn;
use control::module::relay::{MergeWhen, Relay};
use control::tcp::Limits;
use dataplane::counters::Counter;
use dataplane::wire::tcp::TcpRepr;

use crate::rig::*;

const SECOND: Duration = Duration::from_secs(1);

/// The mailbox and the outbox behind it are full after so many orders, more or less.
const FULL: std::ops::Range<u32> = 4150..4170;

/// The acknowledgment of a request takes the last place; the request itself goes on when there is room again (DESIGN
/// invariant 2).
#[test]
fn what_was_acknowledged_is_sent_once_there_is_room() {
    for fill in FULL {
        let mut rig = Rig::established(relay(MergeWhen::Never));
        rig.client(ack(C + 1, S + 1), b"x");
        rig.server(ack(S + 1, C + 2), b"");
        rig.wait(SECOND);
        rig.stop_taking_orders();
        for _ in 0..fill {
            // Repeated data is always acknowledged.
            rig.client(ack(C + 1, S + 1), b"x");
        }
        rig.client(ack(C + 2, S + 1), b"GET");
        let mut said = script(&rig.resume_taking_orders());
        said.extend(script(&rig.wait(60 * SECOND)));
        let acked = said.iter().any(|line| line.starts_with(">C . 5001:1005"));
        let sent = said.iter().any(|line| line.starts_with(">S . 1002:"));
        assert!(sent || !acked, "acknowledged and never sent after {fill} orders");
    }
}

#[test]
fn a_window_probe_that_found_no_room_is_made_up_for() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    for flow in 0..2 {
        rig.turn_to(flow);
        rig.establish();
    }
    // The second flow's server has closed its window, and data waits.
    rig.server(TcpRepr { window: 0, ..ack(S + 1, C + 1) }, b"");
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.turn_to(0);
    rig.client(ack(C + 1, S + 1), b"xx");
    rig.server(ack(S + 1, C + 3), b"");
    rig.stop_taking_orders();
    for _ in 0..FULL.end + 200 {
        rig.client(ack(C + 1, S + 1), b"xx");
    }
    // The probe is due while the worker is away for two seconds.
    rig.wait(2 * SECOND);
    rig.resume_taking_orders();
    let said = script(&rig.wait(300 * SECOND));
    assert!(said.iter().any(|line| line.starts_with(">S . 1001:5001 1")), "no probe: {said:?}");
}

#[test]
fn resets_of_foreign_segments_do_not_pile_up() {
    let mut rig = Rig::new(Relay { isn: Isn::Keyed, ..relay(MergeWhen::Never) });
    let said = rig.offer(syn(C));
    let [Said::Tcp(_, ours, _)] = &said[..] else { panic!("{said:?}") };
    let next = ours.seq.0.wrapping_add(1);
    rig.server(syn_ack(S, next), b"");
    rig.stop_taking_orders();
    for _ in 0..8_000 {
        rig.server(ack(S + 1, 7), b"");
    }
    assert!(rig.pool.in_use() < 4_500, "{}", rig.pool.in_use());
    assert!(rig.count(Counter::DropOrdersFull) > 3_000);
}

/// Two stalled readers have filled the memory; a third flow goes on, a segment at a time.
#[test]
fn full_memory_shuts_nobody_out() {
    let leg = Limits { send_buffer: 65_536, receive_buffer: 65_536, ..Limits::default() };
    let mut rig = Rig::with(relay(MergeWhen::Never), Settings { leg, buffered: 100_000, ..settings() });
    for flow in 0..3 {
        rig.turn_to(flow);
        rig.establish();
    }
    for flow in 0..2 {
        rig.turn_to(flow);
        rig.server(TcpRepr { window: 0, ..ack(S + 1, C + 1) }, b"");
        for i in 0..55 {
            rig.client(ack(C + 1 + i * 1000, S + 1), &[0; 1000]);
        }
    }
    rig.turn_to(2);
    let (mut seq, mut room) = (C + 1, 60_000);
    for _ in 0..200 {
        let bytes = vec![0; room.min(1000)];
        let mut said = rig.client(ack(seq, S + 1), &bytes);
        seq += bytes.len() as u32;
        said.extend(rig.server(ack(S + 1, seq), b""));
        said.extend(rig.wait(SECOND));
        // What the others say meanwhile has other numbers.
        room = said
            .iter()
            .rev()
            .find_map(|said| match said {
                Said::Tcp(CLIENT, tcp, _) if tcp.ack.0 == seq => Some(usize::from(tcp.window) << SHIFT),
                _ => None,
            })
            .expect("all that there was room for is taken");
        assert!(room > 0, "shut out at {seq}");
    }
}
