//! One TCB: any segment in any state, any call of its user, any time (`control/tests/fuzz/block`).
#![no_main]

#[path = "../../control/tests/fuzz/block/mod.rs"]
mod block;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| block::run(input));
