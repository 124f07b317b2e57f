//! Which schedules are tried. Neither worker nor control core can be copied, so each begins anew.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use dataplane::counters::Counter;

use crate::world::{Plan, STEPS, Step, World};

/// No schedule takes more steps.
const LONGEST: usize = 2_000;

/// What a number of schedules has come to.
#[derive(Debug, Default)]
pub struct Seen {
    pub schedules: u64,
    pub steps: u64,
    /// Orders carried out.
    pub done: u64,
    pub splits: u64,
    /// Schedules in which frames came while a flow was between two owners, or was held back to be replayed.
    pub caught: u64,
}

impl Seen {
    fn add(&mut self, steps: usize, world: &World) {
        self.schedules += 1;
        self.steps += steps as u64;
        self.done += world.done;
        self.splits += world.count(Counter::Splits);
        self.caught += u64::from(world.count(Counter::Replayed) + world.count(Counter::Parked) > 0);
    }

    /// An exploration in which nothing changes hands shows nothing.
    pub fn assert_worthwhile(&self, plan: Plan) {
        assert!(self.splits >= self.schedules, "{self:?}");
        assert!(plan.orders.len() < 2 || self.caught > 0, "{self:?}");
    }
}

/// One schedule, until nothing can happen any more: `choose` says which of so many steps is next.
fn run(plan: Plan, preferred: usize, mut choose: impl FnMut(&[Step]) -> usize, seen: &mut Seen) {
    let mut taken = Vec::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan);
        loop {
            let mut enabled: Vec<Step> = world.enabled().collect();
            if enabled.is_empty() {
                break;
            }
            // The order of preference begins with another step each time.
            enabled.sort_by_key(|step| {
                let place = STEPS.iter().position(|known| known == step).expect("a step");
                (place + STEPS.len() - preferred) % STEPS.len()
            });
            let step = enabled[choose(&enabled)];
            taken.push(step);
            assert!(taken.len() < LONGEST, "it goes on for ever");
            world.take(step);
        }
        world.finish();
        seen.add(taken.len(), &world);
    }));
    if let Err(panic) = outcome {
        eprintln!("{plan:?}, the schedule: {taken:?}");
        resume_unwind(panic);
    }
}

/// All schedules that depart from one at `delays` places or fewer. At each place any other step can be next.
pub fn all_within(plan: Plan, preferred: usize, delays: usize, seen: &mut Seen) {
    // Departures: at which step, and which of those that could be taken.
    let mut stack: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
    while let Some(departures) = stack.pop() {
        let from = departures.last().map_or(0, |(at, _)| at + 1);
        let (mut at, mut widths) = (0, Vec::new());
        let choose = |enabled: &[Step]| {
            let choice = departures.iter().find(|(place, _)| *place == at).map_or(0, |(_, choice)| *choice);
            widths.push(enabled.len());
            at += 1;
            choice
        };
        run(plan, preferred, choose, seen);
        if departures.len() < delays {
            for (at, width) in widths.iter().enumerate().skip(from) {
                stack.extend((1..*width).map(|choice| [&departures[..], &[(at, choice)]].concat()));
            }
        }
    }
}

/// So many schedules, each with preferences of its own: a step is as likely as another, or one is starved for long.
pub fn at_random(plan: Plan, walks: u64, seen: &mut Seen) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: usize| {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..walks {
        let (preferred, stubborn) = (draw(STEPS.len()), 1 + draw(4));
        let choose = |enabled: &[Step]| if draw(stubborn) == 0 { draw(enabled.len()) } else { 0 };
        run(plan, preferred, choose, seen);
    }
}
