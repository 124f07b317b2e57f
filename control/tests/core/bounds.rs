//! Memory has a limit, and a policy for when it is reached.

use control::core::context::Settings;
use control::module::Decision;
use control::module::relay::MergeWhen;
use dataplane::counters::Counter;
use dataplane::policy::Fallback;
use dataplane::refusal::Rejection;

use crate::rig::*;

#[test]
fn what_is_kept_is_counted_while_it_is_kept() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(ack(C + 1, S + 1), b"12345");
    assert_eq!(rig.core.load().bytes, 5);
    // Behind a hole of two.
    rig.client(ack(C + 8, S + 1), b"89");
    assert_eq!(rig.core.load().bytes, 5 + 2);
    rig.server(ack(S + 1, C + 6), b"");
    assert_eq!(rig.core.load().bytes, 2);
}

#[test]
fn what_an_expired_flow_kept_is_kept_no_more() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(ack(C + 1, S + 1), b"12345");
    rig.expired();
    assert_eq!((rig.core.load().bytes, rig.core.load().connections), (0, 0));
    rig.assert_gone();
}

#[test]
fn full_memory_drops_by_name_but_no_flow_stands_still() {
    let settings = Settings { buffered: 3_000, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    rig.establish();
    for n in 0..4 {
        rig.client(ack(C + 1 + n * 1000, S + 1), &[0; 1000]);
    }
    assert_eq!((rig.core.load().bytes, rig.count(Counter::DropBuffersFull)), (3000, 1));
    let said = script(&rig.server(ack(S + 1, C + 1), b"reply"));
    assert!(said.contains(&">C . 5001:4001 5".into()), "the other direction keeps nothing yet: {said:?}");
    rig.server(ack(S + 6, C + 3001), b"");
    rig.client(ack(C + 3001, S + 6), &[0; 1000]);
    assert_eq!(rig.core.load().bytes, 1000, "it goes on where it was");
}

#[test]
fn all_merges_together_hold_no_more_than_allowed() {
    let settings = Settings { held: 2, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Established), settings);
    rig.establish();
    for n in 0..3 {
        rig.client(ack(C + 1 + n, S + 1), b"x");
    }
    assert_eq!((rig.core.load().held, rig.count(Counter::DropHeldFull)), (2, 1));
    rig.parked();
    rig.assert_gone();
}

#[test]
fn segments_fit_the_pair_whatever_the_ends_have_promised() {
    let settings = Settings { mtu: vec![600, 600], ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    rig.establish();
    let said = rig.client(ack(C + 1, S + 1), &[0; 1400]);
    let sizes: Vec<usize> = said
        .iter()
        .filter_map(|said| match said {
            Said::Tcp(SERVER, _, payload) if !payload.is_empty() => Some(payload.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [560, 560, 280]);
}

#[test]
fn a_syn_beyond_the_last_place_passes_or_is_dropped_as_configured() {
    for (when_full, expected, counter) in [
        (Fallback::Drop, "remove", Counter::DropConnectionsFull),
        (Fallback::Pass, "release Bypassed", Counter::FlowsPassedFull),
    ] {
        let settings = Settings { connections: 0, when_full, ..settings() };
        let mut rig = Rig::with(relay(MergeWhen::Never), settings);
        assert_eq!(script(&rig.offer(syn(C))), [expected]);
        assert_eq!(rig.count(counter), 1);
        rig.assert_gone();
    }
}

#[test]
fn answers_that_a_peer_can_ask_for_do_not_pile_up_behind_a_worker_that_does_not_take_them() {
    let mut rig = Rig::deciding(Decision::Reject(Rejection::Reset));
    rig.offer(syn(C));
    rig.stop_taking_orders();
    for _ in 0..6_000 {
        rig.client(syn(C), b"");
    }
    assert!(rig.count(Counter::DropOrdersFull) > 1_000);
    assert!(rig.pool.in_use() < 4_500, "{}", rig.pool.in_use());
}
