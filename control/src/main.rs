//! The `quadrille` binary.

fn main() {}
