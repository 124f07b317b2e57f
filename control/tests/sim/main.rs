//! The appliance in a simulated world: seeded, repeatable, in virtual time.
//!
//! `cargo test -p control --no-default-features --test sim` runs some seeds of every profile. `QUADRILLE_SEEDS=N`
//! runs N seeds, `QUADRILLE_PROFILE=P` only one profile; `QUADRILLE_SEED=S` with `one_seed` repeats a single run and
//! prints every frame on both sides.
#![forbid(unsafe_code)]

mod app;
mod appliance;
mod broken;
mod connection;
mod content;
mod crutch;
mod device;
mod flow;
mod frame;
mod hesitant;
mod host;
mod invariant;
mod link;
mod middle;
mod oracle;
mod plan;
mod profile;
mod regressions;
mod rng;
mod runner;
mod tap;
mod trace;
mod world;

use std::env;

use appliance::Appliance;
use hesitant::Hesitant;
use middle::{Build, Wire};
use profile::{PROFILES, Profile};

/// Seeds for all profiles together, unless `QUADRILLE_SEEDS` says otherwise.
const SEEDS: u64 = 220;

/// The boxes to try, by name.
const MIDDLES: &[(&str, Build)] =
    &[("wire", Wire::build), ("hesitant", Hesitant::build), ("appliance", Appliance::build)];

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

/// Runs every box. Returns how many connections there were, and how many a host's own stack has hung.
fn check(seed: u64, profile: Profile, live: bool) -> (usize, usize) {
    let mut sum = (0, 0);
    for (name, build) in MIDDLES {
        let report = match runner::run(seed, profile, *build, live) {
            Ok(report) => report,
            Err(failure) => panic!("middle {name}\n{failure}"),
        };
        if live {
            println!("{name}, seed {seed}, profile {}: {report:?}", profile.name);
        }
        if report.hung > 0 {
            println!("{name}, seed {seed}, profile {}: {} hung by a host's stack", profile.name, report.hung);
        }
        sum = (sum.0 + report.connections, sum.1 + report.hung);
    }
    sum
}

#[test]
fn one_seed() {
    let Some(seed) = number("QUADRILLE_SEED") else { return };
    for profile in profiles() {
        check(seed, profile, true);
    }
}

#[test]
fn known_seeds_stay_good() {
    for (name, seed) in regressions::SEEDS {
        check(*seed, Profile::named(name).unwrap_or_else(|| panic!("no profile {name}")), false);
    }
}

#[test]
fn all_seeds() {
    let profiles = profiles();
    let seeds = number("QUADRILLE_SEEDS").unwrap_or(SEEDS);
    let sums = (0..seeds).map(|n| check(n, profiles[n as usize % profiles.len()], false));
    let (connections, hung) = sums.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    println!("{seeds} seeds, {connections} connections, {hung} hung by a host's stack");
    assert!(hung <= 2 + connections / 5_000, "too many to be the hosts' fault");
}

#[test]
fn a_seed_repeats_itself() {
    for profile in PROFILES {
        let report = || runner::run(4711, *profile, Wire::build, false);
        assert_eq!(report().expect("runs"), report().expect("runs"), "profile {}", profile.name);
    }
}
