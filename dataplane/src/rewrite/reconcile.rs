//! A segment put into the terms of its receiver, where both ends were promised different things (DESIGN section 4,
//! client-first): the window shifted, TSval and TSecr moved, SACK blocks blanked for who does not know them.
//!
//! The window of a SYN is never scaled (RFC 7323 section 2.2) and stays as it is. As everywhere, the checksum moves by what
//! changed (RFC 1624), and a corrupt segment leaves as corrupt as it came.

use crate::flow::quad::Direction;
use crate::flow::terms::Promises;
use crate::packet::TcpHeaders;
use crate::wire::checksum::Update;
use crate::wire::tcp::{HEADER_LEN, TcpHeader};
use crate::wire::tcp_options::{Timestamps, blank_sack, edit_timestamps};

/// What lies between the promises of both ends, for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciliation {
    promises: Promises,
    direction: Direction,
    clocks: Clocks,
}

/// How far the timestamps of a direction are moved, modulo 2^32. What is added is the same as long as the connection is
/// there, so that a clock that never steps back never does on the other side (RFC 7323 section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clocks {
    /// Added to TSval: the receiver knows the sender's clock by that much ahead.
    pub own: u32,
    /// Subtracted from TSecr: so does the sender the receiver's.
    pub other: u32,
}

impl Clocks {
    /// Of `direction`; `ahead`: how far ahead of itself the client knows the server's clock. The server gets the client's as
    /// it is.
    pub const fn new(ahead: u32, direction: Direction) -> Clocks {
        match direction {
            Direction::ClientToServer => Clocks { own: 0, other: ahead },
            Direction::ServerToClient => Clocks { own: ahead, other: 0 },
        }
    }

    /// Timestamps as the receiver is to read them. Without ACK the echo says nothing (RFC 7323 section 3.2) and stays.
    pub const fn moved(self, ts: Timestamps, has_ack: bool) -> Timestamps {
        let echo = if has_ack { ts.echo.wrapping_sub(self.other) } else { ts.echo };
        Timestamps { value: ts.value.wrapping_add(self.own), echo }
    }

    /// What becomes these timestamps when it is [`Clocks::moved`].
    pub const fn moved_back(self, ts: Timestamps, has_ack: bool) -> Timestamps {
        let back = Clocks { own: self.own.wrapping_neg(), other: self.other.wrapping_neg() };
        back.moved(ts, has_ack)
    }

    const fn are_zero(self) -> bool {
        self.own == 0 && self.other == 0
    }
}

impl Reconciliation {
    /// Of what travels `direction`; `ahead`: how far ahead of itself the client knows the server's clock.
    pub const fn new(promises: Promises, ahead: u32, direction: Direction) -> Self {
        Reconciliation { promises, direction, clocks: Clocks::new(ahead, direction) }
    }

    /// The receiver has not been promised SACK, and the sender has.
    fn blanks_sack(self) -> bool {
        self.promises.of(self.direction).sack() && !self.promises.of(self.direction.reverse()).sack()
    }
}

/// Rewrites the segment at `headers` in `frame`; sequence numbers are `delta::apply`'s.
pub fn apply(frame: &mut [u8], headers: &TcpHeaders, reconciliation: Reconciliation) {
    let Some(segment) = frame.get_mut(usize::from(headers.l4)..usize::from(headers.payload)) else { return };
    let mut update = Update::NONE;
    if let Some(options) = segment.get_mut(HEADER_LEN..).filter(|options| !options.is_empty()) {
        let clocks = reconciliation.clocks;
        if !clocks.are_zero() {
            edit_timestamps(options, &mut update, |ts| clocks.moved(ts, headers.flags.ack()));
        }
        if reconciliation.blanks_sack() {
            blank_sack(options, &mut update);
        }
    }
    let Some(tcp) = TcpHeader::view_mut(segment) else { return };
    if !headers.flags.syn() {
        let Reconciliation { promises, direction, .. } = reconciliation;
        tcp.edit_window(promises.shown_field(direction, headers.window), &mut update);
    }
    tcp.update_checksum(update);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::quad::Quad;
    use crate::flow::terms::Terms;
    use crate::packet::is_tcp_checksum_valid;
    use crate::packet::tests::tcp as headers;
    use crate::wire::build::FrameTemplate;
    use crate::wire::seq::Seq;
    use crate::wire::tcp::TcpRepr;
    use crate::wire::tcp_flags::TcpFlags;
    use crate::wire::tcp_options::{SackBlock, kind};
    use proptest::prelude::*;

    fn template(v6: bool) -> FrameTemplate {
        let ends = if v6 { ("[fd00::1]:1", "[fd00::2]:2") } else { ("10.0.0.1:1", "10.0.0.2:2") };
        let quad = Quad::between(ends.0.parse().unwrap(), ends.1.parse().unwrap()).unwrap();
        FrameTemplate::new([1; 6], [2; 6], &[], 64, quad)
    }

    fn build(v6: bool, repr: &TcpRepr, payload: &[u8]) -> Vec<u8> {
        let mut frame = [0; 300];
        let len = template(v6).build(repr, payload, &mut frame).unwrap();
        frame[..len].to_vec()
    }

    fn terms() -> impl Strategy<Value = Terms> {
        (any::<Option<[u8; 2]>>(), any::<bool>())
            .prop_map(|(shifts, sack)| Terms::new(shifts.map(|s| s.map(|s| s % 15)), sack, true))
    }

    fn repr() -> impl Strategy<Value = TcpRepr> {
        let block = (any::<u32>(), any::<u32>()).prop_map(|(l, r)| SackBlock { left: Seq(l), right: Seq(r) });
        let blocks = prop::collection::vec(block, 0..4);
        let flags = prop::sample::select(vec![
            TcpFlags::ACK,
            TcpFlags::ACK | TcpFlags::PSH,
            TcpFlags::ACK | TcpFlags::FIN,
            TcpFlags::SYN | TcpFlags::ACK,
            TcpFlags::SYN,
            TcpFlags::RST,
        ]);
        (flags, any::<u16>(), any::<Option<(u32, u32)>>(), blocks).prop_map(
            |(flags, window, timestamps, blocks)| {
                let mut repr = TcpRepr { flags, window, seq: Seq(7), ack: Seq(9), ..TcpRepr::default() };
                repr.options.timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
                repr.options.sack = blocks.into_iter().take(3).collect();
                repr
            },
        )
    }

    /// What the receiver should read.
    fn expected(repr: &TcpRepr, promises: Promises, ahead: u32, direction: Direction) -> TcpRepr {
        let mut expected = repr.clone();
        if !repr.flags.syn() {
            expected.window = promises.shown_field(direction, repr.window);
        }
        if let Some(ts) = &mut expected.options.timestamps {
            match direction {
                Direction::ServerToClient => ts.value = ts.value.wrapping_add(ahead),
                Direction::ClientToServer if repr.flags.ack() => ts.echo = ts.echo.wrapping_sub(ahead),
                Direction::ClientToServer => {}
            }
        }
        if promises.of(direction).sack() && !promises.of(direction.reverse()).sack() {
            expected.options.sack.clear();
        }
        expected
    }

    proptest! {
        /// The receiver reads what it was promised to read, the checksum is right where it was and wrong where it was, and
        /// nothing but the named fields has changed.
        #[test]
        fn its_receiver_reads_what_it_was_promised(
            repr in repr(), client in terms(), server in terms(), ahead in any::<u32>(), to_client in any::<bool>(),
            v6 in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 1..80), corrupt in any::<bool>(),
        ) {
            let direction = if to_client { Direction::ServerToClient } else { Direction::ClientToServer };
            let promises = Promises::between(client, server);
            let mut frame = build(v6, &repr, &payload);
            let flip = frame.len() - 1;
            if corrupt { frame[flip] ^= 0x40; }
            let before = headers(&frame);
            apply(&mut frame, &before, Reconciliation::new(promises, ahead, direction));
            let after = headers(&frame);
            if corrupt {
                prop_assert!(!is_tcp_checksum_valid(&frame, &after));
                frame[flip] ^= 0x40;
            }
            prop_assert!(is_tcp_checksum_valid(&frame, &after));
            prop_assert_eq!((after.l4, after.payload, after.end), (before.l4, before.payload, before.end));
            let segment = &frame[usize::from(after.l4)..usize::from(after.end)];
            prop_assert_eq!(TcpRepr::parse(segment), Some(expected(&repr, promises, ahead, direction)));
            prop_assert_eq!(&frame[usize::from(after.payload)..], &payload[..]);
        }

        /// Whatever stands among the options: no panic, and the checksum moves by what was changed.
        #[test]
        fn options_of_any_kind_keep_the_checksum(
            raw in prop::collection::vec(prop_oneof![Just(kind::SACK), Just(kind::NOP), Just(kind::TIMESTAMPS),
                Just(10u8), Just(18u8), any::<u8>()], 40),
            ahead in any::<u32>(),
        ) {
            let mut repr = TcpRepr { flags: TcpFlags::ACK, window: 5, ..TcpRepr::default() };
            // Room for 40 bytes.
            repr.options.timestamps = Some(Timestamps { value: 0, echo: 0 });
            let block = SackBlock { left: Seq(0), right: Seq(0) };
            repr.options.sack.extend([block; 3]);
            let mut frame = build(false, &repr, b"x");
            let at = headers(&frame);
            let options = usize::from(at.l4) + HEADER_LEN..usize::from(at.payload);
            prop_assert_eq!(options.len(), 40);
            let mut update = Update::NONE;
            for (n, byte) in raw.iter().enumerate() {
                update.byte_at(n, frame[options.start + n], *byte);
                frame[options.start + n] = *byte;
            }
            TcpHeader::view_mut(&mut frame[usize::from(at.l4)..]).unwrap().update_checksum(update);
            prop_assert!(is_tcp_checksum_valid(&frame, &at));
            let (with, without) = (Terms::new(None, true, true), Terms::new(Some([1, 9]), false, true));
            let promises = Promises::between(with, without);
            apply(&mut frame, &at, Reconciliation::new(promises, ahead, Direction::ClientToServer));
            prop_assert!(is_tcp_checksum_valid(&frame, &at));
        }
    }

    /// A clock that runs on through its wrap, moved: never a step back.
    #[test]
    fn a_moved_clock_does_not_step_back() {
        for offset in [0, 1, 1 << 31, u32::MAX - 3, 0x9000_0000] {
            let clocks = Clocks::new(offset, Direction::ServerToClient);
            let read = |value| clocks.moved(Timestamps { value, echo: 0 }, true).value;
            for value in (u32::MAX - 10..=u32::MAX).chain(0..10).chain((1 << 31) - 5..(1 << 31) + 5) {
                let step = read(value.wrapping_add(1)).wrapping_sub(read(value));
                assert_eq!(step, 1, "from {value} with {offset}");
            }
        }
    }
}
