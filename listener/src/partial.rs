//! A partial connection, as a program sees it, and what it can order about it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{SendFlags, send};
use zerocopy::IntoBytes;

use crate::wire::{self, Action, Offer, action, from, option, outcome, rejection, towards};

/// TCP options of a SYN or SYN-ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size, bytes.
    pub mss: Option<u16>,
    /// Window scale shift.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: bool,
    /// Any other.
    pub other: bool,
}

impl Options {
    fn read(set: u16, mss: u16, window_scale: u8) -> Self {
        let has = |option| set & option != 0;
        Options {
            mss: has(option::MSS).then_some(mss),
            window_scale: has(option::WINDOW_SCALE).then_some(window_scale),
            sack_permitted: has(option::SACK),
            timestamps: has(option::TIMESTAMPS),
            other: has(option::OTHER),
        }
    }
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// SYN-ACK.
    Accepted,
    /// RST.
    Refused,
    /// An ICMP or ICMPv6 error.
    Unreachable {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// Nothing, for as long as anybody waited.
    Silent,
}

impl Outcome {
    fn read(outcome: u8, kind: u8, code: u8) -> Option<Self> {
        match outcome {
            outcome::ACCEPTED => Some(Outcome::Accepted),
            outcome::REFUSED => Some(Outcome::Refused),
            outcome::UNREACHABLE => Some(Outcome::Unreachable { kind, code }),
            outcome::SILENT => Some(Outcome::Silent),
            _ => None,
        }
    }
}

/// An outcome of former times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// What it was.
    pub outcome: Outcome,
    /// How long ago.
    pub age: Duration,
}

impl Past {
    fn read(past: &wire::Past) -> Option<Self> {
        let outcome = Outcome::read(past.outcome, past.icmp_type, past.icmp_code)?;
        Some(Past { outcome, age: Duration::from_millis(past.age_ms.into()) })
    }
}

/// An ICMP error to refuse with, for a client of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// ICMP type and code (RFC 792).
    pub v4: (u8, u8),
    /// ICMPv6 type and code (RFC 4443).
    pub v6: (u8, u8),
    /// Who says so; the server's address unless given.
    pub from_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub from_v6: Option<Ipv6Addr>,
}

impl IcmpError {
    /// The host is unreachable: errno `EHOSTUNREACH` at the client.
    pub const HOST_UNREACHABLE: IcmpError =
        IcmpError { v4: (3, 1), v6: (1, 3), from_v4: None, from_v6: None };
    /// Administratively prohibited.
    pub const PROHIBITED: IcmpError = IcmpError { v4: (3, 13), v6: (1, 1), from_v4: None, from_v6: None };
}

/// Another way to a server than the SYN says. What is `None` is as the SYN says, and so is an address of the other family
/// than the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// The server.
    pub server: Option<SocketAddr>,
    /// The address that takes the place of the client's: one that comes back to the appliance. It answers for the
    /// addresses that its configuration names as `client`; others have to be routed to it. Of `server`'s family.
    pub client: Option<IpAddr>,
    /// Where frames go next.
    pub hop: NextHop,
}

/// Where frames to the server go next, as far as it is not where they would go anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NextHop {
    /// Destination MAC.
    pub mac: Option<[u8; 6]>,
    /// VLAN ids, outer and inner (the only one is the inner one); 0 for none.
    pub vlans: Option<[u16; 2]>,
    /// Index of the port that they leave by, in the order of the appliance's configuration.
    pub port: Option<u8>,
}

impl NextHop {
    fn write(&self, order: &mut Action) {
        if let Some(mac) = self.mac {
            (order.towards, order.next_mac) = (order.towards | towards::MAC, mac);
        }
        if let Some([outer, inner]) = self.vlans {
            order.towards |= towards::VLANS;
            (order.outer_vlan, order.inner_vlan) = (outer, inner);
        }
        if let Some(port) = self.port {
            (order.towards, order.next_port) = (order.towards | towards::PORT, port);
        }
    }
}

impl Target {
    fn write(&self, order: &mut Action) {
        if let Some(server) = self.server {
            order.towards |= towards::SERVER;
            (order.server, order.family) = octets(server.ip());
            order.server_port = server.port();
        }
        // Of two families only one can be the client's: that of the server.
        if let Some(client) =
            self.client.filter(|client| self.server.is_none_or(|s| s.is_ipv4() == client.is_ipv4()))
        {
            order.towards |= towards::CLIENT;
            (order.client, order.family) = octets(client);
        }
        self.hop.write(order);
    }
}

/// A connection whose client has been answered nothing. Each method that takes it orders what becomes of it; dropped, it
/// goes on being held until the appliance's deadline.
///
/// An order for one that is gone meanwhile is ignored: [`crate::Event::Gone`] is on its way.
#[derive(Debug)]
pub struct Partial {
    socket: Arc<OwnedFd>,
    offer: Box<Offer>,
}

impl Partial {
    pub(crate) fn new(socket: Arc<OwnedFd>, offer: Offer) -> Self {
        Partial { socket, offer: Box::new(offer) }
    }

    /// By this it is named in later events.
    pub fn id(&self) -> u64 {
        self.offer.id
    }

    /// The client's end.
    pub fn client(&self) -> SocketAddr {
        SocketAddr::new(address(self.offer.family, self.offer.client), self.offer.client_port)
    }

    /// Where the client wants to connect to.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(address(self.offer.family, self.offer.server), self.offer.server_port)
    }

    /// Index of the appliance's port pair.
    pub fn pair(&self) -> u8 {
        self.offer.pair
    }

    /// VLAN ids, outer and inner (the only one is the inner one); 0 for none.
    pub fn vlans(&self) -> [u16; 2] {
        [self.offer.outer_vlan, self.offer.inner_vlan]
    }

    /// The SYN's options.
    pub fn options(&self) -> Options {
        Options::read(self.offer.options, self.offer.mss, self.offer.window_scale)
    }

    /// The SYN verbatim, from the destination MAC on; of one with data no more than the first 256 bytes.
    pub fn syn(&self) -> &[u8] {
        &self.offer.syn[..usize::from(self.offer.syn_length)]
    }

    /// How long the appliance had held it when it sent the offer.
    pub fn age(&self) -> Duration {
        Duration::from_micros(self.offer.age_us.into())
    }

    /// How the server answered last, to whomever.
    pub fn server_history(&self) -> Option<Past> {
        Past::read(&self.offer.server_past)
    }

    /// How this client's last attempt to connect to anybody ended.
    pub fn client_history(&self) -> Option<Past> {
        Past::read(&self.offer.client_past)
    }

    /// The client hears nothing; nothing is remembered.
    pub fn drop_silently(self) -> Result<(), Unsent> {
        self.order(action::DROP, |_| {})
    }

    /// RST, as from a host where nobody listens.
    pub fn reject_with_reset(self) -> Result<(), Unsent> {
        self.order(action::REJECT, |_| {})
    }

    /// An ICMP error about the SYN. Types and codes that do not fit a SYN are the appliance's to refuse: it ends the
    /// connection of the program that orders them.
    pub fn reject_with(self, error: IcmpError) -> Result<(), Unsent> {
        self.order(action::REJECT, |order| {
            order.rejection = rejection::ICMP;
            (order.icmp4_type, order.icmp4_code) = error.v4;
            (order.icmp6_type, order.icmp6_code) = error.v6;
            if let Some(address) = error.from_v4 {
                order.from |= from::V4;
                order.from_v4 = address.octets();
            }
            if let Some(address) = error.from_v6 {
                order.from |= from::V6;
                order.from_v6 = address.octets();
            }
        })
    }

    /// The SYN goes on as it came, and the flow is never intercepted.
    pub fn bypass(self) -> Result<(), Unsent> {
        self.order(action::BYPASS, |_| {})
    }

    /// The SYN goes on as it came, and the flow is observed.
    pub fn monitor(self) -> Result<(), Unsent> {
        self.order(action::MONITOR, |_| {})
    }

    /// The server is asked, and the client hears what it says; then both are relayed as the module is configured.
    pub fn proxy(self) -> Result<(), Unsent> {
        self.order(action::PROXY, |_| {})
    }

    /// The same, but the answer is shown as [`crate::Event::Answered`] before the client hears of it; after `silence`
    /// (rounded up to milliseconds, at least one) silence is an answer.
    pub fn consult(self, silence: Duration) -> Result<(), Unsent> {
        self.order(action::PROXY, |order| order.consult_ms = millis(silence))
    }

    /// As [`Partial::proxy`], by another way. Addresses that no host can have end this program's connection.
    pub fn proxy_to(self, target: &Target) -> Result<(), Unsent> {
        self.order(action::PROXY, |order| target.write(order))
    }

    /// As [`Partial::consult`], by another way.
    pub fn consult_by(self, target: &Target, silence: Duration) -> Result<(), Unsent> {
        self.order(action::PROXY, |order| {
            target.write(order);
            order.consult_ms = millis(silence);
        })
    }

    /// The SYN goes on as it came, but by another next hop; so does all that follows, and the flow is never intercepted.
    pub fn forward(self, hop: &NextHop) -> Result<(), Unsent> {
        self.order(action::FORWARD, |order| hop.write(order))
    }

    /// The client gets a SYN-ACK; when it has completed the handshake, [`crate::Event::Stream`] brings the byte stream.
    /// A client that does not is [`crate::Event::Gone`] in the end.
    pub fn accept(self) -> Result<(), Unsent> {
        self.order(action::ACCEPT, |_| {})
    }

    fn order(self, action: u8, fill: impl FnOnce(&mut Action)) -> Result<(), Unsent> {
        let mut order = Action { id: self.offer.id, action, ..Action::new() };
        fill(&mut order);
        match retry_on_intr(|| send(&*self.socket, order.as_bytes(), SendFlags::NOSIGNAL)) {
            Ok(_) => Ok(()),
            Err(error) => Err(Unsent { partial: self, error: error.into() }),
        }
    }
}

/// An order that has not left; the connection is still the program's to decide.
///
/// [`ErrorKind::WouldBlock`](io::ErrorKind::WouldBlock): the listener does not block, and the appliance has not taken the
/// orders before it yet; to be tried again when its descriptor is writable. Anything else: the appliance has gone.
#[derive(Debug)]
pub struct Unsent {
    /// To be ordered about once more.
    pub partial: Partial,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the order about connection {} has not left: {}", self.partial.id(), self.error)
    }
}

impl std::error::Error for Unsent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Unsent> for io::Error {
    fn from(unsent: Unsent) -> io::Error {
        unsent.error
    }
}

/// A server has answered the connection of a program that asked to be consulted. What is ordered now takes its place.
#[derive(Debug)]
pub struct Answered {
    /// Whose it is; [`Partial::proxy`] lets the client hear the answer.
    pub partial: Partial,
    /// What the server or the network said.
    pub outcome: Outcome,
    /// The SYN-ACK's options; of no meaning for other outcomes.
    pub options: Options,
}

impl Answered {
    pub(crate) fn new(partial: Partial) -> Option<Self> {
        let answer = &partial.offer.answer;
        let outcome = Outcome::read(answer.outcome, answer.icmp_type, answer.icmp_code)?;
        let options = Options::read(answer.options, answer.mss, answer.window_scale);
        Some(Answered { partial, outcome, options })
    }
}

fn millis(silence: Duration) -> u32 {
    silence.as_nanos().div_ceil(1_000_000).clamp(1, u32::MAX.into()) as u32
}

/// As [`address`] reads it, and the family.
fn octets(address: IpAddr) -> ([u8; 16], u8) {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            (octets, 4)
        }
        IpAddr::V6(address) => (address.octets(), 6),
    }
}

fn address(family: u8, octets: [u8; 16]) -> IpAddr {
    match (family, octets) {
        (4, [a, b, c, d, ..]) => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(octets).into(),
    }
}
