//! The real worker with every flow cut through.

use std::sync::Arc;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::object::{Track, View};
use dataplane::policy::Snapshot;
use dataplane::wire::seq::{Delta, Seq};

use crate::generator::Generator;
use crate::traffic::{Traffic, bare_syn};
use crate::worker::{Carrier, OFFER, Rig};

/// All flows of `traffic`, each with `delta` both ways.
pub fn cut_through(traffic: &Traffic, delta: i32) -> Carrier<Generator> {
    let rules = Arc::new(Snapshot::compile(&[], OFFER).expect("no rules fit"));
    let mut rig = Rig::new(Generator::pair(traffic), traffic.flows as usize, rules, &Arc::default());
    let clock = SystemClock::start();
    for at in 0..traffic.flows {
        rig.inject(bare_syn(traffic.family.quad(traffic.number(at))));
        let view = View { track: [Track { end: Seq(1), ack: Seq(1) }; 2], ..View::default() };
        rig.cut_through(clock.now(), Delta(delta), view);
    }
    Carrier::start(rig, clock)
}
