//! Worker, control core and ports in memory.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use control::core::context::Settings;
use control::core::secret::IsnKey;
use control::core::{self, Core, WorkerLink};
use control::module::relay::{MergeWhen, Relay};
use control::module::{Acknowledge, Isn, ServerAck};
use control::suspended::{self, WhenFull};
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::hash::KeyedHash;
use dataplane::policy::{Action, Defaults, Fallback, Installed, RuleSpec, Snapshot, Strays};
use dataplane::port::PortId;
use dataplane::port::sim::{SimBuffer, SimPeer, SimPool, SimPort};
use dataplane::worker::mailbox::mailbox;
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{self, Limits, Timeouts, Worker};

use super::books;

const CLIENT: PortId = PortId(0);
const SERVER: PortId = PortId(1);

/// Rounds of worker and control core without rest after which they are declared restless.
const ROUNDS: usize = 2_000;

/// Bytes that all legs together may keep, and what a direction that kept nothing may have taken on top.
const BUFFERED: u64 = 100_000;
const SLACK: u64 = FLOWS as u64 * 4 * 2_048;
const FLOWS: usize = 6;

/// The appliance and its cables.
pub struct Rig {
    worker: Worker<SimPort>,
    core: Core<SimPool>,
    peers: [SimPeer; 2],
    pool: SimPool,
    now: Instant,
}

impl Rig {
    pub fn draw(u: &mut Unstructured<'_>, pool: SimPool) -> Result<Rig> {
        let relay = Relay {
            merge: match u.int_in_range(0..=5)? {
                0..=2 => MergeWhen::Never,
                3 => MergeWhen::FirstResponse,
                4 => MergeWhen::AfterBytes(u.arbitrary::<u16>()?.into()),
                _ => MergeWhen::Established,
            },
            server_ack: if u.arbitrary()? { ServerAck::AtOnce } else { ServerAck::AfterClient },
            isn: if u.arbitrary()? { Isn::Mirror } else { Isn::Keyed },
            acknowledge: if u.ratio(1u8, 4u8)? { Acknowledge::Through } else { Acknowledge::Receipt },
            client_first: if u.ratio(1u8, 6u8)? { Some(Duration::from_secs(1)) } else { None },
        };
        let strays = if u.arbitrary()? { Strays::Drop } else { Strays::Reset };
        // Small mailboxes: full ones are part of life.
        let (event_sender, events) = mailbox(1 << u.int_in_range(2..=8)?);
        let (orders, order_receiver) = mailbox(1 << u.int_in_range(2..=8)?);
        let (client, client_peer) = SimPort::new(usize::MAX);
        let (server, server_peer) = SimPort::new(usize::MAX);
        let heartbeat = Arc::default();
        let worker = Worker::new(worker::Parts {
            id: 0,
            lines: vec![Line::new(client, SERVER, 0, 1500), Line::new(server, CLIENT, 0, 1500)],
            limits: Limits { flows: FLOWS + 2, parked: 8, far_sides: 4 },
            timeouts: timeouts(),
            hash: KeyedHash::new([1, 2, 3, 4]),
            cookie_key: [5, 6],
            steering: Steering::Single,
            neighbours: Neighbours::mesh(1, 1).pop().expect("one worker's"),
            events: event_sender,
            orders: order_receiver,
            icmp_errors: Default::default(),
            policy: Box::new(Installed::new(Arc::new(policy(strays)))),
            heartbeat: Arc::clone(&heartbeat),
            report: Arc::default(),
        });
        let core = Core::new(core::Parts {
            links: vec![WorkerLink { events, orders }],
            pool: pool.clone(),
            modules: vec![Box::new(relay)],
            settings: settings(),
            heartbeat,
            report: Arc::default(),
            buffered: Arc::default(),
        });
        let peers = [client_peer, server_peer];
        Ok(Rig { worker, core, peers, pool, now: Instant::from_millis(1_000) })
    }

    /// A frame arrives at the port on `side`, if there is a buffer for it.
    pub fn deliver(&mut self, side: usize, frame: &[u8]) {
        if let Some(buffer) = self.pool.copy_of(frame) {
            self.peers[side].deliver(buffer);
        }
    }

    /// Time passes, as far as the next deadline at a time.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..64 {
            let next = self.core.next_deadline(self.now);
            if next >= end {
                break;
            }
            assert!(next > self.now, "a timer fires for ever at {:?}", self.now);
            self.now = next;
            self.settle();
        }
        // The rest at one go, as if the machine had stood still.
        self.now = end;
    }

    /// Everything that is to be done at this moment.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if self.worker.poll(self.now) + self.core.poll(self.now) == 0 {
                return;
            }
        }
        panic!("no rest after {ROUNDS} rounds at {:?}", self.now);
    }

    /// The next frame that has left, and on which side.
    pub fn collect(&mut self) -> Option<(usize, SimBuffer)> {
        (0..2).find_map(|side| Some((side, self.peers[side].collect()?)))
    }

    /// The counters that have counted, of the worker and of the control core.
    fn counters(&self) -> String {
        let values = |counter| (self.worker.counters().get(counter), self.core.counters().get(counter));
        let counted = Counter::ALL.iter().filter(|counter| values(**counter) != (0, 0));
        counted.map(|counter| format!("{} {:?}\n", counter.name(), values(*counter))).collect()
    }

    /// What holds at rest, when everything sent has been collected.
    pub fn check(&self) {
        let workers = [&self.worker];
        let books = books::ownership(workers.into_iter(), &self.core)
            .and_then(|()| books::names(workers.into_iter(), &self.core));
        books.unwrap_or_else(|what| {
            panic!(
                "{what}
{}",
                self.counters()
            )
        });
        let load = self.core.load();
        let kept: u64 = self.core.connections().map(|connection| connection.load().bytes).sum();
        assert_eq!(load.bytes, kept, "bytes kept, by the sum and by the connections");
        assert!(load.bytes <= BUFFERED + SLACK, "{} bytes are kept", load.bytes);
    }
}

fn policy(strays: Strays) -> Snapshot {
    let rule =
        RuleSpec { destination_ports: vec![80..=80], ..RuleSpec::everything(Action::Offer { module: 0 }) };
    let defaults = Defaults {
        action: Action::Monitor,
        strays,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    Snapshot::compile(&[rule], defaults).expect("one rule fits")
}

fn timeouts() -> Timeouts {
    Timeouts {
        opening: Duration::from_secs(75),
        established: Duration::from_secs(900),
        half_closed: Duration::from_secs(60),
        linger: Duration::from_secs(10),
        control_stall: Duration::from_secs(86_400),
    }
}

fn settings() -> Settings {
    let leg = control::tcp::Limits {
        send_buffer: 16_384,
        receive_buffer: 16_384,
        max_chunks: 8,
        max_reassembly_segments: 8,
        ..Default::default()
    };
    Settings {
        leg,
        connections: FLOWS,
        when_full: Fallback::Drop,
        suspended: suspended::Limits::of(4),
        when_suspended_full: WhenFull::Oldest,
        history: NonZeroUsize::MIN,
        buffered: BUFFERED,
        held_per_flow: 4,
        held: 8,
        drain: Duration::from_millis(150),
        drain_up_to: 16 << 10,
        refused: Duration::from_secs(10),
        icmp_errors: Default::default(),
        idle_established: Duration::from_secs(800),
        half_closed: Duration::from_secs(60),
        isn_key: IsnKey::new([5, 6, 7, 8]),
        peers: vec![SERVER, CLIENT],
        mtu: vec![1500, 1500],
    }
}
