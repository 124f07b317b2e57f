//! What the worker remembers of a flow: its key, its connection object, its observed state, its timers.

pub mod quad;
