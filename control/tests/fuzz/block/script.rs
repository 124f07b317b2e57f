//! What an input says: how the block begins, and what its peer sends.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use control::tcp::{Algorithm, Block, Family, Handshake, Keepalive, Limits, Segment};
use dataplane::buffer::Buffer;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{SackBlock, TcpOptions, Timestamps};

/// Payload of the shortest segment that is not the last, bytes: the least MSS without 40 bytes of options.
pub const LEAST_PAYLOAD: u32 = 8;

/// How a block begins.
pub struct Setup {
    pub limits: Limits,
    pub iss: Seq,
    pub offer: Handshake,
    /// The client's SYN; without one, the block connects.
    pub syn: Option<Segment>,
    pub family: Family,
    /// Acknowledgments wait for the user (acknowledge-through).
    pub through: bool,
}

impl Setup {
    pub fn draw(u: &mut Unstructured<'_>) -> Result<Setup> {
        let limits = Limits {
            send_buffer: 1 + size(u)?,
            receive_buffer: 1 + size(u)?,
            max_chunks: u.int_in_range(1..=64)?,
            max_reassembly_segments: u.int_in_range(1..=64)?,
            keepalive: u.arbitrary::<bool>()?.then_some(Keepalive { idle: Duration::from_secs(60) }),
            congestion: if u.arbitrary()? { Algorithm::Cubic } else { Algorithm::NewReno },
            ..Limits::default()
        };
        let (iss, offer) = (any_number(u)?, handshake(u)?);
        let syn = if u.arbitrary()? { Some(syn(u)?) } else { None };
        let family = if u.arbitrary()? { Family::V4 } else { Family::V6 };
        Ok(Setup { limits, iss, offer, syn, family, through: u.ratio(1u8, 4u8)? })
    }
}

fn syn(u: &mut Unstructured<'_>) -> Result<Segment> {
    let offer = handshake(u)?;
    Ok(Segment {
        seq: any_number(u)?,
        ack: Seq(0),
        flags: TcpFlags::SYN | offer.ecn,
        window: offer.window,
        urgent: 0,
        options: options_of(u, &offer)?,
        len: 0,
        congested: false,
    })
}

fn options_of(u: &mut Unstructured<'_>, offer: &Handshake) -> Result<TcpOptions> {
    Ok(TcpOptions {
        mss: offer.mss,
        window_scale: offer.window_scale,
        sack_permitted: offer.sack_permitted,
        timestamps: if offer.timestamps { Some(timestamps(u)?) } else { None },
        ..TcpOptions::default()
    })
}

/// Up to 64 KiB, or a little.
fn size(u: &mut Unstructured<'_>) -> Result<u32> {
    Ok(if u.arbitrary()? { u.arbitrary::<u16>()?.into() } else { u.arbitrary::<u8>()?.into() })
}

/// Any options, those that most peers have more often.
pub fn handshake(u: &mut Unstructured<'_>) -> Result<Handshake> {
    let unusual = u.arbitrary::<u8>()?;
    Ok(Handshake {
        mss: if unusual & 1 == 0 { Some(1460) } else { u.arbitrary()? },
        window_scale: if unusual & 2 == 0 { Some(unusual >> 4) } else { u.arbitrary()? },
        sack_permitted: unusual & 4 == 0,
        timestamps: unusual & 8 == 0,
        window: if unusual & 1 == 0 { 65_535 } else { u.arbitrary()? },
        ecn: if unusual & 32 == 0 { TcpFlags(0) } else { TcpFlags::ECE },
    })
}

/// A sequence number of no meaning; half of them close to where numbers wrap around.
pub fn any_number(u: &mut Unstructured<'_>) -> Result<Seq> {
    Ok(if u.arbitrary()? {
        Seq(u.arbitrary()?)
    } else {
        Seq(0u32.wrapping_sub(u.arbitrary::<u16>()?.into()))
    })
}

/// Near one of the numbers that matter, or anywhere.
pub fn number<B: Buffer>(u: &mut Unstructured<'_>, block: &Block<B>) -> Result<Seq> {
    let base = match u.int_in_range(0..=8)? {
        0 | 1 => block.rcv_nxt(),
        2 => block.offered_right_edge(),
        3 => block.irs(),
        4 | 5 => block.snd_nxt(),
        6 => block.snd_una(),
        7 => block.iss(),
        _ => return any_number(u),
    };
    near(u, base)
}

fn near(u: &mut Unstructured<'_>, base: Seq) -> Result<Seq> {
    Ok(match u.int_in_range(0..=7)? {
        0..=3 => base,
        4 => base.advance(u.arbitrary::<u8>()?.into()),
        5 => base.retreat(u.arbitrary::<u8>()?.into()),
        6 => base.advance(u.arbitrary::<u16>()?.into()),
        _ => base.retreat(u.arbitrary::<u16>()?.into()),
    })
}

/// What has come in order and was not acknowledged, as far as the user lets it be.
pub fn receiver_has<B: Buffer>(u: &mut Unstructured<'_>, block: &Block<B>) -> Result<Seq> {
    if u.ratio(1u8, 8u8)? {
        return near(u, block.rcv_nxt());
    }
    let waits = block.ack_number().distance_to(block.rcv_nxt());
    Ok(block.ack_number().advance(u.int_in_range(0..=waits)?))
}

/// A window to offer, bytes.
pub fn window(u: &mut Unstructured<'_>) -> Result<u32> {
    Ok(match u.int_in_range(0..=3)? {
        0 => 0,
        1 => u.arbitrary::<u8>()?.into(),
        2 => u.arbitrary::<u16>()?.into(),
        _ => u.arbitrary()?,
    })
}

/// Milliseconds to hours.
pub fn duration(u: &mut Unstructured<'_>) -> Result<Duration> {
    let (shift, factor) = (u.int_in_range(0..=16)?, u.arbitrary::<u8>()?);
    Ok(Duration::from_millis(u64::from(factor) << shift))
}

/// TSval and TSecr: as if a clock went on, or anything.
fn timestamps(u: &mut Unstructured<'_>) -> Result<Timestamps> {
    let value = if u.ratio(1u8, 8u8)? { u.arbitrary()? } else { 1_000 + u32::from(u.arbitrary::<u8>()?) };
    let echo = if u.ratio(1u8, 8u8)? { u.arbitrary()? } else { 1_000 + u32::from(u.arbitrary::<u8>()?) };
    Ok(Timestamps { value, echo })
}

/// A segment of the peer's: most of the time one that the block has to look at closely.
pub fn segment<B: Buffer>(u: &mut Unstructured<'_>, block: &Block<B>) -> Result<Segment> {
    let kind = u.int_in_range(0..=15)?;
    let seq = if u.ratio(2u8, 3u8)? { near(u, block.rcv_nxt())? } else { number(u, block)? };
    let flags = match kind {
        0..=9 => TcpFlags::ACK,
        10 => TcpFlags::ACK | TcpFlags::FIN,
        11 if block.state().is_synchronized() => TcpFlags::ACK | TcpFlags::PSH,
        11 | 12 => TcpFlags::SYN | TcpFlags::ACK,
        13 if u.ratio(1u8, 16u8)? => TcpFlags::RST,
        14 if u.ratio(1u8, 4u8)? => TcpFlags(u.arbitrary::<u16>()? & 0x1ff),
        _ => TcpFlags(u.arbitrary::<u16>()? & 0x1ff).without(TcpFlags::RST) | TcpFlags::ACK,
    };
    let len = match u.int_in_range(0..=3)? {
        0 => 0,
        1 => u.arbitrary::<u8>()?.into(),
        2 => u.int_in_range(0..=1460)?,
        _ => u.int_in_range(0..=9000)?,
    };
    let ack = match u.int_in_range(0..=5)? {
        // What completes a handshake.
        _ if !block.state().is_synchronized() && u.ratio(7u8, 8u8)? => block.snd_nxt(),
        0..=2 => block.snd_nxt(),
        3 => block.snd_una(),
        4 => between(u, block)?,
        _ => number(u, block)?,
    };
    let window = if u.ratio(1u8, 4u8)? { u.arbitrary()? } else { 65_535 };
    Ok(Segment {
        seq,
        ack,
        flags,
        window,
        urgent: if flags.contains(TcpFlags::URG) { u.arbitrary()? } else { 0 },
        options: options(u, block, flags)?,
        len,
        congested: u.ratio(1u8, 16u8)?,
    })
}

/// Somewhere in what is outstanding.
fn between<B: Buffer>(u: &mut Unstructured<'_>, block: &Block<B>) -> Result<Seq> {
    let outstanding = block.snd_una().distance_to(block.snd_nxt());
    Ok(block.snd_una().advance(u.int_in_range(0..=outstanding)?))
}

fn options<B: Buffer>(u: &mut Unstructured<'_>, block: &Block<B>, flags: TcpFlags) -> Result<TcpOptions> {
    if flags.syn() {
        let offer = handshake(u)?;
        return options_of(u, &offer);
    }
    let mut options = TcpOptions::default();
    if block.offer().timestamps && !u.ratio(1u8, 8u8)? {
        options.timestamps = Some(timestamps(u)?);
    }
    for _ in 0..u.int_in_range(0..=7u8)?.saturating_sub(3) {
        let left = if u.ratio(3u8, 4u8)? { between(u, block)? } else { number(u, block)? };
        let right =
            if u.ratio(3u8, 4u8)? { left.advance(u.int_in_range(0..=3_000)?) } else { number(u, block)? };
        options.sack.push(SackBlock { left, right });
    }
    Ok(options)
}
