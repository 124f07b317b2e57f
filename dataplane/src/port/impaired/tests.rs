//! What a cable does, by its seed and by a clock that the tests turn.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::buffer::Buffer;
use crate::port::sim::{SimBuffer, SimPeer, SimPool, SimPort};

#[derive(Clone, Default)]
struct TestClock(Rc<Cell<Instant>>);

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.0.get()
    }
}

const MS: Duration = Duration::from_millis(1);

/// A port with a cable, and all that is around it.
struct Bench {
    port: Impaired<SimPort, SimPool, TestClock>,
    peer: SimPeer,
    pool: SimPool,
    clock: TestClock,
}

impl Bench {
    fn new(impairment: Impairment) -> Bench {
        Bench::with_device(impairment, usize::MAX)
    }

    fn with_device(impairment: Impairment, tx_capacity: usize) -> Bench {
        let (port, peer) = SimPort::new(tx_capacity);
        let (pool, clock) = (SimPool::new(20_000), TestClock::default());
        let port = Impaired::new(port, Some(impairment), pool.clone(), clock.clone());
        Bench { port, peer, pool, clock }
    }

    fn frame(&mut self, number: u32) -> SimBuffer {
        let mut frame = self.pool.copy_of(&[0; 60]).expect("pool has room");
        frame.bytes_mut()[..4].copy_from_slice(&number.to_be_bytes());
        frame
    }

    fn at(&self, time: Duration) {
        self.clock.0.set(Instant::ZERO + time);
    }

    fn deliver(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let frame = self.frame(number);
            self.peer.deliver(frame);
        }
    }

    /// The numbers of the frames that the worker gets now.
    fn received(&mut self) -> Vec<u32> {
        let mut all = Vec::new();
        loop {
            let mut burst = Burst::new();
            if self.port.receive(&mut burst) == 0 && self.peer.undelivered() == 0 {
                return all;
            }
            all.extend(burst.iter().map(number));
        }
    }

    fn transmit(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let mut burst: Burst<SimBuffer> = std::iter::once(self.frame(number)).collect();
            assert_eq!(self.port.transmit(&mut burst), 1, "a cable takes whatever comes");
        }
    }

    /// The numbers of the frames that the device has sent.
    fn sent(&self) -> Vec<u32> {
        std::iter::from_fn(|| self.peer.collect()).map(|frame| number(&frame)).collect()
    }
}

fn number(frame: &SimBuffer) -> u32 {
    u32::from_be_bytes(frame.bytes()[..4].try_into().expect("four bytes"))
}

fn percent(percent: u32) -> Share {
    Share::per_million(percent * 10_000)
}

#[test]
fn a_delay_holds_in_both_directions_and_keeps_the_order() {
    let mut bench = Bench::new(Impairment { delay: 25 * MS, ..Impairment::default() });
    bench.deliver(0..100);
    bench.transmit(0..100);
    assert_eq!((bench.received(), bench.sent()), (vec![], vec![]));
    bench.at(25 * MS - Duration::from_nanos(1));
    assert_eq!((bench.received(), bench.sent()), (vec![], vec![]));
    assert_eq!(bench.port.impaired().waiting, 200);
    bench.at(25 * MS);
    let all: Vec<u32> = (0..100).collect();
    assert_eq!(bench.received(), all);
    assert_eq!(bench.sent(), all, "a worker that has nothing to transmit still receives");
}

#[test]
fn a_port_without_impairment_is_the_port() {
    let (port, peer) = SimPort::new(usize::MAX);
    let mut pool = SimPool::new(4);
    let mut port = Impaired::new(port, None, pool.clone(), TestClock::default());
    peer.deliver(pool.copy_of(&[1; 60]).expect("pool has room"));
    let mut burst = Burst::new();
    assert_eq!((port.receive(&mut burst), port.transmit(&mut burst), burst.len()), (1, 1, 0));
    assert!(peer.collect().is_some());
    assert_eq!(port.impaired(), Tally::default());
}

#[test]
fn losses_are_as_many_as_asked_for_and_repeat_with_their_seed() {
    let survivors = |seed| {
        let mut bench = Bench::new(Impairment { loss: percent(5), seed, ..Impairment::default() });
        bench.deliver(0..10_000);
        let (received, tally) = (bench.received(), bench.port.impaired());
        assert_eq!(received.len() as u64 + tally.lost, 10_000);
        // Five standard deviations of a binomial draw: 5 · √(10 000 · 0.05 · 0.95).
        assert!(tally.lost.abs_diff(500) < 109, "{} lost", tally.lost);
        assert!(received.is_sorted(), "losses do not reorder");
        received
    };
    assert_eq!(survivors(7), survivors(7));
    assert_ne!(survivors(7), survivors(8));
}

#[test]
fn the_directions_draw_by_themselves() {
    let mut bench = Bench::new(Impairment { loss: percent(50), ..Impairment::default() });
    bench.deliver(0..200);
    bench.transmit(0..200);
    assert_ne!(bench.received(), bench.sent());
}

#[test]
fn a_loss_of_all_lets_nothing_pass() {
    let mut bench = Bench::new(Impairment { loss: Share::ALL, ..Impairment::default() });
    bench.deliver(0..100);
    bench.transmit(0..100);
    assert_eq!((bench.received(), bench.sent(), bench.port.impaired().lost), (vec![], vec![], 200));
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn what_is_reordered_arrives_behind_those_that_came_within_its_time() {
    let impairment =
        Impairment { reorder: percent(10), reorder_by: 3 * MS, delay: 5 * MS, ..Impairment::default() };
    let mut bench = Bench::new(impairment);
    let mut arrivals = Vec::new();
    for tick in 0..2000 {
        bench.at(tick * MS);
        if tick < 1900 {
            bench.deliver(tick..tick + 1);
        }
        arrivals.extend(bench.received().into_iter().map(|number| (number, tick - number)));
    }
    let late: Vec<u32> = arrivals.iter().filter(|(_, took)| *took == 8).map(|(number, _)| *number).collect();
    assert_eq!(late.len() as u64, bench.port.impaired().reordered);
    assert!(late.len().abs_diff(190) < 66, "{}: five standard deviations", late.len());
    arrivals.retain(|(number, _)| !late.contains(number));
    assert!(arrivals.iter().all(|(_, took)| *took == 5), "nobody else waits");
    assert!(arrivals.is_sorted(), "nor is anybody else overtaken");
    assert_eq!(arrivals.len() + late.len(), 1900);
}

#[test]
fn jitter_varies_the_delay_and_keeps_the_order() {
    let impairment = Impairment { delay: 10 * MS, jitter: 4 * MS, ..Impairment::default() };
    let mut bench = Bench::new(impairment);
    let mut arrivals = Vec::new();
    for tick in 0..2000 {
        bench.at(tick * MS);
        if tick < 1900 {
            bench.deliver(tick..tick + 1);
        }
        arrivals.extend(bench.received().into_iter().map(|number| (number, tick - number)));
    }
    assert_eq!(arrivals.len(), 1900);
    assert!(arrivals.is_sorted_by_key(|(number, _)| *number), "order is kept");
    let took = |wanted| arrivals.iter().any(|(_, took)| *took == wanted);
    // Seen at whole milliseconds: what arrived between two of them is seen at the second.
    assert!((11..=14).all(took), "the whole range is drawn");
    assert!(arrivals.iter().all(|(_, took)| (10..=14).contains(took)), "and nothing outside of it");
}

#[test]
fn duplicates_are_whole_frames_that_follow_their_original() {
    let mut bench = Bench::new(Impairment { duplicate: percent(10), ..Impairment::default() });
    bench.deliver(0..10_000);
    let (received, duplicated) = (bench.received(), bench.port.impaired().duplicated);
    assert!(duplicated.abs_diff(1000) < 150, "{duplicated}: five standard deviations");
    assert_eq!(received.len() as u64, 10_000 + duplicated);
    assert!(received.is_sorted(), "a copy comes right behind");
    let mut once = received;
    once.dedup();
    assert_eq!(once.len(), 10_000);
}

#[test]
fn without_a_buffer_there_is_no_duplicate_and_no_loss() {
    let mut bench = Bench::new(Impairment { duplicate: Share::ALL, ..Impairment::default() });
    bench.deliver(0..10);
    let hoard: Vec<SimBuffer> = std::iter::from_fn(|| bench.pool.take()).collect();
    assert_eq!((bench.received().len(), bench.port.impaired().duplicated), (10, 0));
    drop(hoard);
}

#[test]
fn a_full_queue_drops_by_name_and_takes_frames_again_when_it_has_room() {
    let mut bench = Bench::new(Impairment { delay: MS, queue: 10, ..Impairment::default() });
    bench.transmit(0..15);
    let tally = bench.port.impaired();
    assert_eq!((tally.waiting, tally.overflowed, tally.capacity), (10, 5, 20));
    assert_eq!(bench.pool.in_use(), 10, "what was dropped went back");
    bench.at(MS);
    bench.received();
    assert_eq!(bench.sent(), (0..10).collect::<Vec<_>>());
    bench.transmit(15..25);
    assert_eq!((bench.port.impaired().waiting, bench.port.impaired().overflowed), (10, 5));
}

#[test]
fn a_rate_spaces_frames_and_delays_them_behind_each_other() {
    // 60 bytes are 480 bits: one frame a millisecond.
    let mut bench = Bench::new(Impairment { rate: Some(480_000), delay: 5 * MS, ..Impairment::default() });
    bench.deliver(0..10);
    assert_eq!(bench.received(), []);
    for arrived in 0..10 {
        bench.at((6 + arrived) * MS);
        assert_eq!(bench.received(), [arrived]);
    }
}

#[test]
fn what_the_device_refuses_waits_in_order() {
    let mut bench = Bench::with_device(Impairment { delay: MS, ..Impairment::default() }, 3);
    bench.transmit(0..50);
    bench.at(MS);
    let mut sent = Vec::new();
    while sent.len() < 50 {
        bench.received();
        let more = bench.sent();
        assert!((1..=3).contains(&more.len()), "{more:?} after {sent:?}");
        sent.extend(more);
    }
    assert_eq!(sent, (0..50).collect::<Vec<_>>());
    assert_eq!(bench.port.impaired().waiting, 0);
}

#[test]
fn frames_under_way_go_back_with_the_port() {
    let impairment = Impairment { delay: 50 * MS, duplicate: percent(50), ..Impairment::default() };
    let mut bench = Bench::with_device(impairment, 0);
    bench.deliver(0..100);
    bench.received();
    bench.transmit(0..100);
    bench.at(50 * MS);
    bench.port.receive(&mut Burst::new());
    assert!(bench.pool.in_use() >= 200);
    let pool = bench.pool.clone();
    drop(bench);
    assert_eq!(pool.in_use(), 0);
}
