//! The real worker with every flow cut through.

use std::sync::Arc;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::object::{Track, View};
use dataplane::wire::seq::{Delta, Seq};

use crate::generator::Generator;
use crate::traffic::{Traffic, bare_syn};
use crate::worker::{Beside, Carrier, Rig};

/// All flows of `traffic`, each with `delta` both ways.
pub fn cut_through(traffic: &Traffic, delta: i32) -> Carrier<Generator> {
    cut_through_beside(&Beside::nothing(), traffic, delta)
}

/// The same beside rules and flows that are idle.
pub fn cut_through_beside(beside: &Beside, traffic: &Traffic, delta: i32) -> Carrier<Generator> {
    let (ports, flows) = (Generator::pair(traffic), traffic.flows + beside.idle);
    let mut rig = Rig::new(ports, flows as usize, Arc::clone(&beside.rules), &Arc::default());
    let clock = SystemClock::start();
    rig.fill(clock, beside.idle);
    for at in 0..traffic.flows {
        rig.inject(bare_syn(traffic.family.quad(traffic.number(at))));
        let view = View { track: [Track { end: Seq(1), ack: Seq(1) }; 2], ..View::default() };
        rig.cut_through(clock.now(), Delta(delta), view);
    }
    Carrier::start(rig, clock)
}
