//! From configured rules to the snapshot that workers consult, at start and when the configuration is read again.

pub mod compile;
mod differences;
mod modules;
pub mod reload;
#[cfg(test)]
mod tests;
