//! Control core: TCP stack, modules, policy, management.
#![forbid(unsafe_code)]

pub mod api;
pub mod cli;
pub mod config;
pub mod policy;
pub mod lab;
