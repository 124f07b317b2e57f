//! Threads on a core each, which run the same contenders, one of them alone or several at once.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::machine;
use crate::race::{Contender, processor_time};

/// One thread's, in the order of their cases.
pub type Contenders = Vec<Box<dyn Contender>>;

/// Nanoseconds a unit of one contender: for each number of threads that run it at once, each thread's.
pub type Times = Vec<Vec<f64>>;

/// What a thread is to run, and whom it waits for before.
struct Task {
    contender: usize,
    units: usize,
    start: Arc<Barrier>,
}

/// What came of it.
struct Done {
    nanoseconds: f64,
    /// Of the time that passed, how much the thread had of its core, and for how long that was.
    had: f64,
    passed: f64,
}

/// One thread; without tasks to come it ends.
struct Member {
    tasks: Option<Sender<Task>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// The threads. Dropped, it waits until they have ended, and their memory is free.
pub struct Crew {
    members: Vec<Member>,
    /// Of all tasks of all threads: processor time, and time.
    had: Cell<f64>,
    passed: Cell<f64>,
}

impl Crew {
    /// Whose contenders are made where they run: none of them leaves its thread, nor does its memory.
    pub fn start(threads: usize, contenders: impl Fn(usize) -> Contenders + Clone + Send + 'static) -> Crew {
        let member = |thread| {
            let ((tasks, todo), (tell, done)) = (channel::<Task>(), channel());
            let contenders = contenders.clone();
            let thread = std::thread::spawn(move || {
                machine::pin_before(thread);
                let mut contenders = contenders(thread);
                for Task { contender, units, start } in todo {
                    start.wait();
                    if tell.send(carry_out(&mut *contenders[contender], units)).is_err() {
                        return;
                    }
                }
            });
            Member { tasks: Some(tasks), done, thread: Some(thread) }
        };
        let members = (0..threads).map(member).collect();
        Crew { members, had: Cell::default(), passed: Cell::default() }
    }

    /// All contenders, one after the other, each by so many threads, then by so many.
    pub fn sample(&self, threads: &[usize], units: &[usize]) -> Vec<Times> {
        let times = |(contender, units): (usize, &usize)| {
            threads.iter().map(|count| self.run(&self.members[..*count], contender, *units)).collect()
        };
        units.iter().enumerate().map(times).collect()
    }

    fn run(&self, members: &[Member], contender: usize, units: usize) -> Vec<f64> {
        let start = Arc::new(Barrier::new(members.len()));
        for member in members {
            let task = Task { contender, units, start: Arc::clone(&start) };
            let tasks = member.tasks.as_ref().expect("it is taken when the crew is dropped");
            tasks.send(task).expect("the thread waits for its tasks");
        }
        let done = members.iter().map(|member| member.done.recv().expect("the thread does them"));
        let note = |Done { nanoseconds, had, passed }| {
            self.had.set(self.had.get() + had);
            self.passed.set(self.passed.get() + passed);
            nanoseconds
        };
        done.map(note).collect()
    }

    /// How much of their cores the threads had, while they had something to do.
    pub fn share(&self) -> f64 {
        self.had.get() / self.passed.get().max(f64::MIN_POSITIVE)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.tasks = None;
        }
        for member in &mut self.members {
            // Who has panicked has said so.
            let _ = member.thread.take().map(JoinHandle::join);
        }
    }
}

fn carry_out(contender: &mut dyn Contender, units: usize) -> Done {
    let (before, own) = (Instant::now(), processor_time());
    let nanoseconds = contender.nanoseconds(units);
    let (had, passed) = (processor_time() - own, before.elapsed());
    Done { nanoseconds, had: had.as_secs_f64(), passed: passed.as_secs_f64() }
}
