//! The appliance itself as the box in the middle: the real worker and control core, rings included, on one thread.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use control::core::context::Settings;
use control::core::secret::IsnKey;
use control::core::{self, Core, WorkerLink};
use control::module::relay::{MergeWhen, Relay};
use control::module::several::{Complete, Several, Together};
use control::module::{Acknowledge, Isn, Module, ServerAck};
use control::suspended::{self, WhenFull};
use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::quad::{Direction, Quad};
use dataplane::inspect::{Inspection, Manner, places};
use dataplane::packet::{Packet, parse};
use dataplane::policy::{Action, CookieUse, Defaults, Fallback, Installed, RuleSpec, Snapshot, Strays};
use dataplane::port::sim::{SimBuffer, SimPeer, SimPool, SimPort};
use dataplane::port::{Burst, Port, PortId};
use dataplane::refusal::Rejection;
use dataplane::worker::mailbox::mailbox;
use dataplane::worker::steer::{Neighbours, Steering};
use dataplane::worker::transmit::Line;
use dataplane::worker::{self, Limits, Timeouts, Worker};

use crate::books;
use crate::content;
use crate::doubtful::{Cuts, Doubtful};
use crate::hands::Hands;
use crate::middle::{Middle, Parts};
use crate::moody::Moody;
use crate::profile::{Edits, Profile};
use crate::rng::Rng;
use crate::tap::Tap;

/// What workers keep of flows that are edited. With few places most merges have to wait for one.
const INSPECTED: places::Limits = places::Limits { flows: 64, bytes: 1 << 23, waiting: 256 };
const FEW_INSPECTED: places::Limits = places::Limits { flows: 2, ..INSPECTED };

const CLIENT: PortId = PortId(0);
const SERVER: PortId = PortId(1);
/// How long a round of the appliance takes when it has something left to do.
const ROUND: Duration = Duration::from_micros(10);

/// Nothing is given up before the judge has given up: ten lost retransmissions in a row are no more than bad luck.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// One worker with the queues that a device's spreading would give it.
struct Lane {
    worker: Worker<SimPort>,
    queues: [SimPeer; 2],
}

/// Workers, control core, and the device that spreads frames over the workers' queues.
pub struct Appliance {
    ports: [SimPort; 2],
    refused: [Burst<SimBuffer>; 2],
    lanes: Vec<Lane>,
    core: Core<SimPool>,
    busy: bool,
    /// Who orders hand-overs.
    hands: Option<Hands>,
    /// No flow is ever merged.
    stays: bool,
    /// Connections that its module has cut.
    cuts: Cuts,
    /// Streams become others on their way.
    resizes: bool,
    /// Its clock moves by so many nanoseconds at a time.
    tick: u64,
    now: Instant,
}

impl Appliance {
    pub fn build(mut parts: Parts) -> Box<dyn Middle> {
        let merge = match parts.rng.below(5) {
            _ if parts.profile.stays => MergeWhen::Never,
            // Merged when somebody says so.
            _ if parts.profile.half_closes => MergeWhen::AfterBytes(1 << 40),
            0 if parts.profile.splits => MergeWhen::Established,
            0 => MergeWhen::Never,
            1 => MergeWhen::FirstResponse,
            2 => MergeWhen::AfterBytes(parts.rng.below(20_000)),
            _ => MergeWhen::Established,
        };
        let isn = if parts.rng.below(2) == 0 { Isn::Mirror } else { Isn::Keyed };
        let server_ack = if parts.rng.below(4) == 0 { ServerAck::AtOnce } else { ServerAck::AfterClient };
        let workers = 1 + parts.rng.below(2) as usize;
        // A look ahead takes nothing from the worlds' other dice: seeds mean what they meant.
        let is_client_first =
            parts.profile.greets && !(parts.profile.cookies && parts.rng.clone().below(2) == 0);
        let client_first = is_client_first.then_some(Duration::from_millis(300));
        // Who is acknowledged through may wait for that with the rest of a pattern.
        let waits = parts.profile.edits != Edits::None;
        let through = parts.rng.clone().below(3) == 0 || parts.profile.through;
        let is_through = through && client_first.is_none() && !waits && !parts.profile.cookies;
        let acknowledge = if is_through { Acknowledge::Through } else { Acknowledge::Receipt };
        let relay = Relay { merge, server_ack, isn, acknowledge, client_first };
        let stays = merge == MergeWhen::Never;
        let mut module: Box<dyn Module> = if parts.profile.moody {
            Box::new(Moody::new(relay, parts.rng.clone().fork(7), stays))
        } else {
            Box::new(relay)
        };
        if parts.profile.together {
            module = Box::new(Several::new(module, together(&mut parts.rng.clone().fork(9))));
        }
        let cuts = Cuts::default();
        if parts.profile.doubts {
            let given = parts.profile.cuts.then(|| Arc::clone(&cuts));
            module = Box::new(Doubtful::new(module, parts.rng.clone().fork(13), given));
        }
        Box::new(Appliance { cuts, ..Appliance::new(parts, workers, module, stays) })
    }

    fn new(parts: Parts, workers: usize, module: Box<dyn Module>, stays: bool) -> Appliance {
        let Parts { client, server, pool, mut rng, profile } = parts;
        let heartbeat = Arc::default();
        let steering = match workers {
            1 => Steering::Single,
            n => Steering::Hash { hash: KeyedHash::new(key(&mut rng)), workers: n as u32 },
        };
        let cookies = cookies(profile, &rng);
        let rules = Arc::new(everything_is_offered(profile.edits).with_cookies(vec![cookies]));
        let has_few_places = profile.edits != Edits::None && rng.fork(17).below(4) == 0;
        let mut links = Vec::new();
        let mut lanes = Vec::new();
        for (id, neighbours) in Neighbours::mesh(workers, 256).into_iter().enumerate() {
            let (event_sender, events) = mailbox(1024);
            let (orders, order_receiver) = mailbox(1024);
            links.push(WorkerLink { events, orders });
            let (client_port, client_queue) = SimPort::new(usize::MAX);
            let (server_port, server_queue) = SimPort::new(usize::MAX);
            let worker = Worker::new(worker::Parts {
                id,
                lines: vec![Line::new(client_port, SERVER, 0, 1500), Line::new(server_port, CLIENT, 0, 1500)],
                limits: Limits { flows: 256, parked: 256, far_sides: 4 },
                timeouts: timeouts(),
                hash: KeyedHash::new(key(&mut rng)),
                cookie_key: [5, id as u64],
                steering: steering.clone(),
                neighbours,
                events: event_sender,
                orders: order_receiver,
                icmp_errors: Default::default(),
                policy: Box::new(Installed::new(Arc::clone(&rules))),
                heartbeat: Arc::clone(&heartbeat),
                report: Arc::default(),
            });
            let worker = match profile.edits {
                Edits::None => worker,
                _ if has_few_places => worker.with_inspection(FEW_INSPECTED, [3; 4]),
                _ => worker.with_inspection(INSPECTED, [3; 4]),
            };
            lanes.push(Lane { worker, queues: [client_queue, server_queue] });
        }
        let core = Core::new(core::Parts {
            links,
            pool,
            modules: vec![module],
            settings: settings(&mut rng),
            heartbeat,
            report: Arc::default(),
            buffered: Arc::default(),
        });
        let core = core.with_rules(rules);
        let hands = profile.splits.then(|| Hands::new(rng.fork(11)));
        let ports = [client, server];
        let now = Instant::ZERO;

        let tick = if profile.bad_clocks { rng.pick(&[1, 1_000_000, 10_000_000, 50_000_000]) } else { 1 };
        Appliance {
            ports,
            refused: Default::default(),
            lanes,
            core,
            busy: false,
            hands,
            stays,
            cuts: Cuts::default(),
            resizes: profile.edits == Edits::AnyLength,
            tick,
            now,
        }
    }

    /// What a device without symmetric RSS does: each direction of a flow to some worker's queue, never to the right one
    /// on purpose, and always to the same.
    fn spread_received(&mut self) -> usize {
        let mut work = 0;
        for side in 0..2 {
            let mut burst: Burst<SimBuffer> = Burst::new();
            while self.ports[side].receive(&mut burst) > 0 {
                work += burst.len();
                for frame in burst.drain(..) {
                    let lane = match parse(frame.bytes()) {
                        Ok(Packet::Tcp(headers)) => usize::from(headers.quad.client_port) + side,
                        _ => 0,
                    };
                    self.lanes[lane % self.lanes.len()].queues[side].deliver(frame);
                }
            }
        }
        work
    }

    /// What workers have sent goes to the wire, as far as the wire takes it.
    fn collect_sent(&mut self) -> usize {
        let mut work = 0;
        for side in 0..2 {
            let refused = &mut self.refused[side];
            loop {
                for lane in &self.lanes {
                    while !refused.is_full() {
                        let Some(frame) = lane.queues[side].collect() else { break };
                        refused.push(frame);
                    }
                }
                if refused.is_empty() || self.ports[side].transmit(refused) == 0 {
                    break;
                }
                work += 1;
            }
        }
        work
    }

    fn count(&self, counter: Counter) -> u64 {
        let workers: u64 = self.lanes.iter().map(|lane| lane.worker.counters().get(counter)).sum();
        workers + self.core.counters().get(counter)
    }
}

impl Middle for Appliance {
    fn poll(&mut self, now: Instant) {
        let now = Instant::from_nanos(now.as_nanos() / self.tick * self.tick);
        self.now = now;
        if let Some(hands) = &mut self.hands {
            hands.act(now, self.lanes.iter().map(|lane| &lane.worker), &mut self.core);
        }
        loop {
            let mut work = self.spread_received();
            for lane in &mut self.lanes {
                work += lane.worker.poll(now);
            }
            work += self.core.poll(now);
            work += self.collect_sent();
            if work == 0 {
                break;
            }
        }
        self.busy = self.refused.iter().any(|burst| !burst.is_empty());
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.busy {
            return Some(self.now + ROUND.max(Duration::from_nanos(self.tick)));
        }
        let deadline = self.core.next_deadline(self.now);
        let order = self.hands.as_ref().and_then(Hands::next).map(|at| at.max(self.now));
        let deadline = order.map_or(deadline, |order| order.min(deadline)).as_nanos();
        Some(Instant::from_nanos(deadline.div_ceil(self.tick) * self.tick))
    }

    fn held_bytes(&self, quad: &Quad, direction: Direction) -> Option<u64> {
        if self.resizes {
            return None;
        }
        let of_flow = self.core.connections().find(|connection| connection.key().quad == *quad);
        Some(of_flow.map_or(0, |connection| connection.held_bytes(direction)))
    }

    fn has_cut(&self, quad: &Quad) -> bool {
        self.cuts.lock().expect("no panic").contains(quad)
    }

    fn sends_itself(&self) -> bool {
        self.stays
    }

    /// A flow whose ends have both gone, and whose last RST was lost, keeps what it has got behind a hole until it expires.
    fn may_keep(&self, buffers: usize) -> bool {
        buffers as u64 <= self.core.load().bytes
    }

    fn check(&self, _tap: &Tap, _now: Instant) -> Result<(), String> {
        let workers = self.lanes.iter().map(|lane| &lane.worker);
        books::ownership(workers.clone(), &self.core)?;
        books::names(workers, &self.core)
    }

    fn dump(&self) -> String {
        let mut text = String::new();
        for counter in Counter::ALL {
            let n = self.count(*counter);
            if n > 0 {
                text += &format!("  {} {n}\n", counter.name());
            }
        }
        for lane in &self.lanes {
            for slot in lane.worker.table().occupied(0..u32::MAX) {
                text += &format!(
                    "  {} {:?}\n",
                    lane.worker.table().key(slot).quad,
                    lane.worker.table().object(slot)
                );
            }
        }
        text += &format!("  {} partial connections\n", self.core.suspended());
        for connection in self.core.connections() {
            text += &format!("  {connection:?}\n");
        }
        text
    }
}

fn key(rng: &mut Rng) -> [u64; 4] {
    std::array::from_fn(|_| rng.next())
}

fn cookies(profile: Profile, rng: &Rng) -> CookieUse {
    match rng.clone().fork(23).below(4) {
        _ if !profile.cookies => CookieUse::Never,
        0 => CookieUse::UnderFlood,
        _ => CookieUse::Always,
    }
}

fn everything_is_offered(edits: Edits) -> Snapshot {
    let rule = RuleSpec::everything(Action::Offer { module: 0 });
    let defaults = Defaults {
        action: Action::Pass,
        strays: Strays::Drop,
        flows_full: Fallback::Drop,
        on_control_stall: Fallback::Drop,
    };
    let snapshot = Snapshot::compile(&[rule], defaults).expect("one rule fits");
    if edits == Edits::None {
        return snapshot;
    }
    // Nobody says half a pattern and waits.
    let manner = Manner { hold: PATIENCE, ..Manner::default() };
    let inspection = Inspection::new(&content::patterns(edits), manner).expect("few patterns");
    snapshot.with_inspections(vec![Arc::new(inspection)], vec![0])
}

/// All that one client tries of the one server, whatever the ports; sometimes more than there is room for.
fn together(rng: &mut Rng) -> Together {
    Together {
        ports: vec![1..=u16::MAX],
        complete: Complete::Each,
        wait: Duration::from_millis(1 + rng.below(2_000)),
        afterwards: Duration::ZERO,
        others: Rejection::Reset,
        outstanding: NonZeroUsize::new(1 + rng.below(30) as usize).expect("at least one"),
    }
}

fn timeouts() -> Timeouts {
    Timeouts {
        opening: PATIENCE,
        established: PATIENCE,
        half_closed: PATIENCE,
        linger: Duration::from_secs(10),
        control_stall: PATIENCE,
    }
}

fn settings(rng: &mut Rng) -> Settings {
    let leg = control::tcp::Limits {
        send_buffer: 1 << 20,
        receive_buffer: 1 << 20,
        syn_timeout: PATIENCE,
        user_timeout: PATIENCE,
        ..Default::default()
    };
    let isn_key = key(rng);
    Settings {
        leg,
        connections: 256,
        when_full: Fallback::Drop,
        suspended: suspended::Limits::of(128),
        when_suspended_full: WhenFull::Oldest,
        history: NonZeroUsize::MIN,
        buffered: 1 << 24,
        held_per_flow: 128,
        held: 1024,
        drain: Duration::from_millis(150),
        // A look ahead, too. Nearly every merge is made in motion, as configured by default, or every one drains.
        drain_up_to: rng.clone().fork(14).pick(&[0, 16 << 10, 64 << 20]),
        refused: Duration::from_secs(10),
        icmp_errors: Default::default(),
        idle_established: PATIENCE,
        half_closed: PATIENCE,
        isn_key: IsnKey::new(isn_key),
        peers: vec![SERVER, CLIENT],
        mtu: vec![1500, 1500],
    }
}
