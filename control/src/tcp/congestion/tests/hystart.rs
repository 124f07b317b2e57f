//! Slow start ends when the round trip grows, and goes on when it was jitter.

use super::*;

const BASE: Duration = Duration::from_millis(40);

fn started() -> Path {
    let mut path = Path::new(Algorithm::Cubic);
    for _ in 0..3 {
        path.round(BASE);
    }
    assert_eq!(path.window(), 80_000);
    path
}

#[test]
fn a_growing_round_trip_ends_slow_start_after_five_conservative_rounds() {
    let mut path = started();
    // An eighth of 40 ms is a queue, less is noise.
    path.round(BASE + MS(4));
    assert_eq!(path.window(), 160_000);
    path.round(BASE + MS(10));
    // The eighth acknowledgment of its round decides, all after it count a quarter.
    assert!(path.window() < 240_000, "{}", path.window());
    for _ in 0..4 {
        let before = path.window();
        assert_eq!(path.controller.threshold(), MAX_WINDOW);
        path.round(BASE + MS(10));
        let growth = path.window() - before;
        assert!(growth.abs_diff(before / 4) <= 1000, "{growth} of {before}");
    }
    // The fifth ends within this one.
    path.round(BASE + MS(10));
    assert!(path.controller.threshold() <= path.window(), "slow start is over");
    let before = path.window();
    path.round(BASE + MS(10));
    assert!(path.window() < before + before / 8);
}

#[test]
fn jitter_does_not_end_it() {
    let mut path = started();
    path.round(BASE + MS(9));
    let before = path.window();
    path.round(BASE);
    assert!(path.window() > before + before / 2, "full pace again");
    assert_eq!(path.controller.threshold(), MAX_WINDOW);
    for _ in 0..3 {
        let before = path.window();
        path.round(BASE);
        assert_eq!(path.window(), 2 * before);
    }
}

#[test]
fn too_few_samples_say_nothing() {
    let mut path = Path::new(Algorithm::Cubic);
    // Five acknowledgments a round.
    path.round(BASE);
    path.controller.set_window(10_000);
    for _ in 0..10 {
        path.round(BASE * 2);
        assert_eq!(path.window(), 20_000);
        path.controller.set_window(10_000);
    }
}

#[test]
fn the_threshold_is_between_four_and_sixteen_milliseconds() {
    for (base, noise, queue) in [(8, 3, 4), (40, 4, 5), (400, 15, 16)] {
        for (more, leaves) in [(noise, false), (queue, true)] {
            let mut path = Path::new(Algorithm::Cubic);
            for _ in 0..4 {
                path.round(MS(base));
            }
            path.round(MS(base + more));
            assert_eq!(path.window() < 320_000, leaves, "{base} + {more}");
        }
    }
}

#[test]
fn later_slow_starts_do_not_watch_the_round_trip() {
    let mut path = Path::new(Algorithm::Cubic);
    path.controller.on_timeout(path.now, 1_000_000, false);
    for i in 0..6 {
        path.round(BASE + MS(10 * i));
    }
    assert_eq!(path.window(), 64_000);
}

#[test]
fn a_round_that_is_lost_in_wrapped_numbers_ends() {
    let mut path = started();
    path.una = path.una.advance(1 << 31);
    for _ in 0..3 {
        path.round(BASE + MS(20));
    }
    assert!(path.window() < 640_000, "the queue is noticed");
}
