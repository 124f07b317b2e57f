//! The short way of an acknowledgment of all that is outstanding (`recovery.rs`) comes to what the long way comes to: whole
//! conversations over a bad channel, once with it and once without, are the same segment for segment, and their ends believe the
//! same.

use std::cell::Cell;

use dataplane::clock::Instant;

use super::property::{Manner, Sent, World};
use crate::tcp::Limits;
use crate::tcp::congestion::Algorithm;

thread_local! {
    /// On this thread every acknowledgment goes the long way.
    static IS_SHUT: Cell<bool> = const { Cell::new(false) };
    /// How many have gone the short one.
    static TAKEN: Cell<u32> = const { Cell::new(0) };
}

/// Asked before the short way is taken.
pub(in crate::tcp) fn is_shut() -> bool {
    IS_SHUT.get()
}

/// It has been taken.
pub(in crate::tcp) fn note_taken() {
    TAKEN.set(TAKEN.get() + 1);
}

/// A conversation, one way or the other.
struct Run {
    world: World,
    is_shut: bool,
}

impl Run {
    fn step(&mut self) {
        IS_SHUT.set(self.is_shut);
        self.world.step();
        IS_SHUT.set(false);
    }

    /// What the last step has sent, and when the next one is.
    fn said(&self) -> (Instant, &[Sent]) {
        (self.world.now, &self.world.sent)
    }

    /// What each end goes by from now on, but for the bytes: windows, round trips, timers, what is believed of the path.
    fn state(&self) -> [String; 2] {
        let state = |end: usize| {
            let block = &self.world.ends[end].block;
            let (una, nxt, edge) = (block.snd.una, block.snd.nxt, block.snd.edge);
            format!(
                "{:?} {:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?} {:?}\n{:?}\n{:?}",
                block.state,
                (una, nxt, edge),
                block.congestion,
                block.rto,
                block.timers,
                block.snd.recovery,
                block.snd.flight,
                block.snd.pacer,
                block.ecn,
                block.path,
            )
        };
        [state(0), state(1)]
    }
}

/// Has the same conversation both ways, step by step; returns how often the short way was taken.
fn both_ways(seed: u64, manner: Manner) -> u32 {
    let before = TAKEN.get();
    let [mut short, mut long] =
        [false, true].map(|is_shut| Run { world: World::with(seed, manner), is_shut });
    for step in 0.. {
        let at = || format!("seed {seed}, {manner:?}, step {step}");
        assert!(step < 200_000, "{}: stalled", at());
        let taken = TAKEN.get();
        short.step();
        let is_taken = TAKEN.get() > taken;
        long.step();
        assert_eq!(short.said(), long.said(), "{}", at());
        if is_taken || short.world.is_done() {
            let ([a, b], [c, d]) = (short.state(), long.state());
            assert!(a == c && b == d, "{}: {a}\n{b}\nnot\n{c}\n{d}", at());
        }
        if short.world.is_done() {
            break;
        }
    }
    TAKEN.get() - before
}

/// `SEEDS=40000 cargo test` tries more.
#[test]
fn the_short_way_comes_to_what_the_long_way_comes_to() {
    let seeds = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    for congestion in [Algorithm::Cubic, Algorithm::NewReno] {
        for (marks, is_chatty) in [(0, false), (0, true), (10, true)] {
            let limits = Limits { congestion, ..Limits::default() };
            let manner = Manner { limits, marks, is_chatty };
            let taken: u64 = (0..seeds).map(|seed| u64::from(both_ways(seed, manner))).sum();
            assert!(taken > 0, "{taken} times in {seeds} worlds of {manner:?}");
        }
    }
}
