//! Delayed listeners (seed 000: "an extension to a socket API"): a program decides about connections while their clients
//! have heard nothing yet, and is the server of those that it accepts.
//!
//! ```no_run
//! use quadrille_listener::{Event, Listener};
//!
//! fn decide() -> std::io::Result<()> {
//!     let mut listener = Listener::connect("/run/quadrille-filter.sock")?;
//!     loop {
//!         match listener.next()? {
//!             Event::Partial(partial) if partial.server().port() == 23 => partial.reject_with_reset()?,
//!             Event::Partial(partial) => partial.proxy()?,
//!             _ => {}
//!         }
//!     }
//! }
//! ```
//!
//! `listener/README.md` says how the appliance is configured for it.
#![forbid(unsafe_code)]

mod listener;
mod partial;
mod stream;
pub mod wire;

#[cfg(test)]
mod tests;

pub use listener::{Event, Listener, NoLonger, Why};
pub use partial::{Answered, IcmpError, NextHop, Options, Outcome, Partial, Past, Target, Unsent};
pub use stream::Stream;
