//! The real worker with every flow cut through.

use std::sync::Arc;

use dataplane::clock::{Clock, SystemClock};
use dataplane::flow::object::{Track, View};
use dataplane::policy::Snapshot;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp_flags::TcpFlags;

use crate::generator::{Frames, Generator, frame, quad};
use crate::worker::{Carrier, OFFER, Rig};

/// The contender: `flows` flows, each with `delta` both ways.
pub fn cut_through(flows: u32, delta: i32) -> Carrier<Generator> {
    let frames = Frames::default();
    let ports = [false, true].map(|from_server| Generator::new(flows, from_server, frames.clone()));
    let rules = Arc::new(Snapshot::compile(&[], OFFER).expect("no rules fit"));
    let mut rig = Rig::new(ports, flows as usize, rules, &Arc::default());
    let clock = SystemClock::start();
    for n in 0..flows {
        rig.worker.port_mut(0).inject = Some(frame(quad(n), TcpFlags::SYN, 0, 0));
        let view = View { track: [Track { end: Seq(1), ack: Seq(1) }; 2], ..View::default() };
        rig.cut_through(clock.now(), Delta(delta), view);
    }
    Carrier::start(rig, clock)
}
