//! What is traced: two workers and a control core, each in its own thread, which have their turns one after the other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use control::core::WorkerLink;
use control::module::relay::MergeWhen;
use dataplane::clock::{Clock, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::object::{Track, View};
use dataplane::policy::Snapshot;
use dataplane::port::{Burst, Port};
use dataplane::wire::seq::{Delta, Seq};
use dataplane::worker::Worker;
use dataplane::worker::transmit::Line;

use super::trace::{Party, announce, turn};
use crate::core::{relaying, settings};
use crate::frame::{Frame, Frames};
use crate::tallies::{Tallies, Tally};
use crate::traffic::{Family, Traffic, bare_syn};
use crate::worker::{HOUR, OFFER, Rig, Room, Seat, lines};

const WORKERS: usize = 2;
/// Of each worker.
const FLOWS: u32 = 16;
/// Of each port: the tracer makes a line of text of every instruction.
const FRAMES: usize = 8;
/// More than between two housekeepings.
const ROUNDS: u32 = 40;
const TURNS: u32 = 2;
/// Of all of them.
pub const ALL_TURNS: u32 = TURNS * (WORKERS as u32 + 1);
/// Until whoever has given up its turn sleeps.
const ASLEEP: Duration = Duration::from_millis(50);

/// A port that yields the same segments again and again. Its frames are in it, as many come back as go: what it writes lies
/// where its line does.
struct Loop {
    frames: Burst<Frame>,
    segments: Vec<Vec<u8>>,
    next: usize,
    inject: Option<Vec<u8>>,
    running: bool,
    tally: Tally,
}

impl Loop {
    /// The ports of one worker.
    fn pair(worker: usize, tallies: Tallies) -> [Loop; 2] {
        [0, 1].map(|_| {
            let frames = (0..FRAMES).map(|_| Frames::default().copy_of(&[])).collect();
            let tally = tallies.of(worker);
            Loop { frames, segments: Vec::new(), next: 0, inject: None, running: false, tally }
        })
    }

    /// Segments of so many flows; made by their worker's thread, which reads them.
    fn start(&mut self, first: u32, from_server: bool) {
        let segment = |n| Traffic::shortest(1).segment_of(n, from_server);
        self.segments = (first..first + FLOWS).map(segment).collect();
        self.running = true;
    }
}

impl Port for Loop {
    type Buffer = Frame;

    fn receive(&mut self, burst: &mut Burst<Frame>) -> usize {
        self.tally.count();
        if let Some(bytes) = self.inject.take() {
            burst.push(Frames::default().copy_of(&bytes));
            return 1;
        }
        while self.running
            && !burst.is_full()
            && let Some(mut frame) = self.frames.pop()
        {
            frame.fill(&self.segments[self.next]);
            self.next = (self.next + 1) % self.segments.len();
            burst.push(frame);
        }
        burst.len()
    }

    fn transmit(&mut self, burst: &mut Burst<Frame>) -> usize {
        let n = burst.len();
        self.frames.extend(burst.drain(..));
        n
    }
}

/// A thread that has its turns when it is told to.
struct Member {
    turns: Sender<()>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

/// How it hears of them.
struct Turns {
    its_turn: Receiver<()>,
    tell: Sender<()>,
}

impl Member {
    fn spawn(body: impl FnOnce(Turns) + Send + 'static) -> Member {
        let ((turns, its_turn), (tell, done)) = (channel(), channel());
        let thread = std::thread::spawn(move || body(Turns { its_turn, tell }));
        Member { turns, done, thread }
    }

    fn has_its_turn(&self) {
        self.turns.send(()).expect("it waits");
        self.done.recv().expect("it has its turn");
    }

    fn end(self) {
        drop(self.turns);
        self.thread.join().expect("nothing has failed there");
    }
}

impl Turns {
    fn take(&self, party: Party, mut round: impl FnMut()) {
        for () in &self.its_turn {
            std::thread::sleep(ASLEEP);
            turn(party, || (0..ROUNDS).for_each(|_| round()));
            self.tell.send(()).expect("somebody waits");
        }
    }
}

/// A worker, its tables and flows made by its own thread; and by which mailboxes it is reached.
fn worker(seat: Seat<Frame>, ports: Vec<Line<Loop>>, clock: SystemClock) -> (Member, WorkerLink<Frame>) {
    let (tell_link, link) = channel();
    let member = Member::spawn(move |turns| {
        let party = Party::Worker(seat.id);
        let first = FLOWS * seat.id as u32;
        let room = Room { flows: FLOWS as usize, messages: 256, linger: HOUR };
        let rules = Arc::new(Snapshot::compile(&[], OFFER).expect("no rules fit"));
        let mut rig = Rig::at(seat, ports, room, rules);
        for n in first..first + FLOWS {
            rig.worker.port_mut(0).inject = Some(bare_syn(Family::V4.quad(n)));
            let view = View { track: [Track { end: Seq(1), ack: Seq(1) }; 2], ..View::default() };
            rig.cut_through(clock.now(), Delta(1), view);
        }
        let Rig { mut worker, orders, events } = rig;
        [false, true]
            .into_iter()
            .enumerate()
            .for_each(|(at, is_server)| worker.port_mut(at).start(first, is_server));
        let carried = |worker: &Worker<Loop>| worker.counters().get(Counter::Transmitted);
        let before = carried(&worker);
        tell_link.send(WorkerLink { events, orders }).expect("somebody waits");
        turns.take(party, || _ = worker.poll(clock.now()));
        let all = u64::from(TURNS * ROUNDS) * 2 * FRAMES as u64;
        assert_eq!(carried(&worker) - before, all, "all that comes is carried");
    });
    (member, link.recv().expect("the worker has begun"))
}

/// What valgrind runs.
pub fn carry_out(tallies: Tallies) {
    let clock = SystemClock::start();
    let heartbeat = Arc::default();
    let ports: Vec<_> = (0..WORKERS).map(|worker| lines(Loop::pair(worker, tallies))).collect();
    let seats = Seat::row(WORKERS, &heartbeat);
    let workers = seats.into_iter().zip(ports).map(|(seat, ports)| worker(seat, ports, clock));
    let (mut members, links): (Vec<_>, Vec<_>) = workers.unzip();
    members.push(Member::spawn(move |turns| {
        let settings = settings(16, 16);
        let mut core = relaying(Frames::default(), links, MergeWhen::FirstResponse, settings, heartbeat);
        turns.take(Party::Core, || _ = core.poll(clock.now()));
    }));
    announce().expect("whoever traces listens");
    for _ in 0..TURNS {
        members.iter().for_each(Member::has_its_turn);
    }
    members.into_iter().for_each(Member::end);
}
