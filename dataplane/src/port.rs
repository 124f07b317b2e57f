//! The port seam: where frames come from and go to, in bursts.

pub mod impaired;
pub mod sim;

use arrayvec::ArrayVec;

use crate::buffer::Buffer;

#[cfg(feature = "dpdk")]
pub mod dpdk;

/// Frames handled at once; DPDK's customary burst.
pub const BURST: usize = 32;

/// A fixed-capacity list of owned frames.
pub type Burst<B> = ArrayVec<B, BURST>;

/// Index of a port within the appliance, dense from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u8);

/// One RX/TX queue of one port, owned by one worker.
pub trait Port {
    /// The frames' type.
    type Buffer: Buffer;

    /// Appends what has arrived to `burst`, as far as there is room, and returns how many.
    fn receive(&mut self, burst: &mut Burst<Self::Buffer>) -> usize;

    /// Frames that the device has delivered and [`Port::receive`] could not hand out, since the start.
    fn unfit(&self) -> u64 {
        0
    }

    /// What an impaired cable has done to frames; every other port has none.
    fn impaired(&self) -> impaired::Tally {
        impaired::Tally::default()
    }

    /// Gives the frames at the front of `burst` to the device, in order, and returns how many it took.
    ///
    /// What the device refuses stays in `burst`, in order, and stays the caller's.
    fn transmit(&mut self, burst: &mut Burst<Self::Buffer>) -> usize;
}
