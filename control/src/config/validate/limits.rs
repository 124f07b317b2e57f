//! Limits, timeouts and the memory that follows from them. Ranges and defaults are here and nowhere else.

use std::ops::RangeInclusive;
use std::time::Duration;

use dataplane::budget::Rate;
use toml::Spanned;

use crate::config::error::Problems;
use crate::config::external;
use crate::config::memory::{data_room, least_buffers, least_megabytes, pool_bytes};
use crate::config::scalar::{bytes, duration, number, show_bytes};
use crate::config::validated::{Limits, Memory, Port, Timeouts};
use crate::tcp::Algorithm;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What a port without a configured MTU is taken to have when buffers are sized.
pub(super) const DEFAULT_MTU: u16 = 1500;
/// A pool larger than this is a mistake in a unit: 16 M buffers are 40 GiB.
const MAX_BUFFERS: u32 = 1 << 24;
const MAX_MEGABYTES: u32 = 1 << 20;

pub(super) fn limits(raw: &external::Limits, problems: &mut Problems) -> Limits {
    let buffer = 16 * KIB..=64 * MIB;
    let participating_bytes = bytes(&raw.participating_bytes, 256 * MIB, MIB..=1024 * GIB, problems);
    // 300 Mbit/s over 100 ms. A direction begins with much less and comes to this only where it needs it.
    let default_buffer = (4 * MIB).min(participating_bytes / 4).max(16 * KIB);
    let suspended = number(&raw.suspended, 16_384, 16..=1 << 22, problems);
    // One prefix must not be able to keep all others out.
    let suspended_per_source = Some(number(&raw.suspended_per_source, suspended / 4, 1..=1 << 22, problems));
    let flows = number(&raw.flows, 65_536, 16..=1 << 26, problems);
    let limits = Limits {
        flows,
        suspended,
        suspended_per_source,
        source_prefix: (
            number(&raw.source_prefix_v4, 24, 1..=32, problems),
            number(&raw.source_prefix_v6, 56, 1..=128, problems),
        ),
        suspended_per_destination: raw
            .suspended_per_destination
            .is_some()
            .then(|| number(&raw.suspended_per_destination, 0, 1..=1 << 22, problems)),
        history: number(&raw.history, 4_096, 1..=1 << 20, problems),
        participating: number(&raw.participating, 4_096, 1..=1 << 20, problems),
        // A SYN to another server or hop takes both: with fewer far sides, those would be what a flood runs out of.
        far_sides: number(&raw.far_sides, flows.min(1 << 22), 16..=1 << 22, problems),
        inspected: number(&raw.inspected, 16_384, 1..=1 << 22, problems),
        inspected_bytes: bytes(&raw.inspected_bytes, 16 << 20, 64 << 10..=1 << 40, problems),
        held_packets: number(&raw.held_packets, 4_096, 64..=1 << 20, problems),
        send_buffer: bytes(&raw.send_buffer, default_buffer, buffer.clone(), problems),
        receive_buffer: bytes(&raw.receive_buffer, default_buffer, buffer, problems),
        participating_bytes,
        // A few full segments: a moment's work, even where it takes a round trip.
        drain_up_to: bytes(&raw.drain_up_to, 16 * KIB, 0..=64 * MIB, problems),
        receive_ring: power_of_two(&raw.receive_ring, 1024, 64..=8192, problems),
        transmit_ring: power_of_two(&raw.transmit_ring, 1024, 64..=8192, problems),
        mailbox: power_of_two(&raw.mailbox, 4096, 256..=1 << 16, problems),
        // What Linux allows a host (icmp_msgs_per_sec).
        icmp_errors: Rate::per_second(number(&raw.icmp_errors, 1000, 1..=1_000_000, problems)),
        congestion: match raw.congestion {
            external::Congestion::Cubic => Algorithm::Cubic,
            external::Congestion::NewReno => Algorithm::NewReno,
        },
    };
    let one_flow = 2 * (limits.send_buffer + limits.receive_buffer);
    if limits.participating_bytes < one_flow {
        let span =
            [&raw.participating_bytes, &raw.send_buffer, &raw.receive_buffer].into_iter().flatten().next();
        problems.at(
            span.map_or(0..0, Spanned::span),
            format!(
                "the two legs of one flow may keep {}, limits.participating_bytes allows {} for all; raise it or \
                 lower limits.send_buffer and limits.receive_buffer",
                show_bytes(one_flow),
                show_bytes(limits.participating_bytes)
            ),
        );
    }
    limits
}

fn power_of_two<T>(
    raw: &Option<Spanned<i64>>,
    default: T,
    range: RangeInclusive<T>,
    problems: &mut Problems,
) -> T
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy + Into<u64>,
{
    let ring = number(raw, default, range, problems);
    let size: u64 = ring.into();
    if let (Some(raw), false) = (raw, size.is_power_of_two()) {
        let (below, above) = (size.next_power_of_two() / 2, size.next_power_of_two());
        problems.at(raw.span(), format!("{size} is not a power of two; write {below} or {above}"));
    }
    ring
}

pub(super) fn timeouts(raw: &external::Timeouts, problems: &mut Problems) -> Timeouts {
    let ms = Duration::from_millis;
    let s = Duration::from_secs;
    Timeouts {
        // BSD's connection-establishment timer, what middleboxes customarily grant; clients may try for longer (RFC
        // 1122 section 4.2.3.5: at least 3 minutes), each SYN begins anew.
        syn: duration(&raw.syn, s(75), s(1)..=s(600), problems),
        // RFC 5382 REQ-5: not less than 2 hours 4 minutes.
        idle_established: duration(&raw.idle_established, s(7440), s(1)..=s(7 * 86_400), problems),
        // RFC 5382 REQ-5: transitory connections, not less than 4 minutes.
        half_closed: duration(&raw.half_closed, s(240), s(1)..=s(86_400), problems),
        // RFC 9293 section 3.8.3: not less than 100 seconds.
        user: duration(&raw.user, s(300), s(100)..=s(86_400), problems),
        // Off by default, and whoever wants it says when (RFC 9293 section 3.8.4).
        keepalive: raw
            .keepalive
            .is_some()
            .then(|| duration(&raw.keepalive, s(7200), s(10)..=s(7 * 86_400), problems)),
        // DESIGN section 4: lingering entries go after at most 10 s.
        linger: duration(&raw.linger, s(10), ms(100)..=s(10), problems),
        // Below the smallest RTO in use (200 ms on Linux): DESIGN section 5.
        drain: duration(&raw.drain, ms(150), ms(1)..=s(1), problems),
        control_stall: duration(&raw.control_stall, ms(250), ms(10)..=s(60), problems),
        shutdown: duration(&raw.shutdown, s(5), ms(0)..=s(600), problems),
    }
}

pub(super) fn memory(
    raw: &external::Memory,
    ports: &[Port],
    workers: usize,
    limits: &Limits,
    problems: &mut Problems,
) -> Memory {
    let least = least_buffers(ports, workers, limits);
    // One less than a power of two is what a mempool stores best.
    let default = u32::try_from((least + 1).next_power_of_two() - 1).unwrap_or(MAX_BUFFERS).min(MAX_BUFFERS);
    let buffers = number(&raw.buffers, default, 1..=MAX_BUFFERS, problems);
    if u64::from(buffers) < least {
        let message = format!(
            "{buffers} buffers starve the rings: {} ports, {workers} workers, mailboxes, held packets and impaired \
             cables can keep {least}; raise it, leave it out, or lower limits.receive_ring, transmit_ring, mailbox or \
             held_packets, or the queue of an impairment",
            ports.len()
        );
        match &raw.buffers {
            Some(given) => problems.at(given.span(), message),
            None => problems.missing(0..0, "memory.buffers", message),
        }
    }
    let widest = ports.iter().map(|port| port.mtu.unwrap_or(DEFAULT_MTU)).max().unwrap_or(DEFAULT_MTU);
    let data_room = data_room(widest);
    let pool = pool_bytes(buffers, data_room, raw.hugepages);
    let least = u32::try_from(least_megabytes(pool)).unwrap_or(MAX_MEGABYTES);
    let megabytes = number(&raw.megabytes, least.next_multiple_of(64), 1..=MAX_MEGABYTES, problems);
    if let (Some(raw), true) = (&raw.megabytes, megabytes < least) {
        problems.at(
            raw.span(),
            format!(
                "{megabytes} MB is too little: {buffers} buffers take {}, DPDK and its drivers the rest; write at \
                 least {least}, or leave it out",
                show_bytes(pool)
            ),
        );
    }
    Memory { hugepages: raw.hugepages, megabytes, buffers, data_room }
}
