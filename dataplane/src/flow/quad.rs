//! The quad, and the flow key: quad + segment (DESIGN section 1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Which of the two directions of a flow a packet travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client → server.
    ClientToServer,
    /// Server → client.
    ServerToClient,
}

impl Direction {
    /// The opposite one.
    pub const fn reverse(self) -> Direction {
        match self {
            Direction::ClientToServer => Direction::ServerToClient,
            Direction::ServerToClient => Direction::ClientToServer,
        }
    }

    /// Both, in the order of [`Direction::index`].
    pub const BOTH: [Direction; 2] = [Direction::ClientToServer, Direction::ServerToClient];

    /// 0 for client → server, 1 for server → client: an index into per-direction pairs.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The two addresses of a packet (source, destination) or of a flow (client, server), network byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// Source (client) and destination (server).
    V4([u8; 4], [u8; 4]),
    /// Source (client) and destination (server).
    V6([u8; 16], [u8; 16]),
}

impl Addresses {
    /// Source (client).
    pub fn source(&self) -> IpAddr {
        match *self {
            Addresses::V4(source, _) => source.into(),
            Addresses::V6(source, _) => source.into(),
        }
    }

    /// Destination (server).
    pub fn destination(&self) -> IpAddr {
        match *self {
            Addresses::V4(_, destination) => destination.into(),
            Addresses::V6(_, destination) => destination.into(),
        }
    }

    /// The same pair seen from the other end.
    pub const fn reversed(self) -> Addresses {
        match self {
            Addresses::V4(a, b) => Addresses::V4(b, a),
            Addresses::V6(a, b) => Addresses::V6(b, a),
        }
    }

    /// IPv6 addresses.
    #[inline]
    pub const fn is_v6(&self) -> bool {
        matches!(self, Addresses::V6(..))
    }

    /// Source and destination are the same address.
    pub fn is_loop(&self) -> bool {
        match self {
            Addresses::V4(a, b) => a == b,
            Addresses::V6(a, b) => a == b,
        }
    }
}

impl fmt::Debug for Addresses {
    /// `10.0.0.1 -> 10.0.0.2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source(), self.destination())
    }
}

/// A packet's quad is written source → destination, a flow's always client → server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quad {
    /// Both addresses; one family.
    pub addresses: Addresses,
    /// Source (client) port, host order.
    pub client_port: u16,
    /// Destination (server) port, host order.
    pub server_port: u16,
}

/// Two IPv4 addresses in one word, the first one in its lower half.
#[inline(always)]
pub const fn v4_word(source: [u8; 4], destination: [u8; 4]) -> u64 {
    u32::from_ne_bytes(source) as u64 | (u32::from_ne_bytes(destination) as u64) << 32
}

/// Two ports in network order, in one word, the first one in its lower half.
#[inline(always)]
pub const fn ports_word(source: u16, destination: u16) -> u32 {
    source as u32 | (destination as u32) << 16
}

impl Quad {
    /// Both ports in one word, in network order: no port is turned on its way from a segment to a comparison.
    #[inline(always)]
    pub const fn ports_word(&self) -> u32 {
        ports_word(self.client_port.to_be(), self.server_port.to_be())
    }

    /// From two endpoints; `None` when their families differ.
    pub fn between(client: SocketAddr, server: SocketAddr) -> Option<Quad> {
        let addresses = match (client.ip(), server.ip()) {
            (IpAddr::V4(c), IpAddr::V4(s)) => Addresses::V4(c.octets(), s.octets()),
            (IpAddr::V6(c), IpAddr::V6(s)) => Addresses::V6(c.octets(), s.octets()),
            _ => return None,
        };
        Some(Quad { addresses, client_port: client.port(), server_port: server.port() })
    }

    /// Client (source) endpoint.
    pub fn client(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.source(), self.client_port)
    }

    /// Server (destination) endpoint.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.destination(), self.server_port)
    }

    /// The same flow seen from the other end.
    pub const fn reversed(self) -> Quad {
        Quad {
            addresses: self.addresses.reversed(),
            client_port: self.server_port,
            server_port: self.client_port,
        }
    }
}

impl fmt::Display for Quad {
    /// `client -> server`, e.g. `10.0.0.1:4711 -> 10.0.0.2:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.client(), self.server())
    }
}

impl fmt::Debug for Quad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where on the wire a flow lives: port pair and VLAN stack in 32 bits; 0 for the first pair without tags.
///
/// Bits 31–24 port pair, 23–12 outer VLAN id, 11–0 inner VLAN id (the only id of a singly tagged frame is the inner
/// one). A priority tag (VLAN id 0) counts as no tag for the key; the frame keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Segment(pub u32);

impl Segment {
    /// Segment of a port pair and a VLAN stack (12-bit ids, 0 for none).
    pub const fn new(pair: u8, outer: u16, inner: u16) -> Segment {
        Segment((pair as u32) << 24 | ((outer & 0xfff) as u32) << 12 | (inner & 0xfff) as u32)
    }

    /// The same tags on another pair.
    #[inline]
    pub const fn of_pair(self, pair: u8) -> Segment {
        Segment(self.vlans().0 | (pair as u32) << 24)
    }

    /// The same tags on the first pair.
    pub const fn vlans(self) -> Segment {
        Segment(self.0 & 0x00ff_ffff)
    }

    /// Index of the port pair.
    pub const fn pair(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// Id of the tag next to the payload; 0 for none.
    pub const fn inner_vlan(self) -> u16 {
        (self.0 & 0xfff) as u16
    }

    /// Id of the outer tag of a doubly tagged frame; 0 for none.
    pub const fn outer_vlan(self) -> u16 {
        (self.0 >> 12 & 0xfff) as u16
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pair {} vlan {}.{}", self.pair(), self.outer_vlan(), self.inner_vlan())
    }
}

/// What a flow is looked up by; for a packet, its own quad and segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Client → server.
    pub quad: Quad,
    /// Port pair and VLAN stack.
    pub segment: Segment,
}
