//! What rules go on asking of flows: to be split once, after so many bytes or so long; to live so long without a packet.
//!
//! Bytes are counted where inspected segments are looked at, so that flows without such a rule pay nothing; all else is a
//! matter of the flow's own timer.

use super::message::Event;
use super::*;
use crate::flow::object::{Path, Traits};
use crate::flow::quad::Direction;
use crate::flow::state::TcpState;
use crate::inspect::stream::Why;
use crate::policy::Standing;

/// The shortest wait before a flow that could not be split is tried again. It grows with the flow's age: what cannot be split
/// now mostly never can.
const RETRY: Duration = Duration::from_secs(1);

impl<P: Port> Worker<P> {
    /// The flow gets what its rule goes on asking.
    pub(super) fn set_standing(&mut self, slot: u32, index: u16) {
        let Some(standing) = self.policy.snapshot.standing(index).copied() else { return };
        let record = self.table.record_mut(slot);
        record.standing = index;
        if let Some(module) = standing.module {
            record.module = module;
        }
        self.table.object_mut(slot).traits.set(Traits::COUNTED, standing.split_bytes.is_some());
    }

    fn standing_of(&self, slot: u32) -> Option<&Standing> {
        self.policy.snapshot.standing(self.table.record(slot).standing)
    }

    /// A segment of a flow that is to be split after so many bytes.
    #[cold]
    pub(super) fn count_towards_split(&mut self, now: Instant, slot: u32) {
        let passed = self.passed(slot);
        let limit = self.standing_of(slot).and_then(|standing| standing.split_bytes);
        if self.table.object(slot).traits.has(Traits::RULE_HAS_SPLIT)
            || limit.is_none_or(|limit| passed >= limit.get())
        {
            // The timer does the rest, now and whenever it has to be tried again.
            self.table.object_mut(slot).traits.set(Traits::COUNTED, false);
            self.table.arm(slot, now);
        }
    }

    /// How long the flow lives without a packet.
    pub(super) fn life_of(&self, slot: u32) -> Duration {
        let tcp = self.table.object(slot).tcp;
        let idle = self.standing_of(slot).and_then(|standing| standing.idle);
        idle.filter(|_| tcp == TcpState::Established).unwrap_or(self.life_time(tcp))
    }

    /// When the flow has to be looked at next, if it has just been seen.
    pub(super) fn next_look(&self, now: Instant, slot: u32) -> Instant {
        let life = self.life_of(slot);
        now + self.until_split(now, slot).map_or(life, |wait| wait.min(life))
    }

    /// Of both directions together.
    fn passed(&self, slot: u32) -> u64 {
        let traffic = self.table.traffic(slot);
        Direction::BOTH.iter().map(|direction| traffic.bytes(*direction)).sum()
    }

    /// The flow is being split, whoever has ordered it: if its rule's time has come, the rule has what it wanted.
    pub(super) fn note_split(&mut self, now: Instant, slot: u32) {
        if self.until_split(now, slot).is_some_and(|wait| wait.is_zero()) {
            self.table.object_mut(slot).traits.set(Traits::RULE_HAS_SPLIT, true);
        }
    }

    /// How long until the flow's rule wants it split. A rule has its flows split once: what has been looked at, and is merged
    /// again, stays so. What was split before, by order or by an inspection, was not looked at for the rule.
    pub(super) fn until_split(&self, now: Instant, slot: u32) -> Option<Duration> {
        let object = self.table.object(slot);
        let passes = matches!(object.path, Path::CutThrough | Path::Monitored);
        if !passes || object.tcp != TcpState::Established || object.traits.has(Traits::RULE_HAS_SPLIT) {
            return None;
        }
        let standing = self.standing_of(slot)?;
        let passed = self.passed(slot);
        if standing.split_bytes.is_some_and(|limit| passed >= limit.get()) {
            return Some(Duration::ZERO);
        }
        standing.split_age.map(|age| age.saturating_sub(self.age_of(now, slot)))
    }

    pub(super) fn age_of(&self, now: Instant, slot: u32) -> Duration {
        let age = (now.as_millis() as u32).wrapping_sub(self.table.record(slot).born);
        Duration::from_millis(age.into())
    }

    /// Has the flow split if its time has come; says when to look again.
    pub(super) fn attend_split(&mut self, now: Instant, slot: u32) -> Option<Duration> {
        let wait = self.until_split(now, slot)?;
        if !wait.is_zero() {
            return Some(wait);
        }
        self.want_split(slot, Why::Look);
        Some(RETRY.max(self.age_of(now, slot) / 2))
    }

    /// A participating flow is the control core's to end; its rule's idle time is known here. Says when to look again.
    pub(super) fn attend_idle(&mut self, slot: u32, idle: Duration) -> Option<Duration> {
        if self.table.object(slot).path != Path::Participating {
            return None;
        }
        let limit = self.standing_of(slot)?.idle?;
        if idle < limit {
            return Some(limit - idle);
        }
        let flow = self.table.flow_ref(slot);
        // When there is no room it is asked again.
        let _ = self.events.try_send_leaving(EVENT_RESERVE, Event::Idle { flow });
        // It lingers before it goes.
        Some(2 * self.timeouts.linger.max(RETRY))
    }
}
