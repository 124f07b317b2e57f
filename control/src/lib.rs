//! Control core: TCP stack, modules, policy, management.
#![forbid(unsafe_code)]

pub mod api;
#[cfg(feature = "dpdk")]
pub mod appliance;
pub mod cli;
pub mod config;
pub mod connection;
pub mod core;
pub mod demo;
pub mod lab;
pub mod module;
pub mod policy;
pub mod programs;
pub mod suspended;
pub mod tcp;
