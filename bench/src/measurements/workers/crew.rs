//! Two threads on a core each, which run the same contenders, one of them alone or both at once.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};

use crate::machine;
use crate::race::Contender;

/// One thread's, in the order of their cases.
pub type Contenders = Vec<Box<dyn Contender>>;

/// Nanoseconds a unit of one contender: on the first thread alone, and on both at once.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub alone: f64,
    pub both: [f64; 2],
}

/// What a thread is to run, and whom it waits for before.
struct Task {
    contender: usize,
    units: usize,
    start: Arc<Barrier>,
}

struct Member {
    tasks: Sender<Task>,
    times: Receiver<f64>,
}

/// The threads; they end when it is dropped.
pub struct Crew([Member; 2]);

impl Crew {
    /// Whose contenders are made where they run: none of them leaves its thread, nor does its memory.
    pub fn start(contenders: impl Fn(usize) -> Contenders + Clone + Send + 'static) -> Crew {
        Crew([0, 1].map(|thread| {
            let ((tasks, todo), (tell, times)) = (channel::<Task>(), channel());
            let contenders = contenders.clone();
            std::thread::spawn(move || {
                machine::pin_before(thread);
                let mut contenders = contenders(thread);
                for Task { contender, units, start } in todo {
                    start.wait();
                    if tell.send(contenders[contender].nanoseconds(units)).is_err() {
                        return;
                    }
                }
            });
            Member { tasks, times }
        }))
    }

    /// All contenders, one after the other.
    pub fn sample(&self, contenders: usize, units: usize) -> Vec<Times> {
        let times = |contender| {
            let run = |threads: &[Member]| -> Vec<f64> {
                let start = Arc::new(Barrier::new(threads.len()));
                for member in threads {
                    let task = Task { contender, units, start: Arc::clone(&start) };
                    member.tasks.send(task).expect("the thread waits for its tasks");
                }
                threads.iter().map(|member| member.times.recv().expect("the thread does them")).collect()
            };
            let alone = run(&self.0[..1]);
            let both = run(&self.0);
            Times { alone: alone[0], both: [both[0], both[1]] }
        };
        (0..contenders).map(times).collect()
    }
}
