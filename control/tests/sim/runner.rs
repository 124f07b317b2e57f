//! Runs a world to its end; a failure names the seed and the command that repeats it.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use dataplane::clock::Instant;

use crate::connection::{Judgement, STALL};
use crate::host::Side;
use crate::invariant::{Invariant, Violation, violation};
use crate::middle::Build;
use crate::profile::Profile;
use crate::trace::{KEPT, Trace};
use crate::world::World;

/// What goes on after the last connection has ended: TIME-WAIT, lingering entries, late duplicates.
const LINGER: Duration = Duration::from_secs(30);

/// How long a box may go on talking to an end that is gone before it has to give its buffers back: some retransmissions
/// at the longest timeout, and as many lost RSTs.
const LAST_WORDS: Duration = Duration::from_secs(3_600);

/// No world takes longer.
const STEPS: u64 = 50_000_000;

/// A run that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub connections: usize,
    /// Connections that a host's stack has given up on (see `Judgement::Hung`).
    pub hung: usize,
    pub frames: u64,
    pub steps: u64,
    pub virtual_time: Instant,
    /// Equal for equal runs.
    pub digest: u64,
}

/// A run that did not.
pub struct Failure {
    pub seed: u64,
    pub profile: Profile,
    pub violation: Violation,
    middle: &'static str,
    state: String,
    trace: String,
}

impl Failure {
    /// Says which box it was.
    pub fn of_box(mut self: Box<Failure>, name: &'static str) -> Box<Failure> {
        self.middle = name;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the last {KEPT} frames:\n{}", self.trace)?;
        writeln!(f, "{}", self.state)?;
        writeln!(
            f,
            "seed {} in profile {}, {}: {}",
            self.seed, self.profile.name, self.middle, self.violation
        )?;
        write!(f, "repeat it with: ./dev sim --seed {} --profile {}", self.seed, self.profile.name)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One world, from the first SYN until all is quiet. `live` prints every frame.
pub fn run(seed: u64, profile: Profile, build: Build, live: bool) -> Result<Report, Box<Failure>> {
    let trace = Rc::new(RefCell::new(Trace::new(live)));
    let mut state = String::new();
    let guarded = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, profile, build, Rc::clone(&trace));
        let result = run_world(&mut world);
        if result.is_err() {
            state = describe(&world);
        }
        result.and_then(|steps| {
            let (hung, connections) = (world.hung, world.connections.len());
            shut_down(world).map(|at| (steps, at, connections, hung))
        })
    }));
    let outcome = guarded.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        violation(Invariant::Middle, format!("panicked: {}", text.unwrap_or_default()))
    });
    let trace = trace.borrow();
    match outcome {
        Ok((steps, virtual_time, connections, hung)) => {
            Ok(Report { connections, hung, frames: trace.frames, steps, virtual_time, digest: trace.digest })
        }
        Err(violation) => {
            Err(Box::new(Failure { seed, profile, violation, middle: "", state, trace: trace.tail() }))
        }
    }
}

/// Steps until every connection has ended and the linger is over. Returns the number of steps.
fn run_world(world: &mut World) -> Result<u64, Violation> {
    let mut until = None;
    for step in 0..STEPS {
        let goes_on = world.step()?;
        world.check_silence()?;
        if until.is_none() && judge_all(world)? {
            until = Some(world.now + LINGER);
        }
        match until {
            Some(end)
                if !goes_on || (world.now > end && (world.is_quiet() || world.now > end + LAST_WORDS)) =>
            {
                world.tap.judge_senders(world.profile.order())?;
                return Ok(step);
            }
            // Nothing will ever happen again: let the judge know.
            None if !goes_on => world.now = world.now + 2 * STALL,
            _ => {}
        }
    }
    violation(Invariant::Livelock, format!("not over after {STEPS} steps"))
}

/// Whether all connections have ended.
fn judge_all(world: &mut World) -> Result<bool, Violation> {
    let mut all_ended = true;
    for index in 0..world.connections.len() {
        let connection = &world.connections[index];
        if connection.ended {
            continue;
        }
        all_ended = false;
        if !connection.started {
            continue;
        }
        let was_cut = connection.quad().is_some_and(|quad| world.middle.has_cut(&quad));
        let judgement = match was_cut {
            true => connection.judge_cut(&world.hosts, world.now),
            false => connection.judge(&world.hosts, world.now, &world.profile)?,
        };
        match judgement {
            Judgement::Goes => world.jog(index),
            Judgement::Ended => world.connections[index].ended = true,
            Judgement::Cut => {
                Side::BOTH.into_iter().for_each(|side| world.abort(side, index));
                world.connections[index].ended = true;
            }
            Judgement::Hung => {
                Side::BOTH.into_iter().for_each(|side| world.abort(side, index));
                world.connections[index].ended = true;
                world.hung += 1;
            }
            Judgement::Orphan(side) => {
                world.abort(side, index);
                world.connections[index].ended = true;
            }
        }
    }
    Ok(all_ended)
}

/// Every buffer comes back: but for what the middle may keep, when all is quiet; all of them, when it is gone.
fn shut_down(world: World) -> Result<Instant, Violation> {
    let World { middle, pool, peers, now, .. } = world;
    let in_use = pool.in_use();
    if !middle.may_keep(in_use) {
        return violation(Invariant::Buffers, format!("{in_use} buffers in use when all is quiet"));
    }
    drop((middle, peers));
    match pool.in_use() {
        0 => Ok(now),
        n => violation(Invariant::Buffers, format!("{n} buffers have not come back")),
    }
}

fn describe(world: &World) -> String {
    let mut text = format!("at {} ms, {} buffers in use\n", world.now.as_millis(), world.pool.in_use());
    for connection in world.connections.iter().filter(|c| c.started && !c.ended) {
        text += &connection.describe(&world.hosts);
        text.push('\n');
    }
    text + &world.middle.dump()
}
