//! CUBIC (RFC 9438): in congestion avoidance the window is a function of the time since the last reduction.
//!
//! Time is milliseconds and windows are bytes, in integers: what the RFC says in segments is multiplied by the segment's
//! size, and what a division leaves over is kept for the next acknowledgment, so that no growth is lost to rounding.

use std::time::Duration;

use dataplane::clock::Instant;

use super::window::Window;
use super::{Acked, Congestion, MAX_WINDOW};

/// β_cubic = 0.7 (RFC 9438 section 4.6).
const BETA: (u64, u64) = (7, 10);

/// (1 + β_cubic) / 2 (section 4.7).
const FAST_CONVERGENCE: (u64, u64) = (17, 20);

/// α_cubic = 3 (1 - β_cubic) / (1 + β_cubic) (section 4.3).
const ALPHA: (u64, u64) = (9, 17);

/// C = 0.4 segments per cubic second (section 5.1) is one segment per this many cubic milliseconds.
const CUBIC_MILLIS_PER_SEGMENT: i128 = 2_500_000_000;

/// Milliseconds from the plateau beyond which the curve is out of bounds for any segment size: C t^3 > 2^30 segments.
const MAX_OFFSET: i64 = 1 << 21;

/// A congestion avoidance stage.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    /// How old it is, without the time in which the window did not limit.
    age: Duration,
    /// When an acknowledgment was taken last.
    seen: Instant,
    /// K: when the curve reaches the plateau, milliseconds.
    plateau_at: i64,
    /// W_max, as it counts for this stage: the plateau, bytes.
    plateau: u32,
    /// W_est: the window that Reno would have, bytes.
    friendly: u32,
    /// What the divisions of the last increases have left over.
    rest: u64,
    friendly_rest: u64,
}

/// What a reduction changes, and what undoing it brings back (section 4.9).
#[derive(Debug, Clone, Copy)]
struct Past {
    /// W_max: the window before the last reduction, bytes, or less after fast convergence; 0 when a stage begins where
    /// slow start ended.
    peak: u32,
    /// cwnd_prior: the window before the last reduction, bytes.
    prior: u32,
    epoch: Option<Epoch>,
}

/// The controller.
#[derive(Debug)]
pub(in crate::tcp) struct Cubic {
    window: Window,
    past: Past,
    /// Smoothed round trip.
    rtt: Duration,
    /// Everything before the last reduction.
    before: Option<((u32, u32), Past)>,
}

impl Cubic {
    pub(super) fn new(segment: u32) -> Self {
        let past = Past { peak: 0, prior: 0, epoch: None };
        Cubic { window: Window::new(segment), past, rtt: Duration::ZERO, before: None }
    }

    /// Sections 4.2 to 4.5.
    fn avoid(&mut self, acked: &Acked) {
        let (window, segment) = (self.window.bytes(), self.window.segment());
        let mut epoch = self.past.epoch.take().unwrap_or_else(|| self.begin(acked.now));
        epoch.advance(acked, self.rtt);
        if acked.limited {
            let bytes = acked.bytes.min(window);
            let alpha = if epoch.friendly >= self.past.prior { (1, 1) } else { ALPHA };
            let reno = epoch.follow_reno(bytes, window, segment, alpha);
            if epoch.curve(epoch.age, segment) < i64::from(reno) {
                self.window.set(window.max(reno));
            } else {
                // Never by more than half the window in a round trip (section 4.2).
                let most = i64::from(window) + i64::from(window) / 2;
                let target = epoch.curve(epoch.age + self.rtt, segment).clamp(i64::from(window), most);
                let wanted = (target - i64::from(window)) as u64;
                let increase = share(&mut epoch.rest, wanted * u64::from(bytes), u64::from(window));
                self.window.set(window + increase);
            }
        }
        self.past.epoch = Some(epoch);
    }

    /// The stage begins (section 4.2). After a timeout or a slow start that ended without loss it begins on its plateau
    /// (sections 4.8 and 4.10); so it does where the window has come beyond the last peak.
    fn begin(&mut self, now: Instant) -> Epoch {
        let (window, segment) = (self.window.bytes(), self.window.segment());
        if self.past.prior == 0 {
            self.past.prior = window;
        }
        let plateau = self.past.peak.max(window);
        let climb = u64::from(plateau - window);
        Epoch {
            age: Duration::ZERO,
            seen: now,
            plateau_at: cube_root(climb * CUBIC_MILLIS_PER_SEGMENT as u64 / u64::from(segment)) as i64,
            plateau,
            friendly: window,
            rest: 0,
            friendly_rest: 0,
        }
    }

    fn remember(&mut self) {
        self.before = Some((self.window.snapshot(), self.past));
    }
}

impl Epoch {
    /// Time passes only while the window limits (section 5.8), and never more than a round trip for an acknowledgment: a
    /// sender that the window limits hears of the peer more often than that.
    fn advance(&mut self, acked: &Acked, rtt: Duration) {
        if acked.limited {
            self.age += acked.now.since(self.seen).min(acked.rtt.unwrap_or(rtt).max(rtt));
        }
        self.seen = acked.now;
    }

    /// W_cubic (figure 1), bytes.
    fn curve(&self, age: Duration, segment: u32) -> i64 {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX).min(MAX_OFFSET);
        let offset = i128::from((age - self.plateau_at).clamp(-MAX_OFFSET, MAX_OFFSET));
        let climb = offset * offset * offset * i128::from(segment) / CUBIC_MILLIS_PER_SEGMENT;
        i64::from(self.plateau)
            + climb.clamp(i128::from(-MAX_WINDOW.cast_signed()), i128::from(MAX_WINDOW)) as i64
    }

    /// W_est (figure 4): a share of a segment for a window acknowledged.
    fn follow_reno(&mut self, bytes: u32, window: u32, segment: u32, (above, below): (u64, u64)) -> u32 {
        let numerator = above * u64::from(segment) * u64::from(bytes);
        let increase = share(&mut self.friendly_rest, numerator, below * u64::from(window));
        self.friendly = self.friendly.saturating_add(increase).min(MAX_WINDOW);
        self.friendly
    }
}

impl Congestion for Cubic {
    fn window(&self) -> u32 {
        self.window.bytes()
    }

    fn threshold(&self) -> u32 {
        self.window.threshold()
    }

    fn on_ack(&mut self, acked: &Acked) {
        if let Some(rtt) = acked.rtt {
            // RFC 6298 (2.2), (2.3).
            self.rtt = if self.rtt.is_zero() { rtt } else { self.rtt * 7 / 8 + rtt / 8 };
        }
        if !self.window.in_slow_start() {
            self.avoid(acked);
        } else if acked.limited {
            self.window.slow_start(acked);
        }
    }

    fn on_congestion(&mut self, _now: Instant, flight: u32) {
        self.remember();
        let window = self.window.bytes();
        // Section 4.7: a flow that did not come back to its last peak leaves room to the one that took it.
        let peak = if window < self.past.peak { scaled(window, FAST_CONVERGENCE) } else { window };
        self.past = Past { peak, prior: window, epoch: None };
        self.window.reduce(scaled(flight, BETA));
    }

    fn on_timeout(&mut self, _now: Instant, flight: u32, again: bool) {
        if !again {
            self.remember();
            self.past.prior = self.window.bytes();
            self.window.reduce(scaled(flight, BETA));
        }
        // Section 4.8.
        self.past.peak = 0;
        self.past.epoch = None;
        self.window.set(self.window.segment());
    }

    fn set_window(&mut self, bytes: u32) {
        self.window.set(bytes);
    }

    fn on_idle(&mut self, _now: Instant) {
        self.window.restart();
        self.past.epoch = None;
    }

    fn undo(&mut self) {
        if let Some((window, past)) = self.before.take() {
            self.window.restore(window);
            self.past = past;
        }
    }

    fn set_segment_size(&mut self, bytes: u32) {
        if self.window.set_segment_size(bytes) {
            self.past.epoch = None;
        }
    }
}

/// `bytes` times a ratio below one.
fn scaled(bytes: u32, (above, below): (u64, u64)) -> u32 {
    (u64::from(bytes) * above / below) as u32
}

/// `numerator / denominator` with what `rest` has kept, which keeps the remainder.
fn share(rest: &mut u64, numerator: u64, denominator: u64) -> u32 {
    let sum = numerator.saturating_add(*rest);
    *rest = sum % denominator;
    u32::try_from(sum / denominator).unwrap_or(u32::MAX)
}

/// The largest number whose cube is not larger.
fn cube_root(number: u64) -> u64 {
    let mut root = 0u64;
    // 2^22 cubed is beyond what 64 bits hold.
    for bit in (0..22).rev() {
        let next = root | 1 << bit;
        if u128::from(next).pow(3) <= u128::from(number) {
            root = next;
        }
    }
    root
}
