//! The appliance in a simulated world: seeded, repeatable, in virtual time.
//!
//! `cargo test -p control --no-default-features --test sim` runs 10,000 seeds, over all profiles. `QUADRILLE_SEEDS=N`
//! runs N seeds, `QUADRILLE_FROM=S` begins with seed S, `QUADRILLE_PROFILE=P` runs only one profile; `QUADRILLE_SEED=S` with `one_seed` repeats a single run and
//! prints every frame on both sides.
#![forbid(unsafe_code)]

mod app;
mod appliance;
mod books;
mod broken;
mod campaign;
mod connection;
mod content;
mod crutch;
mod device;
mod doubtful;
mod flow;
mod frame;
mod hands;
mod hesitant;
mod host;
mod invariant;
mod link;
mod middle;
mod moody;
mod numbers;
mod oracle;
mod plan;
mod profile;
mod regressions;
mod rng;
mod runner;
mod sender;
mod tap;
mod trace;
mod trouble;
mod world;

use std::env;

use campaign::{Campaign, WIRE_LIKE};
use profile::{PROFILES, Profile};

/// Seeds for all profiles together, unless `QUADRILLE_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// The profiles asked for.
fn profiles() -> Vec<Profile> {
    match env::var("QUADRILLE_PROFILE") {
        Ok(name) => {
            vec![Profile::named(&name).unwrap_or_else(|| panic!("QUADRILLE_PROFILE={name}: no such profile"))]
        }
        Err(_) => PROFILES.to_vec(),
    }
}

#[test]
fn one_seed() {
    let Some(seed) = number("QUADRILLE_SEED") else { return };
    for profile in profiles() {
        campaign::check(seed, profile, true).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn known_seeds_stay_good() {
    for (name, seed) in regressions::SEEDS {
        let profile = Profile::named(name).unwrap_or_else(|| panic!("no profile {name}"));
        campaign::check(*seed, profile, false).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn all_seeds() {
    let first = number("QUADRILLE_FROM").unwrap_or(0);
    let count = number("QUADRILLE_SEEDS").unwrap_or(SEEDS);
    let sum = Campaign { profiles: &profiles(), first, count }.run().unwrap_or_else(|f| panic!("{f}"));
    println!("seeds {first} to {}: {sum:?}", first + count - 1);
}

#[test]
fn a_seed_repeats_itself() {
    let [(_, wire), _] = WIRE_LIKE;
    for profile in PROFILES.iter().filter(|profile| profile.wires()) {
        let report = || runner::run(4711, *profile, wire, false);
        assert_eq!(report().expect("runs"), report().expect("runs"), "profile {}", profile.name);
    }
}
