//! What is ordered about flows, and what who has ordered it is told, and when.

use std::time::Duration;

use control::connection::Awaits;
use control::core::handover::{HandOver, Refused};
use control::core::query::Query;
use control::module::relay::MergeWhen;
use control::module::{Edit, Step};
use dataplane::counters::Counter;
use dataplane::flow::object::{Path, Track, View};
use dataplane::flow::terms::{Promises, Terms};
use dataplane::wire::seq::Seq;
use dataplane::worker::message::{Event, Unsplittable};

use crate::keeper::Keeper;
use crate::rig::*;

impl Rig {
    /// What the senders of a flow that the worker is to split may have been promised.
    fn reserve(&mut self) -> u32 {
        self.ordered_split.take().expect("the worker is told").reserve
    }

    /// The worker does not split it.
    fn unsplit(&mut self, why: Unsplittable) {
        let flow = self.flow;
        assert!(self.tell(Event::Unsplit { flow, why }).is_empty());
    }

    fn switch_merging(&mut self, on: bool) {
        let (answer, answered) = crossbeam::channel::bounded(1);
        self.core.ask(Query::Merging { on, answer });
        self.poll();
        assert_eq!(answered.try_recv(), Ok(()));
    }

    /// The flow has been idle for as long as its rule allows.
    fn idle(&mut self) -> Vec<Said> {
        let flow = self.flow;
        self.tell(Event::Idle { flow })
    }
}

const MOMENT: Duration = Duration::from_millis(1);

/// An idle flow, each of whose senders may send so many bytes.
fn idle(window: u32) -> View {
    View {
        track: [Track { end: Seq(C), ack: Seq(S) }, Track { end: Seq(S), ack: Seq(C) }],
        edges: [Seq(C + window), Seq(S + window)],
        promises: Promises::mirrored(Terms::new(Some([SHIFT, SHIFT]), true, false)),
        mss: [1460, 1460],
        ..View::default()
    }
}

#[test]
fn a_merge_that_waits_says_so_and_is_made_later() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    rig.split(0, 0, idle(10_000));
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    rig.wait(Duration::from_millis(499));
    assert!(answered.try_recv().is_err(), "it may still be made");
    rig.wait(2 * MOMENT);
    assert_eq!(answered.try_recv(), Ok(Err(Refused::Waiting(Awaits::Heard))));
    rig.client(ack(C, S), b"");
    let said = script(&rig.server(ack(S, C), b""));
    assert!(said.contains(&"park".into()), "as soon as both are heard: {said:?}");
}

/// What who orders a merge is told when it is not carried out at once.
fn told(rig: &mut Rig) -> Refused {
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    rig.wait(Duration::from_millis(501));
    answered.try_recv().expect("an answer").expect_err("it waits")
}

/// Each with its remedy: nobody has to guess which end is to be waited for.
#[test]
fn a_merge_says_what_it_waits_for() {
    type Before = fn(&mut Rig);
    let cases: [(Awaits, Before); 4] = [
        (Awaits::Fin, |rig| drop(rig.client(fin(C + 1, S + 1), b"GET"))),
        (Awaits::Missing, |rig| drop(rig.client(ack(C + 4, S + 1), b" /"))),
        (Awaits::Acknowledgment, |rig| {
            for n in 0..14 {
                rig.client(ack(C + 1 + n * 1400, S + 1), &[b'x'; 1400]);
            }
        }),
        // Undone twice: the next attempt is half a second from now.
        (Awaits::Retry, |rig| {
            rig.client(ack(C + 1, S + 1), b"GET");
            rig.order_hand_over(HandOver::Merge, Path::Participating);
            rig.wait(Duration::from_millis(420));
            rig.wait(Duration::from_millis(420));
        }),
    ];
    for (awaits, before) in cases {
        let mut rig = Rig::established(relay(MergeWhen::AfterBytes(1 << 40)));
        before(&mut rig);
        let text = Refused::Waiting(awaits).to_string();
        assert_eq!(told(&mut rig), Refused::Waiting(awaits));
        assert!(text.starts_with("waiting: ") && text.contains("; it "), "what, and what next: {text}");
    }
}

/// A session that has not passed on what it keeps back is not asked whether it may leave.
#[test]
fn a_merge_waits_for_a_verdict_and_says_so() {
    let keeper = Keeper::default();
    let mut rig = Rig::established(keeper.clone());
    rig.client(ack(C + 1, S + 1), b"GET");
    assert_eq!(told(&mut rig), Refused::Waiting(Awaits::Module));
    keeper.later(C2S, Edit::Pass, Step::Relay);
    rig.wait(MOMENT);
    let said = script(&rig.server(ack(S + 1, C + 4), b""));
    assert!(said.contains(&"park".into()), "it stayed wanted: {said:?}");
}

/// What was switched off meanwhile is not waited for.
#[test]
fn a_merge_that_is_switched_off_meanwhile_says_so() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    rig.split(0, 0, idle(10_000));
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    rig.switch_merging(false);
    rig.wait(Duration::from_millis(501));
    assert_eq!(answered.try_recv(), Ok(Err(Refused::Off)));
}

#[test]
fn a_flow_that_ends_is_not_merged() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    rig.split(0, 0, idle(10_000));
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    rig.expired();
    rig.wait(MOMENT);
    assert_eq!(answered.try_recv(), Ok(Err(Refused::Gone)));
}

/// The flow in this slot is to be split; each of its senders has been promised so much.
fn split(rig: &mut Rig, slot: u32, promised: u32) -> Result<(), Refused> {
    rig.turn_to(slot);
    let answered = rig.order_hand_over(HandOver::Split, Path::CutThrough);
    let ordered = rig.ordered_split.take();
    let is_enough = ordered.as_ref().is_some_and(|split| promised <= split.reserve);
    let ordered = if is_enough {
        ordered
    } else {
        rig.unsplit(Unsplittable::Window { promised });
        rig.ordered_split.take()
    };
    if let Some(split) = ordered {
        rig.has_split(split, (0, 0), idle(promised));
    }
    answered.try_recv().expect("an answer")
}

/// What every flow is given.
const USUAL: u32 = 65_536;

/// All that senders may send after a split beyond usual windows has room, or there is no split. 400,000 bytes have to do for all.
#[test]
fn promises_fill_the_memory_for_buffers_until_they_are_used_up() {
    let small = control::core::context::Settings { connections: 16, buffered: 400_000, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), small);
    for slot in 0..6 {
        assert_eq!(split(&mut rig, slot, USUAL + 30_000), Ok(()), "{slot}");
    }
    assert_eq!(rig.core.load().promised, 360_000);
    assert_eq!(split(&mut rig, 6, USUAL + 30_000), Err(Refused::Promises));
    // One of them sends, and another one is gone.
    rig.turn_to(0);
    rig.client(ack(C, S), &[b'x'; 1000]);
    assert_eq!(rig.core.load().promised, 359_000);
    rig.turn_to(1);
    rig.expired();
    assert_eq!(rig.core.load().promised, 299_000);
    assert_eq!(split(&mut rig, 6, USUAL + 10_000), Ok(()));
}

/// Idle flows that have been promised much, or are many, keep nobody out whose windows are usual.
#[test]
fn usual_promises_are_not_reserved() {
    let small = control::core::context::Settings { connections: 16, buffered: 400_000, ..settings() };
    let mut rig = Rig::with(relay(MergeWhen::Never), small);
    for slot in 0..6 {
        assert_eq!(split(&mut rig, slot, USUAL + 30_000), Ok(()), "{slot}");
    }
    for slot in 6..16 {
        assert_eq!(split(&mut rig, slot, USUAL), Ok(()), "{slot}");
    }
}

#[test]
fn a_larger_promise_is_asked_about_again_if_there_is_room() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    let answered = rig.order_hand_over(HandOver::Split, Path::CutThrough);
    assert_eq!(rig.reserve(), 65_536);
    rig.unsplit(Unsplittable::Window { promised: 100_000 });
    assert_eq!(rig.reserve(), 125_000, "it, and what it may have grown by meanwhile");
    rig.unsplit(Unsplittable::Window { promised: 250_000 });
    assert_eq!(rig.reserve(), 1 << 18, "a quarter of the memory is the most");
    rig.unsplit(Unsplittable::Window { promised: (1 << 18) + 1 });
    assert_eq!(answered.try_recv(), Ok(Err(Refused::Window)));
    assert_eq!(rig.core.load().promised, 0);
}

#[test]
fn a_flow_is_split_for_the_module_that_is_named() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    let answered = rig.order_hand_over(HandOver::SplitFor(1), Path::Monitored);
    assert_eq!(answered.try_recv(), Ok(Err(Refused::NoModule)), "there is one module");
    rig.order_hand_over(HandOver::SplitFor(0), Path::Monitored);
    assert_eq!(rig.reserve(), 65_536, "it is ordered");
}

#[test]
fn a_flow_that_its_rule_lets_be_idle_no_longer_is_reset() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    assert_eq!(script(&rig.idle()), [">C R. 5001:1001 0", ">S R. 1001:5001 0"]);
    assert_eq!(rig.count(Counter::FlowsExpired), 1);
    assert!(rig.idle().is_empty(), "once");
}
