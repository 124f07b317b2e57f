//! Phase: what need not happen for every packet. Entries whose time has come, the control core's pulse, statistics.

use super::*;
use crate::flow::object::Path;

/// Entries looked at in one housekeeping, at most.
const EXPIRIES: usize = 64;

/// Watches the control core's heartbeat.
pub(super) struct ControlWatch {
    beat: Arc<AtomicU64>,
    last: u64,
    since: Instant,
    stalled: bool,
    patience: Duration,
}

impl ControlWatch {
    pub(super) fn new(beat: Arc<AtomicU64>, patience: Duration) -> Self {
        ControlWatch { beat, last: 0, since: Instant::ZERO, stalled: false, patience }
    }

    fn look(&mut self, now: Instant) {
        let beat = self.beat.load(Ordering::Relaxed);
        if beat != self.last {
            (self.last, self.since) = (beat, now);
        }
        self.stalled = now - self.since > self.patience;
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }
}

impl<P: Port, L: Pool<Buffer = P::Buffer>> Worker<P, L> {
    pub(super) fn keep_house(&mut self, now: Instant) -> usize {
        self.control.look(now);
        let mut expired = 0;
        for _ in 0..EXPIRIES {
            let Some(slot) = self.table.expire(now) else { break };
            expired += usize::from(self.expire(now, slot));
        }
        self.report();
        expired
    }

    /// A timer fired: timers are not moved for every packet, so the entry may have been seen since.
    fn expire(&mut self, now: Instant, slot: u32) -> bool {
        let object = self.table.object(slot);
        let idle_ms = (now.as_millis() as u32).wrapping_sub(object.last_seen);
        let life = match object.path {
            // The control core ends these itself; ours is for when it is gone.
            Path::Suspended | Path::Participating | Path::Parked => self.timeouts.established * 2,
            _ => self.life_time(object.tcp),
        };
        let left = life.saturating_sub(Duration::from_millis(idle_ms.into()));
        if !left.is_zero() {
            self.table.arm(slot, now + left);
            return false;
        }
        self.forget(slot);
        self.counters.count(Counter::FlowsExpired);
        true
    }
}
