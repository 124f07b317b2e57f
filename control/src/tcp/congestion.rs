//! How much may be in flight: the seam for congestion control, and the controllers behind it.
//!
//! A controller is told what the network did and says how large the window is. It knows nothing of segments that are lost or
//! sent again: *when* there was congestion is loss recovery's to say (`recovery.rs`), and so is how the window comes down
//! to the threshold in a reduction (PRR, RFC 6937). The two legs of a flow have a controller each.
//!
//! All windows are bytes. All arithmetic is in integers: a simulated run repeats itself to the byte on every machine.

mod cubic;
mod hystart;
mod newreno;
mod window;

#[cfg(test)]
mod tests;

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

/// No connection here has more than this in flight.
pub(super) use dataplane::wire::seq::MAX_WINDOW;

use cubic::Cubic;
use newreno::NewReno;

/// What one acknowledgment of new data means to a controller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acked {
    pub(super) now: Instant,
    /// Bytes newly acknowledged or SACKed: what has left the network.
    pub(super) bytes: u32,
    /// Bytes outstanding before this acknowledgment (RFC 6675's pipe).
    pub(super) flight: u32,
    /// The round trip that this acknowledgment has measured.
    pub(super) rtt: Option<Duration>,
    /// A whole window was in flight: it is the window that limits, neither the user nor the peer.
    pub(super) limited: bool,
    /// SND.UNA after this acknowledgment.
    pub(super) una: Seq,
    /// SND.NXT.
    pub(super) nxt: Seq,
}

/// A congestion controller.
pub(super) trait Congestion {
    /// The congestion window, bytes: at least a segment, at most `MAX_WINDOW`.
    fn window(&self) -> u32;

    /// The slow start threshold, bytes: at least two segments; `MAX_WINDOW` until the first reduction.
    fn threshold(&self) -> u32;

    /// New data is acknowledged, outside of any reduction; after a timeout too, while slow start refills the network.
    fn on_ack(&mut self, acked: &Acked);

    /// Loss was inferred, or the peer says that it has seen a congestion mark: sets the threshold. The caller moves the
    /// window to it. `flight` is what was outstanding, bytes.
    fn on_congestion(&mut self, now: Instant, flight: u32);

    /// The retransmission timer has expired; `again` when it has for the same data, which lowers the threshold no further.
    fn on_timeout(&mut self, now: Instant, flight: u32, again: bool);

    /// The window that loss recovery allows during a reduction, and the threshold at its end.
    fn set_window(&mut self, bytes: u32);

    /// Nothing was sent for longer than the retransmission timeout.
    fn on_idle(&mut self, now: Instant);

    /// The last reduction answered a loss that was none: window and threshold are as before it, or as now if that is more.
    fn undo(&mut self);

    /// The sender's segment size is known or has changed: bytes of payload.
    fn set_segment_size(&mut self, bytes: u32);
}

/// Which controller a leg has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681.
    NewReno,
}

/// The controller of one leg.
#[derive(Debug)]
pub(super) enum Controller {
    Cubic(Cubic),
    NewReno(NewReno),
}

impl Controller {
    /// With the initial window for segments of `segment` bytes.
    pub(super) fn new(algorithm: Algorithm, segment: u32) -> Self {
        match algorithm {
            Algorithm::Cubic => Controller::Cubic(Cubic::new(segment)),
            Algorithm::NewReno => Controller::NewReno(NewReno::new(segment)),
        }
    }

    fn get_mut(&mut self) -> &mut dyn Congestion {
        match self {
            Controller::Cubic(cubic) => cubic,
            Controller::NewReno(reno) => reno,
        }
    }
}

impl Congestion for Controller {
    #[inline]
    fn window(&self) -> u32 {
        match self {
            Controller::Cubic(cubic) => cubic.window(),
            Controller::NewReno(reno) => reno.window(),
        }
    }

    #[inline]
    fn threshold(&self) -> u32 {
        match self {
            Controller::Cubic(cubic) => cubic.threshold(),
            Controller::NewReno(reno) => reno.threshold(),
        }
    }

    fn on_ack(&mut self, acked: &Acked) {
        self.get_mut().on_ack(acked);
    }

    fn on_congestion(&mut self, now: Instant, flight: u32) {
        self.get_mut().on_congestion(now, flight);
    }

    fn on_timeout(&mut self, now: Instant, flight: u32, again: bool) {
        self.get_mut().on_timeout(now, flight, again);
    }

    fn set_window(&mut self, bytes: u32) {
        self.get_mut().set_window(bytes);
    }

    fn on_idle(&mut self, now: Instant) {
        self.get_mut().on_idle(now);
    }

    fn undo(&mut self) {
        self.get_mut().undo();
    }

    fn set_segment_size(&mut self, bytes: u32) {
        self.get_mut().set_segment_size(bytes);
    }
}
