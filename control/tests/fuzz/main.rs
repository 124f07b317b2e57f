//! The harnesses of the fuzz targets for the whole stack, over random inputs and the fuzzer's seeds.
//!
//! A harness takes bytes for a script: `fuzz/fuzz_targets` hands it those that libFuzzer has thought of, this test
//! some thousand random ones. `QUADRILLE_INPUTS=N` tries more. An input that fails in the fuzzer is repeated with
//! `QUADRILLE_INPUT=fuzz/artifacts/TARGET/crash-…`.
#![forbid(unsafe_code)]

mod appliance;
mod block;

use std::env;
use std::fs;
use std::path::Path;

/// Inputs for each harness.
const INPUTS: u64 = 3_000;
/// Bytes of the longest.
const LONGEST: u64 = 2_000;

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Input number `n`. Zeros are the shortest way to say "the ordinary", so they come more often than other bytes.
fn input(n: u64) -> Vec<u8> {
    let mut state = n;
    let len = splitmix64(&mut state) % LONGEST;
    let zeros = splitmix64(&mut state) % 4;
    (0..len)
        .map(|_| {
            let word = splitmix64(&mut state);
            if word >> 32 & 7 < zeros { 0 } else { word as u8 }
        })
        .collect()
}

fn run_all(target: &str, harness: fn(&[u8])) {
    if let Some(path) = env::var_os("QUADRILLE_INPUT") {
        return harness(&fs::read(&path).expect("a readable input"));
    }
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    for entry in fs::read_dir(seeds).into_iter().flatten() {
        harness(&fs::read(entry.expect("a readable folder").path()).expect("a readable seed"));
    }
    let inputs = env::var("QUADRILLE_INPUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(INPUTS);
    for n in 0..inputs {
        let bytes = input(n);
        if let Err(panic) = std::panic::catch_unwind(|| harness(&bytes)) {
            eprintln!("{target}: input number {n} repeats this");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_block_survives_anything() {
    run_all("tcp_block", block::run);
}

#[test]
fn an_appliance_survives_anything() {
    run_all("appliance", appliance::run);
}
