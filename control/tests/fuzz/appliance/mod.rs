//! The whole appliance, one worker and the control core, between two ends that send whatever the input says: segments
//! near what the appliance waits for, or any other; errors that quote what it sent; noise; and time that passes.

#[path = "../../sim/books.rs"]
mod books;
mod rig;
mod script;

use arbitrary::{Result, Unstructured};
use dataplane::buffer::Buffer;
use dataplane::packet::{Packet, parse};
use dataplane::port::sim::SimPool;

use rig::Rig;
use script::{End, Ends};

/// Steps of one script.
const STEPS: usize = 250;

/// Buffers of the pool: few enough to run out.
const POOL: usize = 96;

/// Frames that one step may bring about: all that both legs of a flow may have in flight, and then some.
const ANSWERS: usize = 8_192;

/// Runs one script. Panics when the appliance has broken a rule.
pub fn run(input: &[u8]) {
    let mut u = Unstructured::new(input);
    let pool = SimPool::new(POOL);
    let Ok(mut rig) = Rig::draw(&mut u, pool.clone()) else { return };
    let mut ends = Ends::default();
    for _ in 0..STEPS {
        if u.is_empty() || step(&mut rig, &mut ends, &mut u).is_err() {
            break;
        }
    }
    drop(rig);
    assert_eq!(pool.in_use(), 0, "buffers that have not come back");
}

fn step(rig: &mut Rig, ends: &mut Ends, u: &mut Unstructured<'_>) -> Result<()> {
    let frame = match u.int_in_range(0..=15)? {
        0..=9 => Some(ends.segment(u)?),
        10 => ends.icmp_error(u)?,
        11 => ends.mangled(u)?,
        12 => Some((u.int_in_range(0..=1)?, u.arbitrary::<Vec<u8>>()?)),
        _ => {
            rig.pass(script::duration(u)?);
            None
        }
    };
    let reset_from = frame.as_ref().and_then(|(side, frame)| is_reset(frame).then_some(*side));
    if let Some((side, bytes)) = frame {
        rig.deliver(side, &bytes);
    }
    rig.settle();
    for answers in 0.. {
        assert!(answers < ANSWERS, "{ANSWERS} frames from one step");
        let Some((side, frame)) = rig.collect() else { break };
        if let Ok(Packet::Tcp(headers)) = parse(frame.bytes()) {
            let reflected = reset_from == Some(side) && headers.flags.rst();
            assert!(!reflected, "a RST was answered with a RST: {}", headers.quad);
        }
        ends.learn(End(side), frame.bytes());
    }
    rig.check();
    Ok(())
}

fn is_reset(frame: &[u8]) -> bool {
    matches!(parse(frame), Ok(Packet::Tcp(headers)) if headers.flags.rst())
}
