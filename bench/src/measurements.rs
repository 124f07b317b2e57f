//! All measurements there are.

mod collisions;
mod connections;
mod cut_through;
mod flood;
mod flows;
mod growth;
mod inspect;
pub mod instructions;
#[cfg(feature = "dpdk")]
pub mod limit_a;
pub mod memory;
mod migration;
pub mod peers;
mod relay;
mod rules;
pub mod sharing;
mod workers;

use crate::suite::Measurement;

/// In the order in which they are taken.
pub const ALL: &[Measurement] = &[
    #[cfg(feature = "dpdk")]
    limit_a::MEASUREMENT,
    cut_through::MEASUREMENT,
    collisions::MEASUREMENT,
    instructions::MEASUREMENT,
    memory::MEASUREMENT,
    connections::MEASUREMENT,
    flood::MEASUREMENT,
    relay::MEASUREMENT,
    migration::MEASUREMENT,
    flows::MEASUREMENT,
    workers::MEASUREMENT,
    sharing::MEASUREMENT,
    rules::MEASUREMENT,
    inspect::MEASUREMENT,
    peers::MEASUREMENT,
];
