//! A flow's timer is moved only to an earlier time: one that fires for what has been put off meanwhile does nothing but wait
//! for the rest.

use std::time::Duration;

use control::module::relay::MergeWhen;
use dataplane::counters::Counter;

use crate::rig::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Lets time pass until a timer fires: the millisecond, and what was said then.
fn next_fire(rig: &mut Rig) -> (u64, Vec<String>) {
    let end = rig.now + Duration::from_secs(7200);
    while rig.now < end {
        rig.now = rig.core.next_deadline(rig.now).max(rig.now + MS(1));
        let fired = rig.core.poll(rig.now) > 0;
        rig.core.check().expect("its timer is set again");
        if fired {
            return (rig.now.as_millis(), script(&rig.poll()));
        }
    }
    panic!("no timer fires");
}

#[test]
fn who_is_heard_before_the_end_of_his_time_has_all_of_it_again() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    // The client had 75 seconds to complete its handshake.
    assert_eq!(next_fire(&mut rig), (75_000, vec![]));
    rig.wait(Duration::from_secs(25));
    assert!(rig.client(ack(C + 1, S + 1), b"").is_empty());
    assert_eq!(next_fire(&mut rig), (3_600_000, vec![]));
    assert_eq!((rig.count(Counter::FlowsExpired), rig.core.connections().count()), (0, 1));
    let resets = [">C R. 5001:1001 0", ">S R. 1001:5001 0"].map(str::to_owned);
    assert_eq!(next_fire(&mut rig), (3_700_000, resets.to_vec()));
}

#[test]
fn an_acknowledgment_puts_off_what_is_repeated_without_it() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    for i in 0..2 {
        rig.server(ack(S + 1 + i * 1000, C + 1), &[0; 1000]);
    }
    rig.wait(MS(100));
    assert!(rig.client(ack(C + 1, S + 1001), b"").is_empty());
    assert_eq!(next_fire(&mut rig), (200, vec![]));
    assert_eq!(next_fire(&mut rig), (300, vec![">C . 6001:1001 1000".to_owned()]));
}

#[test]
fn what_is_due_sooner_does_not_wait_for_what_is_due_later() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.wait(Duration::from_secs(10));
    rig.server(ack(S + 1, C + 1), &[0; 1000]);
    let (at, said) = next_fire(&mut rig);
    assert!((10_001..=10_200).contains(&at), "its timer waits for the {at}th ms: {said:?}");
}
