//! What the processor itself counts, where it lets us: many virtual machines have no such counters, and containers often may not ask.

use perf_event::events::{Event, Hardware};
use perf_event::{Builder, Counter};

use crate::race::{self, Contender};

/// What is counted, each where it can be; this thread's own, outside of the kernel.
pub struct Counters<const N: usize>([Option<Counter>; N]);

/// Of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counted {
    pub cycles: Option<f64>,
    pub instructions: Option<f64>,
    /// Of the last cache before memory.
    pub misses: Option<f64>,
}

impl Counters<3> {
    /// What [`Counted`] has.
    pub fn open() -> Self {
        Counters::of([Hardware::CPU_CYCLES, Hardware::INSTRUCTIONS, Hardware::CACHE_MISSES])
    }

    /// Of at least so many units, what one of them more than one of another contender.
    pub fn difference(
        &mut self,
        units: usize,
        contender: &mut dyn Contender,
        other: &mut dyn Contender,
    ) -> Counted {
        let (of, less) = (self.each(units, contender), self.each(units, other));
        let [cycles, instructions, misses] =
            [0, 1, 2].map(|at| of[at].zip(less[at]).map(|(of, less)| of - less));
        Counted { cycles, instructions, misses }
    }
}

impl<const N: usize> Counters<N> {
    fn of<E: Into<Event>>(events: [E; N]) -> Self {
        Counters(events.map(|event| Builder::new().kind(event).build().ok()))
    }

    /// Of at least so many units, of each. What the processor counts in turns with something else is none.
    fn each(&mut self, units: usize, contender: &mut dyn Contender) -> [Option<f64>; N] {
        race::run(units / 20, contender);
        // One that cannot be started is read as one that did not run all the time.
        self.0.iter_mut().flatten().for_each(|counter| _ = counter.reset().and_then(|()| counter.enable()));
        let done = race::run(units, contender) as f64;
        self.0.iter_mut().flatten().for_each(|counter| _ = counter.disable());
        self.0.each_mut().map(|counter| {
            let read = counter.as_mut()?.read_count_and_time().ok()?;
            let is_whole = read.time_running > 0 && read.time_running == read.time_enabled;
            is_whole.then(|| read.count as f64 / done)
        })
    }
}

#[cfg(test)]
mod tests {
    use perf_event::events::Software;

    use super::*;

    /// Writes to so many new pages for each unit.
    struct Faults(usize);

    impl Contender for Faults {
        fn round(&mut self) -> usize {
            const PAGE: usize = 4096;
            // More than an allocator gives of what it has.
            let mut memory = vec![0u8; 1 << 26];
            (0..100 * self.0).for_each(|page| memory[page * PAGE] = 1);
            std::hint::black_box(&memory);
            100
        }
    }

    /// Those of the kernel are there where those of the processor are not.
    #[test]
    fn what_is_counted_is_each_units() {
        let mut counters = Counters::of([Software::PAGE_FAULTS, Software::PAGE_FAULTS_MIN]);
        if counters.0.iter().any(Option::is_none) {
            eprintln!("this process may not count anything: kernel.perf_event_paranoid");
            return;
        }
        for each in [1, 3] {
            let faults = counters.each(500, &mut Faults(each));
            let [all, minor] = faults.map(|faults| faults.expect("it counts"));
            // With huge pages one fault may do for hundreds.
            assert!(all > 0.0 && all == minor && all < each as f64 + 1.0, "{each}: {all}, {minor}");
        }
    }

    #[test]
    fn where_nothing_is_counted_nothing_is_said() {
        let mut none = Counters([None, None, None]);
        let counted = none.difference(100, &mut Faults(1), &mut Faults(1));
        assert_eq!(counted, Counted::default());
    }
}
