//! Kinds of worlds. A run is named by a profile and a seed; everything else is drawn from the seed.

use crate::link::Faults;
use crate::rng::Rng;

/// Bounds that a world's details are drawn within.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    pub name: &'static str,
    pub connections: usize,
    /// Largest transfer in one direction of one connection, bytes.
    pub bytes: u64,
    pub loss_ppm: u32,
    pub duplicate_ppm: u32,
    pub flip_ppm: u32,
    pub jitter_us: u64,
    pub bytes_per_ms: u64,
    pub vlan: bool,
    /// Buffers in the appliance's pool.
    pub pool: usize,
    /// Frames that a port takes before it refuses.
    pub tx_capacity: usize,
    /// Socket buffers of the hosts are no larger than this.
    pub window: u64,
}

/// Nothing goes wrong on the way; the others differ from it.
const CLEAN: Profile = Profile {
    name: "clean",
    connections: 12,
    bytes: 60_000,
    loss_ppm: 0,
    duplicate_ppm: 0,
    flip_ppm: 0,
    jitter_us: 0,
    bytes_per_ms: 0,
    vlan: false,
    pool: 4096,
    tx_capacity: usize::MAX,
    window: 100_000,
};

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
];

impl Profile {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<Profile> {
        PROFILES.iter().copied().find(|p| p.name == name)
    }

    /// Whether the ends cope without the appliance between them, so that a wire can be tried too.
    pub fn wires(&self) -> bool {
        true
    }

    /// Whether a frame can get lost: without that, nothing may be missing at any end.
    pub fn loses(&self) -> bool {
        self.loss_ppm > 0 || self.flip_ppm > 0 || self.bytes_per_ms > 0 || self.pool < 1000
    }

    /// The faults of one direction of one link.
    pub fn faults(&self, rng: &mut Rng) -> Faults {
        Faults {
            delay_us: rng.magnitude(20_000),
            jitter_us: self.jitter_us,
            loss_ppm: self.loss_ppm,
            duplicate_ppm: self.duplicate_ppm,
            flip_ppm: self.flip_ppm,
            bytes_per_ms: self.bytes_per_ms,
            queue_us: 50_000,
        }
    }
}
