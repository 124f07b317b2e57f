//! Phase: what need not happen for every packet. Entries whose time has come, the control core's pulse, statistics.

use super::*;
use crate::flow::object::Path;

/// Entries looked at in one housekeeping, at most.
const EXPIRIES: usize = 64;
/// Timers that come nearer in one housekeeping, at most: some twenty microseconds when none of their lines is in a cache.
const MOVES: usize = 128;
/// So many of either for each flow that has been added in a round: a timer comes nearer twice on its way, and is often too early. With
/// fewer, flows that come faster than they go would fill the table.
const EXPIRIES_FOR_ONE: usize = 2;
const MOVES_FOR_ONE: usize = 6;
/// The wait before a full event mailbox is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Watches the control core's heartbeat.
pub(super) struct ControlWatch {
    heart: Arc<Heartbeat>,
    /// The last beat that was another than the one before, and when it was seen.
    last: Option<(u64, Instant)>,
    stalled: bool,
    patience: Duration,
}

impl ControlWatch {
    pub(super) fn new(heart: Arc<Heartbeat>, patience: Duration) -> Self {
        ControlWatch { heart, last: None, stalled: false, patience }
    }

    fn look(&mut self, now: Instant) {
        let beat = self.heart.beats();
        match self.last {
            Some((last, since)) if last == beat => self.stalled = now - since > self.patience,
            _ => (self.last, self.stalled) = (Some((beat, now)), false),
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }
}

impl<P: Port> Worker<P> {
    pub(super) fn keep_house(&mut self, now: Instant) -> usize {
        self.control.look(now);
        let mut expired = self.sweep(now, EXPIRIES, MOVES);
        expired += self.look_at_waiting(now);
        for line in &mut self.lines {
            line.settle(&mut self.counters);
        }
        self.report();
        expired
    }

    /// As many entries go as may have come in this round.
    #[inline]
    pub(super) fn sweep_behind_new(&mut self, now: Instant) {
        let added = self.table.added();
        let new = added.wrapping_sub(std::mem::replace(&mut self.added, added)) as usize;
        if new > 0 {
            self.sweep(now, EXPIRIES_FOR_ONE * new, MOVES_FOR_ONE * new);
        }
    }

    /// Looks at so many entries whose time may have come. Returns how much there was to do.
    fn sweep(&mut self, now: Instant, expiries: usize, most: usize) -> usize {
        let (mut expired, mut moves) = (0, most);
        for _ in 0..expiries {
            let Some(slot) = self.table.expire(now, &mut moves) else { break };
            expired += usize::from(self.expire(now, slot));
        }
        expired + most - moves
    }

    /// A timer fired: timers are not moved for every packet, so the entry may have been seen since.
    fn expire(&mut self, now: Instant, slot: u32) -> bool {
        let object = self.table.object(slot);
        let idle_ms = (now.as_millis() as u32).wrapping_sub(object.last_seen);
        let controlled = matches!(object.path, Path::Suspended | Path::Participating | Path::Parked);
        let life = if controlled { self.backstop() } else { self.life_of(slot) };
        let idle = Duration::from_millis(idle_ms.into());
        let left = life.saturating_sub(idle);
        if !left.is_zero() {
            let sooner = if controlled { self.attend_idle(slot, idle) } else { self.attend_split(now, slot) };
            self.table.arm(slot, now + sooner.map_or(left, |sooner| sooner.min(left)));
            return false;
        }
        if controlled && !self.tell_expired(slot) {
            self.table.arm(slot, now + RETRY);
            return false;
        }
        self.forget(slot);
        self.counters.count(Counter::FlowsExpired);
        true
    }

    /// What the control core owns it ends itself, and tells both endpoints so; the worker's timer is for what it failed to
    /// end, and must not come first: later than the longest idle time and the lingering behind it.
    fn backstop(&self) -> Duration {
        self.timeouts.established.max(self.timeouts.half_closed) + 2 * self.timeouts.linger
    }

    /// The control core has to forget the flow too. False while its mailbox is full; one that has stalled is not asked.
    pub(super) fn tell_expired(&mut self, slot: u32) -> bool {
        let flow = self.table.flow_ref(slot);
        let told = self.events.try_send_leaving(EVENT_RESERVE, Event::Expired { flow }).is_ok();
        told || self.control.is_stalled()
    }
}
