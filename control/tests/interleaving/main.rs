//! The hand-over over the rings, in every order in which worker, control core, messages, frames and orders can come.
//!
//! The real worker and the real control core, and between them the real mailboxes, each in two parts: what one side has
//! pushed the other sees when the schedule moves it, message by message. Nothing else is shared by the two threads, each
//! drains a mailbox once in a round, and a round does nothing but by its mailboxes and ports; so an order of these steps is an order in
//! which threads could have run. That the ring itself is sound is rtrb's to prove.
//!
//! What the ends assert: each segment begins where the one before it ended (order kept, nothing lost, nothing twice, on any
//! path and over each change of path), every byte is what was sent, and nothing is acknowledged that was not sent. At the end:
//! all bytes are there and acknowledged, the flow has one owner, every packet has a name, and no buffer is kept.
//!
//! Where cables do lose, `streams` plays any sequence of moves against a plain model.
//!
//! `QUADRILLE_DELAYS=K` allows K departures from the schedule begun with, `QUADRILLE_WALKS=N` takes N random schedules,
//! `QUADRILLE_CASES=N` plays N sequences of moves; `./dev sim --moves N` as many with debug assertions in a release build.
#![forbid(unsafe_code)]

mod appliance;
mod end;
mod explore;
mod streams;
mod world;

#[path = "../sim/books.rs"]
mod books;

use control::core::handover::HandOver::{Merge, Split};
use explore::{Seen, all_within, at_random};
use world::{Plan, STEPS};

/// A flow that is cut through from the start, and is handed over while both ends speak.
const PLANS: [Plan; 3] = [
    Plan { orders: &[Split], segments: [3, 3] },
    Plan { orders: &[Split, Merge], segments: [3, 2] },
    Plan { orders: &[Split, Merge, Split, Merge], segments: [2, 3] },
];

fn number(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")),
        Err(_) => usual,
    }
}

/// Every schedule that departs from one of those that prefer the steps in turn, at so many places as are allowed.
#[test]
fn every_schedule_with_few_departures() {
    let delays = number("QUADRILLE_DELAYS", 2) as usize;
    for plan in PLANS {
        let mut seen = Seen::default();
        for preferred in 0..STEPS.len() {
            all_within(plan, preferred, delays, &mut seen);
        }
        println!("{plan:?}, {delays} departures: {seen:?}");
        seen.assert_worthwhile(plan);
    }
}

#[test]
fn schedules_at_random() {
    let walks = number("QUADRILLE_WALKS", 3_000);
    for plan in PLANS {
        let mut seen = Seen::default();
        at_random(plan, walks, &mut seen);
        println!("{plan:?}: {seen:?}");
        seen.assert_worthwhile(plan);
    }
}
