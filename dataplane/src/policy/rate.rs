//! Rules on how many SYNs come in a second: token buckets, of a rule or of each source prefix.
//!
//! A bucket is one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371): nothing has to
//! fill it. A full bucket is as good as none, so the table of source prefixes keeps only those that have been drawn
//! from, and forgets each as soon as it is full again.
//!
//! Workers share nothing on the packet path: each has buckets of its own with its share of the rate and of the burst. SYNs spread
//! over workers by their quads, so the shares are used up alike; a few sources with a few connections may meet the limit of one
//! worker before that of all.

use std::net::IpAddr;

use crate::clock::Instant;
use crate::flow::quad::Addresses;

const SECOND: u64 = 1_000_000_000;
/// Buckets in a set: a cache line.
const WAYS: usize = 4;

/// Which SYNs a rule with a rate matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Those that the rate admits.
    Within,
    /// Those beyond it.
    Above,
}

/// What has a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// The rule.
    Rule,
    /// Each prefix that SYNs come from.
    Source {
        /// Bits of an IPv4 address that make a prefix.
        prefix_v4: u8,
        /// The same of an IPv6 address.
        prefix_v6: u8,
        /// Prefixes, of each worker, whose bucket is not full; 16 bytes each.
        sources: u32,
        /// What a SYN of one more prefix counts as.
        when_full: Side,
    },
}

/// How many SYNs in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateSpec {
    /// SYNs a second, of all workers together; at least 1.
    pub per_second: u32,
    /// SYNs at once; at least 1.
    pub burst: u32,
    /// Which ones the rule matches.
    pub side: Side,
    /// What is counted together.
    pub per: Per,
}

impl RateSpec {
    /// Bytes that its buckets take on each worker.
    pub const fn bytes(&self) -> usize {
        size_of::<Rate>()
            + match self.per {
                Per::Rule => 0,
                Per::Source { sources, .. } => {
                    size_of::<Sources>() + (sources as usize).div_ceil(WAYS) * size_of::<Set>()
                }
            }
    }
}

/// A source prefix and when its bucket is full.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Bucket {
    /// Hash of the prefix: two that collide share a bucket, once in 2^64.
    source: u64,
    /// Nanoseconds since start.
    full_at: u64,
}

#[repr(align(64))]
#[derive(Clone, Copy, Default)]
struct Set([Bucket; WAYS]);

/// The buckets of source prefixes.
struct Sources {
    prefix_v4: u8,
    prefix_v6: u8,
    when_full: Side,
    hash: ahash::RandomState,
    sets: Box<[Set]>,
}

enum Buckets {
    One(u64),
    Many(Box<Sources>),
}

/// One worker's share of a rate. Less than a cache line: with many rules every one that is asked has to be fetched.
pub(super) struct Rate {
    /// From one token to the next, nanoseconds.
    interval: u64,
    /// How far a bucket may be from full, nanoseconds, for a SYN to be within the rate.
    tolerance: u64,
    buckets: Buckets,
    side: Side,
}

impl Rate {
    /// The share of one of so many workers. `key` keeps others from choosing sources that meet in one set.
    pub(super) fn new(spec: RateSpec, workers: usize, key: [u64; 4]) -> Rate {
        let workers = workers.max(1) as u64;
        let interval = SECOND * workers / u64::from(spec.per_second.max(1));
        let burst = (u64::from(spec.burst) / workers).max(1);
        let [a, b, c, d] = key;
        Rate {
            interval,
            tolerance: (burst - 1).saturating_mul(interval),
            buckets: match spec.per {
                Per::Rule => Buckets::One(0),
                Per::Source { prefix_v4, prefix_v6, sources, when_full } => {
                    Buckets::Many(Box::new(Sources {
                        prefix_v4,
                        prefix_v6,
                        when_full,
                        hash: ahash::RandomState::with_seeds(a, b, c, d),
                        sets: vec![Set::default(); (sources as usize).div_ceil(WAYS).max(1)].into(),
                    }))
                }
            },
            side: spec.side,
        }
    }

    /// Whether the rule matches a SYN that comes now; one within the rate takes its token.
    pub(super) fn matches(&mut self, now: Instant, addresses: &Addresses) -> bool {
        let now = now.as_nanos();
        let side = match &mut self.buckets {
            Buckets::One(full_at) => draw(full_at, now, self.interval, self.tolerance),
            Buckets::Many(sources) => match sources.bucket(now, addresses) {
                Some(bucket) => draw(&mut bucket.full_at, now, self.interval, self.tolerance),
                None => sources.when_full,
            },
        };
        side == self.side
    }
}

impl Sources {
    /// The bucket of the prefix that an address pair's source is in; `None` when there is room for no other.
    fn bucket(&mut self, now: u64, addresses: &Addresses) -> Option<&mut Bucket> {
        let source = self.hash.hash_one(prefix(addresses, self.prefix_v4, self.prefix_v6));
        let set = ((u128::from(source) * self.sets.len() as u128) >> 64) as usize;
        self.sets[set].bucket(source, now)
    }
}

fn draw(full_at: &mut u64, now: u64, interval: u64, tolerance: u64) -> Side {
    let at = (*full_at).max(now);
    if at - now > tolerance {
        return Side::Above;
    }
    *full_at = at + interval;
    Side::Within
}

fn prefix(addresses: &Addresses, v4: u8, v6: u8) -> (bool, u128) {
    match addresses.source() {
        IpAddr::V4(address) => (true, u128::from(u32::from(address)) >> (32 - u32::from(v4.min(32)))),
        IpAddr::V6(address) => {
            (false, u128::from(address).checked_shr(128 - u32::from(v6.min(128))).unwrap_or(0))
        }
    }
}

impl Set {
    /// The source's bucket, or one that is full and so may be given to it.
    fn bucket(&mut self, source: u64, now: u64) -> Option<&mut Bucket> {
        let is_its_own = |bucket: &Bucket| bucket.source == source && bucket.full_at > now;
        let place = self.0.iter().position(is_its_own);
        let place = place.or_else(|| self.0.iter().position(|bucket| bucket.full_at <= now))?;
        self.0[place].source = source;
        Some(&mut self.0[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: RateSpec = RateSpec { per_second: 10, burst: 3, side: Side::Within, per: Per::Rule };

    fn from(source: &str) -> Addresses {
        match source.parse().unwrap() {
            IpAddr::V4(address) => Addresses::V4(address.octets(), [0; 4]),
            IpAddr::V6(address) => Addresses::V6(address.octets(), [0; 16]),
        }
    }

    fn rate(spec: RateSpec) -> Rate {
        Rate::new(spec, 1, [1, 2, 3, 4])
    }

    #[test]
    fn a_burst_then_the_rate_and_the_two_sides_are_opposites() {
        let (mut within, mut above) = (rate(RATE), rate(RateSpec { side: Side::Above, ..RATE }));
        let times = [1000, 1000, 1000, 1000, 1050, 1100, 1101, 1500, 1500, 1500, 1500];
        let expected = [true, true, true, false, false, true, false, true, true, true, false];
        for (time, expected) in times.into_iter().zip(expected) {
            let now = Instant::from_millis(time);
            assert_eq!(within.matches(now, &from("10.0.0.1")), expected, "at {time} ms");
            assert_eq!(above.matches(now, &from("10.0.0.2")), !expected, "at {time} ms");
        }
    }

    #[test]
    fn workers_have_their_share() {
        let mut shares: Vec<_> =
            (0..4).map(|_| Rate::new(RateSpec { burst: 8, ..RATE }, 4, [0; 4])).collect();
        let mut admitted = 0;
        for millis in 0..10_000 {
            for share in &mut shares {
                admitted += u32::from(share.matches(Instant::from_millis(millis), &from("fd00::1")));
            }
        }
        // Ten seconds at 10 a second, and a burst of 8, of which the first tokens are the rate's own.
        assert_eq!(admitted, 100 + 8 - 4);
    }

    #[test]
    fn each_source_prefix_has_its_own() {
        let per = Per::Source { prefix_v4: 24, prefix_v6: 64, sources: 64, when_full: Side::Within };
        let mut rate = rate(RateSpec { burst: 1, per, ..RATE });
        let now = Instant::from_millis(5);
        let cases = [
            ("10.0.0.1", true),
            ("10.0.0.200", false),
            ("10.0.1.1", true),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("2001:db8:0:1::1", true),
        ];
        for (source, expected) in cases {
            assert_eq!(rate.matches(now, &from(source)), expected, "{source}");
        }
    }

    #[test]
    fn a_full_table_says_what_it_was_told_to_and_forgets_whom_it_need_not_know() {
        for when_full in [Side::Within, Side::Above] {
            let per = Per::Source { prefix_v4: 32, prefix_v6: 128, sources: WAYS as u32, when_full };
            let mut rate = rate(RateSpec { burst: 1, per, ..RATE });
            let now = Instant::from_millis(1);
            for source in ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] {
                assert!(rate.matches(now, &from(source)));
            }
            assert_eq!(rate.matches(now, &from("10.0.0.5")), when_full == Side::Within);
            assert!(!rate.matches(now, &from("10.0.0.1")), "known as before");
            assert!(rate.matches(Instant::from_millis(101), &from("10.0.0.5")), "the others are full again");
        }
    }
}
