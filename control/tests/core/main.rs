//! The control core alone: the tests play worker, client and server, event by event, and read what is ordered.
#![forbid(unsafe_code)]

mod accepted;
mod bounds;
mod change;
mod client_first;
mod copies;
mod crowd;
mod deciding;
mod ecn;
mod ending;
mod errors;
mod far;
mod figures;
mod handshake;
mod in_motion;
mod in_motion_clocks;
mod inspected;
mod keeper;
mod merging;
mod options;
mod ordering;
mod path;
mod promises;
mod puppet;
mod raw;
mod rig;
mod saturation;
mod script;
mod several;
mod split_corners;
mod splitting;
mod through;
mod tunnel;
mod urgent;
mod verdicts;
mod windows;
