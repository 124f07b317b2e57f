//! What every controller has in common: the window and its bounds, slow start, the restart after idleness.

use super::hystart::{HyStart, Pace};
use super::{Acked, MAX_WINDOW};

/// RFC 9406 section 4.3: what one acknowledgment is worth in slow start, segments at most. RFC 3465 would have two, for
/// receivers that acknowledge every other segment; those that coalesce acknowledge a dozen at a time.
const MAX_GROWTH: u32 = 8;

/// Congestion window and slow start threshold of one leg, bytes.
#[derive(Debug)]
pub(super) struct Window {
    bytes: u32,
    threshold: u32,
    segment: u32,
    /// Nothing was learned of the path so far: the window is the initial one.
    pristine: bool,
    hystart: HyStart,
}

impl Window {
    pub(super) fn new(segment: u32) -> Self {
        let segment = segment.max(1);
        Window {
            bytes: initial(segment),
            threshold: MAX_WINDOW,
            segment,
            pristine: true,
            hystart: HyStart::default(),
        }
    }

    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(super) fn threshold(&self) -> u32 {
        self.threshold
    }

    pub(super) fn segment(&self) -> u32 {
        self.segment
    }

    pub(super) fn in_slow_start(&self) -> bool {
        self.bytes < self.threshold
    }

    /// RFC 5681 section 3.1. The first slow start, whose end nobody knows, watches the round trip for it (RFC 9406 section
    /// 4.3 advises against doing so in later ones).
    pub(super) fn slow_start(&mut self, acked: &Acked) {
        // What was not thought to be in the network proves no room in it: after a timeout an acknowledgment may cover what
        // the peer has had all the time (RFC 3465 section 2.3).
        let worth = acked.bytes.min(acked.flight).min(MAX_GROWTH.saturating_mul(self.segment));
        let first = self.threshold == MAX_WINDOW;
        match if first { self.hystart.on_ack(acked) } else { Pace::Standard } {
            Pace::Standard => self.set((self.bytes + worth).min(self.threshold)),
            Pace::Conservative(divisor) => self.set(self.bytes + worth / divisor),
            Pace::Enough => self.reduce(self.bytes),
        }
    }

    /// Sets the window, within its bounds.
    pub(super) fn set(&mut self, bytes: u32) {
        self.pristine = false;
        self.bytes = bytes.clamp(self.segment, MAX_WINDOW);
    }

    /// Sets the threshold. It is never the initial one again but by `restore`.
    pub(super) fn reduce(&mut self, threshold: u32) {
        self.pristine = false;
        // RFC 5681 equation 4.
        self.threshold = threshold.clamp(2 * self.segment, MAX_WINDOW - 1);
    }

    /// RFC 5681 section 4.1: the restart window. What was there before is a hint of what the path has room for, which
    /// slow start may come back to soon (RFC 7661 section 4.4.3).
    pub(super) fn restart(&mut self) {
        if self.threshold < MAX_WINDOW {
            self.threshold = self.threshold.max(self.bytes / 4 * 3);
        }
        self.bytes = self.bytes.min(initial(self.segment));
        self.hystart.restart();
    }

    /// What a reduction that follows may be undone to.
    pub(super) fn snapshot(&self) -> (u32, u32) {
        (self.bytes, self.threshold)
    }

    /// As it was at the snapshot, but never smaller than now.
    pub(super) fn restore(&mut self, (bytes, threshold): (u32, u32)) {
        self.bytes = self.bytes.max(bytes);
        self.threshold = self.threshold.max(threshold);
    }

    /// Says whether the size is another one than before.
    pub(super) fn set_segment_size(&mut self, bytes: u32) -> bool {
        let bytes = bytes.max(1);
        let changed = bytes != self.segment;
        self.segment = bytes;
        if self.pristine {
            self.bytes = initial(bytes);
        }
        self.bytes = self.bytes.max(bytes);
        self.threshold = self.threshold.max(2 * bytes);
        changed
    }
}

/// RFC 6928 section 2.
fn initial(segment: u32) -> u32 {
    (10 * segment).min((2 * segment).max(14_600))
}
