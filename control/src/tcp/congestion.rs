//! How much may be in flight: the seam for congestion control, and NewReno behind it.

/// A congestion controller. All quantities are bytes; `flight` is what is outstanding and not SACKed.
pub(super) trait Congestion {
    /// The congestion window.
    fn window(&self) -> u32;

    /// `acked` new bytes outside of fast recovery, `flight` having been outstanding before.
    fn on_ack(&mut self, acked: u32, flight: u32);

    /// Loss has been inferred from duplicate acknowledgments.
    fn on_loss(&mut self, flight: u32);

    /// Fast recovery is over.
    fn on_recovered(&mut self, flight: u32);

    /// The retransmission timer has expired; `again` when it has for the same data.
    fn on_timeout(&mut self, flight: u32, again: bool);

    /// Nothing was sent for longer than the retransmission timeout.
    fn on_idle(&mut self);

    /// The sender's segment size is known or has changed.
    fn set_segment_size(&mut self, bytes: u32);
}

/// RFC 5681 with the initial window of RFC 6928.
#[derive(Debug)]
pub(super) struct NewReno {
    window: u32,
    threshold: u32,
    segment: u32,
    /// Bytes acknowledged towards the next increase in congestion avoidance (RFC 5681 section 3.1, byte counting).
    counted: u32,
    pristine: bool,
}

/// No connection here has more than this in flight (a scaled window is at most 2^30, RFC 7323 section 2.3).
const MAX_WINDOW: u32 = 1 << 30;

impl NewReno {
    pub(super) fn new(segment: u32) -> Self {
        NewReno { window: Self::initial(segment), threshold: MAX_WINDOW, segment, counted: 0, pristine: true }
    }

    /// RFC 6928 section 2.
    fn initial(segment: u32) -> u32 {
        (10 * segment).min((2 * segment).max(14_600))
    }

    /// RFC 5681 equation 4.
    fn halved(&self, flight: u32) -> u32 {
        (flight / 2).max(2 * self.segment)
    }
}

impl Congestion for NewReno {
    fn window(&self) -> u32 {
        self.window
    }

    fn on_ack(&mut self, acked: u32, flight: u32) {
        self.pristine = false;
        // A window that was not used proves nothing about the path (RFC 7661 section 4.3).
        if flight < self.window / 2 {
            return;
        }
        if self.window < self.threshold {
            // RFC 3465 with L = 2: what one acknowledgment of two delayed segments is worth.
            self.window = self.window.saturating_add(acked.min(2 * self.segment)).min(MAX_WINDOW);
            return;
        }
        self.counted = self.counted.saturating_add(acked);
        if self.counted >= self.window {
            self.counted -= self.window;
            self.window = self.window.saturating_add(self.segment).min(MAX_WINDOW);
        }
    }

    fn on_loss(&mut self, flight: u32) {
        self.pristine = false;
        self.threshold = self.halved(flight);
        self.window = self.threshold;
        self.counted = 0;
    }

    fn on_recovered(&mut self, flight: u32) {
        // RFC 6582 section 3.2 step 3, option 1: no burst when little is left in flight.
        self.window = self.threshold.min(flight.max(self.segment) + self.segment);
    }

    fn on_timeout(&mut self, flight: u32, again: bool) {
        self.pristine = false;
        if !again {
            self.threshold = self.halved(flight);
        }
        self.window = self.segment;
        self.counted = 0;
    }

    fn on_idle(&mut self) {
        // RFC 5681 section 4.1: restart window.
        self.window = self.window.min(Self::initial(self.segment));
    }

    fn set_segment_size(&mut self, bytes: u32) {
        self.segment = bytes;
        if self.pristine {
            self.window = Self::initial(bytes);
        }
        self.window = self.window.max(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_slowly_then_avoids() {
        let mut c = NewReno::new(1000);
        assert_eq!(c.window(), 10_000);
        c.on_ack(1000, 10_000);
        assert_eq!(c.window(), 11_000);
        c.on_loss(11_000);
        assert_eq!(c.window(), 5_500);
        c.on_ack(5_500, 5_500);
        assert_eq!(c.window(), 6_500);
    }

    #[test]
    fn timeouts_shrink_once() {
        let mut c = NewReno::new(1000);
        c.on_timeout(10_000, false);
        assert_eq!((c.window(), c.threshold), (1000, 5000));
        c.on_timeout(1000, true);
        assert_eq!((c.window(), c.threshold), (1000, 5000));
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut c = NewReno::new(1000);
        c.on_ack(1000, 1000);
        assert_eq!(c.window(), 10_000);
    }
}
