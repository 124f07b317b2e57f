//! A port that makes its frames inside of the receive call and takes them back inside of the transmit call: the
//! generator costs no third core, and its cost is in every contender's figure alike, so it can be measured alone and subtracted.
//!
//! A frame is one or two lines copied from a template, the client's address and port, and IPv4's checksum, which follows from
//! these: some twenty instructions. The turns are read from a list in order.

use std::rc::Rc;

use dataplane::port::{BURST, Burst, Port};

use crate::frame::{CAPACITY, Frame, Frames};
use crate::traffic::{Family, Traffic, client_of};
use crate::worker::{Counted, Source};

/// Two lines: headers with all options that are sent fit.
const TEMPLATE: usize = 128;

/// Yields segments of all flows in turn.
pub struct Generator {
    frames: Frames,
    template: [u8; TEMPLATE],
    len: usize,
    /// Headers, of which one line is enough.
    is_short: bool,
    stamp: Stamp,
    order: Rc<[u32]>,
    next: usize,
    /// Frames given to `transmit`.
    sent: u64,
    /// One frame to be received before anything else.
    inject: Option<Vec<u8>>,
    /// Whether segments are generated.
    running: bool,
}

/// Where flows differ.
struct Stamp {
    /// The last four bytes of the client's address, and its port: offsets in the frame.
    address: usize,
    port: usize,
    /// IPv4: the sum of the header without checksum and those bytes of the address.
    sum: Option<u32>,
}

impl Stamp {
    fn new(family: Family, from_server: bool, template: &mut [u8; TEMPLATE]) -> Stamp {
        let l3 = 14;
        let l4 = l3 + family.header_len();
        let (source_end, destination_end) = match family {
            Family::V4 => (l3 + 16, l3 + 20),
            Family::V6 => (l3 + 24, l3 + 40),
        };
        let (address, port) = if from_server { (destination_end - 4, l4 + 2) } else { (source_end - 4, l4) };
        let sum = (family == Family::V4).then(|| {
            template[address + 1..address + 4].fill(0);
            template[l3 + 10..l3 + 12].fill(0);
            template[l3..l4].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum()
        });
        Stamp { address, port, sum }
    }

    #[inline]
    fn apply(&self, n: u32, bytes: &mut [u8; TEMPLATE]) {
        let (host, port) = client_of(n);
        bytes[self.port..self.port + 2].copy_from_slice(&port.to_be_bytes());
        match self.sum {
            Some(sum) => {
                bytes[self.address + 1..self.address + 4].copy_from_slice(&host.to_be_bytes()[1..]);
                // RFC 1071: what is carried out of the sum is added again.
                let sum = sum + (host >> 16) + (host & 0xffff);
                let sum = (sum >> 16) + (sum & 0xffff);
                bytes[24..26].copy_from_slice(&(!((sum >> 16) + sum) as u16).to_be_bytes());
            }
            None => bytes[self.address..self.address + 4].copy_from_slice(&host.to_be_bytes()),
        }
    }
}

impl Generator {
    /// The client's side and the server's.
    pub fn pair(traffic: &Traffic) -> [Generator; 2] {
        let (frames, order) = (Frames::default(), traffic.order());
        [false, true]
            .map(|from_server| Generator::new(traffic, from_server, frames.clone(), Rc::clone(&order)))
    }

    fn new(traffic: &Traffic, from_server: bool, frames: Frames, order: Rc<[u32]>) -> Generator {
        let whole = traffic.segment(from_server);
        let mut template = [0; TEMPLATE];
        let headers = whole.len().min(TEMPLATE);
        template[..headers].copy_from_slice(&whole[..headers]);
        let stamp = Stamp::new(traffic.family, from_server, &mut template);
        Generator {
            frames,
            len: whole.len().min(CAPACITY),
            is_short: whole.len() <= 64,
            template,
            stamp,
            // Not both ends of a flow at once: an object is not to be in the cache because its other end has just had its turn.
            next: if from_server { order.len() / 2 } else { 0 },
            order,
            sent: 0,
            inject: None,
            running: false,
        }
    }

    #[inline]
    fn turn(&mut self) -> u32 {
        let n = self.order[self.next];
        self.next += 1;
        if self.next == self.order.len() {
            self.next = 0;
        }
        n
    }

    fn generate<const N: usize>(&mut self, burst: &mut Burst<Frame>) {
        let frames = self.frames.clone();
        frames.take_each(BURST - burst.len(), |mut frame| {
            let n = self.turn();
            self.stamp.apply(n, &mut self.template);
            let mut lines = [0; N];
            lines.copy_from_slice(&self.template[..N]);
            frame.begin(&lines, self.len);
            burst.push(frame);
        });
    }
}

impl Source for Generator {
    fn start(&mut self) {
        self.running = true;
    }

    fn inject(&mut self, frame: Vec<u8>) {
        self.inject = Some(frame);
    }
}

impl Counted for Generator {
    fn sent(&self) -> u64 {
        self.sent
    }
}

impl Port for Generator {
    type Buffer = Frame;

    fn receive(&mut self, burst: &mut Burst<Frame>) -> usize {
        if let Some(bytes) = self.inject.take() {
            burst.push(self.frames.copy_of(&bytes));
            return 1;
        }
        if !self.running {
            return 0;
        }
        let before = burst.len();
        match self.is_short {
            true => self.generate::<64>(burst),
            false => self.generate::<TEMPLATE>(burst),
        }
        burst.len() - before
    }

    fn transmit(&mut self, burst: &mut Burst<Frame>) -> usize {
        let n = burst.len();
        self.frames.give_back(burst.drain(..));
        self.sent += n as u64;
        n
    }
}

#[cfg(test)]
mod tests {
    use dataplane::buffer::Buffer;
    use dataplane::packet::{self, Packet};

    use super::*;
    use crate::traffic::Options;

    /// What is stamped is what the builder would have made.
    #[test]
    fn frames_are_sound_and_of_their_flows() {
        for family in [Family::V4, Family::V6] {
            for options in [Options::None, Options::Timestamps, Options::Sack] {
                let traffic = Traffic { family, options, ..Traffic::shortest(70_000) };
                for (side, mut port) in Generator::pair(&traffic).into_iter().enumerate() {
                    port.start();
                    let mut burst = Burst::new();
                    assert_eq!(port.receive(&mut burst), BURST);
                    let first = side * port.order.len() / 2;
                    for (frame, n) in burst.iter().zip(&port.order[first..]) {
                        let Ok(Packet::Tcp(headers)) = packet::parse(frame.bytes()) else {
                            panic!("{family:?} {options:?}: not TCP")
                        };
                        let quad = if side == 1 { headers.quad.reversed() } else { headers.quad };
                        assert_eq!(quad, family.quad(*n));
                        let header = &frame.bytes()[14..34];
                        let sum = dataplane::wire::checksum::Sum::of(header).checksum();
                        assert!(family == Family::V6 || sum == 0, "{family:?}: bad IP checksum");
                    }
                }
            }
        }
    }
}
