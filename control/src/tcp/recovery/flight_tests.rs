//! The records against a model that knows every byte by itself.

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;
use proptest::prelude::*;

use super::flight::{Delivery, Flight, Sent};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Byte {
    at: Instant,
    sacked: bool,
    lost: bool,
    resent: bool,
}

/// Bytes from `una` on.
struct Model {
    una: Seq,
    bytes: Vec<Byte>,
}

#[derive(Debug, Clone)]
enum Op {
    Push(u32),
    Resend(u32, u32),
    Acknowledge(u32),
    Sack(u32, u32),
    /// Everything sent at least so many steps ago is lost.
    Lose(u64),
    ForgetLosses,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..50u32).prop_map(Op::Push),
        2 => (0..200u32, 1..60u32).prop_map(|(at, len)| Op::Resend(at, len)),
        2 => (0..80u32).prop_map(Op::Acknowledge),
        4 => (0..250u32, 1..80u32).prop_map(|(at, len)| Op::Sack(at, len)),
        2 => (0..8u64).prop_map(Op::Lose),
        1 => Just(Op::ForgetLosses),
    ]
}

impl Model {
    fn range(&self, at: u32, len: u32) -> std::ops::Range<usize> {
        let end = self.bytes.len();
        (at as usize).min(end)..((at + len) as usize).min(end)
    }

    fn count(&self, what: impl Fn(&Byte) -> bool) -> u32 {
        self.bytes.iter().filter(|byte| what(byte)).count() as u32
    }

    /// Carries `op` out on both, and compares what both say of it.
    fn step(&mut self, flight: &mut Flight, op: &Op, now: Instant) -> Result<(), TestCaseError> {
        let mut delivery = Delivery::new(now, Duration::ZERO, self.una, self.una, Instant::ZERO);
        let end = self.una.advance(self.bytes.len() as u32);
        match *op {
            Op::Push(len) => {
                flight.push(now, end, end.advance(len));
                let byte = Byte { at: now, sacked: false, lost: false, resent: false };
                self.bytes.extend(std::iter::repeat_n(byte, len as usize));
            }
            Op::Resend(at, len) => {
                let range = self.range(at, len);
                let [start, stop] = [range.start, range.end].map(|i| self.una.advance(i as u32));
                if start != stop {
                    flight.resend(now, start, stop);
                }
                for byte in self.bytes[range].iter_mut().filter(|byte| !byte.sacked) {
                    *byte = Byte { at: now, lost: false, resent: true, ..*byte };
                }
            }
            Op::Acknowledge(len) => {
                let gone = self.range(0, len);
                self.una = self.una.advance(gone.len() as u32);
                flight.acknowledge(self.una, &mut delivery);
                let news = self.bytes[gone.clone()].iter().filter(|byte| !byte.sacked).count() as u32;
                prop_assert_eq!((delivery.acked, delivery.bytes), (gone.len() as u32, news));
                self.bytes.drain(gone);
            }
            Op::Sack(at, len) => {
                let block = SackBlock { left: self.una.advance(at), right: self.una.advance(at + len) };
                flight.sack(block, &mut delivery);
                let range = self.range(at, len);
                // A block at SND.UNA or beyond SND.NXT is nonsense, and is not believed.
                if at > 0 && range.len() == len as usize {
                    let news = self.bytes[range.clone()].iter().filter(|byte| !byte.sacked).count() as u32;
                    prop_assert_eq!((delivery.sacked, delivery.bytes), (news, news));
                    for byte in self.bytes[range].iter_mut().filter(|byte| !byte.sacked) {
                        *byte = Byte { sacked: true, lost: false, ..*byte };
                    }
                }
            }
            Op::Lose(age) => {
                let is_old = |at: Instant| now.since(at) >= Duration::from_millis(age);
                let found = flight.mark_lost(|record| Some(is_old(record.at)));
                let before = self.count(|byte| byte.lost);
                for byte in self.bytes.iter_mut().filter(|byte| !byte.sacked && is_old(byte.at)) {
                    byte.lost = true;
                }
                prop_assert_eq!(found, self.count(|byte| byte.lost) - before);
            }
            Op::ForgetLosses => {
                flight.forget_losses();
                self.bytes.iter_mut().for_each(|byte| byte.lost = false);
            }
        }
        Ok(())
    }

    fn compare(&self, flight: &mut Flight) -> Result<(), TestCaseError> {
        let mut at = self.una;
        for record in flight.records() {
            prop_assert_eq!(record.start, at, "records are contiguous");
            prop_assert!(record.start.lt(record.end));
            let from = self.una.distance_to(record.start) as usize;
            for byte in &self.bytes[from..from + record.len() as usize] {
                prop_assert_eq!((byte.sacked, byte.lost), (record.sacked, record.lost));
                if !byte.sacked {
                    prop_assert_eq!((byte.at, byte.resent), (record.at, record.resent));
                }
            }
            at = record.end;
        }
        let (sacked, lost) = (self.count(|byte| byte.sacked), self.count(|byte| byte.lost));
        prop_assert_eq!(flight.outstanding() as usize, self.bytes.len());
        prop_assert_eq!((flight.sacked(), flight.lost()), (sacked, lost));
        prop_assert_eq!(flight.pipe(), self.bytes.len() as u32 - sacked - lost);
        let first = self.bytes.iter().position(|byte| byte.lost);
        let wanted = first.map(|first| {
            let stretch = self.bytes[first..].iter().take_while(|byte| byte.lost).take(100).count();
            [first, first + stretch].map(|i| self.una.advance(i as u32))
        });
        prop_assert_eq!(flight.next_lost(100).map(|(start, end)| [start, end]), wanted);
        Ok(())
    }
}

proptest! {
    #[test]
    fn records_know_what_every_byte_knows(start in any::<u32>(), ops in prop::collection::vec(op(), 1..60)) {
        let mut flight = Flight::default();
        let mut model = Model { una: Seq(start), bytes: Vec::new() };
        for (step, op) in ops.iter().enumerate() {
            model.step(&mut flight, op, Instant::from_millis(step as u64 + 1))?;
            model.compare(&mut flight)?;
        }
    }

    /// The short way for an acknowledgment of all that is outstanding says what the long one does, and takes nothing else.
    #[test]
    fn the_only_record_taken_is_the_only_record_acknowledged(
        start in any::<u32>(),
        ops in prop::collection::vec(op(), 1..6),
        short in 0u32..2,
    ) {
        let [mut one, mut other] = [Flight::default(), Flight::default()];
        let mut models = [(); 2].map(|()| Model { una: Seq(start), bytes: Vec::new() });
        for (step, op) in ops.iter().enumerate() {
            let now = Instant::from_millis(step as u64 + 1);
            models[0].step(&mut one, op, now)?;
            models[1].step(&mut other, op, now)?;
        }
        let una = models[0].una.advance((models[0].bytes.len() as u32).saturating_sub(short));
        let before: Vec<_> = one.records().copied().collect();
        let now = Instant::from_millis(99);
        let Some(sent) = one.take_only(una) else {
            prop_assert!(one.records().eq(&before), "nothing is taken");
            let plain = |sent: &Sent| !(sent.sacked || sent.lost || sent.resent);
            prop_assert!(before.len() != 1 || before[0].end != una || !plain(&before[0]));
            return Ok(());
        };
        let whole = Delivery::whole(now, &sent);
        let mut delivery = Delivery::new(now, Duration::ZERO, sent.start, sent.start, Instant::ZERO);
        other.acknowledge(una, &mut delivery);
        let said = |of: &Delivery| {
            let bytes = (of.bytes, of.acked, of.sacked, of.early);
            (bytes, of.newest, of.fack, of.rtt(), of.patient_rtt(), of.resent, of.reordered)
        };
        prop_assert_eq!(said(&whole), said(&delivery));
        let left = |of: &Flight| (of.count(), of.outstanding(), of.lost(), of.sacked_segments());
        prop_assert_eq!(left(&one), left(&other));
    }
}
