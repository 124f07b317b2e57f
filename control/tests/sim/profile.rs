//! Kinds of worlds. A run is named by a profile and a seed; everything else is drawn from the seed.

use crate::link::Faults;
use crate::rng::Rng;
use crate::sender::Order;

/// Bounds that a world's details are drawn within.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    pub name: &'static str,
    pub connections: usize,
    /// Largest transfer in one direction of one connection, bytes.
    pub bytes: u64,
    pub loss_ppm: u32,
    /// Each cable's own loss is drawn between 0 and this, and `loss_ppm` does not count; 0: it does.
    pub worst_loss_ppm: u32,
    pub duplicate_ppm: u32,
    pub flip_ppm: u32,
    pub jitter_us: u64,
    /// So often a cable holds everything back, for up to `spike_ms`, and then delivers it in order.
    pub spike_ppm: u32,
    pub spike_ms: u64,
    pub bytes_per_ms: u64,
    pub vlan: bool,
    /// Buffers in the appliance's pool.
    pub pool: usize,
    /// Frames that a port takes before it refuses.
    pub tx_capacity: usize,
    /// Socket buffers of the hosts are no larger than this.
    pub window: u64,
    /// Ethernet MTUs that a host may have, header included.
    pub mtus: &'static [usize],
    /// Flows are never merged: both stacks of every flow carry all of it.
    pub stays: bool,
    /// Clocks are bad: the appliance stands still for seconds to minutes and sees only ticks, the hosts' clocks jump.
    pub bad_clocks: bool,
    /// Windows shrink and close on their way to the appliance.
    pub squeezes: bool,
    /// Routers behind the appliance have narrower links, and say so.
    pub narrow: bool,
    /// The module thinks, asks, changes its mind and lets flows pass.
    pub moody: bool,
    /// The module holds together whatever the client tries at once.
    pub together: bool,
    /// Somebody splits and merges flows all the time.
    pub splits: bool,
    /// The module keeps bytes back for a while.
    pub doubts: bool,
    /// And cuts connections now and then.
    pub cuts: bool,
    /// The module acknowledges through, and not only now and then.
    pub through: bool,
    /// Every client closes first, long before its server does.
    pub half_closes: bool,
    /// Clients are answered before their server is known, whose options are other ones.
    pub greets: bool,
    /// They are answered by their worker, with a cookie. Its module may be server-first.
    pub cookies: bool,
    /// The hosts' numbers pass 2^32 or 2^31 within each transfer.
    pub wraps: bool,
    /// The appliance replaces what the hosts say.
    pub edits: Edits,
}

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edits {
    None,
    /// By as many bytes.
    InPlace,
    /// By more, and by fewer.
    AnyLength,
}

/// Nothing goes wrong on the way; the others differ from it.
const CLEAN: Profile = Profile {
    name: "clean",
    connections: 12,
    bytes: 60_000,
    loss_ppm: 0,
    worst_loss_ppm: 0,
    duplicate_ppm: 0,
    flip_ppm: 0,
    jitter_us: 0,
    spike_ppm: 0,
    spike_ms: 0,
    bytes_per_ms: 0,
    vlan: false,
    pool: 4096,
    tx_capacity: usize::MAX,
    window: 100_000,
    mtus: &[1514, 1514, 1414, 1294],
    stays: false,
    bad_clocks: false,
    squeezes: false,
    narrow: false,
    moody: false,
    together: false,
    splits: false,
    doubts: false,
    cuts: false,
    through: false,
    half_closes: false,
    greets: false,
    cookies: false,
    wraps: false,
    edits: Edits::None,
};

/// The participating path alone, on cables that do nothing wrong.
const RELAY: Profile = Profile { name: "relay", connections: 8, stays: true, ..CLEAN };

/// What a path does now and then, and what a bad one does.
const ROUGH: Profile = Profile { loss_ppm: 10_000, duplicate_ppm: 5_000, jitter_us: 1_000, ..CLEAN };
const WORSE: Profile = Profile { loss_ppm: 20_000, duplicate_ppm: 10_000, jitter_us: 1_000, ..CLEAN };

/// Flows that change hands on a rough path.
const ROUGH_SPLIT: Profile = Profile { splits: true, bytes: 100_000, connections: 6, ..ROUGH };

/// All profiles, in the order in which they are run.
pub const PROFILES: &[Profile] = &[
    CLEAN,
    Profile { name: "vlan", vlan: true, ..CLEAN },
    Profile { name: "lossy", loss_ppm: 20_000, ..CLEAN },
    Profile { name: "reorder", jitter_us: 3_000, ..CLEAN },
    Profile { name: "duplicate", duplicate_ppm: 100_000, jitter_us: 200, ..CLEAN },
    Profile { name: "corrupt", flip_ppm: 20_000, ..CLEAN },
    Profile { name: "slow", bytes_per_ms: 250, ..CLEAN },
    Profile { name: "tight", pool: 48, tx_capacity: 3, window: 4_000, ..CLEAN },
    Profile {
        name: "hostile",
        loss_ppm: 30_000,
        duplicate_ppm: 30_000,
        flip_ppm: 10_000,
        jitter_us: 5_000,
        bytes: 30_000,
        window: 70_000,
        ..CLEAN
    },
    Profile { name: "bulk", connections: 3, bytes: 1_000_000, window: 300_000, jitter_us: 20, ..CLEAN },
    Profile { name: "crowd", connections: 80, bytes: 3_000, loss_ppm: 5_000, jitter_us: 500, ..CLEAN },
    RELAY,
    Profile { name: "storm", worst_loss_ppm: 300_000, bytes: 12_000, connections: 5, ..RELAY },
    Profile {
        name: "weather",
        worst_loss_ppm: 50_000,
        duplicate_ppm: 10_000,
        jitter_us: 20_000,
        bytes: 100_000,
        connections: 4,
        ..RELAY
    },
    Profile { name: "bloat", spike_ppm: 4_000, spike_ms: 4_000, worst_loss_ppm: 10_000, ..RELAY },
    Profile { name: "clocks", bad_clocks: true, worst_loss_ppm: 10_000, jitter_us: 1_000, ..RELAY },
    Profile { name: "squeezed", squeezes: true, worst_loss_ppm: 10_000, jitter_us: 300, ..RELAY },
    Profile { name: "tiny", mtus: &[102, 150, 310, 590], bytes: 6_000, ..RELAY },
    Profile { name: "narrow", narrow: true, worst_loss_ppm: 10_000, ..RELAY },
    Profile { name: "moody", moody: true, ..CLEAN },
    Profile { name: "moodier", moody: true, loss_ppm: 20_000, jitter_us: 500, duplicate_ppm: 5_000, ..CLEAN },
    Profile { name: "together", together: true, connections: 40, bytes: 6_000, ..CLEAN },
    Profile {
        name: "together-moody",
        together: true,
        moody: true,
        loss_ppm: 20_000,
        jitter_us: 500,
        duplicate_ppm: 5_000,
        ..CLEAN
    },
    Profile { name: "wrap", wraps: true, loss_ppm: 10_000, jitter_us: 300, ..CLEAN },
    Profile { name: "wrap-relay", wraps: true, worst_loss_ppm: 20_000, ..RELAY },
    Profile { name: "split", splits: true, bytes: 300_000, jitter_us: 20, connections: 6, ..CLEAN },
    Profile { name: "split-lossy", ..ROUGH_SPLIT },
    Profile { name: "greeted", greets: true, ..CLEAN },
    Profile { name: "greeted-split", greets: true, window: 300_000, ..ROUGH_SPLIT },
    Profile { name: "cookies", greets: true, cookies: true, ..CLEAN },
    Profile { name: "cookies-split", greets: true, cookies: true, window: 300_000, ..ROUGH_SPLIT },
    Profile {
        name: "cookies-hostile",
        greets: true,
        cookies: true,
        connections: 40,
        duplicate_ppm: 30_000,
        flip_ppm: 10_000,
        jitter_us: 5_000,
        bytes: 10_000,
        ..CLEAN
    },
    Profile { name: "held", doubts: true, bytes: 100_000, connections: 6, jitter_us: 20, ..CLEAN },
    Profile { name: "held-split", doubts: true, ..ROUGH_SPLIT },
    Profile { name: "cut", doubts: true, cuts: true, splits: true, bytes: 100_000, ..ROUGH },
    Profile { name: "split-wrap", splits: true, wraps: true, jitter_us: 20, ..CLEAN },
    Profile { name: "split-through", through: true, bytes: 200_000, splits: true, jitter_us: 20, ..CLEAN },
    Profile { name: "split-through-lossy", splits: true, through: true, ..ROUGH },
    Profile { name: "half-closed", splits: true, half_closes: true, bytes: 100_000, ..CLEAN },
    Profile { name: "half-closed-lossy", splits: true, half_closes: true, ..WORSE },
    Profile {
        name: "split-corrupt",
        splits: true,
        flip_ppm: 20_000,
        bytes: 100_000,
        connections: 6,
        ..CLEAN
    },
    Profile { name: "split-wrap-lossy", splits: true, wraps: true, bytes: 30_000, ..WORSE },
    Profile { name: "edited", edits: Edits::InPlace, ..CLEAN },
    Profile { name: "edited-lossy", edits: Edits::InPlace, wraps: true, ..WORSE },
    Profile {
        name: "edited-split",
        edits: Edits::InPlace,
        splits: true,
        bytes: 100_000,
        loss_ppm: 5_000,
        jitter_us: 300,
        ..CLEAN
    },
    Profile { name: "resized", edits: Edits::AnyLength, ..CLEAN },
    Profile {
        name: "resized-lossy",
        edits: Edits::AnyLength,
        loss_ppm: 20_000,
        duplicate_ppm: 5_000,
        jitter_us: 1_000,
        bytes: 30_000,
        ..CLEAN
    },
];

impl Profile {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<Profile> {
        PROFILES.iter().copied().find(|p| p.name == name)
    }

    /// Whether its modules may think about what a server has answered.
    pub fn ponders(&self) -> bool {
        self.moody || self.together
    }

    /// Whether a client may be told that it has a connection before anybody was asked.
    pub fn may_greet(&self) -> bool {
        self.moody || self.greets
    }

    /// Whether the ends cope without the appliance between them, so that a wire can be tried too.
    pub fn wires(&self) -> bool {
        !(self.narrow || self.squeezes || self.bad_clocks || self.edits != Edits::None)
    }

    /// What a sender may expect. smoltcp does not acknowledge every second segment when its own MTU is tiny: tail probes
    /// are right then.
    pub fn order(&self) -> Order {
        let mixed = self.jitter_us > 0 || self.duplicate_ppm > 0 || self.spike_ppm > 0 || self.flip_ppm > 0;
        if mixed || self.bad_clocks || self.squeezes {
            return Order::Broken;
        }
        let fair = !self.loses() && !self.narrow && self.mtus == CLEAN.mtus;
        if fair { Order::Fair } else { Order::Kept }
    }

    /// Whether a frame can get lost: without that, nothing may be missing at any end.
    pub fn loses(&self) -> bool {
        self.loss_ppm > 0
            || self.worst_loss_ppm > 0
            || self.flip_ppm > 0
            || self.bytes_per_ms > 0
            || self.pool < 1000
    }

    /// The faults of one direction of one link.
    pub fn faults(&self, rng: &mut Rng) -> Faults {
        let loss_ppm = match self.worst_loss_ppm {
            0 => self.loss_ppm,
            worst => rng.between(0, worst.into()) as u32,
        };
        Faults {
            delay_us: rng.magnitude(20_000),
            jitter_us: self.jitter_us,
            loss_ppm,
            spike_ppm: self.spike_ppm,
            spike_ms: self.spike_ms,
            duplicate_ppm: self.duplicate_ppm,
            flip_ppm: self.flip_ppm,
            bytes_per_ms: self.bytes_per_ms,
            queue_us: 50_000,
        }
    }
}
