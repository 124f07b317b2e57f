//! The non-participating path of Quadrille: everything a poll-mode worker does with a frame.
//!
//! The crate is generic over [`port::Port`], [`buffer::Buffer`] and takes time as an argument, so that the same
//! worker runs on DPDK ports (feature `dpdk`), and on simulated ports inside a deterministic world.
#![deny(unsafe_code)]

pub mod budget;
pub mod buffer;
pub mod clock;
pub mod cookie;
pub mod counters;
pub mod flow;
pub mod inspect;
pub mod memory;
pub mod packet;
pub mod policy;
pub mod port;
pub mod refusal;
pub mod rewrite;
mod siphash;
pub mod wire;
pub mod worker;
