//! Other rules and modules while flows go on.

use std::sync::Arc;

use control::core::change::Change;
use control::core::handover::HandOver;
use control::core::query::Query;
use control::core::{Core, Parts, WorkerLink};
use control::module::relay::MergeWhen;
use control::suspended::WhenFull;
use dataplane::clock::Instant;
use dataplane::flow::object::Path;
use dataplane::policy::{Action, Defaults, Fallback, Installed, RuleSpec, Snapshot, Strays};
use dataplane::port::sim::{SimBuffer, SimPool};
use dataplane::worker::mailbox::{Receiver, Sender, mailbox};
use dataplane::worker::message::{Event, Order};

use crate::rig::{Rig, relay, settings};

struct Worker {
    events: Sender<Event<SimBuffer>>,
    orders: Receiver<Order<SimBuffer>>,
}

fn core(workers: usize) -> (Core<SimPool>, Vec<Worker>) {
    let (links, workers) = (0..workers)
        .map(|_| {
            let (events, event_receiver) = mailbox(8);
            let (order_sender, orders) = mailbox(8);
            (WorkerLink { events: event_receiver, orders: order_sender }, Worker { events, orders })
        })
        .unzip();
    let core = Core::new(Parts {
        links,
        pool: SimPool::new(16),
        modules: vec![Box::new(relay(MergeWhen::Never))],
        settings: settings(),
        heartbeat: Arc::default(),
        report: Arc::default(),
        buffered: Arc::default(),
    });
    (core, workers)
}

fn rules(count: usize) -> Installed {
    let defaults = Defaults {
        action: Action::Pass,
        strays: Strays::Drop,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    let rules = vec![RuleSpec::everything(Action::Drop); count];
    Installed::new(Arc::new(Snapshot::compile(&rules, defaults).unwrap()))
}

#[test]
fn every_worker_gets_its_rules_and_the_asker_what_was_in_force() {
    let (mut core, mut workers) = core(2);
    let (answer, answered) = crossbeam::channel::bounded(1);
    // Index 0 means another module now, index 1 is new.
    let modules = [0, 1].map(|index| (index, Box::new(relay(MergeWhen::Established)) as _));
    core.ask(Query::Change(Change {
        modules: modules.into(),
        retired: Vec::new(),
        policies: vec![rules(1), rules(2)],
        when_full: Fallback::Pass,
        when_suspended_full: WhenFull::Drop,
        answer,
    }));
    for (number, worker) in workers.iter_mut().enumerate() {
        assert!(answered.try_recv().is_err(), "worker {number} has not answered");
        let Some(Order::Policy(policy)) = worker.orders.try_receive() else { panic!("no rules") };
        assert_eq!(policy.snapshot.rules(), number + 1);
        assert!(worker.events.try_send(Event::Replaced(Box::new(rules(7)))).is_ok());
        core.poll(Instant::from_millis(1));
    }
    let replaced = answered.try_recv().expect("both have answered");
    let before: Vec<_> = replaced.policies.iter().map(|policy| policy.snapshot.rules()).collect();
    assert_eq!((before, replaced.modules.len()), (vec![7, 7], 1));
}

#[test]
fn the_modules_of_all_flows_are_told() {
    let (mut core, mut workers) = core(2);
    let (answer, answered) = crossbeam::channel::bounded(1);
    core.ask(Query::Modules { answer });
    for worker in &mut workers {
        let Some(Order::List(listing)) = worker.orders.try_receive() else { panic!("not asked") };
        assert!(worker.events.try_send(Event::Listed(listing)).is_ok());
    }
    core.poll(Instant::from_millis(1));
    assert!(answered.try_recv().expect("both have answered").is_empty());
}

/// A reload must not give its index to another module before the worker has answered.
#[test]
fn the_module_of_a_split_under_way_is_told() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    let ordered = rig.order_hand_over(HandOver::SplitFor(0), Path::CutThrough);
    assert!(ordered.try_recv().is_err() && rig.ordered_split.is_some(), "its worker has not answered");
    let (answer, answered) = crossbeam::channel::bounded(1);
    rig.core.ask(Query::Modules { answer });
    rig.poll();
    let listing = rig.listing.take().expect("the worker is asked");
    rig.tell(Event::Listed(listing));
    assert_eq!(answered.try_recv().expect("it has answered").into_iter().collect::<Vec<_>>(), [0]);
}
