//! What has to add up over workers and control core at any moment. The fuzzer's appliance is judged by it too.

use std::collections::HashSet;

use ahash::RandomState;
use control::core::Core;
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::port::sim::{SimPool, SimPort};
use dataplane::worker::Worker;

type W = Worker<SimPort>;

/// Invariant 3: a flow is in one worker's table, and a flow that goes up has exactly one connection.
pub fn ownership<'a>(workers: impl Iterator<Item = &'a W>, core: &Core<SimPool>) -> Result<(), String> {
    let mut keys = HashSet::<_, RandomState>::with_hasher(RandomState::new());
    let mut up = 0;
    for table in workers.map(Worker::table) {
        for slot in table.occupied(0..table.capacity() as u32) {
            if !keys.insert(table.key(slot)) {
                return Err(format!("{}: in two tables", table.key(slot).quad));
            }
            up += usize::from(matches!(table.object(slot).path, Path::Suspended | Path::Participating));
        }
    }
    core.check()?;
    let mut connections = 0;
    for connection in core.connections() {
        if !keys.contains(connection.key()) {
            return Err(format!("{}: a connection without a flow", connection.key().quad));
        }
        connections += 1;
    }
    let partial = core.suspended();
    if up != connections + partial {
        return Err(format!("{up} flows go up, with {connections} connections and {partial} partial ones"));
    }
    Ok(())
}

/// Invariant 4: every frame received was sent on, ended in a TCB, or is counted under a named reason.
pub fn names<'a>(workers: impl Iterator<Item = &'a W> + Clone, core: &Core<SimPool>) -> Result<(), String> {
    let lanes = workers.clone();
    let workers = |counter| workers.clone().map(|worker| worker.counters().get(counter)).sum::<u64>();
    let control = |counter| core.counters().get(counter);
    let drops = Counter::ALL.iter().filter(|counter| counter.name().starts_with("drop_"));
    let dropped: u64 = drops.map(|counter| workers(*counter)).sum();
    // What the control core drops on top of this has been counted as terminated before.
    let gone = control(Counter::DropFlowGone) + control(Counter::DropTcpOptions);
    let answered = workers(Counter::CookiesSent);
    let taken = workers(Counter::FlowsOffered) + answered + control(Counter::Terminated);
    let ours = workers(Counter::Originated) + workers(Counter::Replayed) + workers(Counter::Restarted);
    let (received, sent) = (workers(Counter::Received), workers(Counter::Transmitted));
    let waiting = lanes.map(|worker| worker.waiting() as u64).sum::<u64>();
    if received + ours != sent + dropped + gone + taken + waiting {
        return Err(format!(
            "{received} received and {ours} our own, but {sent} sent, {dropped} dropped, {gone} late, {taken} taken, {waiting} wait"
        ));
    }
    Ok(())
}
