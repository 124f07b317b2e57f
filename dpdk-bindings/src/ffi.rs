//! What bindgen made of libdpdk's headers and of `shim.h`; `build.rs` has the list.
#![allow(
    dead_code,
    non_camel_case_types,
    reason = "C's own names, and the types that come along with what is listed"
)]
#![allow(
    clippy::allow_attributes_without_reason,
    clippy::ptr_offset_with_cast,
    clippy::undocumented_unsafe_blocks,
    clippy::unnecessary_cast,
    clippy::useless_transmute,
    reason = "bindgen's tests of layouts, and accessors of bit fields that are the same for every type of field"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
