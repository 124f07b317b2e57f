//! What a segment or a timer has brought about, for the caller to act upon.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of events; several can come from one segment.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Events(u16);

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Events {
            $($(#[$doc])* pub const $name: Events = Events(1 << $bit);)*

            const NAMES: &[(Events, &'static str)] = &[$((Events::$name, stringify!($name)),)*];
        }
    };
}

events! {
    /// The server's SYN-ACK has come and is kept until `confirm` (DESIGN section 4).
    ANSWERED = 0;
    /// The server has repeated the SYN-ACK that is kept.
    ANSWERED_AGAIN = 1;
    /// The client has repeated its SYN, with the same sequence number.
    SYN_AGAIN = 2;
    /// The handshake is complete: the client's ACK has validated it.
    ESTABLISHED = 3;
    /// More bytes can be read.
    READABLE = 4;
    /// The peer has acknowledged more: SND.UNA has moved and there is more send space.
    ACKED = 5;
    /// The peer's right edge or window field has changed.
    WINDOW = 6;
    /// The peer's FIN counts: all its data has been taken and can be read.
    PEER_FIN = 7;
    /// The peer has reset the connection.
    RESET = 8;
    /// The peer has answered our SYN with RST.
    REFUSED = 9;
    /// A SYN that this block does not own: another sequence number during the handshake, or a SYN of any number on a
    /// lingering or closed block, or a SYN against our SYN. Nothing has been done about it: the caller decides.
    NEW_SYN = 10;
    /// The server has answered our SYN with an ACK that is not a SYN-ACK. Nothing has been done about it.
    BARE_ACK_TO_SYN = 11;
    /// The block has reached `Closed`, whatever the reason; a reason that needs a name comes along.
    CLOSED = 12;
    /// The peer has not been heard for too long. Nothing is sent about it.
    GAVE_UP = 13;
    /// The peer has asked what only the receiver behind us can say: with data, whether the window that we have closed is open
    /// again; by a repetition, whether what the receiver was to acknowledge itself has come.
    ASKED_RECEIVER = 14;
    /// The peer has asked whether anybody is there (RFC 9293 section 3.8.4), and is answered: the question is for the
    /// other end too.
    KEPT_ALIVE = 15;
}

impl Events {
    /// No event.
    pub const NONE: Events = Events(0);

    /// All of `other` are in the set.
    pub const fn contains(self, other: Events) -> bool {
        self.0 & other.0 == other.0
    }

    /// At least one of `other` is in the set.
    pub const fn intersects(self, other: Events) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds `other`.
    pub const fn insert(&mut self, other: Events) {
        self.0 |= other.0;
    }

    /// There is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Events {
    type Output = Events;

    fn bitor(self, rhs: Events) -> Events {
        Events(self.0 | rhs.0)
    }
}

impl BitOrAssign for Events {
    fn bitor_assign(&mut self, rhs: Events) {
        self.insert(rhs);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, name) in Self::NAMES.iter().filter(|(event, _)| self.contains(*event)) {
            write!(f, "{separator}{name}")?;
            separator = "|";
        }
        if self.is_empty() { f.write_str("-") } else { Ok(()) }
    }
}
