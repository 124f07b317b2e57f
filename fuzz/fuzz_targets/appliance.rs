//! The whole appliance: any frames on both ports, any time (`control/tests/fuzz/appliance`).
#![no_main]

#[path = "../../control/tests/fuzz/appliance/mod.rs"]
mod appliance;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| appliance::run(input));
