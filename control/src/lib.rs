//! Control core: TCP stack, modules, policy, management.
#![forbid(unsafe_code)]

pub mod tcp;
