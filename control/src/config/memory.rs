//! How much memory a configuration takes at start (DESIGN invariant 6), and the sizes that follow from it.

use std::net::{IpAddr, SocketAddr};

use dataplane::clock::Instant;
use dataplane::flow::quad::Segment;
use dataplane::flow::table::FlowTable;
use dataplane::memory::{lasting, table_bytes};
use dataplane::policy::Hits;
use dataplane::worker::message::BYTES_PER_MESSAGE;
use dataplane::worker::parked::Parked;

use super::validated::{self, Config, Limits, ModuleKind, Port};
use crate::core::BYTES_PER_ANSWER;
use crate::module::Outcome;
use crate::policy::compile::compile;
use crate::programs;
use crate::suspended::Suspended;
use crate::tcp::Handshake;

/// Buffers that each thread's pool cache may keep out of others' reach.
pub const BUFFER_CACHE: u32 = 256;

/// DPDK's default headroom, bytes.
const HEADROOM: u64 = 128;
/// `struct rte_mbuf` and the pool's object header, bytes.
const BUFFER_HEADER: u64 = 128 + 64;
/// Ethernet header, two VLAN tags, FCS.
const FRAME_OVERHEAD: u64 = 14 + 8 + 4;
/// Many NICs take buffer sizes in KiB only, and DPDK's own default leaves 2 KiB.
const DATA_ROOM_STEP: u64 = 1024;
/// The two TCBs of a participating flow and their lists, without what their buffers hold (`tests/core/crowd.rs`).
pub const BYTES_PER_PARTICIPATING: u64 = 8 * 1024;
/// One message between a worker and the control core.
const MESSAGE: u64 = BYTES_PER_MESSAGE as u64;
/// An entry of an LRU list besides what it holds: its links, and two buckets of the index (two pointers and a control byte).
const LINKS: usize = 2 * size_of::<usize>() + 2 * (2 * size_of::<usize>() + 1);
/// What is known of one server and of one client (`core/history.rs`).
const HISTORY: u64 = (size_of::<((Segment, SocketAddr), ((Outcome, Instant), Option<Handshake>))>()
    + size_of::<((Segment, IpAddr), (Outcome, Instant))>()
    + 2 * LINKS) as u64;
/// Rules of before and of now, and buckets of both, are there at once while a reload is under way.
const AT_ONCE: u64 = 2;
/// An ordinary page.
const PAGE: u64 = 4096;
/// What EAL and the drivers take besides the pool.
const EAL_OVERHEAD: u64 = 64 << 20;

/// Bytes that a configuration takes, by what takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The pool of packet buffers, inside DPDK's memory.
    pub buffers: u64,
    /// DPDK's memory as a whole, as asked of EAL.
    pub dpdk: u64,
    /// Flow tables of all workers.
    pub flows: u64,
    /// Lists of far sides of all workers.
    pub far_sides: u64,
    /// What workers keep of the flows that they search, and what they search for; the latter twice, for a reload.
    pub inspection: u64,
    /// Rules, and how often each has decided on every worker; twice, for a reload.
    pub rules: u64,
    /// Buckets of the rules' rates of all workers; twice, for a reload.
    pub rates: u64,
    /// Partial connections of all workers.
    pub suspended: u64,
    /// What is known of servers and clients.
    pub history: u64,
    /// What the pipes of all connections that programs may have accepted hold at the most.
    pub streams: u64,
    /// Places of packets that wait: for merges on all workers, and of the control core (`limits.held_packets`, each time). Those
    /// of searched flows are in [`MemoryNeed::inspection`].
    pub held: u64,
    /// TCBs and their buffers.
    pub participating: u64,
    /// Rings between workers and the control core.
    pub mailboxes: u64,
}

impl MemoryNeed {
    /// What `config` takes.
    pub fn of(config: &Config) -> MemoryNeed {
        let workers = config.cores.workers.len() as u64;
        let limits = &config.limits;
        let table = |far_sides: u32| FlowTable::bytes_for(limits.flows as usize, far_sides as usize) as u64;
        let (flows, with_far_sides) = (table(0), table(limits.far_sides));
        MemoryNeed {
            buffers: pool_bytes(config.memory.buffers, config.memory.data_room, config.memory.hugepages),
            dpdk: u64::from(config.memory.megabytes) << 20,
            flows: workers * flows,
            far_sides: workers * (with_far_sides - flows),
            inspection: inspection(config, workers),
            rules: AT_ONCE * rules(config, workers),
            rates: AT_ONCE * workers * rates(config),
            suspended: Suspended::bytes(&config.suspended_limits()) as u64,
            history: u64::from(limits.history) * HISTORY,
            streams: config.modules.iter().map(streams).sum(),
            held: workers * Parked::<usize>::bytes_for(limits.held_packets as usize) as u64
                + kept_answers(config),
            participating: u64::from(limits.participating) * BYTES_PER_PARTICIPATING
                + limits.participating_bytes,
            mailboxes: workers * 2 * u64::from(limits.mailbox) * MESSAGE,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        let tables = self.flows
            + self.far_sides
            + self.inspection
            + self.rules
            + self.rates
            + self.suspended
            + self.history
            + self.held;
        self.dpdk + tables + self.participating + self.streams + self.mailboxes
    }
}

fn rules(config: &Config, workers: u64) -> u64 {
    // Too many to be compiled is reported where they are.
    let shared = compile(config).map_or(0, |snapshot| snapshot.bytes());
    shared as u64 + workers * Hits::bytes(config.rules.len()) as u64
}

fn inspection(config: &Config, workers: u64) -> u64 {
    let automata: usize = config.inspections.iter().map(|inspection| inspection.compiled.bytes()).sum();
    workers * config.inspection_limits().bytes() as u64 + AT_ONCE * automata as u64
}

/// Room for answers of servers that modules think about (`core/offers/kept.rs`).
fn kept_answers(config: &Config) -> u64 {
    let most = (config.limits.held_packets as usize).min(config.suspended_limits().capacity);
    table_bytes(lasting(most), BYTES_PER_ANSWER) as u64
}

fn rates(config: &Config) -> u64 {
    config.rules.iter().flat_map(|rule| &rule.matches.rate).map(|rate| rate.bytes() as u64).sum()
}

fn streams(module: &validated::Module) -> u64 {
    match &module.kind {
        ModuleKind::Program(program) => u64::from(program.streams) * programs::BYTES_PER_STREAM,
        _ => 0,
    }
}

/// Bytes of a buffer that takes a whole frame of `mtu` behind the headroom.
pub(super) fn data_room(mtu: u16) -> u16 {
    let frame = (u64::from(mtu) + FRAME_OVERHEAD).max(2 * DATA_ROOM_STEP);
    (HEADROOM + frame.next_multiple_of(DATA_ROOM_STEP)) as u16
}

/// Buffers below which some ring, held packet or cache could starve the others.
pub(super) fn least_buffers(ports: &[Port], workers: usize, limits: &Limits) -> u64 {
    let workers = workers as u64;
    // Each worker's queue of a port has a cable of two directions.
    let cables: u64 =
        ports.iter().flat_map(|port| &port.impairment).map(|cable| 2 * cable.queue as u64).sum();
    let ports = ports.len() as u64;
    let rings = ports * workers * (u64::from(limits.receive_ring) + u64::from(limits.transmit_ring));
    let mailboxes = workers * 2 * u64::from(limits.mailbox);
    let caches = (workers + 1) * u64::from(BUFFER_CACHE);
    // What is parked and what inspections let wait on each worker, and what the control core holds.
    let held = (2 * workers + 1) * u64::from(limits.held_packets);
    rings + mailboxes + held + caches + workers * cables
}

/// Bytes of a pool. DPDK lets no buffer cross a page while it works with physical addresses, which is what it does as root
/// without an IOMMU; huge pages hide it, ordinary ones leave the rest of each page unused.
pub(super) fn pool_bytes(buffers: u32, data_room: u16, hugepages: bool) -> u64 {
    let (buffers, buffer) = (u64::from(buffers), (BUFFER_HEADER + u64::from(data_room)).next_multiple_of(64));
    match PAGE / buffer {
        _ if hugepages => buffers * buffer,
        0 => buffers * buffer.next_multiple_of(PAGE),
        in_a_page => buffers.div_ceil(in_a_page) * PAGE,
    }
}

/// Megabytes below which EAL or a driver is likely to fail.
pub(super) fn least_megabytes(pool: u64) -> u64 {
    (pool + pool / 8 + EAL_OVERHEAD).div_ceil(1 << 20)
}
