//! What all flows keep together (DESIGN invariant 6), and what a flow may therefore still take.

use super::context::Settings;

/// Bytes of which a segment is left when a window field has rounded them down.
const LEAST_SHARE: u64 = 2 * 1460;

/// What a flow keeps, or all flows together.
///
/// The pipes of accepted flows are not in it (`programs/pipe.rs`). The thread that speaks to programs empties them while the
/// control core looks elsewhere, so that a sum kept here would be of former times, and a client could be shut out for the
/// sake of bytes that are long gone. They have a bound of their own, which no other flow can use up: a pipe takes no more
/// than `BYTES_PER_STREAM`, there are no more than `streams` of each module, and both are added to what the configuration
/// takes (`config/memory.rs`) beside `participating_bytes`. What a full pipe does not take stays in its leg's receive
/// buffer, closes the client's window, and counts here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes in send and receive buffers, and what sessions of inspections keep beside them.
    pub bytes: u64,
    /// Frames: segments held by merges, and answers that modules think about.
    pub held: usize,
    /// Bytes that senders of flows that were split had been promised before, beyond what every flow is given, and have not used.
    pub promised: u64,
    /// Flows.
    pub connections: usize,
}

impl Load {
    /// A flow's load has become another.
    pub fn change(&mut self, from: Load, to: Load) {
        if from == to {
            return;
        }
        self.bytes = self.bytes + to.bytes - from.bytes;
        self.held = self.held + to.held - from.held;
        self.promised = self.promised + to.promised - from.promised;
        self.connections = self.connections + to.connections - from.connections;
    }

    /// What a direction may keep for the sake of memory: anything, until half of it is taken; then a fair share of the rest,
    /// and always a segment. A sender that is shut out would not hear that there is room again, and one that is let in
    /// with less than a segment would only make small ones.
    pub fn window_share(&self, settings: &Settings) -> u32 {
        if self.bytes <= settings.buffered / 2 {
            return u32::MAX;
        }
        let senders = 2 * self.connections.max(1) as u64;
        let share = settings.buffered.saturating_sub(self.bytes) / senders;
        share.clamp(LEAST_SHARE, u32::MAX.into()) as u32
    }

    /// No more bytes should be taken; windows given earlier may still bring some.
    pub fn is_full(&self, settings: &Settings) -> bool {
        self.bytes >= settings.buffered
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dataplane::policy::Fallback;

    use super::*;
    use crate::core::secret::IsnKey;

    fn settings(buffered: u64) -> Settings {
        Settings {
            leg: Default::default(),
            connections: 1,
            when_full: Fallback::Drop,
            suspended: crate::suspended::Limits::of(8),
            when_suspended_full: Default::default(),
            history: std::num::NonZeroUsize::MIN,
            buffered,
            held_per_flow: 1,
            held: 1,
            drain: Duration::ZERO,
            drain_up_to: 0,
            refused: Duration::ZERO,
            icmp_errors: Default::default(),
            idle_established: Duration::ZERO,
            half_closed: Duration::ZERO,
            isn_key: IsnKey::new([0; 4]),
            peers: Vec::new(),
            mtu: Vec::new(),
        }
    }

    #[test]
    fn windows_shrink_before_memory_is_full() {
        let load = |bytes| Load { bytes, connections: 5, ..Load::default() };
        let settings = settings(1_000_000);
        let shares = [0, 500_000, 500_001, 900_000, 999_000, 2_000_000]
            .map(|bytes| load(bytes).window_share(&settings));
        assert_eq!(shares, [u32::MAX, u32::MAX, 49_999, 10_000, 2920, 2920]);
        let full = [999_999, 1_000_000, 1_000_001].map(|bytes| load(bytes).is_full(&settings));
        assert_eq!(full, [false, true, true]);
    }
}
