//! The same connections by worker and control core on a core each, with their rings between them.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use control::core::Core;
use dataplane::clock::{Clock, SystemClock};
use dataplane::worker::Worker;

use super::cycle::Cycle;
use super::ends::{End, Tally};
use crate::machine;
use crate::pooled::Home;
use crate::race::Contender;

/// Rounds of the worker in which no connection ends, after which none will: some seconds.
const FOR_EVER: u32 = 1 << 26;

/// Connections of a round: enough that beginning and end of it do not count.
const A_ROUND: u64 = 50_000;

/// The control core on this thread, the worker on one of its own, with the ends of all connections in its ports.
pub struct Apart {
    core: Core<Home>,
    clock: SystemClock,
    /// How many connections are to begin.
    begin: Sender<u64>,
    /// In what wall time all of them were over.
    took: Receiver<Duration>,
    thread: JoinHandle<Worker<End>>,
}

fn tally(worker: &Worker<End>) -> Tally {
    worker.lines()[0].port().tally()
}

/// So many connections, from the first SYN to the last acknowledgment.
fn carry(worker: &mut Worker<End>, clock: SystemClock, connections: u64) -> Duration {
    let all = tally(worker).started + connections;
    worker.port_mut(0).go_on_until(all);
    let start = Instant::now();
    let (mut closed, mut idle) = (0, 0);
    while closed < all {
        worker.poll(clock.now());
        let now = tally(worker).closed;
        idle = if now == closed { idle + 1 } else { 0 };
        assert!(
            idle < FOR_EVER,
            "connections come to nothing: {now} of {all} have ended; was the machine too busy?"
        );
        closed = now;
    }
    start.elapsed()
}

impl Apart {
    /// What has taken turns so far.
    pub fn new(cycle: Cycle) -> Apart {
        let (mut worker, core, clock) = cycle.into_parts();
        let ((begin, wanted), (tell, took)) = (channel(), channel());
        let thread = std::thread::spawn(move || {
            machine::pin_before(1);
            for connections in wanted {
                // Nobody listens where the other side has given up.
                let _ = tell.send(carry(&mut worker, clock, connections));
            }
            worker
        });
        Apart { core, clock, begin, took, thread }
    }

    /// Of so many connections, which begin and end within it.
    pub fn sample(&mut self, connections: u64) -> anyhow::Result<Duration> {
        self.begin.send(connections).or_else(|_| anyhow::bail!("the worker has ended"))?;
        loop {
            self.core.poll(self.clock.now());
            match self.took.try_recv() {
                Ok(took) => return Ok(took),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => anyhow::bail!("the worker has panicked"),
            }
        }
    }

    /// Ends the thread.
    pub fn finish(self) -> anyhow::Result<Cycle> {
        let Apart { core, clock, begin, thread, .. } = self;
        drop(begin);
        let worker = thread.join().map_err(|_| anyhow::anyhow!("the worker has panicked"))?;
        Ok(Cycle::of_parts(worker, core, clock))
    }
}

impl Contender for Apart {
    fn round(&mut self) -> usize {
        self.sample(A_ROUND).expect("the worker goes on");
        A_ROUND as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Family;

    #[test]
    fn every_connection_crosses_the_rings() {
        for family in [Family::V4, Family::V6] {
            let mut apart = Apart::new(Cycle::for_threads(family, 100));
            for _ in 0..2 {
                assert!(apart.sample(1000).expect("the worker goes on") > Duration::ZERO);
            }
            let mut cycle = apart.finish().expect("it has ended");
            cycle.assert_all_is_well().expect("all were merged");
            assert_eq!(cycle.tally().closed, 2000);
        }
    }
}
