//! The messages between the appliance and a program, as they lie in memory: `listener/PROTOCOL.md` describes each field,
//! `listener/c/quadrille.h` has the same structures in C.
//!
//! One message is one datagram of a `SOCK_SEQPACKET` Unix socket: a fixed structure in host byte order, without padding
//! that is not a field. No input panics: what is not a message is an [`Invalid`].

mod check;

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Of this protocol. Either side ends the connection when the other one's differs.
pub const VERSION: u16 = 1;
/// What a hello begins with: "QUAD" on a big-endian machine.
pub const MAGIC: u32 = 0x5155_4144;
/// Bytes of a SYN that are shown; only one with data is longer.
pub const MAX_SYN: usize = 256;
/// Longest message, bytes.
pub const MAX_MESSAGE: usize = size_of::<Offer>();

/// What a message is.
pub mod kind {
    /// [`super::Hello`].
    pub const HELLO: u32 = 1;
    /// [`super::Offer`].
    pub const OFFER: u32 = 2;
    /// [`super::Offer`], its `answer` filled in: the same partial connection once more, of which the server has said what it
    /// will; the client has heard nothing yet.
    pub const ANSWER: u32 = 3;
    /// [`super::Gone`].
    pub const GONE: u32 = 4;
    /// [`super::Accepted`].
    pub const ACCEPTED: u32 = 5;
    /// [`super::Action`].
    pub const ACTION: u32 = 16;
}

/// What a program can order.
pub mod action {
    /// Silence; nothing is remembered.
    pub const DROP: u8 = 1;
    /// RST or an ICMP error.
    pub const REJECT: u8 = 2;
    /// The SYN leaves verbatim, and the flow is never intercepted.
    pub const BYPASS: u8 = 3;
    /// The SYN leaves verbatim, and the flow is observed.
    pub const MONITOR: u8 = 4;
    /// Connect to the server, then answer the client.
    pub const PROXY: u8 = 5;
    /// The program is the server.
    pub const ACCEPT: u8 = 6;
    /// The SYN leaves verbatim by another next hop, and the flow is never intercepted.
    pub const FORWARD: u8 = 7;
}

/// Which places of an action are given.
pub mod towards {
    /// `server` and `server_port`.
    pub const SERVER: u8 = 1;
    /// `client`.
    pub const CLIENT: u8 = 2;
    /// `next_mac`.
    pub const MAC: u8 = 4;
    /// `outer_vlan` and `inner_vlan`.
    pub const VLANS: u8 = 8;
    /// `next_port`.
    pub const PORT: u8 = 16;
    /// What a next hop is made up of.
    pub const HOP: u8 = MAC | VLANS | PORT;
}

/// How a connection is rejected.
pub mod rejection {
    /// RST.
    pub const RESET: u8 = 0;
    /// An ICMP or ICMPv6 error.
    pub const ICMP: u8 = 1;
}

/// Which addresses of an action's ICMP error are given.
pub mod from {
    /// `from_v4`.
    pub const V4: u8 = 1;
    /// `from_v6`.
    pub const V6: u8 = 2;
}

/// Which options a SYN or SYN-ACK carries.
pub mod option {
    /// Maximum segment size.
    pub const MSS: u16 = 1;
    /// Window scale.
    pub const WINDOW_SCALE: u16 = 2;
    /// SACK permitted.
    pub const SACK: u16 = 4;
    /// Timestamps.
    pub const TIMESTAMPS: u16 = 8;
    /// Any other.
    pub const OTHER: u16 = 16;
}

/// How an attempt to connect ended.
pub mod outcome {
    /// Nothing is known.
    pub const UNKNOWN: u8 = 0;
    /// SYN-ACK.
    pub const ACCEPTED: u8 = 1;
    /// RST.
    pub const REFUSED: u8 = 2;
    /// An ICMP or ICMPv6 error, whose type and code come along.
    pub const UNREACHABLE: u8 = 3;
    /// Nothing, for as long as anybody waited.
    pub const SILENT: u8 = 4;
}

/// Why a partial connection needs no action any more.
pub mod gone {
    /// The client has given up: RST, or ICMP; or it has never completed the handshake of an accepted connection.
    pub const CLIENT: u8 = 1;
    /// The client has begun another connection on the same quad.
    pub const RENEWED: u8 = 2;
    /// The program's time was up: the configured default has been applied.
    pub const OVERDUE: u8 = 3;
    /// It had to make room for others.
    pub const DISPLACED: u8 = 4;
    /// It is settled.
    pub const SETTLED: u8 = 5;
    /// It cannot be accepted: too many streams are open, or the appliance has no file descriptor left.
    pub const REFUSED: u8 = 6;
}

macro_rules! message {
    ($(#[$doc:meta])* $name:ident = $kind:expr; $($(#[$field_doc:meta])* $field:ident: $type:ty,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name {
            /// Which message this is.
            pub kind: u32,
            /// Bytes of the whole message.
            pub length: u32,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// One of zeros but for kind and length.
            pub fn new() -> Self {
                let mut message = <Self as zerocopy::FromZeros>::new_zeroed();
                (message.kind, message.length) = ($kind, size_of::<Self>() as u32);
                message
            }

            /// Reads one that has exactly this kind and length.
            fn read(bytes: &[u8]) -> Result<Self, Invalid> {
                let message = Self::read_from_bytes(bytes).map_err(|_| Invalid::Length)?;
                if message.length as usize != bytes.len() {
                    return Err(Invalid::Length);
                }
                Ok(message)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// What is known of former attempts to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Past {
    /// One of [`outcome`].
    pub outcome: u8,
    /// ICMP type, when unreachable.
    pub icmp_type: u8,
    /// ICMP code, when unreachable.
    pub icmp_code: u8,
    /// 0.
    pub reserved: u8,
    /// How long ago, milliseconds; 0xffffffff for that long or longer.
    pub age_ms: u32,
}

/// What a server said that the program wanted to be consulted about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Answer {
    /// One of [`outcome`].
    pub outcome: u8,
    /// ICMP type, when unreachable.
    pub icmp_type: u8,
    /// ICMP code, when unreachable.
    pub icmp_code: u8,
    /// Window scale, when the SYN-ACK has it.
    pub window_scale: u8,
    /// Set of [`option`]: those of the SYN-ACK.
    pub options: u16,
    /// MSS, bytes, when the SYN-ACK has it.
    pub mss: u16,
}

message! {
    /// The first message of either side: the program's, then the appliance's answer.
    Hello = kind::HELLO;
    /// [`MAGIC`].
    magic: u32,
    /// [`VERSION`].
    version: u16,
    /// 0.
    reserved: u16,
    /// Offers that all programs at this socket together may leave unanswered; 0 from a program.
    outstanding: u32,
    /// How long the appliance waits for an action, milliseconds; 0 from a program.
    deadline_ms: u32,
}

message! {
    /// A partial connection; as [`kind::ANSWER`] the one that the program wanted to be consulted about.
    Offer = kind::OFFER;
    /// By this it is named in all messages; never used again.
    id: u64,
    /// Client address, network order; IPv4 in the first four bytes, the others are 0.
    client: [u8; 16],
    /// Server address, the same way.
    server: [u8; 16],
    /// Client port, host order.
    client_port: u16,
    /// Server port, host order.
    server_port: u16,
    /// 4 or 6.
    family: u8,
    /// Index of the appliance's port pair.
    pair: u8,
    /// Outer of two VLAN ids; 0 for none.
    outer_vlan: u16,
    /// VLAN id next to the payload; 0 for none.
    inner_vlan: u16,
    /// Set of [`option`].
    options: u16,
    /// MSS, bytes, when the SYN has it.
    mss: u16,
    /// Window scale, when the SYN has it.
    window_scale: u8,
    /// 0.
    reserved: u8,
    /// TSval, when the SYN has it.
    timestamp: u32,
    /// How long the appliance had held the SYN when it sent this, microseconds.
    age_us: u32,
    /// How the server (address and port) answered last.
    server_past: Past,
    /// How this client's last attempt ended.
    client_past: Past,
    /// Zeros in an offer.
    answer: Answer,
    /// Bytes of `syn`.
    syn_length: u16,
    /// Bytes of the whole SYN; more than `syn_length` when its end is not shown.
    syn_whole: u16,
    /// 0.
    reserved_too: [u8; 4],
    /// The SYN verbatim, from the destination MAC on.
    syn: [u8; MAX_SYN],
}

message! {
    /// No action is expected any more, and none is heeded.
    Gone = kind::GONE;
    /// Of the offer.
    id: u64,
    /// One of [`gone`].
    why: u8,
    /// 0.
    reserved: [u8; 7],
}

message! {
    /// The client of an accepted connection has completed its handshake. The byte stream comes along as a file descriptor.
    Accepted = kind::ACCEPTED;
    /// Of the offer.
    id: u64,
}

message! {
    /// A program's order.
    Action = kind::ACTION;
    /// Of the offer.
    id: u64,
    /// One of [`action`].
    action: u8,
    /// With `REJECT`, one of [`rejection`].
    rejection: u8,
    /// With `REJECT` by ICMP, a set of [`from`].
    from: u8,
    /// 0.
    reserved: u8,
    /// With `REJECT` by ICMP: type for an IPv4 client.
    icmp4_type: u8,
    /// Code for an IPv4 client.
    icmp4_code: u8,
    /// Type for an IPv6 client.
    icmp6_type: u8,
    /// Code for an IPv6 client.
    icmp6_code: u8,
    /// With `PROXY`: the program wants to see the answer, and silence for so long is one, milliseconds; 0: it does not.
    consult_ms: u32,
    /// Who an ICMP error to an IPv4 client comes from.
    from_v4: [u8; 4],
    /// Who an ICMP error to an IPv6 client comes from.
    from_v6: [u8; 16],
    /// With `PROXY`: another server's address, in network order, of the client's family; IPv4 in the first four bytes.
    server: [u8; 16],
    /// With `PROXY`: the address that takes the place of the client's, in the same way.
    client: [u8; 16],
    /// With `PROXY` and `FORWARD`: destination MAC of frames to the server.
    next_mac: [u8; 6],
    /// Port of that server, host order.
    server_port: u16,
    /// With `PROXY` and `FORWARD`: outer VLAN id of frames to the server, 0 for none.
    outer_vlan: u16,
    /// The VLAN id next to the payload, 0 for none.
    inner_vlan: u16,
    /// Set of [`towards`].
    towards: u8,
    /// With `PROXY` and `FORWARD`: index of the port that they leave by, in the order of the appliance's configuration.
    next_port: u8,
    /// Of `server` and `client`, 4 or 6; 0 when neither is given.
    family: u8,
    /// 0.
    reserved_too: u8,
}

/// A message of the appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromAppliance {
    /// The second message.
    Hello(Hello),
    /// A partial connection.
    Offer(Offer),
    /// A server's answer.
    Answer(Offer),
    /// The end of a partial connection.
    Gone(Gone),
    /// The stream of an accepted one.
    Accepted(Accepted),
}

/// A message of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromProgram {
    /// The first message.
    Hello(Hello),
    /// An order.
    Action(Action),
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Its length is not that of its kind, or not the one that it says.
    Length,
    /// No such kind, from this side.
    Kind(u32),
    /// A hello that begins with something else.
    Magic(u32),
    /// Another version.
    Version(u16),
    /// No such action.
    Action(u8),
    /// No such rejection.
    Rejection(u8),
    /// A reserved field, or one that this action has no use for, is not 0.
    Reserved,
    /// Longer than any SYN.
    SynLength(u16),
    /// Neither 4 nor 6.
    Family(u8),
    /// No such outcome.
    Outcome(u8),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::Length => write!(f, "a message whose length is not that of its kind"),
            Invalid::Kind(kind) => write!(f, "a message of unknown kind {kind}"),
            Invalid::Magic(magic) => write!(f, "a hello that begins with {magic:#x}"),
            Invalid::Version(version) => write!(f, "protocol version {version}; this side speaks {VERSION}"),
            Invalid::Action(action) => write!(f, "an unknown action {action}"),
            Invalid::Rejection(rejection) => write!(f, "an unknown rejection {rejection}"),
            Invalid::Reserved => write!(f, "a field that has to be 0 and is not"),
            Invalid::SynLength(length) => write!(f, "a SYN of {length} bytes"),
            Invalid::Family(family) => write!(f, "address family {family}"),
            Invalid::Outcome(outcome) => write!(f, "an unknown outcome {outcome}"),
        }
    }
}

impl std::error::Error for Invalid {}

fn kind_of(bytes: &[u8]) -> Result<u32, Invalid> {
    let kind = bytes.first_chunk::<4>().ok_or(Invalid::Length)?;
    Ok(u32::from_ne_bytes(*kind))
}

impl FromAppliance {
    /// Reads one datagram.
    pub fn read(bytes: &[u8]) -> Result<FromAppliance, Invalid> {
        Ok(match kind_of(bytes)? {
            kind::HELLO => FromAppliance::Hello(Hello::read(bytes)?.checked()?),
            kind::OFFER => FromAppliance::Offer(Offer::read(bytes)?.checked()?),
            kind::ANSWER => FromAppliance::Answer(Offer::read(bytes)?.checked()?),
            kind::GONE => FromAppliance::Gone(Gone::read(bytes)?),
            kind::ACCEPTED => FromAppliance::Accepted(Accepted::read(bytes)?),
            other => return Err(Invalid::Kind(other)),
        })
    }
}

impl FromProgram {
    /// Reads one datagram.
    pub fn read(bytes: &[u8]) -> Result<FromProgram, Invalid> {
        Ok(match kind_of(bytes)? {
            kind::HELLO => FromProgram::Hello(Hello::read(bytes)?.checked()?),
            kind::ACTION => FromProgram::Action(Action::read(bytes)?.checked()?),
            other => return Err(Invalid::Kind(other)),
        })
    }
}
