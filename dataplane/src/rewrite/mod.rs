//! Carrying a segment over from one leg's sequence space to the other's (seed 001, FIG. 7 and 8), and from one side's
//! addresses to the other's, and from what one end was promised to what the other was.

pub mod delta;
pub mod icmp;
pub mod options;
pub mod reconcile;
pub mod translate;
