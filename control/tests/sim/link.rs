//! One direction of a cable with faults: delay, jitter (hence reordering), loss, duplication, bit flips, bandwidth.

use std::time::Duration;

use dataplane::clock::Instant;

use crate::frame;
use crate::rng::Rng;

/// What a link does to frames. Probabilities are in parts per million, times in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub delay_us: u64,
    /// Up to so much more delay, drawn for each frame by itself: what reorders.
    pub jitter_us: u64,
    pub loss_ppm: u32,
    /// So often nothing gets through for up to `spike_ms`: what waits then arrives at once, in order.
    pub spike_ppm: u32,
    pub spike_ms: u64,
    pub duplicate_ppm: u32,
    /// One bit of a TCP segment is flipped: headers that no checksum of the segment covers stay whole.
    pub flip_ppm: u32,
    /// Bytes a millisecond; 0 is without limit. A frame that would wait longer than `queue_us` is lost.
    pub bytes_per_ms: u64,
    pub queue_us: u64,
}

/// What became of a frame: when which bytes arrive; nothing when it was lost.
pub type Arrivals = Vec<(Instant, Vec<u8>)>;

/// One direction of one cable.
#[derive(Debug)]
pub struct Link {
    faults: Faults,
    rng: Rng,
    free_at: Instant,
    /// Until then everything waits.
    held_until: Instant,
}

impl Link {
    pub fn new(faults: Faults, rng: Rng) -> Link {
        Link { faults, rng, free_at: Instant::ZERO, held_until: Instant::ZERO }
    }

    /// Takes a frame at `now`.
    pub fn send(&mut self, now: Instant, frame: &[u8]) -> Arrivals {
        let Some(leaves) = self.serialize(now, frame.len()) else { return Vec::new() };
        if self.rng.chance(self.faults.loss_ppm) {
            return Vec::new();
        }
        if self.rng.chance(self.faults.spike_ppm) {
            let spike = Duration::from_millis(self.rng.magnitude(self.faults.spike_ms));
            self.held_until = self.held_until.max(now + spike);
        }
        let leaves = leaves.max(self.held_until);
        let copies = 1 + usize::from(self.rng.chance(self.faults.duplicate_ppm));
        let mut arrivals = Vec::with_capacity(2);
        for _ in 0..copies {
            let mut copy = frame.to_vec();
            if self.rng.chance(self.faults.flip_ppm) {
                self.flip(&mut copy);
            }
            let us = self.faults.delay_us + self.rng.below(self.faults.jitter_us + 1);
            arrivals.push((leaves + Duration::from_micros(us), copy));
        }
        arrivals
    }

    /// When the last bit of a frame has left; `None` when the queue in front of the link is full.
    fn serialize(&mut self, now: Instant, len: usize) -> Option<Instant> {
        if self.faults.bytes_per_ms == 0 {
            return Some(now);
        }
        let start = now.max(self.free_at);
        if start - now > Duration::from_micros(self.faults.queue_us) {
            return None;
        }
        let us = (len as u64 * 1000).div_ceil(self.faults.bytes_per_ms);
        self.free_at = start + Duration::from_micros(us);
        Some(self.free_at)
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        // Not twice on the same segment: the checksum misses two flips that cancel out.
        if let Some(segment) = frame::parse(bytes).filter(|segment| segment.checksum_ok) {
            let at = self.rng.between(segment.header.start as u64, segment.payload.end as u64 - 1);
            bytes[at as usize] ^= 1 << self.rng.below(8);
        }
    }
}

#[test]
fn a_fair_link_delays_and_nothing_else() {
    let faults = Faults { delay_us: 250, ..Faults::default() };
    let mut link = Link::new(faults, Rng::new(1));
    let now = Instant::from_millis(5);
    assert_eq!(link.send(now, &[1; 60]), [(now + Duration::from_micros(250), vec![1; 60])]);
}

#[test]
fn bandwidth_makes_frames_wait_and_then_drops() {
    let faults = Faults { bytes_per_ms: 1000, queue_us: 1500, ..Faults::default() };
    let mut link = Link::new(faults, Rng::new(1));
    let arrival =
        |link: &mut Link| link.send(Instant::ZERO, &[0; 1000]).first().map(|(at, _)| at.as_millis());
    let seen: Vec<_> = (0..4).map(|_| arrival(&mut link)).collect();
    assert_eq!(seen, [Some(1), Some(2), None, None]);
}
