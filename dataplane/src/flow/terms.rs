//! What both ends have agreed on in their handshake, as far as somebody in the middle has to know it to split their
//! connection later (DESIGN section 6): the scaling of windows, which options are in force, and whether congestion is told of by
//! marks.

use crate::wire::tcp_flags::TcpFlags;
use crate::wire::tcp_options::TcpOptions;

use super::quad::Direction;

/// RFC 7323 section 2.3.
const MAX_SHIFT: u8 = 14;

/// What a SYN has that offers to be told of congestion by marks.
const ECN_SETUP: TcpFlags = TcpFlags(TcpFlags::ECE.0 | TcpFlags::CWR.0);

/// Two bytes of the connection object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// The window shift of each end, the client's in the lower half.
    shifts: u8,
    flags: u8,
}

impl Terms {
    /// Nothing is known: no handshake was seen.
    pub const UNKNOWN: Terms = Terms { shifts: 0, flags: 0 };

    const SACK: u8 = 1;
    const TIMESTAMPS: u8 = 2;
    const SCALING: u8 = 4;
    /// The client's SYN was seen: what it offers stands, nothing is in force.
    const OFFERED: u8 = 8;
    /// Both SYNs were seen.
    const COMPLETE: u8 = 16;
    /// RFC 3168 is in force.
    const ECN: u8 = 32;
    /// Segments have come in fragments.
    const FRAGMENTS: u8 = 64;

    /// In force since the handshake; `shifts` are those of client and server, and are taken to be at most 14.
    pub fn new(shifts: Option<[u8; 2]>, sack: bool, timestamps: bool) -> Terms {
        let mut terms = Terms { shifts: 0, flags: Terms::COMPLETE };
        terms.set(Terms::SACK, sack);
        terms.set(Terms::TIMESTAMPS, timestamps);
        terms.set(Terms::SCALING, shifts.is_some());
        if let Some(shifts) = shifts {
            Direction::BOTH.into_iter().for_each(|of| terms.set_shift(of, shifts[of.index()]));
        }
        terms
    }

    /// The same, and whether both ends have agreed to be told of congestion by marks (RFC 3168).
    pub fn with_ecn(mut self, agreed: bool) -> Terms {
        self.flags &= !Terms::ECN;
        self.set(Terms::ECN, agreed);
        self
    }

    /// What the client's SYN offers, by its flags and options. RFC 3168 section 6.1.1: ECE and CWR.
    pub fn offered(flags: TcpFlags, syn: &TcpOptions) -> Terms {
        let shifts = syn.window_scale.map(|shift| [shift, 0]);
        let terms = Terms::new(shifts, syn.sack_permitted, syn.timestamps.is_some());
        let mut terms = terms.with_ecn(flags & ECN_SETUP == ECN_SETUP);
        terms.flags ^= Terms::COMPLETE | Terms::OFFERED;
        terms
    }

    /// What is in force once the server has answered with this SYN-ACK. Without the client's SYN nothing is known.
    pub fn accepted(self, flags: TcpFlags, syn_ack: &TcpOptions) -> Terms {
        if self.flags & Terms::OFFERED == 0 {
            return Terms::UNKNOWN;
        }
        let scaling = syn_ack.window_scale.filter(|_| self.has(Terms::SCALING));
        let shifts = scaling.map(|shift| [self.shift(Direction::ClientToServer), shift]);
        let sack = self.has(Terms::SACK) && syn_ack.sack_permitted;
        // What only one SYN has offered is never sent (RFC 7323 section 3.2).
        let timestamps = self.has(Terms::TIMESTAMPS) && syn_ack.timestamps.is_some();
        // ECE alone; a SYN-ACK that has CWR as well is a reflection (RFC 3168 section 6.1.1).
        let ecn = self.has(Terms::ECN) && flags & ECN_SETUP == TcpFlags::ECE;
        Terms::new(shifts, sack, timestamps).with_ecn(ecn)
    }

    /// Both SYNs are known.
    #[inline]
    pub const fn are_known(self) -> bool {
        self.flags & Terms::COMPLETE != 0
    }

    /// By how much the window fields of `direction`'s sender are shifted.
    #[inline]
    pub const fn shift(self, direction: Direction) -> u8 {
        match direction {
            Direction::ClientToServer => self.shifts & 15,
            Direction::ServerToClient => self.shifts >> 4,
        }
    }

    /// Both ends scale their windows.
    pub const fn scaling(self) -> bool {
        self.has(Terms::SCALING)
    }

    /// SACK is permitted.
    pub const fn sack(self) -> bool {
        self.has(Terms::SACK)
    }

    /// Every segment carries timestamps.
    pub const fn timestamps(self) -> bool {
        self.has(Terms::TIMESTAMPS)
    }

    /// Both ends have agreed to be told of congestion by marks.
    pub const fn ecn(self) -> bool {
        self.has(Terms::ECN)
    }

    /// A segment has come in fragments.
    pub(crate) const fn note_fragments(&mut self) {
        self.flags |= Terms::FRAGMENTS;
    }

    /// Its segments come in fragments: nobody here could read them.
    pub const fn has_fragments(self) -> bool {
        self.has(Terms::FRAGMENTS)
    }

    const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.flags |= if on { flag } else { 0 };
    }

    fn set_shift(&mut self, of: Direction, shift: u8) {
        self.shifts |= shift.min(MAX_SHIFT) << (4 * of.index());
    }
}

/// What each end has agreed on with whom it takes for its peer. Both have agreed on the same, unless the appliance has
/// answered the client before it knew the server (DESIGN section 4, client-first): then what either says has to be put into
/// the terms of the other (`rewrite/reconcile.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promises {
    /// By the direction in which that end sends.
    ends: [Terms; 2],
}

impl Promises {
    /// No handshake was seen.
    pub const UNKNOWN: Promises = Promises::mirrored(Terms::UNKNOWN);

    /// The ends have agreed with each other.
    pub const fn mirrored(terms: Terms) -> Promises {
        Promises { ends: [terms; 2] }
    }

    /// Each has agreed with us.
    pub const fn between(client: Terms, server: Terms) -> Promises {
        Promises { ends: [client, server] }
    }

    /// What the end that sends in direction `end` has agreed on.
    #[inline]
    pub const fn of(self, end: Direction) -> Terms {
        self.ends[end.index()]
    }

    /// What is in force at both ends is known.
    #[inline]
    pub const fn are_known(self) -> bool {
        self.ends[0].are_known()
    }

    /// What the window fields of both ends mean, and what is in force at the client's.
    pub const fn meant(self) -> Terms {
        let [client, server] = self.ends;
        Terms { shifts: client.shifts & 15 | server.shifts & !15, flags: client.flags }
    }

    /// Its bytes, for [`Promises::from_bytes`].
    pub const fn to_bytes(self) -> [u8; 4] {
        let [client, server] = self.ends;
        [client.shifts, client.flags, server.shifts, server.flags]
    }

    /// What [`Promises::to_bytes`] was made of.
    pub const fn from_bytes([a, b, c, d]: [u8; 4]) -> Promises {
        Promises { ends: [Terms { shifts: a, flags: b }, Terms { shifts: c, flags: d }] }
    }

    /// Both ends have agreed on the same.
    pub fn agree(self) -> bool {
        self.ends[0] == self.ends[1]
    }

    /// The window field of `direction`'s sender as its receiver is to read it.
    ///
    /// Rounded down and clamped: never more than the sender has said. So what is less than the receiver's unit is shown as a
    /// window that is shut; it opens by the sender's next update, or by its answer to the receiver's probe. A window that
    /// rounding seems to take back by less than a unit is nothing new to a receiver (RFC 7323 section 2.4).
    #[inline]
    pub fn shown_field(self, direction: Direction, field: u16) -> u16 {
        let meant = self.of(direction).shift(direction);
        let read = self.of(direction.reverse()).shift(direction);
        (u32::from(field) << meant >> read).min(u16::MAX.into()) as u16
    }

    /// The same in bytes: the window that `direction`'s receiver is given.
    #[inline]
    pub fn shown_window(self, direction: Direction, field: u16) -> u32 {
        let read = self.of(direction.reverse()).shift(direction);
        u32::from(self.shown_field(direction, field)) << read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp_options::Timestamps;

    const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);

    fn options(window_scale: Option<u8>, sack_permitted: bool, timestamps: bool) -> TcpOptions {
        let timestamps = timestamps.then_some(Timestamps { value: 1, echo: 0 });
        TcpOptions { window_scale, sack_permitted, timestamps, ..TcpOptions::default() }
    }

    #[test]
    fn an_option_is_in_force_when_both_syns_carry_it() {
        let syn = Terms::offered(TcpFlags::SYN, &options(Some(7), true, true));
        assert!(!syn.are_known());
        let all = syn.accepted(SYN_ACK, &options(Some(20), true, true));
        assert_eq!(all, Terms::new(Some([7, 14]), true, true));
        assert_eq!(Direction::BOTH.map(|of| all.shift(of)), [7, 14]);
        let none = syn.accepted(SYN_ACK, &options(None, false, false));
        assert_eq!(none, Terms::new(None, false, false));
        assert_eq!(
            Direction::BOTH.map(|of| none.shift(of)),
            [0, 0],
            "windows are scaled both ways or not at all"
        );
        let unasked = Terms::offered(TcpFlags::SYN, &options(None, false, false));
        assert_eq!(unasked.accepted(SYN_ACK, &options(Some(7), true, true)), none);
    }

    /// RFC 3168 section 6.1.1.
    #[test]
    fn marks_are_in_force_when_both_syns_say_so() {
        let (ece, cwr) = (TcpFlags::ECE, TcpFlags::CWR);
        let agreed = |syn, syn_ack| {
            let none = TcpOptions::default();
            Terms::offered(TcpFlags::SYN | syn, &none).accepted(SYN_ACK | syn_ack, &none).ecn()
        };
        assert!(agreed(ece | cwr, ece));
        let others = [(ece | cwr, TcpFlags(0)), (ece | cwr, ece | cwr), (ece, ece), (TcpFlags(0), ece)];
        assert!(others.into_iter().all(|(syn, syn_ack)| !agreed(syn, syn_ack)));
    }

    #[test]
    fn without_the_clients_syn_nothing_is_known() {
        assert_eq!(Terms::UNKNOWN.accepted(SYN_ACK, &options(Some(7), true, true)), Terms::UNKNOWN);
    }

    /// Every field, between every two shifts: the receiver is never shown more than was meant, never less than it can be
    /// told, and nothing is shut that its unit can say.
    #[test]
    fn a_window_is_rounded_down_and_clamped() {
        let scaled = |shift| Terms::new(Some([shift, 3]), false, false);
        let fields = (0..200).chain((0..65_536).step_by(251)).chain([65_534, 65_535]);
        for ((meant, read), field) in (0..15)
            .flat_map(|meant| (0..15).map(move |read| (meant, read)))
            .flat_map(|shifts| fields.clone().map(move |field| (shifts, field as u16)))
        {
            let promises = Promises::between(scaled(meant), scaled(read));
            let real = u64::from(field) << meant;
            let most = u64::from(u16::MAX) << read;
            let shown = u64::from(promises.shown_window(Direction::ClientToServer, field));
            assert_eq!(shown, (real >> read << read).min(most), "{field} from {meant} to {read}");
            assert_eq!(promises.shown_field(Direction::ServerToClient, field), field, "the other way");
        }
    }

    #[test]
    fn without_scaling_a_field_says_bytes() {
        let promises =
            Promises::between(Terms::new(Some([2, 7]), true, false), Terms::new(None, true, false));
        // The server reads the client's fields as they are, and the client takes the server's for scaled.
        assert_eq!(promises.shown_field(Direction::ClientToServer, 1000), 4000);
        assert_eq!(promises.shown_field(Direction::ServerToClient, 1000), 7);
    }
}
