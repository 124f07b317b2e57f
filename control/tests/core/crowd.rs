//! A hundred thousand flows at once: what they take, and that those who are idle cost nothing.

use std::time::Duration;

use control::config::BYTES_PER_PARTICIPATING;
use control::core::context::Settings;
use control::module::relay::MergeWhen;
use control::tcp::Limits;

use crate::rig::*;

const FLOWS: u32 = 100_000;

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("resident memory");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib * 1024
}

/// A core with this many flows, each of which has carried a request and a response and is idle.
fn crowd(flows: u32) -> Rig {
    let settings =
        Settings { connections: flows as usize, buffered: 1 << 30, leg: Limits::default(), ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), settings);
    for n in 0..flows {
        rig.turn_to(n);
        rig.establish();
        // The client has had a full initial window under way, twice.
        for i in 0..20 {
            rig.client(ack(C + 1 + i * 1000, S + 1), &[0; 1000]);
            if i % 10 == 9 {
                rig.server(ack(S + 1, C + 1 + (i + 1) * 1000), b"");
            }
        }
        rig.server(ack(S + 1, C + 20_001), &[0; 1000]);
        rig.client(ack(C + 20_001, S + 1001), b"");
        rig.server(ack(S + 1001, C + 20_001), b"");
    }
    rig
}

#[test]
fn a_hundred_thousand_idle_flows_take_less_than_two_gigabytes() {
    let before = resident();
    let rig = crowd(FLOWS);
    assert_eq!(rig.core.connections().count(), FLOWS as usize);
    assert_eq!(rig.core.load().bytes, 0);
    assert_eq!(rig.pool.in_use(), 0, "who keeps nothing pins nothing");
    let taken = resident().saturating_sub(before);
    println!("{FLOWS} flows: {} MiB, {} bytes each", taken >> 20, taken / u64::from(FLOWS));
    assert!(taken < 2 << 30, "{taken} bytes");
    let each = taken / u64::from(FLOWS);
    assert!(each <= BYTES_PER_PARTICIPATING, "{each} bytes, `check` says {BYTES_PER_PARTICIPATING}");
}

#[test]
fn idle_flows_cost_no_timers() {
    let mut rig = crowd(1000);
    rig.wait(Duration::from_secs(5));
    // Nothing is armed but the end of idle flows, an hour from now.
    let mut rounds = 0;
    let until = rig.now + Duration::from_secs(600);
    while rig.now < until {
        let fired = rig.core.poll(rig.now);
        assert_eq!(fired, 0, "{:?}", rig.now);
        rig.now = rig.core.next_deadline(rig.now).max(rig.now + Duration::from_millis(1));
        rounds += 1;
    }
    assert!(rounds < 15_000, "{rounds}: the wheel is looked at every 64 ms at most");
}
