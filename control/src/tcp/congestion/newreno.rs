//! NewReno: RFC 5681 with the initial window of RFC 6928.

use dataplane::clock::Instant;

use super::window::Window;
use super::{Acked, Congestion};

/// The controller.
#[derive(Debug)]
pub(in crate::tcp) struct NewReno {
    window: Window,
    /// Bytes acknowledged towards the next increase in congestion avoidance (RFC 5681 section 3.1, byte counting).
    counted: u32,
    /// Window and threshold before the last reduction.
    before: Option<(u32, u32)>,
}

impl NewReno {
    pub(super) fn new(segment: u32) -> Self {
        NewReno { window: Window::new(segment), counted: 0, before: None }
    }
}

impl Congestion for NewReno {
    fn window(&self) -> u32 {
        self.window.bytes()
    }

    fn threshold(&self) -> u32 {
        self.window.threshold()
    }

    fn on_ack(&mut self, acked: &Acked) {
        // A window that was not used proves nothing about the path (RFC 7661 section 4.3).
        if !acked.limited {
            return;
        }
        if self.window.in_slow_start() {
            return self.window.slow_start(acked);
        }
        let window = self.window.bytes();
        self.counted = self.counted.saturating_add(acked.bytes.min(window));
        if self.counted >= window {
            self.counted -= window;
            self.window.set(window + self.window.segment());
        }
    }

    fn on_congestion(&mut self, _now: Instant, flight: u32) {
        self.before = Some(self.window.snapshot());
        self.counted = 0;
        // RFC 5681 equation 4.
        self.window.reduce(flight / 2);
    }

    fn on_timeout(&mut self, now: Instant, flight: u32, again: bool) {
        if !again {
            self.on_congestion(now, flight);
        }
        self.counted = 0;
        self.window.set(self.window.segment());
    }

    fn set_window(&mut self, bytes: u32) {
        self.window.set(bytes);
    }

    fn on_idle(&mut self, _now: Instant) {
        self.window.restart();
        self.counted = 0;
    }

    fn undo(&mut self) {
        if let Some(before) = self.before.take() {
            self.window.restore(before);
        }
    }

    fn set_segment_size(&mut self, bytes: u32) {
        self.window.set_segment_size(bytes);
    }
}
