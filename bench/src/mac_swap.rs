//! The least that a forwarder can do: receive, swap the MAC addresses, transmit.

use dataplane::buffer::Buffer;
use dataplane::port::{Burst, Port};
use dataplane::wire::ethernet::EthernetHeader;

use crate::Contender;
use crate::generator::{Frames, Generator};

/// The contender.
pub struct MacSwap {
    ports: [Generator; 2],
}

impl MacSwap {
    /// Over frames of `flows` flows.
    pub fn new(flows: u32) -> MacSwap {
        let frames = Frames::default();
        let mut ports = [false, true].map(|from_server| Generator::new(flows, from_server, frames.clone()));
        ports.iter_mut().for_each(|port| port.running = true);
        MacSwap { ports }
    }
}

impl Contender for MacSwap {
    fn round(&mut self) -> usize {
        let mut moved = 0;
        for side in 0..2 {
            let mut burst = Burst::new();
            moved += self.ports[side].receive(&mut burst);
            for frame in &mut burst {
                if let Some(header) = EthernetHeader::view_mut(frame.bytes_mut()) {
                    header.swap_addresses();
                }
            }
            self.ports[1 - side].transmit(&mut burst);
        }
        moved
    }
}
