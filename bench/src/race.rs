//! Contenders that run interleaved, sample by sample: what drifts on a shared machine drifts for all of them, so ratios within
//! a sample hold where nanoseconds do not.
//!
//! Time is the thread's own processor time: what the scheduler gives to others is not ours, what the hypervisor takes is
//! (`machine.rs` tells it).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Something that is measured in steps.
pub trait Contender {
    /// One step. Returns how many units were done: frames, SYNs, connections.
    fn round(&mut self) -> usize;

    /// A sample: nanoseconds a unit, of at least `units`. A twentieth of them runs unmeasured: the caches hold what the
    /// contender before has left.
    fn nanoseconds(&mut self, units: usize) -> f64 {
        run(units / 20, self);
        let start = processor_time();
        let done = run(units, self);
        (processor_time() - start).as_nanos() as f64 / done as f64
    }
}

/// A median, and between what the samples were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// Of some values, at least one.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Spread { median: values[values.len() / 2], low: values[0], high: values[values.len() - 1] }
    }

    /// In a unit of which there are so many in one of this.
    pub fn times(self, many: f64) -> Spread {
        let Spread { median, low, high } = self;
        Spread { median: median * many, low: low * many, high: high * many }
    }
}

/// Of all, so many hundredths are at most that; nanoseconds. Sorts them.
pub fn percentile(all: &mut [Duration], hundredths: usize) -> f64 {
    all.sort_unstable();
    all[(all.len() - 1) * hundredths / 100].as_nanos() as f64
}

/// Processor time of this thread so far.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Nanoseconds a unit, by sample and contender.
#[derive(Default)]
pub struct Samples(Vec<Vec<f64>>);

impl Samples {
    /// Those of another race of contenders of the same kinds, too.
    pub fn append(&mut self, mut other: Samples) {
        self.0.append(&mut other.0);
    }

    /// Of what follows from all contenders' times in one sample.
    pub fn spread(&self, value: impl Fn(&[f64]) -> f64) -> Spread {
        Spread::of(self.0.iter().map(|sample| value(sample)))
    }
}

/// How long to race.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    pub samples: usize,
    /// Of each contender in each sample, at least.
    pub units: usize,
}

/// All of them one after the other, again and again. The first sample fills caches and does not count.
pub fn race(length: Length, contenders: &mut [&mut dyn Contender]) -> Samples {
    let mut sample = || -> Vec<f64> {
        contenders.iter_mut().map(|contender| contender.nanoseconds(length.units)).collect()
    };
    sample();
    Samples((0..length.samples.max(1)).map(|_| sample()).collect())
}

/// At least `units`; returns how many.
pub fn run<C: Contender + ?Sized>(units: usize, contender: &mut C) -> usize {
    let mut done = 0;
    let mut idle = 0;
    while done < units {
        let now = contender.round();
        done += now;
        // A measurement of nothing would last for ever.
        idle = if now == 0 { idle + 1 } else { 0 };
        assert!(idle < 1 << 20, "a contender does nothing any more");
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_lowest_and_highest() {
        assert_eq!(Spread::of([3.0, 9.0, 1.0]), Spread { median: 3.0, low: 1.0, high: 9.0 });
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut all: Vec<Duration> = (1..=100).rev().map(Duration::from_nanos).collect();
        assert_eq!((percentile(&mut all, 50), percentile(&mut all, 99)), (50.0, 99.0));
    }

    #[test]
    fn contenders_take_turns() {
        struct Counts<'a>(&'a std::cell::RefCell<Vec<char>>, char);
        impl Contender for Counts<'_> {
            fn round(&mut self) -> usize {
                self.0.borrow_mut().push(self.1);
                10
            }
        }
        let rounds = Default::default();
        let (mut a, mut b) = (Counts(&rounds, 'a'), Counts(&rounds, 'b'));
        let samples = race(Length { samples: 2, units: 15 }, &mut [&mut a, &mut b]);
        assert_eq!(samples.0.len(), 2);
        assert_eq!(rounds.borrow().iter().collect::<String>(), "aabbaabbaabb");
    }
}
