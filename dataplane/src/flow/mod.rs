//! What the worker remembers of a flow: its key, its connection object, its observed state, its timers.

pub mod expiry;
pub mod far;
pub mod hash;
pub mod object;
pub(crate) mod observe;
pub mod quad;
pub mod state;
pub mod table;
pub mod terms;
pub mod traffic;
