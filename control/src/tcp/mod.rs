//! The TCP stack of one leg (RFC 9293): segments and time in, segments and events out.
//!
//! Sans-I/O: it knows nothing of frames, flows, modules or rings. A [`Block`] is one TCB. What comes in goes through
//! [`Block::on_segment`], what goes out comes from [`Block::poll`] (to be called until it says `None` after anything
//! else was called), and time passes through [`Block::deadline`] and [`Block::on_timer`].
//!
//! No segment, however malformed, makes the stack panic, and none makes a queue grow beyond its limit.

mod ack;
mod block;
mod boundary;
mod check;
mod chunk;
mod congestion;
mod dsack;
mod ecn;
mod emit;
mod events;
mod few;
mod handshake;
mod input;
mod keepalive;
mod limits;
mod output;
mod pacing;
mod path;
mod queue;
mod reassembly;
mod receive;
mod recovery;
mod rto;
mod segment;
mod state;
mod through;
mod timer;
mod timestamps;
mod view;
mod window;

#[cfg(test)]
mod tests;

pub use block::Block;
pub use boundary::Boundary;
pub use chunk::Chunk;
pub use congestion::Algorithm;
pub use events::Events;
pub use input::Stop;
pub use keepalive::Keepalive;
pub use limits::Limits;
pub use path::Family;
pub use segment::{Handshake, Payload, Segment, SegmentOut};
pub use state::State;
