//! The connection object: all that is left of two TCBs on the non-participating path (seed 001, FIG. 9).
//!
//! The hot line is what a packet touches. What is counted seldom, or shown only, stands on a second, colder line. An IPv6 flow
//! keeps its addresses in a side array of the table, at the same slot.

use crate::inspect::Searched;
use crate::wire::seq::{Delta, Seq};

use super::quad::{Direction, Segment, ports_word, v4_word};
use super::state::TcpState;
use super::terms::{Promises, Terms};
use super::traffic::{Ledger, Tally};

/// Which way a flow's packets take (DESIGN section 8: the `path` of `flows --json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Path {
    /// The slot is free.
    Free,
    /// SYN held by the control core, nobody answered; packets go up.
    Suspended,
    /// Both legs end in the control core's TCP stack; packets go up.
    Participating,
    /// Between participating and cut-through: packets are parked on the worker, in order, until the object is in.
    Parked,
    /// The connection object carries the flow. This and what follows is [`Path::CARRIED`].
    CutThrough,
    /// Passed unmodified and observed.
    Monitored,
    /// Passed unmodified.
    Bypassed,
}

impl Path {
    /// The bit of those that a worker carries alone.
    const CARRIED: u8 = 4;

    /// Its worker alone carries what comes.
    #[inline]
    pub const fn is_carried(self) -> bool {
        self as u8 & Path::CARRIED != 0
    }

    /// Name in the API. Parking is a moment of a merge, not a path of its own to an operator.
    pub const fn name(self) -> &'static str {
        match self {
            Path::Free => "free",
            Path::Suspended => "suspended",
            Path::Participating | Path::Parked => "participating",
            Path::CutThrough => "cut_through",
            Path::Monitored => "monitored",
            Path::Bypassed => "bypassed",
        }
    }
}

/// What has been seen of one direction, in its sender's own sequence space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Track {
    /// End of the highest sequence seen.
    pub end: Seq,
    /// Highest acknowledgment that this direction's sender has given, in the opposite sender's space.
    pub ack: Seq,
}

/// All that has to be known of an open connection to move it from one path to another (DESIGN sections 5 and 6), by
/// direction of its sender, in that sender's space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// What has been sent and acknowledged.
    pub track: [Track; 2],
    /// [`Object::edges`].
    pub edges: [Seq; 2],
    /// What each end was promised, and promises.
    pub promises: Promises,
    /// How far ahead of itself the client knows the server's timestamp clock, modulo 2^32. Not 0 where the appliance has
    /// spoken by a clock of its own before it knew the server's.
    pub clock: u32,
    /// [`Record::mss`].
    pub mss: [u16; 2],
    /// Observed state.
    pub tcp: TcpState,
    /// How far its bytes have been searched, up to [`View::track`]'s ends. None where they are not.
    pub searched: Option<Searched>,
}

impl Default for View {
    fn default() -> Self {
        View {
            track: Default::default(),
            edges: Default::default(),
            promises: Promises::UNKNOWN,
            clock: 0,
            mss: [0; 2],
            tcp: TcpState::Established,
            searched: None,
        }
    }
}

impl View {
    /// What the ends were promised differs, so that more than numbers has to be rewritten.
    pub fn is_reconciled(&self) -> bool {
        !self.promises.agree() || self.clock != 0
    }
}

/// What most flows are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits(u8);

impl Traits {
    /// An IPv4 flow like any other.
    pub const NONE: Traits = Traits(0);
    /// The addresses stand in the table's side array.
    pub const V6: Traits = Traits(1);
    /// The flow has a far side of its own, by the record's index (`flow/far.rs`).
    pub const FAR: Traits = Traits(2);
    /// What its ends were promised differs (`flow/table/differing.rs`): windows, SACK blocks and timestamps are put into the
    /// terms of their receiver.
    pub const RECONCILED: Traits = Traits(4);

    /// Its bytes are searched, by the record's inspection.
    pub const SEARCHED: Traits = Traits(8);
    /// An inspection has ended it: whatever comes is answered with RST.
    pub const CONDEMNED: Traits = Traits(16);
    /// What does not belong to its connection is dropped.
    pub const WATCHED: Traits = Traits(32);
    /// Its rule wants it split after so many bytes, and it has had fewer.
    pub const COUNTED: Traits = Traits(64);
    /// Its rule wanted it split, and it was.
    pub const RULE_HAS_SPLIT: Traits = Traits(128);
    /// What has to be looked at before it passes, in one way or another.
    pub const INSPECTED: Traits = Traits(Self::EXAMINED.0 | Self::COUNTED.0);
    /// What decides which way a segment goes, or what becomes of it.
    pub const UNUSUAL: Traits = Traits(!(Self::V6.0 | Self::RULE_HAS_SPLIT.0));
    /// What an inspection is about.
    pub const EXAMINED: Traits = Traits(Self::SEARCHED.0 | Self::CONDEMNED.0 | Self::WATCHED.0);

    /// Whether it is anything that `other` is.
    #[inline]
    pub const fn intersects(self, other: Traits) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is all that `other` is.
    #[inline]
    pub const fn has(self, other: Traits) -> bool {
        self.0 & other.0 == other.0
    }

    /// It is `other`, too, or is not.
    pub const fn set(&mut self, other: Traits, on: bool) {
        self.0 = if on { self.0 | other.0 } else { self.0 & !other.0 };
    }
}

/// The hot line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Object {
    /// IPv4 client and server address; unused for IPv6.
    pub v4: [[u8; 4]; 2],
    /// Client and server port, network order.
    pub ports: [u16; 2],
    /// Δ1: added to what the client sends, subtracted from what acknowledges it.
    pub delta_c2s: Delta,
    /// Δ2: added to what the server sends, subtracted from what acknowledges it.
    pub delta_s2c: Delta,
    /// Port pair and VLAN stack. This and the next four are compared at once ([`Object::as_usual`]).
    pub segment: Segment,
    /// Way of the packets.
    pub path: Path,
    /// Observed connection state.
    pub tcp: TcpState,
    /// What else there is to it.
    pub traits: Traits,
    /// Port on which the client's frames come in.
    pub client_side: u8,
    // The patents' core ends here: quad, deltas, state in 28 bytes.
    /// Milliseconds since start when a packet was last seen.
    pub last_seen: u32,
    /// Per direction, indexed by [`Direction::index`].
    pub track: [Track; 2],
    /// Per direction, the highest right edge that its receiver has ever given, in the sender's space. Means nothing
    /// without terms.
    pub edges: [Seq; 2],
    /// What the handshake has agreed on, as the sender of each direction means it.
    pub terms: Terms,
    /// The lower bits of what has been counted.
    pub tally: Tally,
}

/// No parked frame, no neighbour: the end of every index list.
pub const NONE: u32 = u32::MAX;

const _: () = {
    assert!(size_of::<Object>() == 64, "the object is one cache line");
    assert!(std::mem::offset_of!(Object, last_seen) <= 40, "the patents' core fits 40 bytes");
    assert!(Path::Parked as u8 & Path::CARRIED == 0 && Path::CutThrough as u8 & Path::CARRIED != 0);
    assert!(size_of::<Record>() <= 40, "object, record, timer and index take 128 bytes");
};

impl Object {
    /// A free slot.
    pub const FREE: Object = Object {
        v4: [[0; 4]; 2],
        ports: [0; 2],
        segment: Segment(0),
        delta_c2s: Delta::ZERO,
        delta_s2c: Delta::ZERO,
        path: Path::Free,
        tcp: TcpState::SynSent,
        traits: Traits::NONE,
        client_side: 0,
        last_seen: 0,
        track: [Track { end: Seq(0), ack: Seq(0) }; 2],
        edges: [Seq(0); 2],
        terms: Terms::UNKNOWN,
        tally: Tally::NONE,
    };

    /// What most flows are, in one word: on this segment, open, carried by their worker, of this family, nothing unusual, and with a
    /// client that is behind `client_side`.
    #[inline(always)]
    pub const fn usual(segment: Segment, is_v6: bool, client_side: u8) -> u64 {
        let traits = if is_v6 { Traits::V6 } else { Traits::NONE };
        word(segment, [Path::CARRIED, TcpState::Established as u8, traits.0, client_side])
    }

    /// The same of this one: eight bytes beside each other, for one comparison.
    #[inline(always)]
    pub const fn as_usual(&self) -> u64 {
        // The short cut rewrites by what the object says, whatever its path.
        let is_as_it_came = self.delta_c2s.is_zero() && self.delta_s2c.is_zero();
        debug_assert!(is_as_it_came || !matches!(self.path, Path::Monitored | Path::Bypassed));
        let any =
            word(Segment(u32::MAX), [Path::CARRIED, u8::MAX, Traits::UNUSUAL.0 | Traits::V6.0, u8::MAX]);
        word(self.segment, [self.path as u8, self.tcp as u8, self.traits.0, self.client_side]) & any
    }

    /// Its worker may drop what comes, for what an inspection says.
    #[inline]
    pub const fn is_examined(&self) -> bool {
        self.traits.intersects(Traits::EXAMINED) && self.path.is_carried()
    }

    /// Both IPv4 addresses, the client's in the lower half.
    #[inline(always)]
    pub const fn v4_word(&self) -> u64 {
        v4_word(self.v4[0], self.v4[1])
    }

    /// Both ports, as they stand in what the client sends.
    #[inline(always)]
    pub const fn ports_word(&self) -> u32 {
        ports_word(self.ports[0], self.ports[1])
    }

    /// Client and server port.
    pub const fn client_and_server_port(&self) -> (u16, u16) {
        (u16::from_be(self.ports[0]), u16::from_be(self.ports[1]))
    }

    /// The delta added to sequence numbers that travel in `direction`.
    pub const fn own_delta(&self, direction: Direction) -> Delta {
        match direction {
            Direction::ClientToServer => self.delta_c2s,
            Direction::ServerToClient => self.delta_s2c,
        }
    }

    /// The delta subtracted from acknowledgments that travel in `direction`.
    pub const fn other_delta(&self, direction: Direction) -> Delta {
        self.own_delta(direction.reverse())
    }
}

/// As they stand in an object.
#[inline(always)]
const fn word(segment: Segment, [path, tcp, traits, client_side]: [u8; 4]) -> u64 {
    let [a, b, c, d] = segment.0.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, path, tcp, traits, client_side])
}

/// The second line: what `flows` shows, and nearly no packet needs to be moved.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Record {
    /// Distinguishes successive flows in one slot.
    pub generation: u32,
    /// Milliseconds since start when the flow began.
    pub born: u32,
    /// The upper bits of what has been counted.
    pub ledger: Ledger,
    /// Index of the module it was offered to, or [`Record::NO_MODULE`].
    pub module: u16,
    /// Times split.
    pub splits: u16,
    /// Times merged.
    pub merges: u16,
    /// The largest segment that each direction's sender takes, as its SYN says; 0 where it says nothing or was not seen.
    pub mss: [u16; 2],
    /// Index of the inspection that its rule names, or [`Record::NO_INSPECTION`].
    pub inspection: u16,
    /// Index of what its rule goes on asking, or [`Record::NO_STANDING`].
    pub standing: u16,
}

impl Default for Record {
    fn default() -> Self {
        Record {
            generation: 0,
            born: 0,
            ledger: Ledger::default(),
            module: Record::NO_MODULE,
            splits: 0,
            merges: 0,
            mss: [0; 2],
            inspection: Record::NO_INSPECTION,
            standing: Record::NO_STANDING,
        }
    }
}

impl Record {
    /// The flow was offered to nobody.
    pub const NO_MODULE: u16 = u16::MAX;
    /// Its rule asks for none.
    pub const NO_INSPECTION: u16 = u16::MAX;
    /// Its rule goes on asking nothing.
    pub const NO_STANDING: u16 = u16::MAX;
}
