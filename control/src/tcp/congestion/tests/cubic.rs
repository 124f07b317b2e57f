//! CUBIC against the formulas of RFC 9438 in floating point, segments and seconds, as naively as they stand there.

use proptest::prelude::*;

use super::*;

const C: f64 = 0.4;
const BETA_CUBIC: f64 = 0.7;

/// Section 4, for a sender that the window always limits.
#[derive(Default)]
struct Reference {
    cwnd: f64,
    ssthresh: f64,
    w_max: f64,
    cwnd_prior: f64,
    /// `epoch_start`, `cwnd_epoch`, `W_max` of the stage, `W_est`.
    stage: Option<(f64, f64, f64, f64)>,
    flat: bool,
}

impl Reference {
    fn on_ack(&mut self, now: f64, acked: f64, rtt: f64) {
        if self.cwnd < self.ssthresh {
            self.cwnd = (self.cwnd + acked).min(self.ssthresh);
            return;
        }
        let (epoch_start, cwnd_epoch, w_max, w_est) = self.stage.unwrap_or_else(|| {
            let w_max = if self.flat { self.cwnd } else { self.w_max.max(self.cwnd) };
            (now, self.cwnd, w_max, self.cwnd)
        });
        let k = ((w_max - cwnd_epoch) / C).cbrt();
        let w_cubic = |t: f64| C * (t - k).powi(3) + w_max;
        let t = now - epoch_start;
        let alpha =
            if w_est >= self.cwnd_prior { 1.0 } else { 3.0 * (1.0 - BETA_CUBIC) / (1.0 + BETA_CUBIC) };
        let w_est = w_est + alpha * acked / self.cwnd;
        self.stage = Some((epoch_start, cwnd_epoch, w_max, w_est));
        if w_cubic(t) < w_est {
            self.cwnd = self.cwnd.max(w_est);
        } else {
            let target = w_cubic(t + rtt).clamp(self.cwnd, 1.5 * self.cwnd);
            self.cwnd += (target - self.cwnd) / self.cwnd * acked;
        }
    }

    fn on_loss(&mut self) {
        let converging = self.cwnd < self.w_max && !self.flat;
        self.w_max = if converging { self.cwnd * (1.0 + BETA_CUBIC) / 2.0 } else { self.cwnd };
        self.cwnd_prior = self.cwnd;
        self.ssthresh = (self.cwnd * BETA_CUBIC).max(2.0);
        self.cwnd = self.ssthresh;
        self.stage = None;
        self.flat = false;
    }

    fn on_timeout(&mut self) {
        self.cwnd_prior = self.cwnd;
        self.ssthresh = (self.cwnd * BETA_CUBIC).max(2.0);
        self.cwnd = 1.0;
        self.stage = None;
        self.flat = true;
    }
}

/// Both, side by side.
struct Pair {
    path: Path,
    reference: Reference,
}

impl Pair {
    /// With a window of `segments`, that a loss has just been noticed in.
    fn new(segments: u32) -> Self {
        let mut path = Path::new(Algorithm::Cubic);
        path.controller.set_window(segments * SEGMENT);
        let mut pair =
            Pair { path, reference: Reference { cwnd: f64::from(segments), ..Default::default() } };
        pair.lose();
        pair
    }

    fn round(&mut self, rtt: Duration) {
        let (start, flight) = (self.path.now, self.path.window());
        let mut done = 0;
        while done < flight {
            let bytes = (flight - done).min(2 * SEGMENT);
            done += bytes;
            self.path.now = start + rtt.mul_f64(f64::from(done) / f64::from(flight));
            self.path.ack(bytes, self.path.window(), rtt, true);
            let now = self.path.now.as_nanos() as f64 / 1e9;
            self.reference.on_ack(now, f64::from(bytes) / f64::from(SEGMENT), rtt.as_secs_f64());
        }
    }

    fn lose(&mut self) {
        self.path.lose();
        self.reference.on_loss();
    }

    fn time_out(&mut self) {
        let flight = self.path.window();
        self.path.controller.on_timeout(self.path.now, flight, false);
        self.reference.on_timeout();
    }

    /// By how many segments the two differ, and by how many they may: α may turn to 1 an acknowledgment sooner in one of them.
    fn difference(&self) -> (f64, f64) {
        let window = f64::from(self.path.window()) / f64::from(SEGMENT);
        ((window - self.reference.cwnd).abs(), 0.3 + self.reference.cwnd / 1000.0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn follows_the_formulas(
        segments in 4u32..2000,
        rtt in 1u64..300,
        stages in proptest::collection::vec((1u32..120, proptest::bool::weighted(0.85)), 1..6),
    ) {
        let mut pair = Pair::new(segments);
        for (rounds, loss) in stages {
            for round in 0..rounds {
                if pair.path.window() > 5000 * SEGMENT {
                    break;
                }
                pair.round(MS(rtt));
                let (off, most) = pair.difference();
                prop_assert!(off <= most, "{off} of {} in round {round}", pair.reference.cwnd);
            }
            // Whether a flow came back to its peak is a question of a hair's breadth sometimes.
            if (pair.reference.cwnd - pair.reference.w_max).abs() < 0.5 {
                break;
            }
            if loss { pair.lose() } else { pair.time_out() }
        }
    }
}

#[test]
fn the_curve_comes_back_to_its_peak_after_k() {
    let mut path = Path::new(Algorithm::Cubic);
    path.controller.set_window(1_000_000);
    path.lose();
    assert_eq!(path.window(), 700_000);
    let start = path.now;
    // K = cbrt(300 / 0.4) = 9.09 s.
    while path.now.since(start) < MS(9_090) {
        path.round(MS(100));
    }
    assert!(path.window().abs_diff(1_000_000) < 5_000, "{}", path.window());
}

#[test]
fn a_short_round_trip_grows_like_reno() {
    let mut path = Path::new(Algorithm::Cubic);
    path.controller.set_window(100_000);
    path.lose();
    for _ in 0..34 {
        path.round(MS(1));
    }
    // 9/17 of a segment a round trip.
    assert!(path.window().abs_diff(88_000) <= 1000, "{}", path.window());
}

#[test]
fn a_flow_that_does_not_come_back_to_its_peak_converges_faster() {
    let mut path = Path::new(Algorithm::Cubic);
    path.controller.set_window(1_000_000);
    path.lose();
    path.round(MS(100));
    let window = path.window();
    path.lose();
    let start = path.now;
    // W_max is 0.85 of the window, which is at 0.7 of it: K = cbrt(0.15 × window / 0.4).
    let k = Duration::from_secs_f64((0.15 * f64::from(window) / 1000.0 / 0.4).cbrt());
    while path.now.since(start) < k {
        path.round(MS(100));
    }
    let peak = window / 20 * 17;
    assert!(path.window().abs_diff(peak) < 5_000, "{} and {peak}", path.window());
}

#[test]
fn time_stands_still_while_the_window_does_not_limit() {
    let mut path = Path::new(Algorithm::Cubic);
    path.controller.set_window(1_000_000);
    path.lose();
    let mut other = Path::new(Algorithm::Cubic);
    other.controller.set_window(1_000_000);
    other.lose();
    for round in 0..20 {
        path.round(MS(100));
        other.round(MS(100));
        // A minute of questions and answers, then of silence.
        for _ in 0..if round == 10 { 600 } else { 0 } {
            other.now = other.now + MS(100);
            other.ack(1000, 1000, MS(100), false);
        }
        if round == 10 {
            other.now = other.now + Duration::from_secs(60);
        }
    }
    let (busy, idle) = (path.window(), other.window());
    assert!(idle.abs_diff(busy) < busy / 50, "{idle} and {busy}");
}

#[test]
fn undoing_brings_the_curve_back() {
    let mut path = Path::new(Algorithm::Cubic);
    path.controller.set_window(1_000_000);
    path.lose();
    let mut other = Path::new(Algorithm::Cubic);
    other.controller.set_window(1_000_000);
    other.lose();
    for round in 0..60 {
        path.round(MS(100));
        other.round(MS(100));
        if round == 30 {
            other.lose();
            other.controller.undo();
        }
        if round == 40 {
            let flight = other.window();
            other.controller.on_timeout(other.now, flight, false);
            other.controller.undo();
        }
    }
    assert_eq!(path.window(), other.window());
}
