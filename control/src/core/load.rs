//! What all flows keep together (DESIGN invariant 6), and what a flow may therefore still take.

use super::context::Settings;

/// What a flow keeps, or all flows together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes in send and receive buffers.
    pub bytes: u64,
    /// Segments held by merges.
    pub held: usize,
    /// Flows.
    pub connections: usize,
}

impl Load {
    /// A flow's load has become another.
    pub fn change(&mut self, from: Load, to: Load) {
        self.bytes = self.bytes + to.bytes - from.bytes;
        self.held = self.held + to.held - from.held;
        self.connections = self.connections + to.connections - from.connections;
    }

    /// The window that a sender may be given for the sake of memory: any, until half of it is taken; then a fair share
    /// of the rest.
    pub fn window_share(&self, settings: &Settings) -> u32 {
        if self.bytes <= settings.buffered / 2 {
            return u32::MAX;
        }
        let senders = 2 * self.connections.max(1) as u64;
        let share = settings.buffered.saturating_sub(self.bytes) / senders;
        share.min(u32::MAX.into()) as u32
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
            buffered,
            held_per_flow: 1,
            held: 1,
            drain: Duration::ZERO,
            refused: Duration::ZERO,
            idle_established: Duration::ZERO,
            half_closed: Duration::ZERO,
            isn_key: IsnKey::new([0; 4]),
            peers: Vec::new(),
            mtu: Vec::new(),
        }
    }

    #[test]
    fn windows_shrink_before_memory_is_full() {
        let load = |bytes| Load { bytes, held: 0, connections: 5 };
        let settings = settings(1000);
        let shares = [0, 500, 501, 900, 999, 1000, 2000].map(|bytes| load(bytes).window_share(&settings));
        assert_eq!(shares, [u32::MAX, u32::MAX, 49, 10, 0, 0, 0]);
        assert_eq!([999, 1000, 1001].map(|bytes| load(bytes).is_full(&settings)), [false, true, true]);
    }
}
