//! What holds for every controller; CUBIC against a naive reading of its RFC; HyStart++.

mod cubic;
mod hystart;
mod properties;

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

use super::*;

const SEGMENT: u32 = 1000;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A controller whose user always has more to send, and a network that delivers everything.
struct Path {
    controller: Controller,
    now: Instant,
    una: Seq,
}

impl Path {
    fn new(algorithm: Algorithm) -> Self {
        Path {
            controller: Controller::new(algorithm, SEGMENT),
            now: Instant::from_millis(1000),
            una: Seq(u32::MAX - 5000),
        }
    }

    fn window(&self) -> u32 {
        self.controller.window()
    }

    /// One acknowledgment of `bytes` while `flight` was outstanding.
    fn ack(&mut self, bytes: u32, flight: u32, rtt: Duration, limited: bool) {
        self.una = self.una.advance(bytes);
        // What this acknowledgment will let go in slow start counts as sent, so that rounds here are HyStart++'s rounds.
        let nxt = self.una.advance(flight.saturating_add(bytes).min(MAX_WINDOW));
        let (now, una) = (self.now, self.una);
        self.controller.on_ack(&Acked { now, bytes, flight, rtt: Some(rtt), limited, una, nxt });
    }

    /// A whole window is sent, and every two segments of it are acknowledged, evenly over a round trip.
    fn round(&mut self, rtt: Duration) {
        let (start, flight) = (self.now, self.window());
        let mut done = 0;
        while done < flight {
            let bytes = (flight - done).min(2 * SEGMENT);
            done += bytes;
            self.now = start + rtt.mul_f64(f64::from(done) / f64::from(flight));
            self.ack(bytes, self.window(), rtt, true);
        }
    }

    /// A loss, and the reduction to its end.
    fn lose(&mut self) {
        let flight = self.window();
        self.controller.on_congestion(self.now, flight);
        let threshold = self.controller.threshold();
        self.controller.set_window(threshold);
    }
}

const BOTH: [Algorithm; 2] = [Algorithm::Cubic, Algorithm::NewReno];

#[test]
fn the_initial_window_is_ten_segments_or_what_rfc_6928_says() {
    for (segment, window) in [(1000, 10_000), (1460, 14_600), (536, 5360), (8960, 17_920), (1448, 14_480)] {
        for algorithm in BOTH {
            assert_eq!(Controller::new(algorithm, segment).window(), window, "{algorithm:?}");
            // The size becomes known with the peer's SYN.
            let mut later = Controller::new(algorithm, 536);
            later.set_segment_size(segment);
            assert_eq!((later.window(), later.threshold()), (window, MAX_WINDOW), "{algorithm:?}");
        }
    }
}

#[test]
fn slow_start_doubles_and_ends_at_the_threshold() {
    for algorithm in BOTH {
        let mut path = Path::new(algorithm);
        path.round(MS(10));
        assert_eq!(path.window(), 20_000, "{algorithm:?}");
        path.controller.on_timeout(path.now, 20_000, false);
        let threshold = path.controller.threshold();
        assert_eq!(path.window(), SEGMENT);
        for expected in [2000, 4000, 8000] {
            path.round(MS(10));
            assert_eq!(path.window(), expected, "{algorithm:?}");
        }
        path.round(MS(10));
        assert!((threshold..threshold + SEGMENT).contains(&path.window()), "{algorithm:?}");
    }
}

#[test]
fn slow_start_counts_eight_segments_an_ack_and_what_was_in_the_network() {
    for algorithm in BOTH {
        let mut path = Path::new(algorithm);
        path.ack(50_000, 50_000, MS(10), true);
        assert_eq!(path.window(), 18_000);
        path.controller.on_timeout(path.now, 40_000, false);
        path.ack(40_000, 1000, MS(10), true);
        assert_eq!(path.window(), 2000);
    }
}

#[test]
fn reno_halves_and_then_grows_by_a_segment_a_round_trip() {
    let mut path = Path::new(Algorithm::NewReno);
    path.round(MS(10));
    path.lose();
    assert_eq!(path.window(), 10_000);
    for expected in [11_000, 12_000, 13_000] {
        path.round(MS(10));
        assert_eq!(path.window(), expected);
    }
}

#[test]
fn a_second_timeout_for_the_same_data_leaves_the_threshold() {
    for (algorithm, threshold) in [(Algorithm::NewReno, 5000), (Algorithm::Cubic, 7000)] {
        let mut path = Path::new(algorithm);
        path.controller.on_timeout(path.now, 10_000, false);
        path.controller.on_timeout(path.now, 1000, true);
        assert_eq!((path.window(), path.controller.threshold()), (SEGMENT, threshold));
    }
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    for algorithm in BOTH {
        let mut path = Path::new(algorithm);
        for _ in 0..100 {
            path.now = path.now + MS(10);
            path.ack(1000, 1000, MS(10), false);
        }
        assert_eq!(path.window(), 10_000);
        path.lose();
        for _ in 0..100 {
            path.now = path.now + MS(10);
            path.ack(1000, 1000, MS(10), false);
        }
        assert_eq!(path.window(), path.controller.threshold());
    }
}

#[test]
fn idleness_restarts_with_the_initial_window_and_remembers_three_quarters() {
    for algorithm in BOTH {
        let mut path = Path::new(algorithm);
        for _ in 0..3 {
            path.round(MS(10));
        }
        assert_eq!(path.window(), 80_000);
        path.controller.on_idle(path.now);
        assert_eq!((path.window(), path.controller.threshold()), (10_000, MAX_WINDOW));
        for _ in 0..3 {
            path.round(MS(10));
        }
        path.lose();
        for _ in 0..50 {
            path.round(MS(10));
        }
        let window = path.window();
        path.controller.on_idle(path.now);
        assert_eq!((path.window(), path.controller.threshold()), (10_000, window / 4 * 3), "{algorithm:?}");
    }
}

#[test]
fn what_was_reduced_in_error_comes_back_once() {
    for algorithm in BOTH {
        let mut path = Path::new(algorithm);
        path.round(MS(10));
        path.lose();
        path.controller.undo();
        assert_eq!((path.window(), path.controller.threshold()), (20_000, MAX_WINDOW));
        path.controller.on_timeout(path.now, 20_000, false);
        path.controller.on_timeout(path.now, 1000, true);
        path.controller.undo();
        assert_eq!((path.window(), path.controller.threshold()), (20_000, MAX_WINDOW));
        path.lose();
        path.round(MS(10));
        let (window, threshold) = (path.window(), path.controller.threshold());
        path.controller.undo();
        path.controller.set_window(window);
        path.controller.undo();
        assert_eq!(path.window(), window, "{threshold}");
    }
}

#[test]
fn smaller_segments_leave_the_bytes() {
    for algorithm in BOTH {
        let mut path = Path::new(algorithm);
        path.round(MS(10));
        path.lose();
        let window = path.window();
        path.controller.set_segment_size(500);
        assert_eq!(path.window(), window);
        path.controller.on_timeout(path.now, 100, false);
        assert_eq!((path.window(), path.controller.threshold()), (500, 1000));
        path.controller.set_segment_size(9000);
        assert_eq!((path.window(), path.controller.threshold()), (9000, 18_000));
    }
}
