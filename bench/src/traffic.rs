//! What is sent: flows and their addresses, segments, and in which order flows have their turn.

use std::fmt;
use std::rc::Rc;

use dataplane::flow::quad::Quad;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{SackBlock, TcpOptions, Timestamps};

/// Ethernet's trailing checksum, which is on the wire and never in memory.
pub const FCS: usize = 4;
/// Ports of a client: a power of two, so that a flow's address and port are two shifts away from its number.
const PORT_BITS: u32 = 15;
const FIRST_PORT: u32 = 1024;

/// Of a measurement's flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

/// What segments have in them beside their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Options {
    None,
    Timestamps,
    /// Two blocks in every segment.
    Sack,
}

/// How often which flow has its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turns {
    /// Each flow once in a round, in random order.
    Uniform,
    /// The n-th most popular flow 1/n as often as the first.
    Zipf,
}

/// Which quads flows have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quads {
    /// Clients with as many ports each as there are.
    Usual,
    /// Clients with a port each, such that every client's address and port have the same sum: whoever adds up words, and has no
    /// key, has all flows in one bucket. At most [`COLLIDING`] flows.
    Colliding,
}

/// So many flows can have one sum: with each port a client.
pub const COLLIDING: u32 = 1 << PORT_BITS;

/// All of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traffic {
    pub flows: u32,
    pub quads: Quads,
    pub turns: Turns,
    pub family: Family,
    pub options: Options,
    /// Bytes of a frame on the wire, FCS included; at least what the headers take.
    pub wire: usize,
}

/// The client's address below its prefix, and its port, of flow `n`.
#[inline]
pub const fn client_of(n: u32) -> (u32, u16) {
    (1 + (n >> PORT_BITS), (FIRST_PORT + (n & ((1 << PORT_BITS) - 1))) as u16)
}

/// Which flow has a client of this address below its prefix, and of this port.
#[inline]
pub const fn flow_of((host, port): (u32, u16)) -> u32 {
    (host - 1) << PORT_BITS | (port as u32 - FIRST_PORT)
}

impl Family {
    /// Flow `n`: clients in 10.0.0.0/8 or 2001:db8::/96, one server.
    pub fn quad(self, n: u32) -> Quad {
        let (host, port) = client_of(n);
        let [a, b, c, d] = host.to_be_bytes();
        let ends = match self {
            Family::V4 => (([10 | a, b, c, d], port).into(), ([192, 168, 0, 1], 80).into()),
            Family::V6 => {
                let low = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
                let client = [0x2001, 0xdb8, 0, 0, 0, 0, low[0], low[1]];
                let server = [0x2001, 0xdb8, 1, 0, 0, 0, 0, 1];
                ((client, port).into(), (server, 80).into())
            }
        };
        Quad::between(ends.0, ends.1).expect("one family")
    }

    /// Bytes of an IP header.
    pub const fn header_len(self) -> usize {
        match self {
            Family::V4 => 20,
            Family::V6 => 40,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Turns::Uniform => "uniform",
            Turns::Zipf => "Zipf",
        })
    }
}

impl Options {
    fn of_a_segment(self) -> TcpOptions {
        match self {
            Options::None => TcpOptions::default(),
            Options::Timestamps => {
                TcpOptions { timestamps: Some(Timestamps { value: 7, echo: 8 }), ..TcpOptions::default() }
            }
            Options::Sack => {
                let block = |left| SackBlock { left: Seq(left), right: Seq(left + 1000) };
                TcpOptions { sack: [block(3000), block(9000)].into_iter().collect(), ..TcpOptions::default() }
            }
        }
    }
}

impl Traffic {
    /// The shortest frames, IPv4, no options.
    pub const fn shortest(flows: u32) -> Traffic {
        Traffic {
            flows,
            quads: Quads::Usual,
            turns: Turns::Uniform,
            family: Family::V4,
            options: Options::None,
            wire: 64,
        }
    }

    /// The number by which the `at`-th flow goes.
    pub const fn number(&self, at: u32) -> u32 {
        match self.quads {
            Quads::Usual => at,
            Quads::Colliding => at << PORT_BITS | (COLLIDING - 1 - at),
        }
    }

    /// A frame of flow 0 without FCS, checksums included: an ACK, and padding or payload up to its length.
    ///
    /// Every segment of a flow repeats the same numbers. The worker's way is the same as for one that goes on where the last has
    /// ended: neither leaps, and neither is beyond what the window allows.
    pub fn segment(&self, from_server: bool) -> Vec<u8> {
        self.segment_of(0, from_server)
    }

    /// The same of flow `n`.
    pub fn segment_of(&self, n: u32, from_server: bool) -> Vec<u8> {
        let quad = self.family.quad(n);
        let quad = if from_server { quad.reversed() } else { quad };
        let tcp = TcpRepr {
            seq: Seq(1),
            ack: Seq(1),
            flags: TcpFlags::ACK,
            window: 1000,
            options: self.options.of_a_segment(),
            ..TcpRepr::default()
        };
        let headers = 14 + self.family.header_len() + tcp.header_len();
        let frame = (self.wire - FCS).max(headers);
        // The shortest frames are acknowledgments and padded, longer ones are full of data.
        let payload = if self.wire <= 64 { 0 } else { frame - headers };
        let mut bytes = vec![0; frame];
        template(quad).build(&tcp, &vec![0x61; payload], &mut bytes).expect("the frame has room");
        bytes
    }

    /// Flow numbers, in turn.
    pub fn order(&self) -> Rc<[u32]> {
        let mut random = fastrand::Rng::with_seed(1);
        match self.turns {
            Turns::Uniform => {
                let mut order: Vec<u32> = (0..self.flows).map(|at| self.number(at)).collect();
                random.shuffle(&mut order);
                order.into()
            }
            Turns::Zipf => {
                let range = f64::from(self.flows).ln();
                let turns = (self.flows as usize).clamp(1 << 18, 1 << 22);
                (0..turns)
                    .map(|_| {
                        // The inverse of the distribution with exponent 1. Ranks are scattered, or popular flows would be neighbours.
                        let rank = (random.f64() * range).exp() as u64 - 1;
                        self.number((rank * 2_654_435_761 % u64::from(self.flows)) as u32)
                    })
                    .collect()
            }
        }
    }
}

/// From a client to the server, or back.
pub fn template(quad: Quad) -> FrameTemplate {
    FrameTemplate::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], &[], 64, quad)
}

/// A frame without payload: a SYN to begin a flow with, say.
pub fn frame(quad: Quad, tcp: &TcpRepr) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    let len = template(quad).build(tcp, &[], &mut bytes).expect("headers fit");
    bytes.truncate(len.max(60));
    bytes
}

/// A SYN without options, with sequence number 0.
pub fn bare_syn(quad: Quad) -> Vec<u8> {
    frame(quad, &TcpRepr { flags: TcpFlags::SYN, window: 1000, ..TcpRepr::default() })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn flows_have_quads_of_their_own() {
        for family in [Family::V4, Family::V6] {
            let quads: HashSet<Quad> = (0..200_000).map(|n| family.quad(n)).collect();
            assert_eq!(quads.len(), 200_000);
        }
    }

    #[test]
    fn colliding_flows_have_one_sum_and_quads_of_their_own() {
        let traffic = Traffic { quads: Quads::Colliding, ..Traffic::shortest(COLLIDING) };
        let clients: HashSet<_> = traffic.order().iter().map(|n| client_of(*n)).collect();
        assert_eq!(clients.len(), COLLIDING as usize);
        let sums: HashSet<u32> = clients.iter().map(|(host, port)| host + u32::from(*port)).collect();
        assert_eq!(sums.len(), 1);
    }

    #[test]
    fn a_flow_is_known_by_its_client() {
        for n in [0, 1, (1 << PORT_BITS) - 1, 1 << PORT_BITS, 10_000_000] {
            assert_eq!(flow_of(client_of(n)), n);
        }
    }

    #[test]
    fn frames_are_as_long_as_asked() {
        for (wire, len) in [(64, 60), (128, 124), (1518, 1514)] {
            let traffic = Traffic { wire, ..Traffic::shortest(1) };
            assert_eq!(traffic.segment(false).len(), len);
        }
        assert_eq!(Traffic { family: Family::V6, ..Traffic::shortest(1) }.segment(false).len(), 74);
    }

    #[test]
    fn every_flow_has_one_turn_a_round_or_as_many_as_it_is_popular() {
        let uniform = Traffic::shortest(1000).order();
        assert_eq!(uniform.iter().collect::<HashSet<_>>().len(), 1000);
        let zipf = Traffic { turns: Turns::Zipf, ..Traffic::shortest(1000) }.order();
        let turns = |flow| zipf.iter().filter(|turn| **turn == flow).count() as f64;
        let second = (2_654_435_761u64 % 1000) as u32;
        // ln 2 and ln 1.5, of all.
        assert!((turns(0) / turns(second) - 2f64.ln() / 1.5f64.ln()).abs() < 0.1);
    }
}
