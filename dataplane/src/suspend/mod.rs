//! Holding SYNs (seed 000): what the worker keeps while nobody has been answered.

pub mod pending;
