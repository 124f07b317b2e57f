//! The proof that every invariant can fail, and under its own name: boxes that are broken on purpose, one way each.

use std::time::Duration;

use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::broken::{Broken, bare, has_payload, turn_around};
use crate::frame;
use crate::host::Side;
use crate::invariant::{Invariant, Violation};
use crate::middle::{Middle, Parts};
use crate::profile::Profile;
use crate::runner;
use crate::tap::Tap;

/// What clean worlds with this defect violate first. Not every world has, say, a RST in it.
fn first_violation(build: fn(Parts) -> Box<dyn Middle>) -> Violation {
    let profile = Profile::named("clean").expect("exists");
    let mut failures = (0..10).filter_map(|seed| runner::run(seed, profile, build, false).err());
    let failure = failures.next().expect("the defect goes unnoticed");
    let command = format!("./dev sim --seed {} --profile clean", failure.seed);
    assert!(failure.to_string().contains(&command), "{failure}");
    failure.violation
}

/// Its name.
fn verdict(build: fn(Parts) -> Box<dyn Middle>) -> Invariant {
    first_violation(build).invariant
}

#[test]
fn a_changed_byte_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |_, _, segment, frame| {
            if has_payload(segment) {
                frame.bytes_mut()[segment.payload.start + 20] ^= 1;
                frame::fill_checksum(frame.bytes_mut(), segment);
            }
            Vec::new()
        })
    };
    assert_eq!(verdict(defect), Invariant::Bytes);
}

#[test]
fn a_dropped_byte_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |_, _, segment, frame| {
            if has_payload(segment) {
                // The payload moves up by one byte, over the first; its last byte appears twice.
                let (start, end) = (segment.payload.start, segment.payload.end);
                frame.bytes_mut().copy_within(start + 1..end, start);
                frame::fill_checksum(frame.bytes_mut(), segment);
            }
            Vec::new()
        })
    };
    assert_eq!(verdict(defect), Invariant::Bytes);
}

#[test]
fn an_altered_duplicate_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |broken, _, segment, frame| {
            if !has_payload(segment) {
                return Vec::new();
            }
            let original = broken.copy(frame);
            frame.bytes_mut()[segment.payload.start] ^= 0x80;
            frame::fill_checksum(frame.bytes_mut(), segment);
            vec![(false, original)]
        })
    };
    assert_eq!(verdict(defect), Invariant::Bytes);
}

#[test]
fn an_early_fin_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |_, _, segment, frame| {
            if has_payload(segment) && !segment.flags.fin() {
                let at = segment.header.start;
                frame.bytes_mut()[at + 13] |= TcpFlags::FIN.0 as u8;
                frame::fill_checksum(frame.bytes_mut(), segment);
            }
            Vec::new()
        })
    };
    // The receiver acknowledges a FIN that nobody has sent, or takes it and misses the rest.
    assert!(matches!(verdict(defect), Invariant::Bytes | Invariant::Stall));
}

#[test]
fn a_forged_acknowledgment_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |broken, side, segment, frame| {
            if side != Side::Client || !has_payload(segment) {
                return Vec::new();
            }
            let mut forged = broken.copy(frame);
            let end = segment.seq.wrapping_add(segment.sequence_len());
            turn_around(&mut forged, segment);
            bare(&mut forged, TcpFlags::ACK, segment.ack, end);
            vec![(true, forged)]
        })
    };
    assert_eq!(verdict(defect), Invariant::Acks);
}

#[test]
fn a_second_answer_to_a_syn_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |broken, _, segment, frame| {
            let syn_ack = segment.flags.contains(TcpFlags::SYN | TcpFlags::ACK);
            if syn_ack { vec![(false, broken.copy(frame))] } else { Vec::new() }
        })
    };
    assert_eq!(verdict(defect), Invariant::Amplifier);
}

#[test]
fn an_answer_that_outgrows_the_question_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |_, _, segment, frame| {
            if segment.flags.contains(TcpFlags::SYN | TcpFlags::ACK) {
                frame.extend(40).expect("has room").fill(0);
            }
            Vec::new()
        })
    };
    assert_eq!(verdict(defect), Invariant::Amplifier);
}

#[test]
fn an_answered_reset_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |broken, _, segment, frame| {
            if !segment.flags.rst() {
                return Vec::new();
            }
            let mut answer = broken.copy(frame);
            turn_around(&mut answer, segment);
            bare(&mut answer, TcpFlags::RST, segment.ack, 0);
            vec![(true, answer)]
        })
    };
    assert_eq!(verdict(defect), Invariant::ResetAnswered);
}

#[test]
fn an_invented_reset_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |broken, _, segment, frame| {
            if has_payload(segment) && broken.once() {
                bare(frame, TcpFlags::RST, segment.seq, 0);
            }
            Vec::new()
        })
    };
    assert_eq!(verdict(defect), Invariant::Ending);
}

#[test]
fn a_kept_buffer_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |broken, _, _, _| {
            if broken.once() {
                broken.kept.extend(broken.pool.take());
            }
            Vec::new()
        })
    };
    assert_eq!(verdict(defect), Invariant::Buffers);
}

#[test]
fn a_black_hole_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |_, _, segment, frame| {
            if has_payload(segment) {
                frame.truncate(0);
            }
            Vec::new()
        })
    };
    assert_eq!(verdict(defect), Invariant::Stall);
}

#[test]
fn a_repetition_that_asks_nobody_is_caught() {
    let defect: fn(Parts) -> _ = |parts| {
        Broken::build(parts, |_, _, segment, frame| {
            if segment.flags.contains(TcpFlags::SYN | TcpFlags::ACK) {
                frame.truncate(0);
            }
            Vec::new()
        })
    };
    let violation = first_violation(defect);
    assert_eq!(violation.invariant, Invariant::Stall);
    assert!(violation.detail.contains("repeats itself"), "long before there is no progress: {violation}");
}

/// A box that never comes to rest.
struct Restless;

impl Middle for Restless {
    fn poll(&mut self, _now: Instant) {}

    fn next_deadline(&self) -> Option<Instant> {
        Some(Instant::ZERO)
    }
}

#[test]
fn a_restless_box_is_caught() {
    assert_eq!(verdict(|_| Box::new(Restless)), Invariant::Livelock);
}

/// A box that finds something wrong with itself, and one that gives up.
struct SelfCritical(Instant, bool);

impl Middle for SelfCritical {
    fn poll(&mut self, now: Instant) {
        assert!(!self.1, "cannot go on");
        self.0 = now + Duration::from_secs(1);
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.0)
    }

    fn check(&self, _: &Tap, _: Instant) -> Result<(), String> {
        Err("two owners of one flow".into())
    }
}

#[test]
fn the_boxes_own_complaints_and_panics_are_failures() {
    assert_eq!(verdict(|_| Box::new(SelfCritical(Instant::ZERO, false))), Invariant::Middle);
    assert_eq!(verdict(|_| Box::new(SelfCritical(Instant::ZERO, true))), Invariant::Middle);
}
