//! The rewriting arithmetic at every wrap edge, exhaustively over reduced widths, against exact integers.
//!
//! Nothing is mirrored or made generic for it: the code under test is the one that runs. A byte shifted up by 24 bits is a
//! sequence number, and sums, differences and their signs are those of a byte: Z/2^8 lies in Z/2^32. A digit repeated four
//! times (`0x1111` times it) is a 16-bit word, and its ones-complement sum is that of four bits: 15 divides 0xffff by
//! 0x1111, and both of either's zeros are there. What is true of all bytes and all digits is so of every edge that they have.
//! Lower bits are added around each of them, so that carries reach up too.
#![forbid(unsafe_code)]

use dataplane::flow::quad::Quad;
use dataplane::packet::{Packet, TcpHeaders, is_tcp_checksum_valid, parse};
use dataplane::rewrite::delta::{Deltas, apply};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::checksum::{Sum, Update};
use dataplane::wire::seq::{Delta, Seq};
use dataplane::wire::tcp::{TcpHeader, TcpRepr};
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::SackBlock;

/// One more than the highest number.
const WHOLE: u64 = 1 << 32;
const HALF: u64 = 1 << 31;

/// All numbers of the reduced width.
fn all() -> impl Iterator<Item = u32> + Clone {
    (0..=u8::MAX).map(|byte| u32::from(byte) << 24)
}

/// What can be around one of them.
const AROUND: [u32; 5] = [0, 1, u32::MAX, 0x7f_ffff, 0xffff_0000];

/// How far `to` is after `from`, going up: exact.
fn up(from: u32, to: u32) -> u64 {
    (WHOLE + u64::from(to) - u64::from(from)) % WHOLE
}

#[test]
fn order_is_that_of_the_shorter_way_round() {
    for from in all() {
        for to in all().flat_map(|to| AROUND.map(|d| to.wrapping_add(d))) {
            let (a, b, way) = (Seq(from), Seq(to), up(from, to));
            assert_eq!((a == b, b.0), (way == 0, to));
            // Exactly half of all numbers apart each is before the other: nothing compares such numbers.
            assert_eq!((a.lt(b), a.gt(b)), ((1..=HALF).contains(&way), way >= HALF), "{a:?} {b:?}");
            assert_eq!((a.le(b), a.ge(b)), (way < HALF, way == 0 || way > HALF), "{a:?} {b:?}");
            assert_eq!(a.distance_to(b), if way < HALF { way as u32 } else { 0 }, "{a:?} {b:?}");
            if way != HALF {
                let (early, late) = if way < HALF { (a, b) } else { (b, a) };
                assert_eq!((a.min(b), a.max(b)), (early, late));
                assert_eq!((b.min(a), b.max(a)), (early, late));
            }
            assert_eq!((a.advance(way as u32), b.retreat(way as u32)), (b, a));
            let delta = Delta::between(b, a);
            assert_eq!((a.plus(delta), b.minus(delta), delta.is_zero()), (b, a, way == 0));
        }
    }
}

#[test]
fn windows_are_half_open_wherever_they_begin() {
    for start in all() {
        for len in all() {
            for at in all() {
                for d in [0, u32::MAX] {
                    let at = at.wrapping_add(d);
                    let expected = up(start, at) < u64::from(len);
                    assert_eq!(Seq(at).in_window(Seq(start), len), expected, "{at} in {start} + {len}");
                }
            }
        }
    }
}

/// What one end compares it compares as the other does: order, distances and windows are the same on both legs.
#[test]
fn a_delta_changes_no_order() {
    for delta in all().map(|delta| Delta(delta as i32)) {
        for a in all().map(Seq) {
            for b in all().map(Seq) {
                let (moved_a, moved_b) = (a.plus(delta), b.plus(delta));
                assert_eq!(moved_a.lt(moved_b), a.lt(b));
                assert_eq!(moved_a.distance_to(moved_b), a.distance_to(b));
                assert_eq!(moved_a.in_window(moved_b, 5 << 24), a.in_window(b, 5 << 24));
            }
        }
    }
}

/// An exchange: a segment as its sender means it.
fn frame(seq: u32, ack: u32, sack: bool) -> Vec<u8> {
    let quad = Quad::between("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()).unwrap();
    let mut repr = TcpRepr { seq: Seq(seq), ack: Seq(ack), flags: TcpFlags::ACK, ..TcpRepr::default() };
    if sack {
        let (left, right) = (Seq(ack).advance(1), Seq(ack).advance(1 << 24));
        repr.options.sack = [SackBlock { left, right }].into_iter().collect();
    }
    let mut bytes = vec![0; 120];
    let len = FrameTemplate::new([1; 6], [2; 6], &[], 64, quad).build(&repr, &[7], &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

fn headers(frame: &[u8]) -> TcpHeaders {
    match parse(frame) {
        Ok(Packet::Tcp(headers)) => headers,
        other => panic!("not a segment: {other:?}"),
    }
}

/// `own` added to the sequence number, `other` subtracted from what acknowledges, in exact integers; a sound checksum stays
/// sound; and what comes back to the sender, by the same object the other way, is what the sender means.
fn check_rewrite(seq: u32, own: u32, ack: u32, other: u32, sack: bool) {
    let mut moved = frame(seq, ack, sack);
    let deltas = Deltas { own: Delta(own as i32), other: Delta(other as i32) };
    let before = headers(&moved);
    apply(&mut moved, &before, deltas);
    let after = headers(&moved);
    let expected_seq = (u64::from(seq) + u64::from(own)) % WHOLE;
    let expected_ack = (WHOLE + u64::from(ack) - u64::from(other)) % WHOLE;
    let what = || format!("seq {seq} + {own}, ack {ack} - {other}");
    assert_eq!((u64::from(after.seq.0), u64::from(after.ack.0)), (expected_seq, expected_ack), "{}", what());
    assert!(is_tcp_checksum_valid(&moved, &after), "{}", what());
    assert_eq!(moved, frame(expected_seq as u32, expected_ack as u32, sack), "{}", what());
    // The receiver acknowledges the number that it has seen; its own bytes were acknowledged where it counts them.
    let mut answer = frame(expected_ack as u32, expected_seq as u32, false);
    let seen = headers(&answer);
    apply(&mut answer, &seen, Deltas { own: deltas.other, other: deltas.own });
    let heard = headers(&answer);
    assert_eq!((heard.ack.0, heard.seq.0), (seq, ack), "{}", what());
}

/// Numbers beside which something carries or turns its sign.
const EDGES: [u32; 7] = [0, 1, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX];

#[test]
fn every_sequence_number_by_every_delta() {
    for (at, seq) in all().enumerate() {
        for own in all() {
            let edge = EDGES[at % EDGES.len()];
            check_rewrite(seq, own, edge, edge, false);
            check_rewrite(seq.wrapping_sub(1), own.wrapping_add(1), !edge, 1, false);
        }
    }
}

#[test]
fn every_acknowledgment_by_every_delta() {
    for (at, ack) in all().enumerate() {
        for other in all() {
            let edge = EDGES[at % EDGES.len()];
            check_rewrite(edge, edge, ack, other, true);
            check_rewrite(!edge, 1, ack.wrapping_sub(1), other.wrapping_add(1), true);
        }
    }
}

#[test]
fn every_edge_by_every_edge() {
    for [seq, own] in EDGES.iter().flat_map(|seq| EDGES.map(|own| [*seq, own])) {
        for [ack, other] in EDGES.iter().flat_map(|ack| EDGES.map(|other| [*ack, other])) {
            check_rewrite(seq, own, ack, other, other % 2 == 0);
        }
    }
}

/// A digit as a 16-bit word of the same place in ones' complement.
fn word(digit: u16) -> u16 {
    digit * 0x1111
}

fn words() -> impl Iterator<Item = u16> + Clone {
    (0..16).map(word)
}

/// The field over `data` as RFC 1071 has it, and over exact integers: 0xffff only where all is zero.
fn field_over(data: &[u16]) -> u16 {
    let sum: u64 = data.iter().map(|word| u64::from(*word)).sum();
    match sum {
        0 => 0xffff,
        sum => 0xffff - (1 + (sum - 1) % 0xffff) as u16,
    }
}

/// All contents of two words that change, one that does not, and the field before: sound, or damaged by any amount.
#[test]
fn every_edit_of_a_checksum() {
    for old in words().flat_map(|high| words().map(move |low| [high, low])) {
        for new in words().flat_map(|high| words().map(move |low| [high, low])) {
            let [old32, new32] = [old, new].map(|[high, low]| u32::from(high) << 16 | u32::from(low));
            for rest in words() {
                let mut update = Update::NONE;
                update.word32(old32, new32);
                let mut halves = Update::NONE;
                halves.word16(old[0], new[0]);
                halves.word16(old[1], new[1]);
                let [before, after] = [old, new].map(|[high, low]| field_over(&[high, low, rest]));
                let all_zero = new == [0, 0] && rest == 0;
                if !all_zero {
                    assert_eq!((update.apply(before), halves.apply(before)), (after, after));
                }
                // What the field is off by it stays off by, modulo 0xffff: never repaired, never damaged.
                let damaged = before ^ word(rest & 1 | 2);
                let off = |field: u16, sound: u16| (0xffff + u32::from(field) - u32::from(sound)) % 0xffff;
                assert_eq!(off(update.apply(damaged), after), off(damaged, before));
            }
        }
    }
}

#[test]
fn full_sums_are_exact() {
    for data in words().flat_map(|a| words().flat_map(move |b| words().map(move |c| [a, b, c]))) {
        let bytes = data.map(u16::to_be_bytes).concat();
        assert_eq!(Sum::of(&bytes).checksum(), field_over(&data), "{data:x?}");
    }
}

/// The edits are noted where the fields are: both numbers at once, over all that one byte of each can be.
#[test]
fn a_header_notes_what_it_changes() {
    for old in all() {
        for new in all() {
            let mut bytes = frame(old, new, false);
            let at = headers(&bytes);
            let tcp = TcpHeader::view_mut(&mut bytes[usize::from(at.l4)..]).unwrap();
            let mut update = Update::NONE;
            tcp.edit_seq(Seq(new), &mut update);
            tcp.edit_ack(Seq(old), &mut update);
            tcp.update_checksum(update);
            assert_eq!(bytes, frame(new, old, false));
        }
    }
}
