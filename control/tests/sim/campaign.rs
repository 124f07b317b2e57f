//! Many seeds on all cores, in order, until the first that fails.

use std::env;
use std::io::IsTerminal;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::appliance::Appliance;
use crate::hesitant::Hesitant;
use crate::middle::{Build, Wire};
use crate::profile::Profile;
use crate::runner::{self, Failure};

/// One seed in so many also tries the world itself, with boxes that are no more than a wire.
const WIRES: u64 = 16;

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// The box that is tested.
pub const APPLIANCE: (&str, Build) = ("appliance", Appliance::build);

/// The boxes that test the world.
pub const WIRE_LIKE: [(&str, Build); 2] = [("wire", Wire::build), ("hesitant", Hesitant::build)];

/// What a campaign has seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    pub connections: u64,
    pub frames: u64,
    /// Connections that a host's own stack has hung.
    pub hung: u64,
}

/// Seeds `first..first + count`, dealt to `profiles` in turn.
pub struct Campaign<'a> {
    pub profiles: &'a [Profile],
    pub first: u64,
    pub count: u64,
}

/// One seed: the appliance, and now and then the wires. `live` prints every frame, of every box.
pub fn check(seed: u64, profile: Profile, live: bool) -> Result<Sum, Box<Failure>> {
    let wires = profile.wires() && (live || seed.is_multiple_of(WIRES));
    let mut sum = Sum::default();
    for (name, build) in WIRE_LIKE.iter().filter(|_| wires).chain([&APPLIANCE]) {
        let report = runner::run(seed, profile, *build, live).map_err(|f| f.of_box(name))?;
        if live {
            println!("{name}, seed {seed}, profile {}: {report:?}", profile.name);
        }
        if report.hung > 0 {
            println!("{name}, seed {seed}, profile {}: {} hung by a host's stack", profile.name, report.hung);
        }
        sum.connections += report.connections as u64;
        sum.frames += report.frames;
        sum.hung += report.hung as u64;
    }
    Ok(sum)
}

impl Campaign<'_> {
    /// Runs all seeds. Ends with the failure of the lowest seed that fails.
    pub fn run(&self) -> Result<Sum, Box<Failure>> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let state = State {
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            at: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            found: Mutex::default(),
        };
        let begun = Instant::now();
        thread::scope(|scope| {
            let workers: Vec<_> = state.at.iter().map(|at| scope.spawn(|| self.work(&state, at))).collect();
            while !workers.iter().all(|worker| worker.is_finished()) {
                // Short enough not to delay the end, long enough to cost nothing.
                thread::sleep(Duration::from_millis(20));
                self.show_progress(&state, begun);
            }
            for worker in workers {
                worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        });
        let found = state.found.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        match found.failure {
            Some((_, failure)) => Err(failure),
            None => Ok(found.sum),
        }
    }

    fn profile_of(&self, index: u64) -> Profile {
        self.profiles[((self.first + index) % self.profiles.len() as u64) as usize]
    }

    /// Takes seeds until there are none, or until one has failed: those before it are finished.
    fn work(&self, state: &State, at: &AtomicU64) {
        loop {
            let index = state.next.fetch_add(1, Ordering::Relaxed);
            at.store(index, Ordering::Relaxed);
            if index >= self.count {
                return;
            }
            let result = check(self.first + index, self.profile_of(index), false);
            state.done.fetch_add(1, Ordering::Relaxed);
            let mut found = state.found.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match result {
                Ok(sum) => found.sum.add(sum),
                Err(failure) => {
                    state.next.fetch_max(self.count, Ordering::Relaxed);
                    if found.failure.as_ref().is_none_or(|(first, _)| index < *first) {
                        found.failure = Some((index, failure));
                    }
                    return;
                }
            }
        }
    }

    /// A line now and then, where it is asked for: in a terminal, or with `QUADRILLE_PROGRESS`.
    fn show_progress(&self, state: &State, begun: Instant) {
        if !std::io::stderr().is_terminal() && env::var_os("QUADRILLE_PROGRESS").is_none() {
            return;
        }
        let mut found = state.found.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let elapsed = begun.elapsed();
        if elapsed < found.shown + PROGRESS {
            return;
        }
        found.shown = elapsed;
        let done = state.done.load(Ordering::Relaxed).max(1);
        let left = elapsed.as_secs_f64() / done as f64 * self.count.saturating_sub(done) as f64;
        eprintln!(
            "{done} of {} seeds, {} connections, {:.0} seeds/s, about {left:.0} s left; go on later with --from {}",
            self.count,
            found.sum.connections,
            done as f64 / elapsed.as_secs_f64(),
            self.first + state.at.iter().map(|at| at.load(Ordering::Relaxed)).min().unwrap_or(0),
        );
    }
}

/// What the threads of a campaign share.
struct State {
    next: AtomicU64,
    done: AtomicU64,
    /// Where each of them is: all before the least is done.
    at: Vec<AtomicU64>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    sum: Sum,
    failure: Option<(u64, Box<Failure>)>,
    shown: Duration,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.connections += other.connections;
        self.frames += other.frames;
        self.hung += other.hung;
    }
}
