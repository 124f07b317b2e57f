//! All measurements there are.

mod cut_through;
mod inspect;
pub mod instructions;
mod memory;
mod rules;

use crate::suite::Measurement;

/// In the order in which they are taken.
pub const ALL: [Measurement; 5] = [
    cut_through::MEASUREMENT,
    instructions::MEASUREMENT,
    memory::MEASUREMENT,
    rules::MEASUREMENT,
    inspect::MEASUREMENT,
];
