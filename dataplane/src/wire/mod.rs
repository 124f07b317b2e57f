//! Checked, zero-copy views of wire formats, and the small owned values that tests and control use.
//!
//! No input panics: every view is built by a function that checks lengths once; accessors cannot fail afterwards.
//!
//! Headers are structs over the bytes themselves (zerocopy), fields in network order; `view` checks the length and
//! nothing else. A `Repr` is the same header as a value and knows how to write itself.

pub mod accept;
pub mod build;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod icmp_error;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod reset;
pub mod seq;
pub mod tcp;
pub mod tcp_flags;
pub mod tcp_options;
pub mod vlan;
